"""Futures of a dask cluster, watched: nothing waits for a callback of dask's, its state is asked in intervals.

A callback that raises, or never comes, would leave a study waiting for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, InvalidStateError
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Any

LOOK_SECONDS = 0.1
"""How often the state of what was submitted is looked at, which asks nobody: the client holds it."""
FETCH_SECONDS = 30.0
"""How long a result, a number or an error, may take from a worker to here."""
FETCHES = 3
IDLE_SECONDS = 30.0
"""A cluster without a worker for so long is worth a word."""


class EngineError(RuntimeError):
    """The workers asked for are not to be had."""


class LostResultError(RuntimeError):
    """A task ended and what it returned cannot be had; whether it did its work has to be seen elsewhere."""


class DaskExecutor(Executor):
    """Submits to a dask cluster, which takes up first what was submitted first; by itself it promises no order.

    Args:
        client: of the cluster.
        say: told in a line what is waited for.
    """

    def __init__(self, client: Any, say: Callable[[str], None], resources: Mapping[str, float] | None = None) -> None:
        self.client, self.say, self.resources = client, say, dict(resources or {})
        self.submitted = 0
        self.pending: dict[Future[Any], Any] = {}
        self.fetches: dict[Future[Any], int] = {}
        self.lock, self.stop = Lock(), Event()
        self.thread = Thread(target=self._watch, daemon=True)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.submitted += 1
        needed = {"resources": self.resources} if self.resources else {}
        theirs = self.client.submit(fn, *args, pure=False, retries=2, priority=-self.submitted, **needed, **kwargs)
        ours: Future[Any] = Future()
        with self.lock:
            self.pending[ours] = theirs
        if self.submitted == 1:
            self.thread.start()
        return ours

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Look no more. What still runs on the cluster is given up by its client's closing."""
        self.stop.set()
        if wait and self.thread.ident is not None:
            self.thread.join(timeout=1.0)

    def _watch(self) -> None:
        staffed, spoken = time.monotonic(), False
        while not self.stop.wait(LOOK_SECONDS):
            with self.lock:
                pending = list(self.pending.items())
            for ours, theirs in pending:
                if ours.cancelled():
                    self._end(ours)
                    with suppress(Exception):  # the cluster may be gone
                        theirs.cancel()
                else:
                    with suppress(InvalidStateError):  # cancelled at this moment
                        self._look(ours, theirs)
            if pending and time.monotonic() - staffed > IDLE_SECONDS:
                staffed, empty = time.monotonic(), self._empty()
                if empty and not spoken:
                    self.say("The cluster has no worker left; waiting for one.")
                spoken = empty

    def _end(self, ours: Future[Any]) -> None:
        with self.lock:
            self.pending.pop(ours, None)
            self.fetches.pop(ours, None)

    def _look(self, ours: Future[Any], theirs: Any) -> None:
        status = theirs.status
        if status == "finished":
            self._fetch(ours, theirs)
        elif status == "error":
            self._end(ours)
            try:
                error = theirs.exception(timeout=FETCH_SECONDS)
            except Exception as failed:  # noqa: BLE001 - an exception that cannot be carried here is an exception too
                error = failed
            ours.set_exception(error or LostResultError("a task failed without an error"))
        elif status in ("cancelled", "lost") or self.client.status == "closed":
            self._end(ours)
            gone = f"the dask scheduler went away ({status}); expected it to stay. Start it and run the study again."
            ours.set_exception(EngineError(gone))

    def _fetch(self, ours: Future[Any], theirs: Any) -> None:
        try:
            result = theirs.result(timeout=FETCH_SECONDS)
        except Exception as failed:  # noqa: BLE001 - the worker died with it, or it cannot be carried here
            self.fetches[ours] = self.fetches.get(ours, 0) + 1
            if self.fetches[ours] >= FETCHES:
                self._end(ours)
                ours.set_exception(
                    LostResultError(f"a task's result cannot be had ({type(failed).__name__}: {failed})")
                )
            return
        self._end(ours)
        ours.set_result(result)

    def _empty(self) -> bool:
        try:
            return not self.client.sync(self.client.scheduler.ncores, callback_timeout=FETCH_SECONDS)
        except Exception:  # noqa: BLE001 - not to be asked now; its state tells what it means
            return False
