"""Somebody else's layer, asked in the kit's way: where a cell's parameters lie in it, and how it is called.

``lstm_odyssey.conformance.foreign.check`` checks such a layer; what may be written is said there.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lstm_odyssey.cell import Cell
from lstm_odyssey.cell.symbols import CONSTANTS
from lstm_odyssey.conformance.foreign.calls import Call, NotOffered, heard, takes, usual_call
from lstm_odyssey.conformance.foreign.mapping import LayerError, Rows, Values, known
from lstm_odyssey.plugins.registry import as_cell
from lstm_odyssey.tasks.kinds import refuse_kind
from lstm_odyssey.tasks.nearest import nearest
from lstm_odyssey.variants.declare import Constant

ROUNDED = 16
"""So many ε of its dtype a constant may lie beyond its range: it is rounded, and its last bits are changed."""


class MisfitError(LayerError):
    """A layer returned something else than outputs and states; ``found`` says what and what was expected."""

    def __init__(self, found: str, cure: str = "") -> None:
        super().__init__(f"check_layer: the layer {found}.{cure}")
        self.found = found


class Foreign:
    """A layer of any make with a cell's face.

    Args:
        layer: a module, or the dict of a function's parameters.
        cell: what it is to compute.
        mapping: from values by the layer's names to values by the cell's.
        call: called with the layer, x and, as far as it takes them, states and lengths.
        hint: what to look to where the layer raises.
    """

    def __init__(self, layer: Any, cell: Cell, mapping: Callable[[Values], Values], call: Call, hint: str = "") -> None:
        self.layer, self.cell, self.mapping, self.call, self.hint = layer, cell, mapping, call, hint
        self.takes = takes(call)
        first = next(iter(self.parameters.values()), None)
        if first is None:
            raise LayerError(
                "check_layer: the layer has no parameter; expected those of a cell. Pass parameters={...}."
            )
        self.dtype, self.device = first.dtype, first.device
        self.fixed = {}
        if isinstance(layer, nn.Module):
            self.fixed = {name: value.detach() for name, value in layer.named_buffers()}
        self.M, self.N = self._sizes()

    @property
    def parameters(self) -> dict[str, Tensor]:
        """By the layer's names."""
        return dict(self.layer.named_parameters()) if isinstance(self.layer, nn.Module) else dict(self.layer)

    def as_cell(self, values: Values) -> dict[str, Tensor]:
        """The cell's parameters out of values of the layer's, and of its constants those that are mapped; on the CPU."""
        any_of = next(iter(values.values()))
        fixed = {name: value.to(any_of) if value.is_floating_point() else value for name, value in self.fixed.items()}
        found = self.mapping({**fixed, **values})
        if not isinstance(found, Mapping):
            raise LayerError(
                f"check_layer: the mapping returned a {type(found).__name__}; expected a dict of the cell's tensors."
            )
        constants = {f"{CONSTANTS}.{name}": one for name, one in self.cell.constants.items()}
        unknown = sorted(set(found) - set(self.cell.parameters) - set(constants))
        missing = sorted(set(self.cell.parameters) - set(found))
        if unknown or missing:
            what = f"has '{unknown[0]}'" if unknown else f"lacks '{missing[0]}'"
            raise LayerError(
                f"check_layer: the mapping {what}; expected all of {', '.join(self.cell.parameters)} and "
                f"{f'of constants {nearest(unknown[0] if unknown else None, list(constants))}' if constants else 'no other'}. "
                "A parameter that the layer does not have is a number, as {'p.i p.f p.o': 0}."
            )
        own = {name: _filled(found[name], name, self) for name in self.cell.parameters}
        return own | {
            name: _constant(found[name], name, one, self.dtype) for name, one in constants.items() if name in found
        }

    def copied(self, dtype: torch.dtype, values: Values) -> Foreign:
        """A copy in another dtype with other values of its parameters, all of which one may differentiate by."""
        if isinstance(self.layer, nn.Module):
            layer: Any = copy.deepcopy(self.layer).to(dtype)
            with torch.no_grad():
                for name, value in layer.named_parameters():
                    value.copy_(values[name])
                    value.requires_grad_()
        else:
            layer = {name: value.to(self.device, dtype, copy=True).requires_grad_() for name, value in values.items()}
        return Foreign(layer, self.cell, self.mapping, self.call)

    def run(
        self, x: Tensor, state: Values | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Call it: x [T, B, M], states [B, N] by the cell's names; returns y [T, B, N] and the final states it gives.

        Raises:
            NotOffered: its call takes no states, or no lengths.
            RaisedError: whatever it raises.
            MisfitError: it returns something else.
        """
        if state is not None and self.takes < 2:
            raise NotOffered("its call takes no state")
        if lengths is not None and self.takes < 3:
            raise NotOffered("its call takes no lengths")
        given = [state, lengths][: self.takes - 1]
        with heard():
            found = self.call(self.layer, x, *given)
        y, final = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
        T, B = x.shape[:2]
        if not isinstance(y, Tensor) or y.shape != (T, B, self.N):
            got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
            raise MisfitError(
                f"returned {got}; expected outputs [T, B, N] = {(T, B, self.N)}, alone or with final states",
                " Pass call=, a function that returns them so.",
            )
        return y, self._named(final, B)

    def _named(self, final: Any, B: int) -> dict[str, Tensor]:
        """Final states by the cell's names, each [B, N], whichever way they are returned."""
        if final is None:
            return {}
        if isinstance(final, Tensor):
            final = (final,)
        expected = f"expected some of {nearest(None, self.cell.states)}, [B, N] = {(B, self.N)} each"
        if not isinstance(final, Mapping | tuple | list):
            raise MisfitError(f"returned a {type(final).__name__} as final states; {expected}")
        found = dict(final) if isinstance(final, Mapping) else dict(zip(self.cell.states, final, strict=False))
        if not set(found) <= set(self.cell.states):
            raise MisfitError(f"returned the states {', '.join(map(str, found))}; {expected}")
        for name, value in found.items():
            if not isinstance(value, Tensor) or value.numel() != B * self.N:
                got = tuple(value.shape) if isinstance(value, Tensor) else f"a {type(value).__name__}"
                raise MisfitError(f"returned the state '{name}' as {got}; {expected}")
        return {name: value.reshape(B, self.N) for name, value in found.items()}

    def _sizes(self) -> tuple[int, int]:
        self.M, self.N = 0, 0  # not known yet
        sizes: dict[str, int] = {}
        for name, value in self.as_cell(self.parameters).items():
            if value.ndim == 0:  # of a number, which has any size, or a constant
                continue
            shape = self.cell.parameters[name]
            for axis, size in zip(shape, value.shape, strict=False):
                if value.ndim != len(shape) or sizes.setdefault(axis, size) != size:
                    known = ", ".join(f"{axis} = {size}" for axis, size in sizes.items())
                    raise LayerError(
                        f"check_layer: '{name}' is {tuple(value.shape)} by the mapping; expected [{', '.join(shape)}] with "
                        f"{known}. A transform may turn it: {{'{name}': ('kernel', torch.t)}}."
                    )
        if "N" not in sizes:
            raise LayerError("check_layer: the mapping names no parameter of the layer; expected at least one.")
        torchs = isinstance(self.layer, nn.RNNBase | nn.RNNCellBase)  # of others the same word may mean something else
        for axis, attribute in (("M", "input_size"), ("N", "hidden_size")):
            if torchs and sizes.get(axis, getattr(self.layer, attribute)) != getattr(self.layer, attribute):
                raise LayerError(
                    f"check_layer: {axis} is {sizes[axis]} by the mapping; expected {getattr(self.layer, attribute)}, the "
                    f"layer's {attribute}. Map each parameter of the cell to its own of the layer."
                )
        return sizes.get("M", 1), sizes["N"]


def _filled(value: Any, name: str, layer: Foreign) -> Tensor:
    """A parameter of the cell as a tensor; a number fills it as soon as its sizes are known."""
    found: Tensor = torch.as_tensor(value).cpu()
    if found.ndim == 0 and layer.N:
        found = found.double().expand(layer.cell.shape(name, layer.M, layer.N))
    return found


def _constant(value: Any, name: str, constant: Constant, dtype: torch.dtype) -> Tensor:
    """A constant of the cell as a tensor of no dimension; the ends of its range count as rounded to a dtype."""
    found: Tensor = torch.as_tensor(value).cpu().double()
    if found.numel() != 1:
        raise LayerError(f"check_layer: '{name}' is {tuple(found.shape)} by the mapping; expected one number.")
    number, slack = found.item(), ROUNDED * torch.finfo(dtype).eps
    if not constant.low - slack * abs(constant.low) <= number <= constant.high + slack * abs(constant.high):
        raise LayerError(
            f"check_layer: '{name}' is {number:.6g} by the mapping; expected a number from {constant.low:g} to "
            f"{constant.high:g}. A layer that trains it is checked with weights='own'."
        )
    return found.reshape(())


def foreign(
    layer: Any, cell: Any = None, mapping: Any = None, call: Call | None = None, parameters: Any = None
) -> Foreign:
    """A layer, with what is known of torch's own filled in; the arguments are those of ``check_layer``."""
    if call is not None and not callable(call):
        raise LayerError(f"check_layer: call is {call!r}; expected a function call(layer, x, state, lengths).")
    if parameters is not None:
        refuse_kind("check_layer", "a mapping", LayerError, parameters=parameters)
        layer, call = dict(parameters), call or layer
    elif not isinstance(layer, nn.Module):
        raise LayerError(
            f"check_layer: got {type(layer).__name__}; expected a torch.nn.Module, or a function with parameters={{...}}."
        )
    if mapping is None:
        cell, mapping = known(layer, cell)
    elif cell is None:
        raise LayerError("check_layer: a mapping and no cell; expected the name of one, or a step. Pass it second.")
    cell = as_cell(cell)
    if not callable(mapping):
        mapping = Rows(cell, mapping, layer)
    if call is not None:
        return Foreign(layer, cell, mapping, call)
    made = Foreign(layer, cell, mapping, usual_call(cell, layer))
    shape = "[B, T, M]" if getattr(layer, "batch_first", False) else "[T, B, M]"
    given = "layer(x, states)" if made.takes > 1 else "layer(x)"
    made.hint = f"called as {given}, x {shape} with M = {made.M}: if it is called otherwise, pass call="
    return made
