"""Who may touch what in a store that several runs share: leases, small files that their holder touches while it lives.

A lease is made exclusively and holds on file systems without flock. It lapses when its holder has missed its heartbeats; a
holder that died on this machine is seen at once. Three kinds lie in ``STORE/locks``: one for ``study.json`` and ``study.nc``,
held for moments; one for each block that is being computed, held by its worker; one for each run that lives, so that
nothing of it is cleaned away.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import SoftFileLease, Timeout

from lstm_odyssey.reports.contract.files import TEMPORARY
from lstm_odyssey.study.stored.store import Store, StoreError

LEASE_SECONDS = 60.0
"""A lease whose holder was not heard of for so long may be taken by another; every process must have the same number."""
SPOKEN_SECONDS = 2.0
"""Who waits longer than this for the study's lock says so."""
PATIENCE_SECONDS = 600.0
"""The study's lock is held for moments; who waited so long for it gives up."""
STALE_SECONDS = 3600.0
"""A temporary file, or a run's sign of life, older than this belongs to a process that was killed."""


def _lease(store: Store, name: str) -> SoftFileLease:
    return SoftFileLease(store.locks_folder / f"{name}.lock", lease_duration=LEASE_SECONDS)


def _acquire(lease: SoftFileLease, seconds: float) -> None:
    """Take a lease; a run that leaves may remove the empty folder at this very moment, so a second time."""
    try:
        lease.acquire(timeout=seconds)
    except FileNotFoundError:
        lease.acquire(timeout=seconds)


def _release(lease: SoftFileLease) -> None:
    with suppress(OSError):  # the folder may be gone; what the lease protected is done
        lease.release()


@contextmanager
def study_locked(store: Store, say: Callable[[str], None] | None = None) -> Iterator[Callable[[], None]]:
    """Hold the lock of ``study.json`` and ``study.nc``.

    Args:
        store: of the study; its folder is made.
        say: told in one line that another run is waited for.

    Yields:
        A function that raises if the lock was lost meanwhile; to be called just before a shared file is replaced.

    Raises:
        StoreError: the store cannot be written, or another run holds the lock for ever.
    """
    lease = _lease(store, "study")
    with store.writing():
        try:
            _acquire(lease, SPOKEN_SECONDS)
        except Timeout:
            if say is not None:
                say(f"store {store.path}: another run writes its study.json or study.nc; waiting for it.")
            try:
                _acquire(lease, PATIENCE_SECONDS)
            except Timeout:
                raise StoreError(
                    f"store {store.path}: another run holds {lease.lock_file} since more than {PATIENCE_SECONDS / 60:.0f} "
                    "minutes; expected moments. If no run is left, delete that file."
                ) from None

    def still_held() -> None:
        if lease.compromise is not None:
            raise StoreError(
                f"store {store.path}: this run stood still for so long that another took over its lock. Nothing is lost: run "
                "it again."
            )

    try:
        yield still_held
    finally:
        _release(lease)


@contextmanager
def claimed(store: Store, what: str, seconds: float) -> Iterator[bool]:
    """Claim a block, or the page, for this process, so that no two make it at once; false if another one has it.

    Args:
        store, what: where, and the claim's name.
        seconds: how long to wait for the other one to end, or for its lease to lapse.
    """
    lease, ours = _lease(store, what), True
    with store.writing():
        try:
            _acquire(lease, seconds)
        except Timeout:
            ours = False
    try:
        yield ours
    finally:
        _release(lease)


@contextmanager
def alive(store: Store) -> Iterator[Path]:
    """Show to other runs of this store that this one lives; yields its sign of life."""
    lease = _lease(store, f"run-{uuid.uuid4().hex[:16]}")
    with store.writing():
        _acquire(lease, SPOKEN_SECONDS)
    try:
        yield Path(lease.lock_file)
    finally:
        _release(lease)
        if not store.study_file.exists():  # it never began, or was taken back
            for folder in (store.progress_folder, store.trials_folder, store.locks_folder, store.path):
                with suppress(OSError):  # not there, or not empty
                    folder.rmdir()


def alone(store: Store, own: Path) -> bool:
    """Whether no other run lives; whoever asks holds the study's lock, so that none comes in between.

    Signs of life of killed runs are removed: one of this machine at once; one of another machine after an hour without a
    heartbeat, as nobody waits here for its lease to lapse, as those do who wait for a block or for the study's lock.
    """
    now, others = _now(own), False
    for path in store.locks_folder.glob("run-*.lock"):
        if path == own:
            continue
        with suppress(OSError):  # removed at this moment by its run, or not ours to remove
            try:
                with SoftFileLease(path, lease_duration=LEASE_SECONDS, timeout=0):
                    continue  # its process is dead; leaving removes it
            except Timeout:
                if now - path.stat().st_mtime > STALE_SECONDS:
                    path.unlink()
                else:
                    others = True
    return not others


def _now(own: Path) -> float:
    """The time by the clock that the files' times come from; a file server's may differ from this machine's."""
    try:
        own.touch()
        return own.stat().st_mtime
    except OSError:
        return time.time()


def clean(store: Store, own: Path) -> None:
    """Remove what killed runs left: old temporary files and leases, words of progress. Only for a run that is alone."""
    now = _now(own)
    folders = (store.trials_folder, store.checkpoints_folder, store.progress_folder, store.weights_folder)
    left = [path for folder in (store.path, *folders) for path in folder.glob(f"{TEMPORARY}*")]
    for path in (*left, *store.locks_folder.glob("block-*.lock")):
        with suppress(OSError):  # a worker of a run that was killed may end at this moment
            if now - path.stat().st_mtime > STALE_SECONDS:
                path.unlink()
    for path in store.progress_folder.glob("*.json"):
        with suppress(OSError):
            path.unlink()


def forget(store: Store) -> None:
    """Take back a study that has not begun, so that the folder may hold another; for who holds its lock and is alone."""
    killed = (*store.progress_folder.glob("*.json"), *store.locks_folder.glob("block-*.lock"))
    for path in (store.study_file, *killed):
        with suppress(OSError):
            path.unlink()
