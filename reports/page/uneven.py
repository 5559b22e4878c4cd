"""A cell with few trials beside cells with many: what its scores can be set beside, in words."""

from __future__ import annotations

import numpy
import pandas
import xarray

from lstm_odyssey.reports.contract import draws
from lstm_odyssey.reports.contract.variables import FINISHED
from lstm_odyssey.reports.contract.wording import count, counted, listed
from lstm_odyssey.reports.stats.inference import ENOUGH
from lstm_odyssey.reports.stats.table import ranking, score


def uneven_text(dataset: xarray.Dataset, table: pandas.DataFrame, task: str) -> str:
    """Which cells have too few trials for a best tenth where others have enough, and all of them at the draws of the few.

    A mean of the best two of four draws is no mean of the best twenty of two hundred: it is worse whatever the cell. At the
    draws that both had the two can be set side by side. Empty where all cells have enough trials, or none has.
    """
    scored = table.loc[task]
    scored = scored[scored["selected"] > 0]
    few = [str(name) for name in scored.index[scored["selected"] < ENOUGH]]
    if not few or len(few) == len(scored):
        return ""
    return " ".join(_sentence(dataset, task, name, [str(one) for one in scored.index]) for name in few)


def _sentence(dataset: xarray.Dataset, task: str, name: str, cells: list[str]) -> str:
    part = dataset.sel(task=task)
    ended = {cell: numpy.isin(part["status"].sel(variant=cell).values, FINISHED) for cell in cells}
    mine, of = ended[name], draws.groups(dataset, task)
    there = dataset.isel(trial=numpy.flatnonzero(mine))
    own = ranking(there, task, name)
    said = (
        f"{name} has {counted(int(mine.sum()), 'finished trial')}: the mean of its best {count(own.k)} is not to be set beside "
        "the best tenth of many."
    )
    others = [cell for cell in cells if cell != name and of[cell] == of[name] and (ended[cell] | ~mine).all()]
    if not others or own.k == 0:
        return f"{said} No other cell has its draws."
    means = {cell: float(one.test[: one.k].mean()) for cell in others for one in [ranking(there, task, cell)]}
    shown = [f"{score(float(own.test[: own.k].mean()))} in {name}", f"{score(means[others[0]])} in {others[0]}"]
    if len(others) > 1:
        ends = sorted(means.values())
        shown.append(f"{score(ends[0])} to {score(ends[-1])} in the {count(len(others))} that had them too")
    return f"{said} At these draws alone the best {count(own.k)} score {listed(shown)}."
