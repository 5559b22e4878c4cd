"""The nine cells of the paper, transcribed a second time.

Plain numpy loops in float64, one example at a time, each cell written out in full from the paper's equations.
Nothing here is shared with the package, and no cell is made from another: where two of them agree, they agree
because the paper says so twice.  A matrix is [to, from], as in the paper: W_z x_t is `W_z @ x[t]`.
"""

import numpy as np

from tests.reference_beyond import BEYOND


def logistic(a):
    return 1.0 / (1.0 + np.exp(-a))


def vanilla(x, y, c, p):
    ys, cs = [], []
    for t in range(len(x)):
        z = np.tanh(p["W.z"] @ x[t] + p["R.z"] @ y + p["b.z"])
        i = logistic(p["W.i"] @ x[t] + p["R.i"] @ y + p["p.i"] * c + p["b.i"])
        f = logistic(p["W.f"] @ x[t] + p["R.f"] @ y + p["p.f"] * c + p["b.f"])
        c_now = z * i + c * f
        o = logistic(p["W.o"] @ x[t] + p["R.o"] @ y + p["p.o"] * c_now + p["b.o"])
        y_now = np.tanh(c_now) * o
        y, c = y_now, c_now
        ys.append(y)
        cs.append(c)
    return {"y": np.array(ys), "c": np.array(cs)}


def nig(x, y, c, p):
    """No input gate: i_t = 1."""
    ys, cs = [], []
    for t in range(len(x)):
        z = np.tanh(p["W.z"] @ x[t] + p["R.z"] @ y + p["b.z"])
        f = logistic(p["W.f"] @ x[t] + p["R.f"] @ y + p["p.f"] * c + p["b.f"])
        c_now = z + c * f
        o = logistic(p["W.o"] @ x[t] + p["R.o"] @ y + p["p.o"] * c_now + p["b.o"])
        y_now = np.tanh(c_now) * o
        y, c = y_now, c_now
        ys.append(y)
        cs.append(c)
    return {"y": np.array(ys), "c": np.array(cs)}


def nfg(x, y, c, p):
    """No forget gate: f_t = 1."""
    ys, cs = [], []
    for t in range(len(x)):
        z = np.tanh(p["W.z"] @ x[t] + p["R.z"] @ y + p["b.z"])
        i = logistic(p["W.i"] @ x[t] + p["R.i"] @ y + p["p.i"] * c + p["b.i"])
        c_now = z * i + c
        o = logistic(p["W.o"] @ x[t] + p["R.o"] @ y + p["p.o"] * c_now + p["b.o"])
        y_now = np.tanh(c_now) * o
        y, c = y_now, c_now
        ys.append(y)
        cs.append(c)
    return {"y": np.array(ys), "c": np.array(cs)}


def nog(x, y, c, p):
    """No output gate: o_t = 1."""
    ys, cs = [], []
    for t in range(len(x)):
        z = np.tanh(p["W.z"] @ x[t] + p["R.z"] @ y + p["b.z"])
        i = logistic(p["W.i"] @ x[t] + p["R.i"] @ y + p["p.i"] * c + p["b.i"])
        f = logistic(p["W.f"] @ x[t] + p["R.f"] @ y + p["p.f"] * c + p["b.f"])
        c_now = z * i + c * f
        y_now = np.tanh(c_now)
        y, c = y_now, c_now
        ys.append(y)
        cs.append(c)
    return {"y": np.array(ys), "c": np.array(cs)}


def niaf(x, y, c, p):
    """No input activation function: g(x) = x."""
    ys, cs = [], []
    for t in range(len(x)):
        z = p["W.z"] @ x[t] + p["R.z"] @ y + p["b.z"]
        i = logistic(p["W.i"] @ x[t] + p["R.i"] @ y + p["p.i"] * c + p["b.i"])
        f = logistic(p["W.f"] @ x[t] + p["R.f"] @ y + p["p.f"] * c + p["b.f"])
        c_now = z * i + c * f
        o = logistic(p["W.o"] @ x[t] + p["R.o"] @ y + p["p.o"] * c_now + p["b.o"])
        y_now = np.tanh(c_now) * o
        y, c = y_now, c_now
        ys.append(y)
        cs.append(c)
    return {"y": np.array(ys), "c": np.array(cs)}


def noaf(x, y, c, p):
    """No output activation function: h(x) = x."""
    ys, cs = [], []
    for t in range(len(x)):
        z = np.tanh(p["W.z"] @ x[t] + p["R.z"] @ y + p["b.z"])
        i = logistic(p["W.i"] @ x[t] + p["R.i"] @ y + p["p.i"] * c + p["b.i"])
        f = logistic(p["W.f"] @ x[t] + p["R.f"] @ y + p["p.f"] * c + p["b.f"])
        c_now = z * i + c * f
        o = logistic(p["W.o"] @ x[t] + p["R.o"] @ y + p["p.o"] * c_now + p["b.o"])
        y_now = c_now * o
        y, c = y_now, c_now
        ys.append(y)
        cs.append(c)
    return {"y": np.array(ys), "c": np.array(cs)}


def no_peepholes(x, y, c, p):
    """No peepholes: the gates do not see the cell."""
    ys, cs = [], []
    for t in range(len(x)):
        z = np.tanh(p["W.z"] @ x[t] + p["R.z"] @ y + p["b.z"])
        i = logistic(p["W.i"] @ x[t] + p["R.i"] @ y + p["b.i"])
        f = logistic(p["W.f"] @ x[t] + p["R.f"] @ y + p["b.f"])
        c_now = z * i + c * f
        o = logistic(p["W.o"] @ x[t] + p["R.o"] @ y + p["b.o"])
        y_now = np.tanh(c_now) * o
        y, c = y_now, c_now
        ys.append(y)
        cs.append(c)
    return {"y": np.array(ys), "c": np.array(cs)}


def cifg(x, y, c, p):
    """Coupled input and forget gate: f_t = 1 - i_t."""
    ys, cs = [], []
    for t in range(len(x)):
        z = np.tanh(p["W.z"] @ x[t] + p["R.z"] @ y + p["b.z"])
        i = logistic(p["W.i"] @ x[t] + p["R.i"] @ y + p["p.i"] * c + p["b.i"])
        f = 1.0 - i
        c_now = z * i + c * f
        o = logistic(p["W.o"] @ x[t] + p["R.o"] @ y + p["p.o"] * c_now + p["b.o"])
        y_now = np.tanh(c_now) * o
        y, c = y_now, c_now
        ys.append(y)
        cs.append(c)
    return {"y": np.array(ys), "c": np.array(cs)}


def fgr(x, y, c, i, f, o, p):
    """Full gate recurrence: every gate also sees all three gates of the step before, R.{source}{target}."""
    ys, cs, is_, fs, os_ = [], [], [], [], []
    for t in range(len(x)):
        z = np.tanh(p["W.z"] @ x[t] + p["R.z"] @ y + p["b.z"])
        i_now = logistic(
            p["W.i"] @ x[t] + p["R.i"] @ y + p["p.i"] * c + p["b.i"]
            + p["R.ii"] @ i + p["R.fi"] @ f + p["R.oi"] @ o
        )  # fmt: skip
        f_now = logistic(
            p["W.f"] @ x[t] + p["R.f"] @ y + p["p.f"] * c + p["b.f"]
            + p["R.if_"] @ i + p["R.ff"] @ f + p["R.of"] @ o
        )  # fmt: skip
        c_now = z * i_now + c * f_now
        o_now = logistic(
            p["W.o"] @ x[t] + p["R.o"] @ y + p["p.o"] * c_now + p["b.o"]
            + p["R.io"] @ i + p["R.fo"] @ f + p["R.oo"] @ o
        )  # fmt: skip
        y_now = np.tanh(c_now) * o_now
        y, c, i, f, o = y_now, c_now, i_now, f_now, o_now
        ys.append(y)
        cs.append(c)
        is_.append(i)
        fs.append(f)
        os_.append(o)
    return {"y": np.array(ys), "c": np.array(cs), "i": np.array(is_), "f": np.array(fs), "o": np.array(os_)}


WITH_TWO_STATES = {
    "vanilla": vanilla, "nig": nig, "nfg": nfg, "nog": nog, "niaf": niaf, "noaf": noaf,
    "no_peepholes": no_peepholes, "cifg": cifg,
}  # fmt: skip
THE_NINE = (*WITH_TWO_STATES, "fgr")
NAMES = (*THE_NINE, *BEYOND)


def reference_forward(name, x, state, parameters):
    """All states at every step, {state: [T, N]}, of one example x [T, M] from the given initial state {state: [N]}."""
    if name in BEYOND:
        return BEYOND[name](x, state, parameters)
    if name == "fgr":
        return fgr(x, state["y"], state["c"], state["i"], state["f"], state["o"], parameters)
    return WITH_TWO_STATES[name](x, state["y"], state["c"], parameters)


def total(name, values, adjoint):
    """One number that depends on everything: all states at all steps, each times its own random weight."""
    state = {key.removeprefix("initial "): value for key, value in values.items() if key.startswith("initial ")}
    parameters = {key: value for key, value in values.items() if "." in key}
    states = reference_forward(name, values["x"], state, parameters)
    return sum(np.sum(states[key] * adjoint[key]) for key in states)


def complex_step(name, values, adjoint, key, direction, h=1e-30):
    """The derivative of ``total`` as ``values[key]`` moves along ``direction``, without a difference and so to rounding.

    A kink is not straddled: its side is chosen by the real part.
    """
    return total(name, {**values, key: values[key] + 1j * h * direction}, adjoint).imag / h


def central_difference(name, values, adjoint, key, direction, h=2e-4):
    """The derivative of ``total`` as ``values[key]`` moves along ``direction``, to the fourth order in h."""

    def at(step):
        return total(name, {**values, key: values[key] + step * direction}, adjoint)

    return (8.0 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12.0 * h)
