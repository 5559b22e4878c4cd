"""What a budget of trials or hours buys: against enumeration, by hand, and against a second way."""

from __future__ import annotations

import itertools
import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lstm_odyssey.reports.stats import budget, inference
from lstm_odyssey.reports.stats.budget import after_hours, after_trials, budgets, chances

NAN = math.nan


def ranked(valid: list[float], test: list[float] | None = None, chance: float = NAN) -> inference.Ranked:
    return inference.rank(valid, valid if test is None else test, [True] * len(valid), chance=chance)


def curve(one: inference.Ranked, *, replacement: bool, replicates: int = 9) -> budget.Curve:
    random = numpy.random.default_rng(0)
    return after_trials(one, budgets(one.trial.size), random, replacement=replacement, replicates=replicates)


def test_three_trials_by_hand() -> None:
    """Validation 1 2 3, test 10 20 40: with two trials (5·10 + 3·20 + 1·40) / 9, without replacement (2·10 + 20) / 3."""
    one = ranked([3.0, 1.0, 2.0], [40.0, 10.0, 20.0])
    assert curve(one, replacement=True).mean == pytest.approx(
        [70 / 3, 150 / 9, (19 * 10 + 7 * 20 + 40) / 27], rel=1e-12
    )
    assert curve(one, replacement=False).mean == pytest.approx([70 / 3, 40 / 3, 10], rel=1e-12)
    spread = math.sqrt((2 * 100 + 400) / 3 - (40 / 3) ** 2)
    assert curve(one, replacement=False).std == pytest.approx(
        [math.sqrt(2100 / 3 - (70 / 3) ** 2), spread, 0], abs=1e-9
    )


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=5), st.integers(0, 99), st.booleans())
def test_against_enumeration(valid: list[int], seed: int, replacement: bool) -> None:
    """Every search of n trials is enumerated; of equal validation scores the one drawn first is chosen."""
    test = numpy.random.default_rng(seed).normal(size=len(valid))
    found = curve(ranked([float(v) for v in valid], test.tolist()), replacement=replacement)
    for n in range(1, len(valid) + 1):
        draws = (
            itertools.product(range(len(valid)), repeat=n)
            if replacement
            else itertools.permutations(range(len(valid)), n)
        )
        outcomes = numpy.array([test[min(drawn, key=lambda i: valid[i])] for drawn in draws])  # of equal ones the first
        assert found.mean[n - 1] == pytest.approx(outcomes.mean(), abs=1e-12)
        assert found.std[n - 1] == pytest.approx(outcomes.std(), abs=1e-7)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=30))
def test_ends_of_the_curve(scores: list[float]) -> None:
    """One trial gives the mean, all of them without replacement the best; where test is validation, more never hurts."""
    one = ranked(scores)
    for replacement in (True, False):
        found = curve(one, replacement=replacement).mean
        assert found[0] == pytest.approx(numpy.mean(scores), abs=1e-9)
        assert (numpy.diff(found) <= 1e-9).all()
    assert curve(one, replacement=False).mean[-1] == pytest.approx(min(scores), abs=1e-9)


@given(st.integers(1, 60), st.booleans())
def test_chances_are_a_distribution(count: int, replacement: bool) -> None:
    """The chances of all ranks add up to one for every number of trials there is, and better ranks have no smaller one."""
    found = chances(count, budgets(count), replacement=replacement)
    assert found.sum(axis=0) == pytest.approx(numpy.ones(count), abs=1e-12)
    assert (numpy.diff(found, axis=0) <= 1e-15).all()


def test_nothing_is_said_beyond_the_trials() -> None:
    """With three trials the expectation after four is NaN; with none, all of it."""
    found = after_trials(ranked([1.0, 2.0, 3.0]), numpy.arange(1, 6), numpy.random.default_rng(0), replacement=True)
    assert numpy.isnan(found.mean).tolist() == [False] * 3 + [True] * 2
    nothing = after_trials(ranked([]), numpy.arange(1, 6), numpy.random.default_rng(0), replacement=True)
    assert all(numpy.isnan(part).all() for part in nothing)


def test_many_trials_have_fewer_points() -> None:
    """Up to 400 trials each has its point, beyond them the axis is geometric from one to all."""
    assert budgets(400).tolist() == list(range(1, 401))
    assert budgets(0).tolist() == [1]
    spaced = budgets(5400)
    assert spaced[0] == 1 and spaced[-1] == 5400 and spaced.size <= 400
    assert (numpy.diff(spaced) > 0).all()


def test_the_band_is_the_bootstraps() -> None:
    """After one trial the expectation is the mean, and its band scipy's percentile interval of the mean."""
    random = numpy.random.default_rng(5)
    scores = random.normal(size=40)
    found = after_trials(ranked(scores.tolist()), budgets(40), random, replacement=True, replicates=20_000)
    second = stats.bootstrap((scores,), numpy.mean, n_resamples=20_000, method="percentile", rng=random)
    tolerance = 0.05 * float(second.standard_error)
    assert found.interval[0] == pytest.approx(tuple(second.confidence_interval), abs=tolerance)


def test_hours_by_hand() -> None:
    """Trials of 1 h (score 5) and 3 h (score 4): the first ends after 1 h or 3 h, what comes later is enumerated."""
    one, hours = ranked([5.0, 4.0]), numpy.array([3.0, 1.0])  # in the order of ranks: 4 took 3 h, 5 took 1 h
    grid = numpy.array([0.5, 1.0, 2.9, 3.0, 4.0, 4.1])
    found = after_hours(one, hours, grid, numpy.random.default_rng(0), chance=9.0)
    # At 3 h: 4 if drawn first, else 5. At 4 h: also if drawn second after 5 (1 h + 3 h).
    exact = [9.0, (5 + 9) / 2, (5 + 9) / 2, (5 + 4) / 2, 4 * 0.75 + 5 * 0.25]
    error = 4 * 2 / math.sqrt(4000)
    assert found.mean[:5] == pytest.approx(exact, abs=error)
    assert found.mean[0] == 9.0 and found.std[0] == 0
    assert numpy.isnan(found.mean[5]) and numpy.isnan(found.interval[5]).all()


def test_hours_are_trials_where_all_take_one_hour() -> None:
    """With an hour a trial, n hours are n trials with replacement: expectation, spread and band."""
    random = numpy.random.default_rng(2)
    valid = random.normal(size=50)
    one = ranked(valid.tolist(), (valid + 0.2 * random.normal(size=50)).tolist())
    by_trials = after_trials(one, budgets(50), random, replacement=True)
    by_hours = after_hours(one, numpy.ones(50), numpy.arange(1, 51.0), random, chance=9.0)
    for n in (1, 3, 10, 30):
        assert by_hours.mean[n - 1] == pytest.approx(
            by_trials.mean[n - 1], abs=4 * by_trials.std[n - 1] / math.sqrt(4000)
        )
        assert by_hours.std[n - 1] == pytest.approx(by_trials.std[n - 1], rel=0.15)
    widths = [numpy.ptp(found.interval, axis=1) for found in (by_hours, by_trials)]
    assert widths[0][0] == pytest.approx(widths[1][0], rel=0.2)  # what 50 simulated searches add would be 41 %
    assert widths[0][:5].mean() == pytest.approx(widths[1][:5].mean(), rel=0.2)
    for found in (by_trials, by_hours):
        assert numpy.isfinite(found.mean).all() and numpy.isfinite(found.interval[:5]).all()
        assert numpy.isnan(found.interval[5:]).all(), "no interval beyond a tenth of the trials"


def test_hours_without_times() -> None:
    """Trials without a time are left out; if none has one, or no chance level is known, NaN says so."""
    one, grid = ranked([1.0, 2.0, 3.0]), numpy.array([0.5, 1.0, 2.0])
    found = after_hours(one, numpy.array([NAN, 1.0, 1.0]), grid, numpy.random.default_rng(0))
    assert numpy.isnan(found.mean[0])
    assert 2.0 < found.mean[1] < 3.0
    nothing = after_hours(one, numpy.full(3, NAN), grid, numpy.random.default_rng(0))
    assert all(numpy.isnan(part).all() for part in nothing)
