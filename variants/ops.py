"""The operations a cell's text may use. No torch here: each function calls a method of its operand.

Given a tensor they compute, given a symbol they are traced. ``+ - * /`` and constants need no function. What an op means
to each backend (eager method, kernel text, derivative) is a row of ``lstm_odyssey.cell.ops``; a new op is one row there
and one line here.
"""

from __future__ import annotations

from typing import Any

from lstm_odyssey.variants.declare import TraceError

Value = Any  # a torch tensor, a symbol of the tracer, or whatever has the methods


def _operand(op: str, *values: Value) -> None:
    """Refuse an op of constants alone: it has no shape, and a number can be written as a number."""
    if all(isinstance(value, (int, float)) for value in values):
        shown = ", ".join(map(repr, values))
        raise TraceError(
            f"{op}({shown}): got constants only, expected at least one vector. Write the number itself in the cell."
        )


def sigmoid(a: Value) -> Value:
    """σ(a) = 1 / (1 + exp(-a))."""
    _operand("sigmoid", a)
    return a.sigmoid()


def tanh(a: Value) -> Value:
    """Hyperbolic tangent."""
    _operand("tanh", a)
    return a.tanh()


def exp(a: Value) -> Value:
    """Exponential."""
    _operand("exp", a)
    return a.exp()


def log(a: Value) -> Value:
    """Natural logarithm."""
    _operand("log", a)
    return a.log()


def relu(a: Value) -> Value:
    """max(a, 0); the derivative at 0 is 0, as in torch."""
    _operand("relu", a)
    return a.relu()


def softplus(a: Value) -> Value:
    """log(1 + exp(a)), computed as max(a, 0) + log1p(exp(-|a|)) so that it does not overflow."""
    _operand("softplus", a)
    traced = getattr(a, "softplus", None)  # torch has no such method; logaddexp is the same function
    return traced() if traced is not None else a.logaddexp(a * 0)


def absolute(a: Value) -> Value:
    """|a|; the derivative at 0 is 0, as in torch."""
    _operand("absolute", a)
    return a.absolute()


def _two(op: str, a: Value, b: Value) -> Value:
    _operand(op, a, b)
    if isinstance(a, (int, float)):
        a, b = b, a
    if isinstance(b, (int, float)) and not getattr(a, "takes_constants", False):
        b = a * 0 + b  # torch's maximum takes tensors only; made of `a`, it passes NaN on
    return getattr(a, op)(b)


def maximum(a: Value, b: Value) -> Value:
    """The greater of two values, one of which may be a constant; at a tie each takes half the derivative."""
    return _two("maximum", a, b)


def minimum(a: Value, b: Value) -> Value:
    """The lesser of two values, one of which may be a constant; at a tie each takes half the derivative."""
    return _two("minimum", a, b)
