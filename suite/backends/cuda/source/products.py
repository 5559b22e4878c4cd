"""Source of what goes around a scan, for any cell: matrix products of many members at once, and sums over tiles of rows.

Each program computes a product of its own sizes, and every number of it in one order of its own, so that no bit depends on
who else is computed: a library chooses its kernels by the number of members.
"""

from __future__ import annotations

from functools import lru_cache

TILE, STEPS, THREADS = 64, 16, 256
"""Rows and columns of the part of a product that a block computes, steps that it has in shared memory, and its threads."""

PRODUCT = (
    "ROWS", "COLUMNS", "STEPS", "a", "a_row", "a_step", "b", "b_step", "b_column", "start", "start_row", "c", "c_row",
)  # fmt: skip
"""The entries of a product's table: C[rows, columns] = start + A[rows, steps] B[steps, columns].

Distances are in numbers; the columns of C and of start lie side by side. ``start`` 0 is 0; with ``start_row`` 0 every row
starts from the same numbers.
"""

COLLECTED = 32
"""Columns of a sum that a block computes."""

COLLECT = ("TILES", "COLUMNS", "parts", "part", "to")
"""The entries of a sum's table: to[columns] = Σ over tiles of parts[tile * part + column]."""

_SOURCE = """\
#include "device.h"

typedef {real} real;

struct alignas(16) Line {{ real number[4]; }};

extern "C" __global__ void __launch_bounds__({threads}) product(const long long* __restrict__ tables) {{
    const long long* table = tables + blockIdx.y * {width};
    const int rows = int(table[0]), columns = int(table[1]), steps = int(table[2]);
    const int across = (columns + {tile} - 1) / {tile};
    if (blockIdx.x >= across * ((rows + {tile} - 1) / {tile})) return;
    const real* const a = reinterpret_cast<const real*>(table[3]);
    const long long a_row = table[4], a_step = table[5];
    const real* const b = reinterpret_cast<const real*>(table[6]);
    const long long b_step = table[7], b_column = table[8];
    const int top = int(blockIdx.x) / across * {tile}, left = int(blockIdx.x) % across * {tile};
    SHARED(real, left_part);
    real* const right_part = left_part + {steps} * ({tile} + 4);
    const int i = threadIdx.x, row = i / 16 * 4, column = i % 16 * 4;
    const real* const start = reinterpret_cast<const real*>(table[9]);
    real sums[4][4];  // they go on from the start, so that a product in several parts has the bits of the whole
#pragma unroll
    for (int r = 0; r < 4; ++r)
#pragma unroll
        for (int n = 0; n < 4; ++n) {{
            const bool inside = start && top + row + r < rows && left + column + n < columns;
            sums[r][n] = inside ? start[(top + row + r) * table[10] + left + column + n] : real(0);
        }}
    for (int begin = 0; begin < steps; begin += {steps}) {{
        // neighbouring threads read neighbouring numbers, whichever way a matrix lies
#pragma unroll
        for (int k = 0; k < 4; ++k) {{
            const int at_row = a_step == 1 ? i / 16 + 16 * k : i % {tile}, at_step = a_step == 1 ? i % 16 : i / {tile} + 4 * k;
            const bool inside = top + at_row < rows && begin + at_step < steps;
            left_part[at_step * ({tile} + 4) + at_row] =
                inside ? a[(top + at_row) * a_row + (begin + at_step) * a_step] : real(0);
        }}
#pragma unroll
        for (int k = 0; k < 4; ++k) {{
            const int at_column = b_column == 1 ? i % {tile} : i / 16 + 16 * k;
            const int at_step = b_column == 1 ? i / {tile} + 4 * k : i % 16;
            const bool inside = left + at_column < columns && begin + at_step < steps;
            right_part[at_step * ({tile} + 4) + at_column] =
                inside ? b[(begin + at_step) * b_step + (left + at_column) * b_column] : real(0);
        }}
        __syncthreads();
        const int count = steps - begin < {steps} ? steps - begin : {steps};
        for (int k = 0; k < count; ++k) {{
            const Line x = *reinterpret_cast<const Line*>(left_part + k * ({tile} + 4) + row);
            const Line w = *reinterpret_cast<const Line*>(right_part + k * ({tile} + 4) + column);
#pragma unroll
            for (int r = 0; r < 4; ++r)
#pragma unroll
                for (int n = 0; n < 4; ++n) sums[r][n] += x.number[r] * w.number[n];
        }}
        __syncthreads();
    }}
    real* const c = reinterpret_cast<real*>(table[11]);
#pragma unroll
    for (int r = 0; r < 4; ++r)
#pragma unroll
        for (int n = 0; n < 4; ++n)
            if (top + row + r < rows && left + column + n < columns)
                c[(top + row + r) * table[12] + left + column + n] = sums[r][n];
}}

extern "C" __global__ void __launch_bounds__({threads}) collect(const long long* __restrict__ tables) {{
    const long long* table = tables + blockIdx.y * {collected};
    // neighbouring threads read neighbouring columns; the tiles are dealt out to as many threads as there are warps
    const int own = threadIdx.x % {column_block}, share = threadIdx.x / {column_block};
    const int column = int(blockIdx.x) * {column_block} + own;
    const real* const parts = reinterpret_cast<const real*>(table[2]);
    SHARED(real, sums);
    real sum = real(0);
    if (column < table[1])
        for (long long tile = share; tile < table[0]; tile += {threads} / {column_block})
            sum += parts[tile * table[3] + column];
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (share || column >= table[1]) return;
    for (int k = 1; k < {threads} / {column_block}; ++k) sum += sums[k * {column_block} + own];
    reinterpret_cast<real*>(table[4])[column] = sum;
}}
"""


@lru_cache(maxsize=32)
def source(size: int) -> str:
    """The kernels ``product`` and ``collect`` for floats of ``size`` bytes."""
    return _SOURCE.format(
        real="float" if size == 4 else "double", tile=TILE, steps=STEPS, threads=THREADS, width=len(PRODUCT),
        collected=len(COLLECT), column_block=COLLECTED,
    )  # fmt: skip


def shared(size: int) -> int:
    """Bytes of shared memory of a product's block."""
    return 2 * STEPS * (TILE + 4) * size


def tiles(rows: int, columns: int) -> int:
    """Blocks of a product."""
    return -(-rows // TILE) * -(-columns // TILE)
