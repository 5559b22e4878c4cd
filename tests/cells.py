"""Cells for tests of the tracer's consequences: every shape of graph the nine of the paper do not have."""

from lstm_odyssey.backends import BACKENDS
from lstm_odyssey.variants.declare import Variant
from lstm_odyssey.variants.ops import (
    absolute,
    exp,
    log,
    maximum,
    mean,
    minimum,
    relu,
    rms,
    sigmoid,
    softplus,
    sqrt,
    tanh,
)

ON_CPU = tuple(name for name, record in BACKENDS.items() if record.runs("cpu"))
"""The backends that a test runs a layer on; that of the GPU is asked in tests/backends/cuda, behind an emulated device."""


def gru(x, y, *, W, R, b):
    """Two phases: a matrix times a value made in the same step."""
    r = sigmoid(W.r @ x + R.r @ y + b.r)
    u = sigmoid(W.u @ x + R.u @ y + b.u)
    h = tanh(W.h @ x + R.h @ (r * y) + b.h)
    return (1 - u) * y + u * h


def late(x, y, c, *, W, R, p, b):
    """Three phases, and a value of the first that the last one reads."""
    r = sigmoid(W.r @ x + R.r @ y + b.r)
    h = tanh(R.h @ (r * c) + b.h + p.h * c)
    g = sigmoid(R.g @ (h * r) + R.r2 @ y + W.g @ x)
    return g * h + (1 - g) * r * y, h * g + c * 0.5


def minimal(x, y, *, W, b):
    """No R: the gates see the input only, and one gate has no bias."""
    f = sigmoid(W.f @ x + b.f)
    return f * y + (1 - f) * (W.h @ x)


def elman(x, y, *, R, W):
    """One gate, no bias."""
    return tanh(W.y @ x + R.y @ y)


def blind(x, y, c, *, R, p, b):
    """Does not look at its input, nor has it any W."""
    i = sigmoid(R.i @ y + b.i)
    c_t = c * i + p.c * 0.5
    return tanh(R.o @ c_t + exp(b.o)) * i, c_t


def pointwise(x, y, *, p, b):
    """No matrix at all."""
    return tanh(p.a * y + b.a)


def shared(x, y, c, *, W, R, b):
    """One matrix with two vectors, one product in two sums, W of a function of the input, R of a hoisted vector."""
    q = W.z @ tanh(x) + R.z @ y
    d = R.z @ c
    k = R.k @ sigmoid(W.z @ x)
    e = R.e @ b.e
    c_t = tanh(q + d) * 0.5 + sigmoid(d + k + e)
    return tanh(c_t + q), c_t


def every_op(x, y, n, *, W, R, p, b):
    """Every op of the table, with constants on either side."""
    a = W.a @ x + R.a @ y + b.a
    s = softplus(a) + 0.5
    t = log(s + absolute(y)) / (1 + exp(-absolute(a)))
    u = maximum(relu(a), minimum(t, 0.3)) - maximum(0.1, y)
    v = minimum(u * p.u, n) + 2 * tanh(-t) / s
    n_t = sigmoid(v) * n + exp(minimum(a, 0.5)) * 0.1
    return tanh(v) * sigmoid(n_t) - 0.1, n_t


def twice(x, y, *, W, R):
    """One product of all frames, alone and in a sum."""
    return tanh(W.a @ x) + tanh(W.a @ x + R.a @ y)


def norms(x, y, c, *, W, R, b):
    """Means of a hoisted product, a parameter and a state, before a second round of products and after it, and as a result."""
    z = tanh(W.z @ x + R.z @ y + b.z)
    m = mean(z * c) + mean(b.z)
    h = R.h @ (m * y) + R.g @ (c - mean(c))
    g = sigmoid((h - mean(h)) / rms(h) + mean(W.z @ x))
    return g * y + (1 - g) * z, mean(g) + c * 0.3


def centred(x, y, *, W, p):
    """A mean and no recurrent matrix: one round in a step, and that of a reduction."""
    return tanh((y - mean(y)) * p.a + W.a @ x) + sqrt(y * y + 1) * 0.1


ODD = {step.__name__: Variant(step) for step in (gru, minimal, elman, blind, pointwise, shared, twice, norms, centred)}
ODD["late"] = Variant(late, initial={"c": 0.5})
ODD["every_op"] = Variant(every_op, ties=("relu", "absolute", "maximum", "minimum"))
CHAOTIC = frozenset({"every_op"})
"""Cells in which two roundings part over fifty frames, so that only short sequences can be compared."""
