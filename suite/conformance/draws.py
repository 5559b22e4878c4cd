"""Random problems for the conformance kit: sizes, a seed, and the float64 inputs that follow from them.

Inputs are part of the contract (step 3 of the equality ladder says which); ``lstm_odyssey.conformance.kit`` is the way in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from lstm_odyssey.conformance.placed import record_of
from lstm_odyssey.conformance.ties import NEAR, distance

SIZES = (1, 3, 17, 33)


def flip(tensor: Tensor, lengths: Tensor) -> Tensor:
    """[T,B,...] with the valid frames of every row in reverse order, what follows them left where it is."""
    flipped = tensor.clone()
    for row, length in enumerate(lengths.tolist()):
        flipped[:length, row] = tensor[:length, row].flip(0)
    return flipped


def beyond(T: int, lengths: Tensor) -> Tensor:
    """[T,B,1], true on padding: on the frames behind each row's last."""
    return (torch.arange(T)[:, None] >= lengths)[:, :, None]


@dataclass(frozen=True)
class Problem:
    """One cell's inputs in float64: x [T,B,M], states [B,N], parameters, and what stands for the loss's derivatives.

    ``constants`` are values of the cell's, ``{"k.gamma": 2.0}`` as tensors of no dimension; those left out have their default.
    """

    x: Tensor
    state: Mapping[str, Tensor]
    parameters: Mapping[str, Tensor]
    adjoint_y: Tensor
    adjoint_state: Mapping[str, Tensor]
    constants: Mapping[str, Tensor] = field(default_factory=dict)

    def rows(self, index: Sequence[int]) -> Problem:
        """The same problem for some rows of the batch, in the order of ``index``."""
        rows = list(index)
        return replace(
            self,
            x=self.x[:, rows],
            adjoint_y=self.adjoint_y[:, rows],
            state={name: value[rows] for name, value in self.state.items()},
            adjoint_state={name: value[rows] for name, value in self.adjoint_state.items()},
        )

    def frames(self, stop: int) -> Problem:
        """The same problem for the first ``stop`` frames."""
        return replace(self, x=self.x[:stop], adjoint_y=self.adjoint_y[:stop])

    def to(self, dtype: torch.dtype) -> Problem:
        """The same problem, all of its numbers rounded to another type."""

        def each(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: value.to(dtype) for name, value in values.items()}

        return Problem(
            self.x.to(dtype),
            each(self.state),
            each(self.parameters),
            self.adjoint_y.to(dtype),
            each(self.adjoint_state),
            each(self.constants),
        )

    def jittered(self, generator: torch.Generator) -> Problem:
        """The same problem with the last two bits of every input changed at random."""

        def jitter(value: Tensor) -> Tensor:
            return value * (1 + 2.0**-51 * torch.randn(value.shape, generator=generator, dtype=value.dtype))

        return replace(
            self,
            x=jitter(self.x),
            state={name: jitter(value) for name, value in self.state.items()},
            parameters={name: jitter(value) for name, value in self.parameters.items()},
            constants={name: jitter(value) for name, value in self.constants.items()},
        )

    def alone(self, lengths: Tensor) -> list[Problem]:
        """One problem for each row, as long as the row is."""
        return [self.rows([row]).frames(length) for row, length in enumerate(lengths.tolist())]

    def by_default(self, cell: Any) -> Problem:
        """The same problem from the states a cell begins with where none are given: what it declares, or 0."""
        return replace(
            self,
            state={name: torch.full_like(value, cell.initial.get(name, 0.0)) for name, value in self.state.items()},
        )

    def turned(self, x: Tensor, lengths: Tensor) -> Problem:
        """The same problem for ``x``, in which time runs backwards within each row's length."""
        return replace(self, x=flip(x, lengths), adjoint_y=flip(self.adjoint_y, lengths))


@dataclass(frozen=True)
class Draw:
    """The sizes and the seed of a random problem; printed in every message, so that it can be drawn again.

    Entries of W and R have standard deviation 1 up to T = 4 and 1/√N beyond (longer sequences would amplify rounding),
    everything else 1. Initial states are never zero and keep to the domains a cell declares. T is 2 or more: at
    T = 1 half of all wrong cells look right.
    """

    T: int
    B: int
    M: int
    N: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.T < 2:
            raise ValueError(f"Draw: got T = {self.T}, expected 2 or more; one step cannot tell right from wrong.")

    def problem(self, cell: Any, constants: Mapping[str, float] | None = None) -> Problem:
        """The problem itself, the same for the same draw and cell on every machine; away from the cell's declared ties.

        Args:
            cell: what it is a problem for.
            constants: of the cell, ``{"gamma": 2.0}``; no other number depends on them.

        Raises:
            ValueError: whatever is drawn, the cell meets a tie.
        """
        generator = torch.Generator().manual_seed(self.seed)
        given = {f"k.{name}": torch.tensor(value, dtype=torch.float64) for name, value in (constants or {}).items()}
        for _ in range(20):
            problem = replace(self._drawn(cell, generator), constants=given)
            if distance(cell, problem) > NEAR:
                return problem
        raise ValueError(
            f"{self}: {cell.name} came within {NEAR} of a kink of {', '.join(cell.ties)} in 20 draws of 20; expected its "
            "ties to be rare. Take an op whose tie cannot be kept away from, as maximum(a, a), out of ties."
        )

    def _drawn(self, cell: Any, generator: torch.Generator) -> Problem:
        reads = any("M" in shape for shape in cell.parameters.values())
        sizes = {"N": self.N, "M": self.M if reads else 1}  # of a cell without W, parameters cannot tell a layer M
        matrix_scale = 1.0 if self.T <= 4 else 1 / math.sqrt(self.N)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        def initial(state: str) -> Tensor:
            if state not in cell.domains:
                return normal(self.B, self.N)
            low, high = cell.domains[state]
            return low + (high - low) * torch.rand(self.B, self.N, generator=generator, dtype=torch.float64)

        return Problem(
            x=normal(self.T, self.B, sizes["M"]),
            state={state: initial(state) for state in cell.states},
            parameters={
                name: normal(*(sizes[axis] for axis in shape)) * (matrix_scale if len(shape) == 2 else 1.0)
                for name, shape in cell.parameters.items()
            },
            adjoint_y=normal(self.T, self.B, self.N),
            adjoint_state={state: normal(self.B, self.N) for state in cell.states},
        )

    def lengths(self) -> Tensor:
        """A valid number of frames for each row: the first is shorter than T, the last (if there are two) is T."""
        generator = torch.Generator().manual_seed(self.seed)
        lengths = torch.randint(1, self.T + 1, (self.B,), generator=generator)
        lengths[-1] = self.T
        lengths[0] = torch.randint(1, self.T, (), generator=generator)
        return lengths


FIXED = (Draw(2, 2, 1, 3), Draw(4, 3, 17, 1, seed=1), Draw(4, 2, 3, 17, seed=2), Draw(12, 3, 3, 33, seed=3))
"""What the kit draws by itself."""


def visits(backend: Any, draws: Sequence[Draw] | None = None, usual: Sequence[Draw] = FIXED) -> tuple[Draw, ...]:
    """The draws given; if there are none, the usual ones and one for each N that a backend's record adds to theirs."""
    if draws is not None:
        return tuple(draws)
    found = record_of(backend)
    missing = [] if found is None else [size for size in found.sizes if all(size != draw.N for draw in usual)]
    return (*usual, *(Draw(4, 2, 3, size, seed=size) for size in missing))
