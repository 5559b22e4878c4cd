"""All trials of a study for the page: what its script draws and sorts, and the rows that are there without it."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy
import xarray

from lstm_odyssey.reports.contract.schema import hyperparameters
from lstm_odyssey.reports.contract.validation import space as distributions
from lstm_odyssey.reports.contract.variables import FINISHED
from lstm_odyssey.reports.contract.wording import named
from lstm_odyssey.reports.stats.inference import capped
from lstm_odyssey.reports.stats.table import best_tenths, maximizes

POINTS = 40
"""Of a learning curve, from before training to its last epoch."""

LEVELS = 65534
"""Steps of a curve's 16 bits; one more says that there is no score."""

MEASURES = {
    "best_valid": "validation", "best_test": "test", "epochs": "epochs", "n_parameters": "parameters", "seconds": "seconds",
}  # fmt: skip


def packed(study: xarray.Dataset, order: Sequence[str]) -> str:
    """JSON for the page's script; ``<`` is written as an escape, so that no name ends the element it stands in."""
    tasks = {task: _task(study, task, order) for task in study["task"].values.tolist()}
    text = json.dumps({"points": POINTS, "tasks": tasks}, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("&", "\\u0026")


def _task(study: xarray.Dataset, task: str, order: Sequence[str]) -> dict[str, Any]:
    """One task: its columns, each with a value a trial, and the curves in 16 bits."""
    part = study.sel(task=task, variant=list(order))
    ran = part["status"].values != "missing"
    cells, trials = numpy.nonzero(ran)
    chance, maximize = float(part["chance"]), maximizes(study, task)
    space = distributions(study, task, *order)
    columns: list[dict[str, Any]] = [
        {"name": "cell", "levels": list(order), "values": cells.tolist()},
        {"name": "trial", "values": part["trial"].values[trials].tolist()},
    ]
    if len(numpy.unique(seeds := part["seed"].values[ran])) > 1:
        columns.append({"name": "seed", "values": seeds.astype(int).tolist()})
    for name in hyperparameters(study):
        if name not in space:
            continue
        values, scale = part[name].values[ran], json.dumps(space[name])
        column = {"name": named(name), "axis": True, "values": _plain(values), "log": "log_uniform" in scale}
        columns.append(column | {"mirrored": "one_minus" in scale and "log_uniform" in scale})
    for name, word in MEASURES.items():
        values = part[name].values[ran].astype(float)
        if name == "best_test" and math.isfinite(chance):
            finished = numpy.isin(part["status"].values[ran], FINISHED)
            values[finished] = capped(values[finished], chance, maximize=maximize)
        if numpy.isfinite(values).any():
            columns.append({"name": word, "axis": name in ("best_test", "epochs"), "values": _plain(values)})
    status = part["status"].values[ran]
    if (status != "ok").any():
        columns.append({"name": "ended", "levels": sorted(set(status.tolist()))})
        columns[-1]["values"] = [columns[-1]["levels"].index(one) for one in status.tolist()]
    curves, low, high = _curves(part["valid"].transpose("variant", "trial", "epoch").values[ran], chance, maximize)
    epochs = _plain(part["epochs"].values[ran])
    return {
        "units": str(part["units"].item()), "maximize": maximize, "columns": columns, "low": low, "high": high,
        "epochs": epochs, "curves": base64.b64encode(curves.astype("<u2").tobytes()).decode("ascii"),
    }  # fmt: skip


def _plain(values: numpy.ndarray[Any, Any]) -> list[Any]:
    """Numbers to five digits, whole ones as such, what is not finite as null; texts as they are."""
    if values.dtype.kind not in "fiu":
        return [str(value) for value in values.tolist()]
    numbers = (value if math.isfinite(value) else None for value in values.astype(float).tolist())
    return [
        value if value is None else int(value) if value % 1 == 0 and abs(value) < 1e12 else float(f"{value:.5g}")
        for value in numbers
    ]


def _curves(
    valid: numpy.ndarray[Any, Any], chance: float, maximize: bool
) -> tuple[numpy.ndarray[Any, Any], float, float]:
    """Curves [n, epoch] at ``POINTS`` places between two scores in 16 bits, with these scores."""
    ends = numpy.isfinite(valid)
    finite = valid[ends]
    if not finite.size:
        return numpy.full((len(valid), POINTS), LEVELS + 1), 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    if math.isfinite(chance):  # what is far worse than chance has no place: the others would lie on one another
        low, high = (
            (max(low, chance - abs(chance) / 4), high) if maximize else (low, min(high, chance + abs(chance) / 4))
        )
    width = high - low if low < high < low + 1e300 else 1.0
    made = numpy.full((len(valid), POINTS), LEVELS + 1)
    for row, (curve, known) in enumerate(zip(valid, ends, strict=True)):
        places = numpy.flatnonzero(known)
        if places.size:
            at = numpy.linspace(0, places[-1], POINTS)
            scores = numpy.interp(at, places, numpy.clip(curve[places], low, high))
            made[row] = numpy.round(numpy.clip((scores - low) / width, 0, 1) * LEVELS)
    return made, low, low + width


def best_rows(study: xarray.Dataset, task: str, order: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the best tenth of each cell: the table that is there without a script."""
    columns, part = _task(study, task, order)["columns"], study.sel(task=task)
    chosen = set()
    for number, name in enumerate(order):
        one = part.sel(variant=name)
        chosen |= {(number, trial) for best in best_tenths(one) for trial in one["trial"].values[best].tolist()}
    rows = []
    for place, key in enumerate(zip(columns[0]["values"], columns[1]["values"], strict=True)):
        if key in chosen:
            rows.append([_text(column, place) for column in columns])
    return [column["name"] for column in columns], rows


def _text(column: dict[str, Any], place: int) -> str:
    value = column["values"][place]
    if "levels" in column:
        return str(column["levels"][value])
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
