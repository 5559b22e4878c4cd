"""What a backend's trainer is given, networks and batches of the folder ``training``, and what it makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray
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
    """A recurrent layer and an output layer, all weights in one buffer; see ``training.network.Network``.

    An update changes the first ``trained`` numbers of a row of the buffer.
    """

    rnn: Any
    sizes: tuple[int, ...]
    directions: int
    n_outputs: int
    weights: Tensor
    gradients: Tensor
    trained: int

    def slices(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Every parameter by name, with the slice of the buffer of gradients that is its own."""


@dataclass(frozen=True)
class Planned:
    """What of a cell will be computed, for a backend that compiles it ahead.

    Args:
        sizes: N of the networks.
        batches: how many sequences are computed at once, in updates and in scores.
        objective: what is minimised, see ``tasks.objectives``.
        progress: called with how many kernels are compiled and how many there are, from 0 on.
    """

    sizes: tuple[int, ...]
    batches: tuple[int, ...]
    objective: Any
    progress: Callable[[int, int], None] | None = None


@dataclass(frozen=True)
class Load:
    """What the memory that a population takes follows from.

    Args:
        sizes: N of each member.
        inputs, outputs: M, K.
        directions: 1 or 2.
        weights: numbers of a member's, at the width of the widest, output layer included.
        update, scored: T and B of the largest batch that is learnt from, and that is scored.
        shapes: how many shapes of batches there are.
        keeps: whether best weights are kept.
        objective: what is minimised, see ``tasks.objectives``.
        corpus: bytes of the batches that lie on the device, and of their noise.
    """

    sizes: tuple[int, ...]
    inputs: int
    outputs: int
    directions: int
    weights: int
    update: tuple[int, int]
    scored: tuple[int, int]
    shapes: int
    keeps: bool
    objective: Any
    corpus: int = 0


class Step(Protocol):
    """Updates of one network, or of P together, without autograd; weights and velocity are changed in place."""

    @property
    def velocity(self) -> Tensor: ...

    def __call__(self, batch: Batch) -> Tensor | float:
        """Look ahead, run, and update on one batch; returns the loss, summed over its sequences, or each network's [P]."""

    def phases(self, batch: Batch) -> dict[str, Callable[[Any], Any]]:
        """An update in the phases ``forward``, ``backward`` and ``update``, each called with what the one before returned."""

    def compiled(self, batch: Batch) -> Callable[[], None]:
        """The compiled part of an update alone, to be timed by itself."""

    def alone(self, batch: Batch) -> dict[str, Callable[[], None]]:
        """Parts of an update to be timed by themselves: ``recurrent``, the cell's scans, and ``loss``, where it has them."""

    def only(self, running: NDArray[Any]) -> None:
        """The others of the networks [P] have stopped: what is made of them from now on is not looked at."""

    def logits(self, batch: Batch) -> Tensor:
        """The network's outputs [T, P, B, K], without noise or look-ahead; overwritten by the next call of any step."""

    def exact_losses(self, batch: Batch) -> Tensor | None:
        """The loss of each row in float64 [P, B], from the network's logits; None where the objective computes it better."""
