"""sLSTM, the scalar cell of xLSTM: an exponential input gate, a normaliser n, and a stabiliser m. One head.

Parameters: 4(MN + N² + N).

Source: Beck et al. 2024, section 2.2, equations (8) to (17), with σ as the forget gate (the paper leaves the choice of σ
or exp). Its h is y. The gates are computed relative to the stabiliser, of which c_t / n_t is free: i_t and f_t are the
paper's i' and f', and log_i_t, log_f_t the logarithms of its i and f. R is a full matrix, as of one head; no norm and no
convolution. Before the first frame c and n are 0, and m is the logarithm of nothing, so that m_1 = log i_1 whatever the
gates are; with m = 0, all of i_1 would be lost to float32 where log i_1 is 103 below log f_1.
"""

from lstm_odyssey.variants.declare import Variant
from lstm_odyssey.variants.ops import exp, maximum, sigmoid, softplus, tanh


def slstm(x, y, c, n, m, *, W, R, b):
    """One step of one example: x [M], every state [N], W [N, M], R [N, N], b [N].

    z_t = tanh(W_z x_t + R_z y_{t-1} + b_z)  cell input
    log_i_t = W_i x_t + R_i y_{t-1} + b_i  logarithm of the input gate, an exp
    log_f_t = -softplus(-(W_f x_t + R_f y_{t-1} + b_f))  logarithm of the forget gate, a σ
    o_t = σ(W_o x_t + R_o y_{t-1} + b_o)  output gate
    m_t = maximum(log_f_t + m_{t-1}, log_i_t)  stabiliser: the greater of the two has the weight 1
    i_t = exp(log_i_t - m_t)  input gate, stabilised
    f_t = exp(log_f_t + m_{t-1} - m_t)  forget gate, stabilised
    c_t = f_t ⊙ c_{t-1} + i_t ⊙ z_t  cell
    n_t = f_t ⊙ n_{t-1} + i_t  normaliser
    y_t = o_t ⊙ (c_t / n_t)  output
    """
    z = tanh(W.z @ x + R.z @ y + b.z)
    log_i = W.i @ x + R.i @ y + b.i
    log_f = -softplus(-(W.f @ x + R.f @ y + b.f))
    o = sigmoid(W.o @ x + R.o @ y + b.o)
    m_t = maximum(log_f + m, log_i)
    i = exp(log_i - m_t)
    f = exp(log_f + m - m_t)
    c_t = f * c + i * z
    n_t = f * n + i
    return o * (c_t / n_t), c_t, n_t, m_t


variant = Variant(
    slstm,
    collection="beyond-2024",
    reference=(
        "M. Beck, K. Pöppel, M. Spanring, A. Auer, O. Prudnikova, M. Kopp, G. Klambauer, J. Brandstetter, S. Hochreiter, "
        '"xLSTM: Extended Long Short-Term Memory", '
        "Conference on Neural Information Processing Systems, 2024; arXiv 2405.04517"
    ),
    domains={"n": (0.1, 3.0)},
    initial={"m": -1e4},  # as good as the logarithm of nothing, and finite in every floating type
    ties=("maximum",),
)
