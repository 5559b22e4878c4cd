"""A study's record: small, and equal in all that anything is read off."""

import numpy as np
import pytest

from lstm_odyssey.reports.contract import netcdf, schema
from lstm_odyssey.reports.contract.restore import restore
from lstm_odyssey.reports.contract.variables import CURVE
from tests import made_studies as made


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
