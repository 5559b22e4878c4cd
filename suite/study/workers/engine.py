"""Where blocks run: in this process, on worker processes of this machine, or on a dask cluster that exists.

A study asks an engine for ``submit`` and futures, nothing more; any ``concurrent.futures.Executor`` will do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager, suppress
from threading import Thread
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from lstm_odyssey.study.workers.gpus import VISIBLE
from lstm_odyssey.study.workers.watched import DaskExecutor, EngineError
from lstm_odyssey.tasks.cores import cores

CLOSE_SECONDS = 20.0
"""How long the worker processes of this machine are given to end; they end with this process in any case."""
OURS = {
    "distributed.scheduler.allowed-failures": 0,  # a block whose worker died comes back at once, and is run again alone
    "distributed.scheduler.worker-saturation": 1.0,  # no block waits in a worker, to die with the one that runs
    # what goes wrong in a block is its answer; a worker that outlives its scheduler by a heartbeat would print a traceback
    "distributed.nanny.pre-spawn-environ.DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "critical",
}
QUIET = {"distributed.logging.distributed": "error", "distributed.admin.tick.limit": "1h"}

Say = Callable[[str], None]


class InProcess(Executor):
    """Runs each task when it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - an executor hands its task's exception over
            future.set_exception(error)
        return future


def default_workers(blocks: int) -> int:
    """One worker for each core this process may use, and no more than there are blocks."""
    return max(1, min(cores(), blocks))


def _has_token(path: str, token: str) -> bool:
    from lstm_odyssey.study.stored.store import Store

    study = Store(path).study()
    return study is not None and study["token"] == token


def silent(text: str) -> None:
    """Say nothing."""


@contextmanager
def engine(
    workers: int,
    scheduler: str | None,
    store: str,
    token: str,
    timeout: float = 30.0,
    say: Say = silent,
    gpus: Sequence[str] = (),
    resources: Mapping[str, float] = MappingProxyType({}),
) -> Iterator[Executor]:
    """An executor for a study.

    Args:
        workers: worker processes on this machine, one thread each; 0 runs everything in this process.
        scheduler: address of a dask scheduler that exists; then ``workers`` is not used.
        store, token: the store's path and what its study.json must say; every worker reads it back before work begins.
        timeout: seconds to wait for the scheduler, for a worker, and for the workers' answers.
        say: told in a line what is waited for.
        gpus: names of GPUs; the worker processes of this machine get them in turn, each sees its own alone and offers it to
            dask as the resource ``GPU``.
        resources: what a worker must offer to be given a task, on a cluster that exists too.

    Raises:
        EngineError: the scheduler cannot be reached or has no workers, or a worker does not see the store.
    """
    if scheduler is None and workers == 0:
        yield InProcess()
        return
    if scheduler is not None:
        _check_address(scheduler)
    import dask
    import distributed  # noqa: F401 - before the configuration is set: it brings defaults of its own, which have to stay

    with ExitStack() as held:
        # What somebody set for dask, as TLS, preloads or a dashboard, is meant for clusters: these workers are of the house.
        plain = dask.config.merge(*dask.config.defaults) | {"scheduler-address": None} if scheduler is None else {}
        held.enter_context(dask.config.set(plain))
        held.enter_context(dask.config.set({**QUIET, **(OURS if scheduler is None else {})}))
        logging.getLogger("distributed").setLevel(logging.ERROR)
        target: Any = scheduler
        if scheduler is None:
            target = _cluster(workers, gpus)
            held.callback(_closed, target)
        else:
            say(f"--scheduler {scheduler}: waiting for its answer, {timeout:.0f} seconds at most.")
        client = _client(target, timeout, workers)
        held.callback(_closed, client)
        if scheduler is not None:
            _check_workers(client, scheduler, store, token, timeout, say)
        elif gpus:
            client.wait_for_workers(workers, timeout=timeout)
        executor = DaskExecutor(client, say, resources)
        held.callback(executor.shutdown)
        yield executor


def _cluster(workers: int, gpus: Sequence[str]) -> Any:
    """Worker processes of this machine: on loopback only and without a dashboard, as nobody else has business with them."""
    from distributed import LocalCluster

    kind = _with_gpus(gpus) if gpus else LocalCluster
    try:
        cluster = kind(
            n_workers=0 if gpus else workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            memory_limit=0,
            silence_logs=logging.ERROR,
        )
        if gpus:
            cluster.scale(workers)
    except (OSError, RuntimeError) as error:
        raise EngineError(
            f"--workers {workers}: the worker processes cannot be started ({error}). Use --workers 0."
        ) from error
    return cluster


def _client(target: Any, timeout: float, workers: int) -> Any:
    """A client of a cluster of so many workers of ours, or of the scheduler at an address."""
    from distributed import Client

    try:
        return Client(target, timeout=timeout, set_as_default=False)
    except (OSError, ValueError) as error:
        if not isinstance(target, str):
            raise EngineError(
                f"--workers {workers}: the worker processes do not answer ({error}). Use --workers 0."
            ) from error
        raise EngineError(
            f"--scheduler {target}: no dask scheduler answers there ({error}). Start one with `dask scheduler` and "
            "pass its address, as tcp://HOST:8786."
        ) from error


def _with_gpus(gpus: Sequence[str]) -> type[Any]:
    """A cluster of this machine whose workers each see one GPU; they are told before torch is imported there."""
    from distributed import LocalCluster

    class Cluster(LocalCluster):
        def new_worker_spec(self) -> dict[Any, Any]:
            ((name, how),) = super().new_worker_spec().items()  # type: ignore[no-untyped-call]  # dask has no types here
            more = {"resources": {"GPU": 1}, "env": {VISIBLE: gpus[self._i % len(gpus)]}}
            return {name: {**how, "options": {**how["options"], **more}}}

    return Cluster


def _closed(of_dask: Any) -> None:
    """Close a client or a cluster; what dask does not manage in time, or raises, is no matter of a study that has ended."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with suppress(Exception):
        of_dask.close(timeout=CLOSE_SECONDS)


def _check_address(scheduler: str) -> None:
    """Refuse at once an address that dask would ask for half a minute."""
    try:
        parts = urlsplit(scheduler if "://" in scheduler else f"tcp://{scheduler}")
        complete = parts.scheme not in ("tcp", "tls") or bool(parts.hostname and parts.port)
    except ValueError:
        complete = False
    if not complete:
        raise EngineError(
            f"--scheduler: got {scheduler!r}; expected an address with a port, as `dask scheduler` prints it: tcp://HOST:8786."
        )


def _check_workers(client: Any, scheduler: str, store: str, token: str, timeout: float, say: Say) -> None:
    if not client.nthreads():
        say(f"--scheduler {scheduler}: it has no workers yet; waiting for one, {timeout:.0f} seconds at most.")
    try:
        client.wait_for_workers(1, timeout=timeout)
    except TimeoutError as error:
        raise EngineError(
            f"--scheduler {scheduler}: it has no workers; expected at least one. Start some: `dask worker {scheduler}`."
        ) from error
    answers: Future[Any] = Future()
    Thread(target=_asked, args=(client, store, token, answers), daemon=True).start()
    try:
        seen = answers.result(timeout=timeout)
    except TimeoutError as error:
        raise EngineError(
            f"--scheduler {scheduler}: its workers did not say within {timeout:.0f} seconds whether they see store {store}; "
            "expected an answer at once. Look whether they hang."
        ) from error
    blind = [worker for worker, sees in seen.items() if sees is not True]
    if blind:
        raise EngineError(
            f"store {store}: the workers {', '.join(blind)} do not see it; expected one path that all machines share. "
            "Put --store on a shared file system."
        )


def _asked(client: Any, store: str, token: str, answers: Future[Any]) -> None:
    try:
        answers.set_result(client.run(_has_token, store, token, on_error="return"))
    except Exception as error:  # noqa: BLE001 - handed over to who waits
        answers.set_exception(error)
