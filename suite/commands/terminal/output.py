"""What a command prints is never worth what it does: a closed pipe, a full disk or a narrow encoding ends no study."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class Steady:
    """A text stream that never raises: what cannot be encoded is replaced, and what cannot be written is dropped.

    Args:
        stream: the one to write to.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.broken = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        if not self.broken:
            try:
                self.stream.write(text)
            except UnicodeEncodeError:
                encoding = self.stream.encoding or "ascii"
                self.write(text.encode(encoding, "replace").decode(encoding))
            except (OSError, ValueError, RuntimeError) as error:  # closed, or at work where a signal came in between
                self._break(error)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if not self.broken:
            try:
                self.stream.flush()
            except (OSError, ValueError, RuntimeError) as error:
                self._break(error)

    def _break(self, error: Exception) -> None:
        """Write no more where nobody reads; what the stream still holds goes where nothing fails when Python ends."""
        if isinstance(error, RuntimeError):
            return
        self.broken = True
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)


@contextmanager
def steady_output() -> Iterator[None]:
    """Standard output and standard error that never raise, for a while."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (stream and Steady(stream) for stream in before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before
