"""Step 3 of the equality ladder at other values of a cell's named constants than their defaults.

``Constant`` in ``lstm_odyssey.variants.declare`` says what may be declared; ``lstm_odyssey.conformance.kit`` is the way in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

import lstm_odyssey as lo
from lstm_odyssey.conformance.answers import About, ask, ask_oracle, compare, make
from lstm_odyssey.conformance.draws import Draw, visits
from lstm_odyssey.conformance.neighbours import compare_members
from lstm_odyssey.variants.declare import Constant


def check_constants(cell: Any, backend: Any = "eager", draws: Sequence[Draw] | None = None) -> None:
    """Step 3 with constants drawn from their ranges and at the ends of these; each member of a population has its own."""
    cell = lo.as_cell(cell)
    if not cell.constants:
        return
    for draw in visits(backend, draws):
        for values in _values(cell, draw):
            problem = draw.problem(cell, values)
            (answer,) = ask(make(cell, backend, problem.parameters, constants=values), problem)
            said = ", ".join(f"{name} = {value:.6g}" for name, value in values.items())
            about = About(cell, backend, draw, f"with {said}, compared with the oracle", [problem])
            compare(answer, ask_oracle(cell, problem), about)
        several = [_drawn(cell, draw, member) for member in range(3)]
        apart = {name: [values[name] for values in several] for name in cell.constants}
        compare_members(cell, backend, replace(draw, B=max(draw.B, 2)), 1, compare, constants=apart)


def _values(cell: Any, draw: Draw) -> Iterator[dict[str, float]]:
    """Drawn values, the lowest and the highest; of an open end the default."""
    yield _drawn(cell, draw)
    for end in ("low", "high"):
        ends = {name: getattr(one, end) for name, one in cell.constants.items()}
        yield {name: value if math.isfinite(value) else cell.constants[name].default for name, value in ends.items()}


def _drawn(cell: Any, draw: Draw, member: int = 0) -> dict[str, float]:
    generator = torch.Generator().manual_seed(draw.seed + member)
    return {name: within(one, generator) for name, one in cell.constants.items()}


def within(constant: Constant, generator: torch.Generator) -> float:
    """A random number from a constant's range.

    Uniform between finite ends, in the logarithm if both are above 0; else the default and a normal deviate, of its own size,
    brought back to the end there is.
    """
    low, high, default = constant.low, constant.high, constant.default
    if math.isfinite(low) and math.isfinite(high):
        share = torch.rand((), generator=generator, dtype=torch.float64).item()
        found = low * (high / low) ** share if low > 0 else low + (high - low) * share
    else:
        found = default + (abs(default) or 1.0) * torch.randn((), generator=generator, dtype=torch.float64).item()
    return min(max(found, low), high)
