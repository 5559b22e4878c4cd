"""The table of what stands beside the test score of a task: its views."""

from __future__ import annotations

import math
from collections.abc import Sequence

import xarray

from lstm_odyssey.reports.page.tables import Grid, Row, number
from lstm_odyssey.reports.stats.table import score
from lstm_odyssey.reports.stats.views import views


def beside(dataset: xarray.Dataset, task: str, order: Sequence[str]) -> Grid | None:
    """The mean of each cell's best 10 % on every view of a task; None where it has none."""
    frame = views(dataset, task, order)
    if frame.empty:
        return None
    facts = dataset.sel(task=task)
    said = []
    for name in frame.columns:
        chance = frame.attrs["chance"][name]
        parts = [frame.attrs["is"][name], "" if math.isnan(chance) else f"chance level {score(chance)}"]
        said.append(f"{name}: {', '.join(filter(None, parts)) or 'as the task names it'}")
    caption = f"Beside the whole test set, {facts['units'].item()}: mean of the same best 10 %. {'; '.join(said)}."
    rows = [
        Row(str(cell), [number(value) for value in row]) for cell, row in zip(frame.index, frame.values, strict=True)
    ]
    return Grid(caption, [("cell", ""), *((str(name), frame.attrs["is"][name]) for name in frame.columns)], rows)
