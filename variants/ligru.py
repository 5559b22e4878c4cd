"""Li-GRU, the light gated recurrent unit, *without* its batch normalisation: no reset gate, and relu in place of tanh.

Parameters: 2(MN + N² + N).

Source: Ravanelli et al. 2018. The paper normalises W_z x_t and W_h x_t over the batch; a step speaks of one
example, so that what is left of it here are the biases. Nothing bounds the output: the paper relies on the normalisation
for that, and without it the cell diverges where others learn. Its h is y, its candidate h̃ is h.
"""

from lstm_odyssey.variants.declare import Variant
from lstm_odyssey.variants.ops import relu, sigmoid


def ligru(x, y, *, W, R, b):
    """One step of one example: x [M], y [N], W [N, M], R [N, N], b [N].

    z_t = σ(W_z x_t + R_z y_{t-1} + b_z)  update gate: 1 keeps, 0 replaces
    h_t = relu(W_h x_t + R_h y_{t-1} + b_h)  candidate
    y_t = z_t ⊙ y_{t-1} + (1 - z_t) ⊙ h_t  output
    """
    z = sigmoid(W.z @ x + R.z @ y + b.z)
    h = relu(W.h @ x + R.h @ y + b.h)
    return z * y + (1 - z) * h


variant = Variant(
    ligru,
    collection="beyond-2024",
    reference=(
        'M. Ravanelli, P. Brakel, M. Omologo, Y. Bengio, "Light Gated Recurrent Units for Speech Recognition", '
        "IEEE Transactions on Emerging Topics in Computational Intelligence 2(2), 2018; arXiv 1803.10225"
    ),
    ties=("relu",),
)
