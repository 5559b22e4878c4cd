"""Training speed of variant x task.

A benchmark's name holds both: asv tells cases of ``params`` apart by their position, so that one more plugin would hand a
case's history to its neighbour.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from lstm_odyssey.benchmarks.steps import HIDDEN_SIZE, cases
from lstm_odyssey.timing import Region, measure

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
            import torch

            from lstm_odyssey.bench.step import TimedStep

            torch.set_num_threads(1)  # as in training; the process is asv's and this benchmark's alone
            self.step = TimedStep(variant, task, HIDDEN_SIZE)
            self.step()

        @_tracked(f"{task}.{variant}.time_train_step", version="1")
        def time_train_step(self) -> None:
            self.step()

        @_tracked(f"{task}.{variant}.track_seconds_per_frame", version="2", unit="seconds/frame")
        def track_seconds_per_frame(self) -> dict[str, Any]:
            found = measure({"step": Region.of(self.step)}, rounds=SAMPLES)
            return {"samples": [sample / self.step.frames for sample in found["step"].samples], "number": 1}

    return Case


for _variant, _task in cases():
    globals()[f"Case_{_task}_{_variant}"] = _case(_variant, _task)
