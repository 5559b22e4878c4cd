"""Reads one sound file: RIFF, NIST SPHERE or FLAC, told apart by its first bytes, never by its name.

libsndfile (soundfile) decodes. What a header claims is compared with the file's size first: libsndfile takes a truncated
file for a shorter one, and a hostile header for a request of memory.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from lstm_odyssey.tasks import extra
from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.tasks.files import locate

MAX_SAMPLES = 2**25
"""No file may have more: 35 minutes at 16 kHz."""
MIN_RATE = 4000
"""Hz: below it speech cannot be told, and the filters of `features` have no room."""
HEADER_BYTES = 2**16
INT16 = 32768
"""libsndfile reads a 16-bit integer as itself / 32768."""


def read(task: str, path: Path) -> tuple[NDArray[np.float32], int]:
    """Samples [n] in units of a 16-bit integer, and the rate in Hz, of a file with one channel.

    Errors: `CorpusError`, which names the file, if it is of another format, truncated, too long, of several channels,
    of a rate below `MIN_RATE` or cannot be decoded, or if soundfile is not installed.
    """
    where = f"task {task!r}: {path}"
    with locate.opened(task, path) as file:
        claimed = _claimed(where, file)
    if claimed > MAX_SAMPLES:
        raise CorpusError(
            f"{where}: the header claims {claimed} samples; expected at most {MAX_SAMPLES}. Use the original file."
        )
    soundfile = extra.package(task, "soundfile")
    try:
        samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, ValueError, MemoryError) as error:
        raise CorpusError(f"{where} cannot be decoded ({error}). Use the original file.") from None
    if samples.shape[1] != 1:
        raise CorpusError(f"{where} has {samples.shape[1]} channels; expected one. Use the original file.")
    if rate < MIN_RATE:
        raise CorpusError(
            f"{where} has {rate} samples a second; expected at least {MIN_RATE}. Use the original file, or leave the "
            "utterance out."
        )
    if len(samples) < claimed:
        raise CorpusError(
            f"{where} is truncated: {len(samples)} of {claimed} samples can be decoded. Get the original file again."
        )
    if not np.isfinite(samples).all():
        raise CorpusError(f"{where} has samples that are no number; expected finite ones. Use the original file.")
    return np.ascontiguousarray(samples[:, 0] * np.float32(INT16)), int(rate)


def kind(task: str, path: Path) -> str:
    """``nist``, ``riff`` or ``flac`` by the first bytes; empty for anything else. Errors: as `locate.opened`."""
    with locate.opened(task, path) as file:
        return _kind(file.read(12))


def _kind(start: bytes) -> str:
    if start.startswith(b"NIST_1A"):
        return "nist"
    if start.startswith(b"RIFF") and start[8:12] == b"WAVE":
        return "riff"
    return "flac" if start.startswith(b"fLaC") else ""


def _claimed(where: str, file: BinaryIO) -> int:
    """Samples of one channel that the header claims; less than that in the file is an error."""
    start = file.read(12)
    found = _kind(start)
    if not found:
        raise CorpusError(
            f"{where} begins with {start[:8]!r}; expected a sound file: RIFF, NIST_1A or fLaC. Use the original file."
        )
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    measures: dict[str, Callable[[str, BinaryIO], tuple[int, int, int]]] = {"nist": _nist, "riff": _riff, "flac": _flac}
    n_samples, n_bytes, offset = measures[found](where, file)
    if offset + n_bytes > size:
        raise CorpusError(
            f"{where} is truncated: the header claims {n_samples} samples, {n_bytes} bytes from byte {offset}; the file "
            f"has {size} bytes. Get the original file again."
        )
    return n_samples


def _nist(where: str, file: BinaryIO) -> tuple[int, int, int]:
    """Samples, bytes and offset of the data of a NIST SPHERE file: a text of fields, closed by end_head."""
    text = file.read(HEADER_BYTES).decode("latin-1")
    lines = text.partition("end_head")[0].splitlines()
    fields = {words[0]: words[2] for words in (line.split(maxsplit=2) for line in lines[2:]) if len(words) == 3}
    try:
        offset = int(lines[1])
        n_samples, width = int(fields["sample_count"]), int(fields["sample_n_bytes"])
        channels = int(fields.get("channel_count", "1"))
    except (IndexError, KeyError, ValueError) as error:
        raise CorpusError(
            f"{where}: the NIST header is broken ({type(error).__name__}: {error}); expected its size, sample_count and "
            "sample_n_bytes. Use the original file."
        ) from None
    if "shorten" in fields.get("sample_coding", ""):
        raise CorpusError(
            f"{where} is compressed ({fields['sample_coding']}); expected plain samples. Convert it with sph2pipe."
        )
    if min(offset, n_samples, width, channels) < 1:
        raise CorpusError(f"{where}: the NIST header has a size below 1; expected samples. Use the original file.")
    return n_samples, n_samples * width * channels, offset


def _riff(where: str, file: BinaryIO) -> tuple[int, int, int]:
    """The same of a RIFF file: chunks of a name and a size, among them ``fmt`` before ``data``."""
    file.seek(12)
    align = 0
    while len(head := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", head)
        if name == b"fmt " and size >= 16:
            align = int.from_bytes(file.read(16)[12:14], "little")
            size -= 16
        elif name == b"data" and align:
            return size // align, size, file.tell()
        file.seek(size + size % 2, os.SEEK_CUR)
    raise CorpusError(f"{where} is truncated: it has no fmt and data chunk. Get the original file again.")


def _flac(where: str, file: BinaryIO) -> tuple[int, int, int]:
    """The same of a FLAC file, whose data may be of any size: 36 bits of STREAMINFO are the number of samples."""
    head = file.read(26)
    if len(head) < 26:
        raise CorpusError(f"{where} is truncated: {len(head)} bytes. Get the original file again.")
    return int.from_bytes(head[18:26], "big") & (2**36 - 1), 0, 26
