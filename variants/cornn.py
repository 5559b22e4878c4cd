"""coRNN: coupled oscillators, driven by the input; y is where they are, z how fast they move.

Parameters: MN + 2N² + N.

Source: Rusch and Mishra 2021, equation (3), with tanh and its n̄ = n - 1, as the authors' code has it
(github.com/tk-rusch/coRNN). Its 𝒲 is R_z, its W is R_y, its V is W_h. Its Δt is dt, a step in time; γ is a frequency, ε a
damping. The authors tune all three for each task; the defaults are their code's for sequential MNIST with 256 units.
"""

from lstm_odyssey.variants.declare import Constant, Variant
from lstm_odyssey.variants.ops import tanh


def cornn(x, y, z, *, W, R, b, k):
    """One step of one example: x [M], y and z [N], W [N, M], R [N, N], b [N]; constants k.

    h_t = tanh(W_h x_t + R_y y_{t-1} + R_z z_{t-1} + b_h)  force
    z_t = z_{t-1} + dt · (h_t - γ · y_{t-1} - ε · z_{t-1})  velocity
    y_t = y_{t-1} + dt · z_t  output
    """
    h = tanh(W.h @ x + R.y @ y + R.z @ z + b.h)
    z_t = z + k.dt * (h - k.gamma * y - k.epsilon * z)
    return y + k.dt * z_t, z_t


variant = Variant(
    cornn,
    collection="beyond-2024",
    reference=(
        'T. K. Rusch, S. Mishra, "Coupled Oscillatory Recurrent Neural Network (coRNN): An Accurate and (Gradient) Stable '
        'Architecture for Learning Long Time Dependencies", International Conference on Learning Representations, 2021; '
        "arXiv 2010.00951"
    ),
    constants={
        "dt": Constant(0.042, low=0.001, high=1),
        "gamma": Constant(2.7, low=0.1, high=100),
        "epsilon": Constant(4.7, low=0.1, high=100),
    },
)
