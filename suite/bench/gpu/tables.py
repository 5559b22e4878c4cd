"""Short tables of a record, as plain text: nothing but Python is needed to read one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lstm_odyssey.reports.contract.wording import aligned

NONE = "–"
MOST_LINES = 12
"""Items not reached that are named, of a part; the others are counted."""


@dataclass(frozen=True)
class PlainTable:
    """A title, heads, rows of words, and what has to be said of them."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def text(self) -> str:
        """Columns under each other, the first on the left, all others on the right."""
        head, *rows = aligned([self.head, *self.rows])
        rule = ["─" * len(word) for word in head]
        lines = ("  ".join(row).rstrip() for row in (head, rule, *rows))
        return "\n".join([self.title, *lines, *([self.note] if self.note else [])]) + "\n"


Rows = Sequence[Mapping[str, Any]]


def number(value: Any, digits: int = 3) -> str:
    """A figure in few digits."""
    if not isinstance(value, int | float):
        return NONE if value is None else str(value)
    if isinstance(value, int) or abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}" if abs(value) >= 0.01 or value == 0 else f"{value:.1e}"


def tables(content: Mapping[str, Any]) -> Iterator[PlainTable]:
    """The tables of a record, part by part; those without rows are left out."""
    making = {"check": _check, "cells": _cells, "population": _population, "ceilings": _ceilings}
    for part, make in making.items():
        rows = content["parts"].get(part, {}).get("results", [])
        yield from (table for table in make(rows) if table.rows)


def _check(rows: Rows) -> Iterator[PlainTable]:
    found = []
    scans = [row for row in rows if row.get("what") == "scan"]
    for row in scans:
        share = row["float32"] / row["float32_allowed"] if isinstance(row["float32"], float | int) else row["float32"]
        found.append(
            [f"scan {row['variant']}", number(row["float64"]), f"{row['float64_at']}", number(share), _passed(row)]
        )
    for row in rows:
        if row.get("what") in ("updates", "curve"):
            what = f"{row['item']}"
            where = f"{row['sequences']} sequences, {row['frames']:,} frames" if row["what"] == "curve" else ""
            found.append([what, number(row["off"]), where, number(_ratio(row["off"], row["allowed"])), _passed(row)])
        elif row.get("what") in ("neighbours", "graphs", "repeat", "memcheck", "racecheck"):
            found.append([f"{row['item']} {row.get('variant', '')}".strip(), "", _said(row), "", _passed(row)])
    note = "off: from the text in float64, in parts of the greatest entry; of what is allowed: float32, in parts of the bound."
    yield PlainTable("check", ("what", "off", "where", "of what is allowed", "passed"), found, note)


def _ratio(above: Any, below: Any) -> Any:
    return above / below if isinstance(above, float | int) and isinstance(below, float | int) and below else None


def _said(row: Mapping[str, Any]) -> str:
    if row["what"] == "repeat":
        return f"N {row['hidden_size']}: {row['different']} of {row['runs']} differ"
    if row["what"] == "neighbours":
        other = "; ".join(f"{', '.join(map(str, sizes))} among {way}" for way, sizes in row["different"].items())
        return f"other bits of N {other}" if other else f"bit for bit, N {', '.join(map(str, row['watched']))}"
    if row["what"] == "graphs":
        host = "".join(f", host {1e6 * taken:.0f} µs by {way}" for way, taken in row["host_seconds"].items())
        return ("bit for bit" if row["bitwise"] else "other bits") + host
    return "; ".join(row["summary"]) or f"code {row['code']}"


def _passed(row: Mapping[str, Any]) -> str:
    return "yes" if row.get("passed") else "NO"


def _cells(rows: Rows) -> Iterator[PlainTable]:
    layers = [row for row in rows if "way" in row]
    sizes = sorted({(row["batch"], row["hidden_size"]) for row in layers if row["way"] == "odyssey"})
    known = {(row["variant"], row["batch"], row["hidden_size"], row["way"]): row for row in layers}
    found = []
    for variant in dict.fromkeys(row["variant"] for row in layers if row["way"] == "odyssey"):
        words = [variant]
        for B, N in sizes:
            ours, lstm = (known.get((variant, B, N, way)) for way in ("odyssey", "lstm"))
            ratio = _ratio(lstm["both"], ours["both"]) if ours and lstm else None
            mark = "" if ours is None or ours.get("fused", True) else "*"
            words.append(
                NONE if ours is None else f"{1000 * ours['both']:.2f}{mark}" + (f" {ratio:.2f}x" if ratio else "")
            )
        found.append(words)
    head = ("variant", *(f"B {B} N {N}" for B, N in sizes))
    note = (
        "ms, and how many times as fast as cuDNN's LSTM in float32, which is another cell than all but one; * step by step: no "
        "class fits."
    )
    yield PlainTable("cells: forward and backward", head, found, note)
    others = []
    for row in layers:
        ours = known.get((row["variant"], row["batch"], row["hidden_size"], "odyssey"))
        if row["way"] not in ("odyssey", "lstm"):
            ratio = _ratio(row["both"], ours["both"]) if ours else None
            place = [row["variant"], row["way"], str(row["batch"]), str(row["hidden_size"])]
            others.append([*place, f"{1000 * row['both']:.2f}", number(ratio)])
    yield PlainTable("other ways", ("variant", "way", "B", "N", "ms", "x slower than ours"), others)


def _population(rows: Rows) -> Iterator[PlainTable]:
    times = {(row["shape"], row["members"]): row["times"] for row in rows if row.get("what") == "times"}
    measured = [row for row in rows if "members" in row and "seconds" in row]
    measured.sort(key=lambda row: (row["shape"], row["members"]))
    found = [
        [row["shape"], row["variant"], str(row["members"]), f"{1000 * row['seconds']:.2f}",
         number(row["member_frames_per_second"]), number(_ours(times, row)),
         f"{row['memory'] / 2**30:.1f}" if row.get("memory") else NONE]
        for row in measured
    ]  # fmt: skip
    note = "".join(
        f"The study of 5,400 runs: {number(row['hours_of_all_epochs'])} h, with early stopping "
        f"{number(row['hours_with_early_stopping'])} h ({', '.join(f'{k} {number(v)} h' for k, v in row['hours'].items())}). "
        f"Assumed: {row['assumptions']}."
        for row in rows
        if row.get("what") == "study"
    )
    head = ("corpus", "variant", "members", "ms an update", "member-frames/s", "x one by one", "GB")
    yield PlainTable("population: training updates", head, found, note)
    corpora = next((list(row["hours"]) for row in rows if row.get("what") == "cut"), [])
    yield PlainTable("hours of the study", ("if", *corpora, "all epochs", "half of them"), _cuts(rows))


def _cuts(rows: Rows) -> list[list[str]]:
    return [
        [row["name"], *(number(hours) for hours in row["hours"].values()), number(row["hours_of_all_epochs"]),
         number(row["hours_with_early_stopping"])]
        for row in rows if row.get("what") == "cut"
    ]  # fmt: skip


def _ours(times: Mapping[Any, Any], row: Mapping[str, Any]) -> Any:
    """How many times as fast, of the variant whose networks one by one are measured."""
    return None if row["item"].endswith(f" of {row['variant']}") else times.get((row["shape"], row["members"]))


def _ceilings(rows: Rows) -> Iterator[PlainTable]:
    found = []
    for row in rows:
        what = row.get("what")
        if what == "copy":
            found.append(["copy", f"{row['bytes_per_second'] / 1e12:.2f} TB/s"])
        elif what in ("sgemm", "fma"):
            found.append([what, f"{row['flop_per_second'] / 1e12:.1f} TFLOP/s"])
        elif what == "barrier" and "seconds" in row:
            where = f", cluster of {row['cluster']}" if row["cluster"] > 1 else ""
            found.append([f"{row['kind']}{where}, {row['clusters']} at once", f"{1e9 * row['seconds']:.0f} ns"])
        elif what == "scan":
            parts = [f"{1e6 * row['seconds_per_step']:.2f} µs a step"]
            parts += [
                f"{row[f'fraction_{kind}']:.0%} of {kind}" for kind in ("flop", "bytes") if f"fraction_{kind}" in row
            ]
            found.append([f"{row['kernel']}, N {row['hidden_size']}, {row['members']} members", ", ".join(parts)])
        elif what == "memory":
            words = f"{row['bytes_of_a_member'] / 2**20:.0f} MB each, {row['members_that_fit']:,} fit"
            if "measured" in row:
                words += f" (measured {row['measured'] / 2**20:.1f} MB where {row['planned'] / 2**20:.1f} were planned)"
            found.append([f"{row['shape']} members of N {row['hidden_size']}, {row['frames']} frames", words])
    yield PlainTable("ceilings", ("what", ""), found)


def troubles(content: Mapping[str, Any]) -> list[str]:
    """What failed: items that came to an error, and checks that did not pass."""
    found = []
    for part, known in content["parts"].items():
        found += [
            f"{part}, {row['item']}: {row['error'].splitlines()[0] if row['error'] else ''}" for row in known["failed"]
        ]
        found += [f"{part}, {row['item']}: did not pass" for row in known["results"] if row.get("passed") is False]
    return found


def heading(content: Mapping[str, Any]) -> str:
    """What, where, when; whether it was measured."""
    device = content.get("device", {})
    kind = "predicted, not measured" if content.get("predicted") else "measured"
    driver = f", driver {device['driver_version']}" if "driver_version" in device else ""
    torch = content.get("versions", {}).get("torch", "")
    return f"{device.get('name', '?')}{driver}, torch {torch}, {content['date']}, {kind}"


def ends(content: Mapping[str, Any]) -> str:
    """What failed, and what was not reached."""
    parts = []
    if failed := troubles(content):
        parts.append("failed:\n" + "".join(f"  {line}\n" for line in failed))
    for part, known in content["parts"].items():
        left = known["not_reached"]
        if left:
            named = "\n".join(some([f"{row['item']}: {row['why']}" for row in left], "  "))
            parts.append(f"{part}, not reached:\n{named}\n")
    return "\n".join(parts)


def some(lines: Sequence[str], start: str) -> list[str]:
    """The first of many lines, and how many others there are."""
    shown = [start + line for line in lines[:MOST_LINES]]
    return shown if len(lines) <= MOST_LINES else [*shown, f"{start}and {len(lines) - MOST_LINES} others"]


def text(content: Mapping[str, Any]) -> str:
    """All of it."""
    made = [f"{heading(content)}\n", *(table.text() for table in tables(content)), ends(content)]
    return "\n".join(part for part in made if part)
