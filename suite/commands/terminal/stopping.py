"""Signals that ask a command to end: each batch system's SIGTERM and a closed terminal's SIGHUP do what Ctrl-C does."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ASKING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Stopped(KeyboardInterrupt):
    """A signal asked this process to end.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number
        """The exit code of a command that was stopped, by the shell's convention: 130 for Ctrl-C, 143 for SIGTERM."""


class Signals:
    """What came: the first signal raises ``Stopped``; while that is obeyed the second is answered; the third raises again."""

    def __init__(self) -> None:
        self.count = 0
        self.code: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count == 2:
            # written by the system's call: a signal may come in the middle of a print
            os.write(2, b"Stopping already: what is finished is being written. Once more ends at once.\n")
            return
        stopped = Stopped(number)
        self.code = stopped.code
        raise stopped


@contextmanager
def stopping() -> Iterator[Signals]:
    """Have the signals raise ``Stopped`` in the main thread. One that is ignored, as under nohup, stays so."""
    signals = Signals()
    asking = ASKING if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.getsignal(number) for number in asking}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, signals)
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
