"""One cell described, set against another, and judged: the rows a comparison is made of."""

from __future__ import annotations

import math
from typing import Any

import numpy
import xarray

from lstm_odyssey.reports.stats import inference, stability
from lstm_odyssey.reports.stats.contents import BETTER, CHOSEN, FEW, NOTHING, OPEN, SAME, SELF, WORSE
from lstm_odyssey.reports.stats.inference import Numbers, Ranked
from lstm_odyssey.reports.stats.table import ENOUGH, labelled, summarise

Cell = tuple[Ranked, Numbers]
"""The ranked trials of a cell, and the best 10 % of every replicate [B, k]."""


def described(
    part: xarray.Dataset, ranked: Ranked, selected: Numbers, chance: float, confidence: float, *, maximize: bool
) -> dict[str, Any]:
    """What is said of one cell on one task by itself; ``part`` is the study at both."""
    arrays = {name: part[name].values for name in ("status", "best_valid", "n_parameters", "unstable")}
    raw = part["best_test"].values.astype(float)
    test = numpy.where(numpy.isfinite(raw), raw, math.nan)
    row = summarise(**arrays, best_test=test, chance=chance, maximize=maximize)
    kept = ("trials", "finished", "diverged", "unstable", "failed", "missing", "best_trial", "n_parameters")
    best = ranked.best
    raw = raw[ranked.trial]
    share, *bounds = stability.proportion(row["diverged"], row["finished"], confidence)
    known = 0 if math.isnan(chance) else row["finished"]
    instability, *instability_bounds = stability.proportion(row["unstable"], known, confidence)
    row["best_trial"] = labelled(part, row["best_trial"])
    return {name: row[name] for name in kept} | {
        "worse_than_chance": int((~numpy.isfinite(raw) | (raw != ranked.test)).sum()),
        "selected": ranked.k,
        "enough": ranked.k >= ENOUGH,
        "mean_test": row["mean_test"],
        "best_test": row["best_test"],
        "mean_test_interval": inference.percentiles(inference.replicate_means(selected), confidence),
        "std_test": float(best.std(ddof=1)) if best.size > 1 else math.nan,
        "chosen_test": row["chosen_test"],
        "mean_parameters": row["mean_parameters"],
        "hours": _median(part["seconds"].values[ranked.trial]) / 3600,
        "divergence": share,
        "divergence_interval": bounds,
        "instability": instability,
        "instability_interval": instability_bounds,
    }


def against(one: Cell, other: Cell | None, confidence: float, comparisons: int) -> dict[str, Any]:
    """What is said of one cell beside another; all NaN without one, or where either has no score.

    Args:
        one, other: a cell and the baseline.
        confidence: of each interval.
        comparisons: of the task, which the corrected interval allows for.
    """
    nothing = math.nan, math.nan
    if other is None or not one[0].best.size or not other[0].best.size:
        names = ("difference", "differs_by_less_than", "welch_t", "welch_df", "welch_p", "hedges_g", "cliffs_delta")
        intervals = ("difference", "difference_corrected", "welch", "hedges_g", "cliffs_delta")
        return dict.fromkeys(names, math.nan) | {f"{name}_interval": nothing for name in intervals}
    x, y = one[0].best, other[0].best
    tested = inference.welch(x, y, confidence)
    differences = inference.replicate_means(one[1]) - inference.replicate_means(other[1])
    bounds = inference.percentiles(differences, inference.corrected(confidence, comparisons))
    return {
        "difference": float(x.mean() - y.mean()),
        "difference_interval": inference.percentiles(differences, confidence),
        "difference_corrected_interval": bounds,
        "differs_by_less_than": max(map(abs, bounds)),
        "welch_t": tested.t,
        "welch_df": tested.df,
        "welch_p": tested.p,
        "welch_interval": tested.interval,
        "hedges_g": float(inference.hedges_g(x, y)),
        "hedges_g_interval": inference.percentiles(inference.hedges_g(one[1], other[1]), confidence),
        "cliffs_delta": float(inference.cliffs_delta(x, y)),
        "cliffs_delta_interval": inference.percentiles(inference.delta_replicates(one[1], other[1]), confidence),
    }


def judge(interval: tuple[float, float], *, maximize: bool = False) -> str:
    """A verdict from the interval of the difference of a cell's scores to the baseline's.

    >>> judge((0.1, 0.3)), judge((0.1, 0.3), maximize=True), judge((-0.1, 0.3))
    ('worse', 'better', 'open')
    """
    low, high = interval
    if low <= 0 <= high:
        return OPEN
    return BETTER if (low > 0) == maximize else WORSE


def judge_by_welch(p: float, difference: float, level: float, *, maximize: bool = False) -> str:
    """The paper's verdict, from a p-value and the difference.

    >>> judge_by_welch(0.01, 0.3, 0.05), judge_by_welch(0.01, 0.3, 0.05, maximize=True), judge_by_welch(0.2, 0.3, 0.05)
    ('worse', 'better', 'not different')
    """
    if math.isnan(p) or p >= level:
        return SAME
    return BETTER if (difference > 0) == maximize else WORSE


def judged(rows: list[dict[str, Any]], level: float, *, chosen: bool, maximize: bool) -> None:
    """Complete the rows of one task with what takes all of them: the verdicts and the Pareto front.

    Args:
        rows: of the task's cells. level: of Welch's test.
        chosen: whether the trials are the rows of a file: they are no sample of a search, and nothing is judged by them.
        maximize: whether larger scores are better.
    """
    basis = [row for row in rows if row["is_baseline"]]
    for row in rows:
        said = {
            "verdict": judge(row["difference_corrected_interval"], maximize=maximize),
            "verdict_welch": judge_by_welch(row["welch_p"], row["difference"], level, maximize=maximize),
        }
        if row["is_baseline"] or math.isnan(row["difference"]):
            said = dict.fromkeys(said, SELF if row["is_baseline"] else NOTHING)
        elif chosen:
            said = dict.fromkeys(said, CHOSEN)
        elif not all(one["enough"] for one in (row, *basis)):
            said = dict.fromkeys(said, FEW)
        row |= said
    sign = -1 if maximize else 1
    front = pareto([sign * row["mean_test"] for row in rows], [row["epoch_cost"] for row in rows])
    for row, on_front in zip(rows, front, strict=True):
        row["pareto"] = on_front


def pareto(*costs: list[float]) -> list[bool]:
    """Which points no other is as good as in every cost and better than in one; a point with a NaN is on no front.

    >>> pareto([1, 2, 3, 2], [3, 2, 1, 3])
    [True, True, True, False]
    """
    points = numpy.array(costs, float).T
    known = ~numpy.isnan(points).any(axis=1)
    as_good = (points[:, None] <= points[None]).all(axis=2)
    better = (points[:, None] < points[None]).any(axis=2)
    beaten = (as_good & better & known[:, None]).any(axis=0)
    return [bool(one) for one in known & ~beaten]


def _median(values: Numbers) -> float:
    values = values[numpy.isfinite(values)]
    return float(numpy.median(values)) if values.size else math.nan
