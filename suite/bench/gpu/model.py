"""How long an H200 should take for a step, a scan, a layer: reckoned from size classes, bytes and FLOP.

A step of a scan takes as many clocks as its multiplications at 128 a clock and its shared memory at 128 bytes a clock, for all
rows and blocks on one multiprocessor, and a latency on top; classes run one after the other. What goes around the scans runs
at a part of the multiplication rate, or at the memory's speed, whichever is longer. The figures of cuDNN are public ones.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lstm_odyssey.backends.cuda.classes import REGISTERS, REGISTERS_OF_THREAD, SizeClass
from lstm_odyssey.backends.cuda.kernels import Kernel, kernel
from lstm_odyssey.backends.lowering import lower
from lstm_odyssey.bench.gpu.target import FULL
from lstm_odyssey.cell import Cell

ARCHITECTURE = "sm_90"
PROCESSORS, CLOCK = 132, 1.75e9
"""Multiprocessors of an H200, and clocks a second under load."""

COPY, MEMORY = 4.3e12, 141e9
"""Bytes a second, read and written, and bytes, of its memory."""

FMA = PROCESSORS * 128 * 2 * CLOCK
"""FLOP a second of multiplications and additions in float32."""

PRODUCTS, SGEMM = 0.4, 0.85
"""The parts of it that our kernels of products are expected to reach, and cuBLAS at a large product."""

TILE = 64
"""Rows and columns of a product that one multiprocessor computes at a time."""

STEP, BARRIER, BLOCK_BARRIER = 600, 400, 30
"""Clocks of latency of a step, more of a cluster's barrier, and of a barrier of one block."""

MEAN = 200
"""Clocks of latency of a round of means over N, a cluster's barrier not counted."""

LAUNCH, LAUNCHES = 1.5e-6, 30
"""Seconds from one kernel of a graph to the next, and kernels of an update."""

CALLS, CALL = 8, 6e-6
"""Calls of an update from Python, a graph and what torch copies and sums, and seconds that the host needs for one."""

HOST = 3e-4
"""Seconds of Python around a layer's pass through autograd."""

CUDNN_FORWARD, CUDNN_BACKWARD = 2.5e-6, 4e-6
"""Seconds of a step of one network by cuDNN at N up to 200: 2.5 µs forward were measured by others on an H100 at N = 64."""

CUDNN_BOTH = 1.3
"""Times of that which a step of both directions is taken to need."""

PLAIN = 1e-3
"""Seconds of the rest of an update of one network in torch: loss, autograd, SGD."""

CTC = 6e-6
"""Seconds of a frame of torch's CTC, both passes, of many members at once."""

OPERATION, BACK = 6e-6, 2
"""Seconds of an operation that Python asks of torch, and autograd's operations for each of a text's.

Others measured 5.6 µs of a launch on an H20, and 11 of a small product.
"""

STEPWISE = 3e-6
"""Seconds of a launch of a scan step by step, when many follow each other; on top, its matrices are read once a step."""


@dataclass(frozen=True)
class Speed:
    """What the hours of a study depend on.

    Args:
        step, barrier: clocks of latency of a step, and more of a cluster's barrier. products: the part of the rate that
            products reach. ctc: seconds of a frame of CTC.
        beside: whether the classes of a scan fill the multiprocessors side by side, rather than one after the other.
    """

    step: float = STEP
    barrier: float = BARRIER
    products: float = PRODUCTS
    ctc: float = CTC
    beside: bool = False


EXPECTED = Speed()
ASSUMED = {
    "clocks_per_second": CLOCK, "multiprocessors": PROCESSORS, "copy_bytes_per_second": COPY, "fma_flop_per_second": FMA,
    "products_part_of_fma": PRODUCTS, "step_latency_clocks": STEP, "cluster_barrier_clocks": BARRIER, "launch_seconds": LAUNCH,
    "host_calls_of_an_update": CALLS, "host_seconds_of_a_call": CALL,
    "host_seconds_of_a_pass": HOST, "cudnn_step_seconds": [CUDNN_FORWARD, CUDNN_BACKWARD], "plain_update_seconds": PLAIN,
    "ctc_frame_seconds": CTC, "stepwise_launch_seconds": STEPWISE, "mean_latency_clocks": MEAN,
    "loop_operation_seconds": OPERATION, "loop_operations_backward": BACK,
}  # fmt: skip


def of(cell: Cell) -> Kernel:
    """The cell in float32 for an H200."""
    return kernel(lower(cell.graph), torch.float32, ARCHITECTURE)


def beside(layout: SizeClass) -> int:
    """Blocks of a class that one multiprocessor has registers for."""
    threads = -(-layout.threads // 128) * 128
    return max(1, REGISTERS // (threads * REGISTERS_OF_THREAD))


def step_clocks(layout: SizeClass, rows: int, blocks: int = 1, speed: Speed = EXPECTED) -> float:
    """Clocks of a step of a program, forward or backward, with so many blocks on a multiprocessor."""
    products = layout.matrices * layout.width * layout.units / 128
    latency = speed.step + speed.barrier * (layout.cluster > 1)
    return rows * blocks * products + blocks * layout.weights / 128 + latency


def scan_seconds(
    made: Kernel, sizes: Sequence[int], B: int, T: int, speed: Speed = EXPECTED, layer: bool = False
) -> float:
    """Seconds of the scans of programs of these N, forward or backward; those that no class fits run step by step."""
    plan = made.plan
    means = (len({plan.phase[n] for n in plan.means}) + len({plan.back[n] for n in plan.back_means})) / 2
    total, work, longest = 0.0, 0.0, 0.0
    large = [N for N in sizes if made.layout(N) is None]
    if large:
        launches = made.stepwise.blocks + 1
        total += T * (STEPWISE * launches + sum(4.0 * made.matrices * N * N for N in large) / COPY)
    for layout, count in Counter(made.layout(N) for N in sizes).items():
        if layout is None:
            continue
        rows = made.rows(layout, B, PROCESSORS if layer else None)
        tiles = -(-B // rows)
        blocks, most = count * tiles * layout.cluster, beside(layout)
        waves = math.ceil(blocks / (PROCESSORS * most))
        crowd = min(most, math.ceil(blocks / PROCESSORS))
        extra = means * (MEAN + BARRIER * (layout.cluster > 1))
        clocks = step_clocks(layout, rows, crowd, speed) + extra
        if speed.beside:
            work += blocks / (PROCESSORS * most) * T * (step_clocks(layout, rows, most, speed) + extra) / CLOCK
            longest = max(longest, T * (step_clocks(layout, rows, 1, speed) + extra) / CLOCK)
        else:
            total += waves * T * clocks / CLOCK
    return total + max(work, longest)


def product_seconds(
    made: Kernel, sizes: Sequence[int], frames: int, M: int, K: int, speed: Speed = EXPECTED
) -> tuple[float, float]:
    """Seconds of the input products and of the output layer, forward; and of all gradients, backward."""
    inputs = sum(len(run.parameters) for run in made.plan.input_runs)
    forward = sum(2.0 * frames * N * (inputs * M + K) for N in sizes)
    backward = sum(2.0 * frames * N * (inputs * M + 2 * K + made.matrices * N) for N in sizes)
    width = len(made.plan.accumulators) + made.plan.places
    moved = sum(8.0 * frames * (N * width + M + 2 * K) for N in sizes)
    rate = FMA * speed.products
    return max(forward / rate, moved / COPY), max(backward / rate, moved / COPY)


def layer_seconds(cell: Cell, B: int, N: int) -> tuple[float, float]:
    """Seconds of a layer forward, and forward and backward."""
    made, T = of(cell), FULL.layer_frames
    scan = scan_seconds(made, [N], B, T, layer=True)
    forward, backward = product_seconds(made, [N], T * B, FULL.inputs, 0)
    tiles = math.ceil(4 * N / TILE) * math.ceil(T * B / TILE)
    idle = max(PROCESSORS / tiles, 1.0)  # few tiles fill few multiprocessors
    first = scan + forward * idle + HOST / 3
    return first, first + scan + backward * idle + HOST * 2 / 3


def loop_seconds(cell: Cell) -> tuple[float, float]:
    """Seconds of the eager loop forward, and forward and backward: its operations, whatever N and the batch."""
    operations = sum(bool(node.args) for node in cell.graph.nodes)
    forward = FULL.layer_frames * operations * OPERATION
    return forward, forward * (1 + BACK)
