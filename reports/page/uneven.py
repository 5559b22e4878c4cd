"""A cell with few trials beside cells with many: what its scores can be set beside, in words."""

from __future__ import annotations

import numpy
import pandas
import xarray

from lstm_odyssey.reports.contract import draws
from lstm_odyssey.reports.contract.variables import FINISHED
from lstm_odyssey.reports.contract.wording import count, counted, listed, percent
from lstm_odyssey.reports.stats.table import ranking, score

WIDER = 1.5
"""How much larger a share of its trials may be before a mean of the best is no longer that of a tenth. A tenth is rounded up
to whole trials, two at least: from 14 trials on that is less than 1.5 times a tenth (at most 3 of 21), below it is more."""


def uneven_text(dataset: xarray.Dataset, table: pandas.DataFrame, task: str) -> str:
    """Whose best trials are a far larger share of all than those of others, and all cells at the draws of the few.

    A mean of the best two of four draws is no mean of the best twenty of two hundred: it is worse whatever the cell. That of
    the best nine of ninety is. At the draws that both had any two can be set side by side. Empty where no share is ``WIDER``.
    """
    scored = table.loc[task]
    scored = scored[scored["selected"] > 0]
    share = scored["selected"] / scored["finished"]
    few = [str(name) for name in scored.index[share > WIDER * share.min()]]
    cells = [str(name) for name in scored.index]
    return " ".join(_sentence(dataset, task, name, cells, share) for name in few)


def _sentence(dataset: xarray.Dataset, task: str, name: str, cells: list[str], share: pandas.Series) -> str:
    part = dataset.sel(task=task)
    ended = {cell: numpy.isin(part["status"].sel(variant=cell).values, FINISHED) for cell in cells}
    mine, of = ended[name], draws.groups(dataset, task)
    there = dataset.isel(trial=numpy.flatnonzero(mine))
    own = ranking(there, task, name)
    said = (
        f"{name} has {counted(int(mine.sum()), 'finished trial')}: its best {count(own.k)} are {percent([share[name]])} of "
        f"them, so their mean is not to be set beside the best {percent([share.min()])} of a cell with more."
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
