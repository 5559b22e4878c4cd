"""What time is read from, and where: the wall's clock or the thread's, a GPU waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from lstm_odyssey.tasks.nearest import nearest

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
    if kind not in CLOCKS:
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


def synchronised() -> float:
    """The wall's clock, read when an accelerator, if torch has one, has done what it was given; torch is imported here."""
    from torch.utils.benchmark import timer

    return float(timer())


def check_device(device: Any) -> str:
    """The kind of a device, ``cpu`` or ``cuda``.

    Raises:
        TimingError: it is of another kind, or there is none here.
    """
    import torch

    kind = str(device).split(":")[0]
    if kind not in ("cpu", "cuda"):
        raise TimingError(f"device '{device}': got neither cpu nor cuda; expected one of them.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise TimingError(f"no CUDA device: got device '{device}', and torch sees none here. Use device 'cpu'.")
    return kind
