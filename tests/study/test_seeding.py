"""A study that moves: its netCDF holds all of it, is believed only as far as it can be checked, and goes on elsewhere."""

import json

import numpy as np
import pytest
import xarray
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

import lstm_odyssey as lo
from lstm_odyssey.plugins.registry import UnknownNameError
from lstm_odyssey.reports.contract import netcdf, schema
from lstm_odyssey.reports.contract.restore import restore
from lstm_odyssey.reports.contract.schema import SchemaError
from lstm_odyssey.study import run as study_module
from lstm_odyssey.study.asked.settings import SettingsError
from lstm_odyssey.study.block import Block
from lstm_odyssey.study.plan import make_plan
from lstm_odyssey.study.results import consolidate, gather
from lstm_odyssey.study.resume import read_seed
from lstm_odyssey.study.run import pending
from lstm_odyssey.study.stored.store import Store, StoreError
from lstm_odyssey.study.stored.trials import comparable
from lstm_odyssey.training.environment import elsewhere, environment
from tests import made_studies as made
from tests import small


def settings(folder, **given):
    """As ``small.settings``, with draws of each variant's own: with common ones a swap of variants would change nothing."""
    return small.settings(folder, **{"draws": "independent", **given})


def files(path):
    """Every stored trial by the name of its file."""
    return {file.name: json.loads(file.read_text()) for file in Store(path).trials_folder.glob("[!.]*.json")}


def here(folder, **options):
    """What is asked on the machine that takes over: the corpus, and what the test says."""
    return lo.Settings(data=settings(folder).data, **options)


def diverge(record):
    """The trial as if its loss had ceased to be finite in its first epoch."""
    curves = {name: [curve[0], None] for name, curve in record["curves"].items()}
    curves["epoch_seconds"] = record["curves"]["epoch_seconds"][:2]
    return {
        **record, "status": "diverged", "reason": "the loss was not finite in epoch 1", "diverged_epoch": 1, "epochs": 1,
        "best_epoch": 0, "best_valid": curves["valid"][0], "best_test": curves["test"][0], "final_valid": None,
        "curves": curves,
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("begun")


@pytest.fixture(scope="module", params=["eager", "numba"])
def begun(request, folder):
    """A study of two variants with five trials each: a whole block missing, one trial failed, one diverged."""
    place = folder / request.param
    lo.run(place, settings(folder, backend=request.param, protocol={"patience": 7}))
    store = Store(place)
    study = store.study()
    blocks = {name: Block(study, "bach", name, 1) for name in ("nog", "vanilla")}
    for index in blocks["nog"].indices:
        store.trial_file(blocks["nog"].trial_id(index)).unlink()
    failed = blocks["vanilla"].failed(2, "RuntimeError: no luck")
    store.trial_file(failed["trial_id"]).unlink()  # what has ended is never replaced
    store.write_trial(failed)
    last = Block(study, "bach", "vanilla", 2).trial_id(4)
    diverged = diverge(store.read_trial(last))
    store.trial_file(last).unlink()
    store.write_trial(diverged)
    consolidate(store)
    return store


def test_a_store_made_from_a_netcdf_is_the_store_it_came_from(begun, tmp_path):
    """study.json but for its token, and every trial's file to the last byte, times included."""
    seed = read_seed(begun.consolidated)
    store = Store(tmp_path / "moved")
    store.write_study(seed.joined(store))
    assert seed.plant(store) == 8
    there, now = begun.study(), store.study()
    assert there.pop("token") != now.pop("token")
    assert (
        there == now and list(there["tasks"]) == list(now["tasks"]) and list(there["variants"]) == list(now["variants"])
    )
    for file in begun.trials_folder.iterdir():
        assert (store.trials_folder / file.name).read_bytes() == file.read_bytes()
    dataset = gather(store)
    assert {"ok", "diverged", "failed", "missing"} == set(dataset["status"].values.ravel())
    xarray.testing.assert_identical(dataset, lo.open_study(begun.consolidated))
    assert list(dataset.attrs.items()) == list(gather(begun).attrs.items())


def test_a_study_goes_on_elsewhere_and_ends_as_it_would_have(begun, folder, tmp_path):
    """Only what is missing or failed is run; the end is the uninterrupted study, and what came along is untouched."""
    runs = []
    given_up = lo.open_study(begun.consolidated)
    lo.run(
        tmp_path / "moved",
        here(folder),
        on_block=lambda block, missing: runs.append((block.variant, block.number, missing)),
        resume_from=begun.consolidated,
    )
    assert runs == [("nog", 1, 2), ("vanilla", 1, 1)]
    moved, before = files(tmp_path / "moved"), files(begun.path)
    kept = {name for name, trial in before.items() if trial["status"] != "failed"}
    assert len(moved) == 10 and {name: moved[name] for name in kept} == {name: before[name] for name in kept}
    whole = tmp_path / "whole"
    lo.run(whole, settings(folder, backend=begun.study()["backend"], protocol={"patience": 7}))
    unlike = [name for name, trial in files(whole).items() if comparable(trial) != comparable(moved[name])]
    assert [moved[name]["status"] for name in unlike] == ["diverged"]  # which the fixture made up
    assert int((given_up["status"] == "missing").sum()) == 2


def test_a_finished_study_moves_without_running_anything(folder, tmp_path):
    """The dataset of the new store is identical, and so is that of a store made from a store."""
    study = lo.run(tmp_path / "first", settings(folder, trials=1, epochs=1))
    runs = []
    for source in (tmp_path / "first" / "study.nc", tmp_path / "first"):
        again = lo.run(tmp_path / source.name, here(folder), on_block=lambda *ran: runs.append(ran), resume_from=source)
        xarray.testing.assert_identical(again, study)
    assert runs == []


def test_a_moved_study_may_grow(begun, folder, tmp_path):
    """More trials and another variant can be asked for in the same command; another seed cannot, and then nothing is made."""
    with pytest.raises(StoreError, match="with seed = 1, and 2 was asked for"):
        lo.run(tmp_path / "moved", here(folder, seed=2), resume_from=begun.consolidated)
    assert not (tmp_path / "moved").exists()
    store = Store(tmp_path / "moved")
    plan = make_plan(store, here(folder, trials=7, variants=["nig"]), read_seed(begun.consolidated).joined(store))
    assert plan.study["trials"] == 7 and list(plan.study["variants"]) == ["nog", "vanilla", "nig"]


def test_seeding_that_was_killed_is_completed_by_the_same_command(begun, folder, tmp_path, monkeypatch):
    """study.json is there first; after a kill in the middle the rest is written, and what was there is not touched."""
    place, write, count = tmp_path / "moved", Store.write_trial, []

    def killed(self, record):
        count.append(record)
        if len(count) == 4:
            assert self.study_file.exists()
            raise KeyboardInterrupt
        write(self, record)

    monkeypatch.setattr(Store, "write_trial", killed)
    with pytest.raises(KeyboardInterrupt):
        lo.run(place, here(folder), resume_from=begun.consolidated)
    monkeypatch.setattr(Store, "write_trial", write)
    (Store(place).trials_folder / ".tmp-00-abc.json").write_text("{")  # what a kill -9 leaves
    assert len(files(place)) == 3
    stamps = {file: file.stat().st_mtime_ns for file in Store(place).trials_folder.glob("[!.]*")}
    monkeypatch.setattr(study_module.Dispatch, "run", lambda *arguments: None)
    dataset = lo.run(place, here(folder), resume_from=begun.consolidated)
    xarray.testing.assert_identical(dataset, lo.open_study(begun.consolidated))
    assert {file: file.stat().st_mtime_ns for file in stamps} == stamps


def test_a_store_of_the_same_study_takes_over_what_it_lacks(begun, folder, tmp_path):
    """Two parts of a study come together: more trials and variants of either, finished over failed, its own before others."""
    store = Store(tmp_path / "store")
    options = {"backend": begun.study()["backend"], "protocol": {"patience": 7}, "trials": 3}
    lo.run(store.path, settings(folder, **options, variants=["cifg", "vanilla"]))
    own = files(store.path)
    seed = read_seed(begun.consolidated)
    study = seed.joined(store)
    assert study["token"] == store.study()["token"] and study["trials"] == 5
    assert list(study["variants"]) == ["cifg", "vanilla", "nog"]
    store.write_study(study)
    assert seed.plant(store) == 5  # nog 0, 1 and 4, vanilla 3 and 4; not vanilla 2, which failed there
    assert own.items() <= files(store.path).items()
    other = Store(tmp_path / "other")  # the other way round, the failed one gives way
    mine = read_seed(begun.consolidated)
    other.write_study(mine.joined(other))
    mine.plant(other)
    back = read_seed(store.path)
    other.write_study(back.joined(other))
    back.plant(other)
    assert pending(other, make_plan(other, here(folder))).trials == 4  # two of nog, which neither has, and two of cifg
    assert set(files(other.path)) == set(files(store.path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 3}, "seed = 3, and .*study.nc one with 1"),
        ({"epochs": 2}, "protocol = .*'epochs': 2.* one with .*'epochs': 4"),
        ({"draws": "common"}, "draws = 'common', and .* one with 'independent'"),
        ({"block_size": 3}, "block_size = 3, and .* one with 2"),
        ({"signature": "0" * 64}, "signature of variant 'nog' = '0000.* one with '"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_store_of_another_study_is_refused_with_both_values(begun, folder, tmp_path, change, message):
    """What differs is named with what the store has and what the file has."""
    store = Store(tmp_path / "store")
    options = {"backend": begun.study()["backend"], "protocol": {"patience": 7}}
    signature = change.get("signature")
    study = make_plan(store, settings(folder, **options, **({} if signature else change))).study
    if signature:
        study["variants"]["nog"]["signature"] = signature
    store.write_study(study)
    with pytest.raises(StoreError, match=message):
        lo.run(store.path, here(folder), resume_from=begun.consolidated)
    assert store.study() == study and not store.trials_folder.exists()


def put(name, value, **where):
    """Replace a variable at a place, by default that of the first trial of vanilla."""

    def change(dataset):
        changed = dataset.copy(deep=True)
        if isinstance(value, str):
            changed[name] = (changed[name].dims, changed[name].values.astype("U64"), changed[name].attrs)
        at = {"task": 0, "variant": 1, "trial": 0, **where}
        changed[name][{dim: place for dim, place in at.items() if dim in changed[name].dims}] = value
        return changed

    return change


def say(name, path, value):
    """Replace what an attribute that holds JSON says at a path of keys."""

    def change(dataset):
        content = schema.attribute(dataset, name)
        inner = content
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        return dataset.assign_attrs({name: json.dumps(content)})

    return change


CHANGED = {
    "id": (put("trial_id", "0" * 24), "variable 'trial_id' at task 'bach', variant 'vanilla', trial 0: found '0{24}'"),
    "path": (put("trial_id", "../../evil"), "variable 'trial_id' .* found '../../evil', expected '[0-9a-f]{24}'"),
    "draw": (put("learning_rate", 0.5), "variable 'learning_rate' at .* trial 0: found 0.5, expected 0.00"),
    "size": (put("hidden_size", 20.5), "variable 'hidden_size' at .* found 20.5, expected [0-9]+, which follows"),
    "swapped": (lambda d: d.isel(variant=[1, 0]), "dimension 'variant': found .*'vanilla', 'nog'.* expected"),
    "seed": (lambda d: d.assign_attrs(seed=7), "variable 'seed' at .* found 1, expected 7"),
    "trial's seed": (put("seed", 7), "variable 'seed' at task 'bach', variant 'vanilla', trial 0: found 7, expected 1"),
    "infinite": (put("best_test", np.inf), "variable 'best_test' at .* found inf, expected a finite number"),
    "infinite curve": (put("valid", -np.inf, epoch=1), "variable 'valid' at .* found -inf"),
    "part of an epoch": (put("best_epoch", 0.5), "variable 'best_epoch' at .* found 0.5, expected a whole number"),
    "environment": (put("environment", 9), "variable 'environment': found 9, expected the place of one of 1 environments"),
    "hole": (put("best_test", 1.0, variant=0, trial=2), "variable 'best_test' at .*'nog', trial '2'.*1.0.*expected .*nan"),
    "no score": (put("best_test", np.nan, trial=1), "status is ok and there is no score"),
    "corpus": (say("tasks", ("bach", "checksum"), "0"), "variable 'checksum' at task 'bach': found"),
    "equations": (say("variants", ("nog", "signature"), "0"), "variable 'trial_id' at .*'nog'.* found"),
    "space": (
        say("distributions", ("bach", "input_noise"), {"kind": "uniform", "low": 0, "high": 2}),
        "variable 'input_noise' at .* found 0",
    ),
    "unknown space": (say("distributions", ("bach", "input_noise"), {"kind": "beta"}), "kind is 'beta'"),
    "protocol": (say("protocol", ("patience",), 8), "variable 'trial_id' at"),
    "unknown option": (say("protocol", ("warmup",), 8), "protocol: unknown option 'warmup'"),
    "block size": (say("more", ("block_size",), 0), "block_size is 0"),
    "more trials": (say("more", ("trials",), 10**9), "dimension 'trial': found 5 trials, expected 1000000000"),
    "no trials": (say("more", ("trials",), None), "found trials = None"),
    "backend": (lambda d: d.assign_attrs(backend="triton"), "variable 'trial_id' at"),
    "draws": (lambda d: d.assign_attrs(draws="sobol"), "draws is 'sobol'"),
    "tasks": (say("tasks", ("bach",), [1]), r"attribute 'tasks' for task 'bach': found \[1\], expected a JSON object"),
    "no number": (say("tasks", ("bach", "chance"), "high"), "found what makes no study"),
    "not finite": (say("environment", ("cores",), float("inf")), "Out of range float"),
    "variable": (lambda d: d.assign(mine=("trial", np.arange(5.0))), "variable 'mine': found a variable, expected no such"),
    "not a mapping": (lambda d: d.assign_attrs(variants="[]"), r"'variants' for variant 'nog': found \[\], expected a JSON"),
}  # fmt: skip


@pytest.fixture(scope="module")
def moving(begun):
    """The dataset of that study as its file holds it, read once."""
    return lo.open_study(begun.consolidated)


def refused(name, begun, tmp_path):
    """A run that goes on from ``changed.nc`` says what of it contradicts itself, and makes no store."""
    with pytest.raises((StoreError, SchemaError), match=f"changed.nc: .*{CHANGED[name][1]}"):
        lo.run(tmp_path / "store", here(begun.path.parent), resume_from=tmp_path / "changed.nc")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("begun", ["eager"], indirect=True)
@pytest.mark.parametrize("name", CHANGED)
def test_what_contradicts_itself_is_refused(name, begun, moving, tmp_path, monkeypatch):
    """Whatever can be computed or stands there twice is compared: file, variable and both values are named, no store made.

    What HDF5 would read is handed over as it is: to write and to read each of these files would take most of the time.
    """
    (tmp_path / "changed.nc").touch()
    changed = CHANGED[name][0](moving)
    monkeypatch.setattr(netcdf.xarray, "open_dataset", lambda *_, **__: changed.copy())
    refused(name, begun, tmp_path)


WRITTEN = ("id", "seed", "tasks")
"""A text, a number and an attribute: in ``make test`` their changes are files too, in ``make long`` those of all."""


@pytest.mark.parametrize(
    ("begun", "name"),
    [
        pytest.param(kind, name, marks=[] if kind == "eager" and name in WRITTEN else [pytest.mark.long])
        for kind in ("eager", "numba")
        for name in CHANGED
    ],
    indirect=["begun"],
)
def test_a_file_that_contradicts_itself_is_refused(name, begun, moving, tmp_path, monkeypatch):
    """The same of a file that another program wrote."""
    with monkeypatch.context() as careless:
        careless.setattr(netcdf, "validate", lambda _: None)
        careless.setattr(netcdf, "as_study", lambda dataset: dataset)
        netcdf.save(CHANGED[name][0](moving), tmp_path / "changed.nc")
    refused(name, begun, tmp_path)


def test_what_is_no_study_is_one_clear_error_that_names_the_file(begun, folder, tmp_path):
    """Cut, foreign, newer, nowhere, an empty folder: each is said plainly, and no store is made."""
    dataset = lo.open_study(begun.consolidated)
    (tmp_path / "cut.nc").write_bytes(begun.consolidated.read_bytes()[:3000])
    (tmp_path / "foreign.nc").write_text("hello")
    dataset.assign_attrs(format=2).to_netcdf(tmp_path / "newer.nc", engine="h5netcdf")
    (tmp_path / "empty").mkdir()
    said = {
        "cut.nc": "damaged or something else",
        "foreign.nc": "damaged or something else",
        "newer.nc": "written by a newer package",
        "nowhere.nc": "nothing is there",
        "empty": "there is no study",
    }
    for name, words in said.items():
        with pytest.raises((StoreError, SchemaError), match=f"{name}: .*{words}"):
            lo.run(tmp_path / "store", here(folder), resume_from=tmp_path / name)
    assert not (tmp_path / "store").exists()


def test_a_variant_or_corpus_that_is_not_here_is_an_error_as_ever(begun, folder, tmp_path, monkeypatch):
    """A plugin that is not installed, a variant that has changed, a backend that is not to be had: nothing is made."""
    from lstm_odyssey import backends
    from lstm_odyssey.plugins import registry

    find = registry.variant
    with monkeypatch.context() as patch:

        def absent(name):
            return find("vanila" if name == "vanilla" else name)

        patch.setattr(registry, "variant", absent)
        with pytest.raises(UnknownNameError, match="variant 'vanila': unknown; expected one of"):
            lo.run(tmp_path / "store", here(folder), resume_from=begun.consolidated)
    with monkeypatch.context() as patch:
        patch.setattr(backends, "BACKENDS", {"other": "other"})
        with pytest.raises(SettingsError, match=f"backend '{begun.study()['backend']}': not available"):
            lo.run(tmp_path / "store", here(folder), resume_from=begun.consolidated)
    with pytest.raises(StoreError, match="task 'bach' has checksum .* it has changed"):
        lo.run(tmp_path / "store", lo.Settings(), resume_from=begun.consolidated)
    assert not (tmp_path / "store").exists()


def trimmed(trials):
    """Curves as a training writes them: none has an entry after the last epoch in which something was measured."""
    for trial in trials:
        curves = trial["curves"].values()
        length = max((k + 1 for curve in curves for k, value in enumerate(curve) if value is not None), default=0)
        trial["curves"] = {name: curve[:length] for name, curve in trial["curves"].items()}
        views = {
            name: view | {"test": (view["test"] + [None] * length)[:length]}
            for name, view in trial.pop("views", {}).items()
        }
        told = {
            name: view for name, view in views.items() if any(v is not None for v in (view["best_test"], *view["test"]))
        }
        trial |= {"views": told} if told else {}
    return trials


@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow])
@given(made.studies())
def test_restoring_undoes_building(study):
    """Any study comes back from its dataset: what is built of it again is the same in every value and attribute."""
    facts, trials = study
    built = schema.build(facts, trimmed(trials))
    back, records = restore(built)
    assert list(built.attrs.items()) == list(schema.build(back, records).attrs.items())
    xarray.testing.assert_identical(built, schema.build(back, records))
    assert {name: back[name] for name in facts} == facts
    wanted = sorted(trials, key=lambda trial: trial["trial_id"])
    for one, other in zip(wanted, sorted(records, key=lambda trial: trial["trial_id"]), strict=True):
        epochs = len(other["curves"]["valid"])  # those in which nothing was measured have an entry too

        def filled(values, epochs=epochs):
            return values + [None] * (epochs - len(values))

        expected = one | {"curves": {name: filled(curve) for name, curve in one["curves"].items()}}
        if "views" in one:
            views = one["views"].items()
            expected["views"] = {name: view | {"test": filled(view["test"])} for name, view in views}
        assert ("views" in other) == ("views" in one)
        assert {name: other[name] for name in one if name != "reason"} == {
            name: value for name, value in expected.items() if name != "reason"
        }


def test_another_processor_or_version_is_said_with_both_names():
    """What decides bits and differs is named, then and now; what an old trial does not say is no difference."""
    now = environment()
    assert now["numba"] and now["llvmlite"]
    assert elsewhere([now, {**now, "platform": "another", "python": "3.0"}, {"cpu": now["cpu"]}]) == ""
    said = elsewhere([{**now, "cpu": "a fast one", "numba": "0.1"}, now, {**now, "cpu": "a slow one"}])
    assert said == f"cpu a fast one, a slow one then, {now['cpu']} now; numba 0.1 then, {now['numba']} now"


def test_rounds_go_on_where_some_variants_are_ahead(folder, tmp_path):
    """Single trials by turns; after a resume the variant that is behind catches up before any goes further."""
    store = Store(tmp_path / "store")
    plan = make_plan(store, settings(folder, backend="numba", block_size=1, trials=4))
    store.write_study(plan.study)
    order = [(block.number, block.variant) for block, _ in pending(store, plan).blocks]
    assert order == [(number, name) for number in range(4) for name in ("nog", "vanilla")]
    for number in range(2):
        block = Block(plan.study, "bach", "nog", number)
        store.write_trial({**block.failed(number, ""), "status": "diverged"})
    order = [(block.number, block.variant) for block, _ in pending(store, plan).blocks]
    assert order == [(0, "vanilla"), (1, "vanilla"), (2, "nog"), (2, "vanilla"), (3, "nog"), (3, "vanilla")]
    assert pending(store, plan).environments == (environment(),)


def test_a_worker_takes_up_blocks_as_they_were_submitted(tmp_path):
    """The order reaches the scheduler: one worker process begins each task after all that were submitted before."""
    from time import time

    from lstm_odyssey.study.workers.engine import engine

    with engine(1, None, str(tmp_path), "token") as executor:
        futures = [executor.submit(time) for _ in range(40)]
        begun = [future.result(timeout=120) for future in futures]
    assert begun == sorted(begun)


def test_the_netcdf_is_refreshed_while_a_study_runs(folder, tmp_path, monkeypatch):
    """After a block, and a while since the last time, what is stored is consolidated; a failure to do so stops nothing."""
    monkeypatch.setattr(study_module, "REFRESH_SECONDS", 0.0)
    seen = []

    def look(block, missing):
        file = tmp_path / "store" / "study.nc"
        seen.append(int((netcdf.load(file)["status"] != "missing").sum()) if file.exists() else 0)

    lo.run(tmp_path / "store", settings(folder, trials=4, epochs=1), on_block=look)
    assert seen == [0, 2, 4, 6]


def test_what_is_just_being_written_is_no_trial(begun):
    """A temporary file of a trial, as a kill in the middle of a write leaves it, is passed over."""
    file = begun.trials_folder / f".tmp-0123-{'0' * 24}.json"
    file.write_text("{")
    try:
        assert len(list(begun.trials())) == 8
    finally:
        file.unlink()
