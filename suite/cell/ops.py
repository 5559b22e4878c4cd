"""The op table: what every operation of a cell's text means to each reader. The only file that knows what a sigmoid is.

A row is one op. A new op is one row here and one line in ``lstm_odyssey.variants.ops``. No torch is imported: the eager
meaning and the derivative call methods of their operands, as the text itself does.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lstm_odyssey.variants import ops as words

FUNCTION = 9


@dataclass(frozen=True)
class Op:
    """One operation.

    Args:
        name: the word in the text (the method's name on a symbol).
        arity: number of operands, 1 or 2.
        eager: the operation on tensors of any shape; of two operands one may be a Python number.
        symbol: how the rendered equations write it: an infix sign, a prefix sign, or the name of a function.
        pullback: from the adjoint of the op's value, the value itself and the operands to the adjoint of each operand. An
            expression like the text's, so that of tensors it makes numbers and of a graph's terms it makes graph. A
            derivative that knows the value is written with it: σ' = σ(1 - σ) costs no second exponential.
        kernel: the numba text on vectors of the CPU, ``{0}`` and ``{1}`` the operands; None if there is none.
        meaning: the same function in sympy's words, of ``a`` and ``b``.
        domain: for each operand an interval to check in.
        precedence: binding strength when rendered; functions bind strongest.
        dear: a kernel's backward pass keeps the value of a dear op and computes that of a cheap one again.
        in_text: a cell's text may use it; the others occur in derivatives only.
        reduction: its value is in each of N places the mean over N of what ``kernel`` says of its operand; a scan ends a phase
            before it, and sums over a member's own N in a fixed order.
        kinked: its derivative jumps, of one operand at 0, of two where they are equal.
    """

    name: str
    arity: int
    eager: Callable[..., Any]
    symbol: str
    pullback: Callable[..., tuple[Any, ...]]
    kernel: str | None
    meaning: str
    domain: tuple[tuple[float, float], ...]
    precedence: int = FUNCTION
    dear: bool = False
    in_text: bool = True
    kinked: bool = False
    reduction: bool = False


_REAL = (-5.0, 5.0)
_POSITIVE = (0.1, 10.0)


def _greater(a: Any, b: Any) -> Any:
    """1 where a > b, ½ at a tie, else 0."""
    return ((a - b).sign() + 1) * 0.5


OPS: dict[str, Op] = {
    op.name: op
    for op in (
        Op("add", 2, operator.add, "+", lambda d, out, a, b: (d, d), "{0} + {1}", "a + b", (_REAL, _REAL), 1),
        Op("sub", 2, operator.sub, "-", lambda d, out, a, b: (d, -d), "{0} - {1}", "a - b", (_REAL, _REAL), 1),
        Op("mul", 2, operator.mul, "⊙", lambda d, out, a, b: (d * b, d * a), "{0} * {1}", "a * b", (_REAL, _REAL), 2),
        Op(
            "div", 2, operator.truediv, "/", lambda d, out, a, b: (d / b, -(d * out / b)), "{0} / {1}", "a / b",
            (_REAL, _POSITIVE), 2, dear=True,
        ),
        Op("neg", 1, operator.neg, "-", lambda d, out, a: (-d,), "-{0}", "-a", (_REAL,), 3),
        Op(
            "sigmoid", 1, words.sigmoid, "σ", lambda d, out, a: (d * (out * (1 - out)),), "sigmoid({0})", "1 / (1 + exp(-a))",
            ((-20.0, 20.0),), dear=True,
        ),
        Op(
            "tanh", 1, words.tanh, "tanh", lambda d, out, a: (d * (1 - out * out),), "tanh({0})", "tanh(a)",
            ((-12.0, 12.0),), dear=True,
        ),
        Op("exp", 1, words.exp, "exp", lambda d, out, a: (d * out,), "exp({0})", "exp(a)", ((-20.0, 10.0),), dear=True),
        Op("log", 1, words.log, "log", lambda d, out, a: (d / a,), "log({0})", "log(a)", (_POSITIVE,), dear=True),
        Op(
            "sqrt", 1, words.sqrt, "sqrt", lambda d, out, a: (d / (out + out),), "sqrt({0})", "sqrt(a)", (_POSITIVE,),
            dear=True,
        ),
        Op("relu", 1, words.relu, "relu", lambda d, out, a: (d * out.sign(),), "relu({0})", "Max(a, 0)", (_REAL,),
           kinked=True),
        Op(
            "softplus", 1, words.softplus, "softplus", lambda d, out, a: (d * words.sigmoid(a),), "softplus({0})",
            "log(1 + exp(a))", ((-20.0, 20.0),), dear=True,
        ),
        Op("absolute", 1, words.absolute, "absolute", lambda d, out, a: (d * a.sign(),), "absolute({0})", "Abs(a)", (_REAL,),
           kinked=True),
        Op(
            "maximum", 2, words.maximum, "maximum", lambda d, out, a, b: (d * _greater(a, b), d * _greater(b, a)),
            "maximum({0}, {1})", "Max(a, b)", (_REAL, _REAL), kinked=True,
        ),
        Op(
            "minimum", 2, words.minimum, "minimum", lambda d, out, a, b: (d * _greater(b, a), d * _greater(a, b)),
            "minimum({0}, {1})", "Min(a, b)", (_REAL, _REAL), kinked=True,
        ),
        Op("mean", 1, words.mean, "mean", lambda d, out, a: (d.mean(),), "{0}", "a", (_REAL,), reduction=True),
        # the derivative of relu, absolute, maximum and minimum; its own is 0 wherever it has one
        Op("sign", 1, operator.methodcaller("sign"), "sign", lambda d, out, a: (d * 0,), "sign({0})", "sign(a)", (_REAL,),
           in_text=False, kinked=True),
    )
}  # fmt: skip

FUNCTIONS = tuple(name for name, op in OPS.items() if op.precedence == FUNCTION and op.in_text)
"""The ops a text calls by name; the others are signs."""
