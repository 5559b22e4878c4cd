"""A cell compiled for one float type, and its scan of one member: tables of addresses, the call. No autograd."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch

from lstm_odyssey.backends.lowering import Lowered
from lstm_odyssey.backends.numba.cache import module
from lstm_odyssey.backends.numba.memory import Block, borrow, give_back, layout
from lstm_odyssey.backends.numba.parts import Ahead, Back, Part, summed_apart, whole_part
from lstm_odyssey.backends.numba.source import products
from lstm_odyssey.backends.numba.source.blocks import CALL, PART
from lstm_odyssey.backends.numba.source.cell import source
from lstm_odyssey.backends.plan import Plan, plan
from lstm_odyssey.backends.processor import turning_bytes
from lstm_odyssey.cell.ops import OPS
from lstm_odyssey.cell.symbols import VECTORS

POINTWISE = 50
"""What a step's functions of one number cost, in multiplications and additions: what they are is of no matter here."""

SIZES = {torch.float32: 4, torch.float64: 8}

Sizes = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Kernel:
    """A cell compiled for one float type."""

    plan: Plan
    size: int
    forward: Callable[[int], None]
    backward: Callable[[int], None]
    addresses: tuple[int, int]
    product: int
    pack_lines: int
    pack_columns: int
    before: int

    @cached_property
    def dtype(self) -> torch.dtype:
        """The float type."""
        return next(dtype for dtype, size in SIZES.items() if size == self.size)

    @cached_property
    def inputs(self) -> int:
        """How many tensors [T, B, M] it is given: functions of the input, or at least the input."""
        return max(len(self.plan.inputs), 1)

    @cached_property
    def cuts(self) -> tuple[int, int]:
        """Where packed spaces and states begin in a list of all addresses."""
        return self.inputs, self.inputs + len(self.spaces)

    @cached_property
    def spaces(self) -> tuple[str, ...]:
        """The packed spaces in the order in which they are given: first those of vectors."""
        return self.plan.spaces

    @cached_property
    def vector_spaces(self) -> int:
        """How many of the spaces are of vectors."""
        return sum(space in VECTORS for space in self.spaces)

    @lru_cache(maxsize=1024)  # noqa: B019 - kernels live as long as the process
    def shapes(self, N: int, M: int) -> tuple[tuple[int, ...], ...]:
        """Of the spaces, at N blocks and M inputs."""
        columns = {"W": (M,), "R": (N,)}
        return tuple((len(self.plan.graph.packed[space]) * N, *columns.get(space, ())) for space in self.spaces)


_KERNELS: dict[tuple[Lowered, torch.dtype], Kernel] = {}


@lru_cache(maxsize=512)
def _compiled(lowered: Lowered, size: int) -> Kernel:
    made = plan(lowered)
    used = {node.op for number, node in enumerate(made.gradient.nodes) if number not in made.outside}
    used |= {lowered.graph.nodes[number].op for number in made.before}
    for op in sorted(used & set(OPS)):
        if OPS[op].kernel is None:
            raise TypeError(
                f"backend 'numba': cell '{lowered.name}' uses '{op}', which it has no kernel for. Use backend='eager'."
            )
    shared = module(products.source(size, 'nopython=True, error_model="numpy", cache={cached}'), f"products{size}")
    code = module(source(made, size), f"cell{size}")
    ahead, back = code.forward, code.backward
    return Kernel(
        made, size, ahead.ctypes, back.ctypes, (ahead.address, back.address),
        shared.product.address, shared.pack_lines.address, shared.pack_columns.address,
        code.before.address if made.before else 0,
    )  # fmt: skip


def kernel(lowered: Lowered, dtype: torch.dtype) -> Kernel:
    """The compiled scan of a cell.

    Raises:
        TypeError: there is none for this dtype, or for an op of the cell or of its gradient.
    """
    made = _KERNELS.get((lowered, dtype))
    if made is None:
        if dtype not in SIZES:
            raise TypeError(
                f"backend 'numba': x is {dtype}; expected float32 or float64. Use backend='eager' for other types."
            )
        made = _KERNELS[lowered, dtype] = _compiled(lowered, SIZES[dtype])
    return made


def tails(
    made: Kernel, sizes: Sizes, base: int, alone: bool = True, trained: bool = False
) -> tuple[list[int], list[int]]:
    """What the tables of both passes end with, behind the addresses that a call brings; see ``source.blocks``.

    Args:
        made, sizes: of a member.
        base: the address of the memory that is its own while it runs.
        alone: whether a backward pass has its deltas there too, and shares none with other calls.
        trained: whether they are a training's; see ``processor.turning_bytes``.
    """
    T, B, N, M = sizes
    areas, part = layout(made, T, B, N, M), whole_part(B).entries
    head = (T, B, N, M, made.product, made.pack_lines, made.pack_columns)
    small, large = turning_bytes(trained)
    streamed = sum(len(run.parameters) for run in made.plan.recurrent) * N * N * made.size
    turns = streamed <= small or streamed > large
    ahead, back = ((*head, copies, copies == 1 and turns, *areas.kept) for copies in areas.copies)
    own = areas.backward if alone else areas.part
    return [*ahead, *(base + at for at in areas.forward), *part], [*back, *(base + at for at in own), *part]


class _Table:
    """A pass's table for one block of memory: what a call brings is put in front of the tail, a part at its end."""

    def __init__(self, brought: int, tail: Sequence[int]) -> None:
        self.array = array("q", [*[0] * brought, *tail])
        self.entries = memoryview(self.array)  # what is put into a slice of it has to be as long as that
        self.brought, self.address = brought, self.array.buffer_info()[0]

    def fill(self, brought: Sequence[int], part: Part) -> int:
        """Its address, filled in."""
        self.entries[: self.brought] = array("q", brought)
        self.entries[-len(PART) :] = part.entries
        return self.address


class Member:
    """One member's scan: tensors without the member's dimension, contiguous, all of one dtype.

    ``work`` is about how many floating-point operations a forward pass is; a backward pass is twice as many.

    Args:
        made: the compiled cell.
        sizes: T, B, N, M.
    """

    def __init__(self, made: Kernel, sizes: Sizes) -> None:
        self.made, self.sizes = made, sizes
        self.areas = layout(made, *sizes)
        self.kept_bytes = self.areas.kept_total * made.size
        self.scratch_bytes = max(self.areas.forward_total, self.areas.backward_total) * made.size
        self.part_bytes = max(self.areas.forward_total, self.areas.part_total) * made.size
        self.blocks, self.whole = summed_apart(sizes[1]), whole_part(sizes[1])
        T, B, N, M = sizes
        recurrent, inputs = (
            sum(len(run.parameters) for run in runs) for runs in (made.plan.recurrent, made.plan.input_runs)
        )
        self.work = 2 * T * B * N * (recurrent * N + inputs * M + POINTWISE)

    def _tables(self, block: Block, alone: bool) -> tuple[_Table, _Table]:
        key = (self.made, self.sizes, alone)
        tables: tuple[_Table, _Table] | None = block.tables.get(key)
        if tables is None:
            if len(block.tables) >= 1024:
                block.tables.clear()
            states = len(self.made.plan.graph.states)
            given = self.made.cuts[1] + states
            brought = len(CALL) + 1 + states + given, len(CALL) + 2 + states + 2 * given
            ends = tails(self.made, self.sizes, block.address, alone)
            tables = block.tables[key] = (_Table(brought[0], ends[0]), _Table(brought[1], ends[1]))
        return tables

    def forward(self, given: Ahead, part: Part | None = None) -> None:
        """Fill the outputs, the final states and what is kept, or a part of the rows of them."""
        block = borrow(self.scratch_bytes if part is None else self.part_bytes)
        try:
            table = self._tables(block, part is None)[0]
            brought = [given.active, given.kept, given.y, *given.final, *given.addresses]
            self.made.forward(table.fill(brought, part or self.whole))
        finally:
            give_back(block)

    def backward(self, given: Back, part: Part | None = None) -> None:
        """Fill the gradients, or do a part of that."""
        block = borrow(self.part_bytes if given.deltas else self.scratch_bytes)
        try:
            table = self._tables(block, not given.deltas)[1]
            brought = [
                given.active,
                given.kept,
                given.deltas,
                given.dy,
                *given.dfinal,
                *given.addresses,
                *given.gradients,
            ]
            self.made.backward(table.fill(brought, part or self.whole))
        finally:
            give_back(block)


@lru_cache(maxsize=4096)
def member(made: Kernel, sizes: Sizes) -> Member:
    """The scan of one member at these sizes."""
    return Member(made, sizes)
