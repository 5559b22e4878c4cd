"""A process of another interpreter, or of this one, that times an update when its turn comes; see ``bench.timed.turns``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from lstm_odyssey.plugins.discovery import ENVIRONMENT, for_children
from lstm_odyssey.training.clocks import Clock, TimingError

SCRIPT = Path(__file__).with_name("turns.py")


class Worker:
    """The process; something ``measure`` can time.

    Args:
        name: what messages call it. python: the interpreter; empty: this one.
    """

    def __init__(self, name: str, python: str = "") -> None:
        self.name, self.python = name, python
        self.phases: dict[str, Callable[[Any], Any]] = {"call": lambda _: None}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        # -P: the folder of the script is no place to import from. A session of its own: Ctrl-C is for the one who waits,
        # who then ends this process.
        self._process = subprocess.Popen(
            [python or sys.executable, "-P", str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=os.environ | {ENVIRONMENT: for_children()},
            encoding="utf-8",
            start_new_session=True,
        )

    def ask(self, variant: str, task: str, clock: str, options: dict[str, Any]) -> None:
        """Say what is to be timed."""
        self._send(variant=variant, task=task, clock=clock, options=options)

    def ready(self) -> dict[str, Any]:
        """What it is that will be timed, as soon as it could be.

        Raises:
            TimingError: it cannot be timed there, or the process ended.
        """
        answer = self._answer()
        if "error" in answer:
            words = (
                answer["error"]
                if answer["module"].startswith("lstm_odyssey.")
                else f"{answer['type']}: {answer['error']}"
            )
            raise TimingError(f"{self.name}: {words}" if self.python else words)
        found: dict[str, Any] = answer["ready"]
        return found

    def turn(self, seconds: float, clock: Clock, wall: Clock) -> list[float]:
        """Seconds a frame, the median of the calls of one turn; the clocks are the process's own."""
        self._send(turn=seconds)
        return 2 * [self._answer()["seconds"]]  # of all of it, and of its one phase

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with suppress(OSError):  # what was not written any more is for nobody
                stream.close()  # type: ignore[union-attr]  # made as pipes

    def _send(self, **content: Any) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(content) + "\n")
            self._process.stdin.flush()
        except OSError:
            self._ended()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._ended()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _ended(self) -> None:
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        raise TimingError(
            f"{self.name}: the process of {self.python or sys.executable} ended with code {code}: "
            f"{lines[-1] if lines else 'it said nothing'}. Expected Python 3.11 or newer that can import lstm_odyssey."
        )
