"""What time is read from, and where: the wall's clock or the thread's, a GPU waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Protocol

from lstm_odyssey.tasks.nearest import nearest
from lstm_odyssey.training.environment import kind_of

CLOCKS = ("wall", "cpu")

Clock = Callable[[], float]


class TimingError(ValueError):
    """What was asked for cannot be timed; the message says subject, got, expected, what to do."""


def clock_of(device: Any = "cpu", kind: str = "wall") -> Clock:
    """The clock for work on a device.

    Args:
        device: ``"cpu"`` or ``"cuda"``, whose work is waited for at every reading.
        kind: ``"wall"``, or ``"cpu"``: seconds that this thread computed, for a machine that others use too.

    Raises:
        TimingError: there is no such clock, or no such device here.
    """
    if not isinstance(kind, str) or kind not in CLOCKS:
        raise TimingError(f"clock {kind!r}: unknown; expected one of {nearest(kind, CLOCKS)}.")
    if check_device(device) == "cpu":
        return time.perf_counter if kind == "wall" else time.thread_time
    if kind == "cpu":
        raise TimingError(f"clock 'cpu': sees this thread only, and device '{device}' computes elsewhere. Use 'wall'.")
    import torch

    def waiting() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return waiting


class Event(Protocol):
    """A place in the order of what a device is given, with the time at which the device came there."""

    def record(self) -> None:
        """Put it behind what the device was given."""

    def synchronize(self) -> None:
        """Wait until the device has come there."""

    def elapsed_time(self, end: Any) -> float:
        """Milliseconds from here to there."""


class Events:
    """A device's own clock: it is read by events, which the device stamps when it comes to them.

    Called, it waits for an event of its own and returns seconds since the first call; ``mark`` and ``between`` wait only once
    for as many intervals as wanted, so that the device never runs dry in what is timed.

    Args:
        make: makes an event.
    """

    def __init__(self, make: Callable[[], Event]) -> None:
        self._make = make
        self._last: Event | None = None
        self._seconds = 0.0

    def __call__(self) -> float:
        now = self.mark()
        # from one reading to the next, not from the first: an interval is a float32 of milliseconds
        self._seconds += self.between([self._last or now, now])[0]
        self._last = now
        return self._seconds

    def mark(self) -> Event:
        """An event behind what the device was given."""
        made = self._make()
        made.record()
        return made

    def between(self, marks: Sequence[Event]) -> list[float]:
        """Seconds from each mark to the next one, once the device has come to the last."""
        marks[-1].synchronize()
        return [at.elapsed_time(after) / 1000 for at, after in pairwise(marks)]


def timer_of(device: Any = "cpu", kind: str = "wall") -> Clock:
    """What a benchmark reads: ``clock_of`` on the CPU, CUDA's events on a GPU.

    Args:
        device, kind: see ``clock_of``.

    Raises:
        TimingError: see ``clock_of``.
    """
    read = clock_of(device, kind)
    if kind_of(device) == "cpu":
        return read
    import torch

    class Here:
        """An event of this device's current stream."""

        def __init__(self) -> None:
            self.event = torch.cuda.Event(enable_timing=True)
            self.synchronize = self.event.synchronize

        def record(self) -> None:
            self.event.record(torch.cuda.current_stream(device))

        def elapsed_time(self, end: Here) -> float:
            return float(self.event.elapsed_time(end.event))

    return Events(Here)


def mark(clock: Clock) -> Any:
    """A reading of a clock, which ``between`` makes seconds of; of events one that is not waited for."""
    return clock.mark() if isinstance(clock, Events) else clock()


def between(clock: Clock, marks: Sequence[Any]) -> list[float]:
    """Seconds from each mark of a clock to the next one."""
    return clock.between(marks) if isinstance(clock, Events) else [after - at for at, after in pairwise(marks)]


def check_device(device: Any) -> str:
    """The kind of a device, ``cpu`` or ``cuda``.

    Raises:
        TimingError: it is of another kind, or there is none here.
    """
    import torch

    kind = kind_of(device)
    if kind not in ("cpu", "cuda"):
        raise TimingError(f"device '{device}': got neither cpu nor cuda; expected one of them.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise TimingError(f"no CUDA device: got device '{device}', and torch sees none here. Use device 'cpu'.")
    return kind
