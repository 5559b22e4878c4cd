"""Two cells by their searches: against enumeration, against the curve of one cell, and where draws are common."""

from __future__ import annotations

import itertools
import math

import numpy
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st

from lstm_odyssey.reports.contract import schema
from lstm_odyssey.reports.stats import budget, inference, searches
from lstm_odyssey.reports.stats.compare import compare
from tests import made_studies as made


def ranked(valid: list[float], test: list[float]) -> inference.Ranked:
    return inference.rank(valid, test, [True] * len(valid))


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.integers(0, 99))
def test_the_curve_is_that_of_one_cell(valid: list[int], seed: int) -> None:
    """With every trial drawn once the expected best of n draws is ``expected_best`` with replacement, ties included."""
    test = numpy.random.default_rng(seed).normal(size=len(valid))
    one = ranked([float(v) for v in valid], test.tolist())
    found = searches.best_of(one, numpy.full((1, len(valid)), 1 / len(valid)), len(valid))[0]
    trials = numpy.arange(1, len(valid) + 1)
    curve = budget.after_trials(one, trials, numpy.random.default_rng(0), replacement=True, replicates=1)
    assert found == pytest.approx(curve.mean, abs=1e-12)


def test_a_replicate_is_the_curve_of_the_trials_it_drew() -> None:
    """Weights 2 0 1 of three trials are the search of the sample that holds the first twice and the third once."""
    one = ranked([1.0, 2.0, 3.0], [5.0, 9.0, 6.0])
    sample = ranked([1.0, 1.0, 3.0], [5.0, 5.0, 6.0])
    found = searches.best_of(one, numpy.array([[2, 0, 1]]) / 3, 3)
    assert found[0] == pytest.approx(searches.best_of(sample, numpy.full((1, 3), 1 / 3), 3)[0], abs=1e-12)


@given(st.integers(2, 4), st.integers(1, 3), st.booleans(), st.booleans(), st.integers(0, 999))
def test_the_winner_against_enumeration(count: int, draws: int, paired: bool, maximize: bool, seed: int) -> None:
    """Every two searches, or with common draws every search of both, are enumerated; equal test scores count half."""
    random = numpy.random.default_rng(seed)
    sign = -1 if maximize else 1
    cells = []
    for _ in range(2):
        valid, test = random.permutation(count).astype(float), random.integers(0, 3, count).astype(float)
        cells.append((valid, test, inference.rank(valid, test, [True] * count, maximize=maximize)))
    pair = searches.pair(cells[0][2], cells[1][2], paired=paired)
    found = searches.better(pair, searches.observed(pair), draws, maximize=maximize)[0]
    every = list(itertools.product(range(count), repeat=draws))
    wins = []
    for one, other in ((drawn, drawn) for drawn in every) if paired else itertools.product(every, every):
        scores = [
            test[min(drawn, key=lambda i: sign * valid[i])]
            for drawn, (valid, test, _) in zip((one, other), cells, strict=True)
        ]
        gap = sign * (scores[0] - scores[1])
        wins.append((gap < 0) + 0.5 * (gap == 0))
    assert found == pytest.approx(numpy.mean(wins), abs=1e-12)


def test_common_draws_are_drawn_once_for_both() -> None:
    """In every replicate trial k has the same weight in both cells, wherever it ranks; what only one has is left out."""
    one = inference.rank([3.0, 1.0, 2.0, 9.0], [1.0] * 4, [True, True, True, False])
    other = inference.rank([1.0, 9.0, 3.0, 2.0], [1.0] * 4, [True, False, True, True])
    pair = searches.pair(one, other, paired=True)
    assert sorted(pair.one.trial) == sorted(pair.other.trial) == [0, 2]
    shares = searches.weights(pair, numpy.random.default_rng(0), 50)
    by_trial = [share[:, numpy.argsort(cell.trial)] for share, cell in zip(shares, pair[:2], strict=True)]
    assert numpy.array_equal(*by_trial) and (by_trial[0].sum(axis=1) == 1).all() and by_trial[0].std() > 0


def test_replicates_of_common_draws_follow_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """In parts or at once: P(i, j) is the second difference of T_ij^n, whatever the weights; a default interval has 999."""
    random = numpy.random.default_rng(3)
    one, other = (inference.rank(*random.random((2, 9)), [True] * 9) for _ in range(2))
    pair = searches.pair(one, other, paired=True)
    share = searches.weights(pair, random, 7)
    budget = []
    for weight in share[0]:
        tails = numpy.zeros((10, 10))
        for i, j in numpy.ndindex(9, 9):
            tails[i, j] = weight[(numpy.arange(9) >= i) & (pair.place >= j)].sum() ** 6
        chosen = tails[:-1, :-1] - tails[1:, :-1] - tails[:-1, 1:] + tails[1:, 1:]
        budget.append((chosen * (pair.one.test[:, None] > pair.other.test)).sum())
    for largest in (1, 200, searches.LARGEST):
        monkeypatch.setattr(searches, "LARGEST", largest)
        assert searches.better(pair, share, 6, maximize=True) == pytest.approx(numpy.array(budget), abs=1e-12)
    assert 9999 // searches.FEWER["better"] >= 999


@pytest.fixture(scope="module")
def found() -> xarray.Dataset:
    study = schema.build(*made.searched({"vanilla": 0.0, "good": -1.0, "late": 0.0}, 200, shared=0.9))
    study["status"] = study["status"].astype("U7")
    study["status"].values[0, 2, 100:] = "missing"
    return compare(study, replicates=999)


def test_the_comparison_stops_at_a_tenth(found: xarray.Dataset) -> None:
    """Differences of the best of n are given to a tenth of the trials both cells have, P(better) from 200 trials on."""
    curve = found["best_of_difference"].sel(task="talk")
    assert found["best_of"].values.tolist() == list(range(1, 21))
    assert numpy.isfinite(curve.sel(variant="good")).all() and (curve.sel(variant="good") < 0).all()
    assert numpy.isfinite(curve.sel(variant="late")).values.tolist() == [True] * 10 + [False] * 10
    assert numpy.isnan(curve.sel(variant="vanilla")).all()
    low, high = numpy.moveaxis(found["best_of_difference_interval"].sel(task="talk", variant="good").values, -1, 0)
    assert (low < curve.sel(variant="good").values).all() and (curve.sel(variant="good").values < high).all()
    better = found["better_in_search"].sel(task="talk")
    assert better.sel(variant="good") > 0.9 and math.isnan(better.sel(variant="late"))


def test_the_ends_are_the_expectations(found: xarray.Dataset) -> None:
    """The difference of the best of n is that of the two expected curves, where both cells have all draws."""
    part = found.sel(task="talk", replacement="with", n_trials=found["best_of"].values)
    expected_difference = part["expected_best"].sel(variant="good") - part["expected_best"].sel(variant="vanilla")
    numpy.testing.assert_allclose(part["best_of_difference"].sel(variant="good"), expected_difference.values, rtol=1e-9)
    interval = found["expected_best_interval"].sel(task="talk", variant="good", replacement="with", bound="lower")
    assert numpy.isfinite(interval.values).tolist() == [n <= 20 for n in found["n_trials"].values]
