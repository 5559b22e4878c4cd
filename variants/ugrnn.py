"""UGRNN, the update gate RNN: a plain recurrent net and one gate that says how much of it is let in.

Parameters: 2(MN + N² + N). With its gate shut to the past it is tanh_rnn.

Source: Collins, Sohl-Dickstein and Sussillo 2017, who call it UGRNN. Its h is y, its candidate c is h.
"""

from lstm_odyssey.variants.declare import Limit, Variant
from lstm_odyssey.variants.ops import sigmoid, tanh


def ugrnn(x, y, *, W, R, b):
    """One step of one example: x [M], y [N], W [N, M], R [N, N], b [N].

    h_t = tanh(W_h x_t + R_h y_{t-1} + b_h)  candidate
    g_t = σ(W_g x_t + R_g y_{t-1} + b_g)  update gate: 1 keeps, 0 replaces
    y_t = g_t ⊙ y_{t-1} + (1 - g_t) ⊙ h_t  output
    """
    h = tanh(W.h @ x + R.h @ y + b.h)
    g = sigmoid(W.g @ x + R.g @ y + b.g)
    return g * y + (1 - g) * h


variant = Variant(
    ugrnn,
    collection="beyond-2024",
    reference=(
        'J. Collins, J. Sohl-Dickstein, D. Sussillo, "Capacity and Trainability in Recurrent Neural Networks", '
        "International Conference on Learning Representations, 2017; arXiv 1611.09913"
    ),
    limits=(Limit(of="tanh_rnn", parameters={"W.g": 0, "R.g": 0, "b.g": -800}),),
)
