"""NFG, no forget gate: f_t = 1, the constant error carousel of 1997.

Drops W_f, R_f, p_f and b_f. Parameters: 3(MN + N² + N) + 2N.

Source: Greff et al. 2017, section II (the cell) and section IV (its variants).
"""

from lstm_odyssey.variants.declare import Variant
from lstm_odyssey.variants.ops import sigmoid, tanh


def nfg(x, y, c, *, W, R, p, b):
    """One step of one example: x [M], every state [N], W [N, M], R [N, N], p and b [N].

    z_t = tanh(W_z x_t + R_z y_{t-1} + b_z)  cell input
    i_t = σ(W_i x_t + R_i y_{t-1} + p_i ⊙ c_{t-1} + b_i)  input gate
    c_t = z_t ⊙ i_t + c_{t-1}  cell
    o_t = σ(W_o x_t + R_o y_{t-1} + p_o ⊙ c_t + b_o)  output gate; its peephole sees the new cell
    y_t = tanh(c_t) ⊙ o_t  cell output
    """
    z = tanh(W.z @ x + R.z @ y + b.z)
    i = sigmoid(W.i @ x + R.i @ y + p.i * c + b.i)
    c_t = z * i + c
    o = sigmoid(W.o @ x + R.o @ y + p.o * c_t + b.o)
    return tanh(c_t) * o, c_t


variant = Variant(
    nfg,
    collection="odyssey-2017",
    reference=(
        'K. Greff, R. K. Srivastava, J. Koutník, B. R. Steunebrink, J. Schmidhuber, "LSTM: A Search Space Odyssey", '
        "IEEE Transactions on Neural Networks and Learning Systems 28(10), 2017; arXiv 1503.04069"
    ),
)
