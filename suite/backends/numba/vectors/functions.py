"""Functions on vectors, in numba: exp and what is made of it, to a few units in the last place.

exp(a) = 2^k e^r with r = a - k ln 2, |r| <= ln 2 / 2; e^r - 1 is a polynomial, so that tanh = m / (m + 2) with
m = exp(2a) - 1 keeps its relative precision near 0. Bounds are written so that NaN passes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from numba import njit

from lstm_odyssey.backends.numba.vectors.types import (
    fill4,
    fill8,
    nan_of,
    natural_logarithm,
    pick,
    power_of_two,
    reciprocal,
)

# greatest and least exponents, ln 2 in two parts, shift, degree of the polynomial, where tanh is 1
_FLOAT = {
    4: (88.722839, -104.0, 0.693359375, -2.12194440e-4, 1.5 * 2.0**23, 7, 9.1),
    8: (709.782712893, -745.2, 6.93147180369123816490e-01, 1.90821492927058770002e-10, 1.5 * 2.0**52, 13, 19.2),
}


def _estrin(name: str, coefficients: Sequence[float], result: str) -> str:
    """Source of a function of r that evaluates a polynomial p in it, in few dependent steps, and returns ``result``."""
    lines, parts, power = [f"def {name}(r):"], [repr(value) for value in coefficients], "r"
    while len(parts) > 1:
        pairs = []
        for k in range(0, len(parts) - 1, 2):
            pairs.append(f"{power}p{k}")
            lines.append(f"    {pairs[-1]} = {parts[k]} + {power} * {parts[k + 1]}")
        parts = pairs + parts[2 * len(pairs) :]
        if len(parts) > 1:
            lines.append(f"    {power}r = {power} * {power}")
            power += "r"
    return "\n".join([*lines, f"    p = {parts[0]}", f"    return {result}", ""])


def _functions(size: int) -> SimpleNamespace:
    largest, smallest, ln2, ln2_rest, shift, degree, flat = _FLOAT[size]
    fill = {4: fill4, 8: fill8}[size]
    log2e = 1 / math.log(2)
    coefficients = tuple(1 / math.factorial(k) for k in range(2, degree + 1))
    made = njit(forceinline=True, error_model="numpy")
    scope: dict[str, Any] = {"__name__": __name__}
    exec(_estrin("polynomial", coefficients, "p * (r * r) + r"), scope)
    polynomial = made(scope["polynomial"])

    @made
    def reduced(a: Any) -> Any:
        """(2^k, e^r - 1)."""
        shifted = a * log2e + shift
        k = shifted - shift
        r = (a - k * ln2) - k * ln2_rest
        return power_of_two(shifted), polynomial(r)

    @made
    def exp(a: Any) -> Any:
        high, low = fill(largest), fill(smallest)
        inside = pick(a, high, high, a)
        inside = pick(low, inside, low, inside)
        half = inside * 0.5
        scale, m = reduced(half)
        root = scale * m + scale
        value = root * root
        value = pick(a, high, fill(math.inf), value)
        return pick(low, a, fill(0.0), value)

    @made
    def sigmoid(a: Any) -> Any:
        bound = fill(largest - 1.7)
        negative = -a
        inside = pick(negative, bound, bound, negative)
        inside = pick(-bound, inside, -bound, inside)
        scale, m = reduced(inside)
        return reciprocal(scale * m + (scale + 1.0))

    @made
    def tanh(a: Any) -> Any:
        bound = fill(flat)
        inside = pick(a, bound, bound, a)
        inside = pick(-bound, inside, -bound, inside)
        scale, m = reduced(inside + inside)
        m = scale * m + (scale - 1.0)
        return m * reciprocal(m + 2.0)

    @made
    def log(a: Any) -> Any:
        return natural_logarithm(a)

    @made
    def maximum(a: Any, b: Any) -> Any:
        x, y = a + fill(0.0), b + fill(0.0)  # one may be a number
        return nan_of(x, pick(x, y, x, y))

    @made
    def minimum(a: Any, b: Any) -> Any:
        x, y = a + fill(0.0), b + fill(0.0)
        return nan_of(x, pick(y, x, x, y))

    @made
    def relu(a: Any) -> Any:
        zero = fill(0.0)
        return pick(zero, a, zero, a)

    @made
    def absolute(a: Any) -> Any:
        return pick(fill(0.0), a, -a, a)

    @made
    def sign(a: Any) -> Any:
        zero = fill(0.0)
        return pick(a, zero, fill(1.0), pick(zero, a, fill(-1.0), a))

    # log(1 + u) = 2 artanh(s) = 2 (s + s³/3 + s⁵/5 ...) with s = u / (2 + u) <= 1/3
    terms = {4: 7, 8: 17}[size]
    exec(_estrin("series", tuple(1 / (2 * k + 1) for k in range(1, terms)), "p * r + 1.0"), scope)
    series = made(scope["series"])

    @made
    def log1p(u: Any) -> Any:
        """log(1 + u) for u from 0 to 1."""
        s = u / (2.0 + u)
        return (2.0 * s) * series(s * s)

    @made
    def softplus(a: Any) -> Any:
        return relu(a) + log1p(exp(-absolute(a)))

    return SimpleNamespace(**{name: value for name, value in locals().items() if name in _WORDS})


_WORDS = ("exp", "sigmoid", "tanh", "log", "maximum", "minimum", "relu", "absolute", "sign", "softplus", "log1p")
FUNCTIONS = {size: _functions(size) for size in (4, 8)}
