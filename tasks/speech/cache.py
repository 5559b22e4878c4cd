r"""Computed features on disk: one file a corpus, its checksum verified at each start, mapped into memory.

Several processes that read one file share its pages. A file is written beside its place and moved there whole, so two
processes may do so at once: both write the same bytes, and the later one takes the place of the earlier. A damaged file is
computed again. The folder may be deleted at any time.

    lstm-odyssey features 1\n        24 bytes
    blake2b of all that follows     64 hexadecimal digits
    length of the header            8 bytes, little-endian
    header                          JSON: lengths, labels, warnings, provenance; blanks up to a multiple of 64
    features                        float32, little-endian, [frames, 39]
    classes                         uint8 [frames]

The file's name holds the hash of all it was made of: the settings, this folder's sources, the version of
kaldi-native-fbank, and name, size and time of change of every file of the corpus. The last two of a place are kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from lstm_odyssey.tasks import locate
from lstm_odyssey.tasks.declare import Corpus, CorpusError
from lstm_odyssey.tasks.speech.assemble import SPLITS, Assembled, corpus
from lstm_odyssey.tasks.speech.features import WIDTH

MAGIC = b"lstm-odyssey features 1\n"
START = len(MAGIC) + 64
ALIGNED = 64


def name(task: str, recipe: Mapping[str, Any], files: Iterable[Path], root: Path) -> str:
    """The file's name for features of ``files``, all of them below ``root`` or ``root`` itself."""
    found: list[tuple[str, int, int]] = []
    for file in files:
        try:
            known = file.stat()
        except OSError as error:
            raise CorpusError(
                f"task {task!r}: {file} cannot be read ({error.strerror}). Restore it, or leave it out."
            ) from None
        found.append((file.relative_to(root).as_posix(), known.st_size, known.st_mtime_ns))
    made_of = [_sources(), _library(), dict(recipe), sorted(found)]
    text = json.dumps(made_of, sort_keys=True, default=str)
    place = root.resolve().as_posix() + (f"/{found[0][0]}" if len(found) == 1 else "")
    return f"{task}-{_hash(place)[:12]}-{_hash(text)[:24]}.features"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _sources() -> str:
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _library() -> str:
    try:
        return version("kaldi-native-fbank")
    except PackageNotFoundError:
        return ""


def folder() -> Path:
    """Where the files lie: ``features`` in the user's cache."""
    return locate.cache_folder() / "features"


def kept(file_name: str, make: Callable[[], Assembled]) -> Corpus:
    """The corpus of a file of the cache; made, and stored there, if there is none.

    Where the folder cannot be written to, a warning says so and the corpus is kept in memory.
    """
    path = folder() / file_name
    if (found := read(path)) is not None:
        return found
    made = make()
    try:
        write(path, made)
    except OSError as error:
        warnings.warn(f"features are not kept: {path} cannot be written ({error.strerror})", stacklevel=2)
        return corpus(made)
    _forget_older(path)
    return read(path) or corpus(made)


def _forget_older(path: Path) -> None:
    """Keep the last two files of a corpus at one place: each change of a source or a version makes another."""
    ours = f"{path.name.rpartition('-')[0]}-*.features"
    with contextlib.suppress(OSError):  # another process may be doing the same
        for older in sorted(path.parent.glob(ours), key=lambda each: each.stat().st_mtime_ns)[:-2]:
            older.unlink(missing_ok=True)


def write(path: Path, made: Assembled) -> None:
    """Store the corpus at ``path``, whole or not at all. Errors: OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    told = {
        "lengths": {split: list(made.lengths[split]) for split in SPLITS},
        "labels": made.labels,
        "warnings": made.warnings,
        "provenance": made.provenance,
    }
    header = json.dumps(told).encode()
    header += b" " * (-(START + 8 + len(header)) % ALIGNED)
    descriptor, partly = tempfile.mkstemp(prefix=f"{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            digest = hashlib.blake2b(digest_size=32)

            def put(content: bytes) -> None:
                digest.update(content)
                file.write(content)

            file.write(MAGIC + bytes(64))
            put(len(header).to_bytes(8, "little") + header)
            classes = []
            for features, labels in made.pieces():
                put(features.astype("<f4").tobytes())
                classes.append(labels.tobytes())
            put(b"".join(classes))
            file.seek(len(MAGIC))
            file.write(digest.hexdigest().encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(partly, path)
    except BaseException:
        Path(partly).unlink(missing_ok=True)
        raise


def read(path: Path) -> Corpus | None:
    """The stored corpus, its arrays mapped and private to this process; None if there is none or it is damaged."""
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except (OSError, ValueError):  # an empty file cannot be mapped
        return None
    view = memoryview(mapped)
    digest = hashlib.blake2b(view[START:], digest_size=32).hexdigest().encode()
    if view[: len(MAGIC)] != MAGIC or view[len(MAGIC) : START] != digest:
        return None
    length = int.from_bytes(view[START : START + 8], "little")
    told = json.loads(bytes(view[START + 8 : START + 8 + length]))
    lengths = {split: told["lengths"][split] for split in SPLITS}
    frames = sum(map(sum, lengths.values()))
    offset = START + 8 + length
    features = np.frombuffer(mapped, "<f4", frames * 3 * WIDTH, offset).reshape(frames, 3 * WIDTH)
    classes = np.frombuffer(mapped, np.uint8, frames, offset + features.nbytes)
    stored = Assembled(lengths, lambda: iter(()), tuple(told["labels"]), tuple(told["warnings"]), told["provenance"])
    return corpus(stored, features.astype(np.float32, copy=False), classes)
