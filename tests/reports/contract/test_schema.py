"""The contract of stored results: built, checked, written and read back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import xarray
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from lstm_odyssey.reports.contract import netcdf, schema
from lstm_odyssey.reports.contract.schema import SchemaError
from tests import made_studies as made


def assert_same(one: xarray.Dataset, other: xarray.Dataset) -> None:
    """Equal in every value, dtype, label and attribute."""
    xarray.testing.assert_identical(one, other)
    assert {n: v.dtype for n, v in one.variables.items()} == {n: v.dtype for n, v in other.variables.items()}
    assert list(one.variables) == list(other.variables)
    assert one.attrs == other.attrs
    assert list(one.attrs) == list(other.attrs)
    for name, variable in one.variables.items():
        assert variable.values.tobytes() == other[name].values.tobytes(), name


@pytest.fixture
def dataset() -> xarray.Dataset:
    study = made.study(trials=4)
    return schema.build(study, made.whole(study)[1])


WHOLE = given(made.studies(), st.randoms(use_true_random=False))
FEW, MANY = (settings(max_examples=n, deadline=None, suppress_health_check=[HealthCheck.too_slow]) for n in (6, 60))
"""Half a second each: to write a small netCDF and to read one."""


@FEW
@WHOLE
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, study: made.Made, random: object) -> None:
    """Any study is built the same from its trials in any order and read back from its file bit for bit."""
    comes_back(tmp_path_factory, study, random)


@pytest.mark.long
@MANY
@WHOLE
def test_more_round_trips(tmp_path_factory: pytest.TempPathFactory, study: made.Made, random: object) -> None:
    """The same of many more studies."""
    comes_back(tmp_path_factory, study, random)


def comes_back(tmp_path_factory: pytest.TempPathFactory, study: made.Made, random: object) -> None:
    facts, trials = study
    built = schema.build(facts, trials)
    shuffled = list(trials)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis's, of no public type
    assert_same(built, schema.build(facts, shuffled))
    path = schema.save(built, tmp_path_factory.mktemp("study") / "study.nc")
    assert_same(built, schema.load(path))
    assert [p.name for p in path.parent.iterdir()] == ["study.nc"], "a temporary file was left"


def statuses(study: made.Made) -> set[str]:
    return {one["status"] for one in study[1]}


def tied(study: made.Made) -> bool:
    scores = [one["best_valid"] for one in study[1] if one["status"] == "ok"]
    return len(set(scores)) < len(scores)


KINDS: dict[str, Callable[[made.Made], bool]] = {
    "no trial at all": lambda study: not study[1],
    "a hole": lambda study: 0 < len(study[1]) < len(made.places(study[0])),
    "every status": lambda study: statuses(study) == {"ok", "diverged", "failed"},
    "all diverged": lambda study: statuses(study) == {"diverged"} and len(study[1]) == len(made.places(study[0])),
    "one variant": lambda study: len(study[0]["variants"]) == 1,
    "one trial": lambda study: study[0]["trials"] == 1,
    "ties": tied,
    "both directions": lambda study: len({facts["direction"] for facts in study[0]["tasks"].values()}) == 2,
}


@pytest.mark.parametrize(
    ("strategy", "kind"),
    [(made.analysable, kind) for kind in KINDS] + [(made.studies, kind) for kind in KINDS if kind != "ties"],
)
def test_the_strategies_reach_every_kind_of_study(
    strategy: Callable[[], st.SearchStrategy[made.Made]], kind: str
) -> None:
    """Each kind of odd study is among what is drawn; a property tested on them is tested on those."""
    found = strategy().map(KINDS[kind])  # mapped first: what is found is printed, and a whole study is long
    assert find(found, bool, settings=settings(max_examples=2000, phases=[Phase.generate], database=None))


@settings(max_examples=15, deadline=None)
@given(made.analysable())
def test_analysable_studies_are_valid(study: made.Made) -> None:
    """What the analyses are tested on is a valid study that holds every trial."""
    dataset = schema.build(*study)
    schema.validate(dataset)
    assert (dataset["status"] != "missing").sum() == len(study[1])


def test_values_arrive(dataset: xarray.Dataset) -> None:
    """A trial's numbers stand at its task, variant and index, its curves are NaN where JSON says null."""
    study = made.study(trials=4)
    one = made.trial(study, "songs", "gated", 2)
    at = dataset.sel(task="songs", variant="gated", trial=2)
    for name in ("best_valid", "best_test", "n_parameters", "seconds", "best_epoch"):
        assert at[name].item() == one[name]
    assert at["learning_rate"].item() == one["hyperparameters"]["learning_rate"]
    assert at["valid"].values.tolist() == one["curves"]["valid"]
    assert numpy.isnan(at["train_loss"].values[0])
    assert at["trial_id"].item() == one["trial_id"]
    assert at["status"].item() == "ok"
    assert schema.attribute(dataset, "environments")[at["environment"].item()] == one["environment"]


def test_meaning_is_stored(dataset: xarray.Dataset) -> None:
    """Units, direction, search space, equations and protocol are in the file and not in code."""
    assert dataset["best_test"].attrs["units"] == "nats/frame"
    assert dataset["best_test"].attrs["direction"] == "minimize"
    assert dataset["seconds"].attrs["units"] == "s"
    assert all("long_name" in variable.attrs for variable in dataset.variables.values())
    assert schema.hyperparameters(dataset) == list(made.SPACE)
    assert schema.attribute(dataset, "distributions")["songs"] == made.SPACE
    assert schema.attribute(dataset, "variants")["plain"]["equations"] == made.VANILLA
    assert schema.attribute(dataset, "protocol")["clip"] is None


def test_tasks_of_two_units() -> None:
    """Where tasks differ in units, a score's attribute says so and the variable `units` tells them apart."""
    study = made.study({"songs": made.MUSIC, "talk": made.SPEECH}, trials=1)
    dataset = schema.build(study, made.whole(study)[1])
    assert dataset["best_test"].attrs["units"] == "by task"
    assert dataset["units"].values.tolist() == ["nats/frame", "%"]


def test_holes_are_missing() -> None:
    """A trial that was not run has status missing, no identifier and no numbers."""
    study = made.study(trials=3)
    dataset = schema.build(study, [made.trial(study, "songs", "plain", 1)])
    assert dataset["status"].values.ravel().tolist() == ["missing", "ok"] + ["missing"] * 4
    hole = dataset.sel(task="songs", variant="gated", trial=0)
    assert hole["trial_id"].item() == ""
    assert numpy.isnan(hole["best_test"].item())
    assert len(schema.frame(dataset)) == 1


def test_a_view_may_be_the_longest_curve() -> None:
    """The epochs are as many as the longest list of any trial, a view's too, where its own curves are shorter or none."""
    study = made.study(trials=1)
    views = {"part": {"best_test": 2.0, "test": [3.0, 2.0]}}
    empty = dict.fromkeys(("train_loss", "valid", "test"), ())
    (one, *_) = made.whole(study)[1]
    dataset = schema.build(study, [one | {"curves": empty, "views": views}])
    schema.validate(dataset)
    assert dataset.sizes["epoch"] == 2
    assert dataset["test_view"].sel(view="part").dropna("variant", how="all").values.ravel().tolist() == [3.0, 2.0]


def test_no_trials_yet() -> None:
    """A study that has just begun is a valid dataset of holes."""
    dataset = schema.build(made.study(trials=2), [])
    assert set(dataset["status"].values.ravel().tolist()) == {"missing"}


def test_text_and_truth_values_can_be_drawn() -> None:
    """A hyperparameter may be a text or a truth value; a task that does not draw it has none."""
    study = made.study(trials=1)
    drawn = {"form": "nesterov", "clip_gradient": True}
    forms = {"form": ["nesterov", "classical"], "clip_gradient": [False, True]}
    study["tasks"]["songs"]["space"] |= {name: {"kind": "choice", "values": form} for name, form in forms.items()}
    dataset = schema.build(study, [made.trial(study, "songs", "plain", 0, hyperparameters=drawn)])
    assert dataset["form"].values.ravel().tolist() == ["nesterov", ""]
    assert dataset["clip_gradient"].values.ravel()[0] == 1.0
    assert {"form", "clip_gradient"} < set(schema.hyperparameters(dataset))


def test_files_are_deterministic(dataset: xarray.Dataset, tmp_path: Path) -> None:
    """The same study gives the same bytes."""
    one, two = (schema.save(dataset, tmp_path / name).read_bytes() for name in ("one.nc", "two.nc"))
    assert one == two


def test_large_attributes(tmp_path: Path) -> None:
    """A hundred cells with long references fit, though an HDF5 attribute of fixed length ends at 64 kB."""
    study = made.study(variants=tuple(f"cell{i}" for i in range(100)), trials=1)
    for facts in study["variants"].values():
        facts["reference"] = "é" * 2000
    dataset = schema.build(study, [])
    assert_same(dataset, schema.load(schema.save(dataset, tmp_path / "study.nc")))


def test_without_times(dataset: xarray.Dataset) -> None:
    """Two runs that differ in clock and machine only are identical without their times."""
    study = made.study(trials=4)
    study |= {"created": "2027-01-01T00:00:00+00:00", "environment": {"cpu": "another"}}
    trials = made.whole(study)[1]
    for one in trials:
        one |= {"seconds": 1.0, "frames_per_second": 2.0, "environment": {"cpu": "another"}}
        one["curves"] = one["curves"] | {"epoch_seconds": [None, 3.0]}
    other = schema.build(study, trials)
    assert not dataset.identical(other)
    assert_same(schema.without_times(dataset), schema.without_times(other))
    trials[0]["best_test"] += 1e-12
    assert not schema.without_times(dataset).identical(schema.without_times(schema.build(study, trials)))


def drop(name: str) -> Callable[[xarray.Dataset], xarray.Dataset]:
    return lambda d: d.drop_vars(name)


def attrs(**given: object) -> Callable[[xarray.Dataset], xarray.Dataset]:
    return lambda d: d.assign_attrs(given)


def put(name: str, value: object) -> Callable[[xarray.Dataset], xarray.Dataset]:
    """The dataset with one value of a variable replaced, that of the first trial."""

    def change(dataset: xarray.Dataset) -> xarray.Dataset:
        values = dataset[name].values.astype(object)
        values.reshape(-1)[0] = value
        kind = str if isinstance(value, str) else float
        return dataset.assign({name: (dataset[name].dims, values.astype(kind), dataset[name].attrs)})

    return change


BROKEN: dict[str, tuple[Callable[[xarray.Dataset], xarray.Dataset], str]] = {
    "variable": (drop("best_test"), "variable 'best_test': found no such variable, expected dimensions .*'trial'"),
    "dimension": (lambda d: d.isel(trial=0), "dimension 'trial'.*expected a dimension with a coordinate"),
    "coordinate": (lambda d: d.drop_vars("variant"), "dimension 'variant'"),
    "label twice": (lambda d: d.assign_coords(variant=["a", "a"]), "dimension 'variant': found .*each once"),
    "order": (lambda d: d.assign(valid=d["valid"].transpose("epoch", ...)), "variable 'valid': found dimensions"),
    "dtype": (lambda d: d.assign(epochs=d["epochs"].astype(str)), "variable 'epochs': found dtype <U.*a number"),
    "units": (lambda d: d.assign(seconds=d["seconds"].drop_attrs()), "variable 'seconds': found no attribute 'units'"),
    "status": (put("status", "fine"), "variable 'status': found 'fine', expected one of ok, diverged"),
    "direction": (put("direction", "up"), "variable 'direction': found 'up', expected one of minimize"),
    "id": (put("trial_id", ""), "variable 'trial_id': found an empty one"),
    "id twice": (lambda d: put("trial_id", str(d["trial_id"].values[0, 0, 1]))(d), "'trial_id': found one that occurs"),
    "score": (
        put("best_valid", float("nan")),
        "'best_valid' at task 'songs', variant 'plain', trial 0: found no finite",
    ),
    "json": (attrs(protocol="{"), "attribute 'protocol': found '{', expected a JSON text"),
    "no facts": (attrs(tasks="{}"), "attribute 'tasks' for task 'songs': found None, expected a JSON object"),
    "no cell's facts": (attrs(variants='{"plain": {}}'), "attribute 'variants' for variant 'gated': found None"),
    "no distributions": (attrs(distributions="[]"), "attribute 'distributions' for task 'songs': found \\[\\]"),
    "a bare distribution": (
        attrs(distributions='{"songs": {"learning_rate": 3}}'),
        "distribution of 'learning_rate' on task 'songs': found 3, expected an object that says its 'kind'",
    ),
    "no measure": (
        attrs(distributions='{"songs": {}}'),
        r"variable 'hidden_size' on task 'songs': found [\d.]+ and no distribution, expected the distribution it was",
    ),
    "attribute": (attrs(device=None), "attribute 'device': found None, expected a text"),
    "package": (attrs(package="other"), "attribute 'package': found 'other'"),
    "newer": (attrs(format=2), "found format 2, expected format 1. It was written by a newer package: update"),
    "hyperparameter": (drop("learning_rate"), "variable 'learning_rate': found no such variable"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_validate_names_what_is_wrong(name: str, dataset: xarray.Dataset) -> None:
    """Each broken promise is refused with its place, what was found and what was expected."""
    change, message = BROKEN[name]
    schema.validate(dataset)
    with pytest.raises(SchemaError, match=message):
        schema.validate(change(dataset))


TRIALS = {
    "task": ({"task": "other"}, "found task 'other', expected one of songs"),
    "variant": ({"variant": "other"}, "found variant 'other', expected one of plain, gated"),
    "index": ({"trial": -1}, "counted from 0"),
    "field": ({"status": None}, "found no 'status'"),
    "newer": ({"format": 9}, "found format 9, expected format 1"),
}


@pytest.mark.parametrize("name", TRIALS)
def test_build_refuses_foreign_trials(name: str) -> None:
    """A trial that cannot belong to the study is refused by its identifier."""
    change, message = TRIALS[name]
    study = made.study()
    with pytest.raises(SchemaError, match=f"trial '[0-9a-f]+': {message}|{message}"):
        schema.build(study, [made.trial(study, "songs", "plain", 0) | change])


def test_build_refuses_a_trial_twice() -> None:
    """The same place cannot be filled twice."""
    study = made.study()
    with pytest.raises(SchemaError, match=r"twice, expected each trial once"):
        schema.build(study, [made.trial(study, "songs", "plain", 0)] * 2)


def test_build_refuses_a_name_that_is_taken() -> None:
    """A hyperparameter cannot be called like a stored variable."""
    study = made.study()
    study["tasks"]["songs"]["space"]["seconds"] = {"kind": "uniform", "low": 0, "high": 1}
    with pytest.raises(SchemaError, match="hyperparameter 'seconds'"):
        schema.build(study, [])


def test_load_refuses_other_files(dataset: xarray.Dataset, tmp_path: Path) -> None:
    """A text, a cut file, a foreign netCDF, a newer study and a missing file each have one clear error."""
    path = schema.save(dataset, tmp_path / "study.nc")
    text = tmp_path / "text.nc"
    text.write_text("hello")
    with pytest.raises(SchemaError, match="damaged or something else"):
        schema.load(text)
    cut = tmp_path / "cut.nc"
    cut.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(SchemaError, match="damaged or something else"):
        schema.load(cut)
    foreign = tmp_path / "foreign.nc"
    xarray.Dataset({"a": ("x", [1.0])}).to_netcdf(foreign, engine="h5netcdf")
    with pytest.raises(SchemaError, match="found another netCDF file, expected a study of lstm-odyssey"):
        schema.load(foreign)
    newer = tmp_path / "newer.nc"
    dataset.assign_attrs(format=2).to_netcdf(newer, engine="h5netcdf")
    with pytest.raises(SchemaError, match=r"format 2, expected format 1.*newer package"):
        schema.load(newer)
    with pytest.raises(FileNotFoundError, match="no such file"):
        schema.load(tmp_path / "none.nc")
    with pytest.raises(FileNotFoundError, match="a folder"):
        schema.load(tmp_path)


def test_load_bounds_its_size(dataset: xarray.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that unfolds to more than the bound is refused before it is read."""
    path = schema.save(dataset, tmp_path / "study.nc")
    monkeypatch.setattr(netcdf, "LARGEST", 1000)
    with pytest.raises(SchemaError, match="not to be trusted"):
        schema.load(path)


def test_a_failed_write_leaves_the_old_file(
    dataset: xarray.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that breaks in the middle changes nothing and leaves nothing behind."""
    path = schema.save(dataset, tmp_path / "study.nc")
    before = path.read_bytes()

    def broken(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(xarray.Dataset, "to_netcdf", broken)
    with pytest.raises(OSError, match="disk full"):
        schema.save(dataset, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["study.nc"]


def test_a_write_that_stops_before_its_end_leaves_the_old_file(
    dataset: xarray.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the new file takes the old one's place as a whole nothing of it is seen."""
    path = schema.save(dataset, tmp_path / "study.nc")
    before = path.read_bytes()

    def stopped(*_: object) -> None:
        raise OSError("stopped")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="stopped"):
        patch.setattr(os, "replace", stopped)
        schema.save(dataset.assign_attrs(seed=7), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["study.nc"]
    assert schema.load(schema.save(dataset.assign_attrs(seed=7), path)).attrs["seed"] == 7


def test_plain_xarray_reads_it(dataset: xarray.Dataset, tmp_path: Path) -> None:
    """The file means the same to somebody who has only xarray."""
    path = schema.save(dataset, tmp_path / "study.nc")
    with xarray.open_dataset(path, engine="h5netcdf") as plain:
        assert plain["seconds"].dtype.kind == "f"
        assert plain["best_test"].values.tolist() == dataset["best_test"].values.tolist()
        assert json.loads(plain.attrs["protocol"])["patience"] == 15


FULL = """
import resource, sys
from pathlib import Path

from lstm_odyssey.reports.contract import schema

dataset = schema.load(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
try:
    schema.save(dataset, sys.argv[2])
except OSError as error:
    print(f"refused: {error.strerror}")
"""


def test_a_disk_that_fills_up_is_an_error_and_not_the_end_of_the_process(
    dataset: xarray.Dataset, tmp_path: Path
) -> None:
    """HDF5 on a full disk has ended the whole process; an old file stays, and nothing is left beside it."""
    study, old = schema.save(dataset, tmp_path / "a.nc"), tmp_path / "b.nc"
    assert study.stat().st_size > 20_000
    old.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(study), str(old)], capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.returncode, done.stdout) == (0, "refused: File too large\n"), done.stderr
    assert old.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 2


def test_what_hdf5_refuses_is_one_error(
    dataset: xarray.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HDF5's own errors are of many kinds; each arrives as the schema's, with its words."""

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("Unable to create dataset")

    monkeypatch.setattr(xarray.Dataset, "to_netcdf", refuse)
    with pytest.raises(SchemaError, match="what HDF5 cannot hold .*Unable to create dataset"):
        schema.save(dataset, tmp_path / "study.nc")


def test_a_file_that_is_too_large_is_not_taken_into_memory(
    dataset: xarray.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file's own size is bounded before a byte of it is read."""
    path = schema.save(dataset, tmp_path / "study.nc")
    monkeypatch.setattr(netcdf, "LARGEST_FILE", 1000)
    with pytest.raises(SchemaError, match="at most 1000. The file is not to be trusted"):
        schema.load(path)
