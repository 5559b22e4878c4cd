"""Trials that the limit of epochs ended, and the figures of differences."""

from __future__ import annotations

import math
from pathlib import Path

import numpy
import pytest
import xarray

from lstm_odyssey.reports import page
from lstm_odyssey.reports.contract import netcdf, schema
from lstm_odyssey.reports.page import advice, importance, words
from lstm_odyssey.reports.page.analyses import Analyses, analyse
from lstm_odyssey.reports.plots import forest
from lstm_odyssey.reports.stats import epoch_cost, table
from lstm_odyssey.reports.stats.compare import compare
from lstm_odyssey.study.asked import points
from tests import made_studies as made
from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("short_analyses", "unpainted")

RECORD = ROOT / "reports" / "records" / "jsb-chorales-paper.nc"


@pytest.fixture(scope="module")
def record() -> xarray.Dataset:
    return netcdf.load(RECORD)


def test_the_record_has_not_converged(record: xarray.Dataset) -> None:
    """1,111 of 1,800 trials ended at the limit of 150 epochs, those with small learning rates above all."""
    found = importance.limited(record)
    assert found.dims == ("task", "variant", "trial") and int(found.sum()) == 1111
    rate = record["learning_rate"]
    assert int(found.where(rate < 1e-5, other=False).sum()) == 445 and int((rate < 1e-5).sum()) == 467
    text = importance.limit_text(record, "jsb_chorales", None)
    assert text.startswith(
        "1,111 of 1,800 trials ended at the limit of 150 epochs, 643 of them with their best score in the last one. "
    )
    assert (
        "Of the quarter with the smallest learning rates 96 % ended there, of the quarter with the largest 11 %."
        in text
    )
    assert text.endswith("Much of the learning rate's share is that they had not converged.")


def test_the_better_half_stands_beside_it(record: xarray.Dataset) -> None:
    """Where shares of the better half are known, the learning rate's is told with it."""
    cuts = xarray.Dataset(
        {
            "main_share": (
                ("task", "variant", "clip", "hyperparameter"),
                numpy.array([[[[0.9], [0.51]], [[0.8], [0.72]]]]),
            )
        },
        {"task": ["jsb_chorales"], "variant": ["a", "b"], "clip": [1.0, 0.5], "hyperparameter": ["learning_rate"]},
    )
    assert importance.limit_text(record, "jsb_chorales", cuts).endswith(
        "Among the better half of the scores it is 51 to 72 %."
    )


def test_nothing_is_said_where_trials_stopped_by_themselves() -> None:
    """Where fewer than a tenth reached the limit there is no sentence; diverged trials are not counted."""
    facts = made.study(trials=6)
    trials = [made.trial(facts, *place, epochs=3) for place in made.places(facts)]
    trials[0] = made.diverged(facts, *made.places(facts)[0]) | {"epochs": 8}
    assert importance.limit_text(schema.build(facts, trials), "songs", None) == ""
    assert not importance.limited(schema.build(facts, trials)).any()


def lines(figure, label):  # type: ignore[no-untyped-def]  # matplotlib's
    return [line for line in figure.axes[0].lines if line.get_label() == label]


@pytest.mark.parametrize("shared", [0.0, pytest.param(0.9, marks=pytest.mark.long)])
def test_the_whisker_is_the_verdict(shared: float) -> None:
    """The corrected interval is drawn as the whisker, the 95 % interval thick, and the verdict stands beside it."""
    study = schema.build(*made.searched({"vanilla": 0.0, "alike": 0.0, "bad": 2.0}, 120, shared=shared))
    found = compare(study, replicates=499)
    order = ["vanilla", "alike", "bad"]
    for narrow in (False, True):
        figure = forest.forest(study, found, "talk", order=order, narrow=narrow)
        for place, name in enumerate(["alike", "bad"]):
            one = found.sel(task="talk", variant=name)
            for label, variable in (("_whisker", "difference_corrected_interval"), ("_95", "difference_interval")):
                assert lines(figure, label)[place].get_xdata().tolist() == one[variable].values.tolist()
            assert lines(figure, "_difference")[place].get_xdata()[0] == float(one["difference"])
        colors = [line.get_color() for line in lines(figure, "_difference")]
        assert colors == [forest.SOFT, forest.VERMILLION] and len(lines(figure, "_baseline")) == 1
    assert "corrected for the number of cells, the verdict" in page.render(study)


def test_the_forest_plot_tells_cost_stability_and_size() -> None:
    """Beside each interval stand the comparison's numbers and the size at its N; a column that is not known is left out."""
    study = schema.build(*made.whole(made.study(variants=("vanilla", "gated"), trials=24)))
    found = compare(study, replicates=9)
    words = [text.get_text() for text in forest.forest(study, found, "songs").axes[0].texts]
    size = int(found["epoch_cost_at"].sel(task="songs"))
    assert words[-4:] == ["difference", f"s/epoch\nat N = {size}", "P(unstable)", f"parameters\nat N = {size}"]
    for place, name in enumerate(["vanilla", "gated"]):
        row = forest.standing(study, found, "songs", name)
        assert words[4 * place : 4 * place + 4] == list(row)
        assert float(row.cost) == pytest.approx(float(found["epoch_cost"].sel(task="songs", variant=name)), rel=1e-2)
        assert row.parameters == f"{88 * size + size**2 + size + 88 * (size + 1):,}"
    found["epoch_cost"][:] = numpy.nan
    assert not any("s/epoch" in text.get_text() for text in forest.forest(study, found, "songs").axes[0].texts)


def test_parameters_at_one_size(record: xarray.Dataset) -> None:
    """The whole network of the paper's LSTM at N = 100 has 84,788 parameters on JSB, and FGR's 174,788."""
    assert epoch_cost.parameters_at(record, "jsb_chorales", "vanilla", 100) == 84_788
    assert epoch_cost.parameters_at(record, "jsb_chorales", "fgr", 100) == 174_788
    assert numpy.isnan(epoch_cost.parameters_at(record, "jsb_chorales", "unknown", 100))


@pytest.mark.parametrize(
    ("levels", "trials", "said"),
    [
        (
            {"vanilla": 0.0, "alike": 0.0, "bad": 2.0},
            120,
            "alike cannot be told from vanilla (its interval includes 0)",
        ),
        ({"vanilla": 0.0, "good": -2.0, "bad": 2.0}, 120, "On talk take good: it alone is better than vanilla"),
        ({"vanilla": 0.0, "bad": 2.0}, 120, "On talk take vanilla: every other cell that was judged is worse."),
        (
            {"vanilla": 0.0, "bad": 2.0},
            40,
            "nothing follows yet: the best tenth of a cell is four trials, and ten are needed: about 100 trials a cell.",
        ),
        ({"vanilla": 0.0}, 20, "On talk there is one cell, vanilla: nothing to compare it with."),
        ({"mine": 0.0, "yours": 0.0}, 20, "On talk nothing was compared: the study has no baseline"),
    ],
)
def test_advice(levels: dict[str, float], trials: int, said: str) -> None:
    """The sentence of advice is computed: who is better, who cannot be told, and below ten trials that nothing follows."""
    study = schema.build(*made.searched(levels, trials))
    found = compare(study, "vanilla" if "vanilla" in levels else None, replicates=499)
    text = advice.advice(study, found, "talk", list(levels))
    assert said in text and text.endswith(".")


def test_a_page_of_an_unfinished_study_blames_nobody() -> None:
    """Cells of which no trial has run beat nothing and fail nothing; without the baseline's scores the others wait."""
    study, trials = made.searched({"vanilla": 0.0, "alike": 0.0, "bad": 0.0}, 20)
    dataset = schema.build(study, [one for one in trials if one["variant"] == "alike"])
    text = words.task_text(dataset, table.summary(dataset), "talk")
    assert "It beats the chance level. vanilla and bad have no score yet." in text and "does not beat" not in text
    found = compare(dataset, "vanilla", replicates=99)
    said = advice.advice(dataset, found, "talk", ["alike", "vanilla", "bad"])
    assert said == "On talk nothing follows yet: vanilla, which cells are compared with, has no score."
    nothing = schema.build(study, [])
    said = advice.advice(nothing, compare(nothing, "vanilla", replicates=99), "talk", ["alike", "vanilla", "bad"])
    assert said == "On talk nothing follows: there are no scores to compare."


def test_advice_takes_the_cheapest() -> None:
    """Of cells that cannot be told apart the one with the cheapest epoch is recommended, its cost beside it."""
    study = schema.build(*made.searched({"vanilla": 0.0, "alike": 0.0}, 120))
    found = compare(study, replicates=99)
    for cheap, dear in (("alike", "vanilla"), ("vanilla", "alike")):
        found["epoch_cost"].loc[{"variant": cheap}], found["epoch_cost"].loc[{"variant": dear}] = 0.5, 2.0
        found["epoch_cost_error"][:] = 0.1
        text = advice.advice(study, found, "talk", ["vanilla", "alike"])
        assert text.startswith(f"On talk take {cheap}: ") and "cheaper (0.500 s an epoch at N = " in text


@pytest.mark.parametrize(
    ("apart", "freedom", "alike"), [(0.02, 117, True), (0.03, 117, False), (0.03, 2, True), (0.05, 2, False)]
)
def test_advice_calls_no_cell_cheaper_within_the_error_of_the_fit(apart: float, freedom: int, alike: bool) -> None:
    """Of two costs whose logarithms have a standard error of 0.01 each, 2 % apart is chance, 3 % is not: from fits of 120
    trials. From fits of five, two degrees of freedom each, 3 % is chance as well.
    """
    study = schema.build(*made.searched({"vanilla": 0.0, "alike": 0.0}, 120))
    found = compare(study, replicates=99)
    found["epoch_cost"].loc[{"variant": "alike"}], found["epoch_cost"].loc[{"variant": "vanilla"}] = 1, math.exp(apart)
    assert (found["epoch_cost_freedom"] == 117).all()
    found["epoch_cost_error"][:], found["epoch_cost_freedom"][:] = 0.01, freedom
    text = advice.advice(study, found, "talk", ["vanilla", "alike"])
    assert text.startswith(f"On talk take alike{' or vanilla' if alike else ''}: ")
    assert (
        f"cheaper (1.00 to {1 + apart:.2f} s an epoch" in text and "alike within the error of the fit" in text
    ) == alike


def test_rows_of_the_best_trials_can_be_run(tmp_path: Path) -> None:
    """What the page prints for --points is read as points, to the last digit: the best trial of each cell by validation."""
    study = schema.build(*made.whole(made.study(variants=("vanilla", "gated"), trials=12)))
    (tmp_path / "points.csv").write_text(advice.points(study, "songs", ["vanilla", "gated"]))
    rows = points.read(tmp_path / "points.csv")["rows"]
    for row, name in zip(rows, ["vanilla", "gated"], strict=True):
        part = study.sel(task="songs", variant=name)
        best = int(part["best_valid"].values.argmin())
        assert row == {"variant": name, "task": "songs"} | {key: part[key].values[best] for key in made.SPACE}
    assert "variant,task,hidden_size," in page.render(study)


def test_times_that_were_not_measured_are_said(record: xarray.Dataset) -> None:
    """Without times there is a page all the same: no cost, no front, no column of either."""
    study = schema.build(*made.searched({"vanilla": 0.0, "bad": 2.0}, 60))
    for name in ("seconds", "training_seconds", "frames_per_second", "epoch_seconds"):
        study[name].values[:] = numpy.nan
    found: Analyses = analyse(study)
    assert found.times is None and not found.comparison["pareto"].any()
    said = advice.advice(study, found.comparison, "talk", ["vanilla", "bad"])
    assert "s/epoch" not in page.render(study, analyses=found) and "nan" not in said
