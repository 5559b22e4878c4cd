"""Operations on the lanes of a vector: choose some of them, and make one number of all."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from lstm_odyssey.backends.numba.vectors.types import (
    MASKS,
    VECTORS,
    Vector,
    as_vector,
    lane_by_lane,
    load8,
    masked_load,
    masked_store,
    store,
)


@intrinsic
def only(typing_context: Any, keep: Any, a: Any, otherwise: Any) -> Any:
    """``a`` in the lanes of a mask, the number ``otherwise`` in the others."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        other = as_vector(context, builder, sig.return_type, args[2], sig.args[2])
        return builder.select(args[0], args[1], other)

    return a(keep, a, otherwise), generate


def _across(builder: Any, vector: Vector, word: str, *args: Any, flags: Any = ()) -> Any:
    kind = ir.FunctionType(vector.float, [*(vector.float for _ in args[:-1]), vector.ir])
    name = f"llvm.vector.reduce.{word}.v{vector.lanes}f{8 * vector.size}"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args, fastmath=flags)


def _scalar(vector: Vector) -> Any:
    return types.float32 if vector.size == 4 else types.float64


@intrinsic
def total(typing_context: Any, a: Any) -> Any:
    """The sum of all lanes, as a number."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = sig.args[0]
        return _across(builder, vector, "fadd", vector.float(-0.0), args[0], flags=("reassoc",))

    return _scalar(a)(a), generate


@intrinsic
def greatest(typing_context: Any, a: Any) -> Any:
    """The greatest lane, as a number; a NaN is passed over."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _across(builder, sig.args[0], "fmax", args[0])

    return _scalar(a)(a), generate


@intrinsic
def sqrt(typing_context: Any, a: Any) -> Any:
    """The square root of each lane, rounded correctly."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return lane_by_lane(builder, sig.args[0], "sqrt", args)

    return a(a), generate


class _Short(Vector):
    """A float32 for every lane of a vector of float64: half a vector, which no function of numba's gets to see."""

    def __init__(self) -> None:
        super().__init__(4)
        self.lanes = VECTORS[8].lanes


SHORT = _Short()


@intrinsic
def widened4(typing_context: Any, address: Any, keep: Any) -> Any:
    """float32 from an address as a vector of float64, 0 in the lanes of a mask that are off."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.fpext(masked_load(builder, SHORT, *args), VECTORS[8].ir)

    return VECTORS[8](types.intp, MASKS[8]), generate


@intrinsic
def narrowed4(typing_context: Any, address: Any, value: Any, keep: Any) -> Any:
    """Write the lanes of a mask of a vector of float64 as float32."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        masked_store(builder, SHORT, builder.fptrunc(args[1], SHORT.ir), args[0], args[2])
        return context.get_dummy_value()

    return types.void(types.intp, VECTORS[8], MASKS[8]), generate


widened8, narrowed8 = load8, store
