"""What a scan is given, and the parts in which its work is shared: rows of a batch, then shares of products.

The bits are those of one call, however many parts there are. A row's numbers never depend on which others are computed in
the same call, as long as parts are of whole blocks of ``SUMMED_ROWS`` rows. A gradient of a matrix is summed over all frames in
one order, whoever computes its lines. A gradient of a vector is summed for each block of rows apart, and then over blocks.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from lstm_odyssey.backends.numba.source.blocks import PRODUCTS, SCAN, SUMMED_ROWS


class Ahead(NamedTuple):
    """What a forward pass is given: addresses, in the order of ``Kernel.cuts``: inputs [T, B, M], packed spaces [k N],
    [k N, M] or [k N, N], states [B, N]. That of ``active``, [T, B] bytes, is 0 where there is no padding; that of
    ``kept`` is of ``kept_bytes``, and filled with what the backward pass needs, as y [T, B, N] and the final states are.
    """

    addresses: Sequence[int]
    active: int
    kept: int
    y: int
    final: Sequence[int]


class Back(NamedTuple):
    """What a backward pass is given, and the addresses of the gradients, in the same order; those of address 0 are not
    computed.

    Those of spaces of vectors are all computed. ``deltas`` is 0, or memory of ``Layout.deltas`` floats that parts of it share.
    """

    addresses: Sequence[int]
    active: int
    kept: int
    dy: int
    dfinal: Sequence[int]
    gradients: Sequence[int]
    deltas: int = 0


@dataclass(frozen=True)
class Part:
    """What one call computes.

    Args:
        first, rows: of the batch.
        together: whether its frames lie one behind another, and may be gone over without regard to steps.
        does: ``SCAN`` and ``PRODUCTS`` of a backward pass, or one of them.
        share, shares: which share of the products, of how many.
        most: number of the last of its blocks of rows that are summed apart.
        gap: bytes from the sums of one block to those of the next.
    """

    first: int
    rows: int
    together: bool
    does: int = SCAN | PRODUCTS
    share: int = 0
    shares: int = 1
    most: int = 0
    gap: int = 0

    @cached_property
    def entries(self) -> array[int]:
        """As a table has them, in the order of ``source.blocks.PART``."""
        return array(
            "q", [self.first, self.rows, self.together, self.does, self.share, self.shares, self.most, self.gap]
        )


@lru_cache(maxsize=1024)
def whole_part(rows: int) -> Part:
    """All of a batch, its gradients of vectors in one sum over all rows."""
    return Part(0, rows, True)


def summed_apart(rows: int) -> int:
    """How many blocks of a batch's rows are summed apart."""
    return max(rows // SUMMED_ROWS, 1)


def parts(rows: int, count: int, gap: int = 0, does: int = SCAN | PRODUCTS) -> tuple[Part, ...]:
    """A batch of so many rows in at most ``count`` parts; of one block of rows there is but one."""
    blocks = summed_apart(rows)
    if blocks == 1:
        return (Part(0, rows, True, does),)
    count = min(count, blocks)
    cuts = [blocks * k // count for k in range(count + 1)]
    ends = [*(SUMMED_ROWS * cut for cut in cuts[:-1]), rows]
    return tuple(
        Part(
            ends[k], ends[k + 1] - ends[k], count == 1 and rows % 4 == 0, does, most=cuts[k + 1] - cuts[k] - 1, gap=gap
        )
        for k in range(count)
    )


def product_parts(rows: int, count: int) -> tuple[Part, ...]:
    """The products of a backward pass in so many shares."""
    return tuple(Part(0, rows, True, PRODUCTS, share, count) for share in range(count))
