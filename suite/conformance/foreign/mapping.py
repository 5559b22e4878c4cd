"""Where a cell's parameters lie in somebody else's layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lstm_odyssey.backends.spaces import by_name
from lstm_odyssey.cell import Cell
from lstm_odyssey.cell.symbols import CONSTANTS
from lstm_odyssey.layers.of_torch import OfTorch
from lstm_odyssey.layers.rnn import RNN
from lstm_odyssey.layers.torchs import cell_of, gathered
from lstm_odyssey.plugins.registry import as_cell
from lstm_odyssey.tasks.kinds import refuse_kind
from lstm_odyssey.tasks.nearest import nearest

Values = Mapping[str, Tensor]


class LayerError(ValueError):
    """A mapping, a call or a layer that cannot be checked: the message says subject, got, expected, what to do."""


def known(layer: Any, cell: Any) -> tuple[Cell, Callable[[Values], Values]]:
    """The cell of a layer of ours or of torch, and its mapping.

    Raises:
        LayerError: it is neither, or it is no single layer of one cell, or of another cell than the one that is given.
    """
    ours = layer.layer if isinstance(layer, OfTorch) else layer
    if not isinstance(ours, RNN | nn.RNNBase):
        raise LayerError(
            f"check_layer: no mapping for {type(layer).__name__}; expected one, as only torch's recurrent layers and ours need "
            "none. Pass mapping={'W.i W.f': 'weight_ih', ...}."
        )
    members = list(ours.hidden_sizes) if isinstance(ours, RNN) and ours.population else None
    if ours.num_layers > 1 or ours.bidirectional or members:
        several = f", hidden_size={members}" if members else ""
        raise LayerError(
            f"check_layer: num_layers={ours.num_layers}, bidirectional={ours.bidirectional}{several}; expected one layer of "
            "one direction. Check such a layer: the others are built of it."
        )
    found, mapping = _of_ours(ours, layer) if isinstance(ours, RNN) else _of_torch(ours)
    whole = as_cell(found.variant)
    if cell is not None and as_cell(cell).signature not in (found.signature, whole.signature):
        raise LayerError(
            f"check_layer: {type(layer).__name__} as '{as_cell(cell).name}' without a mapping; expected '{found.name}', "
            "or a mapping beside the cell."
        )
    return found, mapping


def _of_ours(ours: RNN, layer: Any) -> tuple[Cell, Callable[[Values], Values]]:
    """The cell of a layer of ours, whose parameters and constants are by space; within ``layer`` it may have another name."""
    first, packed = ours.directions()[0], ours.cell.graph.packed
    prefix = next(name for name, module in layer.named_modules() if module is first)
    plain = {**dict(first.named_parameters(recurse=False)), **dict(first.named_buffers(recurse=False))}
    if lacking := [space for space in packed if space not in plain]:
        raise LayerError(
            f"check_layer: {lacking[0]} of {type(layer).__name__} is computed from other parameters; expected parameters. "
            "Pass a mapping, or call torch.nn.utils.parametrize.remove_parametrizations first."
        )

    def mapping(values: Values) -> Values:
        found = by_name(packed, {space: values[f"{prefix}.{space}"] for space in packed})
        return {name: value[0] if name.startswith(f"{CONSTANTS}.") else value for name, value in found.items()}

    return ours.cell, mapping


def _of_torch(layer: nn.RNNBase) -> tuple[Cell, Callable[[Values], Values]]:
    """The cell of a layer of torch and its mapping, as the limits that variants declare have it."""
    kind = next((each for each in type(layer).__mro__ if each.__module__.startswith("torch.nn.")), None)
    try:
        whole, limit = cell_of(layer, kind)
    except ValueError as error:
        raise LayerError(f"check_layer: {error}") from error
    found = whole if layer.bias else whole.without_bias()
    sizes = layer.input_size, layer.hidden_size
    own = {name: torch.empty(found.shape(name, *sizes)) for name in found.parameters}
    return found, lambda values: gathered(found, limit, own, values)


class Rows:
    """``{"W.i W.f": "weight_ih", "b.i": ["bias_ih", "bias_hh"], "R.i": ("kernel", torch.t), "p.i": 0}`` as a function."""

    def __init__(self, cell: Cell, rows: Mapping[str, Any], layer: Any) -> None:
        refuse_kind("check_layer", "a mapping", LayerError, mapping=rows)
        self.rows = {tuple(key.split()): self._sources(source) for key, source in dict(rows).items()}
        own = layer if isinstance(layer, dict) else {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
        known = [*cell.parameters, *(f"{CONSTANTS}.{name}" for name in cell.constants)]
        for key, sources in self.rows.items():
            for name in key:
                if name not in known:
                    raise LayerError(
                        f"check_layer: the mapping has '{name}'; expected some of {nearest(name, known, 'and')}."
                    )
            for source, _ in sources:
                if isinstance(source, str) and source not in own:
                    raise LayerError(
                        f"check_layer: the mapping reads '{source}'; the layer has {nearest(source, list(own), 'and')}."
                    )

    @staticmethod
    def _sources(given: Any) -> list[tuple[Any, Callable[[Tensor], Tensor]]]:
        listed = given if isinstance(given, list) else [given]
        return [each if isinstance(each, tuple) else (each, lambda value: value) for each in listed]

    def __call__(self, values: Values) -> dict[str, Tensor]:
        """The cell's parameters, and the constants that are mapped."""
        found: dict[str, Tensor] = {}
        for names, sources in self.rows.items():
            try:
                whole: Any = sum(
                    turn(values[name]) if isinstance(name, str) else torch.tensor(float(name)) for name, turn in sources
                )
            except (RuntimeError, IndexError, TypeError, ValueError) as error:
                given = [
                    f"'{one}' {tuple(values[one].shape)}" if isinstance(one, str) else repr(one) for one, _ in sources
                ]
                raise LayerError(
                    f"check_layer: {' '.join(names)} is mapped to {', '.join(given)}: got {type(error).__name__} ({error}); "
                    "expected parameters that can be turned and summed so. Correct the mapping."
                ) from error
            if whole.ndim and len(whole) % len(names):
                raise LayerError(
                    f"check_layer: {' '.join(names)} lie in {len(whole)} rows; expected a multiple of {len(names)}."
                )
            parts: Sequence[Tensor] = whole.chunk(len(names)) if whole.ndim else [whole] * len(names)
            found.update(zip(names, parts, strict=True))
        return found
