"""torch's own recurrent layers, computed by ours: the same call, the same results to rounding, and the way back.

Which cell a layer of torch is, and where its parameters lie, follows from the limits that variants declare.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lstm_odyssey.cell import Cell
from lstm_odyssey.layers.rnn import RNN
from lstm_odyssey.plugins import registry
from lstm_odyssey.variants.declare import Limit

OPTIONS = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")

TORCHS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
"""What torch calls the parameters of a first layer."""


class OfTorch(nn.Module):
    """A recurrent layer with torch's call and results, made by ``lo.from_torch``.

    Args:
        layer: ours.
        kind: torch's class.
        limit: under which the cell is torch's.

    ``layer`` is ours, to be used by itself or trained; ``to_torch()`` gives torch's with the weights as they are then.
    """

    def __init__(self, layer: RNN, kind: type[nn.RNNBase], limit: Limit) -> None:
        super().__init__()
        self.layer, self.kind, self.limit = layer, kind, limit
        for name in OPTIONS:
            setattr(self, name, getattr(layer, name))

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:  # noqa: A002 - torch's name
        """As torch's layer: output and final states, ``(h, c)`` of an LSTM and ``h`` of the others."""
        layer, names = self.layer, list(self.limit.states or ())
        layers, directions = layer.num_layers, 1 + layer.bidirectional
        state = None
        if hx is not None:
            values = self._states(hx, len(names), layers * directions)
            shape = (layers, directions) if layers > 1 else (directions,)
            state = {name: value.unflatten(0, shape) for name, value in zip(names, values, strict=True)}
        y, final = layer(input, state)
        last = [final[name].flatten(0, 1) if layers > 1 else final[name] for name in names]
        return y, tuple(last) if len(names) > 1 else last[0]

    def _states(self, hx: Any, count: int, lines: int) -> tuple[Tensor, ...]:
        """The tensors of ``hx``, each of ``lines`` times N numbers a sequence; the layer itself asks for the batch."""
        kind, told = self.kind.__name__, "(h, c)" if count > 1 else "a tensor h"
        given = tuple(hx) if count > 1 and isinstance(hx, tuple | list) else (hx,)
        if len(given) != count or not all(isinstance(value, Tensor) for value in given):
            got = f"{type(hx).__name__} of {len(hx)}" if isinstance(hx, tuple | list) else type(hx).__name__
            raise TypeError(f"{kind}: hx is {got}; expected {told}, as torch.nn.{kind} takes it.")
        for name, value in zip("hc", given, strict=False):
            if value.dim() not in (2, 3) or value.shape[0] != lines or value.shape[-1] != self.hidden_size:
                batch = "B, " if value.dim() != 2 else ""
                raise ValueError(
                    f"{kind}: {name} of hx has the shape {list(value.shape)}; expected [{lines}, {batch}{self.hidden_size}]: "
                    "layers times directions, the batch, N."
                )
        return given

    def flatten_parameters(self) -> None:
        """Nothing: our parameters lie together. torch's layers have it, and training scripts call it."""

    def to_torch(self) -> nn.RNNBase:
        """torch's layer with these weights, on their device; its second bias is 0 where it only adds to the first."""
        first = next(self.layer.parameters())
        given = {name: getattr(self.layer, name) for name in OPTIONS}
        module = self.kind(**given, device=first.device, dtype=first.dtype)
        with torch.no_grad():
            for value in module.parameters():
                value.zero_()
            for number, direction, suffix in _places(self.layer):
                own = _parameters(self.layer, number, direction)
                for name, (index, shape) in _map(self.layer.cell, self.limit, own).items():
                    flat = torch.cat([torch.zeros(1).to(first), *(value.flatten() for value in own.values())])
                    target = getattr(module, name.replace("_l0", suffix), None)
                    if target is not None:
                        target.copy_(flat[index.to(first.device)].view(shape))
        return module.train(self.training)


def from_torch(module: nn.RNNBase, backend: str = "auto") -> OfTorch:
    """A layer of ours with the weights of a torch layer, its call and its results.

    Args:
        module: a ``torch.nn.LSTM``, ``GRU`` or ``RNN`` with tanh, trained or not, of any number of layers.
        backend: as in ``lo.RNN``.

    Raises:
        ValueError: it is none of these, or has a projection.
        TypeError, ValueError: when called, for an ``hx`` that torch's layer would not take.

    Example:
        >>> import torch, lstm_odyssey as lo
        >>> theirs = torch.nn.LSTM(39, 100, num_layers=2, batch_first=True)
        >>> ours = lo.from_torch(theirs)
        >>> x = torch.randn(8, 50, 39)
        >>> torch.allclose(ours(x)[0], theirs(x)[0], atol=1e-5)
        True
    """
    cell, limit = cell_of(module)
    first = next(module.parameters())
    options = {name: getattr(module, name) for name in OPTIONS}
    if options["num_layers"] == 1:
        options["dropout"] = 0.0  # torch allows one, which does nothing
    layer = RNN(cell, **options, backend=backend, device=first.device, dtype=first.dtype)
    with torch.no_grad():
        for number, direction, suffix in _places(layer):
            own = _parameters(layer, number, direction)
            found = {name: getattr(module, name.replace("_l0", suffix), None) for name in TORCHS}
            theirs = {name: value for name, value in found.items() if value is not None}
            for name, value in gathered(layer.cell, limit, own, theirs).items():
                own[name].copy_(value)
    wanted = {value.requires_grad for value in module.parameters()}
    if len(wanted) > 1:
        raise ValueError(
            "from_torch: some parameters need gradients and others do not; expected all or none, as one of ours holds those of "
            "several gates. Unfreeze them first."
        )
    layer.requires_grad_(wanted.pop())
    return OfTorch(layer, type(module), limit).train(module.training)


def gathered(cell: Cell, limit: Limit, own: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The cell's parameters out of a torch layer's, and so that one may differentiate by these.

    Args:
        cell: the cell that the layer computes, without biases if the layer has none.
        limit: under which it is torch's.
        own: the cell's parameters, of which only names and shapes matter.
        theirs: torch's by their names in a first layer, ``weight_ih_l0``. Of its two biases some entries only add to the
            other's.
    """
    found = _map(cell, limit, own)
    first = next(iter(theirs.values()))
    flat = first.new_zeros(1 + sum(value.numel() for value in own.values()))
    for name, (index, _) in found.items():
        if name in theirs:
            flat = flat.index_add(0, index.to(first.device), theirs[name].flatten())
    if "bias_hh_l0" in theirs:
        second, index = theirs["bias_hh_l0"].flatten(), found["bias_ih_l0"][0].to(first.device)
        placed = found["bias_hh_l0"][0].to(first.device) if "bias_hh_l0" in found else torch.zeros_like(index)
        flat = flat.index_add(0, index[placed == 0], second[placed == 0])
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
        found[name] = torch.arange(start, start + value.numel(), dtype=torch.float64).view(value.shape)
        start += value.numel()
    return found


def _stacked(value: Any) -> Tensor:
    return torch.cat(list(value)) if isinstance(value, (list, tuple)) else value


def _map(cell: Cell, limit: Limit, own: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, torch.Size]]:
    """By torch's name, which number of ours stands at each place, 0 for none; and the shape."""
    assert callable(limit.parameters)
    lines = next(iter(own.values())).shape[0]
    gone = [name for name in registry.as_cell(cell.variant).parameters if name not in own]
    given = {**_index(own), **{name: torch.zeros(lines, dtype=torch.float64) for name in gone}}
    found = {name: _stacked(value) for name, value in limit.parameters(given).items()}
    return {name: (value.flatten().long(), value.shape) for name, value in found.items()}


def _places(layer: RNN) -> list[tuple[int, int, str]]:
    """Layer, direction and torch's suffix of each set of parameters."""
    return [
        (number, direction, f"_l{number}" + ("_reverse" if direction else ""))
        for number in range(layer.num_layers)
        for direction in range(1 + layer.bidirectional)
    ]


def _parameters(layer: RNN, number: int, direction: int) -> dict[str, Tensor]:
    """Views of one direction's parameters by name."""
    one = layer.directions()[number * (1 + layer.bidirectional) + direction]
    return one.tensors()
