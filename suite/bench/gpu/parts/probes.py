"""Small kernels that measure a device: what a barrier costs, alone and in a cluster, and how many multiplications it makes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lstm_odyssey.backends.cuda.running.launch import Launch
from lstm_odyssey.bench.gpu.target import Target

THREADS, CHAINS = 256, 8
"""Threads of a block; multiplications of a thread that do not wait for each other."""

_HEAD = '#include "device.h"\n\n// probe of {about}\n'

_ENTRY = (
    'extern "C" __global__ void __launch_bounds__({threads}, 1) {name}(const long long* __restrict__ tables) {{\n'
    "    const long long* table = tables + blockIdx.y * 3;\n"
    "    const int rounds = int(table[0]);\n"
    "    float* const to = reinterpret_cast<float*>(table[1]);\n"
)

_BARRIER = (
    _HEAD
    + _ENTRY
    + """\
    for (int k = 0; k < rounds; ++k) {barrier};
    if (threadIdx.x == 0) to[blockIdx.x] = float(rounds);
}}
"""
)

_EXCHANGE = (
    _HEAD
    + _ENTRY
    + """\
    SHARED(float, y);
    y[threadIdx.x] = 0.0f;
    y[{threads} + threadIdx.x] = 0.0f;
    const unsigned next = (cluster_rank() + 1u) % unsigned(table[2]);
    cluster_barrier();
    // what one round reads, the round before has written: two buffers, one barrier a round, as a scan has it
    for (int k = 0; k < rounds; ++k) {{
        const float value = y[(k & 1) * {threads} + threadIdx.x] + 1.0f;
        cluster_store(y + ((k + 1) & 1) * {threads} + threadIdx.x, next, value);
        cluster_barrier();
    }}
    if (threadIdx.x == 0) to[blockIdx.x] = y[(rounds & 1) * {threads}];
}}
"""
)

_MULTIPLY = (
    _HEAD
    + _ENTRY
    + """\
    float sums[{chains}];
    const float factor = to[0], addend = to[1];
#pragma unroll
    for (int n = 0; n < {chains}; ++n) sums[n] = float(threadIdx.x + n);
    for (int k = 0; k < rounds; ++k) {{
#pragma unroll
        for (int n = 0; n < {chains}; ++n) sums[n] = sums[n] * factor + addend;
    }}
    float sum = 0.0f;
#pragma unroll
    for (int n = 0; n < {chains}; ++n) sum += sums[n];
    to[2 + blockIdx.y * {threads} + threadIdx.x] = sum;
}}
"""
)


class Probe:
    """A kernel that does the same ``rounds`` times.

    Args:
        target: where.
        kind: ``block``, ``cluster``, ``exchange`` or ``multiply``.
        cluster: blocks of it. programs: how many clusters or blocks at once.
    """

    def __init__(self, target: Target, kind: str, cluster: int = 1, programs: int = 1) -> None:
        text = {"exchange": _EXCHANGE, "multiply": _MULTIPLY}.get(kind, _BARRIER)
        barrier = {"block": "__syncthreads()", "cluster": "cluster_barrier()"}.get(kind, "")
        self.target, self.kind, self.cluster, self.programs = target, kind, cluster, programs
        self.text = text.format(about=kind, name="probe", threads=THREADS, chains=CHAINS, barrier=barrier)
        self.to = torch.zeros(2 + programs * THREADS, device=target.device)
        self.to[0], self.to[1] = 1.0, 0.5

    def _launch(self, rounds: int) -> Launch:
        shared = 2 * THREADS * 4 if self.kind == "exchange" else 0
        table: list[list[int | Tensor | None]] = [[rounds, self.to, self.cluster]] * self.programs
        return Launch("probe", self.programs, 1, THREADS, self.cluster, shared, table)

    def prepared(self, rounds: int) -> Any:
        """What runs it."""
        return self.target.runner.prepare(self.text, [self._launch(rounds)])

    def right(self, rounds: int) -> bool:
        """Whether it counts its rounds; of ``multiply``, which does not count, nothing is asked."""
        self.prepared(rounds).run()
        return self.kind == "multiply" or self.to[0].item() == rounds

    def seconds(self, rounds: int) -> float:
        """Seconds of a round: those of 3 times as many less those of ``rounds``, so that what a launch costs falls out."""
        few, many = self.prepared(rounds), self.prepared(3 * rounds)
        found = self.target.seconds({"few": few.run, "many": many.run})
        return (found["many"] - found["few"]) / (2 * rounds)
