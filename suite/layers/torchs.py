"""Which cell a recurrent layer of torch is, and where its parameters lie: it follows from the limits that variants declare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lstm_odyssey.cell import Cell
from lstm_odyssey.layers.parameters import CellParameters
from lstm_odyssey.layers.rnn import RNN
from lstm_odyssey.plugins import registry
from lstm_odyssey.variants.declare import Limit

TORCHS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
"""What torch calls the parameters of a first layer."""


def gathered(cell: Cell, limit: Limit, own: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The cell's parameters out of a torch layer's, and so that one may differentiate by these.

    Args:
        cell: the cell that the layer computes, without biases if the layer has none.
        limit: under which it is torch's.
        own: the cell's parameters, of which only names and shapes matter.
        theirs: torch's by their names in a first layer, ``weight_ih_l0``. Of its two biases some entries only add to the
            other's.
    """
    found = mapped(cell, limit, own)
    first = next(iter(theirs.values()))
    flat = first.new_zeros(1 + sum(value.numel() for value in own.values()))
    for name, (index, _) in found.items():
        if name in theirs:
            flat = flat.index_add(0, index.to(first.device), theirs[name].flatten())
    if "bias_hh_l0" in theirs:
        second, index = theirs["bias_hh_l0"].flatten(), found["bias_ih_l0"][0]
        placed = found["bias_hh_l0"][0] if "bias_hh_l0" in found else torch.zeros_like(index)
        adds = (placed == 0).nonzero().flatten()  # asked on the CPU: on "meta" no number is read
        flat = flat.index_add(0, index[adds].to(first.device), second.index_select(0, adds.to(first.device)))
    parts = flat[1:].split([value.numel() for value in own.values()])
    return {name: part.view(own[name].shape) for name, part in zip(own, parts, strict=True)}


def cell_of(module: Any, kind: type | None = None) -> tuple[Cell, Limit]:
    """The cell that a layer of torch computes, and the limit under which it is that.

    Args:
        module: the layer.
        kind: torch's class, where the layer's own is made of it.

    Raises:
        ValueError: there is no such cell.
    """
    own = kind or type(module)
    name = f"torch.nn.{own.__name__}"
    if isinstance(module, nn.RNNBase) and own.__module__.startswith("torch.nn."):
        if getattr(module, "proj_size", 0):
            raise ValueError(f"{name} has proj_size={module.proj_size}; expected 0. There is no such cell.")
        if getattr(module, "nonlinearity", "tanh") != "tanh":
            raise ValueError(
                f"{name} has nonlinearity='{module.nonlinearity}'; expected 'tanh'. Write "
                "the cell; docs/plugins.md shows how."
            )
        for cell in registry.own_variants():
            for limit in cell.limits:
                if limit.of == name and callable(limit.parameters) and _covers(cell, limit.parameters):
                    return cell, limit
    got, made = (f"the class {module.__name__}", ", made") if isinstance(module, type) else (type(module).__name__, "")
    raise ValueError(f"a layer of torch: got {got}; expected torch.nn.LSTM, torch.nn.GRU or torch.nn.RNN{made}.")


def _covers(cell: Cell, to_torch: Callable[[Any], Any]) -> bool:
    """Whether each of a cell's parameters has a place of its own in torch's layer."""
    index = _index({name: torch.empty(cell.shape(name, 2, 3)) for name in cell.parameters})
    found = torch.cat([_stacked(value).flatten() for value in to_torch(index).values()])
    found = found[found != 0]
    return len(found) == len(found.unique()) == sum(value.numel() for value in index.values())


def _index(own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every number of some parameters named by a number of its own, from 1 on."""
    found, start = {}, 1
    for name, value in own.items():
        found[name] = torch.arange(start, start + value.numel(), dtype=torch.float64, device="cpu").view(value.shape)
        start += value.numel()
    return found


def _stacked(value: Any) -> Tensor:
    return torch.cat(list(value)) if isinstance(value, (list, tuple)) else value


def mapped(cell: Cell, limit: Limit, own: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, torch.Size]]:
    """By torch's name, which number of ours stands at each place, 0 for none; and the shape."""
    assert callable(limit.parameters)
    lines = next(iter(own.values())).shape[0]
    gone = [name for name in registry.as_cell(cell.variant).parameters if name not in own]
    given = {**_index(own), **{name: torch.zeros(lines, dtype=torch.float64, device="cpu") for name in gone}}
    found = {name: _stacked(value) for name, value in limit.parameters(given).items()}
    return {name: (value.flatten().long(), value.shape) for name, value in found.items()}


def spaces_of(cell: Cell, limit: Limit, own: Mapping[str, Tensor]) -> dict[str, set[str]]:
    """By torch's name in a first layer, the spaces of ours that its numbers are part of; ``bias_hh_l0`` adds to the other's."""
    found: dict[str, set[str]] = {name: set() for name in TORCHS}
    numbers = _index(own)
    for name, (index, _) in mapped(cell, limit, own).items():
        found[name] |= {
            each.partition(".")[0] for each, value in numbers.items() if torch.isin(value.long(), index).any()
        }
    found["bias_hh_l0"] |= found["bias_ih_l0"]
    return found


def places(layer: RNN) -> list[tuple[CellParameters, str, str]]:
    """Each direction's parameters, where they lie in a ``state_dict``, and torch's suffix of theirs."""
    both, found = 1 + layer.bidirectional, []
    for place, direction in enumerate(layer.directions()):
        number, turned = divmod(place, both)
        above = f"layers.{number}." if layer.num_layers > 1 else ""
        found.append((direction, f"{above}cells.{turned}.", f"_l{number}" + ("_reverse" if turned else "")))
    return found


def take(layer: RNN, limit: Limit, module: nn.RNNBase) -> None:
    """Write the weights of a layer of torch into ours.

    Raises:
        ValueError: a space of ours is computed from others.
    """
    with torch.no_grad():
        for direction, _, suffix in places(layer):
            own = direction.tensors()
            direction.write(gathered(layer.cell, limit, own, named(module, suffix)))


def named(module: nn.RNNBase, suffix: str) -> dict[str, Any]:
    """The parameters of one direction of a layer of torch by their names in a first layer."""
    found = {name: getattr(module, name.replace("_l0", suffix), None) for name in TORCHS}
    return {name: value for name, value in found.items() if value is not None}
