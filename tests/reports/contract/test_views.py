"""The dimension of what is scored beside a test set: built, written, read, selected, restored, shown."""

import io
import math
import re

import numpy as np
import pytest
from rich.console import Console

from lstm_odyssey.commands.terminal import tables
from lstm_odyssey.reports import page
from lstm_odyssey.reports.contract import netcdf, schema
from lstm_odyssey.reports.contract.restore import restore
from lstm_odyssey.reports.contract.selection import as_study
from lstm_odyssey.reports.page import analyses, export
from lstm_odyssey.reports.stats.learning import learning
from lstm_odyssey.reports.stats.table import best_tenths
from lstm_odyssey.reports.stats.views import views
from tests import made_studies as made

FACTS = {
    "long": {"is": "3 of the 9 test sequences", "checksum": "ab", "chance": 78.0},
    "<b>39</b>": {"is": "61 classes folded into 39", "checksum": "cd", "chance": 70.0},
}


def content(trials=12):
    """A study of two tasks, of which the second has two views; the last trial was stored by a version without views."""
    study = made.study({"songs": made.MUSIC, "talk": made.SPEECH | {"views": FACTS}}, trials=trials)
    found = made.whole(study)[1]
    for number, trial in enumerate(each for each in found if each["task"] == "talk"):
        shift = {"long": 2.0 + number / 7, "<b>39</b>": -3.0}
        trial["views"] = {
            name: {
                "best_test": trial["best_test"] + more,
                "test": [value if value is None else value + more for value in trial["curves"]["test"]],
            }
            for name, more in shift.items()
        }
    del found[-1]["views"]
    return study, found


@pytest.fixture(scope="module")
def study():
    return schema.build(*content())


def test_views_are_kept_with_their_trials(study, tmp_path):
    """Scores and curves stand at their trial, view and epoch; NaN of other tasks; netCDF keeps them bit for bit."""
    trials = content()[1]
    assert study["view"].values.tolist() == list(FACTS) and study["best_test_view"].attrs["units"] == "by task"
    for trial in trials:
        place = {name: trial[name] for name in ("task", "variant", "trial")}
        for name in FACTS:
            given = trial.get("views", {}).get(name, {"best_test": None, "test": []})
            best = study["best_test_view"].sel(view=name, **place).item()
            assert best == given["best_test"] or (given["best_test"] is None and math.isnan(best))
            curve = study["test_view"].sel(view=name, **place).values
            told = np.array([math.nan if value is None else value for value in given["test"]])
            np.testing.assert_array_equal(curve[: len(told)], told)
            assert np.isnan(curve[len(told) :]).all()
    assert netcdf.load(netcdf.save(study, tmp_path / "study.nc")).identical(study)
    small = netcdf.load(netcdf.save(netcdf.record(study), tmp_path / "record.nc"))
    assert small["best_test_view"].identical(study["best_test_view"]) and small["test_view"].dtype == np.float32
    assert schema.build(*restore(small))["best_test_view"].identical(study["best_test_view"])


def test_a_study_without_views_has_no_such_dimension():
    """Nothing of what was stored before there were views is another file now."""
    plain = schema.build(*made.whole(made.study(trials=2)))
    assert "view" not in plain.dims and not any("view" in str(name) for name in plain.variables)
    assert views(plain, "songs").empty


def test_what_is_restored_is_what_was_given(study):
    """Trials come back with their views, and those that had none without; the study knows what they are."""
    back, trials = restore(study)
    assert [trial.get("views") for trial in trials] == [trial.get("views") for trial in content()[1]]
    assert back["tasks"]["talk"]["views"] == FACTS and schema.build(back, trials).identical(study)


@pytest.mark.parametrize(
    ("selected", "left"),
    [
        ({"task": "songs"}, []),
        ({"task": "talk"}, list(FACTS)),
        ({"view": "long"}, ["long"]),
        ({"task": "talk", "variant": "gated", "view": ["<b>39</b>"]}, ["<b>39</b>"]),
    ],
)
def test_a_selection_has_the_views_it_has_numbers_of(study, selected, left, tmp_path):
    """By task, cell or view: what is left is a study, which is written, read and restored."""
    part = as_study(study.sel(selected))
    assert (part["view"].values.tolist() if left else "view" not in part.variables and left) == left
    read = netcdf.load(netcdf.save(study.sel(selected), tmp_path / "part.nc"))
    assert read.identical(part)
    _, trials = restore(read)
    assert {name for trial in trials for name in trial.get("views", {})} == set(left)


def test_a_view_that_is_spoilt_is_named(study):
    """A forged score is no number of the study's, and a variable that lacks its dimension is none of it."""
    forged = study.copy(deep=True)
    forged["best_test_view"][1, 0, 0, 0] = math.inf
    with pytest.raises(schema.SchemaError, match="best_test_view of 'long'.* expected a finite number"):
        restore(forged)
    with pytest.raises(schema.SchemaError, match="variable 'test_view': found no such variable"):
        schema.validate(study.drop_vars("test_view"))


def test_the_table_of_views_is_of_the_best_tenth(study):
    """Means over the trials that validation chose, capped at each view's own chance level."""
    frame = views(study, "talk", ["gated", "plain"])
    assert list(frame.columns) == list(FACTS) and list(frame.index) == ["gated", "plain"]
    for cell in ("plain", "gated"):
        part = study.sel(task="talk", variant=cell)
        (chosen,) = best_tenths(part)
        for name, facts in FACTS.items():
            scores = part["best_test_view"].sel(view=name).values[chosen]
            assert frame.loc[cell, name] == pytest.approx(np.minimum(scores, facts["chance"]).mean(), rel=1e-12)
    assert frame.attrs["is"]["long"] == "3 of the 9 test sequences" and views(study, "songs").empty


def test_terminal_page_and_markdown_show_the_views(study):
    """One small table on the task that has views, beside its results; a name is text, never markup."""
    console = Console(width=200, record=True, file=io.StringIO())
    for part in tables.results(study):
        console.print(part)
    text = console.export_text()
    assert text.count("beside the whole test set") == 1 and "talk, beside the whole test set, %" in text
    assert re.search(r"long \(chance 78.00\) +<b>39</b> \(chance 70.00\)", text)
    found = analyses.analyse(study)
    html = page.render(study, analyses=found)
    assert (
        html.count("Beside the whole test set, %") == 1 and "&lt;b&gt;39&lt;/b&gt;" in html and "<b>39</b>" not in html
    )
    assert "long: 3 of the 9 test sequences, chance level 78.00" in html
    assert "Beside the whole test set" in export.markdown(study, found)


def test_curves_are_a_row_an_epoch(study):
    """Scores stand at their epoch with the time so far; a trial that ended has no more rows; views have a column each."""
    rows = learning(study)
    assert list(rows.columns[:8]) == [
        "task", "variant", "trial", "epoch", "seconds", "train_loss", "valid", "test",
    ] and list(rows.columns[8:]) == [f"test, {name}" for name in FACTS]  # fmt: skip
    assert len(rows) == sum(len(trial["curves"]["valid"]) for trial in content()[1])
    one = rows[(rows["task"] == "talk") & (rows["variant"] == "gated") & (rows["trial"] == 2)]
    trial = next(
        each for each in content()[1] if (each["task"], each["variant"], each["trial"]) == ("talk", "gated", 2)
    )
    np.testing.assert_array_equal(one["valid"].tolist(), trial["curves"]["valid"])
    np.testing.assert_array_equal(one["test, long"].tolist(), np.array(trial["views"]["long"]["test"], float))
    assert one["seconds"].tolist() == pytest.approx([1.5 * epoch for epoch in range(len(one))])
    assert "test, long" not in learning(study.sel(task="songs"))


def test_a_column_of_times_goes_where_nothing_was_fitted():
    """Of too few trials for a fit there is no s/epoch, nor the sentence that explains it; of more there are both."""
    for trials, there in ((2, False), (30, True)):
        console = Console(width=200, record=True, file=io.StringIO())
        for part in tables.results(schema.build(*made.whole(made.study(trials=trials)))):
            console.print(part)
        text = console.export_text()
        assert ("s/epoch" in text, "processor time of an epoch's updates" in text) == (there, there)


@pytest.mark.parametrize(
    ("values", "said"), [([True, False], "no and yes"), ([False], "no"), ([True], "yes"), ([0.25, 4.0], "0.25 to 4")]
)
def test_a_drawn_boolean_has_words_for_its_range(values, said):
    """What was drawn of yes or no is told as such, of numbers as the least and the greatest."""
    study, trials = made.whole(made.study(trials=4))
    study["tasks"]["songs"]["space"]["nesterov"] = {"kind": "choice", "values": values}
    for number, trial in enumerate(trials):
        trial["hyperparameters"]["nesterov"] = values[number % len(values)]
    (row,) = [row for row in page._space(schema.build(study, trials)) if row["name"] == "nesterov"]
    assert row["drawn"] == said
