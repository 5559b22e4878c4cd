"""A cell compiled for one float type, and its scan of one member: tables of addresses, memory, the call. No autograd.

A trainer that knows the loss's gradient can use ``Member`` by itself.
"""

from __future__ import annotations

import threading
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
from lstm_odyssey.kernels.plan import Plan, plan
from lstm_odyssey.kernels.processor import vector_bytes

_SIZES = {torch.float32: 4, torch.float64: 8}


@dataclass(frozen=True, eq=False)
class Kernel:
    """A cell compiled for one float type."""

    plan: Plan
    size: int
    forward: Callable[[int], None]
    backward: Callable[[int], None]
    addresses: tuple[int, int]
    forward_names: tuple[str, ...]
    backward_names: tuple[str, ...]
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
        nodes = self.plan.graph.nodes
        if all(nodes[n].op == "input" for n in self.plan.inputs) and all(
            nodes[n].op == "vector" for n in self.plan.vectors
        ):
            return tuple(nodes[n].name for n in self.plan.vectors)
        return None

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
    text = source(made, size)
    code = module(text.text, f"cell{size}")
    scans = (code.forward, code.backward)
    return Kernel(
        made, size, *(scan.ctypes for scan in scans), (scans[0].address, scans[1].address), text.forward, text.backward,
        shared.product.address, shared.pack_lines.address, shared.pack_columns.address,
    )  # fmt: skip


def kernel(graph: Graph, dtype: torch.dtype) -> Kernel:
    """The compiled scan of a lowered graph.

    Raises:
        TypeError: there is none for this dtype, or for an op of the cell or of its gradient.
    """
    made = _KERNELS.get((graph.signature, dtype))
    if made is None:
        if dtype not in _SIZES:
            raise TypeError(
                f"backend 'numba': x is {dtype}; expected float32 or float64. Use backend='eager' for other types."
            )
        _plan(graph)
        made = _KERNELS[graph.signature, dtype] = _compiled(graph.signature, _SIZES[dtype])
    return made


@dataclass(frozen=True)
class Layout:
    """Where the areas of a call lie, in bytes from the beginning of a tensor, and how many floats each tensor has."""

    kept: tuple[int, ...]
    kept_total: int
    forward: tuple[int, ...]
    forward_total: int
    backward: tuple[int, ...]
    backward_total: int


@lru_cache(maxsize=4096)
def _layout(made: Kernel, T: int, B: int, N: int, M: int) -> Layout:
    the, lanes = made.plan, vector_bytes() // made.size
    frames, count, states = T * B, len(made.plan.accumulators), len(made.plan.graph.states)

    def packed(lines: int, columns: int) -> int:
        return lines * -(-columns // lanes) * lanes

    def areas(*sizes: int) -> tuple[tuple[int, ...], int]:
        places, total = [], 0
        for size in sizes:
            places.append(total * made.size)
            total += -(-size // lanes) * lanes
        return tuple(places), total

    rows = [len(run.parameters) * N for run in the.recurrent]
    return Layout(
        *areas(states * (T + 1) * B * N, frames * the.places * N, len(the.operands) * frames * N),
        *areas(max(M, N), count * N, *(packed(M, len(run.parameters) * N) for run in the.input_runs),
               *(packed(N, row) for row in rows)),
        *areas(max(M, N), frames * count * N, len(the.operands) * B * N, 2 * states * B * N, packed(count * N, M),
               *(packed(row, N) for row in rows)),
    )  # fmt: skip


class Pool(threading.local):
    """Memory of earlier calls, used again: fresh pages cost as much as a short scan. One pool a thread."""

    def __init__(self) -> None:
        self.scratch: dict[torch.dtype, Tensor] = {}
        self.free: list[Tensor] = []

    def address(self, floats: int, dtype: torch.dtype) -> int:
        """Of memory for what a call needs only while it runs."""
        tensor = self.scratch.get(dtype)
        if tensor is None or tensor.numel() < floats:
            tensor = self.scratch[dtype] = torch.empty(floats, dtype=dtype)
        return tensor.data_ptr()

    def take(self, floats: int, dtype: torch.dtype) -> Tensor:
        """A tensor of at least this many floats, and at most twice as many."""
        for place, tensor in enumerate(self.free):
            if tensor.dtype == dtype and floats <= tensor.numel() <= 2 * floats:
                return self.free.pop(place)
        return torch.empty(floats, dtype=dtype)


POOL = Pool()


class Kept:
    """What a forward pass leaves for the backward pass; the memory returns to the pool when the graph is gone."""

    def __init__(self, floats: int, dtype: torch.dtype) -> None:
        self.tensor = POOL.take(floats, dtype)

    def __del__(self) -> None:
        free = getattr(POOL, "free", None)  # gone when the interpreter ends
        tensor = getattr(self, "tensor", None)  # not there if memory could not be had
        if free is not None and tensor is not None and len(free) < 8:
            free.append(tensor)


def _addresses(tensors: Sequence[Tensor | None]) -> list[int]:
    return [0 if tensor is None else tensor.data_ptr() for tensor in tensors]


def _lines(tensors: Sequence[Tensor | None], size: int) -> list[int]:
    """Address and distance of lines of each matrix."""
    return [
        n for tensor in tensors for n in ((0, 0) if tensor is None else (tensor.data_ptr(), tensor.stride(0) * size))
    ]


class Member:
    """One member's scan: tensors without the member's dimension, contiguous, all of one dtype.

    Args:
        made: the compiled cell.
        inputs: [T, B, M]; fixed: [N]; matrices: [N, M] or [N, N], contiguous in the last dimension; state: [B, N].
        active: [T, B] bytes, or None.
    """

    def __init__(self, made: Kernel, N: int, inputs: Sequence[Tensor], fixed: Sequence[Tensor],
                 matrices: Sequence[Tensor], active: Tensor | None) -> None:  # fmt: skip
        T, B, M = inputs[0].shape
        self.made, self.sizes, self.dtype = made, (T, B, N, M), inputs[0].dtype
        self.layout = _layout(made, T, B, N, M)
        self.head = [T, B, N, M, 0 if active is None else active.data_ptr(),
                     made.product, made.pack_lines, made.pack_columns]  # fmt: skip
        self.arguments = [
            *_addresses(inputs[: len(made.plan.inputs)]),
            *_addresses(fixed),
            *_lines(matrices, made.size),
        ]

    def _base(self, kept: Kept, places: Sequence[int], floats: int) -> list[int]:
        first, scratch = kept.tensor.data_ptr(), POOL.address(floats, self.dtype)
        return [*self.head, *(first + place for place in self.layout.kept), *(scratch + place for place in places)]

    def forward(self, state: Sequence[Tensor], y: Tensor, final: Sequence[Tensor]) -> Kept:
        """Fill y [T, B, N] and the final states; returns what the backward pass needs."""
        kept = Kept(self.layout.kept_total, self.dtype)
        base = self._base(kept, self.layout.forward, self.layout.forward_total)
        table = array("q", [*base, y.data_ptr(), *_addresses(final), *self.arguments, *_addresses(state)])
        self.made.forward(table.buffer_info()[0])
        return kept

    def backward(self, kept: Kept, dy: Tensor, dfinal: Sequence[Tensor | None], dinputs: Sequence[Tensor | None],
                 dfixed: Sequence[Tensor], dmatrices: Sequence[Tensor | None],
                 dstate: Sequence[Tensor | None]) -> None:  # fmt: skip
        """Fill the gradients; those given as None are not computed."""
        base = self._base(kept, self.layout.backward, self.layout.backward_total)
        table = array("q", [
            *base, dy.data_ptr(), *_addresses(dfinal), *self.arguments, *_addresses(dinputs), *_addresses(dfixed),
            *_lines(dmatrices, self.made.size), *_addresses(dstate),
        ])  # fmt: skip
        self.made.backward(table.buffer_info()[0])
