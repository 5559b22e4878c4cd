"""FGR, full gate recurrence: every gate also sees all three gates of the step before.

R_if leads from the input gate to the forget gate (``R.if_`` in the text: ``if`` is a word of Python), and so on; the
cell input gets none. The gates are states, after their σ. Parameters: 4(MN + N² + N) + 3N + 9N². The first step's
gates are zero in the study.

Source: Greff et al. 2017, section II (the cell) and section IV (its variants).
"""

from lstm_odyssey.variants.declare import Limit, Variant
from lstm_odyssey.variants.ops import sigmoid, tanh


def fgr(x, y, c, i, f, o, *, W, R, p, b):
    """One step of one example: x [M], every state [N], W [N, M], R [N, N], p and b [N].

    z_t = tanh(W_z x_t + R_z y_{t-1} + b_z)  cell input
    i_t = σ(W_i x_t + R_i y_{t-1} + R_ii i_{t-1} + R_fi f_{t-1} + R_oi o_{t-1} + p_i ⊙ c_{t-1} + b_i)
    f_t = σ(W_f x_t + R_f y_{t-1} + R_if i_{t-1} + R_ff f_{t-1} + R_of o_{t-1} + p_f ⊙ c_{t-1} + b_f)
    c_t = z_t ⊙ i_t + c_{t-1} ⊙ f_t  cell
    o_t = σ(W_o x_t + R_o y_{t-1} + R_io i_{t-1} + R_fo f_{t-1} + R_oo o_{t-1} + p_o ⊙ c_t + b_o)
    y_t = tanh(c_t) ⊙ o_t  cell output
    """
    z = tanh(W.z @ x + R.z @ y + b.z)
    i_t = sigmoid(W.i @ x + R.i @ y + R.ii @ i + R.fi @ f + R.oi @ o + p.i * c + b.i)
    f_t = sigmoid(W.f @ x + R.f @ y + R.if_ @ i + R.ff @ f + R.of @ o + p.f * c + b.f)
    c_t = z * i_t + c * f_t
    o_t = sigmoid(W.o @ x + R.o @ y + R.io @ i + R.fo @ f + R.oo @ o + p.o * c_t + b.o)
    return tanh(c_t) * o_t, c_t, i_t, f_t, o_t


variant = Variant(
    fgr,
    collection="odyssey-2017",
    reference=(
        'K. Greff, R. K. Srivastava, J. Koutník, B. R. Steunebrink, J. Schmidhuber, "LSTM: A Search Space Odyssey", '
        "IEEE Transactions on Neural Networks and Learning Systems 28(10), 2017; arXiv 1503.04069"
    ),
    limits=(
        Limit(
            of="vanilla",
            parameters={
                **{"R.ii": 0, "R.fi": 0, "R.oi": 0},
                **{"R.if_": 0, "R.ff": 0, "R.of": 0},
                **{"R.io": 0, "R.fo": 0, "R.oo": 0},
            },
        ),
    ),
)
