"""A cell compiled for one float type, and its scan of one member: tables of addresses, the call. No autograd."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch

from lstm_odyssey.backends.lowering import Lowered
from lstm_odyssey.backends.numba.cache import module
from lstm_odyssey.backends.numba.memory import Block, Layout, borrow, give_back, layout
from lstm_odyssey.backends.numba.parts import Ahead, Back, Part, summed_apart, whole_part
from lstm_odyssey.backends.numba.source import products
from lstm_odyssey.backends.numba.source.blocks import ACTIVE, COMMON, KEPT, OF_PART, PART, SUMMED_ROWS
from lstm_odyssey.backends.numba.source.cell import source
from lstm_odyssey.backends.plan import Plan, plan
from lstm_odyssey.cell.ops import OPS
from lstm_odyssey.cell.symbols import VECTORS

DELTAS = len(COMMON) + len(KEPT) + 1
"""Where a backward pass's table has the address of its deltas."""

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
    def cuts(self) -> tuple[int, int, int]:
        """Where fixed vectors, matrices and states begin in a list of all addresses."""
        fixed = self.inputs + len(self.plan.vectors)
        return self.inputs, fixed, fixed + len(self.matrices)

    @cached_property
    def spaces(self) -> tuple[str, ...]:
        """The packed spaces in the order in which they are given: first those of vectors."""
        packed = self.plan.graph.packed
        return (*(space for space in packed if space in VECTORS), *(space for space in packed if space not in VECTORS))

    @cached_property
    def vector_spaces(self) -> int:
        """How many of the spaces are of vectors."""
        return sum(space in VECTORS for space in self.spaces)

    @lru_cache(maxsize=1024)  # noqa: B019 - kernels live as long as the process
    def shapes(self, N: int, M: int) -> tuple[tuple[int, ...], ...]:
        """Of the spaces, at N blocks and M inputs."""
        columns = {"W": (M,), "R": (N,)}
        return tuple((len(self.plan.graph.packed[space]) * N, *columns.get(space, ())) for space in self.spaces)

    @lru_cache(maxsize=1024)  # noqa: B019 - as above
    def offsets(self, N: int, M: int) -> tuple[tuple[int, int], ...]:
        """Of the fixed vectors and of the matrices, the space each lies in and how many bytes from its beginning."""
        nodes, packed, found = self.plan.graph.nodes, self.plan.graph.packed, []
        for name in (*(nodes[number].name for number in self.plan.vectors), *self.matrices):
            space = name.partition(".")[0]
            line = {"W": M, "R": N}.get(space, 1)
            found.append((self.spaces.index(space), packed[space].index(name) * N * line * self.size))
        return tuple(found)

    @cached_property
    def matrices(self) -> tuple[str, ...]:
        """The parameters that stand in products of the scan."""
        runs = (*self.plan.input_runs, *self.plan.recurrent)
        return tuple(dict.fromkeys(name for run in runs for name in run.parameters))


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


class _Tables:
    """The tables of a scan of one shape in one block of memory, but for the addresses of the tensors of a call."""

    def __init__(self, made: Kernel, sizes: Sizes, areas: Layout, base: int, alone: bool) -> None:
        T, B, N, M = sizes
        head = {"T": T, "B": B, "N": N, "M": M, "product": made.product, "pack_lines": made.pack_lines,
                "pack_columns": made.pack_columns, **dict(zip(PART, whole_part(B).entries, strict=True))}  # fmt: skip
        ahead, back = (
            [(head | {"copies": copies}).get(name, 0) for name in (*COMMON, *KEPT)] for copies in areas.copies
        )
        shapes, behind = made.plan.graph.parameters, areas.backward if alone else areas.part
        lines = [n for name in made.matrices for n in (0, (M if shapes[name][1] == "M" else N) * made.size)]
        states, inputs, fixed = len(made.plan.graph.states), len(made.plan.inputs), len(made.plan.vectors)
        self.kept = areas.kept
        self.forward = array("q", [
            *ahead, *(base + place for place in areas.forward), *[0] * (1 + states + inputs + fixed), *lines, *[0] * states
        ])  # fmt: skip
        self.backward = array("q", [
            *back, *(base + place for place in behind), *[0] * (1 + states + inputs + fixed), *lines,
            *[0] * (inputs + fixed), *lines, *[0] * states
        ])  # fmt: skip
        self.forward_start, self.backward_start = len(ahead) + len(areas.forward), len(back) + len(behind)


class Member:
    """One member's scan: tensors without the member's dimension, contiguous, all of one dtype.

    ``work`` is about how many floating-point operations a forward pass is; a backward pass is twice as many.

    Args:
        made: the compiled cell.
        sizes: T, B, N, M.
    """

    def __init__(self, made: Kernel, sizes: Sizes) -> None:
        self.made, self.sizes = made, sizes
        self.areas, self.offsets = layout(made, *sizes), made.offsets(*sizes[2:])
        self.kept_bytes = self.areas.kept_total * made.size
        self.scratch_bytes = max(self.areas.forward_total, self.areas.backward_total) * made.size
        self.part_bytes = max(self.areas.forward_total, self.areas.part_total) * made.size
        self.blocks = summed_apart(sizes[1])
        T, B, N, M = sizes
        recurrent, inputs = (
            sum(len(run.parameters) for run in runs) for runs in (made.plan.recurrent, made.plan.input_runs)
        )
        self.work = 2 * T * B * N * (recurrent * N + inputs * M + POINTWISE)

    def spread(self, places: Sequence[int]) -> list[int]:
        """From the addresses of inputs, spaces and states to those of all that a scan is given; 0 stays 0."""
        inputs, end = self.made.inputs, self.made.inputs + len(self.made.spaces)
        spaces = places[inputs:end]
        inner = [spaces[k] and spaces[k] + offset for k, offset in self.offsets]
        return [*places[:inputs], *inner, *places[end:]]

    def _tables(self, block: Block, alone: bool = True) -> _Tables:
        key = (self.made, self.sizes, alone)
        tables: _Tables | None = block.tables.get(key)
        if tables is None:
            if len(block.tables) >= 1024:
                block.tables.clear()
            tables = block.tables[key] = _Tables(self.made, self.sizes, self.areas, block.address, alone)
        return tables

    def _filled(self, blank: array[int], given: Ahead | Back, part: Part | None) -> array[int]:
        table, places, active = blank[:], self.areas.kept, given.active
        if part is not None:
            table[OF_PART : OF_PART + len(PART)] = part.entries
            if part.first:
                shift = part.first * self.sizes[2] * self.made.size
                lines = (shift, self.made.plan.places * shift, shift)  # of history, slots, operands
                places = tuple(place + line for place, line in zip(places, lines, strict=True))
                active = active and active + part.first
        table[ACTIVE] = active
        table[len(COMMON) : len(COMMON) + len(KEPT)] = array("q", [given.kept + place for place in places])
        return table

    def _rows(self, addresses: Sequence[int], first: int) -> list[int]:
        """Where rows of inputs and states begin, among all addresses; 0 stays 0."""
        (_, _, N, M), (a, _, c), size = self.sizes, self.made.cuts, self.made.size
        inputs, states = (
            [place and place + first * line * size for place in of]
            for of, line in ((addresses[:a], M), (addresses[c:], N))
        )
        return [*inputs, *addresses[a:c], *states]

    def forward(self, given: Ahead, part: Part | None = None) -> None:
        """Fill the outputs, the final states and what is kept, or a part of the rows of them."""
        a, b, c = self.made.cuts
        addresses, y, final = given.addresses, given.y, given.final
        if part is not None and part.first:
            shift = part.first * self.sizes[2] * self.made.size
            addresses, y, final = self._rows(addresses, part.first), y and y + shift, [at + shift for at in final]
        block = borrow(self.scratch_bytes if part is None else self.part_bytes)
        try:
            tables = self._tables(block, part is None)
            table = self._filled(tables.forward, given, part)
            start = tables.forward_start
            inputs = addresses[:b] if self.made.plan.inputs else addresses[a:b]
            first = array("q", [y, *final, *inputs])
            lines = start + len(first)
            end = lines + 2 * (c - b)
            table[start:lines] = first
            table[lines:end:2] = array("q", addresses[b:c])
            table[end:] = array("q", addresses[c:])
            self.made.forward(table.buffer_info()[0])
        finally:
            give_back(block)

    def backward(self, given: Back, part: Part | None = None) -> None:
        """Fill the gradients, or do a part of that."""
        a, b, c = self.made.cuts
        addresses, dy, dfinal, gradients = given.addresses, given.dy, given.dfinal, given.gradients
        shift = 0
        if part is not None and part.first:
            shift = part.first * self.sizes[2] * self.made.size
            addresses, gradients = (self._rows(of, part.first) for of in (addresses, gradients))
            gradients[a:b] = [at + part.first // SUMMED_ROWS * part.gap for at in gradients[a:b]]
            dy, dfinal = dy + shift, [at and at + shift for at in dfinal]
        block = borrow(self.part_bytes if given.deltas else self.scratch_bytes)
        try:
            tables = self._tables(block, not given.deltas)
            table = self._filled(tables.backward, given, part)
            if given.deltas:
                table[DELTAS] = given.deltas + len(self.made.plan.accumulators) * shift
            start, skip = tables.backward_start, 0 if self.made.plan.inputs else a
            first = array("q", [dy, *dfinal, *addresses[skip:b]])
            lines = start + len(first)
            end = lines + 2 * (c - b)
            table[start:lines] = first
            table[lines:end:2] = array("q", addresses[b:c])
            second = array("q", gradients[skip:b])
            table[end : end + len(second)] = second
            lines = end + len(second)
            end = lines + 2 * (c - b)
            table[lines:end:2] = array("q", gradients[b:c])
            table[end:] = array("q", gradients[c:])
            self.made.backward(table.buffer_info()[0])
        finally:
            give_back(block)


@lru_cache(maxsize=4096)
def member(made: Kernel, sizes: Sizes) -> Member:
    """The scan of one member at these sizes."""
    return Member(made, sizes)
