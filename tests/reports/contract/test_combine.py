"""Several files in one report: what is one row, what is paired, what has no times, what is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy
import pytest
import xarray

import lstm_odyssey as lo
from lstm_odyssey.reports import page
from lstm_odyssey.reports.contract import draws, netcdf, schema
from lstm_odyssey.reports.contract.combine import combine
from lstm_odyssey.reports.contract.restore import restore
from lstm_odyssey.reports.contract.validation import SchemaError, attribute
from lstm_odyssey.reports.page import words
from lstm_odyssey.reports.page.analyses import analyse
from lstm_odyssey.reports.stats import inference
from lstm_odyssey.reports.stats.judging import differences, reselection, shared
from lstm_odyssey.reports.stats.stability import unstable
from lstm_odyssey.reports.stats.table import summary
from tests import made_studies as made
from tests.tools.calibration import BASELINE, CASES, draw, scores, true_difference

pytestmark = pytest.mark.usefixtures("short_analyses", "unpainted")

Content = tuple[dict[str, Any], list[dict[str, Any]]]


def content(
    *variants: str, task: str = "songs", trials: int = 25, seed: int = 1, kind: str = "common", level: float = 0.0
) -> Content:
    """A study whose draws are common to its cells, each cell's own, or those of seed 1 as rows of a file."""
    study = made.study({task: made.MUSIC}, variants or ("plain", "gated"), trials) | {"seed": seed, "draws": kind}
    kept = []
    for variant in study["variants"]:
        for index in range(trials):
            own = f"{seed}/{variant}/{index}" if kind == "independent" else f"{seed if kind == 'common' else 1}/{index}"
            random = numpy.random.default_rng(int(made.digest(own)[:8], 16))
            drawn = {
                "hidden_size": int(2 * random.integers(10, 24)), "learning_rate": float(random.uniform(0.002, 0.01)),
                "momentum": float(random.uniform(0, 0.99)), "input_noise": float(random.uniform()),
            }  # fmt: skip
            noise = numpy.random.default_rng(int(made.digest(f"{seed} {variant} {index}")[:8], 16)).normal(0, 0.1)
            value = 7 + level + 200 * drawn["learning_rate"] + noise + list(study["variants"]).index(variant) * 0.3
            one = made.trial(study, task, variant, index)
            one |= {"hyperparameters": drawn, "best_valid": value, "best_test": value + 0.05}
            kept.append(one | {"trial_id": made.digest(f"{seed}/{kind}/{task}/{variant}/{index}")})
    if kind == "points":
        rows = [one["hyperparameters"] for one in kept if one["variant"] == next(iter(study["variants"]))]
        study["points"] = {"file": "points.csv", "sha256": "ab" * 32, "rows": rows}
    return study, kept


def opened(made_of: Content) -> xarray.Dataset:
    return schema.build(*json.loads(json.dumps(made_of)))


def joined(*contents: Content) -> xarray.Dataset:
    """The studies as one, called a, b, ..."""
    return combine(dict(zip("abcd", map(opened, contents), strict=False)))


def test_other_cells_with_the_same_draws_are_compared_jointly() -> None:
    """Two files of other cells and one seed give what one file of all of them gives, numbers and verdicts alike."""
    apart = joined(content("plain"), content("gated"))
    assert apart["variant"].values.tolist() == ["plain", "gated"] and draws.common(apart)
    study, kept = content("plain")
    other, more = content("gated")
    whole = opened((study | {"variants": study["variants"] | other["variants"]}, kept + more))
    found, expected = (lo.compare(one, "plain", replicates=299) for one in (apart, whole))
    xarray.testing.assert_identical(found, expected)
    assert found.attrs["resampling"] == "paired"


@pytest.mark.parametrize(("kind", "seed"), [("independent", 1), ("common", 2)])
def test_draws_that_differ_are_never_paired(kind: str, seed: int) -> None:
    """Independent beside common draws, and common draws of two seeds, have a group each; the bootstrap takes them apart."""
    both = joined(content("plain", "third"), content("gated", kind=kind, seed=seed))
    groups = draws.groups(both, "songs")
    assert groups["plain"] == groups["third"] != groups["gated"]
    found = lo.compare(both, "plain", replicates=299)
    assert found.attrs["resampling"] == "independent" and both.attrs["draws"] == "independent"
    width = {
        name: float(numpy.ptp(found["difference_interval"].sel(task="songs", variant=name).values)) for name in groups
    }
    assert width["gated"] > 1.5 * width["third"]


def test_a_cell_that_two_files_have_is_two_rows() -> None:
    """The same study from another machine: rows by file, the trials of either, each identifier once, no times."""
    there = content()
    for one in there[1]:
        one["environment"] = {"cpu": "a slow one"}
    both = joined(content(), there)
    assert both["variant"].values.tolist() == ["plain (a)", "gated (a)", "plain (b)", "gated (b)"]
    for label in "ab":
        part = both.sel(variant=[f"plain ({label})", f"gated ({label})"])
        numpy.testing.assert_array_equal(part["best_test"].values, opened(there)["best_test"].values)
    assert both["training_seconds"].isnull().all() and both["epoch_seconds"].isnull().all()
    assert "several processors" in both["seconds"].attrs["comment"] and "there are no times" in draws.sentence(both)
    found = lo.compare(both, "plain (a)", replicates=99)
    assert found["epoch_cost"].isnull().all() and found["hours"].isnull().all()
    assert math.isclose(float(found["difference"].sel(task="songs", variant="plain (b)")), 0)


def test_other_equations_of_one_name_are_two_rows() -> None:
    """Two people's cell of one name, on two tasks."""
    theirs = content("plain", task="talk")
    theirs[0]["variants"]["plain"]["signature"] = made.digest("another")
    both = joined(content("plain"), theirs)
    assert both["variant"].values.tolist() == ["plain (a)", "plain (b)"] and both.sizes["task"] == 2


def test_other_tasks_stand_beside_each_other() -> None:
    """Files of two tasks: one row a cell, times kept where each task ran on one processor, costs told for each task."""
    there = content(task="talk", seed=4, kind="independent")
    for one in there[1]:
        one["environment"] = {"cpu": "a slow one"}
    both = joined(content(), there)
    assert both["task"].values.tolist() == ["songs", "talk"] and both["variant"].values.tolist() == ["plain", "gated"]
    assert (both["status"] == "ok").all() and both["training_seconds"].notnull().all()
    for task, one in (("songs", content()), ("talk", there)):
        expected, found = summary(opened(one)), summary(both)
        assert found.loc[task].equals(expected.loc[task])


def constant(made_of: Content, cell: str = "leaky") -> Content:
    """The study, of which one cell draws a constant for itself alone."""
    study, kept = made_of
    study["variants"][cell]["space"] = {"k.rate": {"kind": "uniform", "low": 0, "high": 1}}
    for one in kept:
        if one["variant"] == cell:
            one["hyperparameters"]["k.rate"] = numpy.random.default_rng(one["trial"]).uniform()
    return study, kept


def test_a_constant_of_its_own_makes_no_other_draws() -> None:
    """A cell that draws a constant beside the common draws is paired with the others, in one file or in two."""
    mine = opened(constant(content("leaky")))
    for files in ({"a": opened(content()), "b": mine}, {"b": mine, "a": opened(content())}):
        both = combine(files)
        assert draws.common(both) and set(draws.groups(both, "songs").values()) == {draws.ALL}
    one = opened(constant(content("plain", "leaky")))
    assert set(draws.groups(one, "songs").values()) == {draws.ALL}
    apart = combine({"a": opened(content(kind="independent")), "b": mine})
    assert len(set(draws.groups(apart, "songs").values())) == 3


def test_a_second_seed_of_draws_with_a_constant_is_found() -> None:
    """The draws as points with another seed: each trial of the cell with the constant gets the index of its draw."""
    first = constant(content("plain", "leaky"))
    study, kept = content("plain", "leaky", seed=2, kind="points")
    rows = {(one["variant"], one["trial"]): one["hyperparameters"] for one in first[1]}
    for one in kept:
        one["hyperparameters"] = rows[one["variant"], one["trial"]]
    study["points"]["rows"] = [{**row, "variant": name} for (name, _), row in rows.items()]
    both = combine({"a": opened(first), "b": opened((study, kept))})
    assert both["variant"].values.tolist() == ["plain", "leaky"] and both.sizes["trial"] == 50
    for name in ("learning_rate", "k.rate"):
        values = both[name].sel(task="songs", variant="leaky").values
        numpy.testing.assert_array_equal(values[:25], values[25:])


def test_two_seeds_of_the_same_draws_are_one_row() -> None:
    """The difference, the means and the curves are the mean of what each seed gives; the draws stay common and are judged."""
    one, two = content(trials=100), content(trials=100, seed=2, kind="points", level=0.4)
    both = joined(one, two)
    assert both["variant"].values.tolist() == ["plain", "gated"] and both.sizes["trial"] == 200
    assert both.attrs["draws"] == "common" and draws.points(both) is None and "2 seeds" in draws.sentence(both)
    alone = [lo.compare(opened(each), "plain", replicates=299) for each in (one, two)]
    found = lo.compare(both, "plain", replicates=299)
    for name in ("difference", "mean_test", "stable_difference", "expected_best", "best_of_difference"):
        numpy.testing.assert_allclose(found[name], (alone[0][name] + alone[1][name]) / 2, rtol=1e-12, err_msg=name)
    assert found["selected"].values.tolist() == [[20, 20]]
    assert found["verdict"].sel(task="songs", variant="gated").item() == "worse"
    table = summary(both)
    numpy.testing.assert_allclose(table["mean_test"].values, found["mean_test"].values[0], rtol=1e-12)
    assert numpy.ptp(found["difference_interval"].sel(variant="gated").values) < max(
        float(numpy.ptp(each["difference_interval"].sel(variant="gated").values)) for each in alone
    )


def test_the_draws_of_seeds_are_found_by_their_values() -> None:
    """Rows in another order, written of each cell, with a trial that failed: trial k of each seed is still one draw."""
    one, two = content(), content(seed=2, kind="points")
    one[1][7] |= {"status": "failed", "best_valid": None, "best_test": None}
    lost = one[1][7]["hyperparameters"]
    rows, kept = [], []
    for variant in ("plain", "gated"):
        mine = [each for each in two[1] if each["variant"] == variant][::-1]
        mine = [each for each in mine if variant != "plain" or each["hyperparameters"] != lost]
        kept += [each | {"trial": index} for index, each in enumerate(mine)]
        rows += [each["hyperparameters"] | {"variant": variant} for each in mine]
    two[0]["points"]["rows"] = rows
    both = joined(one, (two[0], kept))
    first, second = draws.by_seed(both)
    for name in ("hidden_size", "learning_rate", "momentum"):
        known = second[name].notnull()
        assert int(known.sum()) == 49
        numpy.testing.assert_array_equal(first[name].values[known], second[name].values[known])
    assert set(second["seed"].values[second["status"].values == "ok"].tolist()) == {2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda study: study["protocol"].update(epochs=9),
            r"protocol: found \{'epochs': 9\}, expected \{'epochs': 8\}",
        ),
        (lambda study: study["tasks"]["songs"].update(checksum="0"), "checksum of 'songs': found 0, expected"),
        (lambda study: study["tasks"]["songs"].update(objective="ctc"), "objective of 'songs': found ctc"),
        (lambda study: study["tasks"]["songs"]["space"].pop("momentum"), "space of 'songs': found .'momentum': None"),
    ],
)
def test_what_cannot_be_compared_is_refused(change: Any, message: str) -> None:
    """Another protocol, corpus, objective or space: one sentence with the file, both values and what to do."""
    other = content("gated")
    change(other[0])
    for one in other[1]:  # a file that is whole in itself
        if "momentum" not in other[0]["tasks"]["songs"]["space"]:
            one["hyperparameters"].pop("momentum")
    with pytest.raises(SchemaError, match=f"study 'b', {message}.*report them apart"):
        joined(content("plain"), other)


def test_the_best_of_a_search_are_no_draws_of_it() -> None:
    """Points that are a choice of a study's draws are refused beside it, and a combined study is combined no further."""
    best = content(seed=2, kind="points")
    best = best[0] | {"trials": 3}, [one for one in best[1] if one["trial"] < 3]
    best[0]["points"]["rows"] = best[0]["points"]["rows"][:3]
    with pytest.raises(SchemaError, match=r"study 'b': found rows of points.csv, which were chosen.*--reruns"):
        joined(content(), best)
    both = joined(content("plain"), content("gated"))
    with pytest.raises(SchemaError, match="study 'a': study: found several studies in one"):
        combine({"a": both, "b": opened(content("third"))})


def test_a_combined_study_is_a_study(tmp_path: Any) -> None:
    """It is written and read back, selected from, analysed, and its page is made, which tells of its files."""
    both = joined(content("plain"), content("gated", kind="independent"))
    xarray.testing.assert_identical(netcdf.load(netcdf.save(both, tmp_path / "both.nc")), both)
    assert draws.groups(both.sel(variant=["gated"]), "songs") == {"gated": "gated"}
    assert not unstable(both).any() and "combined" in attribute(both, "more")
    text = page.render(both, analyses=analyse(both, baseline="plain"))
    assert "From 2 files: a (seed 1, 25 trials) and b (seed 1, 25 trials)" in text
    assert restore(opened(content()))[0]["seed"] == 1


def test_every_file_has_its_own_commands_and_plan() -> None:
    """Files of 25 and 10 trials: each has its command, rows count what its file planned, rows of a cell stand together."""
    both = joined(content("vanilla", "gated"), content("vanilla", kind="independent", trials=10))
    run = [line for line in words.commands(both) if line.startswith("odyssey run")]
    assert "--variants vanilla,gated --trials 25" in run[0] and "--variants vanilla --trials 10" in run[1]
    assert words.commands(both)[-1] == "odyssey report STORE-a STORE-b -o report.html"
    assert page.paper_order(both) == ["vanilla (a)", "vanilla (b)", "gated"]
    table = summary(both)
    assert table["trials"].tolist() == [25, 25, 10] and not table["missing"].any()


ALONE = 60
"""So many of the searches are also compared with one seed, for the width of its interval."""


def two_seeds(searches: int, seed: int, trials: int) -> tuple[float, numpy.ndarray]:
    """Share of simulated searches whose interval of the difference holds the truth; mean widths of two seeds and of one."""
    cell, held, widths = CASES["worse by .125"], 0, []
    truth = true_difference(numpy.random.default_rng(1), cell, studies=2000, trials=trials)
    random = numpy.random.default_rng(seed)
    for number in range(searches):
        drawn = draw(random, trials)
        cells = [
            {
                name: inference.rank(*scores(random, one, drawn), numpy.ones(trials, bool))
                for name, one in (("cell", cell), ("base", BASELINE))
            }
            for _ in range(2)
        ]
        bounds = []
        for parts in (cells, cells[:1])[: 2 if number < ALONE else 1]:
            selected = reselection(parts, "talk", {"cell": "", "base": ""}, number, 599)
            sides = [
                [(one[name], two[name]) for one, two in zip(parts, selected, strict=True)] for name in ("cell", "base")
            ]
            bounds.append(inference.percentiles(differences(shared(*sides))))
        held += bounds[0][0] <= truth <= bounds[0][1]
        widths += [[high - low for low, high in bounds]] if number < ALONE else []
    return held / searches, numpy.mean(widths, axis=0)


def test_the_interval_of_two_seeds_holds() -> None:
    """800 searches of 100 draws on the record's surfaces, two seeds each: the interval covers .92 to .98, and is narrower.

    Measured at 850 with random seeds 1 to 5 and 7: .941, .949, .938, .935, .949, .949, together .944; the standard error of a
    share of 800 is .008, so that the bound is three of them away.
    """
    covered, (both, alone) = two_seeds(800, 7, 100)
    assert 0.92 <= covered <= 0.98
    assert both < 0.9 * alone


@pytest.mark.long
@pytest.mark.parametrize("seed", [7, 8])
def test_the_interval_of_two_seeds_holds_in_many_searches(seed: int) -> None:
    """1,500 searches of 200 draws each: the interval covers .92 to .98, .95 within five standard errors of .0056.

    Measured at 599 replicates with random seeds 7 to 12: .947, .948, .951, .949, .945, .959, all 9,000 together .950. With 299
    replicates it is .941, as quantiles of few lie too close together; ``compare`` takes 9,999.
    """
    covered, (both, alone) = two_seeds(1500, seed, 200)
    assert 0.92 <= covered <= 0.98
    assert both < 0.9 * alone
