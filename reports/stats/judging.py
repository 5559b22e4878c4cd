"""One cell described, set against another, and judged: the rows a comparison is made of."""

from __future__ import annotations

import math
from typing import Any

import numpy
import xarray

from lstm_odyssey.reports.contract.variables import FINISHED
from lstm_odyssey.reports.stats import inference, stability
from lstm_odyssey.reports.stats.contents import BETTER, CHOSEN, FEW, NOTHING, OPEN, SAME, SELF, WORSE
from lstm_odyssey.reports.stats.inference import ENOUGH, Numbers, Ranked

Side = tuple[Ranked, Numbers]
"""The ranked trials of a cell with one seed, and the best 10 % of every replicate [B, k]."""


def mean_of(values: list[Any]) -> Any:
    """The mean of numbers or arrays without what is NaN; NaN if nothing is left. Of one, itself."""
    if len(values) == 1:
        return values[0]
    found = inference.mean(numpy.stack(values, axis=-1)) if values else numpy.array(math.nan)
    return found if found.ndim else float(found)


def shared(ones: list[Side], others: list[Side]) -> list[tuple[Side, Side]]:
    """Two cells seed by seed, where both have scores."""
    return [(x, y) for x, y in zip(ones, others, strict=True) if x[0].best.size and y[0].best.size]


def averaged(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean over seeds of what each gives; of intervals that of their ends, which is no shorter than that of the mean."""
    if len(rows) == 1:
        return rows[0]
    return {name: mean_of([numpy.asarray(row[name], float) for row in rows]) for name in rows[0]}


def reselection(
    cells: list[dict[str, Ranked]], task: str, of: dict[str, str], seed: int, replicates: int
) -> list[dict[str, Numbers]]:
    """The best 10 % of every replicate, by seed and cell; cells that ``of`` calls alike draw the same trials, in all seeds."""
    found: list[dict[str, Numbers]] = [{} for _ in cells]
    for name in dict.fromkeys(of.values()):
        those = [cell for cell in cells[0] if of[cell] == name]
        random = inference.stream(seed, task, *filter(None, [name]))
        if len(cells) == 1 and name == those[0] and len(those) == 1:  # draws of its own: by rank
            places = inference.draw(random, cells[0][name].trial.size, replicates)
            found[0][name] = inference.reselect(cells[0][name], places)
            continue
        run = numpy.unique(numpy.concatenate([part[cell].trial for part in cells for cell in those]))
        places = inference.draw(random, run.size, replicates)
        for part, made in zip(cells, found, strict=True):
            for cell in those:
                one = part[cell]
                place = numpy.full(run.size, one.trial.size)
                place[numpy.searchsorted(run, one.trial)] = numpy.arange(one.trial.size)
                made[cell] = inference.reselect(one, place[places])
    return found


def enough(sides: list[Side]) -> bool:
    """Whether a cell has trials enough for a verdict: ten in the best tenth of every seed that has trials."""
    return min([one.k for one, _ in sides if one.trial.size], default=0) >= ENOUGH


def tested(compared: list[str], sides: dict[str, list[Side]], basis: list[Side] | None) -> list[str]:
    """The compared cells that are judged, whose number the corrected intervals of these allow for.

    One with too few trials for a verdict is not tested and widens no other's interval: how many trials there are does not
    hang on their scores. Its own interval allows for all compared cells, as if all were judged.
    """
    return [name for name in compared if enough(sides[name]) and enough(basis or [])]


def described(
    part: xarray.Dataset, row: dict[str, Any], sides: list[Side], confidence: float, *, maximize: bool
) -> dict[str, Any]:
    """What is said of one cell on one task by itself: ``row`` is that of the table, ``part`` the study at both."""
    raw, chance = part["best_test"].values, row["chance"]
    finished = numpy.isin(part["status"].values, FINISHED)
    known = 0 if math.isnan(chance) else row["finished"]
    shares = {"divergence": (row["diverged"], row["finished"]), "instability": (row["unstable"], known)}
    worse = inference.capped(raw, chance, maximize=maximize)
    best = numpy.concatenate([one.best for one, _ in sides])
    found = row | {
        "worse_than_chance": int((finished & ~(raw == worse)).sum()),
        "enough": enough(sides),
        "mean_test_interval": inference.percentiles(
            mean_of([inference.mean(selected) for _, selected in sides]), confidence
        ),
        "std_test": float(best.std(ddof=1)) if best.size > 1 else math.nan,
        "hours": _median(part["seconds"].values[finished]) / 3600,
    }
    for name, (number, total) in shares.items():
        found[name], *bounds = stability.proportion(number, total, confidence)
        found[f"{name}_interval"] = bounds
    return found


def differences(pairs: list[tuple[Side, Side]]) -> Numbers:
    """The difference of the best tenths of two cells in every replicate [B]: its mean over the seeds."""
    found: Numbers = mean_of([inference.mean(one[1]) - inference.mean(other[1]) for one, other in pairs])
    return found


def against(ones: list[Side], others: list[Side] | None, confidence: float, comparisons: int) -> dict[str, Any]:
    """What is said of one cell beside another; all NaN without one, or where either has no score.

    Args:
        ones, others: a cell and the baseline, seed by seed. A difference is the mean over the seeds.
        confidence: of each interval.
        comparisons: which the corrected interval allows for.
    """
    nothing = math.nan, math.nan
    pairs = shared(ones, others or []) if others else []
    if not pairs:
        names = ("difference", "differs_by_less_than", "welch_t", "welch_df", "welch_p", "hedges_g", "cliffs_delta")
        intervals = ("difference", "difference_corrected", "welch", "hedges_g", "cliffs_delta")
        return dict.fromkeys(names, math.nan) | {f"{name}_interval": nothing for name in intervals}
    x, y = (numpy.concatenate([pair[side][0].best for pair in pairs]) for side in (0, 1))
    drawn_x, drawn_y = (numpy.concatenate([pair[side][1] for pair in pairs], axis=1) for side in (0, 1))
    tested = inference.welch(x, y, confidence)
    replicates = differences(pairs)
    bounds = inference.percentiles(replicates, inference.corrected(confidence, comparisons))
    return {
        "difference": mean_of([float(one[0].best.mean() - other[0].best.mean()) for one, other in pairs]),
        "difference_interval": inference.percentiles(replicates, confidence),
        "difference_corrected_interval": bounds,
        "differs_by_less_than": max(map(abs, bounds)),
        **{f"welch_{name}": value for name, value in tested._asdict().items()},
        "hedges_g": float(inference.hedges_g(x, y)),
        "hedges_g_interval": inference.percentiles(inference.hedges_g(drawn_x, drawn_y), confidence),
        "cliffs_delta": float(inference.cliffs_delta(x, y)),
        "cliffs_delta_interval": inference.percentiles(inference.delta_replicates(drawn_x, drawn_y), confidence),
    }


def judge(interval: tuple[float, float], *, maximize: bool = False) -> str:
    """A verdict from the interval of the difference of a cell's scores to the baseline's.

    >>> judge((0.1, 0.3)), judge((0.1, 0.3), maximize=True), judge((-0.1, 0.3))
    ('worse', 'better', 'open')
    >>> judge((math.nan, math.nan))
    'open'
    """
    low, high = interval
    if not (low > 0 or high < 0):  # so of an interval that is none
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
