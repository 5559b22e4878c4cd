"""Recurrent layers one on another, each on the outputs of the one below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from lstm_odyssey.layers.arguments import State
from lstm_odyssey.layers.parameters import CellParameters
from lstm_odyssey.layers.rnn import RNN


class Stacked(RNN):
    """``lo.RNN`` with several layers, which are ``layers.L``; see there."""

    def _build(self, sizes: list[int], factory: dict[str, Any]) -> None:
        self.layers = nn.ModuleList(
            RNN(
                self.cell, self.input_size if layer == 0 else (1 + self.bidirectional) * sizes[0], sizes[0],
                self.bidirectional, self.backend, self.initial_std, **factory,
            )
            for layer in range(self.num_layers)
        )  # fmt: skip

    def _each(self) -> list[RNN]:
        return list(self.layers)  # type: ignore[arg-type]  # made by _build

    def reset_parameters(self) -> None:
        """Draw the parameters of every layer anew."""
        for layer in self._each():
            layer.reset_parameters()

    def weight(self, name: str, direction: int = 0, layer: int = 0) -> Tensor:
        """One gate's parameter in a layer; see ``RNN.weight``."""
        if layer not in range(self.num_layers):
            raise self._fail(f"weight: layer is {layer!r}; expected one of {list(range(self.num_layers))}.")
        return self._each()[layer].weight(name, direction)

    def count(self) -> int:
        """Number of parameters of all layers."""
        return sum(cast(int, layer.count()) for layer in self._each())

    def directions(self) -> list[CellParameters]:
        """The parameters of each direction, layer by layer."""
        return [direction for layer in self._each() for direction in layer.directions()]

    def _plain(self, x: Tensor, state: Mapping[str, Tensor] | None, lengths: Any) -> tuple[Tensor, State]:
        if state is not None:
            for name, value in state.items():
                if isinstance(value, Tensor) and len(value) != self.num_layers:
                    shape = [self.num_layers, 1 + self.bidirectional, "B", self.hidden_size]
                    raise self._fail(f"state '{name}' has shape {list(value.shape)}; expected {shape}.")
        finals: list[State] = []
        for number, layer in enumerate(self._each()):
            if number and self.dropout:
                x = dropout(x, self.dropout, self.training)
            layer.backend = self.backend
            own = None if state is None else {name: value[number] for name, value in state.items()}
            x, final = layer(x, own, lengths)
            finals.append(final)
        return x, {name: torch.stack([final[name] for final in finals]) for name in self.cell.states}
