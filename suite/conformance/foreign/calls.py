"""How somebody else's layer is called: torch's way and ours."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lstm_odyssey.cell import Cell
from lstm_odyssey.conformance.foreign.mapping import LayerError, Values

Call = Callable[..., Any]

FORMS = "(layer, x), (layer, x, state) or (layer, x, state, lengths)"


class NotOffered(NotImplementedError):  # noqa: N818 - no error: what a layer need not have
    """What a layer does not do; the message says why it is known."""


def takes(call: Call) -> int:
    """How many of x, states and lengths a call takes.

    Raises:
        LayerError: none, or more.
    """
    kinds = [each.kind for each in inspect.signature(call).parameters.values()]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    count = 4 if inspect.Parameter.VAR_POSITIONAL in kinds else sum(kind in positional for kind in kinds)
    if not 2 <= count <= 4:
        raise LayerError(f"check_layer: the call takes {count} arguments; expected {FORMS}.")
    return count - 1


def _hidden(cell: Cell, state: Values | None) -> Any:
    """States in torch's form: [1, B, N] each, a tuple if there are several."""
    if state is None:
        return None
    values = tuple(state[name].unsqueeze(0) for name in cell.states)
    return values if len(values) > 1 else values[0]


def torchs_call(cell: Cell, module: nn.RNNBase) -> Call:
    """The call of torch's recurrent layers; lengths go in as a ``PackedSequence``."""
    first = module.batch_first

    def call(layer: Any, x: Tensor, state: Values | None, lengths: Tensor | None) -> Any:
        given: Any = x.transpose(0, 1) if first else x
        if lengths is not None:
            given = pack_padded_sequence(given, lengths.cpu(), batch_first=first, enforce_sorted=False)
        y, final = layer(given, _hidden(cell, state))
        if lengths is not None:
            y, _ = pad_packed_sequence(y, batch_first=first, total_length=len(x))
        return y.transpose(0, 1) if first else y, final

    return call


def plain_call(cell: Cell, module: Any) -> Call:
    """``layer(x)`` or ``layer(x, states)``, states in torch's form; time first unless it has ``batch_first``."""
    first = bool(getattr(module, "batch_first", False))

    def turned(found: Any) -> Any:
        if not first:
            return found
        return (found[0].transpose(0, 1), *found[1:]) if isinstance(found, tuple) else found.transpose(0, 1)

    def call(layer: Any, x: Tensor, state: Values | None) -> Any:
        return turned(layer(x.transpose(0, 1) if first else x, _hidden(cell, state)))

    def stateless(layer: Any, x: Tensor) -> Any:
        return turned(layer(x.transpose(0, 1) if first else x))

    taken = inspect.signature(module.forward).parameters.values()
    several = len(taken) > 1 or any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in taken)
    return call if several else stateless
