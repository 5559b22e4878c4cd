"""How somebody else's layer is called: torch's way and ours."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from textwrap import shorten
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from lstm_odyssey.cell import Cell
from lstm_odyssey.conformance.foreign.mapping import LayerError, Values
from lstm_odyssey.layers.of_torch import OfTorch
from lstm_odyssey.layers.rnn import RNN

Call = Callable[..., Any]

FORMS = "(layer, x), (layer, x, state) or (layer, x, state, lengths)"


class NotOffered(NotImplementedError):  # noqa: N818 - no error: what a layer need not have
    """What a layer does not do; the message says why it is known."""


class RaisedError(RuntimeError):
    """What a layer raised while it was asked, forwards or backwards; one line."""


@contextmanager
def heard() -> Iterator[None]:
    """Whatever a layer raises in here is a ``RaisedError``, but for its own way to say that it does not offer something."""
    try:
        yield
    except (NotImplementedError, LayerError, RaisedError):
        raise
    except Exception as error:
        raise RaisedError(in_a_line(error)) from error


def in_a_line(error: Exception) -> str:
    """Its class and the first line of its message, as far as a table has room for it."""
    lines = str(error).strip().splitlines()
    return shorten(f"{type(error).__name__}: {lines[0]}", 120, placeholder=" ...") if lines else type(error).__name__


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


def usual_call(cell: Cell, module: Any) -> Call:
    """How a module is called where nothing else is said."""
    if isinstance(module, RNN):
        return our_call(cell, module)
    if isinstance(module, nn.RNNBase | OfTorch) and _takes_states(module):
        return torchs_call(cell, module)
    return plain_call(cell, module)


def _hidden(cell: Cell, state: Values | None) -> Any:
    """States in torch's form: [1, B, N] each, a tuple if there are several."""
    if state is None:
        return None
    values = tuple(state[name].unsqueeze(0) for name in cell.states)
    return values if len(values) > 1 else values[0]


def torchs_call(cell: Cell, module: Any) -> Call:
    """The call of torch's recurrent layers; lengths go in as a ``PackedSequence``."""
    first = module.batch_first

    def turned(found: Any) -> Any:
        return _turned(found) if first else found

    def call(layer: Any, x: Tensor, state: Values | None, lengths: Tensor | None) -> Any:
        given, hidden = x.transpose(0, 1) if first else x, _hidden(cell, state)
        if lengths is None:
            return turned(layer(given, hidden))
        packed = pack_padded_sequence(given, lengths.cpu(), batch_first=first, enforce_sorted=False)
        try:
            found = layer(packed, hidden)
        except Exception as error:  # a layer made of torch's computes, it may be, with its input itself
            raise NotOffered(f"lengths are a PackedSequence, of which it raised {in_a_line(error)}") from error
        y, *final = found if isinstance(found, tuple) and not isinstance(found, PackedSequence) else (found,)
        if not isinstance(y, PackedSequence):
            raise NotOffered(f"lengths are a PackedSequence, of which it returned a {type(y).__name__}")
        padded = pad_packed_sequence(y, batch_first=first, total_length=len(x))[0]
        return turned((padded, *final))

    return call


def plain_call(cell: Cell, module: Any) -> Call:
    """``layer(x)`` or ``layer(x, states)``, states in torch's form; time first unless it has ``batch_first``."""
    first = bool(getattr(module, "batch_first", False))

    def turned(found: Any) -> Any:
        return _turned(found) if first else found

    def call(layer: Any, x: Tensor, state: Values | None) -> Any:
        return turned(layer(x.transpose(0, 1) if first else x, _hidden(cell, state)))

    def stateless(layer: Any, x: Tensor) -> Any:
        return turned(layer(x.transpose(0, 1) if first else x))

    return call if _takes_states(module) else stateless


def our_call(cell: Cell, module: Any) -> Call:
    """The call of ``lo.RNN``: states [1, B, N] by name, and lengths."""
    first = module.batch_first

    def call(layer: Any, x: Tensor, state: Values | None, lengths: Tensor | None) -> Any:
        given = None if state is None else {name: state[name].unsqueeze(0) for name in cell.states}
        found = layer(x.transpose(0, 1) if first else x, given, lengths)
        return _turned(found) if first else found

    return call


def _takes_states(module: Any) -> bool:
    """Whether a module's ``forward`` takes more than x."""
    taken = inspect.signature(module.forward).parameters.values()
    return len(taken) > 1 or any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in taken)


def _turned(found: Any) -> Any:
    """What a layer returned with the batch first as if it had time first; what is no tensor as it is."""
    if isinstance(found, tuple) and found:
        return (_turned(found[0]), *found[1:])
    return found.transpose(0, 1) if isinstance(found, Tensor) and found.ndim > 1 else found
