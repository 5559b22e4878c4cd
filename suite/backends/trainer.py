"""What a backend's trainer is given: a network's weights and sizes, and batches. The folder ``training`` has both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from torch import Tensor


class Batch(Protocol):
    """Sequences with their targets; see ``training.batches.Batch``."""

    @property
    def x(self) -> Tensor: ...
    @property
    def target(self) -> Any: ...
    @property
    def lengths(self) -> Tensor: ...
    @property
    def noise(self) -> Tensor | None: ...
    @property
    def padded(self) -> bool: ...


class Network(Protocol):
    """A recurrent layer and an output layer, all weights in one buffer; see ``training.network.Network``."""

    rnn: Any
    sizes: tuple[int, ...]
    directions: int
    n_outputs: int
    weights: Tensor
    gradients: Tensor

    def slices(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Every parameter by name, with the slice of the buffer of gradients that is its own."""
