"""*ceilings*: what the device could do, and what of it scans reach; memory, and how many members fit into it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from lstm_odyssey.bench.gpu.parts.check import around, build, texts
from lstm_odyssey.bench.gpu.parts.population import SHAPES
from lstm_odyssey.bench.gpu.parts.probes import CHAINS, THREADS, Probe
from lstm_odyssey.bench.gpu.parts.room import measured
from lstm_odyssey.bench.gpu.parts.training import Made, mixed, population
from lstm_odyssey.bench.gpu.record import Item, Record, Row
from lstm_odyssey.bench.gpu.target import Target, kernel_seconds, recorded
from lstm_odyssey.cell import Cell

FLOAT = 4


def copying(target: Target) -> Iterator[Row]:
    """Bytes read and written a second by a copy that no cache holds."""
    count = (target.scale.large << 28) or 1024
    source = torch.zeros(count, device=target.device)
    to = torch.empty_like(source)
    seconds = target.seconds({"copy": lambda: to.copy_(source)})["copy"]
    yield {"what": "copy", "bytes": 2 * FLOAT * count, "bytes_per_second": 2 * FLOAT * count / seconds}


def products(target: Target) -> Iterator[Row]:
    """FLOP a second of a large product by cuBLAS in float32, and of multiplications that need no memory."""
    size = 8192 if target.scale.large else 32
    a = torch.randn(size, size, device=target.device)
    b, c = torch.randn_like(a), torch.empty_like(a)
    seconds = target.seconds({"product": lambda: torch.mm(a, b, out=c)}, rounds=3)["product"]
    precision = torch.get_float32_matmul_precision()
    yield {"what": "sgemm", "size": size, "precision": precision, "flop_per_second": 2 * size**3 / seconds}
    programs = target.processors * (8 if target.scale.large else 1)
    probe = Probe(target, "multiply", programs=programs)
    probe.right(20)
    target.only_on_a_gpu("the time of a multiplication")
    each = probe.seconds(20_000)
    yield {"what": "fma", "flop_per_second": 2 * CHAINS * THREADS * programs / each}


def barriers(target: Target) -> Iterator[Row]:
    """Seconds of a barrier of a block, of a cluster, and of a barrier behind a store to the next block."""
    rounds = 2000 if target.scale.large else 5
    kinds = [("block", 1), *((kind, cluster) for kind in ("cluster", "exchange") for cluster in (2, 4, 8))]
    for kind, cluster in kinds if target.scale.large else [("block", 1), ("exchange", 2)]:
        for programs in (1, max(1, target.processors // (2 * cluster))) if target.scale.large else (1,):
            probe = Probe(target, kind, cluster, programs)
            row = {"what": "barrier", "kind": kind, "cluster": cluster, "clusters": programs, "threads": THREADS}
            row["passed"] = probe.right(rounds)
            # the emulated device's time of a barrier tells nothing of a GPU's
            yield row if target.emulated else row | {"seconds": probe.seconds(rounds)}


def scan_flop(target: Target, cell: Cell, N: int, frames: int) -> float:
    """FLOP of the products of a scan of so many frames, forward or backward: 2 N² a recurrent matrix and frame."""
    return 2.0 * target.kernel(cell).matrices * N * N * frames


def scan_bytes(target: Target, cell: Cell, N: int, frames: int) -> dict[str, float]:
    """Bytes that a scan has to move: forward the sums in, what is kept and the states out; backward those in, and δ out."""
    plan = target.kernel(cell).plan
    sums, kept, states = len(plan.accumulators), plan.places, len(plan.graph.states)
    each = FLOAT * N * frames
    return {"forward": each * (sums + kept + states), "backward": each * (kept + states + 1 + sums)}


def fractions(target: Target, record: Record, cell: Cell, N: int) -> Iterator[Row]:
    """FLOP and bytes a second of the scans of a member for each multiprocessor, all of one size, in parts of the ceilings."""
    shape = SHAPES[0]
    T, members = max(shape.T // target.scale.shorter, 4), target.processors
    made = Made.drawn(shape.objective, 1, T, shape.M, shape.K)
    with target.here():
        ours = population(target, cell, made, mixed([N] * members, 1e-6), False)
        batch = made.batches(torch.float32, target.device)[0]
        with recorded(target.runner) as launched:
            ours.update(batch)
        seconds = kernel_seconds(target, launched)
    frames = T * members
    ceilings = {row["what"]: row for row in record.rows("ceilings") if row.get("what") in ("copy", "fma")}
    flop, moved = scan_flop(target, cell, N, frames), scan_bytes(target, cell, N, frames)
    for kernel in ("forward", "backward"):
        row: Row = {
            "what": "scan", "variant": cell.name, "hidden_size": N, "members": members, "frames": T, "kernel": kernel,
            "seconds": seconds[kernel], "seconds_per_step": seconds[kernel] / T, "flop_per_second": flop / seconds[kernel],
            "bytes_per_second": moved[kernel] / seconds[kernel],
        }  # fmt: skip
        for name, ceiling, of in (("flop", "fma", "flop_per_second"), ("bytes", "copy", "bytes_per_second")):
            if ceiling in ceilings:
                row[f"fraction_{name}"] = row[of] / ceilings[ceiling][of]
        yield row
    yield {"what": "kernels", "variant": cell.name, "hidden_size": N, "members": members, "seconds": seconds}


def items(target: Target, record: Record) -> list[Item]:
    """The device's own limits, then what scans make of them."""
    found = []

    def add(name: str, seconds: float, run: Any, *given: Any) -> None:
        found.append(Item(name, seconds, partial(run, target, *given)))

    def compiling() -> Iterator[Row]:
        sources = texts(target, [target.first], target.scale.sizes, (1,), (torch.float32,))
        return build(target, [*sources, *around([SHAPES[0].objective], (4,))])

    found.append(Item("compile", 2.0, compiling))
    add("copy", 2.0, copying)
    add("products", 3.0, products)
    add("barriers", 4.0, barriers)
    for N in target.scale.sizes:
        add(f"fractions, N {N}", 3.0, fractions, record, target.first, N)
    add("memory", 5.0, measured, target.first)
    return found
