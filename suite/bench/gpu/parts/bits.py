"""*check*, bits: those of a member do not depend on its neighbours, nor on how its kernels are launched."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from lstm_odyssey.bench.gpu.parts.training import RATE, Made, mixed, population
from lstm_odyssey.bench.gpu.record import Item, Row
from lstm_odyssey.bench.gpu.target import Target
from lstm_odyssey.cell import Cell


def neighbours(target: Target, cell: Cell, objective: str) -> Iterator[Row]:
    """A member of each size class alone, among others, and among those that are left of them: all bits of its weights."""
    watched, count = target.scale.watched, max(target.scale.together)
    made = Made.drawn(objective, 3, 12, 4, 5)
    generator = np.random.default_rng(2)
    most = max(N for N in watched if _width(target, cell, N))
    sizes = [max(1, int(N)) for N in np.exp(generator.uniform(0, np.log(most + 1), count))]
    trials = mixed([*watched, *sizes][:count], RATE)
    different: dict[str, list[int]] = {}
    with target.here():
        batches = made.batches(torch.float32, target.device)

        def trained(members: list[int], kept: int | None = None) -> tuple[dict[int, Any], int]:
            """The weights of the watched members among these, and how many members were computed last."""
            ours = population(target, cell, made, [trials[member] for member in members], True)
            for update, batch in enumerate(batches):
                if update == 1 and kept is not None:
                    ours.only(np.arange(len(members)) < kept)  # the others have stopped after the first update
                ours.update(batch)
            own = {k: ours.network.member_weights(place) for place, k in enumerate(members) if k < len(watched)}
            return own, len(ours.step.members)  # type: ignore[attr-defined]  # cuda's

        alone = {k: trained([k])[0][k] for k in range(len(watched))}
        ways = {str(P): trained(list(range(P))) for P in target.scale.together if P > 1}
        left = trained(list(range(count)), kept=len(watched))
        ways[f"{left[1]} left of {count}"] = left
    for way, (found, _) in ways.items():
        differing = [
            watched[k] for k, own in found.items() if any(not np.array_equal(own[name], alone[k][name]) for name in own)
        ]
        different |= {way: differing} if differing else {}
    yield {
        "what": "neighbours", "variant": cell.name, "objective": objective, "populations": ["1", *ways],
        "watched": list(watched), "classes": [_width(target, cell, N) for N in watched], "different": different,
        "bitwise": not different,
        # a loss of torch's makes no such promise: it sums CTC's gradient on a GPU in an order of its own
        "passed": left[1] < count and (not different or objective not in target.backend.bits),
    }  # fmt: skip


def _width(target: Target, cell: Cell, N: int) -> int:
    """The greatest N of a member's class; 0 where none fits."""
    layout = target.kernel(cell).layout(N)
    return 0 if layout is None else layout.width


def graphs(target: Target, cell: Cell, objective: str) -> Iterator[Row]:
    """Updates as one CUDA graph and launch by launch: the same bits; on a GPU also how long the host is at an update."""
    made, weights, host = Made.drawn(objective, 2, 12, 4, 5), {}, {}
    sizes = [*target.scale.members[:3], target.scale.watched[-1]]
    with target.here():
        for way in ("graph", "launches"):
            ours = population(target, cell, made, mixed(sizes, RATE), True)
            ours.step.graphs = way == "graph"  # type: ignore[attr-defined]  # cuda's
            batches = made.batches(torch.float32, target.device) * 3
            for batch in batches:
                ours.update(batch)
            target.wait()
            begun = time.perf_counter()
            for batch in batches[:4] if not target.emulated else ():
                ours.update(batch)
            host[way] = (time.perf_counter() - begun) / 4
            weights[way] = [ours.network.member_weights(member) for member in range(len(sizes))]
    pairs = zip(weights["graph"], weights["launches"], strict=True)
    same = all(np.array_equal(one[name], other[name]) for one, other in pairs for name in one)
    yield {
        "what": "graphs", "variant": cell.name, "objective": objective, "bitwise": same, "passed": same,
        "host_seconds": {} if target.emulated else host,
    }  # fmt: skip


def items(target: Target) -> list[Item]:
    """Of each loss that the backend has, and of torch's."""
    objectives = ("next_frame",) if target.emulated else ("next_frame", "frames", "ctc", "label_mean")

    def one(objective: str) -> Item:
        return Item(f"neighbours {objective}", 5.0, lambda: neighbours(target, target.first, objective))

    graph = Item("graphs next_frame", 4.0, lambda: graphs(target, target.first, "next_frame"))
    return [*map(one, objectives), graph]
