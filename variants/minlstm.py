"""minLSTM: gates and candidate see the input alone, so that the recurrence is linear and has no matrix at all.

Parameters: 3(MN + N).

Source: Feng et al. 2024, section 3.2. Its h is y, its candidate h̃ is h. The two gates are divided by their sum, so that
they weigh old and new; the sum is 0, and the output NaN, only if in float32 both are below e^-103, in float64 e^-745.
"""

from lstm_odyssey.variants.declare import Variant
from lstm_odyssey.variants.ops import sigmoid


def minlstm(x, y, *, W, b):
    """One step of one example: x [M], y [N], W [N, M], b [N].

    f_t = σ(W_f x_t + b_f)  forget gate
    i_t = σ(W_i x_t + b_i)  input gate
    h_t = W_h x_t + b_h  candidate
    y_t = (f_t ⊙ y_{t-1} + i_t ⊙ h_t) / (f_t + i_t)  output
    """
    f = sigmoid(W.f @ x + b.f)
    i = sigmoid(W.i @ x + b.i)
    h = W.h @ x + b.h
    return (f * y + i * h) / (f + i)


variant = Variant(
    minlstm,
    collection="beyond-2024",
    reference=(
        'L. Feng, F. Tung, M. O. Ahmed, Y. Bengio, H. Hajimirsadeghi, "Were RNNs All We Needed?", 2024; arXiv 2410.01201'
    ),
)
