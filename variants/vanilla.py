"""The vanilla LSTM: three gates, peepholes, tanh inside and out.

Every gate sees the layer's own output of the step before and, through a diagonal peephole p, its cell.
Parameters: 4(MN + N² + N) + 3N.

Source: Greff et al. 2017, section II.
"""

from lstm_odyssey.variants.declare import Limit, Variant
from lstm_odyssey.variants.ops import sigmoid, tanh


def vanilla(x, y, c, *, W, R, p, b):
    """One step of one example: x [M], every state [N], W [N, M], R [N, N], p and b [N].

    z_t = tanh(W_z x_t + R_z y_{t-1} + b_z)  cell input
    i_t = σ(W_i x_t + R_i y_{t-1} + p_i ⊙ c_{t-1} + b_i)  input gate
    f_t = σ(W_f x_t + R_f y_{t-1} + p_f ⊙ c_{t-1} + b_f)  forget gate
    c_t = z_t ⊙ i_t + c_{t-1} ⊙ f_t  cell
    o_t = σ(W_o x_t + R_o y_{t-1} + p_o ⊙ c_t + b_o)  output gate; its peephole sees the new cell
    y_t = tanh(c_t) ⊙ o_t  cell output
    """
    z = tanh(W.z @ x + R.z @ y + b.z)
    i = sigmoid(W.i @ x + R.i @ y + p.i * c + b.i)
    f = sigmoid(W.f @ x + R.f @ y + p.f * c + b.f)
    c_t = z * i + c * f
    o = sigmoid(W.o @ x + R.o @ y + p.o * c_t + b.o)
    return tanh(c_t) * o, c_t


variant = Variant(
    vanilla,
    collection="odyssey-2017",
    reference=(
        'K. Greff, R. K. Srivastava, J. Koutník, B. R. Steunebrink, J. Schmidhuber, "LSTM: A Search Space Odyssey", '
        "IEEE Transactions on Neural Networks and Learning Systems 28(10), 2017; arXiv 1503.04069"
    ),
    limits=(
        Limit(of="no_peepholes", parameters={"p.i": 0, "p.f": 0, "p.o": 0}),
        # A gate held open (σ(40) is 1 in float64) is a gate that is gone.
        Limit(of="nig", parameters={"b.i": 40, "W.i": 0, "R.i": 0, "p.i": 0}),
        Limit(of="nfg", parameters={"b.f": 40, "W.f": 0, "R.f": 0, "p.f": 0}),
        Limit(of="nog", parameters={"b.o": 40, "W.o": 0, "R.o": 0, "p.o": 0}),
    ),
)
