"""GRU, the gated recurrent unit: a reset gate before the recurrent matrix, and one gate that keeps or replaces.

Parameters: 3(MN + N² + N).

Source: Cho et al. 2014, section 2.3, equations (5) to (8). The paper leaves the biases out "to make the equations
uncluttered"; they stand here. Its output h is y, its candidate h̃ is h, and z keeps the old value where it is 1. Later
texts, and MUT1 to MUT3, have 1 - z in its place.
"""

from lstm_odyssey.variants.declare import Limit, Variant
from lstm_odyssey.variants.ops import sigmoid, tanh


def gru(x, y, *, W, R, b):
    """One step of one example: x [M], y [N], W [N, M], R [N, N], b [N].

    r_t = σ(W_r x_t + R_r y_{t-1} + b_r)  reset gate
    z_t = σ(W_z x_t + R_z y_{t-1} + b_z)  update gate: 1 keeps, 0 replaces
    h_t = tanh(W_h x_t + R_h (r_t ⊙ y_{t-1}) + b_h)  candidate
    y_t = z_t ⊙ y_{t-1} + (1 - z_t) ⊙ h_t  output
    """
    r = sigmoid(W.r @ x + R.r @ y + b.r)
    z = sigmoid(W.z @ x + R.z @ y + b.z)
    h = tanh(W.h @ x + R.h @ (r * y) + b.h)
    return z * y + (1 - z) * h


variant = Variant(
    gru,
    collection="beyond-2024",
    reference=(
        "K. Cho, B. van Merriënboer, C. Gulcehre, D. Bahdanau, F. Bougares, H. Schwenk, Y. Bengio, "
        '"Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation", '
        "Conference on Empirical Methods in Natural Language Processing, 2014; arXiv 1406.1078"
    ),
    limits=(
        # With the reset gate held open (σ(40) is 1 in float64) it makes no difference where it stands.
        Limit(of="gru_reset_after", parameters={"b.r": 40, "W.r": 0, "R.r": 0, "b.Rh": 0}),
        # With the update gate shut as well (σ(-800) is 0), nothing but the candidate is left.
        Limit(of="tanh_rnn", parameters={"b.r": 40, "W.r": 0, "R.r": 0, "b.z": -800, "W.z": 0, "R.z": 0}),
    ),
)
