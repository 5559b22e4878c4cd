"""SIMD vectors as a numba type, so that generated kernels read as equations and compile to one instruction an operation.

``load4(address, mask)`` gives a vector of float32, ``load8`` one of float64; the lanes of a mask that are off read as 0 and
are not written. ``+ - * /`` work between vectors and numbers. The operations may be contracted to fused ones; nothing else
is allowed to fast-math, so NaN and infinity come out as they should. Addresses are integers, in bytes.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models, register_default
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic

from lstm_odyssey.backends.processor import vector_bytes


class Vector(types.Type):
    """A vector of floats."""

    def __init__(self, size: int) -> None:
        self.size, self.lanes = size, vector_bytes() // size
        super().__init__(f"vector{self.lanes}_float{8 * size}")

    @property
    def float(self) -> ir.Type:
        return ir.FloatType() if self.size == 4 else ir.DoubleType()

    @property
    def ir(self) -> ir.Type:
        return ir.VectorType(self.float, self.lanes)


class Mask(types.Type):
    """Which lanes take part."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(f"mask{lanes}")

    @property
    def ir(self) -> ir.Type:
        return ir.VectorType(ir.IntType(1), self.lanes)


@register_default(Vector)
@register_default(Mask)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, fe_type.ir)


VECTORS = {size: Vector(size) for size in (4, 8)}
MASKS = {size: Mask(VECTORS[size].lanes) for size in (4, 8)}
FLAGS = ("contract",)


def _everywhere(builder: Any, kind: Any, value: Any) -> Any:
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)


def splat(builder: Any, vector: Vector, value: Any) -> Any:
    """A float in every lane."""
    return _everywhere(builder, vector.ir, value)


def splat_integer(builder: Any, lanes: int, value: Any) -> Any:
    """A 64-bit integer in every lane."""
    return _everywhere(builder, ir.VectorType(ir.IntType(64), lanes), value)


def constant(vector: Vector, value: float) -> Any:
    """A number in every lane, known when compiling."""
    return ir.Constant(vector.ir, [vector.float(value)] * vector.lanes)


def pointer(builder: Any, address: Any, to: Any) -> Any:
    """An integer as a pointer."""
    return builder.inttoptr(address, to.as_pointer())


def masked_load(builder: Any, vector: Vector, address: Any, mask: Any) -> Any:
    """The lanes of a mask from an address, 0 in the others."""
    place = pointer(builder, address, vector.ir)
    mask_type = ir.VectorType(ir.IntType(1), vector.lanes)
    short = f"v{vector.lanes}f{8 * vector.size}"
    signature_ = ir.FunctionType(vector.ir, [place.type, ir.IntType(32), mask_type, vector.ir])
    function = cgutils.get_or_insert_function(builder.module, signature_, f"llvm.masked.load.{short}.p0")
    return builder.call(function, [place, ir.IntType(32)(vector.size), mask, constant(vector, 0.0)])


def masked_store(builder: Any, vector: Vector, value: Any, address: Any, mask: Any) -> None:
    """Write the lanes of a mask."""
    place = pointer(builder, address, vector.ir)
    mask_type = ir.VectorType(ir.IntType(1), vector.lanes)
    short = f"v{vector.lanes}f{8 * vector.size}"
    signature_ = ir.FunctionType(ir.VoidType(), [vector.ir, place.type, ir.IntType(32), mask_type])
    function = cgutils.get_or_insert_function(builder.module, signature_, f"llvm.masked.store.{short}.p0")
    builder.call(function, [value, place, ir.IntType(32)(vector.size), mask])


def as_vector(context: Any, builder: Any, vector: Vector, value: Any, kind: Any) -> Any:
    """A vector as it is; a number in every lane."""
    if isinstance(kind, Vector):
        return value
    scalar = context.cast(builder, value, kind, types.float32 if vector.size == 4 else types.float64)
    return splat(builder, vector, scalar)


def _binary(word: Any, instruction: str) -> None:
    class Typing(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            found = [kind for kind in args if isinstance(kind, Vector)]
            if found and all(isinstance(kind, (Vector, types.Float, types.Integer)) for kind in args):
                return signature(found[0], *args)
            return None

    infer_global(word)(Typing)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        left, right = (as_vector(context, builder, sig.return_type, *pair) for pair in zip(args, sig.args, strict=True))
        return getattr(builder, instruction)(left, right, flags=FLAGS)

    for kinds in ((Vector, Vector), *((Vector, n) for n in (types.Float, types.Integer)),
                  *((n, Vector) for n in (types.Float, types.Integer))):  # fmt: skip
        lower_builtin(word, *kinds)(lower)


for _word, _instruction in (
    (operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul"), (operator.truediv, "fdiv"),
):  # fmt: skip
    _binary(_word, _instruction)


@infer_global(operator.neg)
class _Negation(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(args[0], args[0]) if isinstance(args[0], Vector) else None


@lower_builtin(operator.neg, Vector)
def _negation(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.fneg(args[0])


def _loads(size: int) -> Any:
    vector, mask = VECTORS[size], MASKS[size]

    @intrinsic
    def load(typing_context: Any, address: Any, keep: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return masked_load(builder, vector, *args)

        return vector(types.intp, mask), generate

    @intrinsic
    def first(typing_context: Any, count: Any) -> Any:
        """The mask of the first ``count`` lanes."""

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            wide = splat_integer(builder, vector.lanes, args[0])
            return builder.icmp_signed("<", ir.Constant(wide.type, list(range(vector.lanes))), wide)

        return mask(types.intp), generate

    @intrinsic
    def fill(typing_context: Any, number: Any) -> Any:
        """A number in every lane."""

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return as_vector(context, builder, vector, args[0], sig.args[0])

        return vector(number), generate

    return load, first, fill


load4, first4, fill4 = _loads(4)
load8, first8, fill8 = _loads(8)


@intrinsic
def store(typing_context: Any, address: Any, value: Any, keep: Any) -> Any:
    """Write the lanes of a mask."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        masked_store(builder, sig.args[1], args[1], args[0], args[2])
        return context.get_dummy_value()

    return types.void(types.intp, value, keep), generate


@intrinsic
def pick(typing_context: Any, a: Any, b: Any, where_greater: Any, otherwise: Any) -> Any:
    """``where_greater`` in the lanes where a > b, ``otherwise`` in the others, those with a NaN among them."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", args[0], args[1]), args[2], args[3])

    return a(a, a, a, a), generate


@intrinsic
def nan_of(typing_context: Any, a: Any, otherwise: Any) -> Any:
    """``a`` in the lanes where it is NaN, ``otherwise`` in the others."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_unordered("uno", args[0], args[0]), args[0], args[1])

    return a(a, a), generate


def lane_by_lane(builder: Any, vector: Any, word: str, args: Any) -> Any:
    """LLVM's function of that name, of one vector."""
    kind = ir.FunctionType(vector.ir, [vector.ir])
    name = f"llvm.{word}.v{vector.lanes}f{8 * vector.size}"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


@intrinsic
def natural_logarithm(typing_context: Any, a: Any) -> Any:
    """log by the mathematics library, lane by lane."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return lane_by_lane(builder, sig.args[0], "log", args)

    return a(a), generate


@intrinsic
def reciprocal(typing_context: Any, a: Any) -> Any:
    """1 / a for a normal, finite a: by its estimate of 14 bits and a Newton step where the CPU has one, to a unit or two."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = sig.args[0]
        one = constant(vector, 1.0)
        if vector.size == 8 or vector.lanes != 16:
            return builder.fdiv(one, args[0])
        mask = ir.IntType(16)
        kind = ir.FunctionType(vector.ir, [vector.ir, vector.ir, mask])
        estimate = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.rcp14.ps.512")
        r = builder.call(estimate, [args[0], constant(vector, 0.0), mask(0xFFFF)])
        error = builder.fsub(one, builder.fmul(args[0], r, flags=FLAGS), flags=FLAGS)
        return builder.fadd(builder.fmul(error, r, flags=FLAGS), r, flags=FLAGS)

    return a(a), generate


@intrinsic
def power_of_two(typing_context: Any, shifted: Any) -> Any:
    """2^k from k + 1.5·2^(bits of the mantissa): the low bits of the sum are k, and move into the exponent."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = sig.args[0]
        bits, one = (23, 0x3F800000) if vector.size == 4 else (52, 0x3FF0000000000000)
        integer = ir.IntType(8 * vector.size)
        integers = ir.VectorType(integer, vector.lanes)
        k = builder.shl(builder.bitcast(args[0], integers), ir.Constant(integers, [bits] * vector.lanes))
        return builder.bitcast(builder.add(k, ir.Constant(integers, [one] * vector.lanes)), vector.ir)

    return shifted(shifted), generate
