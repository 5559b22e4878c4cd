"""What an H200 should do, in the form of a record: reckoned by ``model``, no device asked.

It is kept beside what is measured later, so that it can be seen how wrong it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lstm_odyssey.bench.gpu.model import (
    ASSUMED,
    BARRIER,
    BLOCK_BARRIER,
    CALL,
    CALLS,
    CLOCK,
    COPY,
    CTC,
    CUDNN_BACKWARD,
    CUDNN_BOTH,
    CUDNN_FORWARD,
    EXPECTED,
    FMA,
    LAUNCH,
    LAUNCHES,
    MEMORY,
    PLAIN,
    PROCESSORS,
    SGEMM,
    STEP,
    Speed,
    layer_seconds,
    loop_seconds,
    of,
    product_seconds,
    scan_seconds,
)
from lstm_odyssey.bench.gpu.parts.population import SHAPES, Shape, drawn_sizes
from lstm_odyssey.bench.gpu.parts.projection import HOURS, projected
from lstm_odyssey.bench.gpu.parts.room import load, of_the_largest, planned
from lstm_odyssey.bench.gpu.record import PARTS, Record, Row
from lstm_odyssey.bench.gpu.target import FULL, first_of
from lstm_odyssey.cell import Cell
from lstm_odyssey.plugins import registry
from lstm_odyssey.reports.contract.wording import counted
from lstm_odyssey.training.environment import environment

CUTS = {
    "as predicted": EXPECTED,
    "classes side by side without a gap": Speed(beside=True),
    "CTC in 1 µs a frame": Speed(ctc=1e-6),
    "products at 0.8 of the rate": Speed(products=0.8),
    "half the latency": Speed(step=STEP / 2, barrier=BARRIER / 2),
    "all of these": Speed(STEP / 2, BARRIER / 2, 0.8, 1e-6, True),
    "no latency, no CTC, products at the rate": Speed(0, 0, 1.0, 0.0, True),
}
"""What would have to change, and what the study would take then. Classes are launched side by side as it is."""


def cells(variants: Sequence[Cell], looped: Sequence[Cell]) -> list[Row]:
    """Rows of *cells*, some of them with the eager loop."""
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
                if cell in looped:
                    forward, both = loop_seconds(cell)
                    name = f"{cell.name} by loop, N {N}, batch {B}"
                    rows.append({**about, "item": name, "way": "loop", "forward": forward, "both": both})
    return rows


def update_seconds(cell: Cell, shape: Shape, sizes: Sequence[int], speed: Speed = EXPECTED) -> float:
    """Seconds of an update of a population."""
    made, directions = of(cell), 1 + shape.bidirectional
    programs = list(sizes) * directions
    around = sum(product_seconds(made, programs, shape.T, shape.M, shape.K, speed))
    ctc = shape.T * speed.ctc if shape.objective == "ctc" else 0.0
    device = 2 * scan_seconds(made, programs, 1, shape.T, speed) + around + ctc + LAUNCHES * LAUNCH
    return max(device, CALLS * CALL)  # the host is ahead of the device, or the device waits for it


def population(first: Cell, heaviest: Cell, speed: Speed = EXPECTED) -> list[Row]:
    """Rows of *population*."""
    rows: list[Row] = []

    def row(cell: Cell, shape: Shape, members: int, name: str) -> Row:
        sizes = drawn_sizes(members)
        seconds = update_seconds(cell, shape, sizes, speed)
        return {
            "item": name, "shape": shape.name, "variant": cell.name, "members": members,
            "stepwise": sum(of(cell).layout(N) is None for N in sizes), "mean_hidden_size": sum(sizes) / members,
            "seconds": seconds, "frames": shape.T, "member_frames_per_second": members * shape.T / seconds,
            "memory": round(members * planned(of(cell), load(cell, shape, sizes, (shape.T, 1)))), "kernels": {},
        }  # fmt: skip

    for shape in SHAPES:
        passes = shape.T * (CUDNN_FORWARD + CUDNN_BACKWARD) * (CUDNN_BOTH if shape.bidirectional else 1)
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


def cuts(first: Cell, heaviest: Cell) -> list[Row]:
    """Hours of a study if this or that were faster."""

    def row(name: str, speed: Speed) -> Row:
        study = next(row for row in population(first, heaviest, speed) if row.get("what") == "study")
        return {"item": "cuts", "what": "cut", "name": name, **{key: study[key] for key in HOURS}}

    return [row(name, speed) for name, speed in CUTS.items()]


def ceilings(first: Cell) -> list[Row]:
    """Rows of *ceilings*."""
    rows: list[Row] = [
        {"item": "copy", "what": "copy", "bytes_per_second": COPY},
        {"item": "products", "what": "sgemm", "flop_per_second": SGEMM * FMA},
        {"item": "products", "what": "fma", "flop_per_second": FMA},
        {
            "item": "barriers",
            "what": "barrier",
            "kind": "block",
            "cluster": 1,
            "clusters": 1,
            "seconds": BLOCK_BARRIER / CLOCK,
        },
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
    first, heaviest = first_of(variants), max(variants, key=lambda cell: of(cell).matrices)
    known = environment()
    versions = {name: known[name] for name in ("python", "torch", "source") if name in known}
    record = Record(
        path, {"predicted": True, "device": {"name": "NVIDIA H200"}, "versions": versions, "assumed": ASSUMED}
    )
    for part in PARTS:
        record.part(part)
    record.not_reached("check", "all", "a prediction checks nothing")
    record.part("cells")["results"] = cells(
        sorted(variants, key=lambda cell: cell.name != first.name), [first, heaviest]
    )
    record.part("population")["results"] = [*population(first, heaviest), *cuts(first, heaviest)]
    record.part("ceilings")["results"] = ceilings(first)
    record.write()
    return Record(path)
