"""How fast a study's cells are on a GPU, from a record of ``python -m lstm_odyssey.bench.gpu``: a table, and a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lstm_odyssey.reports.page.tables import Cell, Grid, Row

OURS = "odyssey"


def on_a_gpu(content: Mapping[str, Any], cells: Sequence[str]) -> Grid | None:
    """Frames a second of a layer of each cell, forward and backward; None where the record has none of them.

    Args:
        content: of the record.
        cells: their names, in the order of the table.
    """
    rows = [row for row in content["parts"].get("cells", {}).get("results", []) if row.get("way") == OURS]
    sizes = sorted({(row["batch"], row["hidden_size"]) for row in rows})
    speed = {
        (row["variant"], row["batch"], row["hidden_size"]): row["frames"] * row["batch"] / row["both"] for row in rows
    }
    known = [cell for cell in cells if any((cell, *size) in speed for size in sizes)]
    if not known:
        return None
    heads = [("cell", ""), *((f"{B} x N {N}", f"{B} sequences at once, {N} units") for B, N in sizes)]
    lines = [Row(cell, [_cell(speed.get((cell, *size))) for size in sizes]) for cell in known]
    left = [cell for cell in cells if cell not in known]
    also = f" The record does not have {', '.join(left)}." if left else ""
    return Grid(
        f"{_where(content)} Frames a second of one layer, forward and backward.{_study(content)}{also}", heads, lines
    )


def _cell(value: float | None) -> Cell:
    return Cell("–", None) if value is None else Cell(f"{value:,.0f}", value)


def _where(content: Mapping[str, Any]) -> str:
    """Which GPU, and whether it was measured."""
    name, date = content.get("device", {}).get("name", "a GPU"), str(content.get("date", ""))[:10]
    if content.get("predicted"):
        return f"{name}, predicted {date}, not measured."
    driver = content.get("device", {}).get("driver_version")
    return f"{name}, measured {date}{f', driver {driver}' if driver else ''}."


def _study(content: Mapping[str, Any]) -> str:
    """How fast populations train there, by the largest of each corpus."""
    rows = [
        row for row in content["parts"].get("population", {}).get("results", []) if "member_frames_per_second" in row
    ]
    most = {row["shape"]: row for row in sorted(rows, key=lambda row: row["members"])}
    each = [
        f"{row['members']} networks at once {row['member_frames_per_second']:,.0f} on {shape}"
        for shape, row in most.items()
    ]
    verb = "is to train" if content.get("predicted") else "trains"
    return (
        f" A population {verb} so many frames a second, of all its networks together: {'; '.join(each)}."
        if each
        else ""
    )
