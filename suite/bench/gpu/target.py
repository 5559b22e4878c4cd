"""What is measured: a GPU, or the device that runs its kernels on the CPU; how long things are there, and how time is read."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from lstm_odyssey.backends import BACKENDS, Backend
from lstm_odyssey.backends.cuda.kernels import Kernel, kernel
from lstm_odyssey.backends.cuda.running.launch import Device, Work, unrolled
from lstm_odyssey.backends.lowering import lower
from lstm_odyssey.bench.gpu.record import NotReachedError
from lstm_odyssey.cell import Cell
from lstm_odyssey.plugins import registry

BACKEND = "cuda"
ANCHOR = "torch.nn.LSTM"
TICK = "tick"
"""The kernel that counts the steps of a scan step by step."""


@dataclass(frozen=True)
class Scale:
    """How much of everything.

    Args:
        cells: how many variants; None: all.
        widths: of the size classes, how many; None: all. beyond: an N beyond the last class.
        frames, batch: T of the draws of *check*, of a few rows and of many, and B of the few.
        members: N of the members that are trained, all classes among them.
        updates, repeats: how often they are, and how often a scan is run again.
        together, watched: P that a member has to have the same bits in, and N of the members that are looked at, one of each
            class and one beyond the last.
        curve: N, epochs and sequences of the training curve, and the CPU's backend.
        sizes, batches, layer_frames, inputs: N, B, T and M of *cells*.
        populations: P of *population*. one_by_one: N of cuDNN's networks beside them. shorter: what T is divided by.
        rounds: of what is timed, in turn. least: seconds of a turn.
        large: 1 where *ceilings* are of sizes that fill a GPU, 0 where they only have to run.
    """

    cells: int | None = None
    widths: int | None = None
    beyond: int = 257
    frames: tuple[int, ...] = (11, 4)
    batch: int = 3
    members: tuple[int, ...] = (5, 20, 33, 64, 80, 100, 131, 200)
    updates: int = 20
    repeats: int = 100
    together: tuple[int, ...] = (1, 8, 264)
    watched: tuple[int, ...] = (20, 33, 65, 97, 131, 200, 257)
    curve: tuple[int, int, int | None, str] = (100, 3, None, "auto")
    sizes: tuple[int, ...] = (64, 100, 128, 200)
    batches: tuple[int, ...] = (1, 16)
    layer_frames: int = 304
    inputs: int = 39
    populations: tuple[int, ...] = (1, 32, 132, 264, 528)
    one_by_one: tuple[int, ...] = (20, 64, 100, 200)
    shorter: int = 1
    rounds: int = 7
    least: float = 0.004
    large: int = 1


FULL = Scale()
TINY = Scale(
    cells=1, widths=1, frames=(3, 2), batch=1, members=(3, 1, 4, 2), updates=2, repeats=2, together=(1, 3),
    watched=(4, 2), curve=(3, 1, 2, "eager"), sizes=(3,), batches=(1,), layer_frames=4, inputs=3, populations=(1, 2),
    one_by_one=(3, 5), shorter=60, rounds=1, least=0.0, large=0,
)  # fmt: skip


def first_of(cells: Sequence[Cell]) -> Cell:
    """The cell others are compared with: torch's LSTM is a limit of one of its limits."""
    anchors = [cell.name for cell in cells if any(limit.of == ANCHOR for limit in cell.limits)]
    return next(cell for cell in cells if any(limit.of in anchors for limit in cell.limits))


class Target:
    """A device under test.

    Args:
        kind: ``cuda`` or ``emulated``.
        scale: by default ``FULL`` on a GPU and ``TINY`` elsewhere.

    Raises:
        KernelError: the device is not there.
    """

    def __init__(self, kind: str, scale: Scale | None = None) -> None:
        self.emulated = kind == "emulated"
        self.scale = scale or (TINY if self.emulated else FULL)
        self.runner: Device
        if self.emulated:
            from lstm_odyssey.backends.cuda.emulation import EmulatedDevice

            self.runner, self.device = EmulatedDevice("in order", processors=2), torch.device("cpu")
        else:
            from lstm_odyssey.backends.cuda.scan import device_of

            self.device = torch.device("cuda", torch.cuda.current_device())
            self.runner = device_of(self.device)
            torch.backends.cudnn.allow_tf32 = False  # torch's default is True, of cuDNN's layers too

    def here(self) -> Any:
        """While this lasts, the backend runs on this device."""
        if not self.emulated:
            return nullcontext()
        from lstm_odyssey.backends.cuda.scan import emulated

        return emulated(self.runner)

    @property
    def backend(self) -> Backend:
        """The record of the backend, as it runs here."""
        own = BACKENDS[BACKEND]
        return replace(own, devices=frozenset({"cpu"})) if self.emulated else own

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if not self.emulated:
            torch.cuda.synchronize(self.device)

    def lost(self) -> bool:
        """Whether it answers no more."""
        try:
            self.wait()
        except RuntimeError:
            return True
        return False

    def only_on_a_gpu(self, what: str) -> None:
        """Raise NotReachedError where this is none."""
        if self.emulated:
            raise NotReachedError(f"{what} is there on a GPU only")

    @property
    def processors(self) -> int:
        """Multiprocessors."""
        return self.runner.processors

    @cached_property
    def all_cells(self) -> list[Cell]:
        """Every variant that can be loaded."""
        return [registry.variant(name) for name in registry.variant_names()]

    @property
    def cells(self) -> list[Cell]:
        """The variants under test, the first one first."""
        others = [cell for cell in self.all_cells if cell.name != self.first.name]
        return [self.first, *others][: self.scale.cells]

    @cached_property
    def first(self) -> Cell:
        """The cell others are compared with."""
        return first_of(self.all_cells)

    @property
    def heaviest(self) -> Cell:
        """Of the variants under test the one with the most recurrent matrices."""
        return max(self.cells, key=lambda cell: self.kernel(cell).matrices)

    @property
    def examples(self) -> list[Cell]:
        """The first cell and the heaviest, which stand for the others; they may be one."""
        return list(dict.fromkeys((self.first, self.heaviest)))

    def kernel(self, cell: Cell, dtype: torch.dtype = torch.float32) -> Kernel:
        """What the backend makes of a cell."""
        return kernel(lower(cell.graph), dtype, self.runner.architecture)

    def seconds(self, functions: Mapping[str, Callable[[], Any]], rounds: int | None = None) -> dict[str, float]:
        """Median seconds a call of functions that take turns, by the device's events."""
        rounds = self.scale.rounds if rounds is None or self.emulated else rounds
        calls = dict.fromkeys(functions, 1)
        for name, function in functions.items() if not self.emulated else ():
            function()
            self.wait()
            calls[name] = min(50, max(1, math.ceil(self.scale.least / max(_wall(function, self.wait), 1e-6))))
        samples: dict[str, list[float]] = {name: [] for name in functions}
        for _ in range(rounds):
            marks = {}
            for name, function in functions.items():
                begin, end = self.runner.event(), self.runner.event()
                begin.record()
                for _ in range(calls[name]):
                    function()
                end.record()
                marks[name] = begin, end
            for name, (begin, end) in marks.items():
                end.synchronize()
                samples[name].append(begin.elapsed_time(end) / 1000 / calls[name])
        return {name: statistics.median(taken) for name, taken in samples.items()}


def _wall(function: Callable[[], Any], wait: Callable[[], None]) -> float:
    begun = time.perf_counter()
    function()
    wait()
    return time.perf_counter() - begun


@contextmanager
def recorded(device: Device) -> Iterator[list[tuple[Any, Any]]]:
    """Inside, what the device prepares is kept: launches, and what runs them, so that each kernel can be timed alone."""
    made: list[tuple[Any, Any]] = []
    prepare = device.prepare

    def keep(text: str, work: Sequence[Work]) -> Any:
        launches = unrolled(work)  # a step's launches are there once for all steps
        alone = {id(launch): prepare(text, [launch]) for launch in launches}
        made.extend((launch, alone[id(launch)]) for launch in launches)
        return prepare(text, work)

    vars(device)["prepare"] = keep
    try:
        yield made
    finally:
        del vars(device)["prepare"]


def kernel_seconds(target: Target, made: Sequence[tuple[Any, Any]]) -> dict[str, float]:
    """Seconds of all launches of each kernel that were kept, run again by themselves.

    Not those of a scan step by step, whose kernels count the steps and cannot be run again by themselves.
    """
    functions: dict[str, list[Any]] = {}
    counted = {launch.kernel for launch, _ in made} & {TICK}
    for launch, runs in made:
        if not counted:
            functions.setdefault(launch.kernel, []).append(runs)

    def together(all_of_them: Sequence[Any]) -> Callable[[], None]:
        def run() -> None:
            for one in all_of_them:
                one.run()

        return run

    return target.seconds({name: together(each) for name, each in functions.items()})
