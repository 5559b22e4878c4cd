"""A selection of a study is a study, for everything that takes one: one label, a list, another order, fewer trials."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import xarray

import lstm_odyssey as lo
from lstm_odyssey.commands import export
from lstm_odyssey.commands.terminal import tables
from lstm_odyssey.reports import citation, page, paper
from lstm_odyssey.reports.contract import schema
from lstm_odyssey.reports.contract.restore import restore
from lstm_odyssey.reports.contract.selection import as_study
from lstm_odyssey.reports.contract.validation import SchemaError
from lstm_odyssey.reports.page import analyses
from lstm_odyssey.reports.page import export as exports
from lstm_odyssey.reports.plots import curves, scores
from lstm_odyssey.reports.stats.table import summary
from tests import made_studies as made

pytestmark = pytest.mark.usefixtures("short_analyses", "unpainted")

QUICK = {"baseline": "plain", "replicates": 99}
TASKS = {"songs": made.MUSIC, "talk": made.SPEECH | {"direction": "minimize"}}


@pytest.fixture(scope="module")
def study() -> xarray.Dataset:
    """Two tasks, three cells, twelve trials."""
    return schema.build(*made.whole(made.study(TASKS, ("plain", "gated", "other"), 12, 3)))


FACES: dict[str, Callable[[xarray.Dataset], Any]] = {
    "compare": lambda study: lo.compare(study, **QUICK),
    "fanova": lambda study: lo.fanova(study, trees=8, clip=1.0, points=4),
    "summary": summary,
    "accessor": lambda study: study.odyssey.table(),
    "frame": schema.frame,
    "references": citation.references,
    "software": citation.software,
    "paper": paper.rows,
    "box_plots": lambda study: scores.svg(scores.box_plots(study), "boxes", "a"),
    "box_plot": lambda study: scores.svg(scores.box_plot(study, "songs"), "box", "a"),
    "curves": lambda study: scores.svg(curves.learning_curves(study, "songs"), "curves", "a"),
    "terminal": lambda study: [str(part) for part in tables.results(study) if not hasattr(part, "columns")],
    "asv": export.series,
}


def same(one: Any, other: Any) -> None:
    if isinstance(one, xarray.Dataset):
        xarray.testing.assert_identical(one, other)
    else:
        assert one.equals(other) if hasattr(one, "equals") else one == other


@pytest.mark.parametrize("face", FACES)
def test_one_label_is_what_a_list_of_one_is(study: xarray.Dataset, face: str) -> None:
    """study.sel(task="songs") gives what study.sel(task=["songs"]) gives, and no label is taken apart into letters."""
    ask = FACES[face]
    same(ask(study.sel(task="songs")), ask(study.sel(task=["songs"])))


@pytest.mark.parametrize("face", FACES)
def test_another_order_changes_nothing(study: xarray.Dataset, face: str) -> None:
    """Trials in another order and dimensions in another order are the study as it was."""
    ask = FACES[face]
    backwards = study.isel(trial=slice(None, None, -1)).transpose("trial", "epoch", ...)
    same(ask(backwards), ask(study))


SELECTIONS = {
    "one task": lambda study: study.sel(task="talk"),
    "one cell": lambda study: study.sel(variant="plain"),
    "one trial": lambda study: study.isel(trial=3),
    "one epoch": lambda study: study.sel(epoch=2),
    "one of each": lambda study: study.sel(task="talk", variant="plain", trial=1, epoch=0),
    "a list": lambda study: study.sel(variant=["other", "plain"]),
    "every other trial": lambda study: study.isel(trial=slice(1, None, 2)),
}


@pytest.mark.parametrize("which", SELECTIONS)
def test_a_selection_is_a_valid_study_that_tells_of_itself_alone(study: xarray.Dataset, which: str) -> None:
    """Whatever is selected passes the schema, and its attributes tell of just the tasks and cells that are left."""
    selected = as_study(SELECTIONS[which](study))
    schema.validate(selected)
    for name, dim in (("tasks", "task"), ("distributions", "task"), ("variants", "variant")):
        assert list(json.loads(selected.attrs[name])) == selected[dim].values.tolist()
    assert as_study(selected) is selected


def test_a_study_itself_is_left_as_it_is(study: xarray.Dataset) -> None:
    """Nothing is copied or changed of what is whole."""
    assert as_study(study) is study


def test_the_trial_with_the_best_score_keeps_its_index(study: xarray.Dataset) -> None:
    """Among every other trial the best one is named by its index in the study, in the table and in the comparison."""
    odd = study.isel(trial=slice(1, None, 2))
    rows, found = summary(odd), lo.compare(odd, **QUICK)
    assert len(rows) == 6
    for (task, variant), row in rows.iterrows():
        index = row["best_trial"]
        assert index % 2 == 1 and found["best_trial"].sel(task=task, variant=variant).item() == index
        assert study["n_parameters"].sel(task=task, variant=variant, trial=index).item() == row["n_parameters"]


def test_a_page_and_its_exports_are_of_the_selection(study: xarray.Dataset, tmp_path: Any) -> None:
    """The page of one task names no other; its tables and figures are written as those of a study of one task are."""
    one, listed = study.sel(task="songs"), study.sel(task=["songs"])
    found = analyses.analyse(one)
    html = page.render(one, analyses=found)
    assert html == page.render(listed, analyses=found) and "songs" in html and "talk" not in html
    assert exports.markdown(one, found) == exports.markdown(listed, found)
    assert exports.numbers(one, found).equals(exports.numbers(listed, found))
    assert len(exports.save_figures(one, found, tmp_path / "figures")) > 4


def test_a_selection_is_written_read_and_gone_on_with(study: xarray.Dataset, tmp_path: Any) -> None:
    """As netCDF it is a study; of the first trials of some cells a store can be made, which holds just these."""
    selected = study.sel(task="songs", variant=["other", "plain"], trial=slice(0, 4))
    read = schema.load(schema.save(selected, tmp_path / "part.nc"))
    assert read.sizes == {"task": 1, "variant": 2, "trial": 5, "epoch": 4}
    content, trials = restore(read)
    assert content["trials"] == 5 and list(content["variants"]) == ["other", "plain"] and len(trials) == 10


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (
            lambda study: study.isel(task=0, drop=True),
            r"dimension 'task': found no labels, .* Select without drop=True",
        ),
        (lambda study: study.stack(cell=("task", "variant")), "dimension 'task': found labels on another dimension"),
        (lambda study: study.drop_vars("trial"), "dimension 'trial': found no labels"),
        (lambda study: study.isel(trial=[]), "dimension 'trial': found no label, expected one or more"),
        (
            lambda study: study.sel(variant=["plain", "plain"]),
            "dimension 'variant': found plain, plain, one of them twice",
        ),
        (lambda study: study.drop_vars("status"), "variable 'status': found no such variable"),
        (lambda study: study.drop_attrs(), "attribute 'package': found None"),
        (lambda study: study["best_test"], "study: found DataArray"),
    ],
)
@pytest.mark.parametrize("ask", [lo.compare, lo.fanova, summary, scores.box_plots], ids=lambda ask: ask.__name__)
def test_what_is_no_selection_is_one_sentence(study: xarray.Dataset, ask: Any, spoil: Any, told: str) -> None:
    """A dropped coordinate, nothing, one label twice, a lost variable: the same sentence from everything that is asked."""
    with pytest.raises(SchemaError, match=told):
        ask(spoil(study))


@pytest.mark.parametrize(
    "ask",
    [
        lambda study: scores.box_plot(study, "song"),
        lambda study: curves.learning_curves(study, "song"),
        lambda study: lo.compare(study, tasks="song"),
    ],
)
def test_a_misspelt_task_is_answered_with_the_one_that_was_meant(study: xarray.Dataset, ask: Any) -> None:
    """A figure of a task that is not there names what is, as a comparison does."""
    with pytest.raises(ValueError, match="task 'song': not in the study; expected some of songs, talk"):
        ask(study)
    with pytest.raises(ValueError, match="variant 'plane': not in the study; expected some of plain, "):
        summary(study, ["plane"])


def test_the_selected_half_of_the_bits_is_the_half_of_the_study(study: xarray.Dataset) -> None:
    """What is said of a task alone is what was said of it beside the others: every variable of the comparison."""
    alone, beside = lo.compare(study.sel(task="talk"), **QUICK), lo.compare(study, **QUICK).sel(task=["talk"])
    names = [name for name in alone.data_vars if alone[name].sizes == beside[name].sizes]
    assert len(names) > 30
    for name in names:
        numpy.testing.assert_array_equal(alone[name].values, beside[name].values, err_msg=str(name))
