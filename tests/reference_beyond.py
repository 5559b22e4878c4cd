"""The seventeen cells beyond the paper's nine, transcribed a second time.

Plain numpy loops, one example at a time, each cell written out in full from its own paper's equations and in that paper's
letters (h for the output, U for a recurrent matrix, tildes and primes spelled out); nothing is shared with the package,
and no cell is made from another. Real input gives float64; complex input gives the derivative along a complex step, for
which every function here is analytic but for the sides of its kinks, chosen by the real part.
"""

import numpy as np


def logistic(a):
    return 1.0 / (1.0 + np.exp(-a))


def tanh_rnn(x, state, p):
    """Jozefowicz et al. 2015, section 2: h_t = tanh(W_xh x_t + W_hh h_{t-1}), with a bias."""
    h, hs = state["y"], []
    for x_t in x:
        h = np.tanh(p["W.h"] @ x_t + p["R.h"] @ h + p["b.h"])
        hs.append(h)
    return {"y": np.array(hs)}


def gru(x, state, p):
    """Cho et al. 2014, equations (5) to (8), with biases."""
    h, hs = state["y"], []
    for x_t in x:
        r = logistic(p["W.r"] @ x_t + p["R.r"] @ h + p["b.r"])  # (5)
        z = logistic(p["W.z"] @ x_t + p["R.z"] @ h + p["b.z"])  # (6)
        h_tilde = np.tanh(p["W.h"] @ x_t + p["R.h"] @ (r * h) + p["b.h"])  # (8)
        h = z * h + (1.0 - z) * h_tilde  # (7)
        hs.append(h)
    return {"y": np.array(hs)}


def gru_reset_after(x, state, p):
    """The four equations of the documentation of torch.nn.GRU; b_hr and b_hz, which only add to b_ir and b_iz, are 0."""
    h, hs = state["y"], []
    for x_t in x:
        r = logistic(p["W.r"] @ x_t + p["b.r"] + p["R.r"] @ h)
        z = logistic(p["W.z"] @ x_t + p["b.z"] + p["R.z"] @ h)
        n = np.tanh(p["W.h"] @ x_t + p["b.h"] + r * (p["R.h"] @ h + p["b.Rh"]))
        h = (1.0 - z) * n + z * h
        hs.append(h)
    return {"y": np.array(hs)}


def mgu(x, state, p):
    """Zhou et al. 2016, table of the minimal gated unit: one matrix for the pair [h_{t-1}, x_t]."""
    h, hs = state["y"], []
    W_f = np.hstack([p["R.f"], p["W.f"]])
    W_h = np.hstack([p["R.h"], p["W.h"]])
    b_f, b_h = p["b.f"], p["b.h"]
    for x_t in x:
        f = logistic(W_f @ np.concatenate([h, x_t]) + b_f)
        h_tilde = np.tanh(W_h @ np.concatenate([f * h, x_t]) + b_h)
        h = (1.0 - f) * h + f * h_tilde
        hs.append(h)
    return {"y": np.array(hs)}


def mut1(x, state, p):
    """Jozefowicz et al. 2015, MUT1, with a projection of the input in place of x_t in tanh(x_t)."""
    h, hs = state["y"], []
    for x_t in x:
        z = logistic(p["W.z"] @ x_t + p["b.z"])
        r = logistic(p["W.r"] @ x_t + p["R.r"] @ h + p["b.r"])
        h = np.tanh(p["R.h"] @ (r * h) + np.tanh(p["W.x"] @ x_t) + p["b.h"]) * z + h * (1.0 - z)
        hs.append(h)
    return {"y": np.array(hs)}


def mut2(x, state, p):
    """Jozefowicz et al. 2015, MUT2, with a projection of the input in place of x_t in r."""
    h, hs = state["y"], []
    for x_t in x:
        z = logistic(p["W.z"] @ x_t + p["R.z"] @ h + p["b.z"])
        r = logistic(p["W.x"] @ x_t + p["R.r"] @ h + p["b.r"])
        h = np.tanh(p["R.h"] @ (r * h) + p["W.h"] @ x_t + p["b.h"]) * z + h * (1.0 - z)
        hs.append(h)
    return {"y": np.array(hs)}


def mut3(x, state, p):
    """Jozefowicz et al. 2015, MUT3."""
    h, hs = state["y"], []
    for x_t in x:
        z = logistic(p["W.z"] @ x_t + p["R.z"] @ np.tanh(h) + p["b.z"])
        r = logistic(p["W.r"] @ x_t + p["R.r"] @ h + p["b.r"])
        h = np.tanh(p["R.h"] @ (r * h) + p["W.h"] @ x_t + p["b.h"]) * z + h * (1.0 - z)
        hs.append(h)
    return {"y": np.array(hs)}


def janet(x, state, p):
    """Van der Westhuizen and Lasenby 2018, section 3: s_t, c̃_t, c_t and h_t = c_t, with β = 1."""
    beta = 1.0
    h = c = state["y"]
    hs = []
    for x_t in x:
        s = p["R.f"] @ h + p["W.f"] @ x_t + p["b.f"]
        c_tilde = np.tanh(p["R.h"] @ h + p["W.h"] @ x_t + p["b.h"])
        c = logistic(s) * c + (1.0 - logistic(s - beta)) * c_tilde
        h = c
        hs.append(h)
    return {"y": np.array(hs)}


def ligru(x, state, p):
    """Ravanelli et al. 2018, the Li-GRU, with BN(W x_t) read as W x_t + b."""
    h, hs = state["y"], []
    for x_t in x:
        z = logistic(p["W.z"] @ x_t + p["b.z"] + p["R.z"] @ h)
        a = p["W.h"] @ x_t + p["b.h"] + p["R.h"] @ h
        h_tilde = np.where(a.real > 0.0, a, 0.0)
        h = z * h + (1.0 - z) * h_tilde
        hs.append(h)
    return {"y": np.array(hs)}


def minlstm(x, state, p):
    """Feng et al. 2024, section 3.2: f'_t and i'_t sum to 1."""
    h, hs = state["y"], []
    for x_t in x:
        f = logistic(p["W.f"] @ x_t + p["b.f"])
        i = logistic(p["W.i"] @ x_t + p["b.i"])
        h_tilde = p["W.h"] @ x_t + p["b.h"]
        f_prime, i_prime = f / (f + i), i / (f + i)
        h = f_prime * h + i_prime * h_tilde
        hs.append(h)
    return {"y": np.array(hs)}


def slstm(x, state, p):
    """Beck et al. 2024, equations (8) to (17): the stabilised form, σ as the forget gate."""
    h, c, n, m = state["y"], state["c"], state["n"], state["m"]
    found = {"y": [], "c": [], "n": [], "m": []}
    for x_t in x:
        z = np.tanh(p["W.z"] @ x_t + p["R.z"] @ h + p["b.z"])  # (11)
        i_tilde = p["W.i"] @ x_t + p["R.i"] @ h + p["b.i"]  # (12)
        f_tilde = p["W.f"] @ x_t + p["R.f"] @ h + p["b.f"]  # (13)
        o = logistic(p["W.o"] @ x_t + p["R.o"] @ h + p["b.o"])  # (14)
        log_f = np.log(logistic(f_tilde))
        m_now = np.where((log_f + m).real > i_tilde.real, log_f + m, i_tilde)  # (15)
        i_prime = np.exp(i_tilde - m_now)  # (16)
        f_prime = np.exp(log_f + m - m_now)  # (17)
        c = f_prime * c + i_prime * z  # (8)
        n = f_prime * n + i_prime  # (9)
        h = o * (c / n)  # (10)
        m = m_now
        for key, value in zip("ycnm", (h, c, n, m), strict=True):
            found[key].append(value)
    return {key: np.array(values) for key, values in found.items()}


def slstm_without_stabiliser(x, p):
    """Beck et al. 2024, equations (8) to (14) as they stand, i and f themselves, from c_0 = n_0 = h_0 = 0: the output."""
    size = len(p["b.z"])
    h, c, n = np.zeros(size), np.zeros(size), np.zeros(size)
    hs = []
    for x_t in x:
        z = np.tanh(p["W.z"] @ x_t + p["R.z"] @ h + p["b.z"])
        i = np.exp(p["W.i"] @ x_t + p["R.i"] @ h + p["b.i"])
        f = logistic(p["W.f"] @ x_t + p["R.f"] @ h + p["b.f"])
        o = logistic(p["W.o"] @ x_t + p["R.o"] @ h + p["b.o"])
        c = f * c + i * z
        n = f * n + i
        h = o * c / n
        hs.append(h)
    return np.array(hs)


def irnn(x, state, p):
    """Le et al. 2015, section 3: a recurrent net of rectified linear units."""
    h, hs = state["y"], []
    for x_t in x:
        a = p["W.h"] @ x_t + p["R.h"] @ h + p["b.h"]
        h = np.where(a.real > 0.0, a, 0.0)
        hs.append(h)
    return {"y": np.array(hs)}


def indrnn(x, state, p):
    """Li et al. 2018, equation (2): h_t = σ(W x_t + u ⊙ h_{t-1} + b) with σ the rectifier, neuron by neuron."""
    h, u, hs = state["y"], p["p.h"], []
    for x_t in x:
        now = []
        for n in range(len(u)):
            a = sum(p["W.h"][n, m] * x_t[m] for m in range(len(x_t))) + u[n] * h[n] + p["b.h"][n]
            now.append(a if a.real > 0.0 else 0.0 * a)
        h = np.array(now)
        hs.append(h)
    return {"y": np.array(hs)}


def ugrnn(x, state, p):
    """Collins et al. 2017, the UGRNN, with s = tanh: c_t, g_t, h_t."""
    h, hs = state["y"], []
    for x_t in x:
        c = np.tanh(p["R.h"] @ h + p["W.h"] @ x_t + p["b.h"])
        g = logistic(p["R.g"] @ h + p["W.g"] @ x_t + p["b.g"])
        h = g * h + (1.0 - g) * c
        hs.append(h)
    return {"y": np.array(hs)}


def cornn(x, state, p):
    """Rusch and Mishra 2021, equation (3) with n̄ = n - 1: first the velocity z, then the place y."""
    dt, gamma, epsilon = 0.042, 2.7, 4.7
    y, z = state["y"], state["z"]
    ys, zs = [], []
    for u in x:
        force = np.tanh(p["R.y"] @ y + p["R.z"] @ z + p["W.h"] @ u + p["b.h"])
        z = z + dt * force - dt * gamma * y - dt * epsilon * z
        y = y + dt * z
        ys.append(y)
        zs.append(z)
    return {"y": np.array(ys), "z": np.array(zs)}


def layer_norm(a, gain, bias):
    """Ba et al. 2016, equation (4), over the numbers of a vector, with torch's 1e-5 under the root."""
    mu = np.sum(a) / a.size
    variance = np.sum((a - mu) ** 2) / a.size
    return gain * (a - mu) / np.sqrt(variance + 1e-5) + bias


def ligru_ln(x, state, p):
    """Ravanelli et al. 2018, the Li-GRU, with BN(W x_t) read as LN(W x_t)."""
    h, hs = state["y"], []
    for x_t in x:
        z = logistic(layer_norm(p["W.z"] @ x_t, p["p.z"], p["b.z"]) + p["R.z"] @ h)
        a = layer_norm(p["W.h"] @ x_t, p["p.h"], p["b.h"]) + p["R.h"] @ h
        h_tilde = np.where(a.real > 0.0, a, 0.0)
        h = z * h + (1.0 - z) * h_tilde
        hs.append(h)
    return {"y": np.array(hs)}


def ln_lstm(x, state, p):
    """Ba et al. 2016, equations (20) to (22): one matrix of 4N lines for f, i, o and g, one LN over all its products."""
    h, c = state["y"], state["c"]
    order = ("f", "i", "o", "z")  # the paper's g is z
    W_h, W_x = (np.vstack([p[f"{space}.{gate}"] for gate in order]) for space in "RW")
    alpha_1, alpha_2 = (np.concatenate([p[f"p.{kind}{gate}"] for gate in order]) for kind in "rw")
    b = np.concatenate([p[f"b.{gate}"] for gate in order])
    found = {"y": [], "c": []}
    for x_t in x:
        gates = layer_norm(W_h @ h, alpha_1, 0.0) + layer_norm(W_x @ x_t, alpha_2, 0.0) + b  # (20)
        f, i, o, g = np.split(gates, 4)
        c = logistic(f) * c + logistic(i) * np.tanh(g)  # (21)
        h = logistic(o) * np.tanh(layer_norm(c, p["p.c"], p["b.c"]))  # (22)
        found["y"].append(h)
        found["c"].append(c)
    return {key: np.array(values) for key, values in found.items()}


BEYOND = {
    "tanh_rnn": tanh_rnn, "gru": gru, "gru_reset_after": gru_reset_after, "mgu": mgu, "mut1": mut1, "mut2": mut2, "mut3": mut3,
    "janet": janet, "ligru": ligru, "minlstm": minlstm, "slstm": slstm,
    "irnn": irnn, "indrnn": indrnn, "ugrnn": ugrnn, "cornn": cornn, "ligru_ln": ligru_ln, "ln_lstm": ln_lstm,
}  # fmt: skip
