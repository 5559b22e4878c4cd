"""JANET, just another network: of an LSTM's gates the forget gate alone is left, and the cell is the output.

Parameters: 2(MN + N² + N).

Source: van der Westhuizen and Lasenby 2018, section 3, the form with β, which lets in a little more than is forgotten;
β = 1, as the paper takes it. Its c̃ is h, and its c and h, which are equal, are y. The chrono initialisation that the
paper pairs with it is not part of the cell: a study draws all weights alike.
"""

from lstm_odyssey.variants.declare import Limit, Variant
from lstm_odyssey.variants.ops import sigmoid, tanh


def janet(x, y, *, W, R, b):
    """One step of one example: x [M], y [N], W [N, M], R [N, N], b [N].

    s_t = W_f x_t + R_f y_{t-1} + b_f  forget gate before its σ
    h_t = tanh(W_h x_t + R_h y_{t-1} + b_h)  candidate
    y_t = σ(s_t) ⊙ y_{t-1} + (1 - σ(s_t - 1)) ⊙ h_t  cell and output; the 1 beside s_t is β
    """
    s = W.f @ x + R.f @ y + b.f
    h = tanh(W.h @ x + R.h @ y + b.h)
    return sigmoid(s) * y + (1 - sigmoid(s - 1)) * h


variant = Variant(
    janet,
    collection="beyond-2024",
    reference=(
        'J. van der Westhuizen, J. Lasenby, "The unreasonable effectiveness of the forget gate", 2018; arXiv 1804.04849'
    ),
    limits=(
        # All forgotten (σ(-800) is 0 in float64; σ(-40) lets 4e-18 pass), nothing but the candidate is left.
        Limit(of="tanh_rnn", parameters={"b.f": -800, "W.f": 0, "R.f": 0}),
    ),
)
