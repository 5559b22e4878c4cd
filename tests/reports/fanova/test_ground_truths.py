"""Functions whose decomposition is known: their constants are right, and random trials of them lead back to these."""

import functools

import numpy
import pytest
from scipy import stats

from tests.tools import ground_truths
from tests.tools.ground_truths import TRUTHS, friedman, ishigami, multilinear, recovered, sobol_g

PUBLISHED = {
    "Ishigami": {(0,): 0.31391, (1,): 0.44241, (2,): 0.0, (0, 2): 0.24368},
    "Sobol' g": {(0,): 0.58684, (1,): 0.26082, (2,): 0.03668, (3,): 0.00587, (4,): 0.00006, (0, 1): 0.08694},
    "Friedman 1": {(0,): 0.19731, (1,): 0.19731, (2,): 0.09327, (3,): 0.34975, (4,): 0.08744, (0, 1): 0.07492},
}
SHORT = ("Ishigami", "additive")
"""Recovered in `make test`: interactions of two, and none. 1000 trials take ten seconds a function."""


@functools.cache
def found(name, n, noise=0.0):
    return recovered(TRUTHS[name](), n, noise=noise)


def errors(name, n, decomposition, noise=0.0):
    """Errors of main effects and pairs."""
    known, one = TRUTHS[name](), found(name, n, noise)[decomposition]
    return numpy.concatenate([one.main.value - known.mains(), one.pair.value - known.pairs()])


def rms(names, *which, **given):
    return float(numpy.mean([numpy.square(errors(name, *which, **given)).mean() for name in names]) ** 0.5)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_constants(name):
    """Shares as published, to their last digit."""
    known = TRUTHS[name]()
    for subset, share in PUBLISHED[name].items():
        assert abs(known.share(*subset) - share) <= 0.51e-5, subset


@pytest.mark.parametrize("name", TRUTHS)
def test_constants_by_another_way(name):
    """First-order and total indices of each function as scipy estimates them from the function alone."""
    known = TRUTHS[name]()
    estimated = stats.sobol_indices(
        func=lambda x: known.function(x.T)[None], n=2**13, dists=[stats.uniform()] * known.d,
        rng=numpy.random.default_rng(0),
    )  # fmt: skip
    totals = [sum(v for u, v in known.parts.items() if j in u) / known.variance for j in range(known.d)]
    assert abs(estimated.first_order - known.mains()).max() < 0.01
    assert abs(estimated.total_order - totals).max() < 0.01
    draws = known.function(numpy.random.default_rng(1).random((200_000, known.d)))
    assert abs(draws.var() / known.variance - 1) < 0.02


def test_multilinear_by_its_formula():
    """V_U = b_U² / 12^|U| for whatever weights."""
    known = multilinear({(0,): 2.0, (0, 2): 3.0})
    assert known.d == 3 and known.share(0) == pytest.approx((4 / 12) / (4 / 12 + 9 / 144))
    assert known.pairs().tolist() == [0.0, pytest.approx(1 - known.share(0)), 0.0]


@pytest.mark.parametrize(
    "name", [name if name in SHORT else pytest.param(name, marks=pytest.mark.long) for name in TRUTHS]
)
def test_shares_are_recovered(name):
    """From 1000 trials every share of the forest's mean is within .07 of the true one, and the response is predicted."""
    assert found(name, 1000)["forest"].r_squared > 0.85
    assert abs(errors(name, 1000, "forest")).max() < 0.07
    strongest = numpy.argmax(TRUTHS[name]().mains())
    assert found(name, 1000)["forest"].main.value.argmax() == strongest


def test_additive_functions_have_no_interactions():
    """Where nothing interacts, no pair of the forest's mean has half a per cent, and all of them not one and a half."""
    one = found("additive", 1000)["forest"]
    assert one.pair.value.max() < 0.005
    assert one.order.value[1:].sum() < 0.015


def test_more_trials_are_better_for_one_function():
    """The error of the forest's shares falls by a third or more from 200 to 1000 trials."""
    assert rms(["Ishigami"], 1000, "forest") < 0.67 * rms(["Ishigami"], 200, "forest")


def test_noise_biases_the_single_trees_of_one_function():
    """With as much noise as signal the forest's mean errs less than half as much as the trees do, which invent interactions."""
    names = ["additive"]
    assert rms(names, 400, "forest", noise=1.0) < 0.6 * rms(names, 400, "per_tree", noise=1.0)
    both = found("additive", 400, 1.0)
    assert both["per_tree"].order.value[1:].sum() > 0.3 > 2 * both["forest"].order.value[1:].sum()


@pytest.mark.long
def test_more_trials_are_better():
    """The error of the forest's shares, over all functions, falls by a third or more from 200 to 1000 trials."""
    assert rms(TRUTHS, 1000, "forest") < 0.67 * rms(TRUTHS, 200, "forest")


@pytest.mark.long
def test_noise_biases_single_trees():
    """With as much noise as signal the forest's mean errs less than half as much as the trees do, which invent interactions."""
    names = ["Sobol' g", "Friedman 1", "additive"]
    assert rms(names, 1000, "forest", noise=1.0) < 0.5 * rms(names, 1000, "per_tree", noise=1.0)
    both = found("additive", 1000, 1.0)
    assert both["per_tree"].order.value[1:].sum() > 0.3
    assert both["forest"].order.value[1:].sum() < 0.15
    assert both["forest"].r_squared == pytest.approx(0.5, abs=0.1)


def test_the_table(capsys):
    """The module prints, for each effect, what is true and what both decompositions found; shares of a column sum to 100."""
    ground_truths.main(["--trials", "60", "--seed", "3"])
    printed = capsys.readouterr().out
    assert "Friedman 1" in printed and "root-mean-square error in points: forest" in printed
    rows = ground_truths.table(["Ishigami"], 60, 3)
    assert len(rows) == 7 and rows["effect"].tolist()[:4] == ["S1", "S2", "S3", "S1,2"]
    assert rows["true %"].tolist() == [31.39, 44.24, 0.0, 0.0, 24.37, 0.0, pytest.approx(0.0)]
    for column in ("true %", "forest %", "per_tree %"):
        assert rows[column].sum() == pytest.approx(100, abs=0.05)


def test_every_truth_is_held():
    """No function of the table is without a test of its constants."""
    assert set(TRUTHS) == {*PUBLISHED, "multilinear", "additive"}
    assert [make().d for make in (ishigami, sobol_g, friedman)] == [3, 5, 5]
