"""Matrix products of the scan, as source: one function for all of them, and two that pack a matrix into panels.

A *panel* is a few vectors wide, so that a tile holds all its sums in registers; its lines lie one behind the other.
Compiled once a float type, not once a cell: cells call it by its address.
"""

from __future__ import annotations

from lstm_odyssey.backends.processor import vector_bytes

_SOURCE = '''
from numba import cfunc, njit, types

from lstm_odyssey.backends.numba.vectors.tiles import tile
from lstm_odyssey.backends.numba.vectors.transpose import transpose
from lstm_odyssey.backends.numba.vectors.types import first{size} as first, load{size} as load, store

SIZE, LANES, BYTES = {size}, {lanes}, {bytes}
transposed = transpose(SIZE)
{tiles}


@njit(error_model="numpy", forceinline=True)
def panels_of(columns, rows):
    """The number of vectors of a line, and of panels."""
    vectors = (columns + LANES - 1) // LANES
    widest = {wide} if rows == 1 else {narrow}
    return vectors, (vectors + widest - 1) // widest


def product(start, start_row, a, a_row, a_k, b, b_line, c, c_row, rows, steps, columns, backwards):
    """C[rows, columns] = start + A[rows, steps] B[steps, columns]; ``b_line`` 0: B is packed for this number of rows.

    With ``start_row`` 0 every row starts from the same numbers. All strides in bytes; rows of C lie side by side in memory.
    ``backwards`` walks B from its end: what the call before read last is still in the nearest cache.
    """
    vectors, panels = panels_of(columns, rows)
    # with many rows, a block of lines of B that fits the nearest cache serves all rows, a block of A all panels
    part = steps if rows < 8 else {block}
    done = 0
    while True:
        count = min(part, steps - done)
        for turn in range(panels):
            panel = panels - 1 - turn if backwards else turn
            before = vectors * panel // panels
            width = vectors * (panel + 1) // panels - before
            keep = first(columns - (before + width - 1) * LANES)
            shift = before * BYTES
            if b_line == 0:
                b_at, b_k = b + shift * steps, width * BYTES
            else:
                b_at, b_k = b + shift, b_line
            a_at, a_step = a, a_k
            if backwards:
                a_at, b_at = a_at + (steps - 1) * a_k, b_at + (steps - 1) * b_k
                a_step, b_k = -a_k, -b_k
            a_at, b_at = a_at + done * a_step, b_at + done * b_k
            row = 0
{blocks}
        done += count
        if done >= steps:
            break
        start, start_row = c, c_row


def pack_lines(source, line, rows, columns, target, row, of, width_rows):
    """Lines of a matrix [rows, columns] become lines ``row``... of a packed one with ``of`` lines."""
    vectors, panels = panels_of(columns, width_rows)
    for panel in range(panels):
        before = vectors * panel // panels
        width = vectors * (panel + 1) // panels - before
        to = target + before * BYTES * of + row * width * BYTES
        for k in range(rows):
            at = source + k * line + before * BYTES
            for vector in range(width):
                keep = first(columns - (before + vector) * LANES)
                store(to, load(at, keep), first(LANES))
                at += BYTES
                to += BYTES


def pack_columns(source, line, rows, columns, target, column, of, width_rows):
    """Lines of a matrix [rows, columns] become columns ``column``... of a packed one with ``of`` columns."""
    vectors, panels = panels_of(of, width_rows)
    for panel in range(panels):
        before = vectors * panel // panels
        width = vectors * (panel + 1) // panels - before
        low, high = max(before * LANES - column, 0), min((before + width) * LANES - column, rows)
        for row in range(low, high, LANES):
            count = min(LANES, high - row)
            to = target + before * columns * BYTES + (column + row - before * LANES) * SIZE
            at = source + row * line
            for k in range(0, columns, LANES):
                transposed(at + k * SIZE, line, count, to + k * width * BYTES, width * BYTES, min(LANES, columns - k))


integer = types.intp
product = cfunc(types.void(*[integer] * 13), {options})(product)
pack_lines = cfunc(types.void(*[integer] * 8), {options})(pack_lines)
pack_columns = cfunc(types.void(*[integer] * 8), {options})(pack_columns)
'''


def source(size: int, options: str) -> str:
    """The module's text for floats of ``size`` bytes."""
    width = vector_bytes()
    wide, narrow, heights = (14, 6, (4, 2, 1)) if width == 64 else (14, 3, (4, 2, 1))
    tiles, blocks = [], []
    for height in heights:
        blocks.append(f"            while row + {height} <= rows:")
        for vectors in range(1, (wide if height == 1 else narrow) + 1):
            name = f"tile_{height}_{vectors}"
            sets = max(1, min(4, (16 if width == 64 else 8) // (height * vectors)))
            tiles.append(f"{name} = tile({size}, {height}, {vectors}, {sets})")
            words = "if" if vectors == 1 else "elif"
            blocks.append(f"                {words} width == {vectors}:")
            blocks.append(
                f"                    {name}(start + shift + row * start_row, start_row, "
                "a_at + row * a_row, a_row, a_step, b_at, b_k, c + shift + row * c_row, c_row, count, keep)"
            )
        blocks.append(f"                row += {height}")
    return _SOURCE.format(
        size=size, lanes=width // size, bytes=width, wide=wide, narrow=narrow, block=32768 // (narrow * width), options=options,
        tiles="\n".join(tiles), blocks="\n".join(blocks),
    )  # fmt: skip
