"""Step 4 of the equality ladder: in float32 a fast path is as exact as the eager backend, by the median over many draws.

A single draw has no bound: two orders of one float32 sum differ by factors of 30. That hides a coarse nonlinearity: with an
exponential of degree 5, whose tanh is off by 105 units in the last place, the medians of two cells (vanilla, gru) are 1.9 to 7
times the eager backend's, below the 8 that are allowed. So each nonlinearity is measured alone too, where no sum is in the way.
``lstm_odyssey.conformance.kit`` is the way in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

import lstm_odyssey as lo
from lstm_odyssey.backends import plain
from lstm_odyssey.backends.lowering import lower
from lstm_odyssey.cell import Cell
from lstm_odyssey.cell.adjoint import adjoint
from lstm_odyssey.cell.ops import OPS
from lstm_odyssey.conformance.answers import About, ask, ask_oracle, make, require
from lstm_odyssey.conformance.draws import SIZES, Draw, Problem, visits
from lstm_odyssey.conformance.placed import device_of
from lstm_odyssey.training.threads import one_thread

TIMES_EAGER = 8
"""How many times the eager backend's median error is allowed, and how many units of float32 besides."""

SINGLE = tuple(Draw(2 + k % 11, 1 + k % 3, SIZES[k % 4], SIZES[k // 4 % 4], seed=1000 + k) for k in range(48))
"""The draws: every pair of sizes three times, T from 2 to 12."""

UNITS = 8
"""Units in the last place by which a nonlinearity may be off, and of its derivative, in parts of 1 or of itself, of eps. Seen:
with an exponential of degree 7 3.8 and 2.8, of degree 6 5.8 and 3.2, of degree 5 38 to 106 and 2.7 to 54; torch's own 2.2.

Degree 6 passes since nothing is lost by it: the medians of two whole cells (vanilla, gru) are 0.7 to 1.5 times the eager
backend's, with degree 7 0.8 to 1.4 times. A bound between the two would refuse what is sound."""

ALONE = Draw(64, 125, 1, 17)
"""Frames, rows and units at which a nonlinearity is measured: 8,000 numbers, on full vectors and on what is left of one."""


@one_thread()  # with more, these small products take ten times as long
def check_single_precision(cell: Any, backend: Any = "auto", draws: Sequence[Draw] | None = None) -> None:
    """Step 4: in float32 the median error of every tensor is that of the eager backend, to a factor of 8.

    The error of a draw is max |answer - oracle| / max(1, max |oracle|), the oracle in float64 from the same float32
    numbers.

    Raises:
        ValueError: the backend is eager itself, which is what others are measured by.
    """
    cell = lo.as_cell(cell)
    measure, draws = plain().name, visits(backend, draws, SINGLE)
    if backend == measure:
        raise ValueError(
            f"check_single_precision: got backend '{measure}', which others are measured by; expected another."
        )
    found: dict[str, list[float]] = {}
    allowed: dict[str, list[float]] = {}
    for draw in draws:
        problem = draw.problem(cell).to(torch.float32)
        oracle = ask_oracle(cell, problem.to(torch.float64))
        for table, of in ((found, backend), (allowed, measure)):
            for name, error in _errors(cell, of, problem, oracle).items():
                table.setdefault(name, []).append(error)
    eps = torch.finfo(torch.float32).eps
    for name, errors in found.items():
        values = torch.tensor(errors, dtype=torch.float64)
        eager = torch.tensor(allowed[name], dtype=torch.float64)
        worst = draws[int(values.nan_to_num(torch.inf).argmax())]
        about = About(cell, backend, worst, f"in float32 over {len(draws)} draws, of which this is the worst")
        lost = values.isfinite().logical_not() & eager.isfinite()  # a median would pass over a few
        require(not lost.any(), f"{about}: {name} is not finite in {int(lost.sum())} of the draws")
        bound = TIMES_EAGER * (eager.median().item() + eps)
        require(
            values.median().item() <= bound,
            f"{about}: {name} is off by a median of {values.median().item():.3g}; {bound:.3g} is allowed "
            f"({TIMES_EAGER} x the eager backend's {eager.median().item():.3g} + {TIMES_EAGER} eps)",
        )


def _errors(cell: Any, backend: Any, problem: Problem, oracle: dict[str, Tensor]) -> dict[str, float]:
    (answer,) = ask(make(cell, backend, problem.parameters, dtype=torch.float32), problem)
    return {
        name: (answer[name].double() - expected).abs().max().item() / max(1.0, expected.abs().max().item())
        for name, expected in oracle.items()
    }


@cache
def alone(op: str) -> Cell:
    """A cell that is one op of the input."""
    function = OPS[op].eager

    def one(x: Any, y: Any, *, W: Any) -> Any:
        return function(W.a @ x)

    def two(x: Any, y: Any, *, W: Any) -> Any:
        return function(W.a @ x, W.b @ x)

    return lo.as_cell(one if OPS[op].arity == 1 else two)


def nonlinearities(cell: Cell) -> list[str]:
    """The ops of a cell and of its gradient that a processor has to approximate."""
    used = {node.op for node in adjoint(lower(cell.graph).graph).nodes}
    return [name for name, op in OPS.items() if name in used and op.dear and op.in_text]


@one_thread()
def check_nonlinearities(cell: Any, backend: Any = "auto", draws: Sequence[Draw] = ()) -> None:
    """Step 4: alone, over its domain, each nonlinearity and its derivative are exact in float32 to a few last places.

    It is asked through a cell that is this op of W x, W being 1, of which any backend has to make the very number.
    """
    cell = lo.as_cell(cell)
    for op in nonlinearities(cell):
        arity = OPS[op].arity
        about = About(cell, backend, replace(ALONE, M=arity), f"{op} alone, in float32")
        ones = torch.eye(arity).unsqueeze(1).expand(arity, ALONE.N, arity)
        layer = make(alone(op), backend, dict(zip(("W.a", "W.b"), ones, strict=False)), dtype=torch.float32)
        x = _grid(op).requires_grad_()
        y, _ = layer(x.to(device_of(layer)))
        y = y.cpu()
        (slope,) = torch.autograd.grad(y[..., -1].sum(), x)
        exact = x.detach().double().requires_grad_()
        value = OPS[op].eager(*exact.unbind(-1))
        (true_slope,) = torch.autograd.grad(value.sum(), exact)
        off = {
            "y": (y.double() - value.unsqueeze(-1)).abs().amax(-1) / _last_place(value),
            "derivative": ((slope.double() - true_slope).abs() / true_slope.abs().clamp(min=1)).amax(-1)
            / torch.finfo(torch.float32).eps,
        }
        for what, errors in off.items():
            errors = errors.detach().nan_to_num(torch.inf)
            worst = errors.argmax()
            require(
                errors.max().item() <= UNITS,
                f"{about}: {what} is off by {errors.max().item():.3g} units in the last place at "
                f"{x.detach().flatten(0, 1)[worst].tolist()}; {UNITS} are allowed",
            )


def _grid(op: str) -> Tensor:
    """[T, B, operands] over the op's domain, half of it near 0 and near 1, where relative precision goes first."""
    count, generator, columns = ALONE.T * ALONE.B, torch.Generator().manual_seed(0), []
    for low, high in OPS[op].domain:
        near = torch.logspace(-8, 0, count // 4, dtype=torch.float64)
        points = torch.cat([near, -near, 1 + near, 1 - near, torch.linspace(low, high, count, dtype=torch.float64)])
        points = points[(low <= points) & (points <= high)]
        columns.append(points[torch.randperm(len(points), generator=generator)][:count])
    return torch.stack(columns, -1).view(ALONE.T, ALONE.B, -1).float()


def _last_place(value: Tensor) -> Tensor:
    """A unit in the last place of the float32 next to a float64."""
    _, exponent = torch.frexp(value.detach())
    return torch.ldexp(torch.ones_like(value), exponent.clamp(min=-125) - 24)
