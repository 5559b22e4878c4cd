"""The ladder for somebody else's layer: what of a cell's promises holds, what does not, and what the layer does not do.

Outputs, states and gradients are compared with the cell's text, called in float64 example by example; what a layer owes to
batches, time and padding with the layer itself, so that a wrong equation is not taken for a leak.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lstm_odyssey.conformance.foreign.calls import Call, NotOffered, RaisedError, in_a_line
from lstm_odyssey.conformance.foreign.cases import Case, tolerance
from lstm_odyssey.conformance.foreign.findings import LayerReport, NoAnswer
from lstm_odyssey.conformance.foreign.ladder import PROMISES
from lstm_odyssey.conformance.foreign.layer import Foreign, MisfitError, foreign
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
        cell: a name, a step function, a ``Variant`` or a ``Cell``. torch's LSTM, GRU and RNN with tanh, and ours,
            need none.
        mapping: where the cell's parameters lie, a dict ``{"W.i W.f W.z W.o": "weight_ih"}``: names of the cell's, which lie
            one under another by rows, and the layer's parameter. That may also be ``("kernel", torch.t)``, to be turned first;
            a list, to be summed; a number. The cell's constants, ``"k.gamma"``, may be among them; else they have their
            defaults. Or a function from the dict of the layer's parameters to that of the cell's, by operations of torch.
            torch's layers and ours need none.
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
        LayerError: the mapping or the call does not fit, or a layer of torch is none of the cells. What the layer itself raises
            is told in the table: it breaks the promise in the layer's own dtype, in another it is not offered.

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
    report = LayerReport(name, given.cell.name, given.M, given.N, {}, hint=given.hint)
    for dtype in dict.fromkeys((torch.float64, given.dtype)):
        column = str(dtype).removeprefix("torch.")
        report.bounds[column] = tolerance(dtype)
        cases = [Case(given, dtype, T, B, own=weights == "own") for T, B in shapes]
        reason, own = _refusal(cases[0]), dtype == given.dtype
        for promise, check in PROMISES.items():
            seen = [NoAnswer(reason) if reason and not own else _asked(check, case, own) for case in cases]
            report.add(promise, column, list(zip(map(str, cases), seen, strict=True)))
    return report


def _are_shapes(shapes: Any) -> bool:
    """Whether there are some, each T of 2 or more and B of 1 or more."""
    try:
        return bool(shapes) and all(T >= 2 and B >= 1 for T, B in shapes)
    except (TypeError, ValueError, RuntimeError):  # no pairs, or not of numbers
        return False


def _asked(check: Callable[[Case], Any], case: Case, own: bool) -> Any:
    """What a promise shows of a case, or why there is nothing to compare: in its own dtype no layer has a reason to raise."""
    try:
        return list(check(case))
    except NotOffered as why:
        return NoAnswer(str(why))
    except NotImplementedError as why:  # the layer's own way to say so
        return NoAnswer(in_a_line(why).removeprefix("NotImplementedError").removeprefix(": ") or "the layer says so")
    except RaisedError as error:
        return NoAnswer(f"raised {error}", own)
    except MisfitError as wrong:
        return NoAnswer(wrong.found, broken=True)


def _refusal(case: Case) -> str:
    """Why a layer does not compute in a dtype; empty if it does.

    Raises:
        LayerError: it does, and returns something else than outputs.
    """
    try:
        case.answer  # noqa: B018 - made here, and kept
    except (NotImplementedError, RaisedError) as error:
        return str(error) if isinstance(error, RaisedError) else in_a_line(error)
    return ""


__all__ = ["Foreign", "LayerError", "LayerReport", "NotOffered", "check_layer"]
