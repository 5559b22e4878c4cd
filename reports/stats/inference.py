"""Two samples of selected trials compared, on arrays: Welch, effect sizes, the bootstrap that selects anew.

A cell is judged by the best 10 % of its trials *chosen by validation*. That choice is part of the experiment: had the
trials been drawn again, others would have been chosen. Welch's t-test takes the chosen scores for a plain sample and
so rejects a true null far too often (``tests.tools.calibration`` measures it); a bootstrap that draws all
trials anew and *selects the best 10 % in every replicate* does not. Where all cells had the same draws these are drawn anew
once for all cells, and what the cells share cancels.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from typing import Any, NamedTuple

import numpy
from numpy.typing import ArrayLike, NDArray
from scipy import special

Numbers = NDArray[numpy.float64]

ENOUGH = 10
"""Below this many trials in the best 10 %, differences between cells are no ground for inference."""

LARGEST = 4_000_000
"""Pairs of scores that are compared at once for the replicates of Cliff's delta."""


class Ranked(NamedTuple):
    """The finished trials of one cell on one task, best validation score first; without one, last.

    Attributes:
        trial: index of each in the study [n].
        test: its test score [n], never worse than the chance level; NaN only if neither is known.
        valid: its validation score [n], NaN if it has none.
        k: how many are the best 10 %: at least two, and never more than have a validation score.
    """

    trial: NDArray[numpy.intp]
    test: Numbers
    valid: Numbers
    k: int

    @property
    def best(self) -> Numbers:
        """Test scores of the best 10 %."""
        chosen: Numbers = self.test[: self.k]
        return chosen[~numpy.isnan(chosen)]


class Welch(NamedTuple):
    """Welch's t-test: statistic, degrees of freedom, two-sided p and the interval of the difference of means."""

    t: float
    df: float
    p: float
    interval: tuple[float, float]


def best_count(n: int) -> int:
    """How many of n finished trials are the best 10 %: at least two, as a mean of one is none.

    >>> [best_count(n) for n in (0, 1, 6, 20, 21, 200)]
    [0, 1, 2, 2, 3, 20]
    """
    return min(n, max(2, math.ceil(n / 10)))


def rank(
    valid: ArrayLike, test: ArrayLike, finished: ArrayLike, *, chance: float = math.nan, maximize: bool = False
) -> Ranked:
    """Order the finished trials by validation and set what is worse than chance, or no number, to the chance level.

    Args:
        valid, test: scores [n].
        finished: which trials carry scores [n]; a diverged trial does.
        chance: score of the best constant prediction; NaN if unknown: then nothing is replaced.
        maximize: whether larger scores are better.

    >>> rank([2.0, 1.0, 3.0], [40.0, 7.0, 8.0], [True] * 3, chance=11.0).test.tolist()
    [7.0, 11.0, 8.0]
    """
    sign = -1 if maximize else 1
    scores, tests = numpy.array(valid, float), capped(test, chance, maximize=maximize)
    scores[~numpy.isfinite(scores)] = math.nan
    order = numpy.argsort(sign * scores, kind="stable")
    order = order[numpy.asarray(finished, bool)[order]]
    ranked = scores[order]
    return Ranked(order, tests[order], ranked, min(best_count(order.size), int((~numpy.isnan(ranked)).sum())))


def capped(test: ArrayLike, chance: float, *, maximize: bool = False) -> Numbers:
    """Scores with what is worse than the chance level, or no number, set to it; unchanged numbers where it is unknown.

    >>> capped([9.0, 40.0, float("nan")], 11.0).tolist()
    [9.0, 11.0, 11.0]
    """
    values = numpy.array(test, float)
    values[~numpy.isfinite(values)] = chance
    if math.isnan(chance):
        return values
    bounded: Numbers = numpy.maximum(values, chance) if maximize else numpy.minimum(values, chance)
    return bounded


def welch(one: ArrayLike, other: ArrayLike, confidence: float = 0.95) -> Welch:
    """Welch's t-test of two samples, NaN where a sample has fewer than two scores or neither has any variance."""
    x, y = numpy.asarray(one, float), numpy.asarray(other, float)
    nothing = Welch(math.nan, math.nan, math.nan, (math.nan, math.nan))
    if min(x.size, y.size) < 2 or (numpy.ptp(x) == 0 and numpy.ptp(y) == 0):
        return nothing
    from scipy import stats  # takes a second to import, and a study of one cell compares none

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # scores that hardly differ lose digits, and say so in t
        found: Any = stats.ttest_ind(x, y, equal_var=False)
        interval = found.confidence_interval(confidence)
    if not math.isfinite(found.statistic):
        return nothing
    return Welch(float(found.statistic), float(found.df), float(found.pvalue), (float(interval[0]), float(interval[1])))


def hedges_g(one: ArrayLike, other: ArrayLike, fewest: int = ENOUGH) -> Numbers:
    """Hedges' g along the last axis: difference of means in pooled standard deviations, unbiased for small samples.

    g = J(ν) (x̄ - ȳ) / s, ν = m + n - 2, J(ν) = Γ(ν/2) / (√(ν/2) Γ((ν-1)/2)) (Hedges 1981). NaN in either is left
    out; without variance, or with fewer than ``ENOUGH`` scores on one side, g is NaN: its variance is that of a t with ν
    degrees of freedom, infinite at two scores a side; at ten a side its standard error is still 0.45.
    """
    x, y = numpy.asarray(one, float), numpy.asarray(other, float)
    (m, mean_x, square_x), (n, mean_y, square_y) = _moments(x), _moments(y)
    freedom = m + n - 2
    with numpy.errstate(invalid="ignore", divide="ignore"):
        spread = numpy.sqrt((square_x + square_y) / freedom)
        factor = numpy.exp(special.gammaln(freedom / 2) - special.gammaln((freedom - 1) / 2)) / numpy.sqrt(freedom / 2)
        g = factor * (mean_x - mean_y) / spread
    found: Numbers = numpy.where((numpy.minimum(m, n) >= fewest) & (spread > 0), g, math.nan)
    return found


def cliffs_delta(one: ArrayLike, other: ArrayLike) -> Numbers:
    """Cliff's delta along the last axis: P(x > y) - P(x < y) over all pairs; NaN in either is left out.

    >>> float(cliffs_delta([3.0, 4.0], [1.0, 3.0]))
    0.75
    """
    x, y = numpy.asarray(one, float), numpy.asarray(other, float)
    return mean(numpy.sign(x[..., :, None] - y[..., None, :]).reshape(*x.shape[:-1], -1))


def delta_replicates(one: Numbers, other: Numbers) -> Numbers:
    """Cliff's delta of each pair of replicates [B, k] and [B, l], a chunk at a time."""
    rows = max(1, LARGEST // max(1, one.shape[1] * other.shape[1]))
    chunks = range(0, len(one), rows)
    return numpy.concatenate([cliffs_delta(one[i : i + rows], other[i : i + rows]) for i in chunks])


def stream(seed: int, *names: str) -> numpy.random.Generator:
    """A stream that depends on the seed and on names alone."""
    digest = hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass")).digest()
    return numpy.random.default_rng([seed, *numpy.frombuffer(digest, numpy.uint32).tolist()])


def draw(random: numpy.random.Generator, count: int, replicates: int) -> NDArray[numpy.intp]:
    """Places 0 .. count - 1 drawn with replacement, one row a replicate [replicates, count]."""
    kind = numpy.int16 if count < 2**15 else numpy.int32  # short numbers are sorted several times faster
    places: NDArray[numpy.intp] = random.integers(0, max(count, 1), (replicates, count), kind)
    return places


def reselect(ranked: Ranked, places: NDArray[numpy.intp]) -> Numbers:
    """Test scores of the best 10 % of every replicate [B, k]: the trials drawn anew, then selected anew.

    Args:
        ranked: the trials.
        places: ranks that were drawn [B, m]; the number of trials stands for one this cell has not (a hole where
            draws are common to all cells): it is last in any order, and NaN.
    """
    k = ranked.k
    if k == 0 or places.shape[1] == 0:
        return numpy.full((len(places), 1), math.nan)
    first = numpy.partition(places, k - 1, axis=1)[:, :k] if k < places.shape[1] else places
    found: Numbers = numpy.append(ranked.test, math.nan)[first]
    return found


def corrected(confidence: float, comparisons: int) -> float:
    """The confidence of each of several intervals that hold together with the one given (Bonferroni).

    >>> round(corrected(0.95, 8), 5)
    0.99375
    """
    return 1 - (1 - confidence) / max(1, comparisons)


def percentiles(replicates: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """The percentile interval of bootstrap replicates; NaN if there are none, or if all are the same.

    One trial drawn anew is that trial again, and trials that are all at the chance level stay there: that says nothing of how
    sure the number is.

    >>> percentiles([0.4] * 9)
    (nan, nan)
    """
    values = numpy.asarray(replicates, float)
    values = values[numpy.isfinite(values)]
    if not values.size or numpy.ptp(values) == 0:
        return math.nan, math.nan
    low, high = numpy.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def mean(given: ArrayLike) -> Numbers:
    """Mean along the last axis without what is NaN; NaN if nothing is left."""
    values = numpy.asarray(given, float)
    known = ~numpy.isnan(values)
    with numpy.errstate(invalid="ignore"):
        found: Numbers = numpy.where(known, values, 0).sum(-1) / known.sum(-1)
    return found


def _moments(values: Numbers) -> tuple[NDArray[numpy.intp], Numbers, Numbers]:
    """Count, mean and sum of squared deviations along the last axis, without what is NaN."""
    known, middle = ~numpy.isnan(values), mean(values)
    return known.sum(-1), middle, numpy.where(known, (values - middle[..., None]) ** 2, 0).sum(-1)
