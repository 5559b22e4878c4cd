"""What a recurrent layer is made of: the parameters of a direction, and the sizes of its members, which decide what is 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, Self

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lstm_odyssey.backends.spaces import axis, by_name, pack
from lstm_odyssey.cell import Cell
from lstm_odyssey.cell.graph import by_space
from lstm_odyssey.cell.symbols import CONSTANTS
from lstm_odyssey.cell.symbols import SPACES as SHAPES
from lstm_odyssey.layers.arguments import check_form, checked_dropout, checked_flag, same_option
from lstm_odyssey.layers.masking import masked
from lstm_odyssey.layers.starts import LONGEST, begun, of_torch, packed_constants, read
from lstm_odyssey.variants.declare import Start

SIZES = "hidden_sizes"
"""The key of a population's sizes in its ``state_dict``; [P] whole numbers."""

OPTIONS = ("input_size", "num_layers", "bidirectional", "bias", "dropout", "batch_first")
"""What a layer is made with; the last two may be set later."""

GATES = "gates"
"""In a ``state_dict``'s metadata, the names of a space's parameters in the order in which they lie."""


class CellParameters(nn.Module):
    """The parameters of one direction: W [G·N, M], R [G·N, N], p and b [G·N], or with P before that; k, of constants, a buffer.

    Each holds those of all its gates one under another, in the text's order; see ``backends.spaces``. Called, it gives them
    by space: so what torch hangs on a parameter by hooks, as ``spectral_norm`` or ``prune``, is done before each use.
    """

    def __init__(self, cell: Cell, input_size: int, sizes: Sequence[int], population: bool,
                 constants: Mapping[str, Sequence[float]], **factory: Any) -> None:  # fmt: skip
        super().__init__()
        self.packed = cell.graph.packed
        for space, names in self.packed.items():
            lines, *columns = cell.shape(names[0], input_size, max(sizes))
            shape = ([len(sizes)] if population else []) + [len(names) * lines, *columns]
            if space == CONSTANTS:
                values = packed_constants(cell, constants, max(sizes), population)
                self.register_buffer(space, torch.empty(shape, **factory).copy_(values))
            else:
                self.register_parameter(space, nn.Parameter(torch.empty(shape, **factory)))

    def forward(self) -> dict[str, Tensor]:
        """The spaces, or what is computed in the place of one; hooks run, as of any module that is called."""
        return self.spaces()

    def spaces(self) -> dict[str, Tensor]:
        """The same without hooks: to read what there is."""
        own, found = self._parameters, {}
        for space in self.packed:  # reading _parameters spares the slow look-up of a module's attribute
            value = own.get(space)
            found[space] = getattr(self, space) if value is None else value
        return found

    def tensors(self) -> dict[str, Tensor]:
        """Every parameter by name, as a view, or of what is computed in its place."""
        return by_name(self.packed, self.spaces())

    def draw(
        self,
        std: float,
        inside: Tensor | None,
        start: Mapping[str, float | Start],
        sizes: Sequence[int],
        longest: int,
    ) -> None:
        """Draw all parameters anew from Normal(0, std), 0 where ``inside`` [P, N] is false.

        Those that ``start`` names begin as it says, each member's at its own N.

        Raises:
            ValueError: see ``write``.
        """
        drawn, each = {}, [of_torch() for _ in sizes]
        for name, value in self.tensors().items():  # gate by gate, so that packing changes no draw
            space = name.partition(".")[0]
            if space == CONSTANTS:
                continue
            if name in start:
                drawn[name] = new = torch.zeros_like(value, memory_format=torch.contiguous_format)
                for N, draw, own in zip(sizes, each, new if new.ndim > len(SHAPES[space]) else [new], strict=True):
                    own = own[:N, :N] if space == "R" else own[:N]
                    own.copy_(begun(start[name], name, own.shape, longest, draw))
                continue
            new = torch.empty_like(value, memory_format=torch.contiguous_format).normal_(0.0, std)
            drawn[name] = new if inside is None else masked(space, new, inside)
        self.write(drawn)

    def write(self, values: Mapping[str, Tensor]) -> None:
        """Set all parameters, given by name; where a space is parametrized, what it is computed from.

        What may fail comes first.

        Raises:
            ValueError: a value is computed from other tensors, and there is no way back to them.
        """
        new = pack({space: names for space, names in self.packed.items() if space != CONSTANTS}, values)
        for space in sorted(new, key=self._parameters.__contains__):
            if space in self._parameters:
                self.get_parameter(space).copy_(new[space])
                continue
            if not parametrize.is_parametrized(self, space):
                raise ValueError(
                    f"{space} is a tensor and no parameter; expected a parameter. Set it where it is made."
                )
            try:
                setattr(self, space, new[space])  # torch calls the parametrizations' right_inverse
            except (NotImplementedError, RuntimeError, ValueError) as error:
                raise ValueError(
                    f"{space} cannot be set through its parametrization ({error}); expected one with a right_inverse. Call "
                    "torch.nn.utils.parametrize.remove_parametrizations first."
                ) from error

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if (metadata := getattr(destination, "_metadata", None)) is not None:  # torch's own place for what is no tensor
            metadata[prefix[:-1]][GATES] = {space: list(names) for space, names in self.packed.items()}

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        metadata: Any,
        strict: bool,
        missing: list[str],
        unexpected: list[str],
        errors: list[str],
    ) -> None:
        own = {**dict(self.named_parameters(recurse=False)), **dict(self.named_buffers(recurse=False))}
        if CONSTANTS in own and not any(key.startswith(prefix + CONSTANTS) for key in state_dict):
            state_dict[prefix + CONSTANTS] = own[CONSTANTS]  # a dict made by hand says nothing of them: they stay
        for space, names in self.packed.items():
            key, stored = prefix + space, metadata.get(GATES, {}).get(space, names)
            if key in state_dict and sorted(stored) != sorted(names):
                errors.append(
                    f"{key}: the file has {', '.join(stored)}; expected {', '.join(names)}, as the cell has them."
                )
            elif key in state_dict and tuple(stored) != names and state_dict[key].shape[axis(space)] % len(names) == 0:
                # of a text with its lines in another order
                state_dict[key] = pack({space: names}, by_name({space: stored}, {space: state_dict[key]}))[space]
            old = {name: state_dict.pop(prefix + name) for name in names if prefix + name in state_dict}
            if not old or key in state_dict or space not in own:
                unexpected += [prefix + name for name in old]
                continue
            kept = by_name({space: names}, {space: own[space].data})  # an older file has one tensor a gate
            missing += [prefix + name for name in names if name not in old]
            errors += [
                f"size mismatch for {prefix}{name}: the file has {list(value.shape)}, the layer {list(kept[name].shape)}."
                for name, value in old.items() if value.shape != kept[name].shape
            ]  # fmt: skip
            if all(value.shape == kept[name].shape for name, value in old.items()):
                kept |= old
            state_dict[key] = torch.cat([kept[name].to(next(iter(old.values()))) for name in names], axis(space))
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, missing, unexpected, errors)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]  # torch has no types here
        if "packed" in self.__dict__:
            return
        names = self.__dict__.pop("names")  # pickled when each gate's parameter was one of its own
        self.__dict__.pop("places", None)
        self.packed = by_space(names)
        own = {name: self.get_parameter(name) for name in names}
        for space, value in pack(self.packed, {name: one.data for name, one in own.items()}).items():
            wanted = own[self.packed[space][0]].requires_grad
            del self._modules[space]
            self.register_parameter(space, nn.Parameter(value, wanted))


class Members(nn.Module):
    """A layer of members with sizes of their own, ``hidden_sizes``.

    What follows from the sizes is made of them and of nothing that is stored, whichever way the layer comes to a device. The
    ``state_dict`` of a population has the sizes, and one of other sizes is refused: shapes tell the widest member alone.
    """

    hidden_sizes: tuple[int, ...]
    population: bool
    cell: Cell
    input_size: int
    backend: str
    bidirectional: bool
    num_layers: int

    def __setattr__(self, name: str, value: Any) -> None:
        if name in OPTIONS and self.__dict__.get("_modules"):  # of a layer in the making all are looked at together
            if name == "dropout":
                value = checked_dropout(value, self.num_layers, self._fail)
            elif name == "batch_first" and not self.population:
                checked_flag(name, value, self._fail)
            elif not same_option(value, own := getattr(self, name)):
                raise self._fail(f"{name} is set to {value!r}; expected {own!r}, as it is made so. Make a layer anew.")
        super().__setattr__(name, value)

    @property
    def hidden_size(self) -> int | tuple[int, ...]:
        """N, or the N of each member."""
        return self.hidden_sizes if self.population else self.hidden_sizes[0]

    def count(self) -> int | list[int]:
        """Number of parameters; of a population, of each member."""
        both, first = 1 + self.bidirectional, [self.cell.count(self.input_size, size) for size in self.hidden_sizes]
        if self.population:
            return [both * own for own in first]
        size = self.hidden_sizes[0]
        return both * (first[0] + (self.num_layers - 1) * self.cell.count(both * size, size))

    def directions(self) -> list[CellParameters]:
        """The parameters of each direction, layer by layer."""
        raise NotImplementedError

    @property
    def constants(self) -> dict[str, float | list[float]]:
        """The cell's constants as they are; of a population, by name one for each member."""
        tensors = self.directions()[0].tensors()
        return {name: read(tensors[f"{CONSTANTS}.{name}"][..., 0]) for name in self.cell.constants}

    def extra_repr(self) -> str:
        text = f"'{self.cell.name}', {self.input_size}, {self.hidden_size}"
        told = {"bidirectional": False, "num_layers": 1, "dropout": 0.0, "batch_first": False, "bias": True}
        more = [f", {name}={getattr(self, name)}" for name, usual in told.items() if getattr(self, name) != usual]
        return f"{text}{''.join(more)}, backend='{self.backend}'"

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
        made_before = {"num_layers": 1, "dropout": 0.0, "batch_first": False, "bias": True, "longest": LONGEST}
        for name, value in made_before.items():
            self.__dict__.setdefault(name, value)  # in a layer pickled before it could have others
        self._buffers.pop("inside", None)  # in a layer pickled when the mask was stored
        self._non_persistent_buffers_set.discard("inside")
        self._keep()

    def _fits(self, state: Any, *batch: int) -> None:
        lead = (self.num_layers, 1 + self.bidirectional)[self.num_layers == 1 :]
        check_form(state, self.cell.states, (*lead, *batch, self.hidden_sizes[0]), self._fail)

    @property
    def called(self) -> str:
        """How an error begins."""
        return f"RNN '{self.cell.name}'"

    def _fail(self, message: str) -> ValueError:
        return ValueError(f"{self.called}: {message}")

    def __prepare_scriptable__(self) -> NoReturn:
        raise RuntimeError(
            f"{self.called}: torch.jit.script cannot read the layer; expected a model without it. Use torch.compile."
        )

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
