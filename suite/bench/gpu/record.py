"""The record of a run: one JSON file, written whole after every item, so that what was found is never lost.

Each item of a part ends as rows of ``results``, or with an error's text among ``failed``, or with a reason among
``not_reached``. A run that goes on with a record passes over what stands in it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lstm_odyssey.reports.contract.files import write_text

FORMAT = 1
PARTS = ("check", "cells", "population", "ceilings")
"""In the order in which they run."""

SHARES = {"check": 250.0, "cells": 160.0, "population": 75.0, "ceilings": 35.0}
"""Of the time, as parts are expected to take it on an H200 with 16 cores; what one leaves, the next ones have."""

LONGEST_ERROR = 1500

Row = dict[str, Any]


class NotReachedError(Exception):
    """An item that cannot be run here; the message is the reason."""


class DeviceLostError(Exception):
    """After an error of a kernel no call of this process is answered any more: another process has to go on."""


@dataclass(frozen=True)
class Item:
    """One thing to be found out.

    Args:
        name: of its own within its part.
        seconds: what it is expected to take at most; it is not begun where less is left. 0 where it cannot be run at all.
        run: finds out, and returns rows.
    """

    name: str
    seconds: float
    run: Callable[[], Iterable[Row]]


class Record:
    """A record on disk.

    Args:
        path: of the file; read if it is there.
        facts: what stands before the parts in a new one, as the device and the versions.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any] | None = None) -> None:
        self.path = path
        if path.is_file():
            self.content = read(path)
        else:
            date = datetime.now(UTC).isoformat(timespec="seconds")
            self.content = {"benchmark": "gpu", "format": FORMAT, "date": date, **(facts or {}), "parts": {}}

    def part(self, name: str) -> dict[str, Any]:
        """What is known of a part."""
        empty: dict[str, Any] = {"seconds": 0.0, "results": [], "failed": [], "not_reached": []}
        found: dict[str, Any] = self.content["parts"].setdefault(name, empty)
        return found

    def rows(self, part: str) -> list[Row]:
        """The results of a part."""
        found: list[Row] = self.part(part)["results"]
        return found

    def has(self, part: str, item: str) -> bool:
        """Whether an item ended, in whatever way."""
        known = self.part(part)
        return any(row["item"] == item for kind in ("results", "failed", "not_reached") for row in known[kind])

    def add(self, part: str, item: str, rows: Iterable[Row]) -> None:
        """What an item found, or some of it."""
        self.part(part)["results"] += [{"item": item, **row} for row in rows]
        self.write()

    def failed(self, part: str, item: str, error: str) -> None:
        """That an item came to an error."""
        self.part(part)["failed"].append({"item": item, "error": error.strip()[:LONGEST_ERROR]})
        self.write()

    def not_reached(self, part: str, item: str, why: str) -> None:
        """That an item was not run."""
        self.part(part)["not_reached"].append({"item": item, "why": why})
        self.write()

    def ended(self, part: str, item: str, seconds: float) -> None:
        """That an item is over; one that found nothing has a row without findings."""
        if not self.has(part, item):
            self.part(part)["results"].append({"item": item})
        known = self.part(part)
        known["seconds"] = round(known["seconds"] + seconds, 3)
        self.write()

    def write(self) -> None:
        """Write the file, whole or not at all."""
        text = json.dumps(_plain(self.content), indent=1, allow_nan=False, ensure_ascii=False)
        write_text(self.path, text + "\n")


def read(path: Path) -> dict[str, Any]:
    """The content of a record.

    Raises:
        ValueError: the file holds no record of this benchmark.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"record {path}: {error}; expected JSON.") from error
    if not isinstance(content, dict) or content.get("benchmark") != "gpu" or content.get("format") != FORMAT:
        kind = content.get("benchmark") if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"record {path}: got one of {kind!r}; expected one of 'gpu', format {FORMAT}.")
    return content


def _plain(value: Any) -> Any:
    """The same for JSON, which knows neither NaN nor infinity: those become words; numbers keep six digits."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if abs(value) < float("inf") else str(value)
    return value


@dataclass
class Budget:
    """Time: all of it, and what of it a part may take.

    Args:
        until: when everything has to have ended, in seconds of ``clock``.
        parts: those still to come, in order.
    """

    until: float
    parts: list[str]
    clock: Callable[[], float] = time.time

    def begin(self, part: str) -> float:
        """When this part has to have ended: its share of what is left."""
        shares = [SHARES[name] for name in self.parts[self.parts.index(part) :]]
        left = self.until - self.clock()
        return self.clock() + max(left, 0.0) * shares[0] / sum(shares)


def run_part(
    record: Record,
    part: str,
    items: Iterable[Item],
    budget: Budget,
    *,
    last: bool = True,
    on_begin: Callable[[str, Item], None] = lambda part, item: None,
    lost: Callable[[], bool] = lambda: False,
) -> None:
    """Run the items of a part that the record does not have.

    Args:
        record, part, items, budget: what is run, and where it is written.
        last: whether an item that does not fit is written down; otherwise it is left for a later call.
        on_begin: told of each item before it runs.
        lost: asked after an error, whether the device answers no more.

    Raises:
        DeviceLostError: so it is; the item is among the failed ones.
    """
    until = budget.begin(part)
    for item in items:
        if record.has(part, item.name):
            continue
        left = until - budget.clock()
        if left < item.seconds:
            if last:
                record.not_reached(part, item.name, f"{max(left, 0):.0f} s were left, it may take {item.seconds:.0f} s")
            continue
        on_begin(part, item)
        begun, said = time.perf_counter(), ""
        try:
            for row in item.run():
                record.add(part, item.name, [row])  # what was found before an error stays
        except NotReachedError as why:
            record.not_reached(part, item.name, str(why))
        except Exception as error:  # noqa: BLE001 - whatever goes wrong with one item is written down and stops no other
            said = f"{type(error).__name__}: {error}"
            record.failed(part, item.name, said)
        record.ended(part, item.name, time.perf_counter() - begun)
        if said and lost():
            raise DeviceLostError(said)


def run_all(
    record: Record,
    items: Mapping[str, Sequence[Item]],
    until: float,
    *,
    clock: Callable[[], float] = time.time,
    **more: Any,
) -> None:
    """Run the items of all parts: first what fits into each part's share, then, in the time that is left, what did not.

    Args:
        record, items: what is run, by part and in order, and where it is written.
        until, clock: as a ``Budget`` has them.
        more: as ``run_part`` has it.
    """
    for last in (False, True):
        for part, each in items.items():
            run_part(record, part, each, Budget(until, [part] if last else list(items), clock), last=last, **more)
