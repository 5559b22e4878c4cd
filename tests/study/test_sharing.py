"""Several runs of one store: begun, extended and resumed at once, killed at the worst moment, they lose nothing."""

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import xarray
from filelock import SoftFileLease

import lstm_odyssey as lo
from lstm_odyssey.reports.contract import schema
from lstm_odyssey.study.block import Block
from lstm_odyssey.study.plan import make_plan
from lstm_odyssey.study.results import consolidate, gather
from lstm_odyssey.study.stored import locking
from lstm_odyssey.study.stored.locking import alive, alone, claimed, clean, study_locked
from lstm_odyssey.study.stored.store import Store, StoreError
from lstm_odyssey.study.workers.watched import EngineError
from tests.conftest import ROOT
from tests.small import chorales, settings

RUNS = """
import sys, time
from pathlib import Path

import lstm_odyssey as lo
from lstm_odyssey.study.stored.store import StoreError
from tests.small import settings

folder, variant, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
(folder / f"ready-{variant}").touch()
while not (folder / "go").exists():
    time.sleep(0.001)
for number in range(rounds):  # the first run begins its store or extends another's; the second asks for more trials
    for trials in (1, 3):
        options = {"variants": [variant], "trials": trials, "epochs": 1}
        try:
            lo.run(folder / f"store-{number}", settings(folder, **options))
        except StoreError as error:  # another run has asked for more by now
            if "a study only grows" not in str(error):
                raise
"""

HOLDS = """
import sys, time

from lstm_odyssey.study.stored.locking import study_locked
from lstm_odyssey.study.stored.store import Store

with study_locked(Store(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def start(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def left(store):
    """Locks, temporary files and words of progress that lie in a store."""
    kept = {store.study_file, store.consolidated}
    return [
        path
        for path in store.path.rglob("*")
        if path.is_file() and path not in kept and path.parent != store.trials_folder
    ]


def test_runs_that_begin_and_extend_one_store_at_once_end_with_everything_stored(tmp_path):
    """Three processes, a variant each, on two stores in turn, with one killed -9 that held the second store's lock."""
    chorales(tmp_path)
    killed = start(HOLDS, tmp_path / "store-1")
    assert killed.stdout.readline() == "held\n"
    killed.kill()
    killed.communicate()
    variants = ("nog", "vanilla", "cifg")
    processes = [start(RUNS, tmp_path, variant, 2) for variant in variants]
    while not all((tmp_path / f"ready-{variant}").exists() for variant in variants):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)
    (tmp_path / "go").touch()
    for process in processes:
        process.communicate(timeout=600)
    assert [process.returncode for process in processes] == [0, 0, 0]
    for number in range(2):
        store = Store(tmp_path / f"store-{number}")
        study = schema.load(store.consolidated)
        assert sorted(study["variant"].values) == sorted(variants)
        assert study.sizes["trial"] == 3 and not (study["status"] == "missing").any(), f"round {number}"
        xarray.testing.assert_identical(study, gather(store))
        assert left(store) == []


def test_a_killed_process_leaves_no_lock_that_holds(tmp_path):
    """Whoever held the lock of the study and was killed is seen to be dead by the next run on that machine."""
    process = start(HOLDS, tmp_path / "store")
    assert process.stdout.readline() == "held\n"
    process.kill()
    process.communicate()
    assert (tmp_path / "store" / "locks" / "study.lock").exists()
    lo.run(tmp_path / "store", settings(tmp_path, variants=["nog"], trials=1, epochs=1))
    assert left(Store(tmp_path / "store")) == []


def elsewhere(path):
    """Have a lease be one of another machine's, whose heartbeats nobody sends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with SoftFileLease(path, lease_duration=locking.LEASE_SECONDS):
        text = path.read_text()
    path.write_text("\n".join("host=elsewhere" if line.startswith("host=") else line for line in text.split("\n")))


def test_a_lease_of_another_machine_lapses_without_heartbeats(tmp_path, monkeypatch):
    """A machine that went away cannot be asked: its lease is taken once it has not been heard of for a while."""
    monkeypatch.setattr(locking, "LEASE_SECONDS", 0.5)
    store = Store(tmp_path / "store")
    elsewhere(store.locks_folder / "study.lock")
    elsewhere(store.locks_folder / "block-a.lock")
    with claimed(store, "block-a", 0.0) as ours:
        assert not ours
    with claimed(store, "block-a", 60.0) as ours:
        assert ours
    with study_locked(store) as still_held:
        still_held()


def test_a_lock_that_is_never_released_is_an_error_in_the_end(tmp_path, monkeypatch):
    """The run that waits says so after a moment, and gives up with one sentence, which names the file."""
    monkeypatch.setattr(locking, "SPOKEN_SECONDS", 0.1)
    monkeypatch.setattr(locking, "PATIENCE_SECONDS", 0.2)
    store, said = Store(tmp_path / "store"), []
    with study_locked(store), ThreadPoolExecutor(1) as pool:

        def wait():
            with study_locked(store, said.append):
                raise AssertionError("two hold it")

        with pytest.raises(StoreError, match=r"another run holds .*study\.lock .* delete that file"):
            pool.submit(wait).result()
    assert len(said) == 1 and "waiting for it" in said[0]


def test_a_run_that_stood_still_writes_nothing_shared(tmp_path, monkeypatch):
    """Whose lock another took over, as its machine slept, does not write what it read before."""
    monkeypatch.setattr(locking, "LEASE_SECONDS", 0.3)
    store = Store(tmp_path / "store")
    with study_locked(store) as still_held:
        still_held()
        (store.locks_folder / "study.lock").unlink()
        with pytest.raises(StoreError, match="another took over its lock"):  # at the second missing heartbeat
            while True:
                still_held()


def test_a_block_that_another_run_computes_is_left_to_it(tmp_path):
    """While another run has claimed a block all others are run; then it is waited for, aloud, and taken when it is free."""
    store = Store(tmp_path / "store")
    asked = settings(tmp_path, variants=["nog"], trials=4, epochs=1)
    first = Block(make_plan(store, asked).study, "bach", "nog", 0)
    free, claims, there = threading.Event(), threading.Event(), []

    def other():
        with claimed(store, f"block-{first.name}", 0.0) as ours:
            assert ours
            claims.set()
            free.wait(120)

    def say(text):
        there.append(sorted(trial["trial"] for trial in store.trials()))
        assert "computed by another run" in text
        free.set()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(other)
        claims.wait(120)
        study = lo.run(store.path, asked, say=say)
        done.result()
    assert there == [[2, 3]]
    assert (study["status"] == "ok").all() and study.sizes["trial"] == 4


def test_a_run_does_what_it_was_asked_though_another_extends_the_study(tmp_path):
    """More trials, asked for by another run meanwhile, are that run's to compute, and the first ends without them."""
    store = Store(tmp_path / "store")

    def extend(block, missing):
        content = json.loads(store.study_file.read_text())
        store.write_study({**content, "trials": 6})

    study = lo.run(store.path, settings(tmp_path, variants=["nog"], trials=2, epochs=1, block_size=1), on_block=extend)
    assert study["status"].values.ravel().tolist() == ["ok"] * 2 + ["missing"] * 4


def test_a_study_that_others_run_is_not_taken_back(tmp_path):
    """A run whose workers are not to be had forgets the study it began, unless another run lives in the store by then."""
    store = Store(tmp_path / "store")

    def engine(joined):
        def found(store, plan, todo):
            joined.__enter__()
            raise EngineError("none")

        return found

    other = alive(store)
    with pytest.raises(EngineError):
        lo.run(store.path, settings(tmp_path), engine=engine(other))
    assert store.study() is not None
    other.__exit__(None, None, None)
    store.study_file.unlink()

    @contextmanager
    def killed():  # a worker that was killed in its first epoch
        store.report_progress("a", 0.5, 4, 1.0)
        (store.locks_folder / "block-a.lock").touch()
        yield

    with pytest.raises(EngineError):
        lo.run(store.path, settings(tmp_path), engine=engine(killed()))
    assert not store.path.exists()


def test_nothing_of_a_run_that_lives_is_cleaned_away(tmp_path):
    """Words of progress, checkpoints and temporary files stay while another run lives, and go when none does."""
    place = tmp_path / "store"
    lo.run(place, settings(tmp_path, variants=["nog"], trials=1, epochs=1))
    store = Store(place)
    theirs = [store.progress_folder / "a.json", store.checkpoints_folder / "a.npz"]
    for path in theirs:
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    with alive(store) as one:
        assert alone(store, one)
        with alive(store) as two:
            assert not alone(store, one) and not alone(store, two)
            lo.run(place, settings(tmp_path, variants=["nog"], trials=1, epochs=1))
            assert all(path.exists() for path in theirs)
        lapsed, held = (store.locks_folder / f"block-{name}.lock" for name in ("a", "b"))
        for path in (lapsed, held):
            path.touch()
        os.utime(lapsed, (1, 1))
        clean(store, one)
    assert not theirs[0].exists() and theirs[1].exists()
    assert not lapsed.exists() and held.exists()


def test_a_trial_that_ended_is_never_replaced(tmp_path):
    """Whoever stores a trial second finds it stored, as a failure does; a failure gives way to what ended."""
    place = tmp_path / "store"
    lo.run(place, settings(tmp_path, variants=["nog"], trials=1, epochs=1))
    store = Store(place)
    (ended,) = store.trials()
    failed = Block(store.study(), "bach", "nog", 0).failed(0, "its worker died")
    store.write_trial(failed)
    store.write_trial({**ended, "seed": 2})
    assert store.read_trial(ended["trial_id"]) == ended
    store.trial_file(ended["trial_id"]).unlink()
    store.write_trial(failed)
    store.write_trial(ended)
    assert store.read_trial(ended["trial_id"]) == ended


def test_a_study_that_is_extended_while_it_is_gathered_has_no_strays(tmp_path, monkeypatch):
    """Another run may add a variant and store its trial between two looks at the store; neither look takes it for damage."""
    place = tmp_path / "store"
    lo.run(place, settings(tmp_path, variants=["nog"], trials=1, epochs=1))
    trials = Store.trials
    busy = []

    def meanwhile(self):
        found = list(trials(self))
        if not busy:
            busy.append(True)
            lo.run(place, settings(tmp_path, variants=["vanilla"], trials=1, epochs=1))
        return iter(found)

    monkeypatch.setattr(Store, "trials", meanwhile)
    study = gather(Store(place))
    assert study["variant"].values.tolist() == ["nog", "vanilla"]
    assert study["status"].values.ravel().tolist() == ["ok", "missing"]


@contextmanager
def refused(folder, number, monkeypatch):
    """A file system that refuses every new file."""
    from lstm_odyssey.reports.contract import files

    def no(*arguments, **options):
        raise OSError(number, "no")

    monkeypatch.setattr(files, "_settle", no)
    monkeypatch.setattr(SoftFileLease, "acquire", no)
    yield
    monkeypatch.undo()


@pytest.mark.parametrize("number", [28, 30], ids=["full", "read-only"])
def test_a_store_that_cannot_be_written_says_its_one_sentence(number, tmp_path, monkeypatch):
    """Begun, resumed or finished, a store on a full or read-only file system is one error, and reading it is none."""
    place = tmp_path / "store"
    lo.run(place, settings(tmp_path, variants=["nog"], trials=1, epochs=1))
    with refused(tmp_path, number, monkeypatch):
        for path in (place, tmp_path / "new"):
            with pytest.raises(StoreError, match="cannot be written .*Give it room and permission"):
                lo.run(path, settings(tmp_path, variants=["nog"], trials=1, epochs=1))
        assert (lo.open_study(place)["status"] == "ok").all()
    assert not (tmp_path / "new").exists()


def test_a_netcdf_that_cannot_be_written_costs_no_trial(tmp_path, monkeypatch):
    """When the disk is full at a refresh the study goes on, with one warning; at the end it is one error, all stored."""
    from lstm_odyssey.reports.contract import netcdf
    from lstm_odyssey.study import run as study_module

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(netcdf, "write_bytes", full)
    monkeypatch.setattr(study_module, "REFRESH_SECONDS", -1.0)
    store = Store(tmp_path / "store")
    with (
        pytest.warns(UserWarning, match="not refreshed") as warned,
        pytest.raises(StoreError, match=r"study\.nc: cannot be written \(No space left on device\)\. Every finished"),
    ):
        lo.run(store.path, settings(tmp_path, variants=["nog"], trials=4, epochs=1))
    assert len(warned) == 1 and len(list(store.trials())) == 4
    monkeypatch.undo()
    assert (consolidate(store)["status"] == "ok").all()


def test_what_a_declaration_holds_that_no_file_can_is_one_error(tmp_path):
    """A number that is not finite, or half a character, in a plugin's declaration is refused before anything is trained."""
    store = Store(tmp_path / "store")
    plan = make_plan(store, settings(tmp_path))
    for odd in (float("nan"), "\udce9", {1, 2}):
        with pytest.raises(StoreError, match="cannot hold what a variant or task declares"):
            store.write_study({**plan.study, "odd": odd})
    assert not store.study_file.exists()
    failed = Block(plan.study, "bach", "nog", 0).failed(0, "odd \udce9 text")
    store.write_trial(failed)
    assert store.read_trial(failed["trial_id"])["reason"] == "odd ? text"
