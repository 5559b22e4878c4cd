"""The simulation on surfaces like the record's: coverage, false positives and power of what the verdicts rest on."""

from __future__ import annotations

import numpy
import pytest

from lstm_odyssey.reports import calibration
from lstm_odyssey.reports.calibration import BASELINE, CASES, searched, true_difference
from lstm_odyssey.reports.contents import POWER

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
    """Equal cells with draws of their own: the interval covers, is about 2.5 times as wide; Welch's test is wrong in 24 %."""
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


def test_the_tables_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints a row for each case and kind of draws, and the power by size."""
    calibration.main(["--studies", "2"])
    printed = capsys.readouterr().out
    assert all(printed.count(name) == 2 for name in CASES) and printed.count("independent") == 3
    assert "found %" in printed and " 400 " in printed
