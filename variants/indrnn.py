"""IndRNN: each unit sees its own past alone, a number in place of a recurrent matrix.

Parameters: MN + 2N. Equal to irnn with a diagonal R.

Source: Li et al. 2018, with relu. Its h is y, its vector u is p, which begins uniform in [0, 1], as in the authors' code for
relu (github.com/Sunnydreamrain/IndRNN_pytorch), so that blocks remember for different times. There |u| is also kept below the
T-th root of 2 in training; that is no part of the step, and nothing does so here.
"""

from lstm_odyssey.variants.declare import Limit, Variant, uniform
from lstm_odyssey.variants.ops import relu


def indrnn(x, y, *, W, p, b):
    """One step of one example: x [M], y [N], W [N, M], p [N], b [N].

    y_t = relu(W_h x_t + p_h ⊙ y_{t-1} + b_h)  output, and all there is of a memory
    """
    return relu(W.h @ x + p.h * y + b.h)


def as_irnn(parameters):
    """The same parameters, the vector as a diagonal matrix."""
    return {"W.h": parameters["W.h"], "R.h": parameters["p.h"].diag(), "b.h": parameters["b.h"]}


variant = Variant(
    indrnn,
    collection="beyond-2024",
    reference=(
        'S. Li, W. Li, C. Cook, C. Zhu, Y. Gao, "Independently Recurrent Neural Network (IndRNN): Building A Longer and '
        'Deeper RNN", IEEE Conference on Computer Vision and Pattern Recognition, 2018; arXiv 1803.04831'
    ),
    limits=(Limit(of="irnn", parameters=as_irnn),),
    ties=("relu",),
    start={"p.h": uniform(0.0, 1.0)},
)
