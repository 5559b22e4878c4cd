"""MUT2, second of the three cells found by an evolutionary search: a GRU whose reset gate sees the input itself.

Parameters: 3(MN + N² + N).

Source: Jozefowicz et al. 2015, section 3.2, MUT2. The paper adds x_t itself in the reset gate, which is written for M = N;
a projection W_x x_t stands in its place here, and with it the cell is ``gru`` but for the sign of its update gate. Its h
is y, and the value in tanh is h.
"""

from lstm_odyssey.variants.declare import Limit, Variant
from lstm_odyssey.variants.ops import sigmoid, tanh


def mut2(x, y, *, W, R, b):
    """One step of one example: x [M], y [N], W [N, M], R [N, N], b [N].

    z_t = σ(W_z x_t + R_z y_{t-1} + b_z)  update gate: 1 replaces, 0 keeps
    r_t = σ(W_x x_t + R_r y_{t-1} + b_r)  reset gate
    h_t = tanh(R_h (r_t ⊙ y_{t-1}) + W_h x_t + b_h)  candidate
    y_t = h_t ⊙ z_t + y_{t-1} ⊙ (1 - z_t)  output
    """
    z = sigmoid(W.z @ x + R.z @ y + b.z)
    r = sigmoid(W.x @ x + R.r @ y + b.r)
    h = tanh(R.h @ (r * y) + W.h @ x + b.h)
    return h * z + y * (1 - z)


def as_gru(parameters):
    """The update gate with the other sign (σ(-a) = 1 - σ(a)), and W.x under the name it has there."""
    found = {name: -value if name.endswith(".z") else value for name, value in parameters.items() if name != "W.x"}
    return {**found, "W.r": parameters["W.x"]}


variant = Variant(
    mut2,
    collection="beyond-2024",
    reference=(
        'R. Jozefowicz, W. Zaremba, I. Sutskever, "An Empirical Exploration of Recurrent Network Architectures", '
        "International Conference on Machine Learning, PMLR 37, 2015"
    ),
    limits=(Limit(of="gru", parameters=as_gru),),
)
