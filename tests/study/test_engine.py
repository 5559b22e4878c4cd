"""Workers that die, futures that never end, settings that are not ours: the study ends, and says whom it blames."""

import gc
import logging
import operator
import time
from concurrent.futures import Executor, Future
from contextlib import contextmanager, nullcontext

import dask
import pytest

import lstm_odyssey as lo
from lstm_odyssey.commands.terminal.tables import failures
from lstm_odyssey.study import dispatch
from lstm_odyssey.study.block import Block
from lstm_odyssey.study.dispatch import BLAMED
from lstm_odyssey.study.stored.store import Store, StoreError
from lstm_odyssey.study.workers import watched
from lstm_odyssey.study.workers.engine import engine, silent
from lstm_odyssey.study.workers.watched import DaskExecutor, EngineError, LostResultError
from lstm_odyssey.study.workers.work import run_block
from lstm_odyssey.training.environment import environment
from tests.made_plugins import LIGHT, write
from tests.small import settings


class KilledWorker(Exception):
    """Of the name that dask's has."""


class Deadly(Executor):
    """Workers of which one dies of a variant, with all that was submitted before anybody waited.

    Args:
        deadly: the variant's name.
    """

    def __init__(self, deadly):
        self.deadly = deadly
        self.together = []
        self.alone = []

    def submit(self, fn, /, *args, **kwargs):
        (spec,) = args
        if not self.alone and len(self.together) < 4:
            future = Future()
            self.together.append((future, spec))
            if len(self.together) == 4:
                for each, of in self.together:
                    each.set_exception(KilledWorker(f"task {of['number']} at tcp://127.0.0.1:{40000 + of['number']}"))
            return future
        self.alone.append(spec["variant"])
        future = Future()
        if spec["variant"] == self.deadly:
            future.set_exception(KilledWorker(f"task {len(self.alone)}"))
        else:
            future.set_result(fn(*args))
        return future


def test_only_the_block_that_kills_its_worker_is_blamed(tmp_path):
    """Blocks that died together are run again one by one; what kills its worker then too has failed, for one reason."""
    executor = Deadly("nog")
    study = lo.run(
        tmp_path / "store",
        settings(tmp_path, trials=2, epochs=1, block_size=1),
        engine=lambda store, plan, todo: nullcontext(executor),
    )
    assert study["status"].sel(variant="nog").values.ravel().tolist() == ["failed"] * 2
    assert study["status"].sel(variant="vanilla").values.ravel().tolist() == ["ok"] * 2
    assert sorted(executor.alone) == ["nog"] * 2 + ["vanilla"] * 2
    assert failures(study) == [f"2 x, nog on bach: {BLAMED}"]
    assert not list(Store(tmp_path / "store").locks_folder.iterdir())


def test_reasons_that_differ_in_numbers_only_are_one(tmp_path):
    """A reason that names its trial, an address or an object is told once, as the first trial has it."""
    study = lo.run(tmp_path / "store", settings(tmp_path, variants=["nog"], trials=3, epochs=1))
    study["status"] = study["status"].dims, [[["failed"] * 3]]
    texts = ["trial 0 at <a at 0x7f01>", "trial 1 at <a at 0x7f02ab>", "another"]
    study["reason"] = study["reason"].dims, [[texts]]
    assert failures(study) == ["2 x, nog on bach: trial 0 at <a at 0x7f01>", "1 x, nog on bach: another"]


BOOM = (
    LIGHT.replace("def light", "def boom").replace("from lstm", "import multiprocessing\nimport os\n\nfrom lstm")
    + """
if multiprocessing.parent_process() is not None:
    os._exit(1)
"""
)


def test_a_cell_that_kills_its_worker_takes_no_other_along(tmp_path):
    """On two real worker processes a cell whose file ends them costs its own trials and nobody else's.

    One block of each cell: a worker that dies is another that imports torch.
    """
    file = write(tmp_path, "boom.py", BOOM)
    study = lo.run(
        tmp_path / "store",
        settings(tmp_path, variants=["boom", "nog"], trials=2, epochs=1, block_size=2, plugins=[str(file)]),
        engine=lambda store, plan, todo: engine(2, None, str(store.path), plan.study["token"]),
    )
    assert study["status"].sel(variant="nog").values.ravel().tolist() == ["ok"] * 2
    assert study["status"].sel(variant="boom").values.ravel().tolist() == ["failed"] * 2
    assert failures(study) == [f"2 x, boom on bach: {BLAMED}"]


class Silent(Executor):
    """Runs what it is given, and never says that it ended."""

    def __init__(self):
        self.futures = []

    def submit(self, fn, /, *args, **kwargs):
        fn(*args)
        self.futures.append(Future())
        return self.futures[-1]


def test_a_future_that_never_ends_holds_up_no_study(tmp_path, monkeypatch):
    """What is stored has ended, whether or not somebody calls back to say so."""
    monkeypatch.setattr(dispatch, "LOOK_SECONDS", 0.05)
    executor, told = Silent(), []
    study = lo.run(
        tmp_path / "store",
        settings(tmp_path, variants=["nog"], trials=3, epochs=1),
        engine=lambda store, plan, todo: nullcontext(executor),
        on_block=lambda block, missing: told.append(missing),
    )
    assert (study["status"] == "ok").all() and sorted(told) == [1, 2]
    assert all(future.cancelled() for future in executor.futures)


def test_an_error_of_a_block_that_is_stored_is_none(tmp_path):
    """If the way back fails and the work was done, the study has what it wants; if it was not, it is done again."""

    class Losing(Executor):
        asked = 0

        def submit(self, fn, /, *args, **kwargs):
            Losing.asked += 1
            if Losing.asked != 1:
                fn(*args)
            future = Future()
            future.set_exception(LostResultError("gone"))
            return future

    study = lo.run(
        tmp_path / "store",
        settings(tmp_path, variants=["nog"], trials=2, epochs=1, block_size=1),
        engine=lambda store, plan, todo: nullcontext(Losing()),
    )
    assert (study["status"] == "ok").all() and Losing.asked == 3


def test_workers_that_take_no_more_work_are_one_error(tmp_path):
    """A pool that broke is said to be gone, with what to do; no trial is blamed."""

    class BrokenProcessPool(Exception):
        pass

    class Pool(Executor):
        def submit(self, fn, /, *args, **kwargs):
            raise BrokenProcessPool("a child died")

    with pytest.raises(EngineError, match="the workers died and take no more work .* run the study again"):
        lo.run(tmp_path / "store", settings(tmp_path), engine=lambda store, plan, todo: nullcontext(Pool()))


class Theirs:
    """A dask future as its client sees it.

    Args:
        status: what it has become.
        outcome: what asking for its result or error gives, or raises.
    """

    def __init__(self, status, outcome=None):
        self.status, self.outcome, self.cancelled = status, outcome, False

    def result(self, timeout):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def exception(self, timeout):
        if self.status == "error" and isinstance(self.outcome, list):
            raise self.outcome[0]
        return self.outcome

    def cancel(self):
        self.cancelled = True


class Client:
    """A dask client whose futures are made beforehand."""

    status = "running"

    def __init__(self, *futures):
        self.futures, self.asked = list(futures), []

    def submit(self, fn, *args, **options):
        self.asked.append((fn, args, options))
        return self.futures.pop(0)


@contextmanager
def asked(*futures):
    executor = DaskExecutor(Client(*futures), silent)
    try:
        yield executor, [executor.submit(sum, (number,)) for number in range(len(futures))]
    finally:
        executor.shutdown()


def test_the_cluster_is_told_the_order_of_the_blocks():
    """Each block submitted has a lower priority than the one before, and is handed on as it is."""
    with asked(*(Theirs("pending") for _ in range(3))) as (executor, _):
        told = [(fn, args, options["priority"]) for fn, args, options in executor.client.asked]
    assert told == [(sum, ((number,),), -1 - number) for number in range(3)]


@pytest.mark.parametrize(
    ("theirs", "kind"),
    [
        (Theirs("finished", OSError("while it is gathered")), LostResultError),
        (Theirs("error", ValueError("of the task")), ValueError),
        (Theirs("error", [ImportError("while the error is carried here")]), ImportError),
        (Theirs("error"), LostResultError),
        (Theirs("cancelled"), EngineError),
        (Theirs("lost"), EngineError),
    ],
    ids=["lost result", "error", "unreadable error", "no error", "cancelled", "lost"],
)
def test_whatever_becomes_of_a_future_of_dask_ends_ours(theirs, kind):
    """Nothing that dask raises or leaves out on the way back keeps a study waiting."""
    with asked(theirs, Theirs("finished", 7)) as (_, (future, other)):
        assert isinstance(future.exception(timeout=60), kind)
        assert other.result(timeout=60) == 7


def test_a_future_that_is_given_up_is_cancelled_on_the_cluster():
    """Cancelling ours cancels theirs, and the others go on."""
    theirs = Theirs("pending")
    with asked(theirs, Theirs("finished", 7)) as (_, (future, other)):
        assert future.cancel()
        while not theirs.cancelled:
            time.sleep(0.01)
        assert other.result(timeout=60) == 7


def test_a_cluster_without_workers_is_worth_a_word(monkeypatch):
    """When the last worker is gone, what is waited for is said once."""
    monkeypatch.setattr(watched, "IDLE_SECONDS", 0.0)
    said = []

    class Empty(Client):
        class scheduler:  # noqa: N801 - as dask's client calls it
            ncores = None

        def sync(self, asked, callback_timeout):
            said.append("asked")
            return {}

    executor = DaskExecutor(Empty(Theirs("pending")), said.append)
    executor.submit(sum, (1,))
    while said.count("asked") < 3:
        time.sleep(0.01)
    executor.shutdown()
    assert [text for text in said if text != "asked"] == ["The cluster has no worker left; waiting for one."]


def test_the_workers_of_this_machine_know_nothing_of_a_users_dask_settings(tmp_path, monkeypatch):
    """Encryption, preloads, ports and a dashboard that somebody set for a cluster are not for the local workers.

    They say nothing of their own either: one that outlives its scheduler by a heartbeat printed a traceback.
    """
    foreign = {
        "distributed.comm.require-encryption": True,
        "distributed.comm.default-scheme": "tls",
        "distributed.comm.tls.ca-file": str(tmp_path / "none.pem"),
        "distributed.scheduler.preload": ["no_such_module"],
        "distributed.worker.preload": ["no_such_module"],
        "distributed.nanny.preload": ["no_such_module"],
        "distributed.nanny.environ": {"ODYSSEY_FOREIGN": "1"},
        "distributed.scheduler.allowed-failures": 99,
        "scheduler-address": "tls://127.0.0.1:9",
    }
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION", "True")
    with dask.config.set(foreign):
        with engine(1, None, str(tmp_path), "token") as executor:
            asked = executor.submit(dask.config.get, "distributed.comm.require-encryption")
            assert asked.result(timeout=120) in (None, False)
            level = executor.submit(operator.methodcaller("getEffectiveLevel"), logging.getLogger("distributed.worker"))
            assert level.result(timeout=120) == logging.CRITICAL
        assert dask.config.get("distributed.scheduler.allowed-failures") == 99


@pytest.mark.parametrize("address", ["localhost", "tcp://10.0.0.1", "tls://host", "host:", "host:port", ""])
def test_an_address_without_a_port_is_refused_at_once(address):
    """What dask would ask in vain for half a minute is one sentence with an example."""
    with (
        pytest.raises(EngineError, match=r"expected an address with a port, as .* tcp://HOST:8786"),
        engine(1, address, "", ""),
    ):
        pass


def test_what_is_waited_for_is_said_before(tmp_path):
    """An address where nobody answers is named before the wait for it."""
    said = []
    with (
        pytest.raises(EngineError, match="no dask scheduler answers"),
        engine(1, "tcp://127.0.0.1:9", str(tmp_path), "token", timeout=1, say=said.append),
    ):
        pass
    assert said == ["--scheduler tcp://127.0.0.1:9: waiting for its answer, 1 seconds at most."]


def test_a_cluster_that_does_not_close_in_time_ends_no_study(tmp_path, monkeypatch):
    """dask's own trouble at the end is no matter of a study whose results are stored."""
    from distributed import Client as DaskClient
    from distributed import LocalCluster

    closed = []
    for kind in (DaskClient, LocalCluster):
        close = kind.close

        def late(self, *arguments, close=close, **options):
            close(self, *arguments, **options)
            if "timeout" in options:  # a client of an earlier test that is collected now closes itself without one
                closed.append(self)
                raise TimeoutError("20 s")

        monkeypatch.setattr(kind, "close", late)
    with engine(1, None, str(tmp_path), "token") as executor:
        gc.collect()  # now, so that what earlier tests left behind is collected here in every run or in none
        assert executor.submit(sum, (1, 2)).result(timeout=120) == 3
    assert len(closed) >= 2


def test_a_worker_is_told_how_many_trials_are_asked(tmp_path):
    """A block's end follows from what its run was asked, not from what the study has grown to meanwhile."""
    place = tmp_path / "store"
    lo.run(place, settings(tmp_path, variants=["nog"], trials=1, epochs=1))
    store = Store(place)
    study = store.study()
    spec = {"store": str(place), "token": study["token"], "task": "bach", "variant": "nog", "number": 0}
    spec |= {
        "data": str(next(tmp_path.glob("chorales*"))),
        "plugins": [],
        "patience": 0.0,
        "source": environment()["source"],
    }
    store.write_study({**study, "trials": 2})
    assert run_block({**spec, "trials": 1}) == 0 and run_block({**spec, "trials": 2}) == 1
    assert len(Block({**store.study(), "trials": 2}, "bach", "nog", 0).finished(store)) == 2
    with pytest.raises(StoreError, match="another study"):
        run_block({**spec, "token": "other"})
