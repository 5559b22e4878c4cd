"""Where a corpus lies: a path that was given, ``$ODYSSEY_DATA``, or a download into the user's cache.

The rule, the same for every task: a given path; else a file or folder ``$ODYSSEY_DATA/TASK`` or
``$ODYSSEY_DATA/TASK.*``; else, for a corpus that may be had freely, one download, kept in the user's cache and checked
by its sha256 before it is read. ``ODYSSEY_OFFLINE=1`` forbids the download. pooch is imported when the cache is at hand.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from os import PathLike
from pathlib import Path
from stat import S_ISREG

from lstm_odyssey.tasks.declare import CorpusError, Download

MAX_BYTES = 64 * 2**20
"""A file that is read whole may not be larger than this, unless its task says otherwise."""


def locate(task: str, path: str | PathLike[str] | None = None) -> Path | None:
    """The file or folder the user gave for ``task``, or None.

    Errors: `CorpusError` if it does not exist, if ``$ODYSSEY_DATA`` is no folder, or if two entries there fit.
    """
    if path is not None:
        given = Path(os.path.expanduser(path))  # noqa: PTH111 - leaves ~nobody as it is, which does not exist
        if not given.exists():
            raise CorpusError(f"task {task!r}: {given} does not exist. Pass an existing path, as --data {task}=PATH.")
        return given
    folder = os.path.expanduser(os.environ.get("ODYSSEY_DATA", ""))  # noqa: PTH111 - an empty text is no path
    if not folder:
        return None
    if not Path(folder).is_dir():
        raise CorpusError(
            f"task {task!r}: ODYSSEY_DATA is {folder!r}; expected a folder. Create it, or unset ODYSSEY_DATA."
        )
    found = sorted(each for each in Path(folder).iterdir() if each.name == task or each.name.startswith(f"{task}."))
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise CorpusError(f"task {task!r}: {folder} holds {names}; expected one. Keep one, or pass --data {task}=PATH.")
    return found[0] if found else None


def folder(task: str, path: str | PathLike[str] | None, expected: str) -> Path | None:
    """The folder the user gave for ``task``, or None.

    Args:
        expected: what it should be, and what to do: the end of the error.

    Errors: `CorpusError` as `locate`, and if it is no folder.
    """
    given = locate(task, path)
    if given is not None and not given.is_dir():
        raise CorpusError(f"task {task!r}: {given} is not a folder; expected {expected}")
    return given


def missing(task: str, reason: str, url: str | None) -> CorpusError:
    """The one error for a corpus that is not at hand."""
    source = f"; the corpus is at {url}" if url else ""
    return CorpusError(f"task {task!r}: {reason}. Pass --data {task}=PATH or set ODYSSEY_DATA{source}.")


def refuse(task: str, path: str | PathLike[str] | None, why: str, instead: str = "") -> None:
    """Raise `CorpusError` if the user gave a path for a corpus that is not read.

    Args:
        why: what is done in place of reading, as "its sequences are computed".
        instead: what the user may want, after a semicolon.
    """
    if (given := locate(task, path)) is not None:
        raise CorpusError(f"task {task!r}: {given} was given, and {why}. Leave the path out{instead}.")


@contextmanager
def opened(task: str, path: Path, unread: str = "Check its permissions.") -> Iterator[BufferedReader]:
    """A file of a corpus, open for reading: whatever reads one opens it here.

    What is no regular file is not opened: a named pipe, a socket or a device may make its reader wait for ever.

    Errors: `CorpusError` if it is none, or cannot be read, and then it ends with ``unread``.
    """
    where = f"task {task!r}: {path} cannot be read"
    try:
        if not S_ISREG(path.stat().st_mode):
            raise CorpusError(f"{where} (it is not a regular file). Put the original file in its place.")
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise CorpusError(f"{where} ({error.strerror or error}). {unread}") from None


def bounded(
    task: str,
    path: Path,
    max_bytes: int,
    too_large: str = "it is not the corpus. Pass its file.",
    unread: str = "Check its permissions.",
) -> bytes:
    """The bytes of a file, at most ``max_bytes``.

    Errors: `CorpusError`, which ends with ``too_large`` or, where the file cannot be read, with ``unread``.
    """
    with opened(task, path, unread) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise CorpusError(f"task {task!r}: {path} is larger than {max_bytes} bytes; {too_large}")
    return data


def read(
    task: str, path: Path, checksum: str | None = None, url: str | None = None, max_bytes: int | None = None
) -> bytes:
    """The bytes of a file, at most ``max_bytes`` (by default `MAX_BYTES`), after their sha256 held.

    The bytes returned are the bytes checked: the file is read once.

    Errors: `CorpusError` for a folder, an unreadable or oversized file, or another checksum.
    """
    most = MAX_BYTES if max_bytes is None else max_bytes
    if not path.is_file():
        raise CorpusError(f"task {task!r}: {path} is not a file; expected the corpus's file. Pass --data {task}=FILE.")
    data = bounded(task, path, most)
    got = hashlib.sha256(data).hexdigest()
    if checksum is not None and got != checksum:
        source = f"Get the original file from {url}" if url else "Get the original file"
        raise CorpusError(
            f"task {task!r}: {path} has {len(data)} bytes and the sha256 {got}; expected {checksum}. {source}, "
            f"and pass --data {task}=PATH."
        )
    return data


def checksum(task: str, path: Path, max_bytes: int) -> str:
    """The sha256 (hex) of a file that is too large to be read whole.

    Errors: as `read`.
    """
    with opened(task, path) as file:
        if os.fstat(file.fileno()).st_size > max_bytes:
            raise CorpusError(
                f"task {task!r}: {path} is larger than {max_bytes} bytes; it is not the corpus. Pass its file."
            )
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """The user's cache of downloads, ``~/.cache/lstm-odyssey`` on Linux."""
    import pooch

    return Path(pooch.os_cache("lstm-odyssey"))


def download(
    task: str,
    filename: str,
    checksum: str | None,
    url: str,
    mirror: str | None = None,
    max_bytes: int | None = None,
    lazily: bool = False,
) -> Path:
    """The cached copy of a file, downloaded when there is none, from ``url`` or else from ``mirror``.

    Args:
        checksum: sha256 (hex); None where none is published, and then the first download's is recorded beside the file.
        max_bytes: by default `MAX_BYTES`.
        lazily: a copy that is there is taken as it is; whoever reads it calls `verify` before.

    Errors: `CorpusError` when ``ODYSSEY_OFFLINE`` forbids it or no address delivers the file with this sha256.
    """
    from lstm_odyssey.tasks.files import transfer

    cached = cache_folder() / filename
    if cached.is_file() and (lazily or transfer.digest(cached) == (checksum or recorded(cached))):
        return cached
    if os.environ.get("ODYSSEY_OFFLINE", "0") not in ("", "0"):
        raise missing(task, "not on this machine, and ODYSSEY_OFFLINE forbids the download", url)
    failures = []
    for address in filter(None, (url, mirror)):
        try:
            got = transfer.fetch(address, cached, checksum, MAX_BYTES if max_bytes is None else max_bytes)
        except (OSError, ValueError) as error:
            failures.append(f"{address}: {transfer.first_line(error)}")
        else:
            _record(cached, got)
            return cached
    raise missing(task, f"not on this machine, and the download failed ({'; '.join(failures)})", url)


def fetch(task: str, wanted: Download, lazily: bool = False) -> Path:
    """The cached copy of one file of a task, downloaded when there is none. Arguments and errors: as `download`."""
    most = wanted.max_bytes or wanted.size
    return download(task, wanted.file, wanted.checksum, wanted.url, wanted.mirror, most, lazily)


def _record(file: Path, got: str) -> None:
    file.with_name(f"{file.name}.sha256").write_text(f"{got}\n")


def recorded(file: Path) -> str:
    """The sha256 of a file of the cache when it was downloaded; recorded now if it never was."""
    from lstm_odyssey.tasks.files import transfer

    beside = file.with_name(f"{file.name}.sha256")
    if not beside.is_file():
        _record(file, transfer.digest(file))
    return beside.read_text().strip()


def verify(task: str, file: Path, checksum: str | None = None) -> None:
    """Raise `CorpusError` unless a file of the cache has this sha256, by default the recorded one."""
    from lstm_odyssey.tasks.files import transfer

    expected, got = checksum or recorded(file), transfer.digest(file)
    if got != expected:
        raise CorpusError(
            f"task {task!r}: {file} has the sha256 {got}; expected {expected}. Delete it, and start again."
        )
