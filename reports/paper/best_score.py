"""The paper's best score beside a study's: one number of one search, which only trials run again can judge."""

from __future__ import annotations

from typing import NamedTuple

import numpy
import xarray

from lstm_odyssey.reports.contract.validation import attribute
from lstm_odyssey.reports.paper.claims import AGREES, DIFFERS, RECALLED, UNDECIDED, Reported, Row
from lstm_odyssey.reports.stats.inference import Ranked
from lstm_odyssey.reports.stats.table import ranking, score

NEAR = 2.0
"""Standard deviations of a trial's seed within which a best score agrees with what its trial scores when run again."""

REPLICATED = 200
"""Trials of each cell on each task in the paper."""

PER_SEQUENCE = "best_test_per_sequence"


class Best(NamedTuple):
    """The best score of a search of all cells: the score, NaN if there is none, whose it is, and the trial's index."""

    score: float
    cell: str
    trial: int


def found(study: xarray.Dataset, part: xarray.Dataset, name: str = "best_test") -> Best:
    """The best score of a search, ``best_test`` or another one: the best among the best 10 % by validation of every cell.

    It is picked by the test score, so it flatters; how much it owes to the luck of its weights a bootstrap cannot tell, as two
    of three replicates hold the very same trial. The same draws trained again with fresh seeds can.
    """
    sign, cells = _sign(part), _ranked(study, part, name)
    bests = []
    for variant, one in cells.items():
        if one.best.size:
            chosen = sign * one.test[: one.k]
            place = int(numpy.nanargmin(chosen))
            bests.append((float(chosen[place]), variant, int(one.trial[place])))
    if not bests:
        return Best(numpy.nan, "", -1)
    least, cell, trial = min(bests)
    return Best(sign * least, cell, trial)


def _sign(part: xarray.Dataset) -> int:
    """What turns a score into one of which less is better."""
    return -1 if str(part["direction"].item()) == "maximize" else 1


def _ranked(study: xarray.Dataset, part: xarray.Dataset, name: str) -> dict[str, Ranked]:
    """The trials of every cell, ranked by validation, with the named score of each."""
    task = str(part["task"].item())
    cells = {variant: ranking(study, task, variant) for variant in part["variant"].values.tolist()}
    if name == "best_test":  # already there, never worse than chance
        return cells
    values = study[name].sel(task=task)
    return {variant: one._replace(test=values.sel(variant=variant).values[one.trial]) for variant, one in cells.items()}


def best(study: xarray.Dataset, part: xarray.Dataset, reported: Reported, again: xarray.Dataset | None = None) -> Row:
    """The best score of all cells beside the paper's.

    Without trials run again it is not decided. With them, what the best trial scores on average with fresh seeds is judged:
    within two standard deviations of the seed the paper's score agrees, beyond it differs.

    Args:
        study: the study.
        part: what ``compare`` says of it on one task.
        reported: what the paper reports of that task.
        again: what the study's draws scored when they were trained again with fresh seeds: over (task, variant, draw) ``trial``
            and ``mean``, over (task, variant) ``seed_deviation``.
    """
    task, units = str(part["task"].item()), str(part["units"].item())
    said = f"{score(reported.best)} {units}, {reported.cell}"
    ours = found(study, part)
    if numpy.isnan(ours.score):
        return Row(task, "best score", said, "no score yet", UNDECIDED, "", RECALLED)
    worse = _sign(part) * (ours.score - reported.best) > 0
    apart, known = abs(ours.score - reported.best), int(part["finished"].min())
    note = f"{apart:.2g} {units} ({100 * apart / abs(reported.best):.1f} %) {'worse' if worse else 'better'}"
    if known < REPLICATED:
        note += f"; {known} trials of a cell where the paper ran {REPLICATED}"
    verdict, told = _by_reruns(again, task, ours, reported, units)
    note += told + _other_mean(study, part, ours) + _limit(study, task, ours.cell)
    return Row(task, "best score", said, f"{score(ours.score)} {units}, {ours.cell}", verdict, note, RECALLED)


def _by_reruns(again: xarray.Dataset | None, task: str, ours: Best, reported: Reported, units: str) -> tuple[str, str]:
    """The verdict by the trials that were trained again, and what they gave."""
    nothing = UNDECIDED, "; one number of one search, picked by its test score: what the seed does to it takes re-runs"
    if again is None or task not in again["task"].values or ours.cell not in again["variant"].values:
        return nothing
    part = again.sel(task=task, variant=ours.cell)
    means, spread = part["mean"].values[part["trial"].values == ours.trial], float(part["seed_deviation"])
    if not means.size:
        return UNDECIDED, f"{nothing[1]}; that draw was not among the re-runs"
    if not numpy.isfinite(means[0]) or not spread > 0:
        return nothing
    away = abs(float(means[0]) - reported.best) / spread
    told = f"; with fresh seeds that draw scores {score(float(means[0]))} on average, standard deviation {spread:.2g} {units}"
    return (AGREES if away <= NEAR else DIFFERS), f"{told}: {away:.1f} of these from the paper's"


def _other_mean(study: xarray.Dataset, part: xarray.Dataset, ours: Best) -> str:
    """The best score as a mean over sequences, where it differs from the mean over frames."""
    other = found(study, part, PER_SEQUENCE)
    if numpy.isnan(other.score) or score(other.score) == score(ours.score):
        return ""
    beside = ""
    if other.cell != ours.cell:
        sign, same = _sign(part), _ranked(study, part, PER_SEQUENCE)[ours.cell].best
        beside = f"; {ours.cell} {sign * (sign * same).min():.3f}" if same.size else ""
    return f"; as a mean over sequences, which the paper may have meant, {other.score:.3f} ({other.cell}{beside})"


def _limit(study: xarray.Dataset, task: str, cell: str) -> str:
    """How many of the cell's best trials were stopped by the limit of epochs."""
    limit = attribute(study, "protocol").get("epochs")
    part = study.sel(task=task, variant=cell)
    one = ranking(study, task, cell)
    stopped = int((part["epochs"].values[one.trial[: one.k]] == limit).sum()) if limit else 0
    return f"; {stopped} of its best {one.k} trials ended at the limit of {limit} epochs" if stopped else ""
