"""UNIPEN's own format: a folder or an archive of it, read as the labelled lines of its text category.

A file of ``data/8/`` names its ink and its segments:

    .INCLUDE cec/ced2.doc              a file of include/, read as if it stood here
    .SEGMENT TEXT 0-22,25-30 OK "a label"

and an included one holds the ink, after ``.COORD X Y ..`` and ``.POINTS_PER_SECOND``:

    .PEN_DOWN
    95 934
    87 934
    .PEN_UP

A *component* is a ``.PEN_DOWN`` or ``.PEN_UP`` block with at least one point; numbers begin with 0 and run on across
includes. Where a range ends at a point, as ``5311-5413:15``, the whole component is taken. Its writer and its rate are the
last ones named before it.

Source: Guyon et al., "UNIPEN project of on-line data exchange and recognizer benchmarks", ICPR 1994. These are strangers'
files: what leaves the folder, by a path or by a link, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.tasks.files import locate

CATEGORY = "8"
"""The category of free text."""
DEEPEST = 8
"""Includes within includes; UNIPEN's own have one level."""
MAX_INCLUDES = 10_000
"""A file of ``data/`` may not include more, whatever their depth; those of cec, hpb and lex include three at most."""
MOST_TEXTS = 8
"""A file's texts may not have more points than so often all that it has and includes; in the corpus one or two"""
MAX_BYTES = 256 * 2**20
"""A file of ``data/`` and all that it includes, each as often as it is included, may not be larger than this."""
SEGMENT = re.compile(r'TEXT\s+(?P<range>[\d,:-]+)\s+(?P<quality>\S+)\s+"(?P<label>(?:[^"\\]|\\.)*)"', re.DOTALL)


class Text(NamedTuple):
    """A labelled piece of ink: strokes [n, 2] with y upwards, points a second, its label, writer and place."""

    name: str
    writer: str
    label: str
    rate: float
    strokes: list[NDArray[np.float64]]


class _Component(NamedTuple):
    """A block of points, whether the pen was down, and what had been said before it: the rate, and how many writers."""

    down: bool
    points: NDArray[np.float64]
    rate: float
    n_writers: int


class _Ink:
    """What has been read of one file of ``data/`` and of what it includes."""

    def __init__(self) -> None:
        self.components: list[_Component] = []
        self.segments: list[re.Match[str]] = []
        self.columns: tuple[int, int, int] | None = None
        self.n_files = self.n_bytes = 0
        self.rate = 0.0
        self.writers: list[str] = []

    def writer(self, component: _Component) -> str:
        """The one named last before a component; the file's first where none had been named."""
        return self.writers[max(component.n_writers - 1, 0)] if self.writers else ""


def folder(task: str, path: Path) -> Path:
    """The folder that has ``data/8`` and ``include``: ``path``, or the only one like it in there.

    Errors: `CorpusError` if there is none.
    """
    for place in (path, *sorted(each for each in path.iterdir() if each.is_dir())):
        if (place / "data" / CATEGORY).is_dir() and (place / "include").is_dir():
            return place
    found = ", ".join(sorted(each.name for each in path.iterdir())[:5]) or "nothing"
    raise CorpusError(
        f"task {task!r}: {path} has {found}; expected UNIPEN's folders data/{CATEGORY}/ and include/. Pass the folder "
        f"train_r01_v07, an archive of it, or unipen_lines.npz, as --data {task}=PATH."
    )


def texts(task: str, root: Path, mixed: list[str]) -> Iterator[Text]:
    """Every labelled text of a folder, in the order of its files' names and of the segments in them.

    Args:
        mixed: the names of those of two writers or two rates go here; they are left out.

    Errors: `CorpusError`, which names the file.
    """
    inside = root.resolve()
    files = sorted(file for file in (root / "data" / CATEGORY).rglob("*.dat") if file.name[0] != ".")
    if not files:
        raise CorpusError(f"task {task!r}: {root / 'data' / CATEGORY} has no file *.dat. Pass the whole corpus.")
    for file in files:
        where = f"task {task!r}: {file.relative_to(root).as_posix()}"
        ink = _Ink()
        _read(where, file, inside, ink, 0)
        left = MOST_TEXTS * sum(len(part.points) for part in ink.components)
        contributor = file.relative_to(root / "data" / CATEGORY).parts[0].removesuffix(".dat")
        for segment in ink.segments:
            if segment["quality"] == "BAD":
                continue
            name = f"{where}#{segment['range']}"
            parts = [ink.components[index] for index in _components(name, segment["range"], len(ink.components))]
            parts = [part for part in parts if part.down]
            left -= sum(len(part.points) for part in parts)
            if left < 0:
                raise CorpusError(
                    f"{where}: its texts have the same ink more than {MOST_TEXTS} times; expected once or twice. The corpus "
                    "may be hostile: get the original."
                )
            if len({(ink.writer(part), part.rate) for part in parts}) > 1:
                mixed.append(name)
            elif parts:
                label = re.sub(r"\\(.)", r"\1", segment["label"].strip(), flags=re.DOTALL)
                writer, strokes = f"{contributor}/{ink.writer(parts[0])}", [part.points for part in parts]
                yield Text(name, writer, label, parts[0].rate, strokes)


def _components(name: str, ranges: str, count: int) -> Iterator[int]:
    """The numbers of a segment's components, ``0-3,7`` being 0 1 2 3 7; none occurs twice."""
    seen: set[int] = set()
    for part in ranges.split(","):
        ends = [end.split(":")[0] for end in part.split("-")]
        if not all(end.isdecimal() for end in ends) or len(ends) > 2:
            raise CorpusError(f"{name}: {part!r} is no range; expected numbers, as 0-22. Correct the file.")
        first, last = int(ends[0]), int(ends[-1])
        if not first <= last < count:
            raise CorpusError(
                f"{name}: components {first} to {last} of {count}; expected numbers from 0 to {count - 1}, in order. A file "
                "that it includes is not the original: get it again."
            )
        if twice := seen.intersection(range(first, last + 1)):
            raise CorpusError(f"{name}: component {min(twice)} occurs twice; expected each once. Get the original.")
        seen.update(range(first, last + 1))
        yield from range(first, last + 1)


def _read(where: str, file: Path, inside: Path, ink: _Ink, depth: int) -> None:
    """Read a file, and in its place those that it includes, into ``ink``."""
    if depth > DEEPEST:
        raise CorpusError(f"{where}: includes are more than {DEEPEST} deep at {file.name}; does it include itself?")
    for keyword, content in _statements(where, file, inside, ink):
        if keyword == "INCLUDE":
            _read(where, _included(where, content.strip(), inside), inside, ink, depth + 1)
        elif keyword == "SEGMENT" and depth == 0 and (segment := SEGMENT.match(content.lstrip())):
            ink.segments.append(segment)
        elif keyword == "WRITER_ID":
            ink.writers.append("_".join(content.split()))
        elif keyword == "POINTS_PER_SECOND":
            ink.rate = _rate(where, file, content)
        elif keyword == "COORD":
            names = content.split()
            if "X" not in names or "Y" not in names:
                raise CorpusError(f"{where}: .COORD {content.strip()!r} in {file.name}; expected columns X and Y.")
            ink.columns = names.index("X"), names.index("Y"), len(names)
        elif keyword in ("PEN_DOWN", "PEN_UP") and content.strip():
            points = _points(where, file, content, ink)
            ink.components.append(_Component(keyword == "PEN_DOWN", points, ink.rate, len(ink.writers)))


def _statements(where: str, file: Path, inside: Path, ink: _Ink) -> Iterator[tuple[str, str]]:
    """Keyword and content of each statement; a statement begins with a point at the beginning of a line."""
    if not file.resolve().is_relative_to(inside) or not file.is_file():
        raise CorpusError(
            f"{where}: {file.name} is a link that leaves the corpus, or no file; expected a file in {inside.name}. The "
            "corpus may be hostile: get the original."
        )
    ink.n_files += 1
    ink.n_bytes += file.stat().st_size
    if ink.n_files - 1 > MAX_INCLUDES:
        raise CorpusError(
            f"{where} includes more than {MAX_INCLUDES} files, at {file.name}; expected at most {MAX_INCLUDES}. The corpus "
            "may be hostile: get the original."
        )
    if ink.n_bytes > MAX_BYTES:
        raise CorpusError(
            f"{where} and what it includes have {ink.n_bytes} bytes, at {file.name}; expected at most {MAX_BYTES}. Get "
            "the original."
        )
    with locate.opened("unipen", file) as opened, TextIOWrapper(opened, encoding="latin-1") as text:
        content = text.read()
    for statement in re.split(r"^\.", content, flags=re.MULTILINE)[1:]:
        keyword = re.match(r"\w*", statement)[0]  # type: ignore[index]  # it matches the empty text
        yield keyword, statement[len(keyword) :]


def _included(where: str, name: str, inside: Path) -> Path:
    """The file that ``.INCLUDE name`` means; it lies in ``include/``."""
    base = inside / "include"
    file = base / name
    if not name or not file.resolve().is_relative_to(base):
        raise CorpusError(
            f"{where}: .INCLUDE {name!r} leaves the folder include/; expected a path inside it. The corpus may be hostile: "
            "get the original."
        )
    if not file.is_file():
        raise CorpusError(f"{where}: .INCLUDE {name!r} is missing from include/. Pass the whole corpus.")
    return file


def _rate(where: str, file: Path, content: str) -> float:
    try:
        rate = float(content.split(maxsplit=1)[0])
    except (ValueError, IndexError):
        rate = float("nan")
    if not 1 <= rate <= 10_000:
        raise CorpusError(
            f"{where}: .POINTS_PER_SECOND {content.strip()!r} in {file.name}; expected a number from 1 to 10000."
        )
    return rate


def _points(where: str, file: Path, content: str, ink: _Ink) -> NDArray[np.float64]:
    """The points of a component, [n, 2]."""
    x, y, width = ink.columns or (0, 1, 2)
    if not ink.rate:
        raise CorpusError(
            f"{where}: {file.name} has points before .POINTS_PER_SECOND; expected a rate. Get the original."
        )
    rows = [row for row in map(str.split, content.splitlines()) if row]
    if short := [row for row in rows if len(row) < width]:
        raise CorpusError(f"{where}: {file.name} has the point {short[0]}; expected {width} numbers. Get the original.")
    try:
        # one point of the corpus has a third number that is none of its columns
        numbers = np.array([[row[x], row[y]] for row in rows], np.float64)
    except ValueError as error:
        raise CorpusError(f"{where}: {file.name} has a point that is no number ({error}). Get the original.") from None
    if not (np.abs(numbers) < 1e9).all():
        raise CorpusError(
            f"{where}: {file.name} has a point beyond 1e9 in size; expected finite ones. Get the original."
        )
    return numbers
