"""The score a search may expect after n trials, or after t hours: what a cell gives for a budget.

After Dodge et al., 'Show Your Work: Improved Reporting of Experimental Results' (EMNLP 2019), with one step more: a
search takes the trial that is best by *validation* and is scored on the *test* set, so that the expectation is over
which trial gets chosen. With ranks i = 1 .. N by validation, i = 1 the best:

    with replacement       P(i | n) = ((N-i+1)/N)^n - ((N-i)/N)^n
    without replacement    P(i | n) = C(N-i, n-1) / C(N, n)

With replacement estimates what a *new* search of n trials gives; without, what n of *these* N trials give: n = 1 is the
mean in both, and n = N without replacement is the one trial that validation chooses.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

from lstm_odyssey.reports.stats.inference import Numbers, Ranked

REPLICATES = 999
"""Bootstrap replicates of a curve's band."""

OUTER, INNER = 200, 50
"""Bootstrap replicates of the curve over hours, and searches simulated in each."""

SEARCHES = 4000
"""Searches simulated for the curve over hours itself: 0.4 of those for its interval."""

TENTH = 10
"""An interval is given up to one part in so many of the trials, or of their time."""

MOST = 400
"""Points of the axis of trials; with more trials it is spaced geometrically."""


class Curve(NamedTuple):
    """A curve over budgets [n]: expectation, standard deviation of the outcome of one search, interval [n, 2].

    The interval is the bootstrap's for the *expectation*; the standard deviation is what one search differs by.
    """

    mean: Numbers
    std: Numbers
    interval: Numbers


def budgets(trials: int) -> NDArray[numpy.int64]:
    """Numbers of trials at which a curve is given: all of them, or a geometric choice of at most ``MOST``."""
    if trials <= MOST:
        return numpy.arange(1, max(trials, 1) + 1, dtype=numpy.int64)
    spaced = numpy.geomspace(1, trials, MOST)
    return numpy.unique(numpy.round(spaced).astype(numpy.int64))


def chances(count: int, trials: NDArray[numpy.int64], *, replacement: bool) -> Numbers:
    """Probability [count, n] that the trial of each rank is the one chosen after so many trials.

    >>> chances(3, budgets(3), replacement=False).round(3).tolist()
    [[0.333, 0.667, 1.0], [0.333, 0.333, 0.0], [0.333, 0.0, 0.0]]
    """
    worse = numpy.arange(count, -1, -1.0)[:, None]  # trials at or behind each rank: N .. 0
    if replacement:
        none_better = (worse / count) ** trials
    else:
        steps = numpy.maximum(worse[:-1] - trials, 0) / worse[:-1]
        none_better = numpy.vstack([numpy.ones(trials.size), numpy.cumprod(steps, axis=0)])
    found: Numbers = none_better[:-1] - none_better[1:]
    found[:, trials > count] = math.nan  # no statement beyond the trials there are
    return found


def after_trials(
    ranked: Ranked,
    trials: NDArray[numpy.int64],
    random: numpy.random.Generator,
    *,
    replacement: bool,
    confidence: float = 0.95,
    replicates: int = REPLICATES,
) -> Curve:
    """The expected test score of the trial that validation chooses among n.

    The interval is NaN beyond a tenth of the scored trials, where what hangs on the best few of them makes it too short.
    Trials with equal validation scores are chosen with equal chance. NaN beyond the number of scored trials.
    """
    scored = ~numpy.isnan(ranked.test)
    test, valid = ranked.test[scored], ranked.valid[scored]
    nothing = numpy.full(trials.size, math.nan)
    if not test.size:
        return Curve(nothing, nothing, numpy.full((trials.size, 2), math.nan))
    share = chances(test.size, trials, replacement=replacement)
    fair, square = level(test, valid), level(test**2, valid)
    mean = fair @ share
    variance = numpy.maximum(square @ share - mean**2, 0)
    # Differences to the mean lose no digits where all scores are alike.
    variance = numpy.where(numpy.ptp(test) == 0, 0, variance)
    drawn = numpy.sort(random.integers(0, test.size, (replicates, test.size)), axis=1)
    bounds = numpy.quantile(fair[drawn] @ share, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    bounds[:, trials > test.size / TENTH] = math.nan
    return Curve(mean, numpy.sqrt(variance), numpy.moveaxis(bounds, 0, -1))


def after_hours(
    ranked: Ranked,
    hours: Numbers,
    grid: Numbers,
    random: numpy.random.Generator,
    *,
    chance: float = math.nan,
    confidence: float = 0.95,
) -> Curve:
    """The expected test score of the trial that validation chooses among those finished after so many hours.

    Searches are simulated: trials are drawn with replacement, one after the other, each taking the time it took.
    Before the first is finished a search has the constant prediction and its score, the chance level (NaN if
    unknown). The interval is a bootstrap over the trials, freed of the part that the finite number of simulated
    searches adds, and NaN beyond a tenth of the time that all trials took together, as in ``after_trials``. All is NaN
    beyond the whole of it.

    Args:
        ranked: the trials.
        hours: the time each took [n], in the order of ``ranked``; a trial without a time is left out.
        grid: budgets [m] in hours.
        random: generator.
        chance: score before the first trial is finished.
        confidence: of the interval.
    """
    with numpy.errstate(invalid="ignore"):
        timed = ~numpy.isnan(ranked.test) & numpy.isfinite(hours) & (hours > 0)
    test, valid, took = ranked.test[timed], ranked.valid[timed], hours[timed]
    nothing = numpy.full(grid.size, math.nan)
    if not test.size:
        return Curve(nothing, nothing, numpy.full((grid.size, 2), math.nan))
    reached = grid <= took.sum() * (1 + 1e-12)
    outcome = numpy.append(level(test, valid), chance)
    everyone = numpy.arange(test.size)
    ends = _search(everyone, took, grid, SEARCHES, random)
    mean, std = outcome[ends].mean(axis=0), outcome[ends].std(axis=0)
    std[numpy.ptp(outcome[ends], axis=0) == 0] = 0  # not the rounding of a mean
    means, noises = numpy.empty((OUTER, grid.size)), numpy.empty((OUTER, grid.size))
    for replicate in range(OUTER):
        scores = outcome[_search(random.integers(0, test.size, test.size), took, grid, INNER, random)]
        means[replicate], noises[replicate] = scores.mean(axis=0), scores.var(axis=0, ddof=1) / INNER
    with numpy.errstate(invalid="ignore", divide="ignore"):
        kept = numpy.sqrt(numpy.clip(1 - noises.mean(axis=0) / means.var(axis=0, ddof=1), 0, 1))
    centre = means.mean(axis=0)
    means = centre + numpy.nan_to_num(kept) * (means - centre)
    bounds = numpy.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    interval = numpy.moveaxis(bounds, 0, -1)
    return Curve(
        numpy.where(reached, mean, math.nan),
        numpy.where(reached, std, math.nan),
        numpy.where((grid <= took.sum() / TENTH)[:, None], interval, math.nan),
    )


def _search(
    sample: NDArray[numpy.intp], took: Numbers, grid: Numbers, searches: int, random: numpy.random.Generator
) -> NDArray[numpy.intp]:
    """Rank of the trial each simulated search holds at each budget [searches, m]; N before the first is finished."""
    count = took.size
    drawn = sample[random.integers(0, sample.size, (searches, count))]
    ends = numpy.cumsum(took[drawn], axis=1)
    held = numpy.minimum.accumulate(drawn, axis=1)
    # One sorted array for all searches: each lies beyond the end of the one before.
    apart = numpy.arange(searches)[:, None] * (ends[:, -1].max() + grid[-1] + 1)
    finished = (
        numpy.searchsorted((ends + apart).ravel(), grid + apart, side="right") - numpy.arange(searches)[:, None] * count
    )
    padded = numpy.hstack([numpy.full((searches, 1), count), held])
    found: NDArray[numpy.intp] = numpy.take_along_axis(padded, numpy.clip(finished, 0, count), axis=1)
    return found


def level(values: Numbers, valid: Numbers) -> Numbers:
    """Values with their mean in place of each, among trials of equal validation score (or without any)."""
    same = (valid[1:] == valid[:-1]) | (numpy.isnan(valid[1:]) & numpy.isnan(valid[:-1]))
    group = numpy.append(0, numpy.cumsum(~same))
    sums = numpy.bincount(group, weights=values) / numpy.bincount(group)
    fair: Numbers = sums[group]
    return fair
