"""Files that are whole or absent: written under a temporary name in the same folder, then renamed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY = ".tmp-"


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path as its user means it: ``~`` at its start is a home folder.

    Raises:
        FileNotFoundError: there is no such user; no folder is called ``~name``.
    """
    text = os.path.expanduser(path)  # noqa: PTH111 - a Path forgets the ./ of a folder that is really called ~x
    if text.startswith("~"):
        raise FileNotFoundError(f"path {text!r}: no user of that name; expected a home folder. Write it in full.")
    return Path(text)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; renamed to ``path`` at the end, removed if anything goes wrong."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{TEMPORARY}{uuid.uuid4().hex}-{path.name}"
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file or none."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
