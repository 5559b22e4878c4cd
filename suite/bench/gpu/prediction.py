"""What an H200 should do, in the form of a record: reckoned from size classes, bytes and FLOP, no device asked.

A step of a scan takes as many clocks as its multiplications at 128 a clock and its shared memory at 128 bytes a clock, for all
rows and blocks on one multiprocessor, and a latency on top; classes run one after the other. What goes around the scans runs
at a part of the multiplication rate, or at the memory's speed, whichever is longer. The figures of cuDNN are public ones.
It is kept beside what is measured later, so that it can be seen how wrong it was.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from lstm_odyssey.backends.cuda.classes import REGISTERS, REGISTERS_OF_THREAD, SizeClass, rows_of
from lstm_odyssey.backends.cuda.kernels import Kernel, kernel
from lstm_odyssey.backends.lowering import lower
from lstm_odyssey.bench.gpu.parts.population import SHAPES, Shape, drawn_sizes
from lstm_odyssey.bench.gpu.parts.projection import projected
from lstm_odyssey.bench.gpu.parts.room import load, of_the_largest, planned
from lstm_odyssey.bench.gpu.record import PARTS, Record, Row
from lstm_odyssey.bench.gpu.target import ANCHOR, FULL
from lstm_odyssey.cell import Cell
from lstm_odyssey.plugins import registry
from lstm_odyssey.reports.contract.wording import counted
from lstm_odyssey.training.environment import environment

ARCHITECTURE = "sm_90"
PROCESSORS, CLOCK = 132, 1.75e9
"""Multiprocessors of an H200, and clocks a second under load."""

COPY, MEMORY = 4.3e12, 141e9
"""Bytes a second, read and written, and bytes, of its memory."""

FMA = PROCESSORS * 128 * 2 * CLOCK
"""FLOP a second of multiplications and additions in float32."""

PRODUCTS = 0.4
"""The part of it that the kernels of products are expected to reach."""

STEP, BARRIER = 600, 400
"""Clocks of latency of a step, and more of a cluster's barrier."""

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

PLAIN = 1e-3
"""Seconds of the rest of an update of one network in torch: loss, autograd, SGD."""

CTC = 6e-6
"""Seconds of a frame of torch's CTC, both passes, of many members at once."""

STEPWISE = 3e-6
"""Seconds of a launch of a scan step by step, when many follow each other; on top, its matrices are read once a step."""

ASSUMED = {
    "clocks_per_second": CLOCK, "multiprocessors": PROCESSORS, "copy_bytes_per_second": COPY, "fma_flop_per_second": FMA,
    "products_part_of_fma": PRODUCTS, "step_latency_clocks": STEP, "cluster_barrier_clocks": BARRIER, "launch_seconds": LAUNCH,
    "host_calls_of_an_update": CALLS, "host_seconds_of_a_call": CALL,
    "host_seconds_of_a_pass": HOST, "cudnn_step_seconds": [CUDNN_FORWARD, CUDNN_BACKWARD], "plain_update_seconds": PLAIN,
    "ctc_frame_seconds": CTC, "stepwise_launch_seconds": STEPWISE, "mean_latency_clocks": MEAN,
}  # fmt: skip


def of(cell: Cell) -> Kernel:
    """The cell in float32 for an H200."""
    return kernel(lower(cell.graph), torch.float32, ARCHITECTURE)


def beside(layout: SizeClass) -> int:
    """Blocks of a class that one multiprocessor has registers for."""
    threads = -(-layout.threads // 128) * 128
    return max(1, REGISTERS // (threads * REGISTERS_OF_THREAD))


def step_clocks(layout: SizeClass, rows: int, blocks: int = 1) -> float:
    """Clocks of a step of a program, forward or backward, with so many blocks on a multiprocessor."""
    products = layout.matrices * layout.width * layout.units / 128
    return rows * blocks * products + blocks * layout.weights / 128 + STEP + BARRIER * (layout.cluster > 1)


def scan_seconds(made: Kernel, sizes: Sequence[int], B: int, T: int) -> float:
    """Seconds of the scans of programs of these N, forward or backward; those that no class fits run step by step."""
    rows, plan = rows_of(B, made.matrices), made.plan
    tiles = -(-B // rows)
    means = (len({plan.phase[n] for n in plan.means}) + len({plan.back[n] for n in plan.back_means})) / 2
    total = 0.0
    large = [N for N in sizes if made.layout(N) is None]
    if large:
        launches = made.stepwise.blocks + 1
        total += T * (STEPWISE * launches + sum(4.0 * made.matrices * N * N for N in large) / COPY)
    for layout, count in Counter(made.layout(N) for N in sizes).items():
        if layout is None:
            continue
        blocks, most = count * tiles * layout.cluster, beside(layout)
        waves = math.ceil(blocks / (PROCESSORS * most))
        crowd = min(most, math.ceil(blocks / PROCESSORS))
        clocks = step_clocks(layout, rows, crowd) + means * (MEAN + BARRIER * (layout.cluster > 1))
        total += waves * T * clocks / CLOCK
    return total


def product_seconds(made: Kernel, sizes: Sequence[int], frames: int, M: int, K: int) -> tuple[float, float]:
    """Seconds of the input products and of the output layer, forward; and of all gradients, backward."""
    inputs = sum(len(run.parameters) for run in made.plan.input_runs)
    forward = sum(2.0 * frames * N * (inputs * M + K) for N in sizes)
    backward = sum(2.0 * frames * N * (inputs * M + 2 * K + made.matrices * N) for N in sizes)
    width = len(made.plan.accumulators) + made.plan.places
    moved = sum(8.0 * frames * (N * width + M + 2 * K) for N in sizes)
    rate = FMA * PRODUCTS
    return max(forward / rate, moved / COPY), max(backward / rate, moved / COPY)


def layer_seconds(cell: Cell, B: int, N: int) -> tuple[float, float]:
    """Seconds of a layer forward, and forward and backward."""
    made, T = of(cell), FULL.layer_frames
    scan = scan_seconds(made, [N], B, T)
    forward, backward = product_seconds(made, [N], T * B, FULL.inputs, 0)
    least = max(
        PROCESSORS / max(1, math.ceil(4 * N / 64) * math.ceil(T * B / 64)), 1.0
    )  # few tiles fill few multiprocessors
    first = scan + forward * least + HOST / 3
    return first, first + scan + backward * least + HOST * 2 / 3


def cells(variants: Sequence[Cell]) -> list[Row]:
    """Rows of *cells*."""
    rows: list[Row] = []
    for cell in variants:
        for B in FULL.batches:
            for N in FULL.sizes:
                about = {"item": f"{cell.name}, batch {B}", "variant": cell.name, "hidden_size": N, "batch": B,
                         "frames": FULL.layer_frames, "inputs": FULL.inputs}  # fmt: skip
                forward, both = layer_seconds(cell, B, N)
                fused = of(cell).layout(N) is not None
                rows.append(
                    {**about, "way": "odyssey", "fused": fused, "forward": forward, "both": both, "kernels": {}}
                )
                steps = FULL.layer_frames * CUDNN_FORWARD, FULL.layer_frames * (CUDNN_FORWARD + CUDNN_BACKWARD)
                rows.append({**about, "way": "lstm", "forward": steps[0], "both": steps[1]})
    return rows


def update_seconds(cell: Cell, shape: Shape, sizes: Sequence[int]) -> float:
    """Seconds of an update of a population."""
    made, directions = of(cell), 1 + shape.bidirectional
    programs = list(sizes) * directions
    around = sum(product_seconds(made, programs, shape.T, shape.M, shape.K))
    ctc = shape.T * CTC if shape.objective == "ctc" else 0.0
    device = 2 * scan_seconds(made, programs, 1, shape.T) + around + ctc + LAUNCHES * LAUNCH
    return max(device, CALLS * CALL)  # the host is ahead of the device, or the device waits for it


def population(first: Cell, heaviest: Cell) -> list[Row]:
    """Rows of *population*."""
    rows: list[Row] = []

    def row(cell: Cell, shape: Shape, members: int, name: str) -> Row:
        sizes = drawn_sizes(members)
        seconds = update_seconds(cell, shape, sizes)
        return {
            "item": name, "shape": shape.name, "variant": cell.name, "members": members,
            "stepwise": sum(of(cell).layout(N) is None for N in sizes), "mean_hidden_size": sum(sizes) / members,
            "seconds": seconds, "frames": shape.T, "member_frames_per_second": members * shape.T / seconds,
            "memory": round(members * planned(of(cell), load(cell, shape, sizes, (shape.T, 1)))), "kernels": {},
        }  # fmt: skip

    for shape in SHAPES:
        passes = shape.T * (CUDNN_FORWARD + CUDNN_BACKWARD) * (1.3 if shape.bidirectional else 1)
        alone = passes + PLAIN + (shape.T * CTC if shape.objective == "ctc" else 0.0)
        rows += [
            {"item": f"{shape.name}, one by one", "shape": shape.name, "way": "one by one", "hidden_size": N, "seconds": alone,
             "frames": shape.T}
            for N in FULL.one_by_one
        ]  # fmt: skip
        rows += [row(first, shape, P, f"{shape.name}, {counted(P, 'member')}") for P in FULL.populations]
        P = FULL.populations[len(FULL.populations) // 2]
        rows.append(row(heaviest, shape, P, f"{shape.name}, {P} members of {heaviest.name}"))
    return rows + [{"item": "projection", **each} for each in projected(rows, first.name)]


def ceilings(first: Cell) -> list[Row]:
    """Rows of *ceilings*."""
    rows: list[Row] = [
        {"item": "copy", "what": "copy", "bytes_per_second": COPY},
        {"item": "products", "what": "sgemm", "flop_per_second": 0.85 * FMA},
        {"item": "products", "what": "fma", "flop_per_second": FMA},
        {"item": "barriers", "what": "barrier", "kind": "block", "cluster": 1, "clusters": 1, "seconds": 30 / CLOCK},
        {
            "item": "barriers",
            "what": "barrier",
            "kind": "exchange",
            "cluster": 4,
            "clusters": 1,
            "seconds": BARRIER / CLOCK,
        },
    ]
    made, T = of(first), SHAPES[0].T
    for N in FULL.sizes:
        seconds = scan_seconds(made, [N] * PROCESSORS, 1, T)
        flop = 2.0 * made.matrices * N * N * T * PROCESSORS / seconds
        rows += [
            {"item": f"fractions, N {N}", "what": "scan", "variant": first.name, "hidden_size": N, "members": PROCESSORS,
             "kernel": name, "seconds": seconds, "seconds_per_step": seconds / T, "flop_per_second": flop,
             "fraction_flop": flop / FMA}
            for name in ("forward", "backward")
        ]  # fmt: skip
    return [*rows, {"item": "memory", **of_the_largest(made, first, int(MEMORY))}]


def predicted(path: Path) -> Record:
    """Write the record of what an H200 should do, over one that is there."""
    path.unlink(missing_ok=True)
    variants = [registry.variant(name) for name in registry.variant_names()]
    anchors = [cell.name for cell in variants if any(limit.of == ANCHOR for limit in cell.limits)]
    first = next(cell for cell in variants if any(limit.of in anchors for limit in cell.limits))
    heaviest = max(variants, key=lambda cell: of(cell).matrices)
    known = environment()
    versions = {name: known[name] for name in ("python", "torch", "source") if name in known}
    record = Record(
        path, {"predicted": True, "device": {"name": "NVIDIA H200"}, "versions": versions, "assumed": ASSUMED}
    )
    for part in PARTS:
        record.part(part)
    record.not_reached("check", "all", "a prediction checks nothing")
    record.part("cells")["results"] = cells(sorted(variants, key=lambda cell: cell.name != first.name))
    record.part("population")["results"] = population(first, heaviest)
    record.part("ceilings")["results"] = ceilings(first)
    record.write()
    return Record(path)
