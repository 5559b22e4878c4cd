"""minLSTM: gates and candidate see the input alone, so that the recurrence is linear and has no matrix at all.

Parameters: 3(MN + N).

Source: Feng et al. 2024, section 3.2. Its h is y, its candidate h̃ is h. The paper divides each gate, a σ, by the sum of
both. The text does it by logarithms, as the paper's log-space form does, since f / (f + i) = σ(log f - log i): two gates that
are all but shut still weigh old against new, where their sum would be lost to rounding. f_t and i_t are the paper's f'
and i'.
"""

from lstm_odyssey.variants.declare import Variant
from lstm_odyssey.variants.ops import sigmoid, softplus


def minlstm(x, y, *, W, b):
    """One step of one example: x [M], y [N], W [N, M], b [N].

    log_f_t = -softplus(-(W_f x_t + b_f))  logarithm of the forget gate, a σ
    log_i_t = -softplus(-(W_i x_t + b_i))  logarithm of the input gate, a σ
    f_t = σ(log_f_t - log_i_t)  forget gate over the sum of both
    i_t = σ(log_i_t - log_f_t)  input gate over the sum of both
    h_t = W_h x_t + b_h  candidate
    y_t = f_t ⊙ y_{t-1} + i_t ⊙ h_t  output
    """
    log_f = -softplus(-(W.f @ x + b.f))
    log_i = -softplus(-(W.i @ x + b.i))
    f = sigmoid(log_f - log_i)
    i = sigmoid(log_i - log_f)
    h = W.h @ x + b.h
    return f * y + i * h


variant = Variant(
    minlstm,
    collection="beyond-2024",
    reference=(
        'L. Feng, F. Tung, M. O. Ahmed, Y. Bengio, H. Hajimirsadeghi, "Were RNNs All We Needed?", 2024; arXiv 2410.01201'
    ),
)
