"""Device code written by hand, small: a scan in one block, the same over a cluster, and each fault that the emulation is for.

A scan: y_t = tanh(R y_{t-1} + x_t), N units, a unit's row of R dealt out over the lanes of a warp.
"""

from dataclasses import dataclass

import torch

from lstm_odyssey.backends.cuda.running.launch import Launch

N = 64
LANES = 4
CLUSTER = 4
STEPS = 5
TILES = 2
DTYPES = (torch.float32, torch.float64)
REALS = {torch.float32: "float", torch.float64: "double"}

BLOCK_FAULTS = (
    "no barrier", "one buffer for two", "read before a write", "beyond a buffer", "beyond shared memory",
    "not all at a barrier", "at two barriers", "not all at a shuffle", "beyond a local array",
)  # fmt: skip
CLUSTER_FAULTS = ("no cluster barrier", "one buffer for two", "no first cluster barrier", "no last cluster barrier",
                  "beyond its block")  # fmt: skip

FUNCTIONS = ("exp", "log", "tanh", "sigmoid", "softplus", "relu", "absolute", "sign", "maximum", "minimum")

_HEAD = f"""#include "device.h"

// scan written by hand
constexpr int N = {N}, LANES = {LANES}, CLUSTER = {CLUSTER};
"""

_BLOCK = """
template <typename real, int fault> __device__ __forceinline__ void scan(const long long* __restrict__ table) {
    const long long* row = table + blockIdx.y * 5;
    long long steps = row[0];
    const real* R = reinterpret_cast<const real*>(row[1]);
    const real* x = reinterpret_cast<const real*>(row[2]) + blockIdx.x * steps * N;
    const real* start = reinterpret_cast<const real*>(row[3]) + blockIdx.x * N;
    real* out = reinterpret_cast<real*>(row[4]) + blockIdx.x * steps * N;
    SHARED(real, y);
    int lane = threadIdx.x % LANES, unit = threadIdx.x / LANES;
    real weights[N / LANES];
    for (int k = 0; k < N / LANES; k++) weights[k] = R[unit * N + k * LANES + lane];
    if (lane == 0 && (fault != 3 || unit < N / 2)) y[unit] = start[unit];
    real input = x[unit];
    __syncthreads();
    for (long long t = 0; t < steps; t++) {
        const real* before = y + (fault == 2 ? 0 : t % 2 * N);
        real* after = y + (fault == 2 ? 0 : (t + 1) % 2 * N);
        real sum = 0;
        for (int k = 0; k < N / LANES; k++) sum += weights[k] * before[k * LANES + lane];
        if (fault == 9 && t == 1) sum += 0 * weights[N / LANES + lane];
        for (int lanes = 1; lanes < LANES; lanes *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
        real value = tanh(sum + input);
        if (t + 1 < steps || fault == 4) input = x[(t + 1) * N + unit];
        if (lane == 0) {
            after[fault == 5 && t % 2 == 0 ? N + unit : unit] = value;
            out[t * N + unit] = value;
        }
        if (fault == 6) {
            if (unit < N / 2) __syncthreads();
        } else if (fault == 7) {
            if (unit < N / 2)
                __syncthreads();
            else
                __syncthreads();
        } else if (fault == 8) {
            if (lane == 0) out[t * N + unit] += __shfl_xor_sync(0xffffffffu, value, 1);
            __syncthreads();
        } else if (fault != 1) {
            __syncthreads();
        }
    }
}
"""

_CLUSTER = """
template <typename real, int fault> __device__ __forceinline__ void spread(const long long* __restrict__ table) {
    const long long* row = table + blockIdx.y * 5;
    long long steps = row[0], tile = blockIdx.x / CLUSTER;
    const real* R = reinterpret_cast<const real*>(row[1]);
    const real* x = reinterpret_cast<const real*>(row[2]) + tile * steps * N;
    const real* start = reinterpret_cast<const real*>(row[3]) + tile * N;
    real* out = reinterpret_cast<real*>(row[4]) + tile * steps * N;
    SHARED(real, y);
    int lane = threadIdx.x % LANES, unit = cluster_rank() * (N / CLUSTER) + threadIdx.x / LANES;
    real weights[N / LANES];
    for (int k = 0; k < N / LANES; k++) weights[k] = R[unit * N + k * LANES + lane];
    for (int k = threadIdx.x; k < N; k += blockDim.x) y[k] = start[k];
    if (fault == 3)
        __syncthreads();
    else
        cluster_barrier();
    for (long long t = 0; t < steps; t++) {
        const real* before = y + (fault == 2 ? 0 : t % 2 * N);
        real* after = y + (fault == 2 ? 0 : (t + 1) % 2 * N);
        real sum = 0;
        for (int k = 0; k < N / LANES; k++) sum += weights[k] * before[k * LANES + lane];
        for (int lanes = 1; lanes < LANES; lanes *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
        real value = tanh(sum + x[t * N + unit]);
        if (lane == 0) out[t * N + unit] = value;
        cluster_store(after + unit + (fault == 5 ? 2 * N : 0), lane, value);
        bool last = t + 1 == steps;
        if ((fault == 1 && !last) || (fault == 4 && last))
            __syncthreads();
        else
            cluster_barrier();
    }
}
"""

_MATHS = """
// row: function, length, a, b, out
template <typename real> __device__ __forceinline__ void apply(const long long* __restrict__ table) {
    const long long* row = table + blockIdx.y * 5;
    const real* left = reinterpret_cast<const real*>(row[2]);
    const real* right = reinterpret_cast<const real*>(row[3]);
    real* out = reinterpret_cast<real*>(row[4]);
    for (long long k = threadIdx.x; k < row[1]; k += blockDim.x) {
        real a = left[k], b = right[k];
        real values[] = {exp(a), log(a), tanh(a), sigmoid(a), softplus(a), relu(a), absolute(a), sign(a),
                         maximum(a, b), minimum(a, b)};
        real value = 0;
        for (int each = 0; each < 10; each++) value = each == row[0] ? values[each] : value;
        out[k] = value;
    }
}
"""


def _kernels(template: str, threads: int, faults: int) -> str:
    """A kernel a dtype and fault: ``scan_float`` is the right one, ``scan_float_1`` has the first fault."""
    form = (
        'extern "C" __global__ void __launch_bounds__({threads}, 1) {name}(const long long* __restrict__ table) {{\n'
        "    {template}<{arguments}>(table);\n}}\n"
    )
    made = []
    for real in REALS.values():
        for fault in range(faults + 1):
            arguments = real if template == "apply" else f"{real}, {fault}"
            name = f"{template}_{real}_{fault}" if fault else f"{template}_{real}"
            made.append(form.format(threads=threads, name=name, template=template, arguments=arguments))
    return "".join(made)


BLOCK_TEXT = _HEAD + _BLOCK + _MATHS + _kernels("scan", N * LANES, 0) + _kernels("apply", 128, 0)
CLUSTER_TEXT = _HEAD + _CLUSTER + _kernels("spread", N * LANES // CLUSTER, 0)
FAULTY_TEXT = (
    _HEAD + _BLOCK + _MATHS + _CLUSTER + _kernels("scan", N * LANES, len(BLOCK_FAULTS)) + _kernels("apply", 128, 0)
    + _kernels("spread", N * LANES // CLUSTER, len(CLUSTER_FAULTS))
)  # fmt: skip
"""All of it in one program."""


@dataclass
class Scan:
    """The data of two programs of different lengths, each with several tiles, and the right answer."""

    R: list[torch.Tensor]
    x: list[torch.Tensor]
    start: list[torch.Tensor]
    out: list[torch.Tensor]
    expected: list[torch.Tensor]
    dtype: torch.dtype

    def launch(self, template: str, faults: tuple[str, ...] = (), fault: str = "") -> Launch:
        """A launch of the kernel with this fault, none of the right one."""
        cluster = CLUSTER if template == "spread" else 1
        number = f"_{faults.index(fault) + 1}" if fault else ""
        rows = zip(self.R, self.x, self.start, self.out, strict=True)
        return Launch(
            kernel=f"{template}_{REALS[self.dtype]}{number}",
            programs=len(self.R),
            tiles=TILES,
            threads=N * LANES // cluster,
            cluster=cluster,
            shared=2 * N * self.dtype.itemsize,
            table=[[x.shape[1], R, x, start, out] for R, x, start, out in rows],
        )

    @property
    def right(self) -> bool:
        """Whether what was written is what the equation says, up to rounding."""
        bound = {torch.float32: 2e-6, torch.float64: 1e-14}[self.dtype]
        return all((out - wanted).abs().max() <= bound for out, wanted in zip(self.out, self.expected, strict=True))


def scan(dtype: torch.dtype) -> Scan:
    """Random data; the outputs hold NaN."""
    draw = torch.Generator().manual_seed(1)
    lengths = (STEPS, STEPS - 2)
    R = [torch.randn(N, N, generator=draw, dtype=dtype) / 8 for _ in lengths]
    x = [torch.randn(TILES, steps, N, generator=draw, dtype=dtype) for steps in lengths]
    start = [torch.randn(TILES, N, generator=draw, dtype=dtype) for _ in lengths]
    out = [torch.full_like(each, float("nan")) for each in x]
    expected = []
    for weights, inputs, y in zip(R, x, start, strict=True):
        steps, y = [], y.double()
        for t in range(inputs.shape[1]):
            y = torch.tanh(y @ weights.double().T + inputs[:, t].double())
            steps.append(y)
        expected.append(torch.stack(steps, 1))
    return Scan(R, x, start, out, expected, dtype)
