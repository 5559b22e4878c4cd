"""The draws of a study as points that can be trained again: all, or the best of each cell.

The best by validation are not always the draws that a page shows: the best score of a cell is picked by the test score among
its best 10 %, and may stand far behind in the order of validation. It is among the points, or nothing would judge it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy
import pandas
import xarray
from numpy.typing import NDArray

from lstm_odyssey.reports.contract.validation import hyperparameters, validate
from lstm_odyssey.reports.contract.variables import BOOLEAN, WHOLE
from lstm_odyssey.reports.stats.table import ranking, summary

Draw = tuple[Any, ...]


def best_points(study: xarray.Dataset, best: int | None = None) -> pandas.DataFrame:
    """Points of a study: the best trials of each cell on each task, or all.

    Args:
        study: any study.
        best: how many of each cell, best first by validation; the trial that has the cell's best score takes the place of the
            last where it is not among them. None: all finished trials, in the order of their index.

    Returns:
        Columns ``variant``, ``task`` and the hyperparameters, as ``odyssey run --points`` reads them: ``to_csv(index=False)``
        writes every digit.

    Raises:
        SchemaError: ``study`` is no study.
        ValueError: ``best`` is below one, or a cell has fewer finished trials, or not as many as the others.
    """
    validate(study)
    if best is not None and best < 1:
        raise ValueError(f"best: got {best}; expected a whole number of at least 1.")
    names = hyperparameters(study)
    table = None if best is None else summary(study)
    rows: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    for task in study["task"].values.tolist():
        for variant in study["variant"].values.tolist():
            order = ranked(study, task, variant)
            chosen = numpy.sort(order)
            if table is not None:
                chosen = _with(order[:best], study, int(table["best_trial"][task, variant]))
            counts[f"'{variant}' on '{task}'"] = chosen.size
            every = draws(study.sel(task=task, variant=variant), names)
            rows += [{"variant": variant, "task": task, **dict(zip(names, every[k], strict=True))} for k in chosen]
    wanted = max(counts.values()) if best is None else best
    short = min(counts, key=lambda cell: counts[cell])
    if counts[short] < wanted or not wanted:
        raise ValueError(
            f"points: {short} has {counts[short]} finished trials; expected {max(wanted, 1)}: every cell needs as many. "
            "Go on with the study, or ask for fewer of the best."
        )
    frame = pandas.DataFrame(rows)
    kinds: dict[str, Any] = {BOOLEAN: ("bool", "boolean"), WHOLE: ("int64", "Int64")}  # the latter has empty cells
    for name in names:
        if frame[name].dtype.kind == "f" and (frame[name] % 1 == 0).all():
            frame[name] = frame[name].astype("int64")
        if kind := kinds.get(study[name].attrs.get("values", "")):
            frame[name] = frame[name].astype(kind[bool(frame[name].isna().any())])
    return frame


def _with(chosen: NDArray[numpy.intp], study: xarray.Dataset, trial: int) -> NDArray[numpy.intp]:
    """Places of trials, of which the last gives way to the named trial where it is not among them."""
    place = numpy.flatnonzero(study["trial"].values == trial)
    if not chosen.size or not place.size or place[0] in chosen:
        return chosen
    return numpy.concatenate([chosen[:-1], place[:1]])


def draws(part: xarray.Dataset, names: Iterable[str]) -> list[Draw]:
    """The hyperparameters of every trial, to the last bit; None where it has none, which unlike NaN equals itself."""
    columns = [part[name].values.tolist() if name in part else [math.nan] * part.sizes["trial"] for name in names]
    return [
        tuple(None if isinstance(one, float) and math.isnan(one) else one for one in row)
        for row in zip(*columns, strict=True)
    ]


def ranked(study: xarray.Dataset, task: str, variant: str) -> NDArray[numpy.intp]:
    """The finished trials of a cell that have a validation score, best first."""
    found = ranking(study, task, variant)
    return found.trial[~numpy.isnan(found.valid)]
