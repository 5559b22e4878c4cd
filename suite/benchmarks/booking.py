"""What a trial is booked in a block, over what it is booked alone, or the reverse where that is less: 1 at best.

Seconds a frame of a small and a large network that one worker trains side by side, by the thread's clock, over those of each
trained alone; trainings take turns in one process, and medians are compared. What is left of a wrong booking was 7.8 and .6
(N = 20 and 200: an epoch's time divided equally); a small network beside a large one finds its caches colder.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from statistics import median
from typing import Any

# Not by its name in the package, which would be the list of the commit that is installed.
steps: Any = import_module(f"{__package__}.steps")
names: Any = import_module(f"{__package__}.names")

SMALL, LARGE = 20, 200
ROUNDS, EPOCHS = 5, 1


def _trained(sizes: tuple[int, ...]) -> list[float]:
    """Seconds a frame that each member of a block of these sizes is booked."""
    registry, loop = names.module("plugins.registry"), names.module("training.loop")
    variant, name = steps.VARIANTS[0], steps.TASKS[0]
    task, drawn = registry.task(name), {"learning_rate": 1e-3, "momentum": 0.9, "input_noise": 0.1}
    population = loop.train(
        registry.variant(variant),
        registry.load_corpus(name, None),
        task.objective,
        [loop.Trial(index, {"hidden_size": size, **drawn}) for index, size in enumerate(sizes)],
        names.module("training.protocol").Protocol(epochs=EPOCHS),
        bidirectional=task.bidirectional,
        backend="numba",
    )
    return [1 / population.record(member)["frames_per_second"] for member in range(len(sizes))]


@cache
def ratios() -> dict[int, float]:
    """By the number of units N: what is booked beside the other size, over what is booked alone."""
    together: dict[int, list[float]] = {SMALL: [], LARGE: []}
    alone: dict[int, list[float]] = {SMALL: [], LARGE: []}
    for _ in range(ROUNDS + 1):  # the first compiles
        for size, seconds in zip((SMALL, LARGE), _trained((SMALL, LARGE)), strict=True):
            together[size].append(seconds)
        for size in (SMALL, LARGE):
            alone[size] += _trained((size,))
    return {size: median(together[size][1:]) / median(alone[size][1:]) for size in (SMALL, LARGE)}


def _booked(size: int) -> Callable[[], float]:
    def track() -> float:
        names.needed("training.costs")
        ratio = ratios()[size]
        return max(ratio, 1 / ratio)

    marks: Any = track
    marks.benchmark_name, marks.version = f"booking.track_in_block_over_alone_n{size}", "1"
    marks.unit = "times"
    return track


track_small, track_large = _booked(SMALL), _booked(LARGE)
