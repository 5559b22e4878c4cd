"""MUT3, third of the three cells found by an evolutionary search: a GRU whose update gate sees a squashed output.

Parameters: 3(MN + N² + N).

Source: Jozefowicz et al. 2015, section 3.2, MUT3. Its h is y, and the value in the outer tanh is h.
"""

from lstm_odyssey.variants.declare import Limit, Variant
from lstm_odyssey.variants.ops import sigmoid, tanh


def mut3(x, y, *, W, R, b):
    """One step of one example: x [M], y [N], W [N, M], R [N, N], b [N].

    z_t = σ(W_z x_t + R_z tanh(y_{t-1}) + b_z)  update gate: 1 replaces, 0 keeps
    r_t = σ(W_r x_t + R_r y_{t-1} + b_r)  reset gate
    h_t = tanh(R_h (r_t ⊙ y_{t-1}) + W_h x_t + b_h)  candidate
    y_t = h_t ⊙ z_t + y_{t-1} ⊙ (1 - z_t)  output
    """
    z = sigmoid(W.z @ x + R.z @ tanh(y) + b.z)
    r = sigmoid(W.r @ x + R.r @ y + b.r)
    h = tanh(R.h @ (r * y) + W.h @ x + b.h)
    return h * z + y * (1 - z)


variant = Variant(
    mut3,
    collection="beyond-2024",
    reference=(
        'R. Jozefowicz, W. Zaremba, I. Sutskever, "An Empirical Exploration of Recurrent Network Architectures", '
        "International Conference on Machine Learning, PMLR 37, 2015"
    ),
    limits=(
        # Reset gate open and update gate at 1 (σ(40) is 1 in float64): nothing but the candidate is left.
        Limit(of="tanh_rnn", parameters={"b.r": 40, "W.r": 0, "R.r": 0, "b.z": 40, "W.z": 0, "R.z": 0}),
    ),
)
