"""Size classes: how a scan of N blocks lies on a GPU's multiprocessors, and which of them fit where.

A program, one member and direction and a few rows, is run by a block of threads or a cluster of blocks that keep the
recurrent matrices to themselves over all time steps. Each block owns some of the N blocks of the cell, its *units*; ``lanes``
threads share a unit, each has its columns of every matrix, in registers so far as they go and in shared memory beyond. The
class of a member follows from N, the size of a float and the cell (its recurrent matrices, its means, what a step exchanges and
reads ahead), so that its bits depend on no neighbour.

Sources: the limits of each compute capability, CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

WIDTHS = (32, 64, 96, 128, 160, 224)
"""The greatest N of each class; beyond the last a scan is run step by step."""

REGISTERS, REGISTERS_OF_THREAD = 65536, 255
"""Of a multiprocessor, and the most a thread may have; the same from sm_80 to sm_120."""

CLUSTER = 8
"""The most blocks of a cluster that every device with clusters can run."""

GROUP = 16
"""Multiprocessors of a graphics processing cluster, which a cluster of blocks may not leave; some have two more."""


@dataclass(frozen=True)
class Architecture:
    """What of a compute capability decides which classes fit.

    Args:
        name: as NVRTC is told, ``"sm_90"``.
        shared: bytes of shared memory that one block may have.
        clusters: whether blocks can read each other's shared memory.
        spent: registers that ptxas spends on addresses and counters of a scan; with fewer it spilled in some class.
        means: of those more, where a step has means over N.
    """

    name: str
    shared: int
    clusters: bool
    spent: int = 56
    means: int = 0


ARCHITECTURES = {
    one.name: one
    for one in (
        Architecture("sm_80", 163 * 1024, False),
        Architecture("sm_86", 99 * 1024, False),
        Architecture("sm_89", 99 * 1024, False),
        Architecture("sm_90", 227 * 1024, True),
        Architecture("sm_100", 227 * 1024, True, spent=60, means=12),
        Architecture("sm_120", 99 * 1024, True, spent=66),
    )
}
"""By name."""


@dataclass(frozen=True)
class SizeClass:
    """A way to lay a scan out.

    Args:
        width: N is at most this; matrices and vectors are 0 beyond a member's own N.
        size: bytes of a float.
        matrices: how many recurrent matrices the cell has.
        cluster: blocks that share a program.
        lanes: threads of a unit, a power of two.
        held: columns of a matrix that each thread has in registers; the rest of its own lie in shared memory.
        rows: of the batch, the most that a program computes side by side.
    """

    width: int
    size: int
    matrices: int
    cluster: int
    lanes: int
    held: int
    rows: int

    @property
    def units(self) -> int:
        """Units of a block."""
        return self.width // self.cluster

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.units * self.lanes

    @property
    def columns(self) -> int:
        """Columns of a matrix that are a thread's."""
        return self.width // self.lanes

    @property
    def weights(self) -> int:
        """Bytes of matrices in a block's shared memory."""
        return self.matrices * (self.columns - self.held) * self.threads * self.size

    def shared(self, vectors: int, rows: int | None = None) -> int:
        """Bytes of a block's shared memory, with so many vectors that are exchanged."""
        return self.weights + vectors * (self.rows if rows is None else rows) * self.width * self.size

    @property
    def name(self) -> str:
        """As messages and tables have it."""
        return f"N <= {self.width}, float{8 * self.size}, {self.matrices} matrices"

    def clocks(self) -> float:
        """A rough prediction of a step of one row, times the multiprocessors it takes.

        Multiplications at 128 a clock (float64: 64), shared memory at 128 bytes a clock, 600 clocks of latency of a step and
        400 more of a cluster's barrier.
        """
        products = self.matrices * self.width * self.units / (512 / self.size)
        return self.cluster * (products + self.weights / 128 + 600 + 400 * (self.cluster > 1))


def rows_of(batch: int, matrices: int) -> int:
    """How many rows a program computes side by side, 1, 2 or 4: each needs a sum for every matrix in registers.

    Without matrices a row has nothing to share with another.
    """
    most = (4 if matrices <= 4 else 2 if matrices <= 8 else 1) if matrices else 1
    return min(most, batch if batch < 3 else 4)


def rows_alone(batch: int, matrices: int, cluster: int, processors: int) -> int:
    """How many rows a program computes where a network has the GPU to itself: the fewest that give each block a multiprocessor.

    A step of fewer rows is shorter. Where blocks share a multiprocessor, rows of one program share its weights: ``rows_of``.
    """
    most, fit = rows_of(batch, matrices), processors if cluster == 1 else processors // GROUP * (GROUP // cluster)
    return next((rows for rows in (1, 2) if rows < most and -(-batch // rows) <= fit), most)


def vector(size: int) -> int:
    """Numbers that are read at once, 16 bytes."""
    return 16 // size


def limits_of(architecture: str) -> Architecture:
    """The limits of an architecture; of one that is not listed, those of the listed one before it.

    Raises:
        KeyError: it is older than all of them.
    """
    known = {int(name.removeprefix("sm_")): one for name, one in ARCHITECTURES.items()}
    before = [number for number in known if number <= int(architecture.removeprefix("sm_"))]
    if not before:
        raise KeyError(architecture)
    return known[max(before)]


@lru_cache(maxsize=4096)
def size_class(
    N: int, matrices: int, vectors: int, size: int, architecture: str = "sm_90", ahead: int = 0
) -> SizeClass | None:
    """The class of a member; None where none fits and the scan runs step by step.

    Args:
        N: blocks of the cell.
        matrices: how many recurrent ones it has.
        vectors: how many vectors of length N lie in shared memory to be exchanged, forward or backward, the greater of the two.
        size: bytes of a float.
        architecture: a key of ``ARCHITECTURES``.
        ahead: input products of a step beyond one for each matrix; each is read a step ahead, into a register.
    """
    width = next((width for width in WIDTHS if width >= N), None)
    if width is None:
        return None
    limits = limits_of(architecture)
    blocks = CLUSTER if limits.clusters else 1
    every = _layouts(width, matrices, size, limits.spent + ahead * (size // 4))
    fitting = [one for one in every if one.cluster <= blocks and one.shared(vectors) <= limits.shared]
    return min(fitting, key=SizeClass.clocks, default=None)


def _layouts(width: int, matrices: int, size: int, spent: int) -> Iterator[SizeClass]:
    """All ways that registers allow."""
    rows, words, lines = rows_of(4, matrices), size // 4, vector(size)
    for cluster in (1, 2, 4, CLUSTER):
        for lanes in (4, 8, 16, 32) if matrices else (1,):
            threads = width // cluster * lanes
            if width % cluster or threads % 32 or threads > 1024 or width % (lanes * lines):
                continue
            granted = min(REGISTERS_OF_THREAD, REGISTERS // (-(-threads // 128) * 128) // 8 * 8)
            # what else a thread needs: the pointwise part, a sum for each matrix and row
            free = granted - spent - words * (16 + matrices * rows)
            held = min(max(free, 0) // (words * max(matrices, 1)) // lines * lines, width // lanes)
            yield SizeClass(width, size, matrices, cluster, lanes, held, rows)
