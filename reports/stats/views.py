"""What the best tenth of each cell scores on what a task names of its test set: subsets, and classes folded into fewer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy
import pandas
import xarray

from lstm_odyssey.reports.contract.selection import as_study
from lstm_odyssey.reports.contract.validation import attribute
from lstm_odyssey.reports.stats.inference import capped, mean
from lstm_odyssey.reports.stats.table import best_tenths, maximizes


def views(dataset: xarray.Dataset, task: str, order: Sequence[str] | None = None) -> pandas.DataFrame:
    """A row for each cell, a column for each view of a task of which a trial has a score; no column where there is none.

    Values are means over the best 10 % of a cell's trials, chosen by validation as in the table of results, what is worse than
    the view's chance level counting as that level. ``frame.attrs["is"]`` and ``frame.attrs["chance"]`` say of each view what it
    is and its chance level, where the study knows.
    """
    study = as_study(dataset)
    cells = list(order or study["variant"].values.tolist())
    told: dict[str, Any] = attribute(study, "tasks").get(task, {}).get("views") or {}
    columns: dict[str, list[float]] = {}
    for name in study["view"].values.tolist() if "view" in study.coords else ():
        scores = study["best_test_view"].sel(task=task, view=name)
        if scores.notnull().any():
            chance = float(told.get(name, {}).get("chance", math.nan))
            columns[name] = [_mean(study, scores, task, cell, chance) for cell in cells]
    frame = pandas.DataFrame(columns, index=pandas.Index(cells, name="variant"), dtype=float)
    frame.attrs["is"] = {name: str(told.get(name, {}).get("is", "")) for name in columns}
    frame.attrs["chance"] = {name: float(told.get(name, {}).get("chance", math.nan)) for name in columns}
    return frame


def _mean(study: xarray.Dataset, scores: xarray.DataArray, task: str, cell: str, chance: float) -> float:
    own = scores.sel(variant=cell).values
    tenths = [own[part] for part in best_tenths(study.sel(task=task, variant=cell)) if part.size]
    known = [part for part in tenths if numpy.isfinite(part).any()]  # a file of an older version may have none
    return float(mean([mean(capped(part, chance, maximize=maximizes(study, task))) for part in known]))
