"""coRNN: coupled oscillators, driven by the input; y is where they are, z how fast they move.

Parameters: MN + 2N² + N.

Source: Rusch and Mishra 2021, section 2, equation (3), with tanh and its n̄ = n - 1, as the authors' code has it. Its 𝒲 is
R_z, its W is R_y, its V is W_h. The step Δt = 0.042, the frequency γ = 2.7 and the damping ε = 4.7 are the paper's for
sequential MNIST with 256 blocks; the paper tunes all three for each task.
"""

from lstm_odyssey.variants.declare import Variant
from lstm_odyssey.variants.ops import tanh


def cornn(x, y, z, *, W, R, b):
    """One step of one example: x [M], y and z [N], W [N, M], R [N, N], b [N].

    h_t = tanh(W_h x_t + R_y y_{t-1} + R_z z_{t-1} + b_h)  force
    z_t = z_{t-1} + 0.042 · (h_t - 2.7 · y_{t-1} - 4.7 · z_{t-1})  velocity
    y_t = y_{t-1} + 0.042 · z_t  output
    """
    h = tanh(W.h @ x + R.y @ y + R.z @ z + b.h)
    z_t = z + 0.042 * (h - 2.7 * y - 4.7 * z)
    return y + 0.042 * z_t, z_t


variant = Variant(
    cornn,
    collection="beyond-2024",
    reference=(
        'T. K. Rusch, S. Mishra, "Coupled Oscillatory Recurrent Neural Network (coRNN): An Accurate and (Gradient) Stable '
        'Architecture for Learning Long Time Dependencies", International Conference on Learning Representations, 2021; '
        "arXiv 2010.00951"
    ),
)
