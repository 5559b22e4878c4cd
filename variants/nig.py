"""NIG, no input gate: i_t = 1, so the cell input enters the cell whole.

Drops W_i, R_i, p_i and b_i. Parameters: 3(MN + N² + N) + 2N.

Source: Greff et al. 2017, section II (the cell) and section IV (its variants).
"""

from lstm_odyssey.variants.declare import Variant
from lstm_odyssey.variants.ops import sigmoid, tanh


def nig(x, y, c, *, W, R, p, b):
    """One step of one example: x [M], every state [N], W [N, M], R [N, N], p and b [N].

    z_t = tanh(W_z x_t + R_z y_{t-1} + b_z)  cell input
    f_t = σ(W_f x_t + R_f y_{t-1} + p_f ⊙ c_{t-1} + b_f)  forget gate
    c_t = z_t + c_{t-1} ⊙ f_t  cell
    o_t = σ(W_o x_t + R_o y_{t-1} + p_o ⊙ c_t + b_o)  output gate; its peephole sees the new cell
    y_t = tanh(c_t) ⊙ o_t  cell output
    """
    z = tanh(W.z @ x + R.z @ y + b.z)
    f = sigmoid(W.f @ x + R.f @ y + p.f * c + b.f)
    c_t = z + c * f
    o = sigmoid(W.o @ x + R.o @ y + p.o * c_t + b.o)
    return tanh(c_t) * o, c_t


variant = Variant(
    nig,
    collection="odyssey-2017",
    reference=(
        'K. Greff, R. K. Srivastava, J. Koutník, B. R. Steunebrink, J. Schmidhuber, "LSTM: A Search Space Odyssey", '
        "IEEE Transactions on Neural Networks and Learning Systems 28(10), 2017; arXiv 1503.04069"
    ),
)
