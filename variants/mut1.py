"""MUT1, first of the three cells found by an evolutionary search: a GRU whose update gate sees the input alone.

Parameters: 3MN + 2N² + 3N.

Source: Jozefowicz et al. 2015, section 3.2, MUT1. The paper adds tanh(x_t) itself to a vector of length N, which is
written for M = N; a projection W_x x_t stands in its place here. Its h is y, and the value in the outer tanh is h.
"""

from lstm_odyssey.variants.declare import Variant
from lstm_odyssey.variants.ops import sigmoid, tanh


def mut1(x, y, *, W, R, b):
    """One step of one example: x [M], y [N], W [N, M], R [N, N], b [N].

    z_t = σ(W_z x_t + b_z)  update gate: 1 replaces, 0 keeps
    r_t = σ(W_r x_t + R_r y_{t-1} + b_r)  reset gate
    h_t = tanh(R_h (r_t ⊙ y_{t-1}) + tanh(W_x x_t) + b_h)  candidate
    y_t = h_t ⊙ z_t + y_{t-1} ⊙ (1 - z_t)  output
    """
    z = sigmoid(W.z @ x + b.z)
    r = sigmoid(W.r @ x + R.r @ y + b.r)
    h = tanh(R.h @ (r * y) + tanh(W.x @ x) + b.h)
    return h * z + y * (1 - z)


variant = Variant(
    mut1,
    collection="beyond-2024",
    reference=(
        'R. Jozefowicz, W. Zaremba, I. Sutskever, "An Empirical Exploration of Recurrent Network Architectures", '
        "International Conference on Machine Learning, PMLR 37, 2015"
    ),
)
