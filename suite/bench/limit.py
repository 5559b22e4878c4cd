"""The least time in which this processor could pass through a cell, from what it reaches at each part by itself.

A frame has three parts that nothing can spare: R is read for each step's product, forward and backward, since the next step
needs its result; the products of all frames at once, of W in both directions and of all gradients of matrices, are
multiplications and additions; and each tanh and σ has to be computed. With |W| and |R| the numbers of the matrices, f the
functions of a step:

    seconds = passes T max(4 |R| / stream, 2 B |R| / sgemm) + 2 T B products / sgemm + T B N f / functions

A forward pass is one pass, its products are |W|; with the backward pass there are two, and 3 |W| + |R| products. Each rate
is the best that numpy, torch or our own kernels reach, one thread, right before the cell is timed. What it leaves out, as
additions, stores of what a backward pass needs and all Python, is no part of a limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from lstm_odyssey.backends.numba import rates
from lstm_odyssey.bench.region import Region, measure
from lstm_odyssey.cell import Cell
from lstm_odyssey.cell.ops import FUNCTIONS
from lstm_odyssey.training.clocks import Clock

FORMULA = "passes T max(4 |R| / stream, 2 B |R| / sgemm) + 2 T B products / sgemm + T B N f / functions"
STREAMED, CUBE, COUNT, REPEATS = 8_000_000, 384, 2048, 16
"""Bytes that a timed call reads, lines of matrices that it multiplies; numbers that it takes functions of, and how often: few
enough to stay in the nearest cache."""
WIDE = 224
"""Columns of a matrix that suits the vectors, whatever N is: fourteen registers of sixteen numbers."""


@dataclass(frozen=True)
class Limit:
    """What bounds a cell at one N and B.

    Args:
        rates: bytes read, floating-point operations and functions a second: ``stream``, ``sgemm`` and ``functions``.
        ways: by what each was reached.
        recurrent, inputs: |R| and |W|. functions: f. frames, batch, size: T, B and N.
    """

    rates: Mapping[str, float]
    ways: Mapping[str, str]
    recurrent: int
    inputs: int
    functions: int
    frames: int
    batch: int
    size: int

    def seconds(self, backward: bool) -> float:
        """The least time of a forward pass, or of one forward and backward."""
        passes, products = (2, 3 * self.inputs + self.recurrent) if backward else (1, self.inputs)
        step = max(4 * self.recurrent / self.rates["stream"], 2 * self.batch * self.recurrent / self.rates["sgemm"])
        frames = self.frames * self.batch
        return (
            passes * self.frames * step
            + 2 * frames * products / self.rates["sgemm"]
            + frames * self.size * self.functions / self.rates["functions"]
        )

    @property
    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self) | {"formula": FORMULA}


Ways = dict[str, tuple[float, Callable[[], Any]]]
"""How much a call does, and the call, by what does it."""


def _streams(size: int, gates: int) -> Ways:
    """A matrix of the size of R times a vector, in as many calls as read ``STREAMED`` bytes."""
    lines, columns, deep = gates * size, size, max(1, gates * size * size // WIDE)
    repeats, again = (max(1, STREAMED // (4 * count)) for count in (lines * columns, deep * WIDE))
    matrix, vector, out = (
        np.ones((lines, columns), np.float32),
        np.ones(columns, np.float32),
        np.empty(lines, np.float32),
    )
    tensors = [torch.from_numpy(each) for each in (matrix, vector, out)]

    def by_numpy() -> None:
        for _ in range(repeats):
            np.dot(matrix, vector, out=out)

    def by_torch() -> None:
        for _ in range(repeats):
            torch.mv(tensors[0], tensors[1], out=tensors[2])

    ways: Ways = {way: (4.0 * lines * columns * repeats, call) for way, call in (
        ("numpy", by_numpy),
        ("torch", by_torch),
        ("odyssey", rates.stream(columns, lines, repeats, swing=False)),
        ("odyssey, to and fro", rates.stream(columns, lines, repeats, swing=True)),
        ("odyssey, transposed", rates.stream(lines, columns, repeats, swing=False)),
    )}  # fmt: skip
    return ways | {"odyssey, wide": (4.0 * deep * WIDE * again, rates.stream(deep, WIDE, again, swing=True))}


def _products() -> Ways:
    one, other, out = (np.ones((CUBE, CUBE), np.float32) for _ in range(3))
    tensors = [torch.from_numpy(each) for each in (one, other, out)]
    calls = {
        "numpy": lambda: np.matmul(one, other, out=out),
        "torch": lambda: torch.mm(tensors[0], tensors[1], out=tensors[2]),
        "odyssey": rates.multiply(CUBE),
    }
    return {way: (2.0 * CUBE**3, call) for way, call in calls.items()}


def _functions() -> Ways:
    x, y = np.full(COUNT, 0.5, np.float32), np.empty(COUNT, np.float32)
    given, made = torch.from_numpy(x), torch.from_numpy(y)

    def by_numpy() -> None:
        for _ in range(REPEATS):
            np.tanh(x, out=y)

    def by_torch() -> None:
        for _ in range(REPEATS):
            torch.tanh(given, out=made)

    calls = {"numpy": by_numpy, "torch": by_torch, "odyssey": rates.functions(COUNT, REPEATS)}
    return {way: (float(COUNT * REPEATS), call) for way, call in calls.items()}


def limit(cell: Cell, size: int, batch: int, frames: int, inputs: int, seconds: float, clock: Clock) -> Limit:
    """Measure what bounds a cell, in so many seconds.

    Args:
        cell: the cell. size, batch, frames, inputs: N, B, T and M.
        seconds: for all the rates together. clock: as in ``measure``.
    """
    shapes = list(cell.parameters.values())
    recurrent, of_input = shapes.count(("N", "N")), shapes.count(("N", "M"))
    parts = {"stream": _streams(size, max(1, recurrent)), "sgemm": _products(), "functions": _functions()}
    regions = {f"{part}: {way}": Region.of(call) for part, ways in parts.items() for way, (_, call) in ways.items()}
    with threadpool_limits(1):  # numpy's own threads
        found = measure(regions, relative_error=0.05, seconds=seconds, clock=clock)
    reached, by = {}, {}
    for part, ways in parts.items():
        of = {way: amount / found[f"{part}: {way}"].median for way, (amount, _) in ways.items()}
        by[part] = max(of, key=lambda way: of[way])
        reached[part] = of[by[part]]
    functions = sum(node.op in FUNCTIONS for node in cell.graph.nodes)
    return Limit(reached, by, recurrent * size * size, of_input * size * inputs, functions, frames, batch, size)
