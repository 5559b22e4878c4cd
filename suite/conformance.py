"""The tools of the conformance kit: random problems, a layer's or the oracle's answers, and their comparison.

An *answer* is a flat dict of everything a cell computes and every derivative of it: ``"y"``, ``"final c"``,
``"gradient of x"``, ``"gradient of initial c"``, ``"gradient of W.z"``... under random adjoints on every output and on
every final state. Two answers are compared tensor by tensor, in float64. The promises themselves are in
``lstm_odyssey.testing``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

import lstm_odyssey as lo

BOUND = 1e-11  # of max |reference| of each tensor
SIZES = (1, 3, 17, 33)
Answer = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Problem:
    """One cell's inputs in float64: x [T,B,M], states [B,N], parameters, and what stands for the loss's derivatives."""

    x: torch.Tensor
    state: Mapping[str, torch.Tensor]
    parameters: Mapping[str, torch.Tensor]
    adjoint_y: torch.Tensor
    adjoint_state: Mapping[str, torch.Tensor]

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

    def problem(self, cell: Any) -> Problem:
        """The problem itself, the same for the same draw and cell on every machine."""
        generator = torch.Generator().manual_seed(self.seed)
        sizes = {"N": self.N, "M": self.M}
        matrix_scale = 1.0 if self.T <= 4 else 1 / math.sqrt(self.N)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        def initial(state: str) -> torch.Tensor:
            if state not in cell.domains:
                return normal(self.B, self.N)
            low, high = cell.domains[state]
            return low + (high - low) * torch.rand(self.B, self.N, generator=generator, dtype=torch.float64)

        return Problem(
            x=normal(self.T, self.B, self.M),
            state={state: initial(state) for state in cell.states},
            parameters={
                name: normal(*(sizes[axis] for axis in shape)) * (matrix_scale if len(shape) == 2 else 1.0)
                for name, shape in cell.parameters.items()
            },
            adjoint_y=normal(self.T, self.B, self.N),
            adjoint_state={state: normal(self.B, self.N) for state in cell.states},
        )

    def lengths(self) -> torch.Tensor:
        """A valid number of frames for each row: the first is shorter than T, the last (if there are two) is T."""
        generator = torch.Generator().manual_seed(self.seed)
        lengths = torch.randint(1, self.T + 1, (self.B,), generator=generator)
        lengths[-1] = self.T
        lengths[0] = torch.randint(1, self.T, (), generator=generator)
        return lengths


def fresh(values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies one may differentiate by."""
    return {name: value.detach().clone().requires_grad_() for name, value in values.items()}


def make(cell: Any, backend: Any, *parameters: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """A float64 layer with these parameters, one dict a direction.

    ``backend`` is the name of one, or any callable that takes ``lo.RNN``'s arguments and returns such a layer.
    """
    shapes = {axis: size for name, value in parameters[0].items()
              for axis, size in zip(cell.parameters[name], value.shape, strict=True)}  # fmt: skip
    layer = build(cell, backend, shapes.get("M", 1), shapes["N"], bidirectional=len(parameters) == 2)
    load(layer, *parameters)
    return layer


def build(cell: Any, backend: Any, input_size: int, hidden_size: int | list[int], **options: Any) -> torch.nn.Module:
    """A float64 layer as it is made, its parameters not yet touched."""
    if callable(backend):
        return backend(cell, input_size, hidden_size, dtype=torch.float64, **options)
    return lo.RNN(cell, input_size, hidden_size, backend=backend, dtype=torch.float64, **options)


def load(layer: torch.nn.Module, *parameters: Mapping[str, torch.Tensor]) -> None:
    """Put one dict of parameters into each direction, under the promised keys ``cells.D.NAME``."""
    layer.load_state_dict(
        {f"cells.{d}.{name}": value.detach() for d, values in enumerate(parameters) for name, value in values.items()}
    )


def differentiate(total: torch.Tensor, leaves: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The derivative of ``total`` by every leaf; zero where it does not depend on it."""
    gradients = torch.autograd.grad(total, list(leaves.values()), materialize_grads=True)
    return dict(zip(leaves, gradients, strict=True))


def ask_oracle(cell: Any, problem: Problem) -> Answer:
    """The oracle's answer: the cell's own text, example by example, and autograd."""
    leaves = fresh({"x": problem.x, **{f"initial {name}": value for name, value in problem.state.items()}})
    parameters = fresh(problem.parameters)
    states = lo.oracle(cell, leaves["x"], {name: leaves[f"initial {name}"] for name in problem.state}, parameters)
    total = (states[cell.states[0]] * problem.adjoint_y).sum()
    total = total + sum((states[name][-1] * problem.adjoint_state[name]).sum() for name in cell.states)
    gradients = differentiate(total, {**leaves, **parameters})
    return {
        "y": states[cell.states[0]].detach(),
        **{f"final {name}": states[name][-1].detach() for name in cell.states},
        **{f"gradient of {name}": value for name, value in gradients.items()},
    }


def ask(layer: torch.nn.Module, *problems: Problem, lengths: torch.Tensor | None = None) -> list[Answer]:
    """A layer's answers, one a direction; x is the first problem's, and so is its gradient through all directions."""
    x = problems[0].x.detach().clone().requires_grad_()
    state = fresh({name: torch.stack([p.state[name] for p in problems]) for name in problems[0].state})
    y, final = layer(x, state, lengths)
    adjoint_y = torch.cat([p.adjoint_y for p in problems], -1)
    if y.shape != adjoint_y.shape or {name: value.shape for name, value in final.items()} != {
        name: value.shape for name, value in state.items()
    }:
        raise AssertionError(
            f"the layer returned y {tuple(y.shape)} and {({name: tuple(value.shape) for name, value in final.items()})}; "
            f"expected y {tuple(adjoint_y.shape)} and {({name: tuple(value.shape) for name, value in state.items()})}"
        )
    total = (y * adjoint_y).sum()
    for name, value in final.items():
        total = total + (value * torch.stack([p.adjoint_state[name] for p in problems])).sum()
    parameters = dict(layer.named_parameters())
    by = differentiate(total, {"x": x, **{f"initial {name}": value for name, value in state.items()}, **parameters})
    return [
        {
            "y": y.detach().chunk(len(problems), -1)[d],
            **{f"final {name}": value.detach()[d] for name, value in final.items()},
            "gradient of x": by["x"],
            **{f"gradient of initial {name}": by[f"initial {name}"][d] for name in state},
            **{f"gradient of {name.removeprefix(f'cells.{d}.')}": by[name]
               for name in parameters if name.startswith(f"cells.{d}.")},
        }
        for d in range(len(problems))
    ]  # fmt: skip


def compare(answer: Answer, reference: Answer, about: str, bound: float = BOUND, only: Iterable[str] = ()) -> None:
    """Raise unless every tensor of ``reference`` (or those of ``only``) is in ``answer``, to ``bound`` of its maximum."""
    for name in only or reference:
        got, expected = answer[name], reference[name]
        if got.shape != expected.shape:
            raise AssertionError(f"{about}: {name} has shape {tuple(got.shape)}, expected {tuple(expected.shape)}")
        largest = expected.abs().max().item()
        error = (got - expected).abs().max().item()
        if not math.isfinite(largest) or not error <= bound * largest:  # a NaN anywhere is an error
            raise AssertionError(
                f"{about}: {name} is off by {error:.3g}; {bound * largest:.3g} is allowed "
                f"({bound:.0e} of max |reference| = {largest:.3g})"
            )


def join(parts: Sequence[Answer], T: int) -> Answer:
    """The answer for a batch from those for its rows: rows side by side, zero after their end, parameters summed."""

    def along_time(tensor: torch.Tensor) -> torch.Tensor:
        return torch.cat([tensor, tensor.new_zeros(T - len(tensor), *tensor.shape[1:])])

    def joined(name: str) -> torch.Tensor:
        if name in ("y", "gradient of x"):
            return torch.cat([along_time(part[name]) for part in parts], dim=1)
        if name.startswith(("final ", "gradient of initial ")):
            return torch.cat([part[name] for part in parts])
        return torch.stack([part[name] for part in parts]).sum(0)

    return {name: joined(name) for name in parts[0]}


def flip(tensor: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """[T,B,...] with the valid frames of every row in reverse order, what follows them left where it is."""
    flipped = tensor.clone()
    for row, length in enumerate(lengths.tolist()):
        flipped[:length, row] = tensor[:length, row].flip(0)
    return flipped


def describe(cell: Any, backend: Any, draw: Draw | None, what: str) -> str:
    """The beginning of every message: which cell, on which backend, what was promised, at which draw."""
    shown = backend if isinstance(backend, str) else getattr(backend, "__name__", repr(backend))
    return f"{cell.name} on {shown}, {what}" + ("" if draw is None else f", {draw}")


Check = Callable[..., None]
