"""What a run will come to at the estimates of its items: the run itself, with a clock that only the estimates move."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from lstm_odyssey.bench.gpu.record import Item, Record, Row, run_all
from lstm_odyssey.bench.gpu.tables import some


class _Unwritten(Record):
    """A record that is not written."""

    def __init__(self, record: Record) -> None:
        self.path, self.content = record.path, copy.deepcopy(record.content)

    def write(self) -> None:
        """Nothing."""


def planned(
    record: Record, items: Mapping[str, Sequence[Item]], until: float, clock: Callable[[], float] = time.time
) -> dict[str, tuple[int, float, list[str]]]:
    """Of each part: how many items the record does not have, their seconds together, and those that will not be reached."""
    now = clock()

    def taking(seconds: float) -> Callable[[], Iterable[Row]]:
        def run() -> Iterable[Row]:
            nonlocal now
            now += seconds
            return ()

        return run

    left = {part: [item for item in each if not record.has(part, item.name)] for part, each in items.items()}
    rehearsed = _Unwritten(record)
    rehearsal = {
        part: [Item(item.name, item.seconds, taking(item.seconds)) for item in each] for part, each in left.items()
    }
    run_all(rehearsed, rehearsal, until, clock=lambda: now)
    found = {}
    for part, each in left.items():
        asked = {item.name for item in each}
        missed = [row["item"] for row in rehearsed.part(part)["not_reached"] if row["item"] in asked]
        found[part] = len(each), sum(item.seconds for item in each), missed
    return found


def words(plan: Mapping[str, tuple[int, float, list[str]]], seconds: float) -> str:
    """The plan, as it is printed before anything is run."""
    lines = [f"Plan for {seconds:.0f} s, at estimates for an H200 with 16 cores:"]
    for part, (count, expected, missed) in plan.items():
        lines.append(f"  {part}: {count} items, {expected:.0f} s" + (f"; {len(missed)} not reached:" if missed else ""))
        lines += some(missed, "    ")
    return "\n".join(lines) + "\n"
