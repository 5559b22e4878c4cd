"""What generated source does with addresses besides vectors: read a table or a byte, call a compiled function."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from lstm_odyssey.backends.numba.vectors.types import VECTORS, pointer


@intrinsic
def entry(typing_context: Any, table: Any, number: Any) -> Any:
    """The 64-bit integer at a place of a table."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(builder.gep(pointer(builder, args[0], ir.IntType(64)), [args[1]]))

    return types.intp(types.intp, types.intp), generate


@intrinsic
def write_entry(typing_context: Any, table: Any, number: Any, value: Any) -> Any:
    """Put a 64-bit integer at a place of a table."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[2], builder.gep(pointer(builder, args[0], ir.IntType(64)), [args[1]]))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), generate


@intrinsic
def flag(typing_context: Any, address: Any) -> Any:
    """The byte at an address."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.zext(builder.load(pointer(builder, args[0], ir.IntType(8))), ir.IntType(64))

    return types.intp(types.intp), generate


def _numbers(size: int) -> Any:
    number = types.float32 if size == 4 else types.float64

    @intrinsic
    def read(typing_context: Any, address: Any) -> Any:
        """The float at an address."""

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.load(pointer(builder, args[0], VECTORS[size].float))

        return number(types.intp), generate

    @intrinsic
    def write(typing_context: Any, address: Any, value: Any) -> Any:
        """Put a float at an address."""

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            builder.store(
                context.cast(builder, args[1], sig.args[1], number), pointer(builder, args[0], VECTORS[size].float)
            )
            return context.get_dummy_value()

        return types.void(types.intp, value), generate

    return read, write


read4, write4 = _numbers(4)
read8, write8 = _numbers(8)


@intrinsic
def call(typing_context: Any, function: Any, arguments: Any) -> Any:
    """Call a compiled function by its address with integers."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        integer = ir.IntType(64)
        values = cgutils.unpack_tuple(builder, args[1], len(sig.args[1]))
        kind = ir.FunctionType(ir.VoidType(), [integer] * len(values))
        builder.call(pointer(builder, args[0], kind), values)
        return context.get_dummy_value()

    return types.void(types.intp, arguments), generate
