"""IRNN: the plain recurrent net with relu in place of tanh, whose recurrent matrix begins as the identity.

Parameters: MN + N² + N.

Source: Le et al. 2015. With the identity for R and 0 for b a step begins by adding what it sees to what it was.
W begins as every matrix does; the paper draws it with a standard deviation of .001.
"""

from lstm_odyssey.variants.declare import Variant, identity
from lstm_odyssey.variants.ops import relu


def irnn(x, y, *, W, R, b):
    """One step of one example: x [M], y [N], W [N, M], R [N, N], b [N].

    y_t = relu(W_h x_t + R_h y_{t-1} + b_h)  output, and all there is of a memory
    """
    return relu(W.h @ x + R.h @ y + b.h)


variant = Variant(
    irnn,
    collection="beyond-2024",
    reference=(
        'Q. V. Le, N. Jaitly, G. E. Hinton, "A Simple Way to Initialize Recurrent Networks of Rectified Linear Units", '
        "2015; arXiv 1504.00941"
    ),
    ties=("relu",),
    start={"R.h": identity(), "b.h": 0.0},
)
