"""The table variant x task: what the best trials score, what they cost, and how many came to grief.

Arrays first, the dataset after. As in the paper, a cell is judged by the best 10 % of its finished trials, *chosen by
validation* and scored on the test set.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy
import pandas
import xarray
from numpy.typing import ArrayLike, NDArray

from lstm_odyssey.reports.contract import draws
from lstm_odyssey.reports.contract.selection import as_study, refuse_absent
from lstm_odyssey.reports.contract.variables import FINISHED
from lstm_odyssey.reports.contract.wording import estimated_share
from lstm_odyssey.reports.stats import stability
from lstm_odyssey.reports.stats.epoch_cost import CELL_COSTS, counted, epoch_costs, said
from lstm_odyssey.reports.stats.inference import Ranked, capped, mean, rank

COLUMNS = {
    "trials": "trials drawn",
    "finished": "trials with scores: ended or diverged on the way",
    "diverged": "trials whose loss ceased to be finite; their best score before that stands",
    "unstable": f"finished trials that collapsed on the way: {stability.RULE}",
    "instability": "share of the finished trials that are unstable",
    "instability_low": "lower end of its exact 95 % interval",
    "instability_high": "upper end of its exact 95 % interval",
    "failed": "trials that ended without a score",
    "missing": "trials not run yet",
    "selected": "trials among the best 10 % by validation",
    "mean_test": "mean test score of the best 10 %, what is worse than chance counting as chance",
    "best_test": "best test score among the best 10 %, what is worse than chance counting as chance",
    "best_trial": "index of the trial that has it",
    "chosen_test": "test score of the one trial that is best by validation, at worst the chance level",
    "chance": "score of the best constant prediction",
    "beats_chance": "whether the best trial beats the chance level",
    "n_parameters": "parameters of the best trial",
    "mean_parameters": "mean number of parameters of the best 10 %",
    "epoch_cost": "processor time in s of an epoch's updates at one N, fitted over all the cell's trials",
    "epoch_cost_error": "standard error of the logarithm of that time",
    "epoch_cost_freedom": "degrees of freedom of that standard error",
    "epoch_cost_residual": "standard deviation of log time about that fit",
}

SCORED = ("status", "best_valid", "best_test", "units", "direction", "chance")
"""The variables that the best 10 % follow from."""


def ranking(study: xarray.Dataset, task: str, variant: str, *, stable: bool = False) -> Ranked:
    """The finished trials of a cell on a task, best validation score first; ``stable``: without those that are unstable."""
    part = study.sel(task=task, variant=variant)
    finished = numpy.isin(part["status"].values, FINISHED)
    if stable:
        finished &= ~part["unstable"].values
    return rank(
        part["best_valid"].values, part["best_test"].values, finished,
        chance=float(part["chance"]), maximize=maximizes(study, task),
    )  # fmt: skip


def best_fraction(
    valid: ArrayLike, finished: ArrayLike | None = None, *, maximize: bool = False
) -> NDArray[numpy.intp]:
    """Indices of the best 10 % of the finished trials by validation score, best first.

    Args:
        valid: validation scores [n]; a trial without one (NaN) is never chosen.
        finished: which trials count [n]; all, if not given.
        maximize: whether larger scores are better.

    >>> best_fraction([3.0, 1.0, 2.0, float("nan")]).tolist()
    [1, 2]
    """
    found = rank(valid, valid, numpy.ones(numpy.shape(valid)) if finished is None else finished, maximize=maximize)
    return found.trial[: found.k]


def best_tenths(part: xarray.Dataset) -> list[NDArray[numpy.intp]]:
    """Indices of the best 10 % of a cell on a task, of each seed's trials apart where files of the same draws were combined."""
    maximize = str(part["direction"].item()) == "maximize"
    return _best_of_seeds(
        part["best_valid"].values, numpy.isin(part["status"].values, FINISHED), draws.seed_numbers(part), maximize
    )


def _best_of_seeds(
    valid: ArrayLike, finished: NDArray[numpy.bool_], seeds: ArrayLike, maximize: bool
) -> list[NDArray[numpy.intp]]:
    numbers = numpy.asarray(seeds)
    return [best_fraction(valid, finished & (numbers == one), maximize=maximize) for one in numpy.unique(numbers)]


def summarise(
    status: ArrayLike,
    best_valid: ArrayLike,
    best_test: ArrayLike,
    n_parameters: ArrayLike,
    unstable: ArrayLike,
    *,
    seeds: ArrayLike | None = None,
    planned: int | None = None,
    chance: float = math.nan,
    maximize: bool = False,
) -> dict[str, Any]:
    """One row of the table from the arrays [n] of one cell on one task; the keys are those of ``COLUMNS`` less the costs.

    Scores worse than the chance level, or absent, count as the chance level, as in ``compare``: one rule for all columns, or
    the mean of some trials would be better than the best of them. Without a chance level nothing is known of stability. Of
    several ``seeds`` [n] the best 10 % are each seed's own, and means are means over the seeds. ``planned``: how many trials
    there are to be, where not n, as of a cell that one of several files lacks.
    """
    status = numpy.asarray(status)
    test, parameters = numpy.asarray(best_test, float), numpy.asarray(n_parameters, float)
    finished = numpy.isin(status, FINISHED)
    own = _best_of_seeds(best_valid, finished, numpy.zeros(status.size) if seeds is None else seeds, maximize)
    chosen = numpy.concatenate(own)
    scored = chosen[numpy.isfinite(test[chosen])]
    sign = -1 if maximize else 1
    best = int(scored[numpy.argmin(sign * test[scored])]) if scored.size else None
    measured = math.nan if best is None else float(test[best])
    scores = capped(test, chance, maximize=maximize)
    known = scores[chosen][~numpy.isnan(scores[chosen])]
    collapsed = int(numpy.asarray(unstable, bool).sum())
    probability = stability.proportion(collapsed, 0 if math.isnan(chance) else int(finished.sum()))
    trials, failed = status.size if planned is None else planned, int((status == "failed").sum())
    return {
        "trials": trials,
        "finished": int(finished.sum()),
        "diverged": int((status == "diverged").sum()),
        "failed": failed,
        "missing": trials - int(finished.sum()) - failed,
        "unstable": collapsed,
        **dict(zip(("instability", "instability_low", "instability_high"), probability, strict=True)),
        "selected": chosen.size,
        "mean_test": float(mean([mean(scores[part]) for part in own if part.size])),
        "best_test": sign * float((sign * known).min()) if known.size else math.nan,
        "best_trial": -1 if best is None else best,
        "chosen_test": float(mean([mean(scores[part[:1]]) for part in own if part.size])),
        "chance": chance,
        "beats_chance": bool(sign * measured < sign * chance),
        "n_parameters": math.nan if best is None else float(parameters[best]),
        "mean_parameters": float(mean(parameters[chosen])),
    }


def maximizes(dataset: xarray.Dataset, task: str) -> bool:
    """Whether larger scores are better on a task."""
    return str(dataset["direction"].sel(task=task).item()) == "maximize"


def summary(dataset: xarray.Dataset, order: Sequence[str] | None = None) -> pandas.DataFrame:
    """One row for each task and variant; ``frame.attrs`` say what each column is, the units of scores, the N of costs."""
    dataset = as_study(dataset, *SCORED, "n_parameters")
    refuse_absent(dataset, "variant", *order or ())
    costs = epoch_costs(dataset)
    dataset = dataset.assign(unstable=stability.unstable(dataset))
    cells = [
        (task, name) for task in dataset["task"].values.tolist() for name in order or dataset["variant"].values.tolist()
    ]
    rows = {cell: summarised(dataset, costs, *cell) for cell in cells}
    frame = pandas.DataFrame.from_dict(rows, orient="index", columns=list(COLUMNS))
    frame.index = pandas.MultiIndex.from_tuples(list(rows), names=["task", "variant"])
    units = dict(zip(dataset["task"].values.tolist(), dataset["units"].values.tolist(), strict=True))
    said_of = {task: said(costs, task) for task in units}
    at = {task: int(costs["epoch_cost_at"].sel(task=task)) for task in units}
    frame.attrs = {"columns": dict(COLUMNS), "units": units, "at": at, "costs": said_of}
    frame.attrs["processors"] = {task: counted(costs, task) for task in units}
    return frame


def summarised(study: xarray.Dataset, costs: xarray.Dataset, task: str, variant: str) -> dict[str, Any]:
    """One row of the table, of a study with the variable ``unstable`` and its ``epoch_costs``."""
    names = ["status", "best_valid", "best_test", "n_parameters", "unstable"]
    part = study[[*names, "chance"]].sel(task=task, variant=variant)
    row = summarise(
        **{name: part[name].values for name in names}, seeds=draws.seed_numbers(part),
        planned=draws.planned(study, task, variant), chance=float(part["chance"]), maximize=maximizes(study, task),
    )  # fmt: skip
    if row["best_trial"] >= 0:  # a selection may have fewer trials: the index of the draw
        row["best_trial"] = int(part["trial"].values[row["best_trial"]])
    return row | {name: costs[name].sel(task=task, variant=variant).item() for name in CELL_COSTS}


def box_values(dataset: xarray.Dataset, task: str, variant: str, *, best: bool = False) -> NDArray[numpy.float64]:
    """Test scores a box is drawn of: of all finished trials or of the best 10 %, with chance as the ceiling."""
    dataset = as_study(dataset, *SCORED)
    part = dataset[list(SCORED)].sel(task=task, variant=variant)
    chosen = numpy.concatenate(best_tenths(part)) if best else numpy.isin(part["status"].values, FINISHED)
    scores = capped(part["best_test"].values[chosen], float(part["chance"]), maximize=maximizes(dataset, task))
    return scores[~numpy.isnan(scores)]


def mean_parameters(dataset: xarray.Dataset, task: str, variant: str) -> float:
    """Parameters of a cell in the mean of its best 10 %, as ``summary`` has them; NaN if there are none."""
    part = dataset[[*SCORED, "n_parameters"]].sel(task=task, variant=variant)
    return float(mean(part["n_parameters"].values[numpy.concatenate(best_tenths(part))]))


def instability(row: pandas.Series) -> str:
    """P(unstable) of a row with its interval, in words."""
    return estimated_share(row["instability"], row["instability_low"], row["instability_high"])


def score(value: float) -> str:
    """A score in words: two digits after the point, four below 1, three in all from 10,000 on; or a dash.

    >>> [score(value) for value in (0.01234, 8.6489, 1234.5, 267195547528.0)]
    ['0.01234', '8.65', '1234.50', '2.67e+11']
    """
    if math.isnan(value):
        return "–"
    return f"{value:.4g}" if abs(value) < 1 else f"{value:.2f}" if abs(value) < 1e4 else f"{value:.2e}"


def whole(value: float) -> str:
    """A count in words, thousands set apart.

    >>> whole(84788.0)
    '84,788'
    """
    return "–" if math.isnan(value) else f"{value:,.0f}"
