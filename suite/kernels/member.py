"""A cell compiled for one float type, and its scan of one member: tables of addresses, the call. No autograd."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from lstm_odyssey.cell.graph import Graph
from lstm_odyssey.cell.ops import OPS
from lstm_odyssey.kernels import products
from lstm_odyssey.kernels.cache import module
from lstm_odyssey.kernels.emit import source
from lstm_odyssey.kernels.memory import POOL, Kept, layout
from lstm_odyssey.kernels.plan import Plan, plan

SIZES = {torch.float32: 4, torch.float64: 8}


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

    @cached_property
    def cuts(self) -> tuple[int, int, int]:
        """Where fixed vectors, matrices and states begin in a list of all tensors."""
        inputs = max(len(self.plan.inputs), 1)
        fixed = inputs + len(self.plan.vectors)
        return inputs, fixed, fixed + len(self.matrices)

    @cached_property
    def plain(self) -> tuple[str, ...] | None:
        """The names of the fixed vectors, if they and the input go into the scan as they are."""
        return None if self.plan.left_to_torch else tuple(self.plan.graph.nodes[n].name for n in self.plan.vectors)

    @lru_cache(maxsize=1024)  # noqa: B019 - kernels live as long as the process
    def shapes(self, N: int, M: int) -> tuple[tuple[int, ...], ...]:
        """Of the fixed vectors and of the matrices, at N blocks and M inputs."""
        sizes = {"N": N, "M": M}
        matrices = (self.plan.graph.parameters[name] for name in self.matrices)
        return (*[(N,)] * len(self.plan.vectors), *(tuple(sizes[axis] for axis in shape) for shape in matrices))

    @cached_property
    def matrices(self) -> tuple[str, ...]:
        """The parameters that stand in products of the scan."""
        runs = (*self.plan.input_runs, *self.plan.recurrent)
        return tuple(dict.fromkeys(name for run in runs for name in run.parameters))


_PLANS: dict[str, Plan] = {}


def _plan(graph: Graph) -> Plan:
    if graph.signature not in _PLANS:
        made = plan(graph)
        inside = {node.op for number, node in enumerate(made.gradient.nodes) if number not in made.outside}
        for op in sorted(inside & set(OPS)):  # what is outside, torch computes
            if OPS[op].kernel is None:
                raise TypeError(
                    f"backend 'numba': cell '{graph.name}' uses '{op}', which it has no kernel for. Use backend='eager'."
                )
        _PLANS[graph.signature] = made
    return _PLANS[graph.signature]


_KERNELS: dict[tuple[str, torch.dtype], Kernel] = {}


@lru_cache(maxsize=512)
def _compiled(signature: str, size: int) -> Kernel:
    made = _PLANS[signature]
    shared = module(products.source(size, 'nopython=True, error_model="numpy", cache={cached}'), f"products{size}")
    code = module(source(made, size), f"cell{size}")
    ahead, back = code.forward, code.backward
    return Kernel(
        made, size, ahead.ctypes, back.ctypes, (ahead.address, back.address),
        shared.product.address, shared.pack_lines.address, shared.pack_columns.address,
    )  # fmt: skip


def kernel(graph: Graph, dtype: torch.dtype) -> Kernel:
    """The compiled scan of a lowered graph.

    Raises:
        TypeError: there is none for this dtype, or for an op of the cell or of its gradient.
    """
    made = _KERNELS.get((graph.signature, dtype))
    if made is None:
        if dtype not in SIZES:
            raise TypeError(
                f"backend 'numba': x is {dtype}; expected float32 or float64. Use backend='eager' for other types."
            )
        _plan(graph)
        made = _KERNELS[graph.signature, dtype] = _compiled(graph.signature, SIZES[dtype])
    return made


class _Tables:
    """The tables of a scan of one shape, but for the addresses of the tensors of a call."""

    def __init__(self, made: Kernel, T: int, B: int, N: int, M: int, dtype: torch.dtype) -> None:
        areas = layout(made, T, B, N, M)
        base = POOL.address(max(areas.forward_total, areas.backward_total), dtype)
        head = [T, B, N, M, 0, made.product, made.pack_lines, made.pack_columns]
        ahead, back = ([*head, copies, 0, 0, 0] for copies in areas.copies)
        shapes = made.plan.graph.parameters
        lines = [n for name in made.matrices for n in (0, (M if shapes[name][1] == "M" else N) * made.size)]
        states, inputs, fixed = len(made.plan.graph.states), len(made.plan.inputs), len(made.plan.vectors)
        self.kept, self.kept_total = areas.kept, areas.kept_total
        self.forward = array("q", [
            *ahead, *(base + place for place in areas.forward), *[0] * (1 + states + inputs + fixed), *lines, *[0] * states
        ])  # fmt: skip
        self.backward = array("q", [
            *back, *(base + place for place in areas.backward), *[0] * (1 + states + inputs + fixed), *lines,
            *[0] * (inputs + fixed), *lines, *[0] * states
        ])  # fmt: skip
        self.forward_start, self.backward_start = len(ahead) + len(areas.forward), len(back) + len(areas.backward)


def _filled(blank: array[int], places: tuple[int, ...], kept: int, active: int) -> array[int]:
    table = blank[:]
    table[4] = active
    table[9], table[10], table[11] = (kept + place for place in places)
    return table


class Member:
    """One member's scan: tensors without the member's dimension, contiguous, all of one dtype.

    Args:
        made: the compiled cell.
        T, B, N, M: sizes.
        dtype: of all tensors.
        active: [T, B] bytes, or None; it has to live as long as the scan.

    Addresses come in the order of ``Kernel.cuts``: inputs [T, B, M], fixed [N], matrices [N, M] or [N, N], states [B, N].
    """

    def __init__(
        self, made: Kernel, T: int, B: int, N: int, M: int, dtype: torch.dtype, active: Tensor | None = None
    ) -> None:
        self.made, self.sizes, self.dtype, self.active = made, (T, B, N, M), dtype, active

    def _tables(self) -> _Tables:
        key = (self.made, self.sizes)
        tables: _Tables | None = POOL.tables.get(key)
        if tables is None:
            if len(POOL.tables) >= 1024:
                POOL.tables.clear()
            tables = _Tables(self.made, *self.sizes, self.dtype)  # may make the memory larger, and older tables void
            POOL.tables[key] = tables
        return tables

    def forward(self, addresses: Sequence[int], y: int, final: Sequence[int]) -> Kept:
        """Fill y [T, B, N] and the final states; returns what the backward pass needs."""
        a, b, c = self.made.cuts
        tables = self._tables()
        kept = Kept(tables.kept_total, self.dtype)
        active = 0 if self.active is None else self.active.data_ptr()
        table = _filled(tables.forward, tables.kept, kept.tensor.data_ptr(), active)
        start = tables.forward_start
        inputs = addresses[:b] if self.made.plan.inputs else addresses[a:b]
        first = array("q", [y, *final, *inputs])
        lines = start + len(first)
        end = lines + 2 * (c - b)
        table[start:lines] = first
        table[lines:end:2] = array("q", addresses[b:c])
        table[end:] = array("q", addresses[c:])
        self.made.forward(table.buffer_info()[0])
        return kept

    def backward(
        self, addresses: Sequence[int], kept: Kept, dy: int, dfinal: Sequence[int], gradients: Sequence[int]
    ) -> None:
        """Fill the gradients, whose addresses come in the same order; those of address 0 are not computed.

        Those of fixed vectors are all computed.
        """
        a, b, c = self.made.cuts
        tables = self._tables()
        active = 0 if self.active is None else self.active.data_ptr()
        table = _filled(tables.backward, tables.kept, kept.tensor.data_ptr(), active)
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
