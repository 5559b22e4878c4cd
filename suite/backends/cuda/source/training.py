"""Source of what a training step needs beside scans and products: look-ahead, noise, reversal, loss and its gradient, update.

Every program is one member, with numbers of its own. What sums over frames does so in one order, whoever else is computed.
"""

from __future__ import annotations

from functools import lru_cache

THREADS = 256

AHEAD = ("COUNT", "NESTEROV", "weights", "velocity", "numbers")
UPDATE = ("COUNT", "NESTEROV", "CLIPS", "weights", "velocity", "gradient", "numbers")
"""``numbers`` are momentum, step scale, the noise's standard deviation and where a gradient is cut if CLIPS."""

NOISY = ("T", "B", "WIDTH", "TURNED", "lengths", "x", "noise", "numbers", "to")
"""to [T, B, WIDTH] = x + std noise, with TURNED each row's own frames in reverse order; ``noise`` may be 0."""

TURN = ("T", "B", "WIDTH", "ADD", "lengths", "from", "to")
"""to = from with each row's own frames in reverse order, or with ADD the sum of to and that."""

LOSS = ("T", "B", "K", "lengths", "logits", "targets", "delta", "terms")
"""``delta`` [T, B, K], 0 in the padding, or 0; ``terms`` [T, B] float64, the loss of each frame."""

SUMS = ("T", "B", "terms", "loss")
"""loss [B] = Σ over T of terms [T, B], float64."""

_SOURCE = """\
#include "device.h"

// training{about}
typedef {real} real;

__device__ __forceinline__ int turned(int t, int length) {{ return t < length ? length - 1 - t : t; }}

extern "C" __global__ void __launch_bounds__({threads}) ahead(const long long* __restrict__ tables) {{
    const long long* table = tables + blockIdx.y * {ahead};
    const int n = int(blockIdx.x * {threads} + threadIdx.x);
    if (n >= table[0]) return;
    real* const weights = reinterpret_cast<real*>(table[2]);
    real* const velocity = reinterpret_cast<real*>(table[3]);
    const real v = velocity[n] * reinterpret_cast<const real*>(table[4])[0];
    velocity[n] = v;
    if (table[1]) weights[n] += v;
}}

extern "C" __global__ void __launch_bounds__({threads}) update(const long long* __restrict__ tables) {{
    const long long* table = tables + blockIdx.y * {update};
    const int n = int(blockIdx.x * {threads} + threadIdx.x);
    if (n >= table[0]) return;
    real* const weights = reinterpret_cast<real*>(table[3]);
    real* const velocity = reinterpret_cast<real*>(table[4]);
    const real* const numbers = reinterpret_cast<const real*>(table[6]);
    real step = reinterpret_cast<const real*>(table[5])[n];
    const real cut = numbers[3];
    if (table[2]) step = step > cut ? cut : step < -cut ? -cut : step;  // NaN stays NaN
    step *= numbers[1];
    const real v = velocity[n] - step;
    velocity[n] = v;
    if (table[1]) weights[n] -= step;
    else weights[n] += v;
}}

extern "C" __global__ void __launch_bounds__({threads}) noisy(const long long* __restrict__ tables) {{
    const long long* table = tables + blockIdx.y * {noisy};
    const int T = int(table[0]), B = int(table[1]), width = int(table[2]);
    const int n = int(blockIdx.x * {threads} + threadIdx.x);
    if (n >= T * B * width) return;
    const int t = n / (B * width), b = n / width % B;
    const int source = table[3] ? turned(t, int(reinterpret_cast<const long long*>(table[4])[b])) : t;
    const int at = n + (source - t) * B * width;
    const real* const noise = reinterpret_cast<const real*>(table[6]);
    real value = reinterpret_cast<const real*>(table[5])[at];
    if (noise) value += noise[at] * reinterpret_cast<const real*>(table[7])[2];
    reinterpret_cast<real*>(table[8])[n] = value;
}}

extern "C" __global__ void __launch_bounds__({threads}) turn(const long long* __restrict__ tables) {{
    const long long* table = tables + blockIdx.y * {turn};
    const int T = int(table[0]), B = int(table[1]), width = int(table[2]);
    const int n = int(blockIdx.x * {threads} + threadIdx.x);
    if (n >= T * B * width) return;
    const int t = n / (B * width), b = n / width % B;
    const int source = turned(t, int(reinterpret_cast<const long long*>(table[4])[b]));
    const real value = reinterpret_cast<const real*>(table[5])[n + (source - t) * B * width];
    real* const to = reinterpret_cast<real*>(table[6]);
    to[n] = table[3] ? to[n] + value : value;
}}

extern "C" __global__ void __launch_bounds__({threads}) sums(const long long* __restrict__ tables) {{
    const long long* table = tables + blockIdx.y * {sums};
    const int T = int(table[0]), B = int(table[1]), b = int(blockIdx.x);
    if (b >= B) return;
    const double* const terms = reinterpret_cast<const double*>(table[2]);
    SHARED(double, part);
    double sum = 0;
    for (int t = threadIdx.x; t < T; t += {threads}) sum += terms[t * B + b];
    part[threadIdx.x] = sum;
    __syncthreads();
    for (int half = {threads} / 2; half; half /= 2) {{
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }}
    if (threadIdx.x == 0) reinterpret_cast<double*>(table[3])[b] = part[0];
}}
{loss}"""

_LOSS = """
{function}
extern "C" __global__ void __launch_bounds__({threads}) loss(const long long* __restrict__ tables) {{
    const long long* table = tables + blockIdx.y * {width};
    const int T = int(table[0]), B = int(table[1]), K = int(table[2]);
    const int frame = int(blockIdx.x * {threads} + threadIdx.x) / 32, lane = threadIdx.x % 32;
    if (frame >= T * B) return;  // a whole warp
    const bool on = frame / B < reinterpret_cast<const long long*>(table[3])[frame % B];
    real* const delta = table[6] ? reinterpret_cast<real*>(table[6]) + (long long)frame * K : 0;
    double term = 0;
    if (on) term = frame_loss(reinterpret_cast<const real*>(table[4]) + (long long)frame * K, table[5], frame, K, lane, delta);
    else if (delta)
        for (int k = lane; k < K; k += 32) delta[k] = real(0);
    if (lane == 0) reinterpret_cast<double*>(table[7])[frame] = term;
}}
"""

_OVER_A_WARP = """
template <typename T> __device__ __forceinline__ T over_warp(T value) {
    for (int lanes = 16; lanes; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
    return value;
}
"""

_FRAMES = """
// cross entropy of the softmax; targets are int64 [T, B]
__device__ __forceinline__ double frame_loss(const real* logits, long long targets, int frame, int K, int lane, real* delta) {
    const int target = int(reinterpret_cast<const long long*>(targets)[frame]);
    real greatest = logits[0];
    for (int k = lane; k < K; k += 32) greatest = maximum(greatest, logits[k]);
    for (int lanes = 16; lanes; lanes /= 2) greatest = maximum(greatest, __shfl_xor_sync(0xffffffffu, greatest, lanes));
    real total = real(0);
    for (int k = lane; k < K; k += 32) total += exp(logits[k] - greatest);
    total = over_warp(total);
    if (delta)
        for (int k = lane; k < K; k += 32) delta[k] = exp(logits[k] - greatest) / total - (k == target ? real(1) : real(0));
    return double(log(total) + greatest - logits[target]);
}
"""

_NEXT_FRAME = """
// Bernoulli cross entropy of every output; targets are real [T, B, K]
__device__ __forceinline__ double frame_loss(const real* logits, long long targets, int frame, int K, int lane, real* delta) {
    const real* const target = reinterpret_cast<const real*>(targets) + (long long)frame * K;
    double total = 0;
    for (int k = lane; k < K; k += 32) {
        total += double(softplus(logits[k]) - target[k] * logits[k]);
        if (delta) delta[k] = sigmoid(logits[k]) - target[k];
    }
    return over_warp(total);
}
"""

LOSSES = {"frames": _FRAMES, "next_frame": _NEXT_FRAME}
"""By objective: ``frame_loss`` gives a frame's loss to every lane of a warp, and fills its gradient if that is not 0."""


@lru_cache(maxsize=32)
def source(size: int, objective: str | None = None) -> str:
    """The kernels for floats of ``size`` bytes, with ``loss`` if the objective has one here."""
    loss = ""
    if objective in LOSSES:
        loss = _LOSS.format(function=_OVER_A_WARP + LOSSES[objective], threads=THREADS, width=len(LOSS))
    return _SOURCE.format(
        about=f", float{8 * size}" + (f", {objective}" if loss else ""), real="float" if size == 4 else "double",
        threads=THREADS, ahead=len(AHEAD), update=len(UPDATE), noisy=len(NOISY), turn=len(TURN), sums=len(SUMS), loss=loss,
    )  # fmt: skip


def blocks(count: int) -> int:
    """Blocks for so many numbers."""
    return -(-count // THREADS)
