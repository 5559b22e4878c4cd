"""Cells compared on each task: which differ from a baseline, by how much, and what a budget buys with each.

``compare`` reads a stored study and returns one ``xarray.Dataset``, which ``to_netcdf`` writes and whose variables all
carry ``long_name`` and ``units``.

What it holds of every cell is listed in ``contents.CONTENTS``; of a task: ``comparisons`` (cells with trials enough for
a verdict, which their corrected intervals allow for; those of other cells allow for all cells),
``metric units direction chance`` as in the study, ``epoch_cost_at``,
``budget`` (hours) of each ``step``. NaN are: the baseline's own difference and all that belongs to it, curves beyond the trials
there are, ends of intervals beyond a tenth of them, where the bootstrap covers too little.

Dimensions: ``task``, ``variant`` (those of the study, in its order), ``bound`` ('lower', 'upper': interval at
``attrs["confidence"]``), ``replacement`` ('with', 'without'), ``n_trials`` (1 .. the most scored trials of a cell),
``step`` (points of a grid of hours, each task its own), ``best_of`` (draws of a search, to a tenth of the trials).

Of several files (``open_study(a, b)``) those cells are compared jointly that had the same draws. Where draws were run with
several seeds everything is the mean over seeds; the intervals of ``mean_test`` and ``difference`` draw the draws anew for all
seeds together, those of curves are the mean of the seeds' own.

Attributes: ``baseline``, ``confidence``, ``level`` (1 - confidence), ``enough`` (10), ``replicates``, ``seed``, ``device``,
``draws``, ``jointly`` (the cells that had the baseline's draws), ``resampling``
('independent', or 'paired' where the draws are common to all cells), ``ceiling`` (a sentence),
``unstable_margin`` (in chance scores), ``unstable`` (a sentence).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy
import xarray
from numpy.typing import NDArray

from lstm_odyssey.reports.contract import draws
from lstm_odyssey.reports.contract.kinds import refuse_kind
from lstm_odyssey.reports.contract.nearest import nearest
from lstm_odyssey.reports.contract.schema import validate
from lstm_odyssey.reports.contract.selection import as_study, refuse_absent
from lstm_odyssey.reports.contract.variables import FINISHED, PACKAGE
from lstm_odyssey.reports.stats import budget as expected
from lstm_odyssey.reports.stats import inference, searches, stability
from lstm_odyssey.reports.stats.budget import Curve
from lstm_odyssey.reports.stats.contents import CONTENTS, COORDINATES
from lstm_odyssey.reports.stats.epoch_cost import epoch_costs
from lstm_odyssey.reports.stats.inference import ENOUGH, Numbers, Ranked
from lstm_odyssey.reports.stats.judging import (
    against,
    averaged,
    described,
    judged,
    mean_of,
    reselection,
    shared,
    tested,
)
from lstm_odyssey.reports.stats.table import maximizes, ranking, summarised

STEPS = 60
"""Points of the grid of hours."""

CEILING = (
    "Diverged trials keep the best score they had; a test score worse than the task's chance level, or none at all, "
    "counts as the chance level."
)


def compare(
    study: xarray.Dataset,
    baseline: str | None = "vanilla",
    *,
    tasks: str | Sequence[str] | None = None,
    confidence: float = 0.95,
    replicates: int = 9999,
    seed: int = 0,
) -> xarray.Dataset:
    """Every cell of a study against a baseline, on every task.

    Args:
        study: a study, whole or still running, or a selection of one.
        baseline: the variant the others are compared with; ``None`` describes each cell and compares none.
        tasks: names; all of the study's, if not given.
        confidence: of every interval; a verdict's level is what is left to 1.
        replicates: of the bootstrap with re-selection.
        seed: of the bootstrap; each cell has a stream of its own, so that leaving another out changes nothing of it
            but the correction.

    Returns:
        The dataset that this module describes.

    Raises:
        SchemaError: ``study`` is no study.
        ValueError: the baseline or a task is not in the study, or an option is out of its range.
    """
    study = as_study(study)
    validate(study)
    study = _chosen(study, tasks)
    _check(study, baseline, confidence, replicates, seed)
    costs = epoch_costs(study)
    study = study.assign(unstable=stability.unstable(study))
    variants: list[str] = study["variant"].values.tolist()
    names: list[str] = study["task"].values.tolist()
    seeds = draws.by_seed(study)
    ranked = {
        task: [{variant: ranking(part, task, variant) for variant in variants} for part in seeds] for task in names
    }
    every = [one for parts in ranked.values() for cells in parts for one in cells.values()]
    trials = expected.budgets(max(one.trial.size for one in every))
    best_of = numpy.arange(1, 1 + max(1, trials[-1] // 10))
    budget = numpy.array([_grid(study, task) for task in names])

    rows: dict[str, list[dict[str, Any]]] = {}
    comparisons: dict[str, int] = {}
    for task, grid in zip(names, budget, strict=True):
        cells, maximize, chance = ranked[task], maximizes(study, task), float(study["chance"].sel(task=task))
        of = draws.groups(study, task)
        selected = reselection(cells, task, of, seed, replicates)
        sides = {name: [(one[name], two[name]) for one, two in zip(cells, selected, strict=True)] for name in variants}
        basis = sides.get(baseline or "")
        compared = [name for name in variants if basis and name != baseline and shared(sides[name], basis)]
        asked = tested(compared, sides, basis)
        comparisons[task], rows[task] = len(asked), []
        for variant, sides_of in sides.items():
            part = study.sel(task=task, variant=variant)
            row = described(part, summarised(study, costs, task, variant), sides_of, confidence, maximize=maximize)
            row["is_baseline"] = variant == baseline
            number = len(asked if variant in asked else compared)
            row |= against(sides_of, basis if variant != baseline else None, confidence, number)
            row["stable_difference"] = _stable_difference(seeds, task, variant, baseline)
            paired = baseline is not None and of[variant] == of[baseline]
            row |= averaged([
                _searched(
                    one[variant], one[baseline] if baseline not in (None, variant) else None, grid, chance, trials,
                    where["seconds"].sel(task=task, variant=variant).values, (seed, task, variant), replicates,
                    paired=paired, most=best_of.size, confidence=confidence, maximize=maximize,
                )
                for one, where in zip(cells, seeds, strict=True)
            ])  # fmt: skip
            rows[task].append(row)
        judged(rows[task], 1 - confidence, chosen=draws.chosen(study), maximize=maximize)

    dataset = _dataset(study, rows, {"n_trials": trials, "best_of": best_of}, budget)
    words = {"long_name": "cells with trials enough to be judged against the baseline", "units": "1"}
    dataset["comparisons"] = "task", list(comparisons.values()), words
    dataset["epoch_cost_at"] = costs["epoch_cost_at"]
    return dataset.assign_attrs(_told(study, baseline, confidence, replicates, seed))


def _told(study: xarray.Dataset, baseline: str | None, confidence: float, replicates: int, seed: int) -> dict[str, Any]:
    """What a reader of a comparison must know of how it is made."""
    return {
        "title": f"comparison of cells, of a study of {PACKAGE}",
        "baseline": baseline or "",
        "confidence": confidence,
        "level": 1 - confidence,
        "enough": ENOUGH,
        "replicates": replicates,
        "seed": seed,
        "draws": study.attrs["draws"] or "independent",
        "jointly": ", ".join(_jointly(study, baseline)),
        "device": study.attrs["device"],
        "resampling": "paired" if draws.common(study) else "independent",
        "ceiling": CEILING,
        "correction": "Bonferroni over the cells that are judged on a task",
        "unstable": stability.RULE,
        "unstable_margin": stability.MARGIN,
    }


def _chosen(study: xarray.Dataset, tasks: str | Sequence[str] | None) -> xarray.Dataset:
    """The study at some of its tasks."""
    if tasks is not None and not isinstance(tasks, str):
        refuse_kind("compare", "names", tasks=tasks)
    wanted = study["task"].values.tolist() if tasks is None else [tasks] if isinstance(tasks, str) else list(tasks)
    refuse_absent(study, "task", *wanted)
    if not wanted or len(set(wanted)) < len(wanted):
        raise ValueError(f"tasks: got {wanted}; expected one or more names, each once. Pass None for all of them.")
    return study.sel(task=wanted)


def _check(study: xarray.Dataset, baseline: str | None, confidence: float, replicates: int, seed: int) -> None:
    refuse_kind("compare", "a text", **({} if baseline is None else {"baseline": baseline}))
    refuse_kind("compare", "a number", confidence=confidence)
    refuse_kind("compare", "a whole number", replicates=replicates, seed=seed)
    variants = study["variant"].values.tolist()
    if baseline is not None and baseline not in variants:
        raise ValueError(
            f"baseline '{baseline}': not in the study; expected one of {nearest(baseline, variants)}. Pass baseline= one "
            "of them, or None to compare with none."
        )
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: got {confidence!r}; expected a number between 0 and 1. Pass 0.95 for 95 %.")
    if seed < 0:
        raise ValueError(f"seed: got {seed!r}; expected a whole number of at least 0. Pass another.")
    if replicates < 1:
        raise ValueError(f"replicates: got {replicates!r}; expected at least 1. Pass 1,000 or more for an interval.")


def _jointly(study: xarray.Dataset, baseline: str | None) -> list[str]:
    """The other cells that had the baseline's draws on every task."""
    of = [draws.groups(study, task) for task in study["task"].values.tolist()] if baseline else []
    return [
        name for name in study["variant"].values.tolist()
        if name != baseline and of and all(each[name] == each[str(baseline)] for each in of)
    ]  # fmt: skip


def _stable_difference(seeds: list[xarray.Dataset], task: str, variant: str, baseline: str | None) -> float:
    """The difference of the best tenths of the stable trials alone; NaN for the baseline, or where there are none."""
    if baseline is None or variant == baseline:
        return math.nan
    best = [[ranking(part, task, name, stable=True).best for name in (variant, baseline)] for part in seeds]
    return float(mean_of([float(one.mean() - other.mean()) for one, other in best if one.size and other.size]))


def _searched(
    one: Ranked,
    other: Ranked | None,
    grid: Numbers,
    chance: float,
    trials: NDArray[numpy.int64],
    seconds: Numbers,
    stream: tuple[int, str, str],
    replicates: int,
    *,
    confidence: float,
    **options: Any,
) -> dict[str, Any]:
    """What a search with a cell gives, by itself and against the baseline, with one seed."""
    random = inference.stream(*stream, "searches")
    row = searches.compared(one, other, random, replicates, confidence=confidence, **options)
    random = inference.stream(*stream, "curves")
    curves = {
        kind: expected.after_trials(one, trials, random, replacement=kind == "with", confidence=confidence)
        for kind in ("with", "without")
    }
    hours = seconds[one.trial] / 3600
    curve = expected.after_hours(one, hours, grid, random, chance=chance, confidence=confidence)
    return row | _stacked(curves) | dict(zip(_named("expected_by_hours"), curve, strict=True))


def _grid(study: xarray.Dataset, task: str) -> Numbers:
    """Hours, evenly spaced on a logarithmic axis: from the shortest trial to the time all trials of a cell took."""
    part = study.sel(task=task)
    hours = part["seconds"].where(part["status"].isin(FINISHED)).transpose("variant", "trial").values / 3600
    hours = numpy.where(numpy.isfinite(hours) & (hours > 0), hours, math.nan)
    if numpy.isnan(hours).all():
        return numpy.full(STEPS, math.nan)
    grid: Numbers = numpy.geomspace(numpy.nanmin(hours), numpy.nansum(hours, axis=1).max(), STEPS)
    return grid


def _named(name: str) -> tuple[str, str, str]:
    return name, f"{name}_std", f"{name}_interval"


def _stacked(curves: dict[str, Curve]) -> dict[str, Numbers]:
    """The curves with and without replacement side by side, on the second axis."""
    parts = zip(*curves.values(), strict=True)
    return {name: numpy.stack(part, axis=1) for name, part in zip(_named("expected_best"), parts, strict=True)}


def _dataset(
    study: xarray.Dataset,
    rows: dict[str, list[dict[str, Any]]],
    counts: dict[str, NDArray[numpy.int64]],
    budget: Numbers,
) -> xarray.Dataset:
    units = set(study["units"].values.tolist())
    score = units.pop() if len(units) == 1 else "by task"
    variables: dict[str, Any] = {name: study[name].variable for name in ("metric", "units", "direction", "chance")}
    variables["budget"] = (("task", "step"), budget, {"long_name": "time of a search", "units": "h"})
    for name, content in CONTENTS.items():
        values = numpy.array([[row[name] for row in rows[task]] for task in rows])
        attributes = {"long_name": content.long_name}
        if content.units:
            attributes["units"] = score if content.units == "score" else content.units
        variables[name] = (content.dims, values, attributes)
    labels = {name: study[name].values for name in ("task", "variant")}
    labels |= {"bound": numpy.array(["lower", "upper"]), "replacement": numpy.array(["with", "without"])}
    labels |= {**counts, "step": numpy.arange(STEPS)}
    coordinates = {name: (name, labels[name], {"long_name": words}) for name, words in COORDINATES.items()}
    return xarray.Dataset(variables, coordinates)
