"""MGU, the minimal gated unit: a GRU whose one gate both resets and updates.

Parameters: 2(MN + N² + N). Equal to ``gru`` with its reset gate f and its update gate 1 - f.

Source: Zhou et al. 2016, section 3. Its output h is y, its candidate h̃ is h.
"""

from lstm_odyssey.variants.declare import Limit, Variant
from lstm_odyssey.variants.ops import sigmoid, tanh


def mgu(x, y, *, W, R, b):
    """One step of one example: x [M], y [N], W [N, M], R [N, N], b [N].

    f_t = σ(W_f x_t + R_f y_{t-1} + b_f)  forget gate: 1 replaces, 0 keeps
    h_t = tanh(W_h x_t + R_h (f_t ⊙ y_{t-1}) + b_h)  candidate
    y_t = (1 - f_t) ⊙ y_{t-1} + f_t ⊙ h_t  output
    """
    f = sigmoid(W.f @ x + R.f @ y + b.f)
    h = tanh(W.h @ x + R.h @ (f * y) + b.h)
    return (1 - f) * y + f * h


def as_gru(parameters):
    """The gate as reset gate and, with the other sign (σ(-a) = 1 - σ(a)), as update gate."""
    found = {f"{space}.h": parameters[f"{space}.h"] for space in "WRb"}
    found |= {f"{space}.r": parameters[f"{space}.f"] for space in "WRb"}
    return found | {f"{space}.z": -parameters[f"{space}.f"] for space in "WRb"}


variant = Variant(
    mgu,
    collection="beyond-2024",
    reference=(
        'G.-B. Zhou, J. Wu, C.-L. Zhang, Z.-H. Zhou, "Minimal Gated Unit for Recurrent Neural Networks", '
        "International Journal of Automation and Computing 13(3), 2016; arXiv 1603.09420"
    ),
    limits=(
        Limit(of="gru", parameters=as_gru),
        Limit(of="tanh_rnn", parameters={"b.f": 40, "W.f": 0, "R.f": 0}),
    ),
)
