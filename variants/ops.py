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


def _is_symbol(a: Value) -> bool:
    """Whether this is the tracer's: symbols record ops by name, tensors have methods."""
    return hasattr(type(a), "record")


def _one(op: str, a: Value) -> Value:
    _operand(op, a)
    return a.record(op) if _is_symbol(a) else getattr(a, op)()


def sigmoid(a: Value) -> Value:
    """σ(a) = 1 / (1 + exp(-a))."""
    return _one("sigmoid", a)


def tanh(a: Value) -> Value:
    """Hyperbolic tangent."""
    return _one("tanh", a)


def exp(a: Value) -> Value:
    """Exponential."""
    return _one("exp", a)


def log(a: Value) -> Value:
    """Natural logarithm."""
    return _one("log", a)


def sqrt(a: Value) -> Value:
    """Square root of what is above 0."""
    return _one("sqrt", a)


def relu(a: Value) -> Value:
    """max(a, 0); the derivative at 0 is 0, as in torch."""
    return _one("relu", a)


def softplus(a: Value) -> Value:
    """log(1 + exp(a)), computed as max(a, 0) + log1p(exp(-|a|)) so that it does not overflow."""
    _operand("softplus", a)
    if _is_symbol(a):
        return a.record("softplus")
    return a.logaddexp(a.new_zeros(()))  # torch has no method of that name; this is the same function


def absolute(a: Value) -> Value:
    """|a|; the derivative at 0 is 0, as in torch."""
    return _one("absolute", a)


EPSILON = 1e-5
"""What a root of a mean square has added, so that it is never 0: torch's number, in ``torch.nn.LayerNorm``."""


def mean(a: Value) -> Value:
    """The mean over the N numbers of a vector, in each of its N places: (Σ_n a_n) / N."""
    _operand("mean", a)
    if _is_symbol(a):
        return a.record("mean")
    return a.mean(-1, keepdim=True).expand_as(a)


def rms(a: Value) -> Value:
    """The root of the mean square over N, in each of the N places: sqrt(mean(a ⊙ a) + 1e-5).

    A word made of others, and written out in the equations. With d = a - mean(a), d / rms(d) is a normalised over N.
    """
    _operand("rms", a)
    return sqrt(mean(a * a) + EPSILON)


def _two(op: str, a: Value, b: Value) -> Value:
    _operand(op, a, b)
    if isinstance(a, (int, float)):
        a, b = b, a
    if _is_symbol(a):
        return a.record(op, b)
    if isinstance(b, (int, float)):
        b = a * 0 + b  # torch's maximum takes tensors only; made of `a`, it passes NaN on
    return getattr(a, op)(b)


def maximum(a: Value, b: Value) -> Value:
    """The greater of two values, one of which may be a constant; at a tie each takes half the derivative."""
    return _two("maximum", a, b)


def minimum(a: Value, b: Value) -> Value:
    """The lesser of two values, one of which may be a constant; at a tie each takes half the derivative."""
    return _two("minimum", a, b)
