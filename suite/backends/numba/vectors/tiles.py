"""The inner loop of every matrix product: C[rows, vectors] = start + Σ_k A[row, k] · B[k, vectors], all of C in registers.

In axpy form: for each k a line of B is read and a number of A broadcast; there is no horizontal sum. The last vector of a
line may be partly beyond the matrix; a mask says how far it goes.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from lstm_odyssey.backends.numba.vectors.types import (
    FLAGS,
    MASKS,
    VECTORS,
    constant,
    masked_load,
    masked_store,
    pointer,
    splat,
)

_INTEGER = ir.IntType(64)


@cache
def tile(size: int, rows: int, vectors: int, sets: int) -> Any:
    """The intrinsic ``f(start, start_row, a, a_row, a_k, b, b_k, c, c_row, K, keep)``; addresses and strides in bytes.

    Args:
        size: bytes of a float, 4 or 8.
        rows, vectors: the extent of C.
        sets: how many k at once are summed apart; hides the latency of a narrow tile.
    """
    vector, mask = VECTORS[size], MASKS[size]
    cells = [(row, column) for row in range(rows) for column in range(vectors)]
    width = vector.lanes * size

    def at(builder: Any, base: Any, *offsets: Any) -> Any:
        for offset in offsets:
            base = builder.add(base, _INTEGER(offset) if isinstance(offset, int) else offset)
        return base

    def times(builder: Any, number: Any, count: int) -> Any:
        return builder.mul(number, _INTEGER(count))

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        start, start_row, a, a_row, a_k, b, b_k, c, c_row, steps, keep = args
        full = ir.Constant(mask.ir, [ir.IntType(1)(1)] * vector.lanes)

        def load(base: Any, column: int) -> Any:
            address = at(builder, base, column * width)
            if column == vectors - 1:
                return masked_load(builder, vector, address, keep)
            return builder.load(pointer(builder, address, vector.ir), align=size)

        def turn(a_now: Any, b_now: Any, sums: list[Any]) -> list[Any]:
            line = [load(b_now, column) for column in range(vectors)]
            new = []
            for row in range(rows):
                number = builder.load(pointer(builder, at(builder, a_now, times(builder, a_row, row)), vector.float))
                lanes = splat(builder, vector, number)
                for column in range(vectors):
                    product = builder.fmul(lanes, line[column], flags=FLAGS)
                    new.append(builder.fadd(sums[row * vectors + column], product, flags=FLAGS))
            return new

        def loop(count: Any, at_once: int, a_first: Any, b_first: Any, sums: list[Any]) -> tuple[Any, Any, list[Any]]:
            before = builder.block
            head, body, after = (builder.append_basic_block(name) for name in ("head", "body", "after"))
            builder.branch(head)
            builder.position_at_end(head)
            phis = [builder.phi(_INTEGER), builder.phi(_INTEGER), builder.phi(_INTEGER)]
            held = [builder.phi(vector.ir) for _ in sums]
            for phi, value in zip(phis + held, [_INTEGER(0), a_first, b_first, *sums], strict=True):
                phi.add_incoming(value, before)
            builder.cbranch(builder.icmp_signed("<", phis[0], count), body, after)
            builder.position_at_end(body)
            a_now, b_now, new = phis[1], phis[2], []
            for part in range(at_once):
                new += turn(a_now, b_now, held[part * len(cells) : (part + 1) * len(cells)])
                a_now, b_now = builder.add(a_now, a_k), builder.add(b_now, b_k)
            for phi, value in zip(phis + held, [builder.add(phis[0], _INTEGER(1)), a_now, b_now, *new], strict=True):
                phi.add_incoming(value, builder.block)
            builder.branch(head)
            builder.position_at_end(after)
            return phis[1], phis[2], list(held)

        sums = [load(at(builder, start, times(builder, start_row, row)), column) for row, column in cells]
        if sets > 1:
            more = [constant(vector, 0.0)] * (len(cells) * (sets - 1))
            whole = builder.sdiv(steps, _INTEGER(sets))
            a, b, sums = loop(whole, sets, a, b, sums + more)
            count = len(cells)
            sums = [_sum(builder, sums[k::count]) for k in range(count)]
            steps = builder.sub(steps, times(builder, whole, sets))
        _, _, sums = loop(steps, 1, a, b, sums)
        for (row, column), value in zip(cells, sums, strict=True):
            address = at(builder, c, times(builder, c_row, row), column * width)
            masked_store(builder, vector, value, address, keep if column == vectors - 1 else full)
        return context.get_dummy_value()

    @intrinsic
    def run(context: Any, start: Any, start_row: Any, a: Any, a_row: Any, a_k: Any, b: Any, b_k: Any, c: Any, c_row: Any,
            steps: Any, keep: Any) -> Any:  # fmt: skip
        return types.void(*[types.intp] * 10, mask), generate

    return run


def _sum(builder: Any, values: list[Any]) -> Any:
    while len(values) > 1:
        pairs = [builder.fadd(*values[k : k + 2]) for k in range(0, len(values) - 1, 2)]
        values = pairs + values[len(pairs) * 2 :]
    return values[0]
