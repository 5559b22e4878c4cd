"""How much memory members take: by the formula that a study plans with, and measured beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from lstm_odyssey.backends.cuda import memory
from lstm_odyssey.backends.cuda.kernels import Kernel
from lstm_odyssey.backends.trainer import Load
from lstm_odyssey.bench.gpu.parts.population import SHAPES, Shape
from lstm_odyssey.bench.gpu.parts.training import Made, mixed, population
from lstm_odyssey.bench.gpu.record import Row
from lstm_odyssey.bench.gpu.target import Target
from lstm_odyssey.cell import Cell
from lstm_odyssey.tasks import objectives

LARGEST = 200
"""N."""

LONGEST, SCORED = 778, (778, 1)
"""Frames of TIMIT's longest sequence; and T and B of its largest batch of a score, with at most 1,024 frames."""

LENGTHS = 700
"""Shapes of its batches, about: lengths of its sequences, and of the batches in which they are scored."""


def load(
    cell: Cell,
    shape: Shape,
    sizes: Sequence[int],
    update: tuple[int, int],
    scored: tuple[int, int] = (0, 0),
    shapes: int = 1,
) -> Load:
    """What the memory of members on a corpus follows from; see ``Load``."""
    D, widest = 1 + shape.bidirectional, max(sizes)
    return Load(
        sizes=tuple(sizes), inputs=shape.M, outputs=shape.K, directions=D,
        weights=D * cell.count(shape.M, widest) + shape.K * (D * widest + 1), update=update, scored=scored, shapes=shapes,
        keeps=False, objective=objectives.get(shape.objective),
    )  # fmt: skip


def planned(made: Kernel, wanted: Load) -> float:
    """Bytes of each of its members, alike or not, on average."""
    own = memory.workspace(made, wanted) + memory.tables(made, wanted)
    return float(own.mean()) + memory.copies(made, wanted) / len(wanted.sizes)


def of_the_largest(made: Kernel, cell: Cell, device: int) -> Row:
    """Bytes of a member of N = 200 of TIMIT's size, by the formula, and how many of them fit into so many bytes."""
    one = load(cell, SHAPES[0], [LARGEST], (LONGEST, 1), SCORED, LENGTHS)
    each, room = planned(made, one), memory.PART * device - memory.graphs(made, one)
    return {
        "what": "memory", "shape": SHAPES[0].name, "variant": cell.name, "hidden_size": LARGEST, "frames": LONGEST,
        "bytes_of_a_member": each, "bytes_of_the_device": device, "members_that_fit": int(room / each),
    }  # fmt: skip


def measured(target: Target, cell: Cell) -> Iterator[Row]:
    """The same on a GPU, with what an update and a score of the longest sequence take there."""
    target.only_on_a_gpu("the memory of torch's allocator")
    shape, peaks = SHAPES[0], {}
    for members in (16, 64):
        made = Made.drawn(shape.objective, 1, LONGEST, shape.M, shape.K)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(target.device)
        with target.here():
            ours = population(target, cell, made, mixed([LARGEST] * members, 1e-6), True)
            batches = made.batches(torch.float32, target.device)
            ours.update(batches[0])
            ours.score(batches)
        target.wait()
        peaks[members] = torch.cuda.max_memory_allocated(target.device)
        del ours
    total = int(torch.cuda.get_device_properties(target.device).total_memory)
    row = of_the_largest(target.kernel(cell), cell, total)
    one = planned(target.kernel(cell), load(cell, shape, [LARGEST], (LONGEST, 1), SCORED, 2))
    yield row | {"measured": (peaks[64] - peaks[16]) / 48, "planned": one}
