"""A square of numbers turned over its diagonal in registers: lines of a matrix become columns of a packed one."""

from __future__ import annotations

from functools import cache
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from lstm_odyssey.backends.numba.vectors.types import VECTORS, masked_load, masked_store, splat_integer

_INTEGER = ir.IntType(64)


def _merged(builder: Any, low: Any, high: Any, lanes: int, half: int) -> tuple[Any, Any]:
    """Two vectors in blocks of ``half`` lanes: (low 0, high 0, low 2, ...) and (low 1, high 1, low 3, ...)."""
    first, second = [], []
    for lane in range(lanes):
        block, within = divmod(lane, half)
        place = (block // 2) * 2 * half + within
        first.append(place if block % 2 == 0 else lanes + place)
        second.append(place + half if block % 2 == 0 else lanes + place + half)
    kind = ir.VectorType(ir.IntType(32), lanes)
    return tuple(builder.shuffle_vector(low, high, ir.Constant(kind, order)) for order in (first, second))  # type: ignore[return-value]  # two of them


@cache
def transpose(size: int) -> Any:
    """The intrinsic ``f(source, line, rows, target, step, count)``.

    ``rows`` lines of ``count`` numbers, neither more than a vector has lanes, become ``count`` lines of ``rows`` numbers,
    ``step`` bytes apart. Nothing beside them is read or written.
    """
    vector = VECTORS[size]
    lanes = vector.lanes

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        source, line, rows, target, step, count = args

        def first(number: Any) -> Any:
            order = ir.Constant(ir.VectorType(_INTEGER, lanes), list(range(lanes)))
            return builder.icmp_signed("<", order, splat_integer(builder, lanes, number))

        def within(place: int, limit: Any) -> Any:
            return builder.icmp_signed("<", _INTEGER(place), limit)

        columns, nothing = first(count), _INTEGER(0)
        values = []
        for row in range(lanes):
            offset = builder.select(within(row, rows), builder.mul(line, _INTEGER(row)), nothing)
            values.append(masked_load(builder, vector, builder.add(source, offset), columns))
        half = lanes // 2
        while half:
            turned = list(values)
            for row in range(lanes):
                if row // half % 2 == 0:
                    turned[row], turned[row + half] = _merged(builder, values[row], values[row + half], lanes, half)
            values, half = turned, half // 2
        for column, value in enumerate(values):
            mask = first(builder.select(within(column, count), rows, nothing))
            masked_store(builder, vector, value, builder.add(target, builder.mul(step, _INTEGER(column))), mask)
        return context.get_dummy_value()

    @intrinsic
    def run(typing_context: Any, source: Any, line: Any, rows: Any, target: Any, step: Any, count: Any) -> Any:
        return types.void(*[types.intp] * 6), generate

    return run
