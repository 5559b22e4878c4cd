"""What a recurrent layer is made of: the parameters of a direction, and the sizes of its members, which decide what is 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lstm_odyssey.cell import Cell

SIZES = "hidden_sizes"
"""The key of a population's sizes in its ``state_dict``; [P] whole numbers."""


class CellParameters(nn.Module):
    """The parameters of one direction, under the names of the text: ``W.z``, ``R.z``, ``p.i``, ``b.z``.

    It and its parts are never called, so that torch would never run a hook of theirs; see ``uncalled_hook``.
    """

    def __init__(self, cell: Cell, input_size: int, sizes: Sequence[int], population: bool, **factory: Any) -> None:
        super().__init__()
        self.names = tuple(cell.parameters)
        self.places = tuple((name, *name.split(".")) for name in self.names)
        for name in self.names:
            space, gate = name.split(".")
            if not hasattr(self, space):
                self.add_module(space, nn.Module())
            shape = cell.shape(name, input_size, max(sizes))
            value = nn.Parameter(torch.empty((len(sizes), *shape) if population else shape, **factory))
            self.get_submodule(space).register_parameter(gate, value)

    def tensors(self) -> dict[str, Tensor]:
        """Every parameter, or what is computed in its place."""
        found = {}
        for name, space, gate in self.places:  # reading _parameters spares the slow look-up of a module's attribute
            module = self._modules[space]
            value = module._parameters.get(gate)  # type: ignore[union-attr]  # made by __init__
            found[name] = getattr(module, gate) if value is None else value
        return found

    def write(self, values: Mapping[str, Tensor]) -> None:
        """Set parameters; where one is parametrized, what it is computed from. What may fail comes first.

        Raises:
            ValueError: a value is computed from other tensors, and there is no way back to them.
        """
        computed = [name for name, space, gate in self.places if gate not in self.get_submodule(space)._parameters]
        for name in sorted(values, key=computed.__contains__, reverse=True):
            space, gate = name.split(".")
            module = self.get_submodule(space)
            if name not in computed:
                module.get_parameter(gate).copy_(values[name])
                continue
            if not parametrize.is_parametrized(module, gate):
                raise ValueError(f"{name} is a tensor and no parameter; expected a parameter. Set it where it is made.")
            try:
                setattr(module, gate, values[name])  # torch calls the parametrizations' right_inverse
            except (NotImplementedError, RuntimeError, ValueError) as error:
                raise ValueError(
                    f"{name} cannot be set through its parametrization ({error}); expected one with a right_inverse. Call "
                    "torch.nn.utils.parametrize.remove_parametrizations first."
                ) from error


def uncalled_hook(cells: nn.Module) -> str:
    """A hook on the list of directions, on one of them or on W, R, p, b of one, in words; empty if there is none."""
    hook = _hook(cells)
    if hook:
        return f"cells has a hook, {hook}"
    for direction, parameters in cells._modules.items():  # asked in every call of a layer, so without named_modules
        for space, module in (("", parameters), *parameters._modules.items()):  # type: ignore[union-attr]  # none is None
            if hook := _hook(module):
                return f"cells.{direction}{'.' if space else ''}{space} has a hook, {hook}"
    return ""


def _hook(module: Any) -> str:
    own = module.__dict__
    found = own["_forward_pre_hooks"] or own["_forward_hooks"] or own["_backward_hooks"] or own["_backward_pre_hooks"]
    if not found:
        return ""
    hook = next(iter(found.values()))
    return str(getattr(hook, "__name__", type(hook).__name__))


class Members(nn.Module):
    """A layer of members with sizes of their own, ``hidden_sizes``.

    What follows from the sizes is made of them and of nothing that is stored, whichever way the layer comes to a device. The
    ``state_dict`` of a population has the sizes, and one of other sizes is refused: shapes tell the widest member alone.
    """

    hidden_sizes: tuple[int, ...]
    population: bool

    def inside(self, device: torch.device) -> Tensor | None:
        """[P, N] on a device, true within a member's own size; None where all are of one size."""
        kept: Tensor | None = self.__dict__.get("_inside")
        if kept is not None and kept.device == device:
            return kept
        return self._made(device)

    def _made(self, device: torch.device) -> Tensor | None:
        width = max(self.hidden_sizes)
        if min(self.hidden_sizes) == width:
            return None
        # an ordinary tensor of the CPU whatever mode is on and whatever device is the default: on "meta" no number is read
        with torch.inference_mode(False):
            sizes = torch.tensor(self.hidden_sizes, device="cpu")
            return (torch.arange(width, device="cpu").unsqueeze(0) < sizes.unsqueeze(1)).to(device)

    def _keep(self) -> None:
        """Make the mask anew where the parameters are now."""
        first = next(self.parameters(), None)
        self.__dict__["_inside"] = None if first is None else self._made(first.device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch has no types here
        self._keep()
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]  # torch has no types here
        self._buffers.pop("inside", None)  # in a layer pickled when the mask was stored
        self._non_persistent_buffers_set.discard("inside")
        self._keep()

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.population:
            destination[prefix + SIZES] = torch.tensor(self.hidden_sizes, device="cpu")

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *others: Any) -> None:
        stored = state_dict.pop(prefix + SIZES, None)  # older files have none
        if stored is not None and not stored.is_meta:
            sizes, own = stored.tolist(), list(self.hidden_sizes)
            if sizes != own:
                shown = own if self.population else own[0]
                raise RuntimeError(
                    f"{type(self).__name__}: {prefix}{SIZES} of the state_dict is {sizes}; expected {shown}, the layer's. "
                    f"Make the layer with hidden_size={sizes}."
                )
        super()._load_from_state_dict(state_dict, prefix, *others)
