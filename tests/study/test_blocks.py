"""Blocks and studies with a training that takes no time: what is run, what is stored, and what becomes of failures."""

import json
from concurrent.futures import Executor, Future
from contextlib import contextmanager

import numpy as np
import pytest

import lstm_odyssey as lo
from lstm_odyssey.reports.contract import netcdf
from lstm_odyssey.study.block import Block
from lstm_odyssey.study.plan import make_plan
from lstm_odyssey.study.results import gather, open_study
from lstm_odyssey.study.resume import read_seed
from lstm_odyssey.study.stored.locking import alive
from lstm_odyssey.study.stored.store import Store, StoreError
from lstm_odyssey.study.stored.trials import CURVES, NUMBERS
from lstm_odyssey.study.workers.work import run_block
from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.training import loop
from lstm_odyssey.training.environment import environment
from lstm_odyssey.training.random_streams import stream
from tests.small import chorales, settings


class Trained:
    """Stands for a population at the end of its training: numbers that follow from variant and trial."""

    def __init__(self, cell, trials, keeps_weights=False):
        self.cell, self.trials, self.keeps_weights = cell, tuple(trials), keeps_weights

    def record(self, member):
        trial = self.trials[member]
        drawn = stream("stands for a training", self.cell.name, trial.index).random(4).tolist()
        numbers = {name: None if name == "diverged_epoch" else 1 for name in NUMBERS}
        scores = {"best_valid": drawn[0], "best_test": drawn[1], "best_test_per_sequence": drawn[2], "best_epoch": 1}
        curves = {name: [None if name == "train_loss" else 9.0, drawn[3], *[9.0] * 3] for name in CURVES}
        curves |= {"valid": [9.0, drawn[0], *[9.0] * 3], "test": [9.0, drawn[1], *[None] * 3]}
        scores |= {"epochs": 4, "final_valid": 9.0}  # the limit of ``small.settings``
        return {"status": "ok", "reason": "", **numbers, **scores, "curves": curves}

    def best_member_weights(self, member):
        return {"a": np.full(3, self.trials[member].index)}


@pytest.fixture
def trainings(monkeypatch):
    """What was trained, a pair of variant and trials each time; neither the training nor a file of its end takes time."""
    monkeypatch.setattr(netcdf, "save", lambda dataset, path: path.touch())
    return stand_in(monkeypatch)


def stand_in(monkeypatch):
    ran = []

    def train(cell, corpus, objective, trials, protocol, *, keep_weights, **options):
        ran.append((cell.name, tuple(trials)))
        return Trained(cell, trials, keep_weights)

    monkeypatch.setattr(loop, "train", train)
    return ran


def study(folder, **options):
    """Run a study of one variant, three trials in blocks of two, on a backend that pads."""
    given = {"variants": ["nog"], "trials": 3, "backend": "eager", **options}
    return lo.run(folder / "store", settings(folder, **given))


def stored(folder):
    """The stored trials by variant and index."""
    return {(trial["variant"], trial["trial"]): trial for trial in Store(folder / "store").trials()}


def put(store, record):
    """Put a trial's file into a store as another program would, over the one that is there."""
    store.trials_folder.mkdir(parents=True, exist_ok=True)
    store.trial_file(record["trial_id"]).write_text(json.dumps(record), encoding="utf-8")


def block(folder, number=0, **options):
    """A block of the stored study, and what a worker is told of it."""
    content = Store(folder / "store").study()
    spec = {"store": str(folder / "store"), "token": content["token"], "task": "bach", "variant": "nog",
            "number": number, "data": str(chorales(folder)), "plugins": [], "trials": content["trials"], "patience": 0.0,
            "source": environment()["source"], **options}  # fmt: skip
    return Block(content, "bach", "nog", number), spec


def test_a_worker_with_another_source_computes_nothing(tmp_path):
    """A worker that starts anew from files that were edited meanwhile would mix two versions in one run."""
    study(tmp_path)
    _, spec = block(tmp_path, source="another")
    before = stored(tmp_path)
    with pytest.raises(StoreError, match="the run began with another; expected one source in all processes"):
        run_block(spec)
    assert stored(tmp_path) == before


def test_ghosts_are_trained_and_not_stored(tmp_path, trainings):
    """A block that is larger than what is asked for is filled with ghosts, drawn as the trials that come later would be."""
    study(tmp_path)
    (_, first), (_, second) = trainings
    assert [(trial.index, trial.ghost) for trial in first + second] == [(0, False), (1, False), (2, False), (3, True)]
    assert set(stored(tmp_path)) == {("nog", 0), ("nog", 1), ("nog", 2)}
    study(tmp_path, trials=4)
    assert set(stored(tmp_path)) == {("nog", index) for index in range(4)}
    assert stored(tmp_path)["nog", 3]["hyperparameters"] == second[1].hyperparameters


def test_a_backend_that_does_not_pad_has_no_ghosts(tmp_path, trainings):
    """Where members are computed apart only what is missing is trained."""
    study(tmp_path, backend="numba", trials=3)
    assert [trial.index for _, trials in trainings for trial in trials] == [0, 1, 2]
    assert not any(trial.ghost for _, trials in trainings for trial in trials)


def test_draws_are_those_of_their_trials(tmp_path, trainings):
    """What is trained, what is stored and what the id was made of have the same hyperparameters."""
    study(tmp_path, variants=["nog", "vanilla"], draws="independent")
    for name, trials in trainings:
        for trial in trials:
            if not trial.ghost:
                assert stored(tmp_path)[name, trial.index]["hyperparameters"] == trial.hyperparameters
    assert trainings[0][1][0].hyperparameters != trainings[1][1][0].hyperparameters, "independent draws are the same"


def test_common_draws_are_common(tmp_path, trainings):
    """Asked for common draws, all variants train the same ones."""
    study(tmp_path, variants=["nog", "vanilla"], draws="common")
    assert trainings[0][0] != trainings[1][0]
    assert trainings[0][1][0].hyperparameters == trainings[1][1][0].hyperparameters


@pytest.mark.parametrize(("status", "again"), [("ok", False), ("diverged", False), ("failed", True)])
def test_only_failed_trials_are_tried_again(status, again, tmp_path, trainings):
    """A trial that diverged is a result like any other; one that failed is missing."""
    study(tmp_path)
    record = stored(tmp_path)["nog", 2]
    put(Store(tmp_path / "store"), {**record, "status": status, "diverged_epoch": 1, "reason": "told so"})
    trainings.clear()
    study(tmp_path)
    assert [trial.index for _, trials in trainings for trial in trials] == ([2, 3] if again else [])
    assert stored(tmp_path)["nog", 2]["status"] == ("ok" if again else status)


def test_a_block_whose_trials_are_stored_is_not_run_again(tmp_path, trainings):
    """Submitted a second time, as a cluster may do, it trains nothing."""
    study(tmp_path)
    trainings.clear()
    _, spec = block(tmp_path)
    assert run_block(spec) == 0 and trainings == []


def test_a_neighbour_that_came_out_otherwise_is_noticed(tmp_path, trainings, monkeypatch):
    """A block run whole has to give what is stored of it, in every curve and score; times may differ."""
    study(tmp_path)
    store, kept = Store(tmp_path / "store"), stored(tmp_path)
    one, other = kept["nog", 0], kept["nog", 1]
    changes = {
        "best_test": one["best_test"] + 1e-12,
        "best_epoch": 0,
        "curves": {**one["curves"], "valid": [9.0, 1.0]},
        "n_parameters": 2,
    }
    for name, value in changes.items():
        put(store, {**one, name: value})
        store.trial_file(other["trial_id"]).unlink()
        study(tmp_path)
        assert "came out otherwise" in stored(tmp_path)["nog", 1]["reason"], name
    put(store, {**one, "seconds": 99.0, "curves": {**one["curves"], "epoch_seconds": [5.0, 5.0]}})
    study(tmp_path)
    assert stored(tmp_path)["nog", 1] == other


def test_best_weights_are_stored_where_they_were_asked_for(tmp_path, trainings):
    """Each trial's own, ghosts left out; none where none were asked for."""
    study(tmp_path, keep_weights="best")
    found = {}
    for (_, index), trial in stored(tmp_path).items():
        with np.load(Store(tmp_path / "store").weights_folder / f"{trial['trial_id']}.npz", allow_pickle=False) as file:
            found[index] = file["a"].tolist()
    assert found == {index: [index] * 3 for index in range(3)}
    assert len(list(Store(tmp_path / "store").weights_folder.iterdir())) == 3


def test_a_finished_block_leaves_neither_checkpoint_nor_progress(tmp_path, trainings):
    """What a block kept while it ran is removed once its trials are stored, and is not before."""
    study(tmp_path)
    one, spec = block(tmp_path)
    store = Store(tmp_path / "store")
    store.trial_file(one.trial_id(1)).unlink()
    store.checkpoints_folder.mkdir(exist_ok=True)
    mine, others = (store.checkpoints_folder / f"{name}.npz" for name in (one.name, "another"))
    mine.touch()
    others.touch()
    run_block(spec)
    assert not mine.exists() and others.exists() and not list(store.progress_folder.iterdir())


def test_a_worker_with_another_corpus_stores_nothing(tmp_path, trainings):
    """A corpus that is another one on the worker is an error with both checksums, before anything is trained."""
    study(tmp_path, trials=2)
    one, spec = block(tmp_path, data=str(chorales(tmp_path, 21)))
    Store(tmp_path / "store").trial_file(one.trial_id(0)).unlink()
    trainings.clear()
    with pytest.raises(CorpusError, match="the corpus here has checksum .*, the study's has"):
        run_block(spec)
    assert trainings == [] and ("nog", 0) not in stored(tmp_path)


def test_a_worker_with_another_variant_stores_nothing(tmp_path, trainings):
    """A variant whose equations are others on the worker is an error with both signatures."""
    study(tmp_path, trials=2)
    store = Store(tmp_path / "store")
    content = store.study()
    content["variants"]["nog"]["signature"] = "0" * 64
    store.write_study(content)
    trainings.clear()
    with pytest.raises(StoreError, match="its signature here is .*, the study's 000000000000"):
        run_block(block(tmp_path)[1])
    assert trainings == []


def test_a_worker_at_another_study_stores_nothing(tmp_path, trainings):
    """The token tells two stores at one path apart."""
    study(tmp_path, trials=2)
    with pytest.raises(StoreError, match="finds another study there"):
        run_block(block(tmp_path, token="another")[1])


def test_what_was_stored_before_a_failure_stands(tmp_path, trainings, monkeypatch):
    """A block that breaks after its first trial is stored fails in the second alone, with its reason."""
    write, written = Store.write_trial, []

    def odd(self, record):
        written.append(record)
        if len(written) == 2:
            raise RuntimeError("something odd")
        write(self, record)

    monkeypatch.setattr(Store, "write_trial", odd)
    study(tmp_path, trials=2)
    assert [trial["status"] for _, trial in sorted(stored(tmp_path).items())] == ["ok", "failed"]
    assert "something odd" in stored(tmp_path)["nog", 1]["reason"]


def test_rounds_go_over_all_variants(tmp_path, trainings):
    """No variant is a block ahead of another: what is stored of a study that was stopped can be compared."""
    study(tmp_path, variants=["nog", "vanilla", "cifg"], trials=6)
    names = [name for name, _ in trainings]
    assert len(names) == 9 and all(len(set(names[start : start + 3])) == 3 for start in (0, 3, 6))


class Deadly(Executor):
    """Runs blocks at once; the worker of some of them dies again and again, as dask would say it."""

    def __init__(self, dies):
        self.dies = dies

    def submit(self, fn, spec, /):
        from distributed.scheduler import KilledWorker, WorkerState

        future = Future()
        if self.dies(spec):
            last = WorkerState(address="tcp://127.0.0.1:1", status="running", pid=1, name="w", server_id="w", nanny="",
                               local_directory="", services={}, versions={}, nthreads=1, memory_limit=1, extra={},
                               scheduler=None)  # fmt: skip
            future.set_exception(KilledWorker(f"run_block-{spec['number']}", last, 3))
        else:
            future.set_result(fn(spec))
        return future


def with_executor(executor):
    """An engine that gives this executor."""

    @contextmanager
    def engine(store, plan, todo):
        yield executor

    return engine


def test_a_block_that_kills_its_worker_fails_and_the_study_goes_on(tmp_path, trainings):
    """Its trials are failed with a reason, those of every other block are ok, and the next run tries the failed again."""
    asked = settings(tmp_path, variants=["nog", "vanilla"], trials=2, backend="eager")
    engine = with_executor(Deadly(lambda spec: spec["variant"] == "nog"))
    dataset = lo.run(tmp_path / "store", asked, engine=engine)
    assert dataset["status"].sel(variant="nog").values.ravel().tolist() == ["failed", "failed"]
    assert dataset["status"].sel(variant="vanilla").values.ravel().tolist() == ["ok", "ok"]
    assert all("its worker died" in reason for reason in dataset["reason"].sel(variant="nog").values.ravel())
    again = lo.run(tmp_path / "store", asked)
    assert set(again["status"].values.ravel()) == {"ok"}


@pytest.mark.parametrize("error", [StoreError("gone"), CorpusError("gone"), RuntimeError("odd")])
def test_an_error_that_is_no_trials_ends_the_study_and_keeps_what_is_stored(error, tmp_path, monkeypatch):
    """It is raised as it is, and the netCDF holds what was finished before it."""
    stand_in(monkeypatch)  # without ``trainings``, which writes no netCDF

    class Broken(Deadly):
        def submit(self, fn, spec, /):
            future = Future()
            if spec["number"]:
                future.set_exception(error)
            else:
                future.set_result(fn(spec))
            return future

    asked = settings(tmp_path, variants=["nog"], trials=4, backend="eager")
    with pytest.raises(type(error), match=str(error)):
        lo.run(tmp_path / "store", asked, engine=with_executor(Broken(None)))
    assert set(stored(tmp_path)) == {("nog", 0), ("nog", 1)}
    assert (open_study(tmp_path / "store" / "study.nc")["status"] == "ok").sum() == 2


def test_a_study_that_trained_something_is_not_forgotten(tmp_path, trainings):
    """Stopped after its first block it keeps its study.json; stopped before it the folder is free again."""

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lo.run(tmp_path / "free", settings(tmp_path), on_start=None, engine=stop)
    assert not (tmp_path / "free").exists()
    with pytest.raises(KeyboardInterrupt):
        lo.run(tmp_path / "store", settings(tmp_path, backend="eager"), on_block=stop)
    assert Store(tmp_path / "store").study() is not None and len(stored(tmp_path)) == 2


def test_a_study_that_another_run_has_joined_is_not_taken_back(tmp_path, trainings):
    """A run that stops before its first block leaves study.json to one that lives in the same store."""

    def stop(*_):
        raise KeyboardInterrupt

    store = Store(tmp_path / "store")
    with alive(store), pytest.raises(KeyboardInterrupt):
        lo.run(store.path, settings(tmp_path), engine=stop)
    assert store.study() is not None


def test_a_trial_that_contradicts_the_study_is_refused(tmp_path, trainings):
    """A stored trial with another draw, index or variant than its id says is a damaged file."""
    study(tmp_path)
    store, one = Store(tmp_path / "store"), stored(tmp_path)["nog", 0]
    for name, value in {"hyperparameters": {**one["hyperparameters"], "momentum": 0.5}, "trial": 1}.items():
        put(store, {**one, name: value})
        with pytest.raises(StoreError, match=f"{one['trial_id']}.json is damaged: {name} is"):
            gather(store)
    put(store, one)
    put(store, {**one, "trial_id": "0" * 24})
    with pytest.raises(StoreError, match="do not belong to its study"):
        gather(store)


def test_a_study_only_grows(tmp_path, trainings):
    """Fewer trials than are stored are refused, as many or none said are what is stored, more extend it."""
    study(tmp_path)
    store = Store(tmp_path / "store")
    with pytest.raises(StoreError, match="a study of 3 trials, and 2 were asked for"):
        study(tmp_path, trials=2)
    data = settings(tmp_path).data
    assert [make_plan(store, lo.Settings(trials=trials, data=data)).study["trials"] for trials in (None, 3, 7)] == [
        3,
        3,
        7,
    ]


def test_a_trial_of_another_format_is_refused(tmp_path, trainings):
    """A trial's file that a newer version wrote, or that stands under another's name, is named and not believed."""
    study(tmp_path)
    store, one = Store(tmp_path / "store"), stored(tmp_path)["nog", 0]
    file = store.trial_file(one["trial_id"])
    file.write_text(json.dumps({**one, "format": 99}))
    with pytest.raises(StoreError, match="written by a newer"):
        store.read_trial(one["trial_id"])
    file.write_text(json.dumps({**one, "trial_id": "1" * 24}))
    with pytest.raises(StoreError, match="holds trial 1111"):
        store.read_trial(one["trial_id"])


def test_temporary_files_of_a_live_worker_stay(tmp_path, trainings):
    """What another process writes at this moment is not cleaned up when a study begins."""
    study(tmp_path)
    young = Store(tmp_path / "store").trials_folder / ".tmp-young.json"
    young.write_text("{")
    study(tmp_path, trials=4)
    assert young.exists()


def test_a_trial_that_ended_is_never_replaced(tmp_path, trainings):
    """Whoever stores it again, its file stays to the last byte; one that failed gives way."""
    study(tmp_path)
    store, one = Store(tmp_path / "store"), stored(tmp_path)["nog", 0]
    store.write_trial({**one, "best_test": 0.5})
    assert stored(tmp_path)["nog", 0] == one
    put(store, {**one, "status": "failed", "reason": "no luck"})
    store.write_trial(one)
    assert stored(tmp_path)["nog", 0] == one


def test_a_finished_trial_takes_the_place_of_a_failed_one_and_of_no_other(tmp_path, trainings):
    """What comes from another store fills what is missing or failed here; what is finished here stays to the last byte."""
    study(tmp_path)
    here, seed = Store(tmp_path / "here"), read_seed(tmp_path / "store")
    here.write_study(seed.joined(here))
    kept = stored(tmp_path)
    mine = {**kept["nog", 0], "seconds": 99.0}
    put(here, mine)
    put(here, {**kept["nog", 1], "status": "failed", "reason": "no luck", "best_valid": None, "best_test": None})
    assert seed.plant(here) == 2
    assert {trial["trial"]: trial for trial in here.trials()} == {0: mine, 1: kept["nog", 1], 2: kept["nog", 2]}
