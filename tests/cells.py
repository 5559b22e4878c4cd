"""Cells for tests of the tracer's consequences: every shape of graph the nine of the paper do not have."""

from lstm_odyssey.backends import BACKENDS
from lstm_odyssey.variants.declare import Constant, Variant, chrono, identity, orthogonal, uniform
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


def damped(x, y, z, *, W, R, b, k):
    """A damped oscillator, as coRNN.

    u_t = tanh(W_u x_t + R_u y_{t-1} + R_v z_{t-1} + b_u)
    z_t = z_{t-1} + 0.1 · (u_t - γ · y_{t-1} - ε · z_{t-1} / rate)
    y_t = y_{t-1} + 0.1 · z_t
    """
    u = tanh(W.u @ x + R.u @ y + R.v @ z + b.u)
    z_t = z + 0.1 * (u - k.gamma * y - k.epsilon * z / k.rate)
    return y + 0.1 * z_t, z_t


def leaking(x, y, c, *, W, R, b):
    """A gate that keeps and one that writes.

    f_t = σ(W_f x_t + R_f y_{t-1} + b_f)
    i_t = σ(W_i x_t + R_i y_{t-1} + b_i)
    h_t = relu(W_h x_t + R_h y_{t-1} + b_h)
    c_t = f_t ⊙ c_{t-1} + i_t ⊙ h_t
    y_t = tanh(c_t)
    """
    f = sigmoid(W.f @ x + R.f @ y + b.f)
    i = sigmoid(W.i @ x + R.i @ y + b.i)
    h = relu(W.h @ x + R.h @ y + b.h)
    c_t = f * c + i * h
    return tanh(c_t), c_t


CONSTANTS = {"gamma": Constant(2.7, 0.1, 10), "epsilon": Constant(4.7, 0.1, 10), "rate": Constant(2.0, low=0.5)}
OSCILLATOR = Variant(damped, constants=CONSTANTS)
STARTS = {
    "R.h": identity(0.5),
    "R.f": orthogonal(),
    "W.i": uniform(-0.5, 0.25),
    "b.f": chrono(),
    "b.i": chrono(-1),
    "b.h": 0.0,
}
LEAKING = Variant(leaking, ties=("relu",), start=STARTS)
DECLARING = {"damped": OSCILLATOR, "leaking": LEAKING}
"""Cells that declare named constants, and how their parameters begin."""

ODD = {step.__name__: Variant(step) for step in (gru, minimal, elman, blind, pointwise, shared, twice, norms, centred)}
ODD["late"] = Variant(late, initial={"c": 0.5})
ODD |= DECLARING
ODD["every_op"] = Variant(every_op, ties=("relu", "absolute", "maximum", "minimum"))
