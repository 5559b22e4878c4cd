"""Step 4 of the equality ladder: in float32 a fast path is as exact as the eager backend, by the median over many draws.

A single draw has no bound: two orders of one float32 sum differ by factors of 30. ``lstm_odyssey.testing`` is the way in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import lstm_odyssey as lo
from lstm_odyssey.conformance import About, ask, ask_oracle, make, require
from lstm_odyssey.problems import SIZES, Draw, Problem
from lstm_odyssey.threads import one_thread

TIMES_EAGER = 8
"""How many times the eager backend's median error is allowed, and how many units of float32 besides."""

SINGLE = tuple(Draw(2 + k % 11, 1 + k % 3, SIZES[k % 4], SIZES[k // 4 % 4], seed=1000 + k) for k in range(48))
"""The draws: every pair of sizes three times, T from 2 to 12."""


@one_thread()  # with more, these small products take ten times as long
def check_single_precision(cell: Any, backend: Any = "auto", draws: Sequence[Draw] = SINGLE) -> None:
    """Step 4: in float32 the median error of every tensor is that of the eager backend, to a factor of 8.

    The error of a draw is max |answer - oracle| / max(1, max |oracle|), the oracle in float64 from the same float32
    numbers.

    Raises:
        ValueError: the backend is eager itself, which is what others are measured by.
    """
    cell = lo.as_cell(cell)
    if backend == "eager":
        raise ValueError("check_single_precision: got backend 'eager', which others are measured by; expected another.")
    found: dict[str, list[float]] = {}
    allowed: dict[str, list[float]] = {}
    for draw in draws:
        problem = draw.problem(cell).to(torch.float32)
        oracle = ask_oracle(cell, problem.to(torch.float64))
        for table, of in ((found, backend), (allowed, "eager")):
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
