"""``lo.fanova``: what it makes of whole studies, what it says of poor ones, and what it refuses."""

from __future__ import annotations

import functools
import json
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st

import lstm_odyssey as lo
from lstm_odyssey.reports.contract import schema
from lstm_odyssey.reports.fanova import layout as fanova_layout
from lstm_odyssey.reports.fanova import refits
from lstm_odyssey.reports.fanova.api import FanovaError, fanova
from lstm_odyssey.reports.fanova.space import axis
from lstm_odyssey.reports.stats.inference import capped
from lstm_odyssey.tasks import distributions
from tests import made_studies as made
from tests.conftest import ROOT

TREES = 10
AXES = {name: axis(form) for name, form in made.SPACE.items()}
RECORD = ROOT / "reports" / "records" / "jsb-chorales-paper.nc"

Score = Callable[[dict[str, float], int], float]


def rate_matters(u: dict[str, float], variant: int) -> float:
    """Scores of 4 to 6.4: mostly the learning rate, some size, and nothing of the rest."""
    return 4 + 1.6 * (u["learning_rate"] - 0.6) ** 2 / 0.36 + 0.8 * u["hidden_size"]


def planted(
    score: Score = rate_matters,
    n: int = 60,
    variants: tuple[str, ...] = ("plain",),
    tasks: dict[str, dict[str, Any]] | None = None,
    seed: int = 0,
    change: Callable[[dict[str, Any], int], dict[str, Any]] = lambda one, index: {},
) -> xarray.Dataset:
    """A study whose test scores are a function of the places u on the sampling axes; ``change`` replaces fields of trials."""
    study = made.study(tasks, variants, n, 1)
    trials = []
    for task, variant, index in made.places(study):
        generator = numpy.random.default_rng([seed, len(trials)])
        u = {name: float(generator.random()) for name in AXES}
        one = made.trial(study, task, variant, index)
        one["hyperparameters"] = {name: float(AXES[name].quantile(place)) for name, place in u.items()}
        one["hyperparameters"]["hidden_size"] = int(one["hyperparameters"]["hidden_size"])
        one["best_test"] = one["best_valid"] = score(u, variants.index(variant))
        trials.append(one | change(one, index))
    return schema.build(study, trials)


def quiet(study: xarray.Dataset, **given: Any) -> xarray.Dataset:
    """The analysis without warnings, of small forests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fanova(study, **({"trees": TREES} | given))


@functools.cache
def simple(**given: Any) -> xarray.Dataset:
    return fanova(planted(), trees=50, **given)


def test_planted_importance_is_found() -> None:
    """Where scores depend on rate and size, their shares come out, nothing interacts, and the rest is next to nothing."""
    one = simple().isel(task=0, variant=0).sel(clip=1)
    shares = one["main_share"].to_series()
    assert shares["learning_rate"] > 0.6 and 0.05 < shares["hidden_size"] < 0.3
    assert shares[["momentum", "input_noise"]].sum() < 0.02
    assert one["pair_share"].sum() < 0.1
    assert one["r_squared"] > 0.85 and one["unexplained"] == 1 - one["r_squared"] and not one["flagged"]
    best = float(one["optimum"].sel(hyperparameter="learning_rate"))
    assert abs(float(distributions.LogUniform(0.002, 0.01).cdf(best)) - 0.6) < 0.15
    assert one["optimum"].sel(hyperparameter="hidden_size") < 30
    lowest = one["curve"].sel(hyperparameter="learning_rate").min()
    assert lowest == one["optimum_response"].sel(hyperparameter="learning_rate")


def test_what_it_returns_is_what_the_layout_lists() -> None:
    """Every variable of the layout is there with its dimensions, kind and units, none has the name of a dimension."""
    found = simple()
    assert list(found.data_vars) == [each.name for each in fanova_layout.VARIABLES]
    assert not set(found.data_vars) & set(found.sizes)
    kinds = {"number": "f", "whole": "i", "flag": "b", "text": "U"}
    for each in fanova_layout.VARIABLES:
        assert found[each.name].dims == each.dims
        assert found[each.name].dtype.kind == kinds[each.kind], each.name
        assert found[each.name].attrs["long_name"]
        assert each.kind == "text" or found[each.name].attrs["units"]
    assert found["mean"].attrs["units"] == "nats/frame" and found["variance"].attrs["units"] == "(nats/frame)^2"
    assert set(fanova_layout.COORDINATES) <= set(found.coords)
    assert found["method"].sel(quantity="main").item(0).startswith("exact variance; its divisor")


@pytest.mark.parametrize("given", [{}, {"hyperparameters": "momentum"}, {"pooled": True}], ids=["all", "one", "pooled"])
def test_netcdf_keeps_it(given: dict[str, Any], tmp_path: Any) -> None:
    """The result can be written as netCDF and is the same when read, also where there are no pairs."""
    found = quiet(planted(n=12), **given)
    found.to_netcdf(tmp_path / "found.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "found.nc", engine="h5netcdf") as stored:
        assert stored.identical(found)


def test_shares_add_up() -> None:
    """Orders sum to one; main effects to the first order, pairs to the second; totals hold what each takes part in."""
    for decomposition in ("forest", "per_tree"):
        one = simple(decomposition=decomposition)
        assert numpy.allclose(one["order_share"].sum("order"), 1, atol=1e-12)
        assert numpy.allclose(one["main_share"].sum("hyperparameter"), one["order_share"].sel(order=1), atol=1e-12)
        assert numpy.allclose(one["pair_share"].sum("pair"), one["order_share"].sel(order=2), atol=1e-12)
        for name in one["hyperparameter"].values:
            pairs = one["pair_share"].isel(pair=(one["first"] == name) | (one["second"] == name)).sum("pair")
            least = one["main_share"].sel(hyperparameter=name) + pairs
            error = one["total_share_standard_error"].sel(hyperparameter=name)
            assert (one["total_share"].sel(hyperparameter=name) >= least - 4 * error - 1e-12).all()


def test_exact_numbers_have_no_standard_error() -> None:
    """Per tree everything is exact; of the forest's mean what hangs on the sampled total has a small standard error."""
    forest, trees = simple(), simple(decomposition="per_tree")
    for name in ("main", "pair", "order", "total"):
        assert (trees[f"{name}_share_standard_error"] == 0).all()
        assert 0 < forest[f"{name}_share_standard_error"].max() < 0.01
        assert numpy.array_equal(forest[f"{name}_share_over_trees"], trees[f"{name}_share_over_trees"])
    assert {"exact", "exact: pairs of leaves"} == set(trees["method"].values.ravel().tolist())


def test_the_measure_is_the_draws() -> None:
    """Masses of the points are those of the sampling distribution, of whatever kind, and positions lie on its axis."""
    found = simple()
    assert found["scale"].isel(task=0).values.tolist() == ["log", "log", "log of 1 - x", "linear"]
    assert numpy.allclose(found["mass"].sum("point"), 1)
    for name, form in made.SPACE.items():
        there = found.isel(task=0).sel(hyperparameter=name)
        position = there["position"].values[~numpy.isnan(there["position"].values)]
        known = distributions.distribution_from_dict(form)
        if name == "hidden_size":
            upper, lower = known.cdf(position), known.cdf(position - 2)
            assert numpy.allclose(there["mass"].values[: position.size], upper - lower, atol=1e-12)
            assert there["level"].values[:3].tolist() == ["20", "22", "24"]
        else:
            assert numpy.allclose(known.cdf(position), there["probability"].values, atol=1e-9)


FORMS = [*made.SPACE.values(), {"kind": "uniform", "low": -3.0, "high": 2.0}, {"kind": "choice", "values": [4, 1, 2]}]
FORMS += [{"kind": "choice", "values": [False, True]}]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_axes_are_the_distributions(form: dict[str, Any]) -> None:
    """What the analysis takes as the axis of a stored distribution is the distribution trials are drawn from."""
    known, here = distributions.distribution_from_dict(form), axis(form)
    generator = numpy.random.default_rng(0)
    draws = numpy.array([known.draw(generator) for _ in range(300)], float)
    cells = here.cells(draws)
    if hasattr(here, "cdf"):
        assert numpy.allclose(here.cdf(draws), known.cdf(draws), atol=1e-12)
        assert numpy.allclose(here.quantile(known.cdf(draws)), draws, rtol=1e-9, atol=1e-12)
        assert (
            (cells.edges[cells.places] <= known.cdf(draws)) & (known.cdf(draws) <= cells.edges[cells.places + 1])
        ).all()
    else:
        values = numpy.array(here.values, float)
        assert (values[cells.places] == draws).all()
        assert numpy.allclose(cells.edges[1:], known.cdf(values), atol=1e-12)


def test_many_trials_share_cells() -> None:
    """A thousand different values make 256 cells, whose edges lie between trials and hold about as many each."""
    values = numpy.random.default_rng(1).random(1000)
    cells = axis({"kind": "uniform", "low": 0, "high": 1}).cells(values)
    assert cells.edges.size == 257 and numpy.bincount(cells.places).tolist().count(0) == 0
    assert set(numpy.bincount(cells.places)) <= {3, 4, 5}
    assert ((cells.edges[cells.places] <= values) & (values <= cells.edges[cells.places + 1])).all()


def test_clipping_changes_the_story() -> None:
    """Raw and clipped stand side by side with the cut-off: a cliff that fills the raw variance is gone from the good region."""

    def cliff(u: dict[str, float], variant: int) -> float:
        return 10.0 if u["learning_rate"] > 0.8 and u["momentum"] > 0.2 else 4 + u["hidden_size"]

    study = planted(cliff, n=150)
    found = fanova(study, trees=30, clip=(1, 0.5)).isel(task=0, variant=0)
    raw, clipped = found["main_share"].sel(clip=1), found["main_share"].sel(clip=0.5)
    assert raw.sel(hyperparameter="learning_rate") > 0.5 > raw.sel(hyperparameter="hidden_size")
    assert clipped.sel(hyperparameter="hidden_size") > 0.5
    assert found["cutoff"].sel(clip=0.5) == numpy.quantile(study["best_test"], 0.5)
    assert found["cutoff"].sel(clip=1) == 10


def test_clipping_that_changes_nothing_says_so() -> None:
    """Where the worst quarter stands at the ceiling anyway, the clipped analysis is the raw one, and its note says why."""
    slow = float(AXES["learning_rate"].quantile(0.35))

    def explode(one: dict[str, Any], index: int) -> dict[str, Any]:
        return {"best_test": 12.0} if one["hyperparameters"]["learning_rate"] < slow else {}

    found = quiet(planted(change=explode)).isel(task=0, variant=0)
    assert numpy.array_equal(*(found["main_share"].sel(clip=clip) for clip in (1, 0.75)))
    assert ["clipping changes nothing" in note for note in found["note"].values] == [False, True]


def test_larger_scores_may_be_better() -> None:
    """Of a task that maximizes all is mirrored: the same shares, the best of the curve is its highest, the worst is low."""
    task = {"songs": made.SPEECH | {"direction": "maximize", "chance": -50.0}}
    down, up = planted(), planted(lambda u, v: -rate_matters(u, v), tasks=task)
    one, other = (fanova(each, trees=TREES).isel(task=0, variant=0) for each in (down, up))
    assert other["direction"] == "maximize" and other["response_units"] == "%"
    assert numpy.allclose(one["main_share"], other["main_share"], atol=1e-9)
    assert numpy.allclose(one["optimum"], other["optimum"])
    assert numpy.allclose(one["cutoff"], -other["cutoff"]) and one["cutoff"][1] < one["cutoff"][0]


def test_worse_than_chance_stands_at_the_ceiling() -> None:
    """Diverged and hopeless trials stay, scored at the chance level; how many they are is reported."""

    def change(one: dict[str, Any], index: int) -> dict[str, Any]:
        if index < 5:
            return {"status": "diverged", "best_test": None}
        if index < 8:
            return {"best_test": 900.0}
        return {"status": "diverged"} if index == 8 else {}

    study = planted(change=change)
    found = quiet(study).isel(task=0, variant=0)
    assert (found["n"], found["n_diverged"]) == (60, 6)
    assert found["diverged_share"] == 6 / 60 and found["ceiling_share"] == 8 / 60
    assert found["ceiling"] == found["cutoff"].sel(clip=1) == 11.0
    same = study["best_test"].copy(data=capped(study["best_test"].values, 11.0))
    again = quiet(study.assign(best_test=same)).isel(task=0, variant=0)
    assert numpy.array_equal(found["curve"], again["curve"], equal_nan=True)


def test_the_cell_as_a_factor() -> None:
    """Pooled, the cell is one more hyperparameter without order: a cell that is worse shows in its share and its curve."""
    study = planted(lambda u, v: rate_matters(u, 0) + 2 * (v == 1), variants=("a", "bad", "c", "<script>"), n=40)
    found = fanova(study, pooled=True, trees=30, points=3)
    assert found["variant"].values.tolist() == ["all"] and found["n"].item() == 160
    assert found["hyperparameter"].values.tolist()[-1] == "variant"
    one = found.isel(task=0, variant=0).sel(clip=1)
    assert one["main_share"].sel(hyperparameter="variant") > 0.4
    factor = one.sel(hyperparameter="variant")
    assert factor["level"].values.tolist() == ["a", "bad", "c", "<script>"]
    assert factor["mass"].values.tolist() == [0.25] * 4
    curve = factor["curve"].values
    assert curve.argmax() == 1 and curve[1] - curve[[0, 2, 3]].max() > 1.5
    assert factor["optimum"] != 1 and factor["level"].values[int(factor["optimum"])] != "bad"
    assert "learning_rate:variant" in found["pair"]


def test_the_time_is_a_second_response() -> None:
    """Training time is explained as it stands, in seconds: no ceiling, and what makes it long is found."""
    study = planted(change=lambda one, index: {"seconds": 3.0 + one["hyperparameters"]["hidden_size"] ** 2 / 100})
    found = fanova(study, response="seconds", trees=30, clip=1)
    assert found["main_share"].isel(task=0, variant=0, clip=0).sel(hyperparameter="hidden_size") > 0.9
    assert found["curve"].attrs["units"] == "s" and numpy.isnan(found["ceiling"]).all()
    assert found["optimum"].isel(task=0, variant=0, clip=0).sel(hyperparameter="hidden_size") == 20


def test_a_throughput_is_better_when_larger() -> None:
    """The optimum of frames per second is where there are most of them."""
    study = planted(change=lambda one, index: {"frames_per_second": 1000.0 * one["hyperparameters"]["input_noise"]})
    found = fanova(study, response="frames_per_second", trees=30, clip=1).isel(task=0, variant=0, clip=0)
    assert found["direction"] == "maximize" and found["optimum"].sel(hyperparameter="input_noise") > 0.8


def test_tasks_with_other_spaces() -> None:
    """What a task does not draw is NaN there and nowhere else; units differ by task."""
    study = planted(tasks={"songs": made.MUSIC, "talk": made.SPEECH}, n=15)
    distributions_ = schema.attribute(study, "distributions")
    del distributions_["talk"]["momentum"]
    study.attrs["distributions"] = json.dumps(distributions_)
    found = quiet(study).isel(variant=0).sel(clip=1)
    assert numpy.isnan(found["main_share"].sel(task="talk", hyperparameter="momentum"))
    assert found["scale"].sel(task="talk", hyperparameter="momentum") == ""
    assert found["main_share"].notnull().sum() == 7 and found["pair_share"].notnull().sum() == 6 + 3
    assert found["mean"].attrs["units"] == "by task: response_units"
    nothing = quiet(study, hyperparameters="momentum").sel(clip=1).isel(variant=0)
    assert "none of the hyperparameters was drawn here" in str(nothing["note"].sel(task="talk").item())


def test_too_few_of_one_cell() -> None:
    """A cell with nine finished trials is NaN, with a note and a warning; a cell with ten beside it is analysed."""
    study = planted(variants=("plain", "gated"), n=10)
    study["status"][0, 0, 0] = "failed"
    with pytest.warns(UserWarning, match=r"variant 'plain', clip 1: too few finished trials .*n = 9; 10 are needed"):
        found = fanova(study, trees=TREES, clip=1).isel(task=0, clip=0)
    assert numpy.isnan(found["main_share"].sel(variant="plain")).all()
    assert found["main_share"].sel(variant="gated").notnull().all()
    assert found["n"].values.tolist() == [9, 10]


def test_a_constant_response() -> None:
    """No variance: NaN shares, a flat curve, a note and a warning; never a crash."""
    with pytest.warns(UserWarning, match="constant response .all responses are the same."):
        found = fanova(planted(lambda u, v: 4.1), trees=TREES, clip=1, replicates=2).isel(task=0, variant=0, clip=0)
    for name in ("main_share", "pair_share", "order_share", "total_share", "r_squared"):
        assert numpy.isnan(found[name]).all()
    assert numpy.nanmax(abs(found["curve"] - 4.1)) < 1e-12 and found["variance"] == 0
    assert found["refit_spread"] == "no refit spread (constant response)" and not found["flagged"]


def test_all_diverged() -> None:
    """All at the chance level: that is said, and where chance is not known there is nothing to analyse."""
    study = planted(change=lambda one, index: {"status": "diverged", "best_test": None})
    with pytest.warns(UserWarning, match="constant response .all at the ceiling."):
        found = fanova(study, trees=TREES, clip=1).isel(task=0, variant=0)
    assert found["diverged_share"] == found["ceiling_share"] == 1
    with pytest.raises(FanovaError, match="got at most 0 finished trials with a response; expected 10 or more"):
        fanova(study.assign(chance=study["chance"] * math.nan))


def test_noise_is_flagged() -> None:
    """Where the forest predicts little, R² is low, the case is flagged and its note says so."""
    noise = numpy.random.default_rng(3)
    score = planted(lambda u, v: 4 + noise.random() + u["learning_rate"])
    found = fanova(score, trees=30, clip=1).isel(task=0, variant=0, clip=0)
    assert 0 < found["r_squared"] < 0.3 and found["flagged"]
    assert "the shares describe little of the response" in found["note"].item()


def test_trials_left_out_are_counted() -> None:
    """A finished trial without a test score is left out, and the note says how many there were."""
    found = quiet(planted(change=lambda one, index: {"best_test": None} if index < 3 else {})).isel(task=0, variant=0)
    assert found["n"] == 57 and "3 finished trials without a response" in found["note"].values[0]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"variants": "lstm"}, "variants to analyse: got 'lstm'; expected some of plain. Name a variant of the study."),
    ({"tasks": ["songs", "x"]}, "tasks to analyse: got 'x'; expected some of songs."),
    ({"hyperparameters": []}, "hyperparameters to analyse: got none; expected some of hidden_size, learning_rate"),
    ({"hyperparameters": "lr"}, "hyperparameters to analyse: got 'lr'"),
    ({"decomposition": "trees"}, "decomposition: got 'trees'; expected one of per_tree, forest."),
    ({"response": "loss"}, "response: got 'loss'; expected one of best_valid, best_test"),
    ({"clip": ()}, "clip: got []; expected different quantiles above 0, at most 1."),
    ({"clip": (1, 1)}, "clip: got [1.0, 1.0]"),
    ({"clip": 75}, "clip: got [75.0]"),
    ({"trees": 0}, "trees: got 0; expected a whole number, 1 or more."),
    ({"trees": 2.5}, "trees: got 2.5"),
    ({"points": 1}, "points: got 1; expected a whole number, 2 or more."),
    ({"replicates": -1}, "replicates: got -1"),
    ({"level": 95}, "level: got 95; expected a probability between 0 and 1."),
]


@pytest.mark.parametrize(("wrong", "message"), BAD, ids=[str(wrong) for wrong, _ in BAD])
def test_bad_arguments(wrong: dict[str, Any], message: str) -> None:
    """What is asked for wrongly is refused in one sentence: subject, got, expected, what to do."""
    with pytest.raises(FanovaError) as caught:
        fanova(planted(n=10), **wrong)
    assert message in str(caught.value)


@pytest.mark.parametrize("n", [1, 9])
def test_too_few_trials(n: int) -> None:
    """Fewer than ten finished trials of every cell are an error that says what else could be done."""
    with pytest.raises(FanovaError, match=f"got at most {n} finished trials .*; expected 10 or more .*pooled=True"):
        fanova(planted(n=n))


def test_a_distribution_from_elsewhere() -> None:
    """A distribution of unknown kind, or a value that it cannot have drawn, is named with its hyperparameter."""
    study = planted(lambda u, v: 4 + 5 * u["momentum"], n=40)  # a response that a forest can tell
    study.attrs["distributions"] = study.attrs["distributions"].replace("even_integer", "poisson")
    with pytest.raises(
        FanovaError, match="hyperparameter 'hidden_size' of task 'songs': got a distribution of kind 'poisson'"
    ):
        fanova(study)
    assert quiet(study, hyperparameters=["momentum", "input_noise"])["main_share"].notnull().all()
    odd = planted(n=10)
    odd["hidden_size"][0, 0, 0] = 21
    with pytest.raises(FanovaError, match=r"'hidden_size' of task 'songs': got 21.0, which is none of its \d+ levels"):
        fanova(odd)


def test_a_hyperparameter_without_its_values() -> None:
    """What was drawn and is not there is named, in one sentence that says what to do; it may be left out on purpose."""
    study, rest = planted(n=20), ["hidden_size", "momentum", "input_noise"]
    message = "hyperparameter 'learning_rate' of task 'songs': got a distribution without values; expected what was drawn, as "
    with pytest.raises(FanovaError) as caught:
        fanova(study.drop_vars("learning_rate"))
    assert message in str(caught.value) and str(caught.value).endswith(f"leave it out: hyperparameters={rest!r}.")
    with pytest.raises(FanovaError, match="got a variable that is not marked as one"):
        fanova(study.assign(learning_rate=study["learning_rate"].drop_attrs()))
    with pytest.raises(FanovaError, match="'learning_rate' of task 'talk'"):
        both = planted(n=20, tasks={"songs": made.MUSIC, "talk": made.SPEECH})
        spaces = schema.attribute(both, "distributions")
        del spaces["songs"]["learning_rate"]
        fanova(both.drop_vars("learning_rate").assign_attrs(distributions=json.dumps(spaces)))
    found = quiet(study.drop_vars("learning_rate"), hyperparameters=rest, clip=1)
    assert found["hyperparameter"].values.tolist() == rest


@given(given=made.studies(), pooled=st.booleans())
def test_any_small_study_is_refused_in_words(given: made.Made, pooled: bool) -> None:
    """Studies with holes, diverged and failed trials and any names: too small, they end in the one error."""
    with pytest.raises(
        FanovaError, match="finished trials with a response|none that was drawn|hyperparameters to analyse"
    ):
        fanova(schema.build(*given), pooled=pooled)


def test_same_seed_same_numbers() -> None:
    """The analysis is a function of the study, the settings and the seed."""
    study = planted(n=30)
    assert quiet(study).identical(quiet(study)) and not quiet(study)["main_share"].equals(
        quiet(study, seed=2)["main_share"]
    )


def test_the_study_is_left_alone() -> None:
    """Nothing of what is analysed is changed."""
    study = planted(n=12, change=lambda one, index: {"best_test": 900.0} if index < 3 else {})
    before = study.copy(deep=True)
    quiet(study)
    assert study.identical(before)


INTERVALS: dict[str, Any] = {"trees": TREES, "clip": (1, 0.75), "replicates": 12}


def test_intervals(tmp_path: Any) -> None:
    """Refits over resampled trials bound shares, curves and optima; progress counts every fit; the cache saves them all."""
    seen: list[tuple[int, int]] = []
    study = planted(n=50)
    found = fanova(study, **INTERVALS, cache=tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 26) for done in range(1, 27)]
    for name in ("main_share", "pair_share", "order_share", "total_share", "curve", "optimum"):
        low, high = found[f"{name}_low"], found[f"{name}_high"]
        assert (low.notnull() == found[name].notnull()).all() and not (low > high).any() and (low < high).any(), name
    assert found["main_share_low"].sel(hyperparameter="learning_rate", clip=1) > 0.5
    (said,) = set(found["refit_spread"].values.ravel())
    assert said.startswith(
        "refit spread: the middle 95 % of 12 forests of bootstrap samples of the trials, too few for this level: about the "
    )
    assert len(list(tmp_path.iterdir())) == 2
    narrow = fanova(study, **INTERVALS, level=0.5, cache=tmp_path)
    width = [each["curve_high"] - each["curve_low"] for each in (found, narrow)]
    assert (width[1] <= width[0] + 1e-12).where(width[0].notnull(), True).all() and width[1].sum() < width[0].sum()


def test_the_cache_is_used_and_distrusted(tmp_path: Any, monkeypatch: Any) -> None:
    """Cached refits are not done again; another response or a damaged file is; the numbers are the same either way."""
    counted: list[int] = []
    refit = refits.refit
    monkeypatch.setattr(refits, "refit", lambda asked, number: (counted.append(number), refit(asked, number))[1])
    study = planted(n=50)
    first = fanova(study, **INTERVALS, cache=tmp_path)
    assert len(counted) == 24
    assert fanova(study, **INTERVALS, cache=tmp_path).identical(first) and len(counted) == 24
    fanova(study, **INTERVALS | {"seed": 2, "clip": 1}, cache=tmp_path)
    assert len(counted) == 36
    for file in tmp_path.iterdir():
        file.write_bytes(b"PK\x03\x04 damaged")
    assert fanova(study, **INTERVALS, cache=tmp_path).identical(first) and len(counted) == 60
    fanova(planted(n=50, seed=1), **INTERVALS, cache=tmp_path)
    assert len(counted) == 84


def test_workers_change_no_number() -> None:
    """Two processes give the numbers of one."""
    study = planted(n=50)
    settings = INTERVALS | {"replicates": 4, "clip": 1}
    assert fanova(study, **settings, jobs=2).identical(fanova(study, **settings))


def test_no_refit_spread_of_few_trials() -> None:
    """Below fifty finished trials there is no refit spread, and the result says why; neither where none was asked for."""
    few = fanova(planted(n=49), trees=TREES, replicates=3)
    assert set(few["refit_spread"].values.ravel()) == {"no refit spread (n = 49; 50 are needed)"}
    assert few["main_share_low"].isnull().all() and few["main_share"].notnull().all()
    assert set(simple()["refit_spread"].values.ravel()) == {"no refit spread (none was asked for)"}


def test_the_refit_spread_is_no_interval() -> None:
    """It is called a spread wherever it stands, as it misses true shares: the forest's bias is in every refit."""
    for name, variable in simple().data_vars.items():
        if str(name).endswith(("_low", "_high")):
            assert (
                "refit spread" in variable.attrs["long_name"]
                and "bootstrap interval" not in variable.attrs["long_name"]
            ), name
    # a name with a type, as the function that takes it wants
    score: Score = lambda u, v: u["learning_rate"] + 0.15 * u["input_noise"]  # noqa: E731
    missed = 0
    for seed in range(6):
        found = fanova(planted(score, n=60, seed=seed), **INTERVALS | {"clip": 1}).isel(task=0, variant=0, clip=0)
        one = found.sel(hyperparameter="input_noise")
        missed += not one["main_share_low"] <= 0.15**2 / (1 + 0.15**2) <= one["main_share_high"]
    assert missed >= 3


def test_a_forest_that_predicts_nothing_has_no_shares() -> None:
    """Where R² is 0 or less the shares are NaN and the note says so; above it they are there."""
    noise = fanova(
        planted(lambda u, v: float(numpy.sin(1e7 * (u["learning_rate"] + u["momentum"]))), n=60), trees=TREES, clip=1
    )
    one = noise.isel(task=0, variant=0, clip=0)
    assert one["r_squared"] <= 0 and "predicts nothing, there are no shares" in str(one["note"].item())
    assert all(one[f"{name}_share"].isnull().all() for name in ("main", "pair", "order", "total"))
    assert simple()["main_share"].notnull().any()


def test_fewer_trials_than_asked_for_are_not_analysed() -> None:
    """With ``fewest`` a case of fewer trials is left out, and where none is left it is an error that names the number."""
    with pytest.raises(FanovaError, match="at most 49 finished trials with a response; expected 50 or more of a cell"):
        fanova(planted(n=49), trees=TREES, fewest=50)


def test_the_real_study() -> None:
    """On the recorded study the learning rate is the most important of all cells, and momentum has below one per cent."""
    study = lo.open_study(RECORD)
    found = lo.fanova(study, trees=30, clip=1).isel(task=0, clip=0)
    mains = found["main_share"]
    assert (mains.argmax("hyperparameter") == 1).all() and (mains.sel(hyperparameter="momentum") < 0.01).all()
    others = found.sel(variant=[name for name in found["variant"].values if name != "noaf"])
    assert (others["main_share"].sel(hyperparameter="learning_rate") > 2 / 3).all()
    assert (others["r_squared"] > 0.8).all()
