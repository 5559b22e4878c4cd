"""Selected trials compared, on arrays: every statistic against a second source or by hand."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lstm_odyssey.reports.stats import inference, stability
from lstm_odyssey.reports.stats.table import best_fraction

NAN = math.nan


def ranked(valid: list[float], test: list[float] | None = None) -> inference.Ranked:
    return inference.rank(valid, valid if test is None else test, [True] * len(valid))


def test_rank_orders_by_validation_and_sets_chance() -> None:
    """The best by validation come first, holes are left out, what is worse than chance or unknown stands at chance."""
    valid = [3.0, NAN, 1.0, 2.0, math.inf, 0.5]
    test = [9.0, NAN, 12.0, 8.0, 7.0, 1.0]
    one = inference.rank(valid, test, [True] * 5 + [False], chance=11.0)
    assert one.trial.tolist() == [2, 3, 0, 1, 4]
    assert one.test.tolist() == [11.0, 8.0, 9.0, 11.0, 7.0]
    assert numpy.isnan(one.valid[3:]).all()
    assert one.k == 2
    assert one.best.tolist() == [11.0, 8.0]


def test_rank_where_more_is_better() -> None:
    """With an accuracy the order is turned round and chance is a floor."""
    one = inference.rank([0.1, 0.9, 0.5], [0.2, 0.8, 0.3], [True] * 3, chance=0.4, maximize=True)
    assert one.trial.tolist() == [1, 2, 0]
    assert one.test.tolist() == [0.8, 0.4, 0.4]


def test_rank_without_a_chance_level() -> None:
    """If chance is unknown nothing is replaced, and a trial without a score has none."""
    one = inference.rank([1.0, 2.0], [NAN, 90.0], [True, True])
    assert numpy.isnan(one.test[0]) and one.test[1] == 90.0
    assert one.best.tolist() == [90.0]


def test_welch_by_its_formula() -> None:
    """t, the degrees of freedom of Welch and Satterthwaite, p and the interval, computed by hand."""
    random = numpy.random.default_rng(1)
    x, y = random.normal(0, 1, 7), random.normal(1, 3, 12)
    found = inference.welch(x, y, 0.9)
    parts = x.var(ddof=1) / 7, y.var(ddof=1) / 12
    error = math.sqrt(sum(parts))
    t = (x.mean() - y.mean()) / error
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / 6 + parts[1] ** 2 / 11)
    half = stats.t.ppf(0.95, freedom) * error
    assert found.t == pytest.approx(t, rel=1e-12)
    assert found.df == pytest.approx(freedom, rel=1e-12)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(t), freedom), rel=1e-12)
    assert found.interval == pytest.approx((t * error - half, t * error + half), rel=1e-12)


@pytest.mark.parametrize(("x", "y"), [([], []), ([1.0], [1.0, 2.0]), ([3.0] * 4, [3.0] * 4), ([3.0] * 4, [2.0] * 4)])
def test_welch_without_variance(x: list[float], y: list[float]) -> None:
    """Too few scores, or scores all alike, give NaN and no warning."""
    found = inference.welch(x, y)
    assert math.isnan(found.p) and math.isnan(found.interval[0])


def test_hedges_g_by_hand() -> None:
    """x = 1 2 3, y = 2 4 6 8: means 2 and 5, pooled variance (2 + 20) / 5, J(5) = Γ(2.5) / (√2.5 Γ(2))."""
    factor = math.gamma(2.5) / (math.sqrt(2.5) * math.gamma(2))
    found = inference.hedges_g([1.0, 2.0, 3.0], [2.0, 4.0, 6.0, 8.0], fewest=2)
    assert found == pytest.approx(-3 / math.sqrt(22 / 5) * factor, rel=1e-12)
    assert inference.hedges_g([1.0, NAN, 2.0, 3.0], [2.0, 4.0, 6.0, 8.0], fewest=2) == pytest.approx(float(found))


def test_hedges_g_is_unbiased() -> None:
    """With five scores a side the mean of many g is the true effect; without the factor J it would be 11 % larger."""
    random = numpy.random.default_rng(0)
    g = inference.hedges_g(random.normal(1, 1, (40_000, 5)), random.normal(0, 1, (40_000, 5)), fewest=5)
    assert abs(g.mean() - 1) < 4 * g.std() / math.sqrt(g.size)


def test_hedges_g_without_variance() -> None:
    """One score, or scores all alike, have no effect size."""
    for x, y in (([1.0], [2.0]), ([1.0, 1.0], [2.0, 2.0]), ([NAN, NAN], [1.0, 2.0])):
        assert numpy.isnan(inference.hedges_g(x, y, fewest=2))


def test_no_hedges_g_of_fewer_than_ten() -> None:
    """With two scores a side g may be anything (here beyond 500): below ten a side none is given, nor in a replicate."""
    x, y = [1.0, 1.001] * 5, [2.0, 2.001] * 5
    assert inference.hedges_g(x[:2], y[:2], fewest=2) < -500
    assert numpy.isnan(inference.hedges_g(x[:9], y)) and numpy.isnan(inference.hedges_g(x, y[:9]))
    assert numpy.isfinite(inference.hedges_g(x, y))


def test_bonferroni_by_hand() -> None:
    """Eight intervals that hold together at 95 % are each at 99.375 %; one alone, or none, keeps its confidence."""
    assert inference.corrected(0.95, 8) == pytest.approx(0.99375)
    assert inference.corrected(0.9, 1) == inference.corrected(0.9, 0) == pytest.approx(0.9)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9), st.lists(st.integers(0, 5), min_size=1, max_size=9))
def test_cliffs_delta_is_mann_whitneys_u(x: list[int], y: list[int]) -> None:
    """δ = 2 U / (m n) - 1, with scipy's U; ties count half."""
    statistic = stats.mannwhitneyu(x, y, method="asymptotic").statistic if len({*x, *y}) > 1 else len(x) * len(y) / 2
    assert inference.cliffs_delta(x, y) == pytest.approx(2 * statistic / (len(x) * len(y)) - 1, abs=1e-12)


def test_delta_replicates_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicates are taken a chunk at a time and come out as one by one."""
    random = numpy.random.default_rng(0)
    x, y = random.normal(size=(11, 3)), random.normal(size=(11, 4))
    x[2, 1] = NAN
    monkeypatch.setattr(inference, "LARGEST", 25)
    expected = [float(inference.cliffs_delta(a, b)) for a, b in zip(x, y, strict=True)]
    assert inference.delta_replicates(x, y).tolist() == expected


@given(st.integers(0, 1000), st.integers(1, 40))
def test_reselection_by_the_definition(seed: int, trials: int) -> None:
    """Each replicate is what the rule of the table selects from the trials drawn."""
    random = numpy.random.default_rng(seed)
    one = ranked(random.normal(size=trials).tolist(), random.normal(size=trials).tolist())
    places = inference.draw(random, trials, 5)
    means = inference.mean(inference.reselect(one, places))
    for row, mean in zip(places, means, strict=True):
        chosen = best_fraction(one.valid[row])
        assert mean == pytest.approx(one.test[row][chosen].mean(), rel=1e-12)


def test_reselection_with_holes() -> None:
    """A place this cell has no trial for is last in the order and leaves fewer scores; nothing at all gives NaN."""
    one = ranked([1.0, 2.0, 3.0])
    found = inference.reselect(one, numpy.array([[3, 3, 1, 0], [3, 2, 3, 3], [3, 3, 3, 3]]))
    means = inference.mean(found)
    assert means[:2].tolist() == [1.5, 3.0]
    assert numpy.isnan(means[2])


def test_reselection_against_scipys_bootstrap() -> None:
    """The interval is scipy's percentile interval of the same statistic, up to the error of 20,000 replicates."""
    random = numpy.random.default_rng(3)
    valid = random.normal(size=60)
    one = ranked(valid.tolist(), (valid + 0.3 * random.normal(size=60)).tolist())
    means = inference.mean(inference.reselect(one, inference.draw(random, 60, 20_000)))

    def best(valid: numpy.ndarray, test: numpy.ndarray, axis: int = -1) -> numpy.ndarray:
        order = numpy.argsort(valid, axis=axis, kind="stable")[..., :6]
        return numpy.take_along_axis(test, order, axis=axis).mean(axis=axis)

    second = stats.bootstrap(
        (one.valid, one.test), best, paired=True, vectorized=True, n_resamples=20_000, method="percentile", rng=random
    )
    error = 0.05 * float(second.standard_error)
    assert inference.percentiles(means) == pytest.approx(tuple(second.confidence_interval), abs=error)


@pytest.mark.parametrize(("count", "total"), [(0, 70), (3, 70), (70, 70)])
def test_proportions_interval_is_exact(count: int, total: int) -> None:
    """At each end of the interval the binomial tail beyond what was counted has 2.5 %."""
    share, low, high = stability.proportion(count, total)
    assert share == count / total
    assert low == 0 if count == 0 else stats.binom.sf(count - 1, total, low) == pytest.approx(0.025, rel=1e-6)
    assert high == 1 if count == total else stats.binom.cdf(count, total, high) == pytest.approx(0.025, rel=1e-6)
    assert all(math.isnan(value) for value in stability.proportion(0, 0))
