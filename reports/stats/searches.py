"""Two cells as a user meets them: each searched with n draws, and of each the trial kept that validation chooses.

On arrays. A replicate of the bootstrap is a weight for each trial: how often it was drawn. With ranks i = 1 .. N by validation
and T_i the share of the draws that fell on rank i or behind it, a search of n draws chooses rank i with the probability
T_i^n - T_{i+1}^n. Where two cells had the same draws they are searched with the same n draws, and T_ij is the share of the
draws that are at rank i or behind it in one cell and at rank j or behind it in the other.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from lstm_odyssey.reports.stats import inference
from lstm_odyssey.reports.stats.budget import level
from lstm_odyssey.reports.stats.inference import Numbers, Ranked

Places = NDArray[numpy.intp]

DRAWS = 20
"""Of the searches whose winner is foretold."""

FEWER = {"best_of": 5, "better": 10}
"""What the bootstrap's replicates are divided by for the curves and for the probability, which take long. 9,999 leave 999;
with fewer the ends of a 95 % interval rest on a handful."""

LARGEST = 200_000
"""Numbers that are held at once for the replicates of two cells with the same draws. More fit in no cache and are slower."""


class Pair(NamedTuple):
    """Two cells side by side.

    Attributes:
        one, other: their trials that have a test score; where ``paired``, of the draws that both have.
        place: where ``paired``, the rank in ``other`` of each trial of ``one`` [N]; else empty.
        paired: whether trial k of both had the same hyperparameters.
    """

    one: Ranked
    other: Ranked
    place: Places
    paired: bool


def pair(one: Ranked, other: Ranked, *, paired: bool) -> Pair:
    """Two cells side by side, without what has no score, and where they are paired without what only one of them has."""
    one, other = (_at(cell, ~numpy.isnan(cell.test)) for cell in (one, other))
    if not paired:
        return Pair(one, other, numpy.empty(0, numpy.intp), False)
    one, other = _at(one, numpy.isin(one.trial, other.trial)), _at(other, numpy.isin(other.trial, one.trial))
    order = numpy.argsort(other.trial)
    return Pair(one, other, order[numpy.searchsorted(other.trial[order], one.trial)], True)


def weights(found: Pair, random: numpy.random.Generator, replicates: int) -> tuple[Numbers, Numbers]:
    """How often each trial of either cell is drawn in each replicate, as a share [B, N]: the same for both where paired."""
    drawn = [_shares(random, cell.trial.size, replicates) for cell in ((found.one,) if found.paired else found[:2])]
    if not found.paired:
        return drawn[0], drawn[1]
    other = numpy.empty_like(drawn[0])
    other[:, found.place] = drawn[0]
    return drawn[0], other


def best_of(ranked: Ranked, share: Numbers, most: int) -> Numbers:
    """Expected test score of the trial that validation chooses among 1 .. most draws [B, most]; ``share``: of draws [B, N]."""
    tail = numpy.cumsum(share[:, ::-1], axis=1)[:, ::-1]
    # Σ_i y_i (T_i^n - T_{i+1}^n), summed by parts: y_1 + Σ_i (y_i - y_{i-1}) T_i^n
    scores = level(ranked.test, ranked.valid)
    steps, power = numpy.diff(scores), numpy.ones_like(tail[:, 1:])
    found = numpy.empty((len(share), most))
    for n in range(most):
        power *= tail[:, 1:]
        found[:, n] = scores[0] + power @ steps
    return found


def better(found: Pair, share: tuple[Numbers, Numbers], draws: int = DRAWS, *, maximize: bool = False) -> Numbers:
    """Probability that ``one`` scores better than ``other`` in searches of so many draws [B]; a tie counts half."""
    gap = (-1 if maximize else 1) * (found.one.test[:, None] - found.other.test[None])
    wins = (gap < 0) + 0.5 * (gap == 0)
    if not found.paired:
        chosen = [_chosen(part, draws) for part in share]
        probability: Numbers = numpy.einsum("bi,ij,bj->b", chosen[0], wins, chosen[1], optimize=True)
        return probability
    count, rows = found.place.size, max(1, LARGEST // max(1, found.place.size**2))
    # Σ w_ij (T_ij^n - T_{i+1,j}^n - T_{i,j+1}^n + T_{i+1,j+1}^n), summed by parts; all from the last rank on, where T begins
    steps = numpy.diff(numpy.diff(numpy.pad(wins, ((1, 0), (1, 0))), axis=0), axis=1)[::-1, ::-1]
    parts = []
    for start in range(0, len(share[0]), rows):
        part = share[0][start : start + rows]
        behind = numpy.zeros((len(part), count, count))
        behind[:, count - 1 - numpy.arange(count), count - 1 - found.place] = part
        numpy.cumsum(behind, axis=1, out=behind)
        numpy.cumsum(behind, axis=2, out=behind)
        parts.append(numpy.einsum("bij,ij->b", _power(behind, draws), steps))
    return numpy.concatenate(parts)


def observed(found: Pair) -> tuple[Numbers, Numbers]:
    """The shares of the draws as they were: each trial once [1, N]."""
    one, other = (numpy.full((1, cell.trial.size), 1 / max(1, cell.trial.size)) for cell in found[:2])
    return one, other


def compared(
    one: Ranked,
    other: Ranked | None,
    random: numpy.random.Generator,
    replicates: int,
    *,
    paired: bool,
    most: int,
    confidence: float,
    maximize: bool,
) -> dict[str, Any]:
    """What is said of two cells by their searches, as the variables of ``compare`` are called.

    The difference of the best of n draws is given up to n = N/10 only: beyond, the bootstrap of what hangs on the best few
    trials covers too little.

    Args:
        one, other: the trials of a cell and of the baseline; without one, nothing is said.
        random: generator.
        replicates: of the bootstrap.
        paired: whether both had the same draws.
        most: length of the arrays over n; NaN beyond N/10.
        confidence: of the intervals.
        maximize: whether larger scores are better.
    """
    difference, interval = numpy.full(most, math.nan), numpy.full((most, 2), math.nan)
    said: dict[str, Any] = {
        "best_of_difference": difference,
        "best_of_difference_interval": interval,
        "better_in_search": math.nan,
        "better_in_search_interval": (math.nan, math.nan),
    }
    found = None if other is None else pair(one, other, paired=paired)
    if found is None or (count := min(cell.trial.size for cell in found[:2])) < 10:
        return said
    reached = min(most, count // 10)
    share, seen = weights(found, random, max(1, replicates // FEWER["best_of"])), observed(found)
    curves = [best_of(found.one, part[0], reached) - best_of(found.other, part[1], reached) for part in (seen, share)]
    difference[:reached] = curves[0][0]
    interval[:reached] = [inference.percentiles(curve, confidence) for curve in curves[1].T]
    if reached >= DRAWS:
        count = max(1, replicates // FEWER["better"])
        fewer = share[0][:count], share[1][:count]
        said["better_in_search"] = float(better(found, seen, maximize=maximize)[0])
        said["better_in_search_interval"] = inference.percentiles(better(found, fewer, maximize=maximize), confidence)
    return said


def _power(base: Numbers, exponent: int) -> Numbers:
    """base^exponent by squaring, several times as fast as numpy's power.

    >>> _power(numpy.array([0.5, 2.0]), 5).tolist()
    [0.03125, 32.0]
    """
    found = numpy.ones_like(base)
    while exponent:
        if exponent % 2:
            found *= base
        exponent //= 2
        if exponent:
            base = base * base
    return found


def _at(ranked: Ranked, kept: NDArray[numpy.bool_]) -> Ranked:
    return Ranked(ranked.trial[kept], ranked.test[kept], ranked.valid[kept], min(ranked.k, int(kept.sum())))


def _shares(random: numpy.random.Generator, count: int, replicates: int) -> Numbers:
    """How often each trial is drawn in each replicate, as a share."""
    shares: Numbers = random.multinomial(count, numpy.full(count, 1 / count), replicates) / count
    return shares


def _chosen(share: Numbers, draws: int) -> Numbers:
    """Probability of each rank to be the one that is chosen [B, N]."""
    tail = numpy.cumsum(share[:, ::-1], axis=1)[:, ::-1] ** draws
    chosen: Numbers = tail - numpy.concatenate([tail[:, 1:], numpy.zeros((len(tail), 1))], axis=1)
    return chosen
