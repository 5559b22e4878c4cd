"""The plain recurrent net: one tanh, no gate; what torch calls RNN.

Parameters: MN + N² + N. Equal to ``torch.nn.RNN`` with one of its two biases zero.

Source: Elman 1990; the equation is that of the survey in Jozefowicz et al. 2015, section 2. The bias is ours to write.
"""

from lstm_odyssey.variants.declare import Limit, Variant
from lstm_odyssey.variants.ops import tanh


def tanh_rnn(x, y, *, W, R, b):
    """One step of one example: x [M], y [N], W [N, M], R [N, N], b [N].

    y_t = tanh(W_h x_t + R_h y_{t-1} + b_h)  output, and all there is of a memory
    """
    return tanh(W.h @ x + R.h @ y + b.h)


def as_torch_rnn(parameters):
    """The same parameters under torch's names."""
    return {
        "weight_ih_l0": parameters["W.h"],
        "weight_hh_l0": parameters["R.h"],
        "bias_ih_l0": parameters["b.h"],
    }


variant = Variant(
    tanh_rnn,
    collection="beyond-2024",
    reference='J. L. Elman, "Finding Structure in Time", Cognitive Science 14(2), 1990',
    limits=(Limit(of="torch.nn.RNN", parameters=as_torch_rnn, states={"y": "h"}),),
)
