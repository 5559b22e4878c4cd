"""Memory of compiled scans: what a call needs while it runs, and what a forward pass keeps for its backward pass."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from lstm_odyssey.backends.plan import Plan
from lstm_odyssey.backends.processor import cache_bytes, spread_bytes, vector_bytes

LARGE_PAGE = 2 * 1024 * 1024

ALIGNMENT = 64

IDLE_BYTES, IDLE_BLOCKS = 64 * 1024 * 1024, 32
"""What may lie idle in each of the two pools."""

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


class Compiled(Protocol):
    """What is laid out: a compiled scan's plan, and the bytes of its floats."""

    @property
    def plan(self) -> Plan: ...

    @property
    def size(self) -> int: ...


@dataclass(frozen=True)
class Layout:
    """Where the areas of a call lie, in bytes from the beginning of a tensor, and how many floats each tensor has.

    ``copies`` are those of the packed recurrent matrices, forward and backward; see ``spread_bytes``. ``part`` is what one
    of several calls of a backward pass needs, which share its ``deltas``, so many floats.
    """

    kept: tuple[int, ...]
    kept_total: int
    forward: tuple[int, ...]
    forward_total: int
    backward: tuple[int, ...]
    backward_total: int
    part: tuple[int, ...]
    part_total: int
    deltas: int
    copies: tuple[int, int]


def _copies(streamed: int, steps: int, rows: int) -> int:
    """How often a step's packed matrices, so many bytes, lie in memory: rows share what they read, one alone does not."""
    spread = spread_bytes()
    if spread is None or rows > 1 or steps < LONG_SCAN or streamed <= 2 * cache_bytes()[0]:
        return 1
    copies = -(-spread[0] // streamed)
    return copies if copies * streamed <= spread[1] else 1


@lru_cache(maxsize=4096)
def layout(made: Compiled, T: int, B: int, N: int, M: int) -> Layout:
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
    waiting = len(the.operands) + len(the.back_means)
    deltas, after = frames * count * N, (waiting * B * N, 2 * states * B * N, packed(count * N, M),
                                         *(copies[1] * size for size in back))  # fmt: skip
    return Layout(
        *areas(states * (T + 1) * B * N, frames * the.places * N, len(the.operands) * frames * N),
        *areas(max(M, N), count * N, *(packed(M, len(run.parameters) * N) for run in the.input_runs),
               *(copies[0] * size for size in ahead)),
        *areas(max(M, N), deltas, *after),
        *areas(max(M, N), 0, *after),
        deltas,
        (copies[0], copies[1]),
    )  # fmt: skip


class Block:
    """A stretch of memory that one call, or one graph, has to itself; ``tables`` are a call's, made of its address."""

    def __init__(self, memory: Tensor | np.ndarray[Any, Any]) -> None:
        self.memory, self.size = memory, memory.nbytes
        address = memory.data_ptr() if isinstance(memory, Tensor) else memory.ctypes.data
        self.start = -address % ALIGNMENT
        self.address = address + self.start
        self.tables: dict[Any, Any] = {}


class Pool:
    """Blocks that nobody uses at the moment: fresh pages cost as much as a short scan.

    Whoever takes a block has it alone until it is given back, so threads share none: a scan runs without the interpreter's
    lock. A block may be given back by the garbage collector at any moment, so there is no lock here either: what changes
    ``idle`` is one call of the interpreter's own.

    Args:
        limit: how many bytes may lie idle; what is more goes back to the system, the longest unused first.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.idle: list[Block] = []

    def take(self, size: int, most: float = float("inf")) -> Block | None:
        """The block used last among those of at least ``size`` and at most ``most`` bytes; None if there is none."""
        for block in self.idle[::-1]:
            if size <= block.size <= most:
                try:
                    self.idle.remove(block)
                except ValueError:  # another thread was faster
                    continue
                return block
        return None

    def give(self, block: Block) -> None:
        """Have a block back."""
        idle = self.idle
        idle.append(block)
        while len(idle) > IDLE_BLOCKS or sum([one.size for one in idle[:]]) > self.limit:
            try:
                self.idle.pop(0)
            except IndexError:  # another thread was faster
                return

    def empty(self) -> int:
        """Let all idle blocks go; returns their bytes."""
        freed = 0
        while self.idle:
            try:
                freed += self.idle.pop().size
            except IndexError:  # another thread was faster
                break
        return freed


SCRATCH, KEPT = Pool(IDLE_BYTES), Pool(IDLE_BYTES)
"""What calls need while they run; what forward passes keep for their backward passes."""


def free_memory() -> int:
    """Give back to the system the memory that compiled layers hold ready for their next call; returns its bytes.

    That is at most 128 MiB, of all threads together. What a call or a graph is using stays untouched.

    Example:
        >>> import lstm_odyssey as lo
        >>> lo.free_memory() >= 0
        True
    """
    return SCRATCH.empty() + KEPT.empty()


def borrow(size: int) -> Block:
    """A block of the scratch memory for a call, which gives it back."""
    return SCRATCH.take(size) or Block(scratch(size + ALIGNMENT, torch.uint8))


def give_back(block: Block) -> None:
    """End of what ``borrow`` began."""
    SCRATCH.give(block)


class _Lease(np.ndarray[Any, Any]):
    """The memory of a tensor of a block, which gives the block back when the last such tensor is gone."""

    block: Block | None = None

    def __del__(self) -> None:
        if self.block is not None:
            KEPT.give(self.block)


def kept(size: int) -> Tensor:
    """A tensor of so many bytes, not filled. When nothing refers to its memory any more, that goes back to the pool.

    It may so be given to ``save_for_backward``, and be freed, packed and brought back as autograd's tensors are.
    """
    block = KEPT.take(size + ALIGNMENT, 2 * (size + ALIGNMENT)) or Block(np.empty(size + ALIGNMENT, np.uint8))
    lease = block.memory[block.start : block.start + size].view(_Lease)  # type: ignore[call-overload]  # an array
    lease.block = block
    return torch.from_numpy(lease)
