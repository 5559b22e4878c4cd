"""A run in processes of its own: a kernel that never ends, or that takes the device with it, costs one item and no more.

The process that computes says in a file beside the record which item it is at, and until when that may take. This one waits,
ends it where that time is over, writes the item down as failed, and starts another one that goes on.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lstm_odyssey.bench.gpu.record import Item, Record
from lstm_odyssey.reports.contract.files import write_text

LOST = 75
"""What a process ends with whose device answers no more."""

PATIENCE, LEAST = 4.0, 60.0
"""How many times what an item is expected to take it may take, and seconds that any may."""

MOST_STARTS = 12

GRACE = 10.0
"""Seconds after all of the time for what is running then."""


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".running")


def announce(path: Path, part: str, item: Item) -> None:
    """Say beside a record what is run next."""
    limit = time.time() + max(PATIENCE * item.seconds, LEAST)
    write_text(_beside(path), json.dumps({"part": part, "item": item.name, "limit": limit}))


def done(path: Path) -> None:
    """Say that all was tried, whatever becomes of the process on its way out."""
    write_text(_beside(path), json.dumps({"done": True}))


def running(path: Path) -> dict[str, Any]:
    """What was announced last; empty if nothing was."""
    with contextlib.suppress(OSError, json.JSONDecodeError):
        found: dict[str, Any] = json.loads(_beside(path).read_text(encoding="utf-8"))
        return found
    return {}


def supervised(
    path: Path,
    command: Sequence[str],
    until: float,
    *,
    poll: float = 0.2,
    say: Callable[[str], object] = sys.stderr.write,
) -> str:
    """Run a command that fills the record, again and again until it has come to its end.

    Args:
        path: of the record.
        command: ends with 0 where all was tried, with ``LOST`` where another process has to go on.
        until: when it has to have ended, in seconds since 1970.
        poll: seconds between two looks.
        say: told of what went wrong.

    Returns:
        Why the rest was left; empty if nothing was.
    """
    for _ in range(MOST_STARTS):
        with contextlib.suppress(FileNotFoundError):
            _beside(path).unlink()
        child = subprocess.Popen(command)
        why = _waited(child, path, until, poll)
        at = running(path)
        if child.returncode == 0 or at.get("done"):
            break
        ended = why or f"the process ended with code {child.returncode}"
        say(f"{at.get('part', 'start')}, {at.get('item', 'no item')}: {ended}\n")
        if not at:
            return ended
        record = Record(path)
        if all(row["item"] != at["item"] for row in record.part(at["part"])["failed"]):  # it has said why itself
            record.failed(at["part"], at["item"], ended)
        if time.time() >= until:
            return "the time is over"
    else:
        return f"{MOST_STARTS} processes did not come to the end"
    with contextlib.suppress(FileNotFoundError):
        _beside(path).unlink()
    return ""


def _waited(child: subprocess.Popen[bytes], path: Path, until: float, poll: float) -> str:
    """Wait for a process; why it was ended, or nothing."""
    try:
        while child.poll() is None:
            at, now = running(path), time.time()
            if now > min(at.get("limit", until + GRACE), until + GRACE):
                return "it did not end in its time"
            time.sleep(poll)
        return ""
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
