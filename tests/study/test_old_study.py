"""Studies of the first release of the format open, extend and resume with the code of today.

``tests/old_study`` was written by commit 24f6ff9: two variants, three trials in blocks of one, two epochs on the short made
chorales of ``tests.small``; Ctrl-C before the last trial. Its ``study.json``, five trials and ``study.nc`` are never made anew.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray

import lstm_odyssey as lo
from lstm_odyssey.reports import page
from lstm_odyssey.reports.contract.variables import TASK, VARIABLES
from lstm_odyssey.study.stored.store import Store
from tests.small import settings

pytestmark = pytest.mark.usefixtures("short_analyses", "unpainted")

OLD = Path(__file__).parent / "old_study"
FILES = {file.name: json.loads(file.read_text(encoding="utf-8")) for file in (OLD / "trials").glob("*.json")}


@pytest.fixture
def store(tmp_path):
    """A copy of the old store, which a test may change."""
    return Store(shutil.copytree(OLD, tmp_path / "old"))


@pytest.fixture
def asked(tmp_path):
    """What is asked on the machine that goes on: the corpus, and what the test says."""
    data = settings(tmp_path).data

    def make(**options):
        return lo.Settings(data=data, **options)

    return make


def within(old, new):
    """Whether a trial's file says everything that the old one says; it may say more."""
    curves = all(new["curves"][name] == curve for name, curve in old["curves"].items())
    return curves and all(new[name] == value for name, value in old.items() if name != "curves")


def test_the_old_store_and_its_netcdf_open_alike():
    """Every variable of today is there; the two have the same values, and what they lack is missing in both."""
    assert len(FILES) == 5
    there, file = lo.open_study(OLD), lo.open_study(OLD / "study.nc")
    xarray.testing.assert_equal(there, file)
    assert there["status"].values.tolist() == [[["ok", "ok", "ok"], ["ok", "ok", "missing"]]]
    known = set(next(iter(FILES.values()))) | set(next(iter(FILES.values()))["curves"])
    for stored in VARIABLES:
        assert stored.name in file.data_vars
        if stored.dims != TASK and stored.name not in known:
            assert stored.kind == "number" and np.isnan(file[stored.name].values).all()
    for trial in FILES.values():
        found = file.sel(task=trial["task"], variant=trial["variant"], trial=trial["trial"])
        assert found["best_test"] == trial["best_test"] and found["trial_id"] == trial["trial_id"]


def test_the_old_store_resumes(store, asked):
    """Only the trial that was missing is run; what was stored stays as it was, to the last byte."""
    runs = []
    study = lo.run(
        store.path, asked(), on_block=lambda block, missing: runs.append((block.variant, block.number, missing))
    )
    assert runs == [("vanilla", 2, 1)]
    assert (study["status"] == "ok").all()
    for file in (OLD / "trials").glob("*.json"):
        assert store.trial_file(file.stem).read_bytes() == file.read_bytes()


def test_the_old_store_extends(store, asked):
    """One more trial and one more variant: twelve trials, the five old ones as they were."""
    study = lo.run(store.path, asked(trials=4, variants=["nog", "vanilla", "cifg"]))
    assert dict(study.sizes) == {"task": 1, "variant": 3, "trial": 4, "epoch": 3} and (study["status"] == "ok").all()
    for file in (OLD / "trials").glob("*.json"):
        assert store.trial_file(file.stem).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("source", ["study.nc", "."], ids=["netcdf", "store"])
def test_the_old_study_goes_on_elsewhere(source, tmp_path, asked):
    """A new store takes over the five trials of the old netCDF, or of the old store, and runs the rest, extended."""
    runs = []
    study = lo.run(
        tmp_path / "new",
        asked(trials=4, variants=["nog", "vanilla", "cifg"]),
        on_block=lambda block, missing: runs.append(missing),
        resume_from=OLD / source,
    )
    assert sum(runs) == 7 and (study["status"] == "ok").all()
    for name, trial in FILES.items():
        assert within(trial, json.loads((tmp_path / "new" / "trials" / name).read_text(encoding="utf-8")))
    again = lo.run(
        tmp_path / "third", asked(), on_block=lambda *ran: runs.append(ran), resume_from=tmp_path / "new" / "study.nc"
    )
    assert len(runs) == 7
    xarray.testing.assert_identical(again, study)


@pytest.mark.parametrize("source", ["study.nc", "."], ids=["netcdf", "store"])
def test_the_old_study_has_a_page(source, tmp_path):
    """The page of a study that lacks what is measured today is written, with both cells on it."""
    page.write(lo.open_study(OLD / source), tmp_path / "report.html", live=True)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "vanilla" in text and "nog" in text
