"""Cells compared: the dataset against the statistics it is made of, whole studies made up, and every odd study."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy
import pytest
import xarray
from hypothesis import given, settings
from scipy import stats

import lstm_odyssey as lo
from lstm_odyssey.reports.contract import schema
from lstm_odyssey.reports.stats.compare import compare
from lstm_odyssey.reports.stats.contents import BETTER, CONTENTS, FEW, NOTHING, OPEN, SAME, SELF, VERDICTS, WORSE
from lstm_odyssey.reports.stats.judging import pareto
from lstm_odyssey.reports.stats.table import box_values, summary
from tests import made_studies as made

pytestmark = pytest.mark.usefixtures("short_analyses")

QUICK: dict[str, Any] = {"replicates": 499}


def searched(levels: dict[str, float], trials: int = 200, **options: Any) -> xarray.Dataset:
    return schema.build(*made.searched(levels, trials, **options))


@pytest.fixture(scope="module")
def study() -> xarray.Dataset:
    """Four cells, 200 trials: one alike, one worse by one standard deviation, one better by one."""
    return searched({"vanilla": 0.0, "alike": 0.0, "bad": 1.0, "good": -1.0})


@pytest.fixture(scope="module")
def found(study: xarray.Dataset) -> xarray.Dataset:
    return compare(study, replicates=1999)


def test_the_layout(found: xarray.Dataset, tmp_path: Path) -> None:
    """Every variable that is announced is there, with its dimensions, words and units, and netCDF holds all of it."""
    for name, content in CONTENTS.items():
        assert found[name].dims == content.dims, name
        assert found[name].attrs["long_name"] == content.long_name
        assert found[name].dtype.kind in ("U" if name.startswith("verdict") else "bif"), name
        assert ("units" in found[name].attrs) == (found[name].dtype.kind in "if"), name
    assert set(found.data_vars) == {
        *CONTENTS,
        "metric",
        "units",
        "direction",
        "chance",
        "budget",
        "comparisons",
        "epoch_cost_at",
    }
    assert all("long_name" in found[dim].attrs for dim in found.dims)
    found.to_netcdf(tmp_path / "comparison.nc", engine="h5netcdf")
    again = xarray.load_dataset(tmp_path / "comparison.nc", engine="h5netcdf")
    assert set(again.data_vars) == set(found.data_vars)
    assert again.attrs["baseline"] == "vanilla"


def test_differences_are_found(found: xarray.Dataset) -> None:
    """A cell worse by one standard deviation is called worse, a better one better, one that is alike neither."""
    verdicts = dict(zip(found["variant"].values.tolist(), found["verdict"].values[0].tolist(), strict=True))
    assert verdicts == {"vanilla": SELF, "alike": OPEN, "bad": WORSE, "good": BETTER}
    bad = found.sel(task="talk", variant="bad")
    for name in ("difference", "hedges_g", "cliffs_delta"):
        low, high = bad[f"{name}_interval"].values
        assert 0 < low < float(bad[name]) < high, name


def test_numbers_by_hand(study: xarray.Dataset, found: xarray.Dataset) -> None:
    """The best 20 of 200 by validation, taken by hand, give mean, difference and Welch's test."""
    best = {}
    for name in study["variant"].values.tolist():
        part = study.sel(task="talk", variant=name)
        best[name] = part["best_test"].values[numpy.argsort(part["best_valid"].values)[:20]]
    tests = {name: stats.ttest_ind(best[name], best["vanilla"], equal_var=False) for name in best if name != "vanilla"}
    for name, test in tests.items():
        one = found.sel(task="talk", variant=name)
        assert float(one["mean_test"]) == pytest.approx(best[name].mean(), rel=1e-12)
        assert float(one["std_test"]) == pytest.approx(best[name].std(ddof=1), rel=1e-12)
        assert float(one["difference"]) == pytest.approx(best[name].mean() - best["vanilla"].mean(), rel=1e-9)
        assert float(one["welch_p"]) == pytest.approx(test.pvalue, rel=1e-9)
        pairs = stats.mannwhitneyu(best[name], best["vanilla"]).statistic
        assert float(one["cliffs_delta"]) == pytest.approx(2 * pairs / 400 - 1, rel=1e-9)
        assert float(one["welch_t"]) == pytest.approx(test.statistic, rel=1e-9)
    assert found["best_test"].sel(task="talk", variant="bad").item() == best["bad"].min()
    assert found["selected"].values.tolist() == [[20] * 4] and found["enough"].values.all()


def test_higher_is_better(found: xarray.Dataset) -> None:
    """With accuracies, the negatives of the scores, every verdict is the same and every difference the negative."""
    other = compare(searched({"vanilla": 0, "alike": 0, "bad": 1, "good": -1}, direction="maximize"), replicates=1999)
    assert other["verdict"].values.tolist() == found["verdict"].values.tolist()
    assert other["verdict_welch"].values.tolist() == found["verdict_welch"].values.tolist()
    assert other["pareto"].values.tolist() == found["pareto"].values.tolist()
    names = ("difference", "mean_test", "best_test", "chosen_test", "hedges_g", "cliffs_delta", "expected_best")
    for name in (*names, "stable_difference", "best_of_difference"):
        numpy.testing.assert_allclose(-other[name].values, found[name].values, rtol=1e-9, err_msg=name)
    for name in ("difference_interval", "difference_corrected_interval", "best_of_difference_interval"):
        numpy.testing.assert_allclose(-other[name].values[..., ::-1], found[name].values, rtol=1e-9, err_msg=name)
    for name in ("better_in_search", "better_in_search_interval"):
        numpy.testing.assert_allclose(other[name].values, found[name].values, rtol=1e-9, err_msg=name)


def test_expected_best_ends(study: xarray.Dataset, found: xarray.Dataset) -> None:
    """The curves start at the mean of all trials and end, without replacement, at the trial that validation chooses."""
    ends = found["expected_best"].sel(replacement="without", n_trials=[1, 200])
    means = study["best_test"].mean("trial").values
    numpy.testing.assert_allclose(ends.values[..., 0], means, rtol=1e-12)
    numpy.testing.assert_allclose(ends.values[..., 1], found["chosen_test"].values, rtol=1e-12)
    assert (found["expected_by_hours"].values[..., 0] > found["expected_by_hours"].values[..., -30]).all()


def test_a_cell_does_not_depend_on_the_others(study: xarray.Dataset, found: xarray.Dataset) -> None:
    """Leaving a cell out, or asking in another order, changes nothing of the others but the correction."""
    fewer = compare(study.sel(variant=["bad", "vanilla"]), replicates=1999)
    for name, content in CONTENTS.items():
        corrected = ("pareto", "difference_corrected_interval", "differs_by_less_than")
        if name not in corrected and not name.startswith("expected_by_hours"):
            here, there = fewer[name], found[name].sel(variant=["bad", "vanilla"])
            assert here.values.tolist() == there.values.tolist() or numpy.array_equal(here, there, equal_nan=True), (
                content
            )
    assert compare(study, **QUICK).identical(compare(study, **QUICK))
    assert not compare(study, **QUICK).identical(compare(study, seed=1, **QUICK))


def test_too_few_trials_are_flagged() -> None:
    """With six trials in the best 10 % the numbers are given, and no verdict but that they are too few."""
    found = compare(searched({"vanilla": 0, "bad": 3}, trials=60), **QUICK)
    assert found["selected"].values.tolist() == [[6, 6]] and not found["enough"].values.any()
    assert found["verdict"].values.tolist() == [[SELF, FEW]]
    assert found["verdict_welch"].values.tolist() == [[SELF, FEW]]
    assert found["welch_p"].sel(task="talk", variant="bad").item() < 0.01


@pytest.mark.parametrize("trials", range(1, 10))
def test_fewer_than_ten_trials(trials: int) -> None:
    """From one trial on there is an answer: one selected has no spread and no test, two have both."""
    found = compare(searched({"vanilla": 0, "bad": 3}, trials=trials), **QUICK).sel(task="talk", variant="bad")
    assert found["selected"].item() == min(trials, 2)
    assert found["verdict"].item() == FEW
    assert math.isnan(float(found["welch_p"])) == (trials == 1)
    assert math.isfinite(float(found["difference"]))


def test_a_single_cell() -> None:
    """One cell is its own baseline and compared with nothing; without a baseline it is only described."""
    study = searched({"vanilla": 0}, trials=30)
    found = compare(study, **QUICK)
    assert found["verdict"].values.tolist() == [[SELF]]
    assert (
        numpy.isnan(found["difference"].values).all()
        and numpy.isnan(found["difference_corrected_interval"].values).all()
    )
    described = compare(study, None, **QUICK)
    assert not described["is_baseline"].values.any()
    assert described["verdict"].values.tolist() == [[NOTHING]]
    assert described.attrs["baseline"] == ""
    assert described["mean_test"].equals(found["mean_test"])


def test_what_is_worse_than_chance_counts_as_chance() -> None:
    """Diverged trials far above the chance level score the chance level, are counted, and have an exact interval."""
    facts, trials = made.searched({"vanilla": 0, "wild": 0}, 120)
    for index in range(120, 160, 2):
        trials[index] = made.diverged(facts, "talk", "wild", index - 120)
    found = compare(schema.build(facts, trials), **QUICK).sel(task="talk", variant="wild")
    assert found["worse_than_chance"].item() == 20
    assert (found["diverged"].item(), found["finished"].item(), found["divergence"].item()) == (20, 120, 20 / 120)
    exact = stats.binomtest(20, 120).proportion_ci(0.95, method="exact")
    assert found["divergence_interval"].values.tolist() == pytest.approx([exact.low, exact.high], rel=1e-12)
    assert found["expected_best"].sel(n_trials=1, replacement="with").item() == pytest.approx(
        numpy.mean(box_values(schema.build(facts, trials), "talk", "wild"))
    )


def test_one_trial_has_no_interval() -> None:
    """Drawn anew it is itself: of a study that has just begun there are scores and differences, and no interval."""
    found = compare(schema.build(*made.searched({"vanilla": 0, "other": 0}, 1)), **QUICK).isel(task=0)
    assert numpy.isfinite(found["difference"].values[1])
    for name in ("mean_test_interval", "difference_interval", "difference_corrected_interval"):
        assert numpy.isnan(found[name].values[1]).all(), name
    assert found["verdict"].values.tolist() == [SELF, "too few trials"]


def test_all_diverged() -> None:
    """Where all trials diverged every score is the chance level: nothing differs, nothing breaks."""
    facts, _ = made.searched({"vanilla": 0, "wild": 0}, 100)
    trials = [made.diverged(facts, *place) for place in made.places(facts)]
    found = compare(schema.build(facts, trials), **QUICK)
    assert (found["divergence"].values == 1).all()
    assert (found["mean_test"].values == 80).all() and (found["worse_than_chance"].values == 100).all()
    assert found["difference"].values[0].tolist()[1] == 0
    assert found["verdict"].values.tolist() == [[SELF, OPEN]] and found["verdict_welch"].values.tolist() == [
        [SELF, SAME]
    ]
    # drawn anew they are all the same: that says nothing of how sure it is
    assert numpy.isnan(found["difference_corrected_interval"].values[0, 1]).all()
    assert math.isnan(found["welch_p"].values[0, 1])


def test_a_task_without_trials() -> None:
    """A task no trial of which has run says that there are no scores; the other task is judged."""
    facts, trials = made.searched({"vanilla": 0, "bad": 2}, 100)
    facts["tasks"]["later"] = copy.deepcopy(facts["tasks"]["talk"])
    found = compare(schema.build(facts, trials), **QUICK)
    assert found["verdict"].sel(task="later").values.tolist() == [SELF, NOTHING]
    assert found["verdict"].sel(task="talk").values.tolist() == [SELF, WORSE]
    assert numpy.isnan(found["budget"].sel(task="later").values).all()
    one = compare(schema.build(facts, trials), tasks="talk", **QUICK)
    assert one["task"].values.tolist() == ["talk"]
    same = "difference_corrected_interval"
    assert one[same].values.tolist()[0][1] == found[same].sel(task="talk").values.tolist()[1]
    assert found["comparisons"].values.tolist() == [1, 0]


def test_common_draws_are_resampled_together() -> None:
    """Where all cells had the same draws their trials are drawn in pairs, and what they share cancels."""
    facts, trials = made.searched({"vanilla": 0, "other": 0}, 200, shared=0.9)
    paired = compare(schema.build(facts, trials), **QUICK)
    apart = compare(schema.build(facts | {"draws": "independent"}, trials), **QUICK)
    widths = [float(numpy.ptp(found["difference_interval"].values[0, 1])) for found in (paired, apart)]
    assert (paired.attrs["resampling"], apart.attrs["resampling"]) == ("paired", "independent")
    assert widths[0] < 0.7 * widths[1]


def test_the_verdict_is_the_corrected_interval_alone(study: xarray.Dataset, found: xarray.Dataset) -> None:
    """Three cells are compared, so each interval is at 1 - .05/3; a plain loop over drawn trials finds the same ends."""
    assert found["comparisons"].values.tolist() == [3] and "bootstrap_p" not in found and "welch_p_holm" not in found
    random, means = numpy.random.default_rng(5), []
    for name in ("alike", "vanilla"):
        part = study.sel(task="talk", variant=name)
        valid, test = part["best_valid"].values, part["best_test"].values
        drawn = random.integers(0, 200, (4000, 200))
        best = numpy.take_along_axis(drawn, numpy.argsort(valid[drawn], axis=1)[:, :20], axis=1)
        means.append(test[best].mean(axis=1))
    expected = numpy.quantile(means[0] - means[1], [0.05 / 6, 1 - 0.05 / 6])
    one = found.sel(task="talk", variant="alike")
    spread = float((means[0] - means[1]).std())
    assert one["difference_corrected_interval"].values == pytest.approx(expected, abs=0.2 * spread)
    assert float(one["differs_by_less_than"]) == numpy.abs(one["difference_corrected_interval"].values).max()


def test_a_cell_that_is_not_judged_widens_no_interval() -> None:
    """Beside a cell of 40 trials, too few for a verdict, the others' corrected intervals stay bit for bit; beside one of 100
    all are wider, as one more is tested. The interval of the cell that is not judged allows for all.
    """
    facts, trials = made.searched({"vanilla": 0, "bad": 2, "mine": 0}, 100, shared=0.5)
    whole = schema.build(facts, trials)
    few = schema.build(facts, [one for one in trials if one["variant"] != "mine" or one["trial"] < 40])
    alone, beside, judged = (compare(one, **QUICK) for one in (whole.drop_sel(variant="mine"), few, whole))
    ends = [
        one["difference_corrected_interval"].sel(task="talk", variant="bad").values for one in (alone, beside, judged)
    ]
    assert ends[0].tolist() == ends[1].tolist() == alone["difference_interval"].values[0, 1].tolist()
    assert numpy.ptp(ends[2]) > numpy.ptp(ends[1])
    assert [one["comparisons"].item() for one in (alone, beside, judged)] == [1, 1, 2]
    assert beside["verdict"].sel(variant="mine").item() == FEW
    plain, corrected = (beside[f"difference{kind}_interval"].sel(variant="mine").values for kind in ("", "_corrected"))
    assert numpy.ptp(corrected) > numpy.ptp(plain), "as if both were judged"


def test_what_cannot_be_asked(study: xarray.Dataset) -> None:
    """An unknown baseline or task, and options out of range, are refused with what there is and what to do."""
    with pytest.raises(ValueError, match="baseline 'gru': not in the study; expected one of vanilla, alike, bad, good"):
        compare(study, "gru")
    with pytest.raises(ValueError, match="task 'songs': not in the study; expected some of talk"):
        compare(study, tasks=["talk", "songs"])
    with pytest.raises(ValueError, match="tasks: got \\[\\]; expected one or more"):
        compare(study, tasks=[])
    with pytest.raises(ValueError, match="confidence: got 95; expected a number between 0 and 1"):
        compare(study, confidence=95)
    with pytest.raises(ValueError, match="replicates: got 0; expected at least 1"):
        compare(study, replicates=0)
    with pytest.raises(schema.SchemaError):
        compare(study.drop_vars("best_test"))
    with pytest.raises(schema.SchemaError, match="study: found int 5, expected an xarray.Dataset. Open the study with"):
        lo.compare(5)
    with pytest.raises(schema.SchemaError, match="study: found int 5, expected a stored study, a study of optuna or a"):
        lo.fanova(5)


def test_the_pareto_front() -> None:
    """A point is on the front if no other is as good in both and better in one; NaN never is; twins both are."""
    assert pareto([1, 1, 2, math.nan], [2, 2, 1, 0]) == [True, True, True, False]
    assert pareto([1, 2], [1, 1]) == [True, False]


@settings(max_examples=25, deadline=None)
@given(made.analysable())
def test_any_study_is_compared(odd: made.Made) -> None:
    """Holes, ties, failures, one trial, one cell, both directions: nothing warns, counts add up, numbers are in range."""
    study = schema.build(*odd)
    found = compare(study, study["variant"].values.tolist()[0], replicates=49)
    counts = found["finished"] + found["failed"] + found["missing"]
    assert (counts == found["trials"]).all() and (found["trials"] == study.sizes["trial"]).all()
    assert (found["diverged"] <= found["finished"]).all() and (found["selected"] <= found["finished"]).all()
    assert set(found["verdict"].values.ravel()) | set(found["verdict_welch"].values.ravel()) <= set(VERDICTS)
    for name in CONTENTS:
        if name.endswith("_interval"):
            low, high = numpy.moveaxis(found[name].values, -1, 0)
            assert (numpy.isnan(low) == numpy.isnan(high)).all() and not (low > high).any(), name
    narrow, wide = (found[f"difference{kind}_interval"].values for kind in ("", "_corrected"))
    assert not ((wide[..., 0] > narrow[..., 0]) | (wide[..., 1] < narrow[..., 1])).any()
    verdicts, (low, high) = found["verdict"].values, numpy.moveaxis(wide, -1, 0)
    assert ((low <= 0) & (high >= 0))[verdicts == OPEN].all()
    assert ((low > 0) | (high < 0))[numpy.isin(verdicts, [BETTER, WORSE])].all()
    assert (found["unstable"] <= found["finished"]).all()
    assert (numpy.abs(found["cliffs_delta"].fillna(0)) <= 1).all()
    for place in numpy.ndindex(*found["mean_test"].shape):
        values = box_values(
            study, *(str(study[dim].values[i]) for dim, i in zip(("task", "variant"), place, strict=True))
        )
        for name in ("mean_test", "best_test", "chosen_test", "expected_best"):
            one = found[name].values[place]
            known = one[~numpy.isnan(one)] if numpy.ndim(one) else numpy.array([one] * (not math.isnan(one)))
            assert not known.size or values.min() - 1e-9 <= known.min() <= known.max() <= values.max() + 1e-9, name


@settings(max_examples=15, deadline=None)
@given(made.analysable())
def test_any_study_is_tabulated(odd: made.Made) -> None:
    """The table has a row for each task and cell, and its counts, best trial and selection are the comparison's."""
    study = schema.build(*odd)
    table, found = summary(study), compare(study, None, replicates=1)
    assert len(table) == study.sizes["task"] * study.sizes["variant"]
    for name in ("trials", "finished", "diverged", "unstable", "failed", "missing"):
        assert table[name].tolist() == found[name].values.ravel().tolist()
    for (task, variant), row in table.iterrows():
        one = found.sel(task=task, variant=variant)
        assert row["selected"] == one["selected"].item()
        for name in (
            "mean_test",
            "chosen_test",
            "epoch_cost",
            "epoch_cost_error",
            "epoch_cost_freedom",
            "epoch_cost_residual",
            "n_parameters",
            "mean_parameters",
        ):
            assert row[name] == pytest.approx(one[name].item(), nan_ok=True), name
        if one["worse_than_chance"].item() == 0 and row["best_trial"] >= 0:
            assert row["best_test"] == one["best_test"].item()


@settings(max_examples=15, deadline=None)
@given(made.analysable())
def test_any_mean_lies_in_its_interval(odd: made.Made) -> None:
    """The mean that the table prints is the comparison's and lies within the interval that stands beside it."""
    study = schema.build(*odd)
    table, found = summary(study), compare(study, None, replicates=499)
    for (task, variant), row in table.iterrows():
        low, high = found["mean_test_interval"].sel(task=task, variant=variant).values.tolist()
        if math.isnan(row["mean_test"]):
            assert math.isnan(low)
        elif not math.isnan(low):
            margin = 1e-9 * max(1.0, abs(row["mean_test"]))
            assert low - margin <= row["mean_test"] <= high + margin, (task, variant)


def test_the_accessor(study: xarray.Dataset) -> None:
    """``study.odyssey`` asks the plain functions: the same comparison, the same table, errors for what is no study."""
    assert study.odyssey.compare(replicates=49).identical(lo.compare(study, replicates=49))
    assert study.odyssey.table().equals(summary(study))
    assert study.odyssey.table(order=["good", "bad"]).index.get_level_values("variant").tolist() == ["good", "bad"]
    shares = study.odyssey.fanova(variants=["vanilla"], clip=(1.0,), trees=5, points=5)
    assert shares.identical(lo.fanova(study, variants=["vanilla"], clip=(1.0,), trees=5, points=5))
    with pytest.raises(ValueError, match="variant 'gru': not in the study; expected some of vanilla"):
        study.odyssey.table(order=["gru"])
    with pytest.raises(schema.SchemaError):
        xarray.Dataset().odyssey.table()
    assert repr(study.odyssey) == "a study's analyses: .fanova(), .compare(), .reruns(), .table(), .unstable()"
