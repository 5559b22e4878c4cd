"""Cells compared on each task: which differ from a baseline, by how much, and what a budget buys with each.

``compare`` reads a stored study and returns one ``xarray.Dataset``, which ``to_netcdf`` writes and whose variables all
carry ``long_name`` and ``units``.

Dimensions: ``task``, ``variant`` (those of the study, in its order), ``bound`` ('lower', 'upper': interval at
``attrs["confidence"]``), ``replacement`` ('with', 'without'), ``n_trials`` (1 .. the most scored trials of a cell),
``step`` (points of a grid of hours, each task its own), ``best_of`` (draws of a search, to a tenth of the trials).

=========================  ==============================================================================================
variables                  what they hold
=========================  ==============================================================================================
(task)
comparisons                cells that are compared with the baseline: the corrected intervals allow for so many
metric units direction     as in the study
chance                     score of the best constant prediction: the ceiling of every score below
(task, variant)
is_baseline                whether it is the one the others are compared with (false everywhere: no such comparison)
trials finished diverged   counts; finished = ok + diverged; ``worse_than_chance`` of them score the ceiling, as
failed missing             they are worse than the chance level or have no test score
worse_than_chance
unstable                   finished trials that collapsed on the way (see ``lstm_odyssey.reports.stats.stability``)
selected                   k, trials among the best 10 % by validation: max(2, ceil(finished / 10))
enough                     k >= 10; below it numbers are given, but they are no ground for inference
mean_test std_test         of the test scores of those k; ``mean_test_interval`` (…, bound) is the bootstrap's
best_test best_trial       the best test score among those k and its trial (-1: none)
chosen_test                test score of the one trial that validation chooses
n_parameters               of ``best_trial``; ``mean_parameters``: mean over the k
epoch_cost                 processor time of an epoch's updates at N = ``epoch_cost_at``, see ``epoch_cost.epoch_costs``, with
                           ``epoch_cost_residual``; ``hours``: median processor time of a finished trial
pareto                     no other cell has both a better ``mean_test`` and a lower ``epoch_cost``
divergence                 share of finished trials that diverged; ``divergence_interval`` (…, bound) is exact
instability                share of finished trials that are unstable; ``instability_interval`` (…, bound) is exact
difference                 ``mean_test`` less the baseline's, in units of the metric; the baseline's own is NaN, as are
                           all of the following. ``difference_interval`` (…, bound) is the joint bootstrap's: trials drawn
                           anew, once for all cells where the draws are common, and each best tenth selected anew
difference_corrected       ``difference_corrected_interval`` (…, bound): the same, Bonferroni over the ``comparisons``
verdict                    by it alone: 'better', 'worse', or 'open', which leaves room for a difference of less than
                           ``differs_by_less_than``; 'too few trials' where the cell or the baseline has k < 10; 'rows were
                           chosen' in a study of points; 'no scores'; 'baseline'
stable_difference          the difference with unstable trials left out; shown, not tested
better_in_search           P(better than the baseline) in a search of 20 draws, from 200 trials on;
                           ``better_in_search_interval`` (…, bound)
welch_t welch_df welch_p   Welch's t-test on the k scores of each, the paper's test; ``welch_interval`` (…, bound)
verdict_welch              by ``welch_p``, uncorrected, as the paper judges: 'not different' in place of 'open'
hedges_g cliffs_delta      effect sizes on the k scores, with the sign of ``difference``; ``hedges_g_interval`` and
                           ``cliffs_delta_interval`` (…, bound) are the bootstrap's; no g where k < 10
(task, variant, best_of)
best_of_difference         expected test score of the trial that validation chooses among n draws, less the baseline's, for n
                           up to N/10; ``best_of_difference_interval`` (…, bound)
(task, variant, n_trials, replacement)
expected_best              expected test score of the trial that validation chooses among n; NaN beyond the trials there are
expected_best_std          standard deviation of the outcome of one search; ``expected_best_interval`` (…, bound) is the
                           bootstrap's for the expectation, up to N/10: beyond, it covers too little
(task, step)
budget                     hours
(task, variant, step)
expected_by_hours          the same after so many hours of one trial after the other; NaN beyond the time all trials took;
                           ``expected_by_hours_std``, ``expected_by_hours_interval`` (…, bound)
=========================  ==============================================================================================

Attributes: ``baseline``, ``confidence``, ``level`` (1 - confidence), ``enough`` (10), ``replicates``, ``seed``, ``device``,
``draws``, ``resampling`` ('independent', or 'paired' where the draws are common to all cells), ``ceiling`` (a sentence),
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
from lstm_odyssey.reports.contract.nearest import nearest
from lstm_odyssey.reports.contract.schema import validate
from lstm_odyssey.reports.contract.selection import as_study, refuse_absent
from lstm_odyssey.reports.contract.variables import FINISHED, PACKAGE
from lstm_odyssey.reports.stats import budget as expected
from lstm_odyssey.reports.stats import inference, searches, stability
from lstm_odyssey.reports.stats.budget import Curve
from lstm_odyssey.reports.stats.contents import CONTENTS, COORDINATES
from lstm_odyssey.reports.stats.epoch_cost import CELL_COSTS, epoch_costs
from lstm_odyssey.reports.stats.inference import Numbers, Ranked
from lstm_odyssey.reports.stats.judging import against, described, judged
from lstm_odyssey.reports.stats.table import ENOUGH, maximizes

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
    _check(study, baseline, confidence, replicates)
    costs = epoch_costs(study)
    study = study.assign(unstable=stability.unstable(study))
    variants: list[str] = study["variant"].values.tolist()
    names: list[str] = study["task"].values.tolist()
    paired = draws.common(study)
    ranked = {task: {variant: ranking(study, task, variant) for variant in variants} for task in names}
    trials = expected.budgets(max(one.trial.size for cells in ranked.values() for one in cells.values()))
    best_of = numpy.arange(1, 1 + max(1, trials[-1] // 10))
    budget = numpy.array([_grid(study, task, cells) for task, cells in ranked.items()])

    rows: dict[str, list[dict[str, Any]]] = {}
    comparisons: dict[str, int] = {}
    for task, grid in zip(names, budget, strict=True):
        cells, chance = ranked[task], float(study["chance"].sel(task=task))
        selected = {name: reselection(cells, task, name, seed, replicates, paired=paired) for name in variants}
        basis = None if baseline is None else cells[baseline]
        compared = [
            one for name, one in cells.items() if basis and name != baseline and one.best.size and basis.best.size
        ]
        comparisons[task] = len(compared)
        rows[task] = []
        for variant, one in cells.items():
            part = study.sel(task=task, variant=variant)
            random = inference.stream(seed, task, variant, "curves")
            row = described(part, one, selected[variant], chance, confidence, maximize=maximizes(study, task))
            row["is_baseline"] = variant == baseline
            row |= {name: costs[name].sel(task=task, variant=variant).item() for name in CELL_COSTS}
            other = (cells[baseline], selected[baseline]) if baseline not in (None, variant) else None
            row |= against((one, selected[variant]), other, confidence, len(compared))
            row |= searches.compared(
                one, other[0] if other else None, inference.stream(seed, task, variant, "searches"), replicates,
                paired=paired, most=best_of.size, confidence=confidence, maximize=maximizes(study, task),
            )  # fmt: skip
            row["stable_difference"] = _stable_difference(study, task, variant, baseline)
            curves = {
                kind: expected.after_trials(one, trials, random, replacement=kind == "with", confidence=confidence)
                for kind in ("with", "without")
            }
            row |= _stacked(curves)
            hours = part["seconds"].values[one.trial] / 3600
            curve = expected.after_hours(one, hours, grid, random, chance=chance, confidence=confidence)
            row |= dict(zip(_named("expected_by_hours"), curve, strict=True))
            rows[task].append(row)
        judged(rows[task], 1 - confidence, chosen=draws.chosen(study), maximize=maximizes(study, task))

    dataset = _dataset(study, rows, {"n_trials": trials, "best_of": best_of}, budget)
    dataset["comparisons"] = (
        "task",
        list(comparisons.values()),
        {"long_name": "cells compared with the baseline", "units": "1"},
    )
    dataset["epoch_cost_at"] = costs["epoch_cost_at"]
    dataset.attrs = {
        "title": f"comparison of cells, of a study of {PACKAGE}",
        "baseline": baseline or "",
        "confidence": confidence,
        "level": 1 - confidence,
        "enough": ENOUGH,
        "replicates": replicates,
        "seed": seed,
        "draws": study.attrs["draws"] or "independent",
        "device": study.attrs["device"],
        "resampling": "paired" if paired else "independent",
        "ceiling": CEILING,
        "correction": "Bonferroni over the comparisons of a task",
        "unstable": stability.RULE,
        "unstable_margin": stability.MARGIN,
    }
    return dataset


def _chosen(study: xarray.Dataset, tasks: str | Sequence[str] | None) -> xarray.Dataset:
    """The study at some of its tasks."""
    wanted = study["task"].values.tolist() if tasks is None else [tasks] if isinstance(tasks, str) else list(tasks)
    refuse_absent(study, "task", *wanted)
    if not wanted or len(set(wanted)) < len(wanted):
        raise ValueError(f"tasks: got {wanted}; expected one or more names, each once. Pass None for all of them.")
    return study.sel(task=wanted)


def _check(study: xarray.Dataset, baseline: str | None, confidence: float, replicates: int) -> None:
    variants = study["variant"].values.tolist()
    if baseline is not None and baseline not in variants:
        raise ValueError(
            f"baseline '{baseline}': not in the study; expected one of {nearest(baseline, variants)}. Pass baseline= one "
            "of them, or None to compare with none."
        )
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: got {confidence!r}; expected a number between 0 and 1. Pass 0.95 for 95 %.")
    if replicates < 1:
        raise ValueError(f"replicates: got {replicates!r}; expected at least 1. Pass 1,000 or more for an interval.")


def ranking(study: xarray.Dataset, task: str, variant: str, *, stable: bool = False) -> Ranked:
    """The finished trials of a cell on a task, best validation score first; ``stable``: without those that are unstable."""
    part = study.sel(task=task, variant=variant)
    finished = numpy.isin(part["status"].values, FINISHED)
    if stable:
        finished &= ~part["unstable"].values
    return inference.rank(
        part["best_valid"].values, part["best_test"].values, finished,
        chance=float(part["chance"]), maximize=maximizes(study, task),
    )  # fmt: skip


def _stable_difference(study: xarray.Dataset, task: str, variant: str, baseline: str | None) -> float:
    """The difference of the best tenths of the stable trials alone; NaN for the baseline, or where there are none."""
    if baseline is None or variant == baseline:
        return math.nan
    one, other = (ranking(study, task, name, stable=True).best for name in (variant, baseline))
    return float(one.mean() - other.mean()) if one.size and other.size else math.nan


def reselection(
    cells: dict[str, Ranked], task: str, variant: str, seed: int, replicates: int, *, paired: bool
) -> Numbers:
    """The best 10 % of every replicate; where draws are common, all cells of a task draw the same trials."""
    one = cells[variant]
    if not paired:
        places = inference.draw(inference.stream(seed, task, variant), one.trial.size, replicates)
        return inference.reselect(one, places)
    run = numpy.unique(numpy.concatenate([cell.trial for cell in cells.values()]))
    place = numpy.full(run.size, one.trial.size)
    place[numpy.searchsorted(run, one.trial)] = numpy.arange(one.trial.size)
    return inference.reselect(one, place[inference.draw(inference.stream(seed, task), run.size, replicates)])


def _grid(study: xarray.Dataset, task: str, cells: dict[str, Ranked]) -> Numbers:
    """Hours, evenly spaced on a logarithmic axis: from the shortest trial to the time all trials of a cell took."""
    taken = [study["seconds"].sel(task=task, variant=name).values[one.trial] / 3600 for name, one in cells.items()]
    taken = [hours[numpy.isfinite(hours) & (hours > 0)] for hours in taken]
    if not any(hours.size for hours in taken):
        return numpy.full(STEPS, math.nan)
    grid: Numbers = numpy.geomspace(
        min(hours.min() for hours in taken if hours.size), max(hours.sum() for hours in taken), STEPS
    )
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
