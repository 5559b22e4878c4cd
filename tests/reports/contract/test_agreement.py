"""Scores that do not follow from a study's own curves are refused as it is opened, and what follows passes."""

import json

import numpy
import pytest

import lstm_odyssey as lo
from lstm_odyssey.reports import paper
from lstm_odyssey.reports.contract import netcdf, schema
from lstm_odyssey.reports.contract.agreement import refuse_contradicting
from lstm_odyssey.reports.contract.combine import combine
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


def viewed():
    """The same with two parts of the test set scored beside it, of which the second has no number in some trials."""
    study, kept = made.whole(
        made.study({"songs": made.MUSIC | {"views": {"long": {}, "late": {}}}}, trials=4, epochs=20)
    )
    for place, one in enumerate(kept):
        for name, more in (("long", 1.0), ("late", 2.0)):
            of_epochs = [value if value is None else value + more for value in one["curves"]["test"]]
            best = of_epochs[one["best_epoch"]]
            one.setdefault("views", {})[name] = {"best_test": best, "test": of_epochs}
        if place % 3 == 1:
            del one["views"]["late"]
    return schema.build(study, kept)


def lost(study, **scores):
    """The trial as one that diverged before it had a score, but for the scores that are given."""
    bare = study.copy(deep=True)
    for curve in ("valid", "test", *(["test_view"] if "test_view" in study else [])):
        bare[curve][AT] = numpy.nan
    gone = dict.fromkeys(("best_epoch", "best_valid", "best_test", "final_valid", "best_test_per_sequence"), numpy.nan)
    if "best_test_view" in study:
        bare["best_test_view"][AT] = numpy.nan
    return put(**gone | {"epochs": 0, "status": "diverged", "diverged_epoch": 0} | scores)(bare)


def test_a_score_of_a_view_is_that_of_its_curve():
    """A view has scores of its own, which nothing else in the file tells; the view is named."""
    study = viewed()
    for one in (study, netcdf.record(study), lost(study), study.isel(view=[1]), study.isel(trial=[0, 3])):
        refuse_contradicting(one, "study")
    for rounded in (False, True):
        forged = study.copy(deep=True)
        forged["best_test_view"].loc[{"variant": "gated", "trial": 2, "view": "late"}] *= 0.9
        with pytest.raises(
            SchemaError, match=f"'best_test_view' at {PLACE}, view 'late': .*its curve 'test_view' has at epoch"
        ):
            refuse_contradicting(netcdf.record(forged) if rounded else forged, "theirs")
    unscored = lost(study)
    unscored["best_test_view"][AT | {"view": 0}] = 1.0
    with pytest.raises(
        SchemaError, match=f"'best_test_view' at {PLACE}, view 'long': found 1, expected none, since it has no"
    ):
        refuse_contradicting(unscored, "theirs")


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"best_test": 1.0}, "best_test.*found 1, expected none, since it has no best epoch"),
        ({"best_valid": 1.0}, "best_valid.*found 1, expected none"),
        ({"best_epoch": 99, "best_test": 1.0}, "best_epoch.*found 99, expected one of its 0 epochs"),
        ({"final_valid": 1.0}, "final_valid.*found 1, expected nan, which"),
        ({"epochs": 50, "best_test": 1.0}, "epochs.*found 50, expected one of the 20 epochs"),
    ],
)
def test_a_trial_that_diverged_is_held_to_its_curves_too(scores, message):
    """Without a best epoch it has no score, which else would be ranked first."""
    refuse_contradicting(lost(honest()), "ours")
    with pytest.raises(SchemaError, match=f"^theirs: variable '{message}"):
        refuse_contradicting(lost(honest(), **scores), "theirs")


DERIVED = {
    "a task": lambda study: study.sel(task="songs"),
    "cells": lambda study: study.sel(variant=["gated"]),
    "trials": lambda study: study.isel(trial=[2, 1]),
    "one trial": lambda study: study.isel(trial=2),
    "turned": lambda study: study.transpose(),
    "a record": netcdf.record,
    "a record's trials": lambda study: netcdf.record(study).isel(trial=slice(1, 3)),
    "several files": lambda study: combine(
        {"one": study.sel(variant=["gated"]), "two": study.drop_sel(variant="gated")}
    ),
}


@pytest.mark.parametrize("name", DERIVED)
def test_whatever_is_made_of_a_study_is_held_to_its_curves_when_it_is_opened(name, tmp_path):
    """Saved and opened again, as it was and with one test score changed."""
    derived = DERIVED[name](viewed())
    kept = netcdf.save(derived, tmp_path / "a.nc")
    assert lo.open_study(kept)["best_test"].notnull().any() and paper.read(kept)["best_test"].notnull().any()
    for score in ("best_test", "best_test_view"):
        forged = derived.copy(deep=True)
        forged[score] = forged[score] * 0.99
        theirs = netcdf.save(forged, tmp_path / "b.nc")
        for read in (lo.open_study, paper.read):
            with pytest.raises(SchemaError, match=f"study {theirs}: variable '{score}' at "):
                read(theirs)


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
