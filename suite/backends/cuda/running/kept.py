"""Compiled files, kept beside the CPU kernels in the user's cache folder: a name is the hash of all that a file depends on."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache as once
from pathlib import Path
from typing import TypeVar

from lstm_odyssey.backends.numba.cache import usable
from lstm_odyssey.tasks.cores import cores

TEXTS = Path(__file__).parent.with_name("text")
"""The C++ that does not depend on a cell."""

Made = TypeVar("Made")

_LOCKS: dict[str, threading.Lock] = {}
_LOCK = threading.Lock()


def header(name: str) -> str:
    """The text of a file in ``text/``."""
    return (TEXTS / name).read_text(encoding="utf-8")


def key(*parts: str) -> str:
    """The hash of texts, each with its place among them."""
    return hashlib.sha256("\0".join(f"{len(part)} {part}" for part in parts).encode()).hexdigest()[:32]


@once
def _own_folder() -> Path:
    """For a process that can keep nothing: a folder that goes when it ends."""
    made = tempfile.mkdtemp(prefix="lstm-odyssey-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def folder() -> Path:
    """Where compiled files lie; nobody else may write there."""
    place = (usable() or _own_folder()) / "cuda"
    place.mkdir(mode=0o700, exist_ok=True)
    return place


def built(
    make: Callable[[str], Made], texts: Sequence[str], progress: Callable[[int, int], None] | None = None
) -> list[Made]:
    """What is made of each text, on all cores.

    Args:
        make: compiles one; it leaves the interpreter's lock alone.
        texts: the sources.
        progress: called with how many are done and how many there are, from 0 on.
    """
    if progress:
        progress(0, len(texts))
    with ThreadPoolExecutor(cores()) as pool:
        tasks = [pool.submit(make, text) for text in texts]
        try:
            for done, task in enumerate(as_completed(tasks), 1):
                task.result()
                if progress:
                    progress(done, len(texts))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [task.result() for task in tasks]


def kept(name: str, make: Callable[[Path], object]) -> Path:
    """The file of this name, which ``make(path)`` writes if it is not there. Threads wait for each other, processes need not.

    It appears whole or not at all; an exception of ``make`` leaves nothing.
    """
    path = folder() / name
    with _LOCK:
        lock = _LOCKS.setdefault(name, threading.Lock())
    with lock:
        if not path.exists():
            handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
            os.close(handle)
            try:
                make(Path(temporary))
                with open(temporary, "r+b") as file:
                    os.fsync(file.fileno())  # whole after a power cut too: nothing looks at it again
                os.replace(temporary, path)
            finally:
                Path(temporary).unlink(missing_ok=True)
    return path
