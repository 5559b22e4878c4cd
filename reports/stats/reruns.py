"""Is the best score luck? The best draws of a search beside the same draws trained again with fresh seeds.

The best of many trials is the best partly by luck: order, noise and initial weights would have come out otherwise. The same
hyperparameters trained again (``odyssey run --points best.csv --seed 2``) say by how much. The score of the search itself is
no part of the mean or the deviation: it was chosen for being good.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy
import pandas
import xarray
from numpy.typing import NDArray

from lstm_odyssey.reports.contract.combine import refuse_unlike
from lstm_odyssey.reports.contract.nearest import nearest
from lstm_odyssey.reports.contract.selection import as_study
from lstm_odyssey.reports.contract.validation import attribute, error, hyperparameters, validate
from lstm_odyssey.reports.contract.variables import FINISHED, PACKAGE, SCORES
from lstm_odyssey.reports.stats.best_points import draws, ranked
from lstm_odyssey.reports.stats.inference import Numbers, capped, mean
from lstm_odyssey.reports.stats.seed_deviation import half_width, seed_deviation
from lstm_odyssey.reports.stats.table import maximizes

CELL = ("task", "variant")


def reruns(
    study: xarray.Dataset,
    again: xarray.Dataset | Sequence[xarray.Dataset],
    *,
    score: str = "best_test",
    confidence: float = 0.95,
) -> xarray.Dataset:
    """What a study's draws score when they are trained again with other seeds, beside what they scored in the search.

    Args:
        study: the search.
        again: studies of the same protocol and corpora whose points are draws of it, each with a seed of its own; a trial that
            has not been run or failed counts as none, one that is worse than chance as the chance level.
        score: the score that is compared.
        confidence: of the intervals.

    Returns:
        A dataset over (task, variant), ``draw`` (the draws that were trained again, best validation score of the search first),
        ``seed`` and ``bound`` ('lower', 'upper'):

        ``trial valid test`` (..., draw): index, validation score and ``score`` of the draw in the search;
        ``scores`` (..., draw, seed): with each fresh seed; ``mean``, ``mean_interval`` (..., draw[, bound]) and ``seeds``;
        ``seed_deviation``, ``seed_deviation_interval``, ``degrees_of_freedom``, ``draws``: see ``seed_deviation``;
        ``best``: the best ``score`` in the search among these draws, ``best_trial`` its trial; ``best_mean``,
        ``best_mean_interval``: what the same hyperparameters score with fresh seeds; ``excess``: by how much the best was
        better than that, positive where it was lucky, in units of the score.

    Raises:
        SchemaError: a dataset is no study; a re-run has another protocol, corpus or equations, no fresh seed, or a trial that
            the study does not have.
        ValueError: ``score`` is no score, or ``confidence`` no probability.

    Example:
        >>> import lstm_odyssey as lo
        >>> search = lo.open_study("study")  # doctest: +SKIP
        >>> found = search.odyssey.reruns([lo.open_study(f"again-{seed}") for seed in (2, 3, 4, 5)])  # doctest: +SKIP
        >>> found["best"] - found["best_mean"], found["seed_deviation"]  # doctest: +SKIP
    """
    if score not in SCORES:
        raise ValueError(f"score: got {score!r}; expected one of {nearest(score, SCORES)}. Choose one of them.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: got {confidence!r}; expected a number between 0 and 1. Pass 0.95 for 95 %.")
    others = [as_study(one) for one in ([again] if isinstance(again, xarray.Dataset) else again)]
    study = as_study(study)
    validate(study)
    for other in others:
        validate(other)
    seeds = [int(other.attrs["seed"]) for other in others]
    for place, (other, seed) in enumerate(zip(others, seeds, strict=True)):
        if seed == int(study.attrs["seed"]) or seed in seeds[:place]:
            whose = "the study's" if seed == int(study.attrs["seed"]) else "another re-run's"
            raise error(
                f"re-run with seed {seed}", f"{whose} seed", "a fresh one", "Run the points with another --seed."
            )
        _same(study, other, seed)
    tasks, variants = (study[dim].values.tolist() for dim in CELL)
    cells = {(task, variant): _cell(study, others, task, variant, score) for task in tasks for variant in variants}
    return _dataset(study, cells, seeds, score, confidence)


def _same(study: xarray.Dataset, other: xarray.Dataset, seed: int) -> None:
    """Raise unless a re-run asks the same of the same cells: only the seed may differ."""
    there, here = ({kind: attribute(one, kind) for kind in ("protocol", "tasks", "variants")} for one in (study, other))
    for kind in ("task", "variant"):
        for name in other[kind].values.tolist():
            if name not in study[kind]:
                raise error(f"re-run with seed {seed}", f"{kind} '{name}'", "those of the study", "Leave it out.")
    cure = "Only studies that differ in nothing but the seed say what a seed does."
    keys = {"tasks": ("checksum", "objective", "bidirectional"), "variants": ("signature",)}
    refuse_unlike(f"re-run with seed {seed}", there, here, cure, **keys)


class _Cell(NamedTuple):
    """The draws of one cell that were trained again [D], and their scores [D, S]."""

    trial: NDArray[numpy.intp]
    valid: Numbers
    test: Numbers
    scores: Numbers


def _cell(study: xarray.Dataset, others: Sequence[xarray.Dataset], task: str, variant: str, score: str) -> _Cell:
    order = ranked(study, task, variant)
    part = study.sel(task=task, variant=variant)
    names = hyperparameters(study)
    every = draws(part, names)
    known = {every[index]: rank for rank, index in reversed(list(enumerate(order)))}  # of equal draws the best
    chance, maximize = float(part["chance"]), maximizes(study, task)
    found: dict[int, dict[int, float]] = {}
    for place, other in enumerate(others):
        if task not in other["task"] or variant not in other["variant"]:
            continue
        again = other.sel(task=task, variant=variant)
        values = capped(again[score].values, chance, maximize=maximize)
        drawn = draws(again, names)
        for index in numpy.flatnonzero(again["status"].values != "missing").tolist():
            draw = drawn[index]
            where = f"re-run with seed {other.attrs['seed']}, trial {index} of '{variant}' on '{task}'"
            if draw not in known:
                said = ", ".join(f"{name} {value}" for name, value in zip(names, draw, strict=True))
                raise error(
                    where, said, "the hyperparameters of a finished trial of the study", "Run the study's own points."
                )
            scores = found.setdefault(known[draw], {})
            if place in scores:
                raise error(
                    where, "a draw that another trial has", "each draw once for a seed", "Run it with another --seed."
                )
            scores[place] = float(values[index]) if again["status"].values[index] in FINISHED else math.nan
    ranks = sorted(found)
    table = numpy.full((len(ranks), len(others)), math.nan)
    for row, rank in enumerate(ranks):
        table[row, list(found[rank])] = list(found[rank].values())
    chosen = order[ranks]
    return _Cell(chosen, part["best_valid"].values[chosen], part[score].values[chosen], table)


WORDS = {
    "trial": "index of the draw in the study, -1 if there is none",
    "valid": "validation score of the draw in the study",
    "test": "score of the draw in the study",
    "scores": "score of the draw with a fresh seed",
    "seeds": "fresh seeds with which the draw has a score",
    "mean": "mean score of the draw over fresh seeds",
    "mean_interval": "t interval of that mean, by the pooled deviation",
    "seed_deviation": "standard deviation over seeds, pooled within draws",
    "seed_deviation_interval": "χ² interval of that deviation",
    "degrees_of_freedom": "Satterthwaite's degrees of freedom of that deviation",
    "draws": "draws, scored with every seed, that it is pooled over",
    "best": "best score in the study among the draws that were trained again",
    "best_trial": "index of the trial that has it, -1 if there is none",
    "best_mean": "mean score of that draw over fresh seeds",
    "best_mean_interval": "t interval of that mean, by the pooled deviation",
    "excess": "by how much the best score is better than that mean",
}
"""Variables of ``reruns`` and what they are."""

COUNTS = {"trial": -1, "seeds": 0, "draws": 0, "best_trial": -1}
"""Those that are whole numbers, and what they are where there is nothing; all others are NaN there."""


def _told(cell: _Cell, confidence: float, *, maximize: bool) -> xarray.Dataset:
    """What is said of one cell, dimensions (draw, seed, bound)."""
    sign = -1.0 if maximize else 1.0
    deviation = seed_deviation(cell.scores, confidence)
    counts = (~numpy.isnan(cell.scores)).sum(1)
    means = mean(cell.scores)
    widths = numpy.array([half_width(deviation, int(count), confidence) for count in counts])
    ends = numpy.stack([means - widths, means + widths], axis=1)
    place = None if numpy.isnan(cell.test).all() else int(numpy.nanargmin(sign * cell.test))
    best = math.nan if place is None else float(cell.test[place])
    best_mean = math.nan if place is None else float(means[place])
    bound = [math.nan, math.nan] if place is None else ends[place]
    made: dict[str, Any] = {
        "trial": ("draw", cell.trial), "valid": ("draw", cell.valid), "test": ("draw", cell.test),
        "scores": (("draw", "seed"), cell.scores), "seeds": ("draw", counts), "mean": ("draw", means),
        "mean_interval": (("draw", "bound"), ends), "seed_deviation": deviation.value,
        "seed_deviation_interval": ("bound", [deviation.low, deviation.high]),
        "degrees_of_freedom": deviation.degrees, "draws": deviation.draws if deviation.seeds > 1 else 0,
        "best": best, "best_trial": -1 if place is None else int(cell.trial[place]), "best_mean": best_mean,
        "best_mean_interval": ("bound", bound), "excess": sign * (best_mean - best),
    }  # fmt: skip
    return xarray.Dataset(made, {"draw": numpy.arange(cell.trial.size)})


def _dataset(
    study: xarray.Dataset, cells: dict[tuple[str, str], _Cell], seeds: list[int], score: str, confidence: float
) -> xarray.Dataset:
    tasks, variants = (study[dim].values.tolist() for dim in CELL)
    options: Any = {"join": "outer", "fill_value": {**dict.fromkeys(WORDS, math.nan), **COUNTS}}
    by_task: list[xarray.Dataset] = []
    for task in tasks:
        told: list[xarray.Dataset] = [
            _told(cells[task, name], confidence, maximize=maximizes(study, task)) for name in variants
        ]
        by_task.append(xarray.concat(told, pandas.Index(variants, name="variant"), **options))
    dataset: xarray.Dataset = xarray.concat(by_task, pandas.Index(tasks, name="task"), **options)
    dataset = dataset.transpose("task", "variant", "draw", "seed", "bound")
    dataset = dataset.assign_coords(seed=("seed", seeds), bound=("bound", ["lower", "upper"]))
    units = dict.fromkeys(study["units"].values.tolist())
    for name, words in WORDS.items():
        plain = name in COUNTS or name == "degrees_of_freedom"
        dataset[name].attrs = {"long_name": words, "units": "1" if plain else ", ".join(units)}
    dataset["draw"].attrs = {"long_name": "rank by validation among the draws that were trained again"}
    dataset.attrs = {
        "title": f"re-runs with fresh seeds, of a study of {PACKAGE}", "score": score, "confidence": confidence,
        "study_seed": int(study.attrs["seed"]), "ceiling": "a re-run worse than chance counts as chance",
    }  # fmt: skip
    return dataset
