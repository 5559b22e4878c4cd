"""Archives of a corpus: unpacked into a folder of its own, member by member, and never outside it."""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from lstm_odyssey.tasks.declare import CorpusError

MAX_BYTES = 4 * 2**30
"""All files of an archive together may not be larger than this."""


@contextmanager
def unpacked(task: str, archive: Path) -> Iterator[Path]:
    """A folder with the files of a .tar, .tar.gz, .tar.xz, .tar.bz2 or .zip; it is gone afterwards.

    Errors: `CorpusError` if it is none of these, is damaged or too large, or has a member that is a link, a device or
    outside the archive's folder.
    """
    with TemporaryDirectory(prefix="lstm-odyssey-") as name:
        folder = Path(name)
        try:
            if zipfile.is_zipfile(archive):
                _unzip(task, archive, folder)
            elif tarfile.is_tarfile(archive):
                _untar(task, archive, folder)
            else:
                raise CorpusError(f"task {task!r}: {archive} is no archive that can be read; expected .tar.* or .zip.")
        except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError) as error:
            raise CorpusError(
                f"task {task!r}: {archive} is damaged ({type(error).__name__}: {error}). Get it again."
            ) from None
        yield folder


def _untar(task: str, archive: Path, folder: Path) -> None:
    total = 0
    with tarfile.open(archive) as tar:
        for member in tar:
            if not member.isdir() and not member.isreg():
                raise _hostile(task, archive, member.name, "a link or a device")
            _check(task, archive, member.name)
            total = _count(task, archive, total, member.size)
            tar.extract(member, folder, filter="data")


def _unzip(task: str, archive: Path, folder: Path) -> None:
    total = 0
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            if stat.S_ISLNK(member.external_attr >> 16):
                raise _hostile(task, archive, member.filename, "a link")
            _check(task, archive, member.filename)
            total = _count(task, archive, total, member.file_size)
            target = folder / member.filename
            if member.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with packed.open(member) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file)


def _check(task: str, archive: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[:1]:
        raise _hostile(task, archive, name, "outside its folder")


def _count(task: str, archive: Path, total: int, size: int) -> int:
    if total + size > MAX_BYTES:
        raise CorpusError(f"task {task!r}: {archive} unpacks to more than {MAX_BYTES} bytes; it is not the corpus.")
    return total + size


def _hostile(task: str, archive: Path, member: str, what: str) -> CorpusError:
    return CorpusError(
        f"task {task!r}: {archive} has the member {member!r}, {what}; expected files inside it only. The archive may be "
        "hostile: get the original."
    )
