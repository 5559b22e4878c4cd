"""One cell described, set against another, and judged: the rows a comparison is made of."""

from __future__ import annotations

import math
from typing import Any

import numpy
import xarray

from lstm_odyssey.reports import inference
from lstm_odyssey.reports.contents import BETTER, FEW, NOTHING, SAME, SELF, WORSE
from lstm_odyssey.reports.inference import Numbers, Ranked
from lstm_odyssey.reports.table import ENOUGH, labelled, summarise

Cell = tuple[Ranked, Numbers]
"""The ranked trials of a cell, and the best 10 % of every replicate [B, k]."""


def described(
    part: xarray.Dataset, ranked: Ranked, selected: Numbers, chance: float, confidence: float, *, maximize: bool
) -> dict[str, Any]:
    """What is said of one cell on one task by itself; ``part`` is the study at both."""
    arrays = {name: part[name].values for name in ("status", "best_valid", "n_parameters", "frames_per_second")}
    raw = part["best_test"].values.astype(float)
    test = numpy.where(numpy.isfinite(raw), raw, math.nan)
    row = summarise(**arrays, best_test=test, chance=chance, maximize=maximize)
    kept = ("trials", "finished", "diverged", "failed", "missing", "best_trial", "n_parameters")
    best, chosen = ranked.best, ranked.trial[: ranked.k]
    raw = raw[ranked.trial]
    share, low, high = inference.proportion(row["diverged"], row["finished"], confidence)
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
        "frames_per_second": _median(arrays["frames_per_second"][chosen]),
        "hours": _median(part["seconds"].values[ranked.trial]) / 3600,
        "divergence": share,
        "divergence_interval": (low, high),
    }


def against(one: Cell, other: Cell | None, confidence: float) -> dict[str, Any]:
    """What is said of one cell beside another; all NaN without one, or where either has no score."""
    nothing = math.nan, math.nan
    if other is None or not one[0].best.size or not other[0].best.size:
        names = ("difference", "welch_t", "welch_df", "welch_p", "hedges_g", "cliffs_delta", "bootstrap_p")
        intervals = ("difference_interval", "welch_interval", "hedges_g_interval", "cliffs_delta_interval")
        return dict.fromkeys(names, math.nan) | dict.fromkeys(intervals, nothing)
    x, y = one[0].best, other[0].best
    tested = inference.welch(x, y, confidence)
    differences = inference.replicate_means(one[1]) - inference.replicate_means(other[1])
    return {
        "difference": float(x.mean() - y.mean()),
        "difference_interval": inference.percentiles(differences, confidence),
        "welch_t": tested.t,
        "welch_df": tested.df,
        "welch_p": tested.p,
        "welch_interval": tested.interval,
        "hedges_g": float(inference.hedges_g(x, y)),
        "hedges_g_interval": inference.percentiles(inference.hedges_g(one[1], other[1]), confidence),
        "cliffs_delta": float(inference.cliffs_delta(x, y)),
        "cliffs_delta_interval": inference.percentiles(inference.delta_replicates(one[1], other[1]), confidence),
        "bootstrap_p": inference.bootstrap_p(differences),
    }


def judge(p: float, difference: float, level: float, *, maximize: bool = False) -> str:
    """A verdict from a p-value and the difference of a cell's scores to the baseline's.

    >>> judge(0.01, 0.3, 0.05), judge(0.01, 0.3, 0.05, maximize=True), judge(0.2, 0.3, 0.05)
    ('worse', 'better', 'not different')
    """
    if math.isnan(difference):
        return NOTHING
    if math.isnan(p) or p >= level:
        return SAME
    return BETTER if (difference > 0) == maximize else WORSE


def judged(rows: list[dict[str, Any]], level: float, *, maximize: bool) -> None:
    """Complete the rows of one task with what takes all of them: Holm, the verdicts, the Pareto front."""
    for name in ("welch_p", "bootstrap_p"):
        for row, p in zip(rows, inference.holm([row[name] for row in rows]), strict=True):
            row[f"{name}_holm"] = float(p)
    basis = [row for row in rows if row["is_baseline"]]
    for row in rows:
        few = not all(one["enough"] for one in (row, *basis))
        for name, p in (("verdict", "bootstrap_p_holm"), ("verdict_welch", "welch_p")):
            said = judge(row[p], row["difference"], level, maximize=maximize)
            row[name] = SELF if row["is_baseline"] else FEW if few and said != NOTHING else said
    sign = -1 if maximize else 1
    front = pareto([sign * row["mean_test"] for row in rows], [-row["frames_per_second"] for row in rows])
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
