"""GRU with the reset gate after the recurrent matrix: what cuDNN, and with it torch, calls GRU.

The three recurrent products are then one, and the bias inside the reset gate's reach is a parameter of its own.
Parameters: 3(MN + N² + N) + N. Equal to ``torch.nn.GRU``, which has two more biases that only add to others.

Source: the equations of ``torch.nn.GRU`` (its n is h here, its h is y); Cho et al. 2014 for the cell, in the form of the
first version of that paper on arXiv.
"""

from lstm_odyssey.variants.declare import Limit, Variant
from lstm_odyssey.variants.ops import sigmoid, tanh


def gru_reset_after(x, y, *, W, R, b):
    """One step of one example: x [M], y [N], W [N, M], R [N, N], b [N].

    r_t = σ(W_r x_t + R_r y_{t-1} + b_r)  reset gate
    z_t = σ(W_z x_t + R_z y_{t-1} + b_z)  update gate: 1 keeps, 0 replaces
    h_t = tanh(W_h x_t + b_h + r_t ⊙ (R_h y_{t-1} + b_Rh))  candidate
    y_t = z_t ⊙ y_{t-1} + (1 - z_t) ⊙ h_t  output
    """
    r = sigmoid(W.r @ x + R.r @ y + b.r)
    z = sigmoid(W.z @ x + R.z @ y + b.z)
    h = tanh(W.h @ x + b.h + r * (R.h @ y + b.Rh))
    return z * y + (1 - z) * h


def as_torch_gru(parameters):
    """The same parameters under torch's names; torch stacks its gates by rows in the order r, z, n."""
    gates = ("r", "z", "h")
    return {
        "weight_ih_l0": [parameters[f"W.{gate}"] for gate in gates],
        "weight_hh_l0": [parameters[f"R.{gate}"] for gate in gates],
        "bias_ih_l0": [parameters[f"b.{gate}"] for gate in gates],
        "bias_hh_l0": [0 * parameters["b.r"], 0 * parameters["b.z"], parameters["b.Rh"]],
    }


variant = Variant(
    gru_reset_after,
    collection="beyond-2024",
    reference=(
        "K. Cho, B. van Merriënboer, C. Gulcehre, D. Bahdanau, F. Bougares, H. Schwenk, Y. Bengio, "
        '"Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation", '
        "Conference on Empirical Methods in Natural Language Processing, 2014; arXiv 1406.1078"
    ),
    limits=(Limit(of="torch.nn.GRU", parameters=as_torch_gru, states={"y": "h"}),),
)
