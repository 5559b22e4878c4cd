"""What a training costs and comes to, for variant x task, on the CPU and on CUDA.

A benchmark's name says all of it: ``bach.cifg.track_error``, ``bach.cifg.time_forward_n128_cuda``. asv tells cases of
``params`` apart by their position, so that one more plugin would hand a case's history to its neighbour. Lower is better
in every one of them, as asv has no other order. ``version`` is bumped by hand when what is measured becomes something else.

asv imports this file under a name of its own and runs it on the packages of older commits: nothing of the package is
imported before a benchmark needs it, and torch not before it is clear that there is something to run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

# Not by its name in the package, which would be the list of the commit that is installed.
steps: Any = import_module(f"{__package__}.steps")
names: Any = import_module(f"{__package__}.names")

SEEDS = range(1, 8)
"""Seven samples are the fewest for which asv gives a 99 % interval."""


def _tracked(**attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a benchmark what asv reads off it."""

    def mark(benchmark: Callable[..., Any]) -> Callable[..., Any]:
        for attribute, value in attributes.items():
            setattr(benchmark, attribute, value)
        return benchmark

    return mark


def _events() -> float:
    """Seconds by the GPU's events; with the package of a commit that has none, read when it has done what it was given."""
    return _cuda_clock()()


@cache
def _cuda_clock() -> Callable[[], float]:
    clocks = names.module("training.clocks")
    read: Callable[[], float] = getattr(clocks, "timer_of", clocks.clock_of)("cuda")
    return read


def _skip_unless(variant: str, task: str, device: str, module: str) -> None:
    """Raise NotImplementedError, which is how asv is told to skip a case, with the reason it cannot run."""
    for needed in (module, *(["bench.cuda_probe"] if device == "cuda" else [])):
        names.needed(needed)
    registry = names.module("plugins.registry")
    for kind, name, known in (
        ("variant", variant, registry.variant_names()),
        ("task", task, registry.task_names()),
    ):
        if name not in known:
            raise NotImplementedError(f"{kind} '{name}' is not in the package of this commit: skipped")
    if device == "cuda":
        if reason := names.module("bench.cuda_probe").no_cuda():
            raise NotImplementedError(reason)
        import torch

        if not torch.cuda.is_available():
            raise NotImplementedError(f"no CUDA device: skipped (torch {torch.__version__} sees none)")


def _endings(size: int, device: str) -> tuple[str, str]:
    """What a name has at its end for another size than the usual, and for that and another device."""
    larger = "" if size == steps.HIDDEN_SIZE else f"_n{size}"
    return larger, larger + ("" if device == "cpu" else f"_{device}")


def _start(task: str, variant: str) -> str:
    """What a name begins with; asv takes what follows a dash for the number of a case, so a plugin's dash is a ~ here."""
    return f"{task}.{variant}".replace("-", "~")


def _trained(variant: str, task: str, size: int, device: str) -> type:
    """The benchmarks of one case that read what came of short trainings, each run by the first who asks."""
    larger, ending = _endings(size, device)
    start = _start(task, variant)

    class Trained:
        def setup(self) -> None:
            _skip_unless(variant, task, device, "bench.measured")

        def all(self) -> list[Any]:
            measured_error = names.module("bench.measured").measured_error
            return [measured_error(variant, task, seed=seed, device=device, hidden_size=size) for seed in SEEDS]

        @_tracked(benchmark_name=f"{start}.track_error{ending}", version="1", unit="test error")
        def track_error(self) -> dict[str, Any]:
            return {"samples": [_score(each.best_test, "score") for each in self.all()], "number": 1}

        @_tracked(benchmark_name=f"{start}.track_seconds_per_frame{ending}", version="4", unit="seconds/frame")
        def track_seconds_per_frame(self) -> dict[str, Any]:
            return {"samples": [1 / _score(each.frames_per_second, "speed") for each in self.all()], "number": 1}

        if device == "cuda":

            @_tracked(benchmark_name=f"{start}.track_cuda_peak_memory{larger}", version="1", unit="bytes")
            def track_cuda_peak_memory(self) -> dict[str, Any]:
                return {"samples": [_score(each.peak_memory, "memory") for each in self.all()], "number": 1}

    return Trained


def _score(value: float | None, what: str) -> float:
    if value is None:
        raise ArithmeticError(f"a training diverged before it had a {what}; expected one of each seed.")
    return value


def _stepped(variant: str, task: str, size: int, device: str) -> type:
    """The benchmarks of one case that run its network themselves."""
    _, ending = _endings(size, device)
    start = _start(task, variant)
    timing = {"version": "2", "timer": time.perf_counter} if device == "cpu" else {"version": "3", "timer": _events}

    class Stepped:
        # One call a sample, as asv wants it of benchmarks with a setup; many of them, as a call takes a millisecond.
        repeat = (10, 100, 2.0)
        step: Any = None

        def setup(self) -> None:
            if self.step is not None:  # asv sets up before every sample; what is timed is the network in its stride
                return
            _skip_unless(variant, task, device, "bench.step")
            import torch

            step = names.module("bench.step")
            # the second is its older name, in the package of older commits
            kind = getattr(step, "TimedStep", None) or step.TrainingStep
            torch.set_num_threads(1)  # as in training; the process is asv's and this benchmark's alone
            self.step = kind(variant, task, size, device=device)
            self.step()
            self.part = self.step.population.parts[0]

        @_tracked(benchmark_name=f"{start}.time_train_step{ending}", **timing)
        def time_train_step(self) -> None:
            self.step()

        @_tracked(benchmark_name=f"{start}.time_forward{ending}", **timing)
        def time_forward(self) -> None:
            import torch

            with torch.no_grad():
                self.part.logits(self.step.batch)

        @_tracked(benchmark_name=f"{start}.peakmem_train{ending}", version="1")
        def peakmem_train(self) -> None:
            self.step.population.advance()  # scores the network as it was drawn
            self.step.population.advance()  # trains one epoch, and scores again

    return Stepped


for _variant, _task in steps.cases():
    for _size in steps.sizes():
        for _device in ("cpu", "cuda"):
            for _make in (_trained, _stepped):
                _name = f"{_make.__name__}_{_task}_{_variant}_{_size}_{_device}"
                globals()[_name.lstrip("_")] = _make(_variant, _task, _size, _device)
