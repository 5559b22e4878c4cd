"""What is scored beside a test set, through a store: run, opened, gone on with, verified."""

import json
import shutil

import pytest

import lstm_odyssey as lo
from lstm_odyssey.reports.contract.validation import SchemaError
from lstm_odyssey.study.sample import BITS, DIFFERS
from lstm_odyssey.study.stored.store import Store, StoreError
from lstm_odyssey.study.stored.trials import comparable
from lstm_odyssey.study.verify import verify
from tests.small import settings

NAMES = ["40 frames", "256 frames"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two trials of one cell on parity, and on a task without views."""
    place = tmp_path_factory.mktemp("viewed")
    asked = settings(place, tasks=["parity", "bach"], variants=["minlstm"], trials=2, epochs=1, backend="numba")
    lo.run(place / "store", asked)
    return place / "store", asked


@pytest.fixture
def store(run, tmp_path):
    """A copy of it that may be spoilt, and what was asked for."""
    return Store(shutil.copytree(run[0], tmp_path / "store")), run[1]


def changed(store, **fields):
    """Change the files of the trials on parity; the first of them."""
    files = [file for file in sorted(store.trials_folder.glob("[!.]*.json")) if '"parity"' in file.read_text()]
    for file in files:
        record = json.loads(file.read_text())
        for name, change in fields.items():
            if change is None:
                del record[name]
            else:
                record[name] = change(record[name])
        file.write_text(json.dumps(record))
    return files[0]


def test_a_study_keeps_what_its_task_names(store):
    """Both errors of parity stand with each trial, their mean is the test score; the study says what they are."""
    study = lo.open_study(store[0].path)
    assert study["view"].values.tolist() == NAMES
    assert abs(study["best_test_view"].mean("view") - study["best_test"]).sel(task="parity").max() < 1e-9
    assert study["best_test_view"].sel(task="bach").isnull().all()
    told = store[0].study()["tasks"]
    assert told["parity"]["views"]["40 frames"]["is"] == "64 of the 74 test sequences" and "views" not in told["bach"]
    mean = sum(view["chance"] for view in told["parity"]["views"].values()) / 2
    assert mean == pytest.approx(told["parity"]["chance"])


def test_trials_of_a_version_without_views_stand(store):
    """A store whose trials have none is opened, gone on with and verified; only views that both have are compared."""
    first = changed(store[0], views=None)
    assert "view" not in lo.open_study(store[0].path).dims
    first.unlink()
    lo.run(store[0].path, store[1])
    study = lo.open_study(store[0].path)
    assert (study["status"] == "ok").all() and study["best_test_view"].notnull().sum() == 2
    assert {one.verdict for one in verify(store[0].path, 9, data=store[1].data)} == {BITS}
    view, other = {"best_test": 1.0, "test": [1.0]}, {"best_test": 2.0, "test": [2.0]}
    for one, another, same in (
        ({}, {"views": {"a": view}}, True),
        ({"views": {"a": view, "b": view}}, {"views": {"a": view, "c": other}}, True),
        ({"views": {"a": view}}, {"views": {"a": other}}, False),
    ):
        records = [{"curves": {}, **each} for each in (one, another)]
        assert (comparable(*records) == comparable(*records[::-1])) is same


def test_a_forged_view_is_caught(store):
    """One that is not its curve's is refused as the store is opened; one whose curve has it too, once it is run again."""

    def ones(views):
        return [None if score is None else 1.0 for score in views["40 frames"]["test"]]

    changed(store[0], views=lambda views: views | {"40 frames": views["40 frames"] | {"best_test": 1.0}})
    with pytest.raises(
        SchemaError, match="'best_test_view' at .*view '40 frames': found 1, expected .*its curve 'test_view'"
    ):
        lo.open_study(store[0].path)
    changed(store[0], views=lambda views: views | {"40 frames": {"best_test": 1.0, "test": ones(views)}})
    found = [one for one in verify(store[0].path, 9, data=store[1].data) if one.verdict == DIFFERS]
    assert len(found) == 2 and all("test score of '40 frames'" in one.why for one in found)


@pytest.mark.parametrize("spoilt", [{"40 frames": {"best_test": "1", "test": []}}, {"40 frames": {"test": [1]}}, ["x"]])
def test_a_damaged_view_is_one_clear_error(store, spoilt):
    """What is no number, or no view at all, is a damaged file."""
    changed(store[0], views=lambda _: spoilt)
    with pytest.raises(StoreError, match=r"\.json is damaged or newer: "):
        lo.open_study(store[0].path)


def test_a_view_that_is_another_now_makes_another_study(store):
    """Going on with a study whose subset has other sequences than the task's now is refused by name."""
    content = json.loads(store[0].study_file.read_text())
    content["tasks"]["parity"]["views"]["256 frames"]["checksum"] = "0" * 12
    store[0].study_file.write_text(json.dumps(content))
    with pytest.raises(
        StoreError, match="task 'parity' scores '256 frames' beside its test set, which is something else"
    ):
        lo.run(store[0].path, store[1])
