"""The paper's best score beside a study's: one number of one search, judged by how much that number varies."""

from __future__ import annotations

from typing import NamedTuple

import numpy
import xarray

from lstm_odyssey.reports.claims import AGREES, DIFFERS, PARTLY, RECALLED, UNDECIDED, Reported, Row
from lstm_odyssey.reports.compare import ranking, reselection
from lstm_odyssey.reports.inference import Ranked
from lstm_odyssey.reports.table import best_fraction, maximizes, score
from lstm_odyssey.reports.validation import attribute
from lstm_odyssey.reports.variables import FINISHED

CLOSE = 0.01
"""Relative difference up to which a best score that differs by more than a search varies agrees in part."""

NEAR = 2.0
"""Standard deviations within which a best score agrees."""

REPLICATED = 200
"""Trials of each cell on each task in the paper."""

PER_SEQUENCE = "best_test_per_sequence"


class Best(NamedTuple):
    """The best score of a search of all cells.

    Attributes:
        score: the best among the best 10 % by validation of every cell; NaN if there is none.
        cell: whose it is.
        spread: its standard deviation over bootstrap replicates of the whole search.
    """

    score: float
    cell: str
    spread: float

    def deviations(self, other: float) -> float:
        """How many standard deviations another score is away."""
        apart = abs(self.score - other)
        return apart / self.spread if self.spread > 0 else numpy.inf if apart > 0 else 0.0


def found(study: xarray.Dataset, part: xarray.Dataset, name: str = "best_test") -> Best:
    """The best score of a search, and how much the best of another such search would differ.

    Every replicate draws the trials of all cells anew, selects each cell's best 10 % by validation anew, and takes the best
    score of these: what is compared with the paper, not the score of the trial that validation chooses. No replicate is
    better than the best that was seen; the spread is that of what lies behind it.

    Args:
        study: the study.
        part: what ``compare`` says of it on one task; its seed and number of replicates are taken.
        name: the score, ``best_test`` or ``best_test_per_sequence``.
    """
    task, sign = str(part["task"].item()), _sign(part)
    cells = _ranked(study, part, name)
    scores = {variant: sign * float((sign * one.best).min()) for variant, one in cells.items() if one.best.size}
    if not scores:
        return Best(numpy.nan, "", numpy.nan)
    cell = min(scores, key=lambda variant: sign * scores[variant])
    seed, count, paired = int(part.attrs["seed"]), int(part.attrs["replicates"]), part.attrs["resampling"] == "paired"
    drawn = (reselection(cells, task, variant, seed, count, paired=paired) for variant in scores)
    bests = numpy.fmin.reduce([numpy.fmin.reduce(sign * selected, axis=1) for selected in drawn])
    known = bests[~numpy.isnan(bests)]
    return Best(scores[cell], cell, float(known.std()) if known.size else numpy.nan)


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


def best(study: xarray.Dataset, part: xarray.Dataset, reported: Reported) -> Row:
    """The best score of all cells beside the paper's.

    Within two standard deviations of the best score of such a search it agrees. Beyond, it agrees in part up to a hundredth
    of the score and else differs; the note calls it open, unless there were fewer trials than the paper's and it is worse.

    Args:
        study: the study.
        part: what ``compare`` says of it on one task.
        reported: what the paper reports of that task.
    """
    task, units = str(part["task"].item()), str(part["units"].item())
    said = f"{score(reported.best)} {units}, {reported.cell}"
    ours = found(study, part)
    if numpy.isnan(ours.score):
        return Row(task, "best score", said, "no score yet", UNDECIDED, "", RECALLED)
    worse = _sign(part) * (ours.score - reported.best) > 0
    apart, away = abs(ours.score - reported.best), ours.deviations(reported.best)
    near, known = away <= NEAR, int(part["finished"].min())
    verdict = AGREES if near else PARTLY if apart <= CLOSE * abs(reported.best) else DIFFERS
    note = f"{apart:.2g} {units} ({100 * apart / abs(reported.best):.1f} %) {'worse' if worse else 'better'}, {_times(away)} "
    note += (
        f"standard deviations of the best score of one such search ({ours.spread:.2g}, a bootstrap that selects anew)"
    )
    if known < REPLICATED:
        note += f"; {known} trials of a cell where the paper ran {REPLICATED}"
        verdict = UNDECIDED if verdict == DIFFERS and worse else verdict
    if not near and (known >= REPLICATED or not worse):
        note = f"open: {note}"
    note += _other_mean(study, part, ours, reported) + _limit(study, task, ours.cell)
    return Row(task, "best score", said, f"{score(ours.score)} {units}, {ours.cell}", verdict, note, RECALLED)


def _times(deviations: float) -> str:
    return f"{deviations:.1f}" if deviations < 1000 else "many"


def _other_mean(study: xarray.Dataset, part: xarray.Dataset, ours: Best, reported: Reported) -> str:
    """The best score as a mean over sequences, where it differs from the mean over frames."""
    other = found(study, part, PER_SEQUENCE)
    if numpy.isnan(other.score) or score(other.score) == score(ours.score):
        return ""
    beside = ""
    if other.cell != ours.cell:
        sign, same = _sign(part), _ranked(study, part, PER_SEQUENCE)[ours.cell].best
        beside = f"; {ours.cell} {sign * (sign * same).min():.3f}" if same.size else ""
    return (
        f"; as a mean over sequences, which the paper may have meant, {other.score:.3f} ({other.cell}{beside}), "
        f"{_times(other.deviations(reported.best))} of its own away"
    )


def _limit(study: xarray.Dataset, task: str, cell: str) -> str:
    """How many of the cell's best trials were stopped by the limit of epochs."""
    limit = attribute(study, "protocol").get("epochs")
    part = study.sel(task=task, variant=cell)
    ended = numpy.isin(part["status"].values, FINISHED)
    chosen = best_fraction(part["best_valid"].values, ended, maximize=maximizes(study, task))
    stopped = int((part["epochs"].values[chosen] == limit).sum()) if limit else 0
    return f"; {stopped} of its best {chosen.size} trials ended at the limit of {limit} epochs" if stopped else ""
