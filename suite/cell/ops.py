"""The op table: what every operation of a cell's text means to each reader. The only file that knows what a sigmoid is.

A row is one op. A new op is one row here and one line in ``lstm_odyssey.variants.ops``. No torch is imported: the eager
meaning calls methods of its operands, as the text itself does.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lstm_odyssey.variants import ops as words


@dataclass(frozen=True)
class Op:
    """One operation.

    Args:
        name: the word in the text (the method's name on a symbol).
        arity: number of operands, 1 or 2.
        eager: the operation on tensors of any shape; of two operands one may be a Python number.
        symbol: how the rendered equations write it: an infix sign, a prefix sign, or the name of a function.
        precedence: binding strength when rendered; functions bind strongest.
    """

    name: str
    arity: int
    eager: Callable[..., Any]
    symbol: str
    precedence: int = 9


FUNCTION = 9

OPS: dict[str, Op] = {
    op.name: op
    for op in (
        Op("add", 2, operator.add, "+", 1),
        Op("sub", 2, operator.sub, "-", 1),
        Op("mul", 2, operator.mul, "⊙", 2),
        Op("div", 2, operator.truediv, "/", 2),
        Op("neg", 1, operator.neg, "-", 3),
        Op("sigmoid", 1, words.sigmoid, "σ"),
        Op("tanh", 1, words.tanh, "tanh"),
        Op("exp", 1, words.exp, "exp"),
        Op("log", 1, words.log, "log"),
        Op("relu", 1, words.relu, "relu"),
        Op("softplus", 1, words.softplus, "softplus"),
        Op("absolute", 1, words.absolute, "absolute"),
        Op("maximum", 2, words.maximum, "maximum"),
        Op("minimum", 2, words.minimum, "minimum"),
    )
}

FUNCTIONS = tuple(name for name, op in OPS.items() if op.precedence == FUNCTION)
"""The ops a text calls by name; the others are signs."""
