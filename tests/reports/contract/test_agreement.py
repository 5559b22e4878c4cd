"""Scores that do not follow from a study's own curves are refused as it is opened, and what follows passes."""

import json

import numpy
import pytest

import lstm_odyssey as lo
from lstm_odyssey.reports.contract import netcdf, schema
from lstm_odyssey.reports.contract.agreement import refuse_contradicting
from lstm_odyssey.reports.contract.validation import SchemaError
from tests import made_studies as made

AT = {"task": 0, "variant": 1, "trial": 2}
PLACE = "task 'songs', variant 'gated', trial '2'"


def honest(direction="minimize"):
    """A study of which every score follows from the curves; one trial of it diverged."""
    tasks = {"songs": made.MUSIC | {"direction": direction}}
    study, kept = made.whole(made.study(tasks, trials=4, epochs=20))
    for one in kept:
        if direction == "maximize":
            for name in ("valid", "test"):
                one["curves"][name] = [value if value is None else -value for value in one["curves"][name]]
            one |= {
                name: None if one[name] is None else -one[name] for name in ("best_valid", "best_test", "final_valid")
            }
    return schema.build(study, kept)


def put(**values):
    """A study in which a trial's values are others, or what a function makes of them."""

    def change(study):
        made_of = study.copy(deep=True)
        for name, value in values.items():
            there = made_of[name][AT]
            made_of[name][AT] = value(there) if callable(value) else value
        return made_of

    return change


def protocol(**options):
    return lambda study: study.assign_attrs(protocol=json.dumps(json.loads(study.attrs["protocol"]) | options))


FORGED = {
    "a test score": (put(best_test=lambda value: value * (1 - 1e-7)), "best_test.*which its curve 'test' has at epoch"),
    "a validation score": (put(best_valid=lambda value: value * 0.9), "best_valid.*which its curve 'valid' has at epoch"),
    "a score taken away": (put(best_test=numpy.nan), "best_test.*found nan, expected"),
    "a final score": (put(final_valid=1.0), "final_valid.*which its curve 'valid' has at epoch 20"),
    "an epoch that has no better score": (
        lambda study: put(
            best_epoch=0,
            best_valid=float(study["valid"][AT][0]), best_test=float(study["test"][AT][0]),
        )(study),
        "best_epoch.*found 0, expected the epoch of its best validation score",
    ),
    "no score at the best epoch": (
        lambda study: put(best_valid=numpy.nan)(
            study.assign(valid=study["valid"].where((study["epoch"] != study["best_epoch"][AT]) | (study["trial"] != 2)))
        ),
        "best_valid.*found nan",
    ),
    "more epochs than curves": (put(epochs=30), "epochs.*found 30, expected one of the 20 epochs"),
    "an epoch beyond the last": (put(epochs=1, best_epoch=2), "best_epoch.*found 2, expected one of its 1 epochs"),
    "no epoch": (put(best_epoch=numpy.nan), "best_epoch.*found nan"),
    "stopped at will": (
        lambda study: put(epochs=19, final_valid=float(study["valid"][AT][19]))(study),
        "epochs.*found 19, expected 20, the protocol's limit",
    ),
}  # fmt: skip


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_what_follows_passes(direction):
    """Whole and rounded as a record, whichever way scores are better; a study without a trial too, and one that went on from a
    record, whose trials have its rounded curves.
    """
    study = honest(direction)
    empty = study.assign(status=study["status"].copy(data=numpy.full(study["status"].shape, "missing")))
    gone_on = study.copy(deep=True)
    for curve in ("valid", "test"):
        gone_on[curve][:, :, :2] = netcdf.record(study)[curve][:, :, :2].astype(float)
        assert not gone_on[curve].equals(study[curve]) and gone_on[curve].dtype == float
    for one in (study, netcdf.record(study), empty, gone_on):
        refuse_contradicting(one, "study")


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("name", FORGED)
def test_what_contradicts_its_curves_is_refused(name, rounded):
    """The variable, the trial and both values are named, of a record to the precision of its curves."""
    change, message = FORGED[name]
    study = honest()
    if rounded and name == "a test score":  # a ten-millionth is less than a record's curves hold
        change = put(best_test=lambda value: value * (1 - 1e-4))
    with pytest.raises(SchemaError, match=f"^theirs: variable '{message}") as caught:
        refuse_contradicting(netcdf.record(change(study)) if rounded else change(study), "theirs")
    assert PLACE in str(caught.value) and "was changed after it was written" in str(caught.value)


def test_a_study_of_fewer_epochs_does_not_pass_for_a_longer_one():
    """Attributes that claim a longer protocol: its trials neither reached its limit nor ran out of patience."""
    with pytest.raises(SchemaError, match="'epochs' at .*found 20, expected 150, the protocol's limit, or 15 after"):
        refuse_contradicting(protocol(epochs=150)(honest()), "theirs")


def test_a_trial_does_not_wait_longer_than_its_patience():
    """Not where it ran to the limit of epochs either."""
    study = honest()
    waited = int((study["epochs"] - study["best_epoch"]).max())
    refuse_contradicting(protocol(patience=waited)(study), "ours")
    with pytest.raises(SchemaError, match=f"'epochs' at .*expected 20, the protocol's limit, or {waited - 1} after"):
        refuse_contradicting(protocol(patience=waited - 1)(study), "theirs")


def test_a_selection_of_epochs_is_no_study(tmp_path):
    """It could not be held to its curves."""
    with pytest.raises(
        SchemaError, match="study: found curves of 10 epochs, 0 to 9, of trials of up to 20, expected all"
    ):
        netcdf.save(honest().isel(epoch=slice(0, 10)), tmp_path / "short.nc")


def test_a_forged_file_is_not_opened(tmp_path):
    """Neither alone nor beside another: every way that reads a file asks."""
    theirs = netcdf.save(put(best_test=1.0)(honest()), tmp_path / "theirs.nc")
    mine = netcdf.save(honest(), tmp_path / "mine.nc")
    for paths in ((theirs,), (mine, theirs)):
        with pytest.raises(SchemaError, match=f"study {theirs}: variable 'best_test' at {PLACE}: found 1, expected"):
            lo.open_study(*paths)
    assert lo.open_study(mine, mine).sizes["variant"] == 4


def test_the_stored_records_follow_from_their_curves(pytestconfig):
    """Every trial of every record of this repository."""
    records = sorted((pytestconfig.rootpath / "reports" / "records").rglob("*.nc"))
    assert len(records) > 3 and all(lo.open_study(record).sizes["trial"] for record in records)
