"""The simulation on surfaces like the record's: coverage, false positives and power of what the verdicts rest on."""

from __future__ import annotations

import numpy
import pytest

from lstm_odyssey.reports.fanova.layout import FOREST_BIAS, SPREAD_SAYS
from lstm_odyssey.reports.stats.contents import POWER, WELCH_REJECTS
from tests.tools import calibration
from tests.tools.calibration import BASELINE, CASES, searched, true_difference

STUDIES = 400


@pytest.mark.parametrize("name", CASES)
def test_common_draws_hold_what_they_promise(name: str) -> None:
    """400 studies: the 95 % interval covers .92 to .98, rejects at most .08 of equal cells, and finds .125 in nine of ten."""
    truth = true_difference(numpy.random.default_rng(1), CASES[name], studies=4000)
    found = searched(numpy.random.default_rng(2), CASES[name], studies=STUDIES, replicates=599)
    assert 0.92 <= found.covers(truth) <= 0.98
    if name == "identical":
        assert found.rejects() <= 0.08 and abs(truth) < 0.002
    if name == "worse by .125":
        assert found.rejects() >= 0.9 and truth == pytest.approx(0.125, abs=0.002)


def test_independent_draws_see_less_and_welch_sees_ghosts() -> None:
    """Equal cells with draws of their own: the interval covers, is about 2.5 times as wide; Welch's test is wrong in 23 %."""
    common, apart = (
        searched(numpy.random.default_rng(3), CASES["identical"], studies=STUDIES, replicates=599, common=kind)
        for kind in (True, False)
    )
    assert 0.92 <= apart.covers(0.0) <= 0.98
    widths = [numpy.ptp(found.interval, axis=1).mean() for found in (common, apart)]
    assert 2.0 < widths[1] / widths[0] < 3.2
    assert 0.15 < (apart.welch < 0.05).mean() < 0.33
    assert (common.welch < 0.05).mean() < 0.05


@pytest.mark.parametrize("size", [0.13, 0.08])
def test_the_power_that_the_page_tells(size: float) -> None:
    """At 200 common draws, corrected over eight cells, .13 and .08 are found as often as the sentence says, by the optimum."""
    elsewhere = CASES["optimum elsewhere"]
    apart = true_difference(numpy.random.default_rng(1), elsewhere, studies=4000)
    levels = elsewhere._replace(level=elsewhere.level - apart + size), BASELINE._replace(level=BASELINE.level + size)
    for cell, said in zip(levels, POWER[200][size], strict=True):
        found = searched(numpy.random.default_rng(4), cell, studies=150, comparisons=8)
        assert abs(found.rejects() - said / 100) < 4 * numpy.sqrt(0.25 / 150) * 0.8


def test_what_the_page_says_of_welch() -> None:
    """Equally good cells, with one optimum and with two: Welch's test is wrong as often as is said."""
    elsewhere = calibration.equal_elsewhere(1, studies=4000)
    assert abs(true_difference(numpy.random.default_rng(2), elsewhere, studies=4000)) < 0.005
    for kind, (low, high) in WELCH_REJECTS.items():
        rates = [
            100
            * (searched(numpy.random.default_rng(5), cell, replicates=9, common=kind == "common").welch < 0.05).mean()
            for cell in (BASELINE, elsewhere)
        ]
        for rate, said in zip(sorted(rates), (low, high), strict=True):
            assert abs(rate - said) < 300 * (said / 100 * (1 - said / 100) / STUDIES) ** 0.5 + 1


def test_the_bias_that_the_page_tells() -> None:
    """Forests of 200 trials find too much of the learning rate and too little of the noise, by what the page says."""
    found = calibration.forest_shares(8, samples=300_000).set_index("hyperparameter")
    assert found["true %"].sum() < 100 and found.loc[["hidden_size", "momentum"], "true %"].max() < 1.5
    for name, said in FOREST_BIAS.items():
        assert found.loc[name, "bias"] == pytest.approx(said, abs=1.2)
    assert f"+{FOREST_BIAS['learning_rate']:g} points on the learning rate" in SPREAD_SAYS


def test_true_shares_are_those_of_the_surface() -> None:
    """Of a surface of two terms alone, the noise's and a chance level that nothing reaches, shares are known."""
    cell = calibration.Cell(level=-50.0, size=0.0, noise=40.0, seed=5.0, rest=2.0)
    found = calibration.true_shares(numpy.random.default_rng(6), cell, 300_000)
    assert found[2] == pytest.approx(1.0, abs=0.02) and abs(found[:2]).max() < 0.02


def test_the_tables_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints a row for each case and kind of draws, the power by size, and the shares."""
    calibration.main(["--studies", "2", "--forests", "1"])
    printed = capsys.readouterr().out
    rows = [line.strip() for line in printed.splitlines()]
    for name in (*CASES, calibration.EQUAL_ELSEWHERE):
        assert sum(line.startswith(f"{name} ") for line in rows) == 2, name
    assert printed.count(" independent ") == 4
    assert "found %" in printed and " 400 " in printed
    assert all(name in printed for name in calibration.NAMES) and "forest %" in printed
