"""Training speed of variant x task.

A benchmark's name holds both: asv tells cases of ``params`` apart by their position, so that one more plugin would hand a
case's history to its neighbour.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from lstm_odyssey.benchmarks.steps import TrainingStep, cases

Benchmark = TypeVar("Benchmark", bound=Callable[..., Any])

SAMPLES = 7
"""Enough for asv's 99 % interval and its test of two commits."""


def _tracked(name: str, **attributes: str) -> Callable[[Benchmark], Benchmark]:
    """Give a benchmark its name and what else asv reads off it."""

    def mark(benchmark: Benchmark) -> Benchmark:
        for attribute, value in {"benchmark_name": name, **attributes}.items():
            setattr(benchmark, attribute, value)
        return benchmark

    return mark


def _case(variant: str, task: str) -> type:
    """The benchmarks of one pair; ``version`` is bumped by hand when what is measured becomes something else."""

    class Case:
        def setup(self) -> None:
            self.step = TrainingStep(variant, task)
            self.step()

        @_tracked(f"{task}.{variant}.time_train_step", version="1")
        def time_train_step(self) -> None:
            self.step()

        @_tracked(f"{task}.{variant}.track_seconds_per_frame", version="1", unit="seconds/frame")
        def track_seconds_per_frame(self) -> dict[str, Any]:
            samples = []
            for _ in range(SAMPLES):
                begun = time.perf_counter()
                self.step()
                samples.append((time.perf_counter() - begun) / self.step.frames)
            return {"samples": samples, "number": 1}

    return Case


for _variant, _task in cases():
    globals()[f"Case_{_task}_{_variant}"] = _case(_variant, _task)
