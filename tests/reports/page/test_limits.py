"""Trials that the limit of epochs ended, and the figures of differences."""

from __future__ import annotations

import numpy
import pytest
import xarray

from lstm_odyssey.reports import page
from lstm_odyssey.reports.contract import netcdf, schema
from lstm_odyssey.reports.page import limits, section
from lstm_odyssey.reports.page.analyses import Analyses, analyse
from lstm_odyssey.reports.plots import budgets, differences
from lstm_odyssey.reports.stats.compare import compare
from tests import made_studies as made
from tests.conftest import ROOT

RECORD = ROOT / "reports" / "records" / "jsb-chorales-paper.nc"


@pytest.fixture(scope="module")
def record() -> xarray.Dataset:
    return netcdf.load(RECORD)


def test_the_record_has_not_converged(record: xarray.Dataset) -> None:
    """1,111 of 1,800 trials ended at the limit of 150 epochs, those with small learning rates above all."""
    found = limits.limited(record)
    assert found.dims == ("task", "variant", "trial") and int(found.sum()) == 1111
    rate = record["learning_rate"]
    assert int(found.where(rate < 1e-5, other=False).sum()) == 445 and int((rate < 1e-5).sum()) == 467
    text = limits.limit_text(record, "jsb_chorales", None)
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
    assert limits.limit_text(record, "jsb_chorales", cuts).endswith(
        "Among the better half of the scores it is 51 to 72 %."
    )


def test_nothing_is_said_where_trials_stopped_by_themselves() -> None:
    """Where fewer than a tenth reached the limit there is no sentence; diverged trials are not counted."""
    facts = made.study(trials=6)
    trials = [made.trial(facts, *place, epochs=3) for place in made.places(facts)]
    trials[0] = made.diverged(facts, *made.places(facts)[0]) | {"epochs": 8}
    assert limits.limit_text(schema.build(facts, trials), "songs", None) == ""
    assert not limits.limited(schema.build(facts, trials)).any()


def lines(figure, label):  # type: ignore[no-untyped-def]
    return [line for line in figure.axes[0].lines if line.get_label() == label]


@pytest.mark.parametrize("shared", [0.0, pytest.param(0.9, marks=pytest.mark.long)])
def test_the_whisker_is_the_verdict(shared: float) -> None:
    """The corrected interval is drawn as the whisker, the 95 % interval thick, and the verdict stands beside it."""
    study = schema.build(*made.searched({"vanilla": 0.0, "alike": 0.0, "bad": 2.0}, 120, shared=shared))
    found = compare(study, replicates=499)
    figure = differences.forest(found, "talk", order=["vanilla", "alike", "bad"])
    for place, name in enumerate(["alike", "bad"]):
        one = found.sel(task="talk", variant=name)
        for label, variable in (("_whisker", "difference_corrected_interval"), ("_95", "difference_interval")):
            assert lines(figure, label)[place].get_xdata().tolist() == one[variable].values.tolist()
        assert lines(figure, "_difference")[place].get_xdata()[0] == float(one["difference"])
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words[0].startswith("open: less than ") and words[1] == "worse"
    text = page.render(study)
    assert ("The same draws on talk" in text) == bool(shared), "the scatter stands only where draws are common"
    assert "corrected for the number of cells, which alone is the verdict" in text


def test_the_scatter_sets_the_same_draws_side_by_side() -> None:
    """A point for each draw both cells have; the best tenth of either is circled."""
    study = schema.build(*made.searched({"vanilla": 0.0, "other": 1.0}, 40, shared=0.9))
    study["status"] = study["status"].astype("U7")
    study["status"].values[0, 1, 7] = "missing"
    study["best_test"].values[0, 1, 7] = study["best_valid"].values[0, 1, 7] = numpy.nan
    figure = differences.scatter(study, compare(study, replicates=9), "talk")
    (points,) = lines(figure, "_draws")
    part = study["best_test"].sel(task="talk")
    kept = numpy.delete(numpy.arange(40), 7)
    assert points.get_xdata().tolist() == part.sel(variant="vanilla").values[kept].tolist()
    assert points.get_ydata().tolist() == part.sel(variant="other").values[kept].tolist()
    sizes = [line.get_xdata().size for line in lines(figure, "_best")]
    assert sizes[1] == 4 and sizes[0] in (3, 4)


def test_times_that_were_not_measured_are_said(record: xarray.Dataset) -> None:
    """Without times there is a page all the same: no cost, no front, and the figures say that times are not measured."""
    study = schema.build(*made.searched({"vanilla": 0.0, "bad": 2.0}, 60))
    for name in ("seconds", "training_seconds", "frames_per_second", "epoch_seconds"):
        study[name].values[:] = numpy.nan
    found: Analyses = analyse(study)
    assert found.times is None and not found.comparison["pareto"].any()
    for figure, place in (
        (budgets.expected_best(found.comparison, "talk"), 1),
        (budgets.scores_against_speed(found.comparison, "talk"), 0),
    ):
        assert "times not measured" in [text.get_text() for text in figure.axes[place].texts]
    text = page.render(study, analyses=found)
    assert "The times of this study were not measured." in text and "nan" not in section.words.device(study)
