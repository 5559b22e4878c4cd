"""Li-GRU, the light gated recurrent unit, with layer normalisation where its paper has batch normalisation.

Parameters: 2(MN + N² + 2N).

Source: Ravanelli et al. 2018, equations of the Li-GRU: BN(W_z x_t) and BN(W_h x_t) are read as LN of the same vectors (Ba et
al. 2016), each over its own N, with gain p and bias b. The root has 1e-5 added. Its h is y, its candidate h̃ is h. Without any
norm: ligru. Gains begin as 1.
"""

from lstm_odyssey.variants.declare import Variant
from lstm_odyssey.variants.ops import mean, relu, rms, sigmoid


def ligru_ln(x, y, *, W, R, p, b):
    """One step of one example: x [M], y [N], W [N, M], R [N, N], p and b [N].

    u_t = W_z x_t
    d_t = u_t - mean(u_t)
    v_t = W_h x_t
    e_t = v_t - mean(v_t)
    z_t = σ(p_z ⊙ (d_t / sqrt(mean(d_t ⊙ d_t) + 1e-05)) + R_z y_{t-1} + b_z)  update gate: 1 keeps, 0 replaces
    h_t = relu(p_h ⊙ (e_t / sqrt(mean(e_t ⊙ e_t) + 1e-05)) + R_h y_{t-1} + b_h)  candidate
    y_t = z_t ⊙ y_{t-1} + (1 - z_t) ⊙ h_t  output
    """
    u = W.z @ x
    d = u - mean(u)
    v = W.h @ x
    e = v - mean(v)
    z = sigmoid(p.z * (d / rms(d)) + R.z @ y + b.z)
    h = relu(p.h * (e / rms(e)) + R.h @ y + b.h)
    return z * y + (1 - z) * h


variant = Variant(
    ligru_ln,
    collection="beyond-2024",
    reference=(
        'M. Ravanelli, P. Brakel, M. Omologo, Y. Bengio, "Light Gated Recurrent Units for Speech Recognition", '
        "IEEE Transactions on Emerging Topics in Computational Intelligence 2(2), 2018; arXiv 1803.10225; "
        'J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016; arXiv 1607.06450'
    ),
    ties=("relu",),
    start={"p.z": 1.0, "p.h": 1.0},
)
