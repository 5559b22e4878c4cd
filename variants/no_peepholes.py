"""NP, no peepholes: the gates do not see the cell; what most libraries call LSTM.

Drops p_i, p_f and p_o. Parameters: 4(MN + N² + N). Equal to ``torch.nn.LSTM`` with one of its two biases zero.

Source: Greff et al. 2017, section II (the cell) and section IV (its variants).
"""

from lstm_odyssey.variants.declare import Limit, Variant
from lstm_odyssey.variants.ops import sigmoid, tanh


def no_peepholes(x, y, c, *, W, R, b):
    """One step of one example: x [M], every state [N], W [N, M], R [N, N], b [N].

    z_t = tanh(W_z x_t + R_z y_{t-1} + b_z)  cell input
    i_t = σ(W_i x_t + R_i y_{t-1} + b_i)  input gate
    f_t = σ(W_f x_t + R_f y_{t-1} + b_f)  forget gate
    c_t = z_t ⊙ i_t + c_{t-1} ⊙ f_t  cell
    o_t = σ(W_o x_t + R_o y_{t-1} + b_o)  output gate
    y_t = tanh(c_t) ⊙ o_t  cell output
    """
    z = tanh(W.z @ x + R.z @ y + b.z)
    i = sigmoid(W.i @ x + R.i @ y + b.i)
    f = sigmoid(W.f @ x + R.f @ y + b.f)
    c_t = z * i + c * f
    o = sigmoid(W.o @ x + R.o @ y + b.o)
    return tanh(c_t) * o, c_t


def as_torch_lstm(parameters):
    """The same parameters under torch's names; torch stacks its gates by rows in the order i, f, z, o."""
    gates = ("i", "f", "z", "o")
    return {
        "weight_ih_l0": [parameters[f"W.{gate}"] for gate in gates],
        "weight_hh_l0": [parameters[f"R.{gate}"] for gate in gates],
        "bias_ih_l0": [parameters[f"b.{gate}"] for gate in gates],
    }


variant = Variant(
    no_peepholes,
    collection="odyssey-2017",
    reference=(
        'K. Greff, R. K. Srivastava, J. Koutník, B. R. Steunebrink, J. Schmidhuber, "LSTM: A Search Space Odyssey", '
        "IEEE Transactions on Neural Networks and Learning Systems 28(10), 2017; arXiv 1503.04069"
    ),
    aliases=("np",),
    limits=(Limit(of="torch.nn.LSTM", parameters=as_torch_lstm, states={"y": "h", "c": "c"}),),
)
