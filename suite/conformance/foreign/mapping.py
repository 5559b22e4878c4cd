"""Where a cell's parameters lie in somebody else's layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lstm_odyssey.cell import Cell
from lstm_odyssey.cell.symbols import CONSTANTS
from lstm_odyssey.layers.torchs import cell_of, gathered
from lstm_odyssey.plugins.registry import as_cell
from lstm_odyssey.tasks.kinds import refuse_kind
from lstm_odyssey.tasks.nearest import nearest

Values = Mapping[str, Tensor]


class LayerError(ValueError):
    """A mapping, a call or a layer that cannot be checked: the message says subject, got, expected, what to do."""


def of_torch(layer: Any, kind: Any, cell: Any) -> tuple[Cell, Callable[[Values], Values]]:
    """The cell of a layer of torch and its mapping, as the limits that variants declare have it."""
    if not isinstance(layer, nn.RNNBase):
        raise LayerError(
            f"check_layer: no mapping for {type(layer).__name__}; expected one, as only torch's recurrent layers need none. "
            "Pass mapping={'W.i W.f': 'weight_ih', ...}."
        )
    if layer.num_layers > 1 or layer.bidirectional:
        raise LayerError(
            f"check_layer: num_layers={layer.num_layers}, bidirectional={layer.bidirectional}; expected one layer of one "
            "direction. Check such a layer: the others are built of it."
        )
    known, limit = cell_of(layer, kind)
    if cell is not None and as_cell(cell).signature != known.signature:
        raise LayerError(
            f"check_layer: {type(layer).__name__} as '{as_cell(cell).name}' without a mapping; expected '{known.name}', "
            "or a mapping beside the cell."
        )
    found = known if layer.bias else known.without_bias()
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
            whole: Any = sum(
                turn(values[name]) if isinstance(name, str) else torch.tensor(float(name)) for name, turn in sources
            )
            if whole.ndim and len(whole) % len(names):
                raise LayerError(
                    f"check_layer: {' '.join(names)} lie in {len(whole)} rows; expected a multiple of {len(names)}."
                )
            parts: Sequence[Tensor] = whole.chunk(len(names)) if whole.ndim else [whole] * len(names)
            found.update(zip(names, parts, strict=True))
        return found
