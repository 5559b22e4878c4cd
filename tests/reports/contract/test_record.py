"""A study's record: small, and equal in all that anything is read off."""

import numpy as np
import pytest

from lstm_odyssey.reports.contract import netcdf, schema
from lstm_odyssey.reports.contract.restore import restore
from lstm_odyssey.reports.contract.variables import CURVE, MEASURED
from tests import made_studies as made
from tests.conftest import ROOT

RECORDS = ROOT / "reports" / "records"


@pytest.fixture
def dataset():
    return schema.build(*made.whole(made.study(trials=4)))


def test_a_record_keeps_scores_draws_and_times_and_rounds_curves(dataset, tmp_path):
    """Everything but the curves comes back bit for bit; curves to 16 binary digits, those of time to 10."""
    back = netcdf.load(netcdf.save(netcdf.record(dataset), tmp_path / "record.nc"))
    curves = [name for name, variable in dataset.data_vars.items() if variable.dims == CURVE]
    assert curves
    assert back.drop_vars(curves).drop_attrs(deep=False).identical(dataset.drop_vars(curves).drop_attrs(deep=False))
    for name in curves:
        bound = 2.0**-9 if name == "epoch_seconds" else 2.0**-15
        there, was = back[name].values.astype(float), dataset[name].values
        assert back[name].dtype == np.float32
        assert (np.isnan(there) == np.isnan(was)).all() and np.isfinite(was).any()
        known = np.isfinite(was)
        assert (abs(there[known] - was[known]) <= bound / 2 * abs(was[known])).all()


def test_a_record_is_a_study_to_go_on_with(dataset, tmp_path):
    """Its trials are restored with their ids and scores; their curves are those of the record."""
    study, trials = restore(netcdf.load(netcdf.save(netcdf.record(dataset), tmp_path / "record.nc")))
    whole, original = restore(dataset)
    assert study["tasks"] == whole["tasks"]
    for one, other in zip(trials, original, strict=True):
        assert {k: v for k, v in one.items() if k != "curves"} == {k: v for k, v in other.items() if k != "curves"}


def test_rounding_is_to_the_nearest_and_keeps_what_has_few_digits():
    """Powers of two, zero, infinity and NaN stay; other values move by half a unit of the last digit at most."""
    given = np.array([0.0, 1.0, -0.25, np.nan, np.inf, 3.0, 8.613579])
    found = netcdf.rounded(given).astype(float)
    np.testing.assert_array_equal(found[:6], given[:6])
    assert 0 < abs(found[6] / given[6] - 1) <= 2.0**-16
    assert netcdf.rounded([1 + 2.0**-9], 8)[0] == 1.0


def test_the_papers_study_with_its_times_takes_two_megabytes(tmp_path):
    """Nine cells of 200 trials of 150 epochs at most, every time among it, which no power of two divides."""
    whole, random = netcdf.load(RECORDS / "jsb-chorales-paper.nc"), np.random.default_rng(1)
    for name in ("seconds", "training_seconds", "wall_seconds", "shared_seconds", "frames_per_second"):
        drawn = random.lognormal(3, 1, whole["status"].shape)
        whole[name] = whole["status"].dims, np.where(whole["status"] == "ok", drawn, np.nan), whole[name].attrs
    cost = random.lognormal(0, 1, whole["status"].shape)[..., None] * random.normal(1, 0.02, whole["valid"].shape)
    whole["epoch_seconds"] = CURVE, np.where(whole["valid"].notnull(), cost, np.nan), whole["epoch_seconds"].attrs
    written = netcdf.save(netcdf.record(whole), tmp_path / "record.nc")
    assert 1.5e6 < written.stat().st_size <= 2e6


def test_of_the_old_record_no_time_is_believed():
    """Its times were those of blocks: each is missing, the file says why, and so does every variable."""
    old = netcdf.load(RECORDS / "jsb-chorales-paper.nc")
    timed = [name for name in old.data_vars if name in MEASURED and name != "environment"]
    assert {"seconds", "frames_per_second", "epoch_seconds", "training_seconds", "shared_seconds"} <= set(timed)
    for name in timed:
        assert not old[name].notnull().any() and "missing: it was measured for a block" in old[name].attrs["comment"], (
            name
        )
    assert "divided equally among the trials of a block" in old.attrs["times"]
