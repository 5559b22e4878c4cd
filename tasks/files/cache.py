r"""Corpora that take long to read, on disk: one file each, its checksum verified at each start, mapped into memory.

Several processes that read one file share its pages. A file is written beside its place and moved there whole, so two
processes may do so at once: both write the same bytes, and the later one takes the place of the earlier. A damaged file is
computed again. The folder may be deleted at any time.

    lstm-odyssey features 2\n        24 bytes
    blake2b of all that follows     64 hexadecimal digits
    length of the header            8 bytes, little-endian
    header                          JSON: all of `Assembled` but the pieces, and what follows; blanks up to a multiple of 64
    features                        float32, little-endian, [frames, width]
    targets                         whole numbers, little-endian, of all sequences one after another

The file's name holds the hash of all it was made of: the settings, the sources of the tasks, the versions of the packages that
read corpora, and name, size and time of change of every file of the corpus. The last two of a place are kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import mmap
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstm_odyssey.tasks import extra, views
from lstm_odyssey.tasks.declare import Corpus, CorpusError, Pair
from lstm_odyssey.tasks.files import locate

MAGIC = b"lstm-odyssey features 2\n"
START = len(MAGIC) + 64
ALIGNED = 64
ABANDONED = 3600
"""Seconds after which a file that is not finished has no writer any more."""
SPLITS = ("train", "valid", "test")
NONE: Mapping[str, Any] = MappingProxyType({})


class Assembled(NamedTuple):
    """A corpus before it is in memory.

    Args:
        lengths: split -> frames of each sequence.
        pieces: makes every sequence, those of train first, then valid, then test: features [T, M] and its target.
        labels, warnings, provenance, recorded, subsets, foldings, people: as of `Corpus`.
        targets: split -> entries of each sequence's target; None: one a frame.
    """

    lengths: Mapping[str, Sequence[int]]
    pieces: Callable[[], Iterator[Pair]]
    labels: tuple[str, ...]
    warnings: tuple[str, ...]
    provenance: str
    targets: Mapping[str, Sequence[int]] | None = None
    recorded: tuple[NDArray[Any], NDArray[Any]] | None = None
    subsets: views.Subsets = NONE
    foldings: views.Foldings = NONE
    people: Mapping[str, int] = NONE


def corpus(made: Assembled, features: NDArray[np.float32] | None = None, targets: NDArray[Any] | None = None) -> Corpus:
    """The corpus, its sequences views of ``features`` [frames, M] and ``targets`` [entries]; computed where not given."""
    if features is None or targets is None:
        parts = list(made.pieces())
        features = np.concatenate([part for part, _ in parts])
        targets = np.concatenate([part for _, part in parts])
    splits: dict[str, tuple[Pair, ...]] = {}
    place = entry = 0
    for split in SPLITS:
        found = []
        for n, m in zip(made.lengths[split], (made.targets or made.lengths)[split], strict=True):
            found.append((features[place : place + n], targets[entry : entry + m]))
            place, entry = place + n, entry + m
        splits[split] = tuple(found)
    told = {name: getattr(made, name) for name in KEPT}
    return Corpus(splits["train"], splits["valid"], splits["test"], **told)


KEPT = ("labels", "warnings", "provenance", "recorded", "subsets", "foldings", "people")
"""What a corpus is beside its sequences."""


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
    for file in _modules():
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _modules() -> list[Path]:
    """All of the tasks' modules: any of them may be what reads a corpus."""
    return sorted(Path(__file__).parents[1].rglob("*.py"))


def _library() -> str:
    """The versions of the packages that read corpora."""
    found = []
    for distribution in extra.DISTRIBUTIONS.values():
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{distribution} {version(distribution)}")
    return ", ".join(found)


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
    """Keep the last two files of a corpus at one place: each change of a source or a version makes another.

    What a process that was killed had not finished goes too: a file that nobody has written to for an hour.
    """
    ours = f"{path.name.rpartition('-')[0]}-*.features"
    with contextlib.suppress(OSError):  # another process may be doing the same
        for older in sorted(path.parent.glob(ours), key=lambda each: each.stat().st_mtime_ns)[:-2]:
            older.unlink(missing_ok=True)
        for partly in path.parent.glob("*.features-*"):
            if partly.stat().st_mtime < time.time() - ABANDONED:
                partly.unlink(missing_ok=True)


def write(path: Path, made: Assembled) -> None:
    """Store the corpus at ``path``, whole or not at all. Errors: OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    pieces = made.pieces()
    first = next(pieces)
    told = {name: getattr(made, name) for name in KEPT}
    if made.recorded is not None:
        told["recorded"] = [list(map(float, each)) for each in made.recorded]
    for name in ("lengths", "targets"):
        held = getattr(made, name)
        told[name] = None if held is None else {split: [int(n) for n in held[split]] for split in SPLITS}
    told["subsets"] = {name: list(map(int, found)) for name, found in made.subsets.items()}
    told |= {"foldings": {name: dict(folding) for name, folding in made.foldings.items()}, "people": dict(made.people)}
    told |= {"width": first[0].shape[1], "dtype": first[1].dtype.newbyteorder("<").str}
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
            targets = []
            for features, target in itertools.chain([first], pieces):
                put(features.astype("<f4").tobytes())
                targets.append(target.astype(told["dtype"]).tobytes())
            put(b"".join(targets))
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
    frames, width = sum(map(sum, told["lengths"].values())), told["width"]
    entries = sum(map(sum, (told["targets"] or told["lengths"]).values()))
    offset = START + 8 + length
    features = np.frombuffer(mapped, "<f4", frames * width, offset).reshape(frames, width)
    targets = np.frombuffer(mapped, told["dtype"], entries, offset + features.nbytes)
    if told["recorded"] is not None:
        told["recorded"] = tuple(np.array(each) for each in told["recorded"])
    told = {**told, "labels": tuple(told["labels"]), "warnings": tuple(told["warnings"])}
    stored = Assembled(**{name: told[name] for name in Assembled._fields if name != "pieces"}, pieces=lambda: iter(()))
    native = targets.astype(targets.dtype.newbyteorder("="), copy=False)
    return corpus(stored, features.astype(np.float32, copy=False), native)
