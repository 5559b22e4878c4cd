"""Layer-normalised LSTM: the sums of the gates and the cell are normalised over their numbers before a gate sees them.

Parameters: 4(MN + N²) + 14N. W x_t and R y_{t-1} are normalised apart, each over the 4N numbers of all its gates: a mean over
N of a sum of four vectors, by four. The gains α₁ p_r*, α₂ p_w* and α₃ p_c begin as 1; β₃ is b_c; β₁ and β₂, which only add to
the b of the gates, are left out. The root has 1e-5 added, as in torch. The paper's g is z.
Source: Ba et al. 2016, supplementary material, equations (20) to (22).
"""

from lstm_odyssey.variants.declare import Variant
from lstm_odyssey.variants.ops import mean, rms, sigmoid, sqrt, tanh


def ln_lstm(x, y, c, *, W, R, p, b):
    """One step of one example: x [M], y and c [N], W [N, M], R [N, N], p and b [N].

    w_t = mean(W_z x_t + W_i x_t + W_f x_t + W_o x_t) / 4  mean of all that W makes
    wz_t = W_z x_t - w_t
    wi_t = W_i x_t - w_t
    wf_t = W_f x_t - w_t
    wo_t = W_o x_t - w_t
    v_t = sqrt(mean(wz_t ⊙ wz_t + wi_t ⊙ wi_t + wf_t ⊙ wf_t + wo_t ⊙ wo_t) / 4 + 1e-05)  its deviation
    r_t = mean(R_z y_{t-1} + R_i y_{t-1} + R_f y_{t-1} + R_o y_{t-1}) / 4  mean of all that R makes
    rz_t = R_z y_{t-1} - r_t
    ri_t = R_i y_{t-1} - r_t
    rf_t = R_f y_{t-1} - r_t
    ro_t = R_o y_{t-1} - r_t
    s_t = sqrt(mean(rz_t ⊙ rz_t + ri_t ⊙ ri_t + rf_t ⊙ rf_t + ro_t ⊙ ro_t) / 4 + 1e-05)  its deviation
    z_t = tanh(p_wz ⊙ (wz_t / v_t) + p_rz ⊙ (rz_t / s_t) + b_z)  cell input
    i_t = σ(p_wi ⊙ (wi_t / v_t) + p_ri ⊙ (ri_t / s_t) + b_i)  input gate
    f_t = σ(p_wf ⊙ (wf_t / v_t) + p_rf ⊙ (rf_t / s_t) + b_f)  forget gate
    o_t = σ(p_wo ⊙ (wo_t / v_t) + p_ro ⊙ (ro_t / s_t) + b_o)  output gate
    c_t = f_t ⊙ c_{t-1} + i_t ⊙ z_t  cell
    d_t = c_t - mean(c_t)
    y_t = o_t ⊙ tanh(p_c ⊙ (d_t / sqrt(mean(d_t ⊙ d_t) + 1e-05)) + b_c)  output
    """
    w = mean(W.z @ x + W.i @ x + W.f @ x + W.o @ x) / 4
    wz = W.z @ x - w
    wi = W.i @ x - w
    wf = W.f @ x - w
    wo = W.o @ x - w
    v = sqrt(mean(wz * wz + wi * wi + wf * wf + wo * wo) / 4 + 1e-5)
    r = mean(R.z @ y + R.i @ y + R.f @ y + R.o @ y) / 4
    rz = R.z @ y - r
    ri = R.i @ y - r
    rf = R.f @ y - r
    ro = R.o @ y - r
    s = sqrt(mean(rz * rz + ri * ri + rf * rf + ro * ro) / 4 + 1e-5)
    z = tanh(p.wz * (wz / v) + p.rz * (rz / s) + b.z)
    i = sigmoid(p.wi * (wi / v) + p.ri * (ri / s) + b.i)
    f = sigmoid(p.wf * (wf / v) + p.rf * (rf / s) + b.f)
    o = sigmoid(p.wo * (wo / v) + p.ro * (ro / s) + b.o)
    c_t = f * c + i * z
    d = c_t - mean(c_t)
    return o * tanh(p.c * (d / rms(d)) + b.c), c_t


GAINS = dict.fromkeys(("p.wz", "p.wi", "p.wf", "p.wo", "p.rz", "p.ri", "p.rf", "p.ro", "p.c"), 1.0)
BA = 'J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016; arXiv 1607.06450'
variant = Variant(ln_lstm, collection="beyond-2024", reference=BA, start=GAINS)
