"""A study as a whole: killed, resumed, extended, failed, and run by a cluster, it ends the same."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import xarray

import lstm_odyssey as lo
from lstm_odyssey.reports.contract import schema
from lstm_odyssey.study import run as study_module
from lstm_odyssey.study.stored.store import Store, StoreError
from lstm_odyssey.study.stored.trials import comparable
from lstm_odyssey.study.workers import work
from lstm_odyssey.training import loop
from tests.small import chorales, settings


def content(path):
    """Every stored trial without its times, by id."""
    return {trial["trial_id"]: comparable(trial) for trial in Store(path).trials()}


def stamps(path):
    """When each trial file was written; a file written twice has two stamps."""
    folder = Store(path).trials_folder
    return {file.name: file.stat().st_mtime_ns for file in folder.glob("*.json")} if folder.exists() else {}


def same(one, other):
    """Two consolidated studies are equal but for measured times."""
    xarray.testing.assert_identical(schema.without_times(one), schema.without_times(other))


def test_a_study_ends_as_one_dataset(tmp_path):
    """Every trial is there, ok or diverged, with hyperparameters inside their space, and netCDF reads back the same."""
    study = lo.run(tmp_path / "store", settings(tmp_path))
    assert dict(study.sizes) == {"task": 1, "variant": 2, "trial": 5, "epoch": 5}
    assert set(study["status"].values.ravel()) <= {"ok", "diverged"}
    assert study["hidden_size"].min() >= 20 and study["hidden_size"].max() <= 100
    assert np.isfinite(study["best_test"]).all() and float(study["chance"][0]) > 0
    xarray.testing.assert_identical(lo.open_study(tmp_path / "store" / "study.nc"), study)
    same(lo.open_study(tmp_path / "store"), study)


def test_a_study_can_be_looked_at_while_it_runs(tmp_path, monkeypatch):
    """Whenever the study is consolidated on the way, what is stored so far is handed over, more each time."""
    monkeypatch.setattr(study_module, "REFRESH_SECONDS", -1.0)
    seen = []
    study = lo.run(
        tmp_path / "store",
        settings(tmp_path),
        on_refresh=lambda dataset: seen.append(int((dataset["status"] != "missing").sum())),
    )
    assert len(seen) > 1
    assert seen == sorted(set(seen))
    assert seen[-1] == study["status"].size


def test_running_again_runs_nothing(tmp_path):
    """A finished study started again submits no block and rewrites no trial."""
    first = lo.run(tmp_path / "store", settings(tmp_path))
    before, seen = stamps(tmp_path / "store"), []
    again = lo.run(
        tmp_path / "store",
        lo.Settings(data=settings(tmp_path).data),
        on_start=lambda store, plan, todo: seen.append((len(todo.blocks), todo.stored)),
    )
    assert seen == [(0, 10)] and stamps(tmp_path / "store") == before
    xarray.testing.assert_identical(again, first)


def test_a_study_grows_by_trials_and_variants(tmp_path):
    """More trials or variants extend a store; the result equals the large study run at once."""
    place = tmp_path / "grown"
    lo.run(place, settings(tmp_path, variants=["nog"], trials=3))
    before = content(place)
    lo.run(place, lo.Settings(trials=5, data=settings(tmp_path).data))
    grown = lo.run(place, settings(tmp_path, variants=["vanilla"]))
    whole = lo.run(tmp_path / "whole", settings(tmp_path))
    same(grown, whole)
    assert before.items() <= content(place).items()


@pytest.mark.parametrize("backend", ["eager", "numba"])
def test_a_trial_of_a_block_that_is_gone_comes_back(backend, tmp_path):
    """A deleted trial comes back bit for bit, and its neighbour's file is not touched."""
    place = tmp_path / "store"
    lo.run(place, settings(tmp_path, backend=backend))
    before, files = content(place), stamps(place)
    gone = sorted(files)[3]
    (Store(place).trials_folder / gone).unlink()
    lo.run(place, settings(tmp_path, backend=backend))
    assert content(place) == before
    assert {name: stamp for name, stamp in stamps(place).items() if name != gone} == {
        name: stamp for name, stamp in files.items() if name != gone
    }


@pytest.mark.parametrize(("backend", "members"), [("eager", 2), ("numba", 1)])
def test_a_block_stored_in_part_is_run_whole_only_where_members_are_padded(backend, members, tmp_path, monkeypatch):
    """A backend that pads runs the stored neighbour again; one that does not runs what is missing, without ghosts."""
    options = {"variants": ["nog"], "trials": 3, "block_size": 2, "backend": backend}
    place = tmp_path / "store"
    lo.run(place, settings(tmp_path, **options))
    before, files = content(place), sorted(Store(place).trials_folder.glob("*.json"))
    first = next(file for file in files if json.loads(file.read_text())["trial"] == 1)
    first.unlink()
    ran = []
    train = loop.train

    def watched(cell, corpus, objective, trials, *args, **given):
        ran.append(len(trials))
        return train(cell, corpus, objective, trials, *args, **given)

    monkeypatch.setattr(loop, "train", watched)
    lo.run(place, settings(tmp_path, **options))
    assert ran == [members] and content(place) == before
    lo.run(place, settings(tmp_path, **{**options, "trials": 4}))
    assert ran == [members, 2 if backend == "eager" else 1]


def test_a_stored_trial_that_does_not_come_out_again_fails_its_neighbour_with_the_reason(tmp_path):
    """If a block cannot reproduce what it stored, nothing is overwritten and the reason says where both ran."""
    place = tmp_path / "store"
    lo.run(place, settings(tmp_path, variants=["nog"], trials=2, backend="eager"))
    one, other = sorted(Store(place).trials_folder.glob("*.json"))
    other.unlink()
    changed = json.loads(one.read_text())
    changed["best_test"] += 1e-9
    one.write_text(json.dumps(changed))
    study = lo.run(place, settings(tmp_path, variants=["nog"], trials=2))
    assert sorted(study["status"].values.ravel()) == ["failed", "ok"]
    (reason,) = (text for text in study["reason"].values.ravel() if text)
    assert "came out otherwise" in reason and "stored on" in reason
    assert json.loads(one.read_text()) == changed


def test_a_failed_trial_is_a_value_and_is_tried_again(tmp_path, monkeypatch):
    """An exception while training is stored with its reason, the study goes on, and the next run tries again."""
    place = tmp_path / "store"
    train = loop.train

    def broken(cell, *args, **options):
        if cell.name == "nog":
            raise RuntimeError("out of memory: no such luck")
        return train(cell, *args, **options)

    monkeypatch.setattr(loop, "train", broken)
    study = lo.run(place, settings(tmp_path))
    assert set(study["status"].sel(variant="nog").values.ravel()) == {"failed"}
    assert set(study["status"].sel(variant="vanilla").values.ravel()) == {"ok"}
    assert "RuntimeError: out of memory: no such luck Make a new study" in study["reason"].sel(variant="nog").item(0)
    monkeypatch.setattr(loop, "train", train)
    done = []
    again = lo.run(place, settings(tmp_path), on_block=lambda block, missing: done.append(block.variant))
    assert set(done) == {"nog"}
    same(again, lo.run(tmp_path / "whole", settings(tmp_path)))


def test_a_trial_that_is_stored_is_never_turned_into_a_failure(tmp_path, monkeypatch):
    """When storing fails half way, what was stored stands, and the store's error stops the study."""
    place = tmp_path / "store"
    write, calls = Store.write_trial, []

    def full(self, record):
        calls.append(record)
        if len(calls) == 2:
            raise RuntimeError("something odd")
        write(self, record)

    monkeypatch.setattr(Store, "write_trial", full)
    study = lo.run(place, settings(tmp_path, variants=["nog"], trials=2))
    assert study["status"].values.ravel().tolist() == ["ok", "failed"]


def test_best_weights_are_kept_when_asked(tmp_path):
    """--keep-weights best stores each trial's weights by name at its own size, without pickles."""
    place = tmp_path / "store"
    study = lo.run(place, settings(tmp_path, variants=["nog"], trials=2, keep_weights="best"))
    for index in range(2):
        part = study.sel(task="bach", variant="nog", trial=index)
        with np.load(Store(place).weights_folder / f"{part['trial_id'].item()}.npz", allow_pickle=False) as weights:
            size = int(part["hidden_size"])
            assert weights["cells.0.R.z"].shape == (size, size)
            assert sum(weights[name].size for name in weights.files) == int(part["n_parameters"])


def test_ctrl_c_keeps_what_is_finished(tmp_path):
    """An interrupt in the second block leaves the first stored, a netCDF that says so, and a study that ends the same."""
    place = tmp_path / "store"

    def interrupt(block, missing):
        if block.variant == "vanilla":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lo.run(place, settings(tmp_path), on_block=interrupt)
    part = lo.open_study(place / "study.nc")
    assert (part["status"].values == "missing").sum() == 6
    before = stamps(place)
    same(lo.run(place, settings(tmp_path)), lo.run(tmp_path / "whole", settings(tmp_path)))
    assert before.items() <= stamps(place).items()


def test_a_study_that_did_not_begin_leaves_its_folder_free(tmp_path):
    """When the workers are not to be had, the store is not bound to what was asked that time."""
    from lstm_odyssey.study.workers.watched import EngineError

    def engine(store, plan, todo):
        raise EngineError("none")

    with pytest.raises(EngineError):
        lo.run(tmp_path / "store", settings(tmp_path), engine=engine)
    assert not (tmp_path / "store").exists()
    lo.run(tmp_path / "store", settings(tmp_path, variants=["nog"], trials=1, epochs=1))


def test_any_executor_will_do(tmp_path):
    """The harness asks for submit and futures only: a thread pool gives the same study."""

    @contextmanager
    def engine(store, plan, todo):
        with ThreadPoolExecutor(1) as pool:
            yield pool

    same(lo.run(tmp_path / "a", settings(tmp_path), engine=engine), lo.run(tmp_path / "b", settings(tmp_path)))


def test_a_worker_that_sees_another_store_says_so(tmp_path):
    """A worker whose path leads to another study, or none, stops with one clear error."""
    lo.run(tmp_path / "store", settings(tmp_path, variants=["nog"], trials=1, epochs=1))
    spec = {"task": "bach", "variant": "nog", "number": 0, "data": None}
    with pytest.raises(StoreError, match="one path that all machines share"):
        work.run_block({"store": str(tmp_path / "store"), "token": "other", **spec})
    with pytest.raises(StoreError, match="finds no study there"):
        work.run_block({"store": str(tmp_path / "elsewhere"), "token": "other", **spec})


LONG = {"trials": 4, "epochs": 25, "variants": ["nog", "cifg"], "profile": "smoke", "block_size": 2}


def command(place, folder, *more):
    options = [f"--{name.replace('_', '-')}={','.join(v) if isinstance(v, list) else v}" for name, v in LONG.items()]
    data = f"--data=bach={chorales(folder)}"
    return [
        sys.executable,
        "-m",
        "lstm_odyssey.commands.cli",
        "run",
        f"--store={place}",
        "--tasks=bach",
        data,
        *options,
        *more,
    ]


@pytest.mark.parametrize(
    ("workers", "times"),
    [("0", 2), *(pytest.param(workers, 3, marks=pytest.mark.long) for workers in ("0", "2"))],
)
def test_a_study_killed_at_any_moment_loses_nothing_and_repeats_nothing(workers, times, tmp_path):
    """Killed with -9 again and again and resumed, no stored trial is written twice and the end is bit for bit the same."""
    place = tmp_path / "killed"
    whole = lo.run(tmp_path / "whole", settings(tmp_path, **LONG))
    generator = np.random.default_rng(int(workers))
    written, kills = {}, 0
    for _ in range(times):
        process = subprocess.Popen(
            command(place, tmp_path, f"--workers={workers}"), stdout=subprocess.DEVNULL, start_new_session=True
        )
        first = time.monotonic()
        while not stamps(place) and process.poll() is None and time.monotonic() - first < 60:
            time.sleep(0.02)
        time.sleep(float(generator.uniform(0, 1.5)))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
        now = stamps(place)
        assert written.items() <= now.items(), "a stored trial was lost or written again"
        written = now
    assert kills > 0, "every run ended before it was killed"
    subprocess.run(command(place, tmp_path, f"--workers={workers}"), check=True, stdout=subprocess.DEVNULL)
    assert written.items() <= stamps(place).items()
    assert content(place) == content(tmp_path / "whole")
    same(lo.open_study(place / "study.nc"), whole)


@contextmanager
def cluster(folder, workers=2):
    """A dask scheduler and worker processes on loopback, as a user would start them."""
    where = folder / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    dask = [sys.executable, "-m", "dask"]
    processes = [
        subprocess.Popen(
            [*dask, "scheduler", "--host=127.0.0.1", "--port=0", "--no-dashboard", f"--scheduler-file={where}"], **quiet
        )
    ]
    try:
        started = time.monotonic()
        while not where.exists():
            assert processes[0].poll() is None and time.monotonic() - started < 60, "the scheduler did not start"
            time.sleep(0.1)
        address = json.loads(where.read_text())["address"]
        for _ in range(workers):
            options = ["--nthreads=1", "--no-nanny", "--no-dashboard", "--host=127.0.0.1"]
            processes.append(subprocess.Popen([*dask, "worker", address, *options], **quiet))
        yield address, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.long
def test_a_cluster_that_loses_a_worker_ends_the_study_whole(tmp_path):
    """A scheduler and two workers, one killed with -9 in the middle: complete, nothing lost, nothing twice."""
    place = tmp_path / "store"
    with cluster(tmp_path) as (address, workers):
        process = subprocess.Popen(
            command(place, tmp_path, f"--scheduler={address}"), stdout=subprocess.PIPE, text=True
        )
        started = time.monotonic()
        while not list(place.glob("progress/*.json")) and time.monotonic() - started < 120:
            time.sleep(0.02)
        workers[0].send_signal(signal.SIGKILL)
        before = stamps(place)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    assert len(before) < 8, "the study had ended before the worker was killed"
    assert before.items() <= stamps(place).items()
    lo.run(tmp_path / "whole", settings(tmp_path, **LONG))
    assert content(place) == content(tmp_path / "whole")


def test_the_workers_of_one_machine_listen_on_loopback_only(tmp_path):
    """Scheduler and workers open ports on 127.0.0.1 and nowhere else, and run what is submitted."""
    import psutil

    from lstm_odyssey.study.workers.engine import engine

    with engine(2, None, str(tmp_path), "token") as executor:
        assert executor.submit(sum, (1, 2)).result(timeout=60) == 3
        me = psutil.Process()
        ports = [port for process in (me, *me.children(recursive=True)) for port in process.net_connections("inet")]
        listening = {port.laddr.ip for port in ports if port.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_a_scheduler_that_does_not_answer_is_one_clear_error(tmp_path):
    """No scheduler at the address: the error says how to start one."""
    from lstm_odyssey.study.workers.engine import engine
    from lstm_odyssey.study.workers.watched import EngineError

    with (
        pytest.raises(EngineError, match="no dask scheduler answers there .* Start one with `dask scheduler`"),
        engine(1, "tcp://127.0.0.1:9", str(tmp_path), "token", timeout=1),
    ):
        pass


def test_a_scheduler_whose_workers_do_not_see_the_store_is_refused(tmp_path):
    """Every worker reads the study's token back before work begins."""
    from lstm_odyssey.study.workers.engine import engine
    from lstm_odyssey.study.workers.watched import EngineError

    with (
        cluster(tmp_path, workers=1) as (address, _),
        pytest.raises(EngineError, match="do not see it; expected one path that all machines share"),
        engine(1, address, str(tmp_path / "nowhere"), "token"),
    ):
        pass
