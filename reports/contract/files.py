"""Files that are whole or absent: written under a temporary name in the same folder, then renamed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
def temporary_beside(path: Path) -> Iterator[Path]:
    """A path of one's own in the folder of ``path``, to write to; what lies there at the end is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{TEMPORARY}{uuid.uuid4().hex}-{path.name}"
    try:
        yield temporary
    finally:
        with suppress(OSError):  # the file system itself may be gone
            temporary.unlink()


def _settle(temporary: Path) -> None:
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; renamed to ``path`` at the end, removed if anything goes wrong."""
    with temporary_beside(path) as temporary:
        yield temporary
        _settle(temporary)
        os.replace(temporary, path)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file or none."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a whole file or none."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_new_text(path: Path, text: str) -> bool:
    """Write a whole text file where there is none; false, and nothing is written, where there is one."""
    if path.exists():
        return False
    with temporary_beside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
        _settle(temporary)
        try:
            os.link(temporary, path)  # unlike a rename it fails where another process was quicker
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            if path.exists():
                return False
            os.replace(temporary, path)
    return True
