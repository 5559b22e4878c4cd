"""Is the best score luck: the deviation that seeds bring, re-runs beside the search, and the points file between the two."""

import json
import math

import numpy as np
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import lstm_odyssey as lo
from lstm_odyssey.reports.contract import schema
from lstm_odyssey.reports.contract.validation import SchemaError
from lstm_odyssey.reports.stats.best_points import best_points
from lstm_odyssey.reports.stats.reruns import reruns
from lstm_odyssey.reports.stats.seed_deviation import half_width, seed_deviation
from lstm_odyssey.reports.stats.table import summary
from lstm_odyssey.study.asked import points
from tests import made_studies as made
from tests.conftest import ROOT
from tests.small import settings

pytestmark = pytest.mark.usefixtures("short_analyses", "unpainted")

STUDIES = 2000
RECORD = ROOT / "reports" / "records" / "jsb-chorales-paper.nc"


def scores(random, between, shared, own, draws=5, seeds=4):
    """Scores of some draws with some seeds, and the draws' true levels: what differs, what a seed does to all, the rest."""
    levels = random.normal(8.5, between, draws)
    return levels[:, None] + random.normal(0, shared, seeds) + random.normal(0, own, (draws, seeds)), levels


@pytest.mark.parametrize(("shared", "own"), [(0.0, 0.05), (0.03, 0.04), (0.05, 0.05)])
def test_the_deviation_and_its_intervals_are_those_of_known_components(shared, own):
    """The variance is unbiased, and 95 % intervals of the deviation and of a draw's mean hold the truth in 92 to 98 %."""
    random = np.random.default_rng(7)
    truth = math.hypot(shared, own)
    variances, held, means = [], 0, 0
    for _ in range(STUDIES):
        values, levels = scores(random, 0.3, shared, own)
        found = seed_deviation(values)
        variances.append(found.value**2)
        held += found.low <= truth <= found.high
        means += abs(values[0].mean() - levels[0]) <= half_width(found, 4)
    error = np.std(variances) / math.sqrt(STUDIES)
    assert abs(np.mean(variances) - truth**2) < 4 * error
    assert 0.92 <= held / STUDIES <= 0.98 and 0.92 <= means / STUDIES <= 0.98


def test_degrees_that_ignore_what_draws_share_would_cover_too_little():
    """With D (S - 1) degrees of freedom and half of the variance common to all draws the interval covers under 90 %."""
    random = np.random.default_rng(7)
    held = 0
    for _ in range(STUDIES):
        value = seed_deviation(scores(random, 0.3, 0.05, 0.05)[0]).value
        low, high = value * np.sqrt(15 / stats.chi2.ppf([0.975, 0.025], 15))
        held += low <= math.hypot(0.05, 0.05) <= high
    assert held / STUDIES < 0.9


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(2, 6))
def test_the_pooled_variance_is_the_textbook_one(number, draws, seeds):
    """The mean of the draws' variances over seeds; neither order of draws nor order of seeds matters."""
    random = np.random.default_rng(number)
    values, _ = scores(random, 1.0, 0.2, 0.3, draws, seeds)
    found = seed_deviation(values)
    assert found.value == pytest.approx(math.sqrt(values.var(axis=1, ddof=1).mean()))
    assert seeds - 1 <= found.degrees * (1 + 1e-12) and found.degrees <= draws * (seeds - 1) * (1 + 1e-12)
    assert found.low < found.value < found.high and (found.draws, found.seeds) == (draws, seeds)
    again = seed_deviation(random.permutation(random.permutation(values), axis=1))
    assert again[:4] == pytest.approx(found[:4])


def test_draws_that_lack_a_seed_are_left_out_of_the_deviation():
    """A failed re-run takes its draw along, a seed that has not begun nothing."""
    values = np.array([[1.0, 2.0, 4.0], [3.0, 3.5, 5.0], [9.0, 7.0, 1.0]])
    expected = seed_deviation(values[:2])
    holes = np.column_stack([values, np.full(3, np.nan)])
    holes[2, 1] = np.nan
    assert seed_deviation(holes) == expected and (expected.draws, expected.seeds) == (2, 3)


@pytest.mark.parametrize("values", [np.empty((0, 3)), np.ones((2, 1)), np.full((2, 2), np.nan)])
def test_nothing_is_said_without_two_seeds(values):
    """No draw, one seed, no score: no deviation, no interval."""
    found = seed_deviation(values)
    assert np.isnan(found[:4]).all() and math.isnan(half_width(found, 3))


def test_equal_scores_have_no_interval():
    """Scores that are all alike, as at the chance level, have the deviation 0 and say nothing of its size."""
    found = seed_deviation(np.full((3, 4), 11.0))
    assert found.value == 0 and math.isnan(found.low) and math.isnan(half_width(found, 4))


def search(levels=("plain", "gated"), trials=30, seed=0, **options):
    """A made study of some cells, as content and dataset."""
    study, kept = made.searched(dict.fromkeys(levels, 0.0), trials, seed=seed, **options)
    return study, kept, schema.build(study, kept)


def rerun(study, kept, chosen, seed, score):
    """The study of the chosen trials with another seed; ``score`` gives the test score of (variant, trial)."""
    again = json.loads(json.dumps(study)) | {
        "seed": seed,
        "draws": "points",
        "trials": len(next(iter(chosen.values()))),
    }
    trials = []
    for trial in kept:
        if trial["trial"] in chosen[trial["variant"]]:
            index = chosen[trial["variant"]].index(trial["trial"])
            identity = made.digest(f"{seed}/{trial['variant']}/{index}")
            value = score(trial["variant"], trial["trial"])
            trials.append(
                trial | {"seed": seed, "trial": index, "trial_id": identity, "best_test": value, "best_valid": value}
            )
    return again, trials


def best_of(dataset, count):
    """The best trials of each cell by validation, by hand."""
    sign = -1 if dataset["direction"].values[0] == "maximize" else 1
    return {
        name: np.argsort(sign * dataset["best_valid"].values[0, place])[:count].tolist()
        for place, name in enumerate(dataset["variant"].values.tolist())
    }


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_reruns_stand_beside_the_search(direction):
    """Draws in the order of validation, their scores by seed, means, the pooled deviation, and the best beside its mean."""
    study, kept, dataset = search(direction=direction)
    chosen = best_of(dataset, 4)
    sign = -1 if direction == "maximize" else 1
    random = np.random.default_rng(1)
    values = {seed: {} for seed in (5, 3, 9)}
    for one in values.values():
        one |= {(name, k): sign * (49 + random.normal()) for name, listed in chosen.items() for k in listed}
    again = [schema.build(*rerun(study, kept, chosen, seed, lambda *at, s=seed: values[s][at])) for seed in values]
    found = dataset.odyssey.reruns(again)
    assert dict(found.sizes) == {"task": 1, "variant": 2, "draw": 4, "seed": 3, "bound": 2}
    assert found["seed"].values.tolist() == [5, 3, 9] and set(map(str, found.data_vars)) >= {"scores", "excess"}
    for place, name in enumerate(("plain", "gated")):
        part = found.isel(task=0).sel(variant=name)
        table = np.array([[values[seed][name, k] for seed in values] for k in chosen[name]])
        assert part["trial"].values.tolist() == chosen[name]
        np.testing.assert_array_equal(part["scores"].values, table)
        np.testing.assert_allclose(part["mean"].values, table.mean(1))
        expected = seed_deviation(table)
        assert float(part["seed_deviation"]) == expected.value and float(part["degrees_of_freedom"]) == expected.degrees
        assert part["seed_deviation_interval"].values.tolist() == [expected.low, expected.high]
        first = dataset["best_test"].values[0, place, chosen[name]]
        best = int(np.argmin(sign * first))
        assert float(part["best"]) == first[best] and int(part["best_trial"]) == chosen[name][best]
        assert float(part["best_mean"]) == pytest.approx(table[best].mean())
        assert float(part["excess"]) == pytest.approx(sign * (table[best].mean() - first[best]))
        np.testing.assert_allclose(np.diff(part["best_mean_interval"].values), 2 * half_width(expected, 3))
    assert all("long_name" in variable.attrs and "units" in variable.attrs for variable in found.data_vars.values())


def test_reruns_can_be_written(tmp_path):
    """What is found is a netCDF like any other."""
    study, kept, dataset = search()
    again = [schema.build(*rerun(study, kept, best_of(dataset, 2), seed, lambda *_: 40.0)) for seed in (2, 3)]
    found = reruns(dataset, again)
    found.to_netcdf(tmp_path / "reruns.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "reruns.nc", engine="h5netcdf") as there:
        xarray.testing.assert_allclose(there, found)


def test_the_best_of_a_search_is_lucky_and_its_rerun_is_not():
    """Over 60 searches of equal draws the best score lies below the truth, the mean of its re-runs does not; excess says it."""
    random = np.random.default_rng(3)
    excess, means = [], []
    for number in range(60):
        study, kept, dataset = search(trials=20, seed=number)  # every draw is worth 50, seeds bring a deviation of 1
        again = [
            schema.build(*rerun(study, kept, best_of(dataset, 3), seed, lambda *_: 50 + random.normal()))
            for seed in (2, 3, 4)
        ]
        found = reruns(dataset, again)
        excess.append(found["excess"].values.ravel())
        means.append(found["best_mean"].values.ravel())
    assert abs(np.mean(means) - 50) < 4 / math.sqrt(60 * 2 * 3)
    assert np.mean(excess) > 1.2


def test_what_has_no_score_counts_as_none_and_what_is_worse_than_chance_as_chance():
    """Failed and missing re-runs are holes, an exploded one stands at the chance level, a cell without any is empty."""
    study, kept, dataset = search(("plain", "gated", "wild"))
    chosen = best_of(dataset, 3) | {"gated": [], "wild": []}
    made_again = [rerun(study, kept, chosen, seed, lambda *_: 40.0 + seed) for seed in (2, 3)]  # noqa: B023 - called at once
    made_again[0][1][0] |= {"best_test": 1e9}
    made_again[1][1][0] |= {"best_test": 1e9}
    made_again[1][1].pop()
    found = reruns(dataset, [schema.build(*one) for one in made_again])
    part = found.isel(task=0).sel(variant="plain")
    table = part["scores"].values
    assert (table == 80).sum() == 2 and np.isnan(table).sum() == 1 and part["seeds"].values.sum() == 5
    assert int(part["draws"]) == 2
    empty = found.isel(task=0).sel(variant="gated")
    assert (empty["trial"] == -1).all() and int(empty["draws"]) == 0 and int(empty["best_trial"]) == -1
    assert np.isnan(empty["seed_deviation"]) and np.isnan(empty["excess"]) and (empty["seeds"] == 0).all()


def change(content, path, value):
    *inner, last = path
    for key in inner:
        content = content[key]
    content[last] = value


@pytest.mark.parametrize(
    ("seed", "path", "value", "message"),
    [
        (1, (0, "created"), "", "re-run with seed 1: found the study's seed, expected a fresh one"),
        (2, (0, "protocol", "epochs"), 7, "seed 2, protocol: found .*'epochs': 7.*, expected .*'epochs': 1"),
        (2, (0, "tasks", "talk", "checksum"), "0", "checksum of 'talk': found 0, expected"),
        (2, (0, "variants", "gated", "signature"), "0", "signature of 'gated': found 0, expected"),
        (
            2,
            (1, 0, "hyperparameters", "momentum"),
            0.5,
            "trial . of 'plain' on 'talk': found .*momentum 0.5.* finished trial",
        ),
    ],
)
def test_what_is_no_rerun_of_the_study_is_refused(seed, path, value, message):
    """Another protocol, corpus or text, the study's own seed, a point that is no draw of it: named with both values."""
    study, kept, dataset = search()
    content = rerun(study, kept, best_of(dataset, 2), seed, lambda *_: 40.0)
    change(content, path, value)
    content = json.loads(json.dumps(content))
    with pytest.raises(SchemaError, match=message):
        reruns(dataset, schema.build(*content))


def test_a_draw_is_scored_once_with_a_seed():
    """Two re-runs of one seed, a point that stands twice in a file, a variant the study lacks, a score that is none."""
    study, kept, dataset = search()
    chosen = best_of(dataset, 2)
    again, trials = rerun(study, kept, chosen, 2, lambda *_: 40.0)
    one = schema.build(again, trials)
    with pytest.raises(SchemaError, match="found another re-run's seed, expected a fresh one"):
        reruns(dataset, [one, one])
    twice = [*trials[:1], trials[1] | {"hyperparameters": trials[0]["hyperparameters"]}, *trials[2:]]
    with pytest.raises(SchemaError, match="found a draw that another trial has, expected each draw once for a seed"):
        reruns(dataset, schema.build(again, twice))
    with pytest.raises(SchemaError, match="found variant 'plain', expected those of the study"):
        reruns(dataset.sel(variant=["gated"]), one)
    with pytest.raises(ValueError, match="score: got 'seconds'; expected one of"):
        reruns(dataset, one, score="seconds")
    with pytest.raises(ValueError, match="confidence: got 95"):
        reruns(dataset, one, confidence=95)


def test_points_of_a_study_are_its_best_draws(tmp_path):
    """Of each cell so many, best validation first, in every digit; without a number all, in their order."""
    _, kept, dataset = search(direction="maximize")
    chosen = best_of(dataset, 5)
    frame = best_points(dataset, 5)
    assert list(frame.columns) == ["variant", "task", "hidden_size", "learning_rate", "momentum", "input_noise"]
    frame.to_csv(tmp_path / "best.csv", index=False)
    read = points.read(tmp_path / "best.csv")
    draws = {(trial["variant"], trial["trial"]): trial["hyperparameters"] for trial in kept}
    for name, listed in chosen.items():
        assert points.rows(read, "talk", name) == [draws[name, k] for k in listed]
    best_points(dataset).to_csv(tmp_path / "all.csv", index=False)
    assert points.rows(points.read(tmp_path / "all.csv"), "talk", "gated") == [draws["gated", k] for k in range(30)]
    with pytest.raises(ValueError, match="points: 'plain' on 'talk' has 30 finished trials; expected 31"):
        best_points(dataset, 31)
    with pytest.raises(ValueError, match="best: got 0"):
        best_points(dataset, 0)


def test_the_best_score_of_a_cell_is_among_its_points():
    """On the paper's record the page's best score of nfg is its ninth by validation: it stands in place of the fifth."""
    record = lo.open_study(RECORD).isel(task=0)
    table = summary(record).loc["jsb_chorales"]
    frame = best_points(record.expand_dims("task"), 5)
    places = {}
    for name in record["variant"].values.tolist():
        part = record.sel(variant=name)
        order = np.argsort(part["best_valid"].values, kind="stable")
        places[name] = order.tolist().index(table["best_trial"][name])
        expected = order[[0, 1, 2, 3, 4 if places[name] < 5 else places[name]]]
        rates = frame.loc[frame["variant"] == name, "learning_rate"]
        assert rates.tolist() == part["learning_rate"].values[expected].tolist()
    assert places["nfg"] == 8 and table["best_trial"]["nfg"] == 167
    some = record.expand_dims("task").sel(variant=["nfg"], trial=slice(100, None))
    (best,) = np.flatnonzero(some["trial"].values == summary(some)["best_trial"].item())
    assert some["learning_rate"].values[0, 0, best] in best_points(some, 5)["learning_rate"].values


def test_the_whole_way_by_command(odyssey, tmp_path):
    """Search, best points, two fresh seeds, re-runs: the means are those of the re-runs' own files."""
    folder = settings(tmp_path, trials=3, epochs=25)
    store = tmp_path / "search"
    study = lo.run(store, folder)
    code, output, error = odyssey("report", store, "--format=points", "--best=2", "-o", tmp_path / "best.csv")
    assert (code, error) == (0, "") and f"Points: 4 rows in {tmp_path / 'best.csv'}" in output
    again = []
    for seed in (2, 3):
        place = tmp_path / f"again-{seed}"
        said = [
            "run",
            f"--points={tmp_path / 'best.csv'}",
            f"--seed={seed}",
            f"--store={place}",
            "--profile=smoke",
            "--epochs=25",
        ]
        code, output, error = odyssey(*said, f"--data=bach={folder.data['bach']}", "--workers=0")
        assert (code, error) == (0, "") and output.count("2/2") >= 2
        again.append(lo.open_study(place))
    found, chance = study.odyssey.reruns(again), float(study["chance"].item())
    for name in ("nog", "vanilla"):
        expected = [[one["best_test"].sel(task="bach", variant=name, trial=k).item() for one in again] for k in (0, 1)]
        np.testing.assert_array_equal(
            found["scores"].sel(task="bach", variant=name).values, np.minimum(expected, chance)
        )
    assert (found["seed_deviation"] > 0).any() and found.attrs["study_seed"] == 1
    assert [
        code
        for code, *_ in (odyssey("report", store, "--best=2"), odyssey("report", store, "--format=points", "--best=9"))
    ] == [2, 2]
