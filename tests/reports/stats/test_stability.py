"""Unstable trials: the rule by hand, both directions, the record, and every table that must not hide them."""

from __future__ import annotations

import io
import math

import numpy
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats

from lstm_odyssey.commands.terminal import tables
from lstm_odyssey.reports import page
from lstm_odyssey.reports.contract import netcdf, schema
from lstm_odyssey.reports.page import section, sentences, words
from lstm_odyssey.reports.page import tables as grids
from lstm_odyssey.reports.page.analyses import analyse
from lstm_odyssey.reports.stats import stability
from lstm_odyssey.reports.stats.compare import compare
from lstm_odyssey.reports.stats.table import instability, summary
from tests import made_studies as made
from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("short_analyses", "unpainted")

RECORD = ROOT / "reports" / "records" / "jsb-chorales-paper.nc"
NAN = math.nan


@pytest.mark.parametrize(
    ("curve", "said"),
    [
        ([60.0, 10.0, 17.0, 9.0], True),  # worse than chance (12) and than 10 by more than 6
        ([60.0, 10.0, 15.9, 9.0], False),  # worse than chance, but by less than half of it
        ([60.0, 3.0, 11.9, 3.0], False),  # far worse than before, but better than chance
        ([60.0, 59.0, 40.0, 20.0], False),  # never better than chance, always better than before
        ([60.0, 40.0, 50.0, 9.0], True),
        ([60.0, 10.0, NAN, 17.0], True),  # a hole in between
        ([60.0, 10.0, math.inf, NAN], True),
        ([math.inf, math.inf, 10.0, 9.0], False),
        ([60.0], False),
        ([NAN, NAN], False),
    ],
)
def test_the_rule_by_hand(curve: list[float], said: bool) -> None:
    """Chance is 12: worse than that, and worse than an earlier epoch by more than 6; turned round it is the same."""
    assert stability.collapsed(curve, 12.0).item() is said
    assert stability.collapsed(numpy.negative(curve), -12.0, maximize=True).item() is said
    assert not stability.collapsed(curve, NAN).item(), "without a chance level nothing can be said"


@given(st.lists(st.floats(0, 100), min_size=2, max_size=7), st.floats(1, 50), st.booleans())
def test_the_rule_by_its_definition(curve: list[float], chance: float, maximize: bool) -> None:
    """A loop over all pairs of epochs, as the rule is written."""

    def worse(a: float, b: float) -> float:
        return b - a if maximize else a - b

    expected = any(
        worse(now, chance) > 0 and worse(now, before) > 0.5 * chance
        for place, now in enumerate(curve)
        for before in curve[:place]
    )
    assert stability.collapsed(curve, chance, maximize=maximize).item() is expected


@pytest.fixture(scope="module")
def record() -> xarray.Dataset:
    return netcdf.load(RECORD)


def test_the_record(record: xarray.Dataset) -> None:
    """Of noaf 94 of 200 trials are unstable, of every other cell none; the attributes say by which margin."""
    found = stability.unstable(record)
    assert (
        found.dims == ("task", "variant", "trial")
        and found.attrs["margin"] == 0.5
        and "earlier epoch" in found.attrs["long_name"]
    )
    counts = dict(zip(record["variant"].values.tolist(), found.sum("trial").values[0].tolist(), strict=True))
    assert counts.pop("noaf") == 94 and set(counts.values()) == {0}
    assert (record["status"].values == "ok").all(), "not one of them has another status"
    assert found.equals(record.odyssey.unstable())


def test_the_record_in_every_table(record: xarray.Dataset) -> None:
    """P(unstable) with scipy's exact interval: in the table, the comparison, the page's grid, in words and the terminal."""
    exact = stats.binomtest(94, 200).proportion_ci(0.95, method="exact")
    table, found = summary(record), compare(record, replicates=99)
    row, one = table.loc[("jsb_chorales", "noaf")], found.sel(task="jsb_chorales", variant="noaf")
    assert (row["unstable"], row["instability"]) == (94, 0.47) == (one["unstable"].item(), one["instability"].item())
    assert [row["instability_low"], row["instability_high"]] == pytest.approx([exact.low, exact.high], rel=1e-12)
    assert one["instability_interval"].values.tolist() == pytest.approx([exact.low, exact.high], rel=1e-12)
    assert found.attrs["unstable_margin"] == 0.5
    told = [instability(row) for _, row in table.iterrows()]
    assert "47 % (40 to 54)" in told and told.count("0 % (0 to 2)") == 8
    grid = grids.results(record, table, found, "jsb_chorales")
    at = [head for head, _ in grid.heads].index("unstable") - 1
    assert {made.variant: made.cells[at].text for made in grid.rows}["noaf"] == "47 % (40 to 54)"
    console = Console(width=200, file=io.StringIO())
    for part in tables.results(record):
        console.print(part)
    printed = console.file.getvalue()  # type: ignore[attr-defined]  # the StringIO from above
    assert "unstable" in printed and "47 % (40 to 54)" in printed and printed.count(" 0 % (0 to 2)") == 8


def test_the_words_do_not_hide_them(record: xarray.Dataset) -> None:
    """Nothing says 'none diverged' alone: how many are unstable, of which cell, and the difference of the stable ones."""
    texts = sentences.comparison_text(compare(record, replicates=99))
    assert (
        "94 of 200 trials of noaf are unstable, 47 % (40 to 54); among stable trials it is +0.117 nats/frame from vanilla"
        in texts[0]
    )
    assert "No trial diverged" not in " ".join(texts)
    assert "1,800 ran to the end. 94 of these are unstable." in words.summary_text(record, summary(record))[0]
    running = record.copy()
    running["status"] = record["status"].where(record["trial"] < 100, "missing")
    told = words.summary_text(running, summary(running))[0]
    assert "900 ran to the end and 900 not run yet." in told and " of those that ran are unstable." in told


def test_the_score_stays_what_validation_kept() -> None:
    """An unstable trial keeps its score, and the difference of the stable trials leaves it out."""
    facts, trials = made.searched({"vanilla": 0, "wild": 0}, 100)
    for one in trials:
        if one["variant"] == "wild" and one["trial"] < 30:
            one["curves"] = one["curves"] | {"valid": [90.0, 50.0, 130.0]}
            one |= {"best_valid": 1.0, "best_test": 1.0, "epochs": 2}
    study = schema.build(facts, trials)
    found = compare(study, replicates=99).sel(task="talk", variant="wild")
    assert found["unstable"].item() == 30 and found["mean_test"].item() == 1.0
    stable = study.sel(task="talk", variant="wild").isel(trial=slice(30, None))
    best = stable["best_test"].values[numpy.argsort(stable["best_valid"].values)[:7]].mean()
    vanilla = study.sel(task="talk", variant="vanilla")
    expected = best - vanilla["best_test"].values[numpy.argsort(vanilla["best_valid"].values)[:10]].mean()
    assert found["stable_difference"].item() == pytest.approx(expected, rel=1e-12)


def test_its_forest_says_what_the_ceiling_does() -> None:
    """Beside the shares of a cell with unstable trials stands how many there are, and how many scores are at the ceiling."""
    facts, trials = made.searched({"vanilla": 0, "wild": 0}, 60)
    wild = [one for one in trials if one["variant"] == "wild"]
    for place, one in enumerate(sorted(wild, key=lambda one: -float(one["hyperparameters"]["learning_rate"]))):
        if place < 21:
            one["curves"] = one["curves"] | {"valid": [90.0, 50.0, 130.0]}
        if place < 15:
            one |= {"best_valid": 95.0, "best_test": 95.0}
    study = schema.build(facts, trials)
    found = analyse(study)
    assert found.effects is not None and found.effects["main_share"].sel(variant="wild").notnull().any()
    assert found.comparison.attrs["replicates"] == 9999, "what a page rests on"
    told = "21 of 60 trials are unstable, and 25 % of the scores stand at the chance level, their ceiling"
    (note,) = (text for text in section._notes(found, "talk", ["vanilla", "wild"]) if "unstable" in text)
    assert (
        note.startswith("wild: ") and told in note and "its forest and shares tell which draws score anything" in note
    )
    assert told in page.render(study, analyses=found)


def test_without_a_chance_level_nothing_is_known() -> None:
    """P(unstable) is a dash, not 0 %, where the task has no chance level."""
    facts = made.study({"pen": made.PEN | {"chance": None}}, trials=3)
    study = schema.build(facts, [made.trial(facts, *place) for place in made.places(facts)])
    assert summary(study)["instability"].isna().all()
    assert all(instability(row) == "–" for _, row in summary(study).iterrows())
    assert "nan %" not in page.render(study)
