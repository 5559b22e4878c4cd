"""What parameters and constants of a layer begin with where it is declared: one meaning for layers and for trainings.

Sources: Le, Jaitly and Hinton 2015 (identity); Saxe, McClelland and Ganguli 2014 (orthogonal); Tallec and Ollivier 2018
(chrono: b_f = log U(1, T - 1), b_i = -b_f).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from lstm_odyssey.cell import Cell
from lstm_odyssey.cell.symbols import CONSTANTS
from lstm_odyssey.layers.arguments import Fail
from lstm_odyssey.tasks.nearest import nearest
from lstm_odyssey.variants.declare import Start

LONGEST = 100
"""T of ``chrono`` where a layer is made outside of a corpus and nothing is said."""

Draw = Callable[[str, str, tuple[int, ...]], Tensor]
"""Float64 numbers of a shape, ``normal`` or ``uniform`` in [0, 1), by the name of what they are for."""


def begun(start: float | Start, name: str, shape: Sequence[int], longest: int, draw: Draw) -> Tensor:
    """A parameter of one network as it begins, in float64.

    Args:
        start: what is declared, see ``variants.declare``.
        name: of the parameter.
        shape: [N, N], [N, M] or [N].
        longest: T of ``chrono``.
        draw: gives random numbers; those of every ``chrono`` are asked for by that name.
    """
    shape = tuple(shape)
    if not isinstance(start, Start):
        return torch.full(shape, float(start), dtype=torch.float64, device="cpu")
    first, *others = start.numbers
    if start.kind == "identity":
        return torch.eye(*shape, dtype=torch.float64, device="cpu") * first
    if start.kind == "uniform":
        return first + (others[0] - first) * draw("uniform", name, shape)
    if start.kind == "chrono":
        share = draw("uniform", start.kind, shape)
        return torch.log1p(share * max(longest - 2, 0)) * first  # of 1 + u (T - 2), from 1 to T - 1
    tall = draw("normal", name, (max(shape), min(shape)))
    q, r = torch.linalg.qr(tall)
    made: Tensor = q * torch.where(torch.diagonal(r) < 0, -1.0, 1.0)  # signs that make all such matrices equally likely
    return (made if shape[0] >= shape[1] else made.mT) * first


def of_torch() -> Draw:
    """Draws from torch's generator; one of a name that occurs twice is the same."""
    made: dict[tuple[str, tuple[int, ...]], Tensor] = {}

    def draw(kind: str, name: str, shape: tuple[int, ...]) -> Tensor:
        if (name, shape) not in made:
            make = torch.randn if kind == "normal" else torch.rand
            made[name, shape] = make(shape, dtype=torch.float64, device="cpu")
        return made[name, shape]

    return draw


def checked_constants(
    cell: Cell, given: Mapping[str, Any] | None, sizes: Sequence[int], fail: Fail
) -> dict[str, list[float]]:
    """Every constant of a cell with its value for each member: what is given, or its default.

    Args:
        given: by name a number, or of a population a list with one for each member.
        sizes: of the members.
        fail: makes the error that is raised, of a message.
    """
    known = cell.constants
    for name in given or {}:
        if name not in known:
            expected = f"one of {nearest(name, list(known))}" if known else "none, as the cell has no constants"
            raise fail(f"constants: got '{name}'; expected {expected}.")
    found = {}
    for name, constant in known.items():
        value = (given or {}).get(name, constant.default)
        each = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value] * len(sizes)
        if len(each) != len(sizes):
            raise fail(f"constants: '{name}' has {len(each)} values; expected a number, or {len(sizes)}, one a member.")
        for one in each:
            number = isinstance(one, Real) and not isinstance(one, bool) and isfinite(one)
            if not number or not constant.low <= one <= constant.high:
                raise fail(
                    f"constants: '{name}' is {one!r}; expected a number from {constant.low:g} to {constant.high:g}."
                )
        found[name] = [float(one) for one in each]
    return found


def packed_constants(cell: Cell, values: Mapping[str, Sequence[float]], width: int, population: bool) -> Tensor:
    """The space k, [G·N] or of a population [P, G·N], float64: each constant N times, beyond a member's own N too."""
    names = [name.partition(".")[2] for name in cell.graph.packed[CONSTANTS]]
    each = torch.tensor([values[name] for name in names], dtype=torch.float64, device="cpu")  # [G, P]
    whole = each.T.repeat_interleave(width, dim=1)
    return whole if population else whole[0]


def read(value: Tensor) -> float | list[float]:
    """A constant as numbers of Python, the shortest that are these in the tensor's dtype: 2.7, not 2.700000047683716."""
    numbers = value.detach().cpu()
    each = [
        float(str(one)) for one in (numbers if numbers.dtype == torch.float64 else numbers.float()).reshape(-1).numpy()
    ]
    return each if value.ndim else each[0]
