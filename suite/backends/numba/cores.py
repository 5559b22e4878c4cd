"""Threads that share the jobs of a call: as many as torch may use, of a pool that is made when it is first needed.

numba's own parallel loops are of no use here: of its threading layers the one that is always there ends the process when two
threads call it at once, and those of OpenMP and TBB hang or end in a child of ``fork``. A job is one compiled call, which runs
without the interpreter's lock, so plain threads do.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress

import torch

from lstm_odyssey.backends.subnormals import flushes

LEAST_WORK = 25e6
"""Floating-point operations for which one thread more is asked: half a millisecond or so, some ten times what it costs."""


class _Helpers:
    """The pool: it grows with the threads that torch may use, and is forgotten in a child of ``fork``, which has none of it."""

    lock: threading.Lock
    pool: ThreadPoolExecutor | None
    size: int

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.lock, self.pool, self.size = threading.Lock(), None, 0

    def submit(self, work: Callable[[], None], count: int) -> Future[None]:
        """Have it called by a thread of a pool of at least ``count``.

        Raises:
            RuntimeError: there is no thread to be had: the system has no more, or the interpreter ends.
        """
        with self.lock:
            if self.pool is None or self.size < count:
                if self.pool is not None:
                    self.pool.shutdown(wait=False)  # what it was given it still does
                self.pool, self.size = ThreadPoolExecutor(count, thread_name_prefix="lstm-odyssey"), count
            return self.pool.submit(work)


_helpers = _Helpers()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.forget)


def little(work: float) -> bool:
    """Whether so much work is one thread's, whatever torch may use."""
    return work < 2 * LEAST_WORK


def threads(work: float) -> int:
    """How many threads a call may use: one for little work, else as many as ``torch.get_num_threads()`` says now."""
    return 1 if little(work) else max(1, min(torch.get_num_threads(), int(work // LEAST_WORK)))


def run(jobs: Sequence[Callable[[], None]], count: int) -> None:
    """Call all jobs, in ``count`` threads of which the caller's is one.

    It returns, or raises, when no thread is at any of them: what they use may then be freed. The caller waits for none that has
    not begun, so no call waits for another's jobs.

    Raises:
        BaseException: the first that a job raised; jobs that had not begun are left.
    """
    if count < 2 or len(jobs) < 2:
        for job in jobs:
            job()
        return
    todo, flush = deque(jobs), flushes()

    def work() -> None:
        try:
            while job := _next(todo):
                job()
        finally:
            todo.clear()  # where a job failed none is begun any more

    def help_out() -> None:
        torch.set_flush_denormal(flush)  # a thread's own: numbers are those the caller would have computed
        work()

    helpers: list[Future[None]] = []
    try:
        with suppress(RuntimeError):
            while len(helpers) < min(count, len(jobs)) - 1:
                helpers.append(_helpers.submit(help_out, count - 1))
        work()
    finally:
        todo.clear()
        _settle(helpers)
    for helper in helpers:
        if not helper.cancelled():
            helper.result()


def _next(todo: deque[Callable[[], None]]) -> Callable[[], None] | None:
    try:
        return todo.popleft()
    except IndexError:
        return None


def _settle(helpers: Sequence[Future[None]]) -> None:
    """Wait until each is done or cancelled, whatever interrupts: leaving sooner would free memory that a thread writes to."""
    try:
        wait([helper for helper in helpers if not helper.cancel()])
    finally:
        if not all(helper.done() for helper in helpers):
            _settle(helpers)
