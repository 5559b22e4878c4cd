"""Unpacks what a corpus needs of a .deb, a .tar.gz or a .zip, and nothing outside the folder it is given.

A member whose name leaves the archive's root, and one that is wanted and no regular file (a link, a device), end it all: such
an archive is not the corpus. tarfile's filter ``data`` is the second wall.
"""

from __future__ import annotations

import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.tasks.files import locate

Wanted = Callable[[str], bool]
"""Whether a member's name is one to unpack."""
AR = b"!<arch>\n"
BROKEN = (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, OSError, ValueError, RuntimeError)


MAX_BYTES = 4 * 2**30
"""All files of an archive that is unpacked whole may not be larger than this."""


@contextmanager
def unpacked_folder(archive: Path) -> Iterator[Path]:
    """A folder for what is unpacked of an archive; it is gone afterwards, so errors name the archive in its place."""
    with TemporaryDirectory(prefix="lstm-odyssey-") as name:
        try:
            yield Path(name)
        except CorpusError as error:
            raise CorpusError(str(error).replace(name, str(archive))) from None


@contextmanager
def unpacked(task: str, archive: Path) -> Iterator[Path]:
    """A folder with all files of a .tar, .tar.gz, .tar.xz, .tar.bz2 or .zip; it is gone afterwards.

    Errors: `CorpusError` if it is none of these, is damaged or too large, or has a member that is not to be trusted.
    """
    with unpacked_folder(archive) as folder:
        try:
            with locate.opened(task, archive) as file:
                is_zip = zipfile.is_zipfile(file)
                file.seek(0)
                is_tar = not is_zip and tarfile.is_tarfile(file)
        except BROKEN as error:  # the beginning of a truncated one is unpacked to see what it is
            raise _broken(f"task {task!r}: {archive}", error) from None
        if not is_zip and not is_tar:
            raise CorpusError(f"task {task!r}: {archive} is no archive that can be read; expected .tar.* or .zip.")
        unpack = unpack_zip if is_zip else unpack_tar
        unpack(task, archive, folder, lambda member: True, MAX_BYTES)
        yield folder


class Part(io.RawIOBase):
    """``size`` bytes of a file from where it stands, as a file of their own."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.left = file, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]  # a Buffer, 3.12's name
        content = self.file.read(min(len(view), self.left))
        view[: len(content)] = content
        self.left -= len(content)
        return len(content)


def is_deb(task: str, path: Path) -> bool:
    """Whether a file is an ar archive, as every .deb is. Errors: `CorpusError` if it cannot be read."""
    with locate.opened(task, path) as file:
        return file.read(len(AR)) == AR


def unpack_deb(task: str, path: Path, folder: Path, wanted: Wanted, max_bytes: int) -> int:
    """Unpack the wanted members of a .deb's data; returns how many.

    Args:
        max_bytes: what is unpacked may not be larger.

    Errors: `CorpusError`, which names the file.
    """
    where = f"task {task!r}: {path}"
    with locate.opened(task, path) as file:
        file.seek(len(AR))
        while len(head := file.read(60)) == 60:
            name, size = head[:16].decode("latin-1").strip().rstrip("/"), head[48:58].decode("latin-1").strip()
            if head[58:] != b"`\n" or not size.isdigit():
                break
            if name.startswith("data.tar"):
                if name.endswith(".zst"):
                    raise CorpusError(
                        f"{where} is compressed with zstd; expected xz, gz or bz2. Run dpkg-deb -x FILE FOLDER and pass "
                        "the folder."
                    )
                return _untar(where, Part(file, int(size)), folder, wanted, max_bytes)
            file.seek(int(size) + int(size) % 2, io.SEEK_CUR)
    raise CorpusError(f"{where} has no data.tar; expected a Debian package. Get the original file.")


def unpack_tar(task: str, path: Path, folder: Path, wanted: Wanted, max_bytes: int) -> int:
    """The same of a .tar, compressed or not."""
    with locate.opened(task, path) as file:
        return _untar(f"task {task!r}: {path}", file, folder, wanted, max_bytes)


def unpack_zip(task: str, path: Path, folder: Path, wanted: Wanted, max_bytes: int) -> int:
    """The same of a .zip."""
    where = f"task {task!r}: {path}"
    count = 0
    try:
        with locate.opened(task, path) as file, zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                _check_name(where, member.filename)
                if member.is_dir() or not wanted(member.filename):
                    continue
                if (member.external_attr >> 16) & 0o170000 == 0o120000:
                    raise _hostile(where, member.filename, "a link")
                max_bytes -= member.file_size
                _check_size(where, max_bytes)
                archive.extract(member, folder)
                count += 1
    except BROKEN as error:
        raise _broken(where, error) from None
    return count


def _untar(where: str, file: BinaryIO | Part, folder: Path, wanted: Wanted, max_bytes: int) -> int:
    count = 0
    try:
        with tarfile.open(fileobj=io.BufferedReader(file) if isinstance(file, Part) else file, mode="r|*") as archive:
            for member in archive:
                _check_name(where, member.name)
                if member.isdir() or not wanted(member.name):
                    continue
                if not member.isreg():
                    raise _hostile(where, member.name, "no regular file")
                max_bytes -= member.size
                _check_size(where, max_bytes)
                archive.extract(member, folder, set_attrs=False, filter="data")
                count += 1
    except BROKEN as error:
        raise _broken(where, error) from None
    return count


def _check_name(where: str, name: str) -> None:
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
        raise _hostile(where, name, "outside the archive's root")


def _check_size(where: str, left: int) -> None:
    if left < 0:
        raise CorpusError(f"{where} unpacks to more than the corpus has. Get the original file.")


def _hostile(where: str, name: str, reason: str) -> CorpusError:
    return CorpusError(
        f"{where} has the member {name[:200]!r}, which is {reason}; expected plain files. The file is not the corpus, and may "
        "be hostile: delete it, and get the original."
    )


def _broken(where: str, error: BaseException) -> CorpusError:
    if isinstance(error, CorpusError):
        return error
    return CorpusError(f"{where} cannot be unpacked ({type(error).__name__}: {error}). Get the original file again.")
