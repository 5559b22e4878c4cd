"""Where blocks run: in this process, on worker processes of this machine, or on a dask cluster that exists.

A study asks an engine for ``submit`` and futures, nothing more; any ``concurrent.futures.Executor`` will do.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any


class EngineError(RuntimeError):
    """The workers asked for are not to be had."""


class InProcess(Executor):
    """Runs each task when it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - an executor hands its task's exception over
            future.set_exception(error)
        return future


class InOrder(Executor):
    """Has a dask cluster take up first what was submitted first; by itself it promises no order.

    Args:
        executor: a client's, whose ``submit`` takes a ``priority``: the larger, the sooner.
    """

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.submitted = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.submitted += 1
        return self.executor.submit(fn, *args, priority=-self.submitted, **kwargs)


def default_workers(blocks: int) -> int:
    """One worker for each core this process may use, and no more than there are blocks."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, blocks))


def _has_token(path: str, token: str) -> bool:
    from lstm_odyssey.store import Store

    study = Store(path).study()
    return study is not None and study["token"] == token


@contextmanager
def engine(workers: int, scheduler: str | None, store: str, token: str, timeout: float = 30.0) -> Iterator[Executor]:
    """An executor for a study.

    Args:
        workers: worker processes on this machine, one thread each; 0 runs everything in this process.
        scheduler: address of a dask scheduler that exists; then ``workers`` is not used.
        store, token: the store's path and what its study.json must say; every worker reads it back before work begins.
        timeout: seconds to wait for the scheduler.

    Raises:
        EngineError: the scheduler cannot be reached or has no workers, or a worker does not see the store.
    """
    if scheduler is None and workers == 0:
        yield InProcess()
        return
    import dask
    from distributed import Client, LocalCluster

    with dask.config.set({"distributed.logging.distributed": "error", "distributed.admin.tick.limit": "1h"}):
        logging.getLogger("distributed").setLevel(logging.ERROR)
        if scheduler is None:
            # loopback only, no dashboard: nobody else has business with these processes
            target: Any = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                memory_limit=0,
                silence_logs=logging.ERROR,
            )
        else:
            target = scheduler
        try:
            try:
                client = Client(target, timeout=timeout, set_as_default=False)
            except (OSError, ValueError) as error:
                raise EngineError(
                    f"--scheduler {scheduler}: no dask scheduler answers there ({error}). Start one with `dask scheduler` and "
                    "pass its address, as tcp://HOST:8786."
                ) from error
            with client:
                if scheduler is not None:
                    _check_workers(client, scheduler, store, token)
                yield InOrder(client.get_executor(pure=False, retries=2))
        finally:
            if scheduler is None:
                target.close(timeout=5)


def _check_workers(client: Any, scheduler: str, store: str, token: str) -> None:
    try:
        client.wait_for_workers(1, timeout=30)
    except TimeoutError as error:
        raise EngineError(
            f"--scheduler {scheduler}: it has no workers; expected at least one. Start some: `dask worker {scheduler}`."
        ) from error
    blind = [worker for worker, sees in client.run(_has_token, store, token).items() if not sees]
    if blind:
        raise EngineError(
            f"store {store}: the workers {', '.join(blind)} do not see it; expected one path that all machines share. "
            "Put --store on a shared file system."
        )
