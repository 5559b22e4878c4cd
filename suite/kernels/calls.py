"""What generated source does with addresses besides vectors: read a table or a byte, call a compiled function."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from lstm_odyssey.kernels.vectors import pointer


@intrinsic
def entry(typing_context: Any, table: Any, number: Any) -> Any:
    """The 64-bit integer at a place of a table."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(builder.gep(pointer(builder, args[0], ir.IntType(64)), [args[1]]))

    return types.intp(types.intp, types.intp), generate


@intrinsic
def flag(typing_context: Any, address: Any) -> Any:
    """The byte at an address."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.zext(builder.load(pointer(builder, args[0], ir.IntType(8))), ir.IntType(64))

    return types.intp(types.intp), generate


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
