"""The ladder for somebody else's layer: what of a cell's promises holds, what does not, and what the layer does not do.

Outputs, states and gradients are compared with the cell's text, called in float64 example by example; what a layer owes to
batches, time and padding with the layer itself, so that a wrong equation is not taken for a leak.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lstm_odyssey.conformance.foreign.calls import Call, NotOffered
from lstm_odyssey.conformance.foreign.cases import Case, tolerance
from lstm_odyssey.conformance.foreign.findings import LayerReport
from lstm_odyssey.conformance.foreign.ladder import PROMISES
from lstm_odyssey.conformance.foreign.layer import Foreign, foreign
from lstm_odyssey.conformance.foreign.mapping import LayerError

SHAPES = ((2, 2), (4, 3), (12, 3))
"""[T, B] of what is asked."""


def check_layer(
    layer: Any,
    cell: Any = None,
    mapping: Any = None,
    *,
    call: Call | None = None,
    parameters: dict[str, Tensor] | None = None,
    weights: str = "drawn",
    shapes: Sequence[tuple[int, int]] = SHAPES,
) -> LayerReport:
    """Hold a layer that is not ours to a cell's text.

    Args:
        layer: a ``torch.nn.Module``; or a function, with its ``parameters``, which it gets as its first argument. It is copied
            and not changed.
        cell: a name, a step function, a ``Variant`` or a ``Cell``. torch's LSTM, GRU and RNN with tanh need none.
        mapping: where the cell's parameters lie, a dict ``{"W.i W.f W.z W.o": "weight_ih"}``: names of the cell's, which lie
            one under another by rows, and the layer's parameter. That may also be ``("kernel", torch.t)``, to be turned first;
            a list, to be summed; a number. The cell's constants, ``"k.gamma"``, may be among them; else they have their
            defaults. Or a function from the dict of the layer's parameters to that of the cell's, by operations of torch.
            torch's layers need none.
        call: how the layer is called where that is not as torch's: ``call(layer, x, state, lengths)`` with x [T, B, M] and
            states by the cell's names, [B, N] each, or None: returns y [T, B, N] and the final states, a dict or a tuple in
            the cell's order. It may leave out lengths, and the states, and may return y alone; that is then not offered.
        parameters: of a function.
        weights: ``drawn`` anew at random, or the layer's ``own``, for parameters that may not be any number.
        shapes: T and B of the random inputs, T of 2 or more.

    Returns:
        A table; ``bool(report)`` says that outputs hold and nothing is broken, ``report.status("padding")`` is ``holds``,
        ``broken`` or ``not offered``. Each promise is asked in float64 and in the layer's own dtype.

    Raises:
        LayerError: the mapping or the call does not fit.

    Example:
        >>> import torch, lstm_odyssey as lo
        >>> report = lo.check_layer(torch.nn.GRU(3, 5))
        >>> bool(report), report.status("padding")
        (True, 'holds')
    """
    if not isinstance(weights, str) or weights not in ("drawn", "own"):
        raise LayerError(f"check_layer: weights is {weights!r}; expected 'drawn' or 'own'.")
    if not _are_shapes(shapes):
        raise LayerError(f"check_layer: shapes is {shapes!r}; expected pairs of T, 2 or more, and B, 1 or more.")
    given = foreign(layer, cell, mapping, call, parameters)
    name = getattr(layer, "__name__", type(layer).__name__)
    report = LayerReport(name, given.cell.name, given.M, given.N, {})
    for dtype in dict.fromkeys((torch.float64, given.dtype)):
        column = str(dtype).removeprefix("torch.")
        report.bounds[column] = tolerance(dtype)
        cases = [Case(given, dtype, T, B, own=weights == "own") for T, B in shapes]
        reason = "" if dtype == given.dtype else _refusal(cases[0])
        for promise, check in PROMISES.items():
            report.add(promise, column, [(str(case), _asked(check, case, reason)) for case in cases])
    return report


def _are_shapes(shapes: Any) -> bool:
    """Whether there are some, each T of 2 or more and B of 1 or more."""
    try:
        return bool(shapes) and all(T >= 2 and B >= 1 for T, B in shapes)
    except (TypeError, ValueError, RuntimeError):  # no pairs, or not of numbers
        return False


def _asked(check: Callable[[Case], Any], case: Case, reason: str) -> Any:
    """What a promise shows of a case; a text where it is not offered."""
    if reason:
        return reason
    try:
        return list(check(case))
    except NotImplementedError as why:  # ours, or the layer's own way to say so
        return str(why) or "the layer says so"


def _refusal(case: Case) -> str:
    """Why a layer does not compute in a dtype that is not its own; empty if it does."""
    try:
        case.answer  # noqa: B018 - made here, and kept
    except LayerError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a kernel raises that has no such type
        first = str(error).strip().splitlines() or [""]
        return f"{type(error).__name__}: {first[0]}"
    return ""


__all__ = ["Foreign", "LayerError", "LayerReport", "NotOffered", "check_layer"]
