"""``python -m lstm_odyssey.bench.gpu --part check cells population ceilings``; see ``docs/gpu.md``.

Without a CUDA device it says so and ends with 0. It ends with 1 where a check failed, or an item came to an error.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lstm_odyssey.bench.gpu.plan import planned, words
from lstm_odyssey.bench.gpu.record import PARTS, DeviceLostError, Item, Record, run_all
from lstm_odyssey.bench.gpu.supervision import LOST, announce, done, supervised
from lstm_odyssey.bench.gpu.tables import text, troubles

SECONDS = 540.0
START = 10.0
"""Seconds that the processes take to begin and to end."""


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m lstm_odyssey.bench.gpu", description="What a GPU makes of the cells."
    )
    parser.add_argument("--part", nargs="+", action="extend", choices=[*PARTS, "small"], metavar="PART",
                        help=f"some of {', '.join(PARTS)}; all of them, if none is named")  # fmt: skip
    parser.add_argument(
        "--device", choices=("cuda", "emulated"), default="cuda", help="emulated: on the CPU, at tiny sizes"
    )
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help=f"all parts together take at most ({SECONDS:.0f})"
    )
    parser.add_argument("--json", type=Path, help="the record; one that is there is gone on with")
    parser.add_argument(
        "--data",
        metavar="TASK=PATH",
        help="a corpus of next frames for the training curve (one that is in the package)",
    )
    parser.add_argument("--predict", action="store_true", help="a record of what an H200 should do; needs no device")
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    asked = parser.parse_args(given)
    if asked.data is not None and not all(asked.data.partition("=")):
        parser.error(f"--data: got '{asked.data}'; expected TASK=PATH")
    asked.part = [part for part in (*PARTS, "small") if part in (asked.part or PARTS)]
    return asked


def main(given: Sequence[str] | None = None) -> int:
    """Run what was asked for; the code to end with."""
    asked = arguments(given)
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    kind = "predicted" if asked.predict else asked.device
    path = asked.json or Path(f"bench-gpu-{kind}-{date}.json")
    if asked.predict:
        from lstm_odyssey.bench.gpu.prediction import predicted

        record = predicted(path)
        return _shown(record, "")
    from lstm_odyssey.bench.cuda_probe import unusable
    from lstm_odyssey.bench.gpu.facts import facts

    if asked.device == "cuda" and (why := unusable()):
        sys.stdout.write(f"{why}\n")
        return 0
    if asked.until is not None or "small" in asked.part:
        return work(asked, path)
    now = facts(asked.device)
    record = Record(path, now)
    if different := _different(record.content, now):
        sys.stdout.write(f"record {path}: {different}; expected that of the record. Choose another --json.\n")
        return 2
    for part in asked.part:  # what was left, or came to an error, is tried again
        known = record.part(part)
        known["not_reached"], known["failed"] = [], []
    record.write()
    until = time.time() + asked.seconds - START
    command = [sys.executable, "-m", "lstm_odyssey.bench.gpu", "--device", asked.device, "--json", str(path), "--until",
               str(until), *(["--data", asked.data] if asked.data else []), "--part", *asked.part]  # fmt: skip
    left = supervised(path, command, until)
    return _shown(Record(path), left)


def _different(content: dict[str, Any], now: dict[str, Any]) -> str:
    """How a record's device and source differ from these; empty if they do not."""
    pairs = {
        "device": (content["device"].get("name"), now["device"].get("name")),
        "source": (content["versions"].get("source"), now["versions"].get("source")),
    }
    return "; ".join(f"{what} was {then}, and is {here} now" for what, (then, here) in pairs.items() if then != here)


def _shown(record: Record, left: str) -> int:
    sys.stdout.write(text(record.content))
    if left:
        sys.stdout.write(f"Not all was tried: {left}.\n")
    sys.stdout.write(f"Record: {record.path}\n")
    return int(bool(left) or bool(troubles(record.content)))


def work(asked: argparse.Namespace, path: Path) -> int:
    """Run parts in this process, into the record."""
    from lstm_odyssey.bench.gpu.parts import ceilings, cells, check, population
    from lstm_odyssey.bench.gpu.target import Target

    target = Target(asked.device)
    if "small" in asked.part:
        for row in check.small(target):
            sys.stdout.write(f"{row}\n")
        return 0
    record = Record(path)
    making = {
        "check": lambda: check.items(target, asked.data),
        "cells": lambda: cells.items(target),
        "population": lambda: population.items(target, record),
        "ceilings": lambda: ceilings.items(target, record),
    }
    items = {part: making[part]() for part in asked.part}
    sys.stdout.write(words(planned(record, items, asked.until), asked.until - time.time()) + "\n")
    sys.stdout.flush()

    def begun(part: str, item: Item) -> None:
        announce(path, part, item)
        sys.stderr.write(f"{asked.until - time.time():4.0f} s left; {part}: {item.name}\n")

    try:
        run_all(record, items, asked.until, on_begin=begun, lost=target.lost)
    except DeviceLostError:
        return LOST
    done(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
