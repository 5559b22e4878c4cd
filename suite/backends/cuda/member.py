"""A cell made ready for a GPU: its texts by size class, the layout of what a scan keeps, and the rows of its tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from lstm_odyssey.backends.cuda.classes import SizeClass, rows_of, size_class
from lstm_odyssey.backends.cuda.launch import Entry, Launch
from lstm_odyssey.backends.cuda.source import products
from lstm_odyssey.backends.cuda.source.backward import Backward
from lstm_odyssey.backends.cuda.source.cell import source
from lstm_odyssey.backends.cuda.source.forward import Forward
from lstm_odyssey.backends.lowering import Lowered
from lstm_odyssey.backends.plan import Plan, Run, plan
from lstm_odyssey.cell.ops import OPS

SIZES = {torch.float32: 4, torch.float64: 8}
LARGEST = 2**31 - 1
"""Numbers of one tensor: kernels count in 32 bits, as 64 would take twice the registers."""


@dataclass(frozen=True)
class Compiled:
    """The text of a cell for one class and number of rows, and how it is launched."""

    text: str
    layout: SizeClass
    rows: int
    shared: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Kernel:
    """A cell for one float type and one architecture."""

    plan: Plan
    size: int
    architecture: str
    _texts: dict[tuple[SizeClass, int], Compiled] = field(default_factory=dict)

    @cached_property
    def matrices(self) -> int:
        """How many recurrent ones a scan holds."""
        return sum(len(run.parameters) for run in self.plan.recurrent)

    @cached_property
    def _passes(self) -> tuple[Forward, Backward]:
        any_class = SizeClass(32, self.size, self.matrices, 1, 4, 0, 1)  # names do not depend on it
        return Forward(self.plan, any_class, 1), Backward(self.plan, any_class, 1)

    @cached_property
    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The entries of the two scans' tables."""
        return self._passes[0].names, self._passes[1].names

    def layout(self, N: int) -> SizeClass | None:
        """The class of a member; None where none fits."""
        vectors = max(len(one.vectors) for one in self._passes)
        return size_class(N, self.matrices, vectors, self.size, self.architecture)

    def compiled(self, layout: SizeClass, batch: int) -> Compiled:
        """The text for a class and a number of rows."""
        rows = rows_of(batch, self.matrices)
        made = self._texts.get((layout, rows))
        if made is None:
            shared = tuple(layout.shared(len(one.vectors), rows) for one in self._passes)
            made = Compiled(source(self.plan, layout, rows), layout, rows, (shared[0], shared[1]))
            self._texts[layout, rows] = made
        return made


@lru_cache(maxsize=512)
def kernel(lowered: Lowered, dtype: torch.dtype, architecture: str) -> Kernel:
    """A lowered cell for a float type.

    Raises:
        TypeError: there is no kernel for this dtype, or for an op of the cell or of its gradient.
    """
    if dtype not in SIZES:
        raise TypeError(f"backend 'cuda': x is {dtype}; expected float32 or float64. Use backend='eager' for other types.")
    made = plan(lowered)
    used = {node.op for number, node in enumerate(made.gradient.nodes) if number not in made.outside}
    for op in sorted(used & set(OPS)):
        if OPS[op].kernel is None or OPS[op].reduction:
            raise TypeError(
                f"backend 'cuda': cell '{lowered.name}' uses '{op}', which it has no kernel for. Use backend='eager'."
            )
    return Kernel(made, SIZES[dtype], architecture)


class Layout:
    """Where what a scan keeps of one member begins in a tensor that all share, in numbers."""

    def __init__(self, plan: Plan, T: int, B: int, N: int, begin: int) -> None:
        frames, states, self.N = T * B, len(plan.graph.states), N
        self.slots = begin
        self.history = self.slots + frames * plan.places * N
        self.operands = self.history + states * (T + 1) * B * N
        self.end = self.operands + len(plan.operands) * frames * N
        self.state_line, self.operand_line = (T + 1) * B * N, frames * N


@dataclass
class Member:
    """One member's tensors in a call: views of its parameters by name, each with the numbers in a line."""

    N: int
    inputs: Sequence[Tensor]
    parameters: Mapping[str, tuple[Tensor, int]]
    kept: Tensor
    at: Layout

    def slots(self, place: int) -> Tensor:
        """Begins with the sum at a place."""
        return self.kept[self.at.slots + place * self.N :]

    def vector(self, plan: Plan, states: Mapping[int, int], operand: int) -> tuple[Tensor, int]:
        """What is multiplied by a matrix, over all frames, and its length."""
        if operand in states:
            return self.kept[self.at.history + states[operand] * self.at.state_line :], self.N
        if operand in plan.operands:
            return self.kept[self.at.operands + plan.operands.index(operand) * self.at.operand_line :], self.N
        x = self.inputs[plan.inputs.index(operand)]
        return x, x.shape[-1]


class Rounds:
    """Products to be launched: those of one round wait for none of each other."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.rounds: list[list[list[Entry]]] = []
        self.tiles: list[int] = []
        self._written: dict[object, int] = {}

    def add(self, keys: Iterable[object], row: list[Entry], add_up: bool) -> None:
        """Add a product that writes what ``keys`` stand for; if it ``add_up``, it starts from what an earlier one wrote."""
        keys = list(keys)
        round_ = max(self._written.get(key, 0) for key in keys)
        if round_ and add_up:
            begun = products.PRODUCT.index("start")
            row[begun : begun + 2] = row[begun + 2 : begun + 4]
        for key in keys:
            self._written[key] = round_ + 1
        while len(self.rounds) <= round_:
            self.rounds.append([])
            self.tiles.append(1)
        rows, columns = row[0], row[1]
        assert isinstance(rows, int) and isinstance(columns, int)
        self.rounds[round_].append(row)
        self.tiles[round_] = max(self.tiles[round_], products.tiles(rows, columns))

    def launches(self) -> list[Launch]:
        """One for each round."""
        return [
            Launch("product", len(rows), tiles, products.THREADS, 1, products.shared(self.size), rows)
            for rows, tiles in zip(self.rounds, self.tiles, strict=True)
        ]


def pieces(run: Run, member: Member) -> list[tuple[int, int, Tensor, int]]:
    """The matrices of a run, those that lie one under another in memory as one: first, how many, the tensor, its lines."""
    found: list[tuple[int, int, Tensor, int]] = []
    for row, name in enumerate(run.parameters):
        value, line = member.parameters[name]
        if found:
            first, count, begun, _ = found[-1]
            apart = value.data_ptr() - begun.data_ptr()
            if apart == count * member.N * line * value.element_size():
                found[-1] = first, count + 1, begun, line
                continue
        found.append((row, 1, value, line))
    return found


def input_products(made: Kernel, frames: int, members: Sequence[Member]) -> list[Launch]:
    """W times the input of all frames, into the slots."""
    plan, rounds = made.plan, Rounds(made.size)
    for p, member in enumerate(members):
        N = member.N
        for run in plan.input_runs:
            x, M = member.vector(plan, {}, run.operand)
            for row, count, weight, line in pieces(run, member):
                place = run.first + row
                rounds.add(
                    [(p, place + k) for k in range(count)],
                    [frames, count * N, M, x, M, 1, weight, 1, line, 0, 0, member.slots(place), plan.places * N],
                    add_up=True,
                )
    return rounds.launches()


def gradient_products(
    made: Kernel,
    frames: int,
    members: Sequence[Member],
    deltas: Sequence[Tensor],
    gradients: Sequence[Mapping[str, tuple[Tensor, int]]],
    dinputs: Sequence[Sequence[Tensor | None]],
) -> list[Launch]:
    """From δ of all frames to the gradients of the inputs and of the matrices."""
    plan, rounds, sums = made.plan, Rounds(made.size), len(made.plan.accumulators)
    states = {number: plan.graph.states.index(node.name) for number, node in enumerate(plan.graph.nodes) if node.op == "state"}
    for p, (member, delta, own, dxs) in enumerate(zip(members, deltas, gradients, dinputs, strict=True)):
        N = member.N
        for run in plan.input_runs:
            k = plan.inputs.index(run.operand)
            dx = dxs[k]
            if dx is None:
                continue
            M = dx.shape[-1]
            for row, count, weight, line in pieces(run, member):
                rounds.add(
                    [("x", p, k)],
                    [frames, M, count * N, delta[(run.first + row) * N :], sums * N, 1, weight, line, 1, 0, 0, dx, M],
                    add_up=True,
                )
        for run in (*plan.input_runs, *plan.recurrent):
            vector, length = member.vector(plan, states, run.operand)
            for row, name in enumerate(run.parameters):
                to, line = own[name]
                rounds.add(
                    [(name, p)],
                    [N, length, frames, delta[(run.first + row) * N :], 1, sums * N, vector, length, 1, 0, 0, to, line],
                    add_up=True,
                )
    return rounds.launches()
