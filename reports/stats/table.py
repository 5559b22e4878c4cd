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
from lstm_odyssey.reports.stats import stability
from lstm_odyssey.reports.stats.epoch_cost import CELL_COSTS, counted, duration, epoch_costs, said

ENOUGH = 10
"""Below this many trials in the best 10 %, differences between cells are no ground for inference."""

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
    "epoch_cost_residual": "standard deviation of log time about that fit",
}

SCORED = ("status", "best_valid", "best_test", "units", "direction", "chance")
"""The variables that the best 10 % follow from."""


def best_count(n: int) -> int:
    """How many of n finished trials are the best 10 %: at least two, as a mean of one is none.

    >>> [best_count(n) for n in (0, 1, 6, 20, 21, 200)]
    [0, 1, 2, 2, 3, 20]
    """
    return min(n, max(2, math.ceil(n / 10)))


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
    scores = numpy.asarray(valid, float)
    counted = numpy.ones(scores.shape, bool) if finished is None else numpy.asarray(finished, bool)
    order = numpy.argsort(-scores if maximize else scores, kind="stable")
    order = order[counted[order] & ~numpy.isnan(scores[order])]
    chosen: NDArray[numpy.intp] = order[: best_count(int(counted.sum()))]
    return chosen


def best_of_seeds(
    valid: ArrayLike, finished: ArrayLike, seeds: ArrayLike, *, maximize: bool = False
) -> list[NDArray[numpy.intp]]:
    """Indices of the best 10 % of each seed's trials: a cell's best 10 %, seed by seed.

    Args:
        valid, finished: as of ``best_fraction`` [n].
        seeds: which seed a trial was run with [n]; all alike but where files of the same draws were combined.
        maximize: whether larger scores are better.
    """
    numbers = numpy.asarray(seeds)
    whole = numpy.asarray(finished, bool)
    return [best_fraction(valid, whole & (numbers == one), maximize=maximize) for one in numpy.unique(numbers)]


def ceiling(scores: ArrayLike, chance: float, *, maximize: bool = False) -> NDArray[numpy.float64]:
    """Scores as they count: what is worse than chance, or no number, stands at the chance level.

    >>> ceiling([9.0, 40.0, float("nan")], 11.0).tolist()
    [9.0, 11.0, 11.0]
    """
    values = numpy.asarray(scores, float)
    if math.isnan(chance):
        known: NDArray[numpy.float64] = values[~numpy.isnan(values)]
        return known
    values = numpy.where(numpy.isnan(values), chance, values)
    bound: NDArray[numpy.float64] = numpy.maximum(values, chance) if maximize else numpy.minimum(values, chance)
    return bound


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
    own = best_of_seeds(best_valid, finished, numpy.zeros(status.size) if seeds is None else seeds, maximize=maximize)
    chosen = numpy.concatenate(own)
    scored = chosen[~numpy.isnan(test[chosen])]
    sign = -1 if maximize else 1
    best = int(scored[numpy.argmin(sign * test[scored])]) if scored.size else None
    measured = math.nan if best is None else float(test[best])
    counted = ceiling(test[chosen], chance, maximize=maximize)
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
        "mean_test": _mean([_mean(ceiling(test[part], chance, maximize=maximize)) for part in own if part.size]),
        "best_test": sign * float((sign * counted).min()) if counted.size else math.nan,
        "best_trial": -1 if best is None else best,
        "chosen_test": _mean([_mean(ceiling(test[part[:1]], chance, maximize=maximize)) for part in own if part.size]),
        "chance": chance,
        "beats_chance": bool(sign * measured < sign * chance),
        "n_parameters": math.nan if best is None else float(parameters[best]),
        "mean_parameters": _mean(parameters[chosen]),
    }


def maximizes(dataset: xarray.Dataset, task: str) -> bool:
    """Whether larger scores are better on a task."""
    return str(dataset["direction"].sel(task=task).item()) == "maximize"


def summary(dataset: xarray.Dataset, order: Sequence[str] | None = None) -> pandas.DataFrame:
    """One row for each task and variant; ``frame.attrs`` say what each column is, the units of scores, the N of costs."""
    dataset = as_study(dataset, *SCORED, "n_parameters")
    refuse_absent(dataset, "variant", *order or ())
    rows, costs = {}, epoch_costs(dataset)
    dataset = dataset.assign(unstable=stability.unstable(dataset))
    for task in dataset["task"].values.tolist():
        for variant in order or dataset["variant"].values.tolist():
            names = ["status", "best_valid", "best_test", "n_parameters", "unstable"]
            part = dataset[[*names, "chance"]].sel(task=task, variant=variant)
            arrays = {name: part[name].values for name in names}
            row = summarise(
                **arrays,
                seeds=draws.seed_numbers(part),
                planned=draws.planned(dataset, task, variant),
                chance=float(part["chance"]),
                maximize=maximizes(dataset, task),
            )
            cost = {name: costs[name].sel(task=task, variant=variant).item() for name in CELL_COSTS}
            rows[task, variant] = row | {"best_trial": labelled(part, row["best_trial"])} | cost
    frame = pandas.DataFrame.from_dict(rows, orient="index", columns=list(COLUMNS))
    frame.index = pandas.MultiIndex.from_tuples(list(rows), names=["task", "variant"])
    units = dict(zip(dataset["task"].values.tolist(), dataset["units"].values.tolist(), strict=True))
    said_of = {task: said(costs, task) for task in units}
    at = {task: int(costs["epoch_cost_at"].sel(task=task)) for task in units}
    frame.attrs = {"columns": dict(COLUMNS), "units": units, "at": at, "costs": said_of}
    frame.attrs["processors"] = {task: counted(costs, task) for task in units}
    return frame


def labelled(part: xarray.Dataset, place: int) -> int:
    """The index of the draw at a place among the trials, which a selection may have fewer of; -1 stays."""
    return place if place < 0 else int(part["trial"].values[place])


def box_values(dataset: xarray.Dataset, task: str, variant: str, *, best: bool = False) -> NDArray[numpy.float64]:
    """Test scores a box is drawn of: of all finished trials or of the best 10 %, with chance as the ceiling."""
    dataset = as_study(dataset, *SCORED)
    part = dataset[list(SCORED)].sel(task=task, variant=variant)
    finished = numpy.isin(part["status"].values, FINISHED)
    maximize = maximizes(dataset, task)
    chosen = _best(part, finished, maximize) if best else finished
    return ceiling(part["best_test"].values[chosen], float(part["chance"]), maximize=maximize)


def mean_parameters(dataset: xarray.Dataset, task: str, variant: str) -> float:
    """Parameters of a cell in the mean of its best 10 %, as ``summary`` has them; NaN if there are none."""
    part = dataset[["status", "best_valid", "n_parameters"]].sel(task=task, variant=variant)
    finished = numpy.isin(part["status"].values, FINISHED)
    chosen = _best(part, finished, maximizes(dataset, task))
    return _mean(part["n_parameters"].values[chosen].astype(float))


def markdown(dataset: xarray.Dataset, order: Sequence[str] | None = None) -> str:
    """The table as text that is legible in a terminal and renders as Markdown."""
    dataset = as_study(dataset)
    blocks = []
    table = summary(dataset, order)
    for task in dataset["task"].values.tolist():
        units, chance = str(dataset["units"].sel(task=task).item()), float(dataset["chance"].sel(task=task))
        head = (
            "variant",
            "finished",
            "diverged",
            "unstable",
            "mean of best 10 %",
            "best",
            "beats chance",
            "parameters",
            f"s/epoch at N = {table.attrs['at'][task]}",
        )
        lines = [list(head)]
        for variant, row in table.loc[task].iterrows():
            numbers = [f"{row['finished']}/{row['trials']}", f"{row['diverged']}", instability(row)]
            numbers += [score(row["mean_test"])]
            numbers += [score(row["best_test"]), "yes" if row["beats_chance"] else "no"]
            lines.append([str(variant), *numbers, whole(row["n_parameters"]), duration(row["epoch_cost"])])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        lines.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
        padded = [[line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in lines]
        text = "\n".join("| " + " | ".join(line) + " |" for line in padded)
        blocks.append(f"{task}: test scores in {units}, chance level {score(chance)}\n\n{text}")
    return "\n\n".join(blocks)


def instability(row: pandas.Series) -> str:
    """P(unstable) of a row with its interval, in words."""
    return stability.told(row["instability"], row["instability_low"], row["instability_high"])


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


def _best(part: xarray.Dataset, finished: NDArray[numpy.bool_], maximize: bool) -> NDArray[numpy.intp]:
    own = best_of_seeds(part["best_valid"].values, finished, draws.seed_numbers(part), maximize=maximize)
    return numpy.concatenate(own)


def _mean(values: ArrayLike) -> float:
    known = numpy.asarray(values, float)
    return float(known.mean()) if known.size else math.nan
