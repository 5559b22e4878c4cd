"""Memory of compiled scans: what a call needs while it runs, and what a forward pass keeps for its backward pass."""

from __future__ import annotations

import mmap
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lstm_odyssey.kernels.processor import cache_bytes, spread_bytes, vector_bytes

if TYPE_CHECKING:
    from lstm_odyssey.kernels.member import Kernel

LARGE_PAGE = 2 * 1024 * 1024

LONG_SCAN = 128
"""Steps from which on copies of packed matrices are worth making: they also push other things out of the cache. Measured at 60
steps a loss of a tenth, at 300 a gain of as much."""


def scratch(floats: int, dtype: torch.dtype) -> Tensor:
    """Memory in large pages where the system has them.

    Small pages lie scattered, and the sets of the second cache are chosen by address: packed matrices that would just fit
    push each other out.
    """
    size = floats * dtype.itemsize
    advice = getattr(mmap, "MADV_HUGEPAGE", None)  # Linux
    if advice is None or size < LARGE_PAGE // 8:
        return torch.empty(floats, dtype=dtype, device="cpu")
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # the default is shared with processes forked later
    area = mmap.mmap(-1, -(-size // LARGE_PAGE) * LARGE_PAGE + LARGE_PAGE, flags=flags)
    try:
        area.madvise(advice)
    except OSError:
        return torch.empty(floats, dtype=dtype, device="cpu")  # a system without them
    whole = torch.frombuffer(area, dtype=torch.uint8)
    start = -whole.data_ptr() % LARGE_PAGE
    return whole[start : start + size].view(dtype)


@dataclass(frozen=True)
class Layout:
    """Where the areas of a call lie, in bytes from the beginning of a tensor, and how many floats each tensor has.

    ``copies`` are those of the packed recurrent matrices, forward and backward; see ``spread_bytes``.
    """

    kept: tuple[int, ...]
    kept_total: int
    forward: tuple[int, ...]
    forward_total: int
    backward: tuple[int, ...]
    backward_total: int
    copies: tuple[int, int]


def _copies(streamed: int, steps: int, rows: int) -> int:
    """How often a step's packed matrices, so many bytes, lie in memory: rows share what they read, one alone does not."""
    spread = spread_bytes()
    if spread is None or rows > 1 or steps < LONG_SCAN or streamed <= 2 * cache_bytes()[0]:
        return 1
    copies = -(-spread[0] // streamed)
    return copies if copies * streamed <= spread[1] else 1


@lru_cache(maxsize=4096)
def layout(made: Kernel, T: int, B: int, N: int, M: int) -> Layout:
    """The areas of one member's scan."""
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
    ahead, back = [packed(N, row) for row in rows], [packed(row, N) for row in rows]
    copies = tuple(_copies(sum(sizes) * made.size, T, B) for sizes in (ahead, back))
    return Layout(
        *areas(states * (T + 1) * B * N, frames * the.places * N, len(the.operands) * frames * N),
        *areas(max(M, N), count * N, *(packed(M, len(run.parameters) * N) for run in the.input_runs),
               *(copies[0] * size for size in ahead)),
        *areas(max(M, N), frames * count * N, len(the.operands) * B * N, 2 * states * B * N, packed(count * N, M),
               *(copies[1] * size for size in back)),
        (copies[0], copies[1]),
    )  # fmt: skip


class Pool(threading.local):
    """Memory of earlier calls, used again: fresh pages cost as much as a short scan. One pool a thread."""

    def __init__(self) -> None:
        self.scratch: dict[torch.dtype, Tensor] = {}
        self.free: list[Tensor] = []
        self.tables: dict[Any, Any] = {}  # of addresses in the scratch memory; void when that grows

    def address(self, floats: int, dtype: torch.dtype) -> int:
        """Of memory for what a call needs only while it runs."""
        tensor = self.scratch.get(dtype)
        if tensor is None or tensor.numel() < floats:
            tensor = self.scratch[dtype] = scratch(floats, dtype)
            self.tables.clear()
        return tensor.data_ptr()

    def take(self, floats: int, dtype: torch.dtype) -> Tensor:
        """A tensor of at least this many floats, and at most twice as many."""
        for place, tensor in enumerate(self.free):
            if tensor.dtype == dtype and floats <= tensor.numel() <= 2 * floats:
                return self.free.pop(place)
        return torch.empty(floats, dtype=dtype, device="cpu")


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
