"""Downloads that go on where they broke off.

What has come stands beside the file's place as ``NAME.part``; the next try asks for the rest (``Range``) and, where the server
does not know how to do that, sends another part, or names another file (``If-Range``), begins again. A file is moved to its
place whole, after its checksum held. Two processes take turns. requests, which pooch brings, talks to the server.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

CHUNK = 2**16
"""Bytes; of a broken transfer so many at most are lost."""
TRIES = 5
"""So often in a row a broken transfer is gone on with, as long as each try brings something."""
TIMEOUT = 30
"""Seconds without an answer."""


def fetch(url: str, path: Path, checksum: str | None, max_bytes: int) -> str:
    """Download ``url`` to ``path``; returns its sha256 (hex).

    Args:
        checksum: the sha256 it must have; None admits any.
        max_bytes: no more is kept.

    Errors: OSError (requests' errors are) or ValueError in words; what has come is kept for the next try, unless it is wrong.
    """
    import filelock

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with filelock.FileLock(path.with_name(f"{path.name}.lock")):
        if checksum and path.is_file() and digest(path) == checksum:
            return checksum  # another process was here first
        resumed = _transfer(url, part, max_bytes)
        got = digest(part)
        if resumed and checksum and got != checksum:  # the parts may be of two files
            _forget(part)
            _transfer(url, part, max_bytes)
            got = digest(part)
        if checksum and got != checksum:
            size = part.stat().st_size
            _forget(part)
            raise ValueError(f"{size} bytes with the sha256 {got}; expected {checksum}")
        os.replace(part, path)
        _forget(part)
        return got


def digest(path: Path) -> str:
    """The sha256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tag(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag(part).unlink(missing_ok=True)


def _transfer(url: str, part: Path, max_bytes: int) -> bool:
    """Bring ``part`` to its end; returns whether some of it came from an earlier try. Errors: as `fetch`."""
    from requests import exceptions

    resumed, left = False, TRIES
    while True:
        before = part.stat().st_size if part.is_file() else 0
        try:
            return _once(url, part, before, max_bytes) or resumed
        except (exceptions.ConnectionError, exceptions.Timeout, exceptions.ChunkedEncodingError) as error:
            now = part.stat().st_size if part.is_file() else 0
            left -= 1
            if left == 0 or now <= before:
                kept = f"; {now} bytes are kept, and the next try goes on from there" if now else ""
                raise OSError(f"the transfer broke ({first_line(error)}){kept}") from None
            resumed = True


def _once(url: str, part: Path, before: int, max_bytes: int) -> bool:
    """One request for what comes after the first ``before`` bytes; returns whether the server went on from there."""
    import requests

    tag = _tag(part).read_text() if before and _tag(part).is_file() else ""
    headers = {"Accept-Encoding": "identity"}  # a packed answer has other bytes than the file
    if before and tag:
        headers |= {"Range": f"bytes={before}-", "If-Range": tag}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == 416 and tag:  # nothing comes after: the part is whole, or of another file
            if answer.headers.get("Content-Range", "").endswith(f"/{before}"):
                return True
            _forget(part)
            return _once(url, part, 0, max_bytes)
        answer.raise_for_status()
        given = answer.headers.get("Content-Range", "")
        goes_on = bool(tag) and answer.status_code == 206 and given.startswith(f"bytes {before}-")
        if answer.status_code == 206 and not goes_on:  # it begins elsewhere: neither the rest nor the file
            if not tag:
                raise OSError(f"a part of the file (206, Content-Range {given[:80]!r}); expected all of it")
            _forget(part)
            return _once(url, part, 0, max_bytes)
        before = before if goes_on else 0
        length = answer.headers.get("Content-Length", "")
        total = before + int(length) if length.isdigit() else None
        if (total or 0) > max_bytes:
            raise ValueError(f"{total} bytes; expected at most {max_bytes}")
        if not goes_on:
            _keep_tag(part, answer.headers)
        with part.open("ab" if goes_on else "wb") as file:
            for chunk in tracked(url, answer.iter_content(CHUNK), before, total):
                before += len(chunk)
                if before > max_bytes:
                    _forget(part)
                    raise ValueError(f"more than {max_bytes} bytes")
                file.write(chunk)
        if total is not None and before < total:
            raise requests.exceptions.ChunkedEncodingError(f"{before} of {total} bytes came")
        return goes_on


def _keep_tag(part: Path, headers: Any) -> None:
    """Remember what tells this file from another one at the same address; a weak tag does not."""
    tag = headers.get("ETag", "")
    tag = headers.get("Last-Modified", "") if not tag or tag.startswith("W/") else tag
    _tag(part).write_text(tag)


def tracked(url: str, chunks: Iterable[bytes], before: int, total: int | None) -> Iterator[bytes]:
    """The chunks, with a bar on standard error where that is a terminal."""
    if not sys.stderr.isatty():
        yield from chunks
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        bar = shown.add_task(url.rpartition("/")[2], total=total, completed=before)
        for chunk in chunks:
            yield chunk
            shown.advance(bar, len(chunk))


def first_line(error: BaseException) -> str:
    """An error's kind and the first line of its text."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
