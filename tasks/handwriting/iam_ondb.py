"""IAM-OnDB, the paper's handwriting corpus: lines written on a whiteboard, asked for their characters.

    features Δx, Δy, time since the stroke's start, pen-lift of a line (see ``ink``); target: its characters
    score = 100 Σ edit distance / Σ length, character error rate of the best path, %

5,355/2,956/3,859 lines of 775/408/544 forms, 81 characters. Validation joins the lists ``testset_v`` and ``testset_t``;
form a08-551z is left out, its transcript is a row of percent signs. Lines shorter than CTC needs, and files of strokes whose
text line is missing or empty, are left out and counted; other counts than these are a warning. The corpus is licensed, so
the user gives its folder:

    lineStrokes/a01/a01-020/a01-020x-01.xml      one file a line; a folder lineStrokes-all may lie above
    ascii/a01/a01-020/a01-020x.txt               after "CSR:" and an empty line, text line k is that of file k
    trainset.txt testset_v.txt testset_t.txt testset_f.txt      one form a line, anywhere in the folder

Where forms.txt or the folder original lies there too, writers are counted (see ``iam_writers``).

Source: Liwicki and Bunke, "IAM-OnDB - an on-line English sentence database acquired from handwritten text on a whiteboard",
ICDAR 2005. Departure from the paper: none known but the readings in ``ink``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_odyssey.tasks.declare import PAPER_SPACE, Corpus, CorpusError, Task
from lstm_odyssey.tasks.files import cache, locate
from lstm_odyssey.tasks.files.cache import Assembled
from lstm_odyssey.tasks.handwriting import iam_writers, ink

URL = "https://fki.tic.heia-fr.ch/databases/iam-on-line-handwriting-database"
LISTS = {"train": ("trainset",), "valid": ("testset_v", "testset_t"), "test": ("testset_f",)}
FORMS = {"trainset": 775, "testset_v": 192, "testset_t": 216, "testset_f": 544}
LINES = {"train": 5355, "valid": 2956, "test": 3859}
LEFT_OUT = ("a08-551z",)
FORM = re.compile(r"[a-z]\d\d-\d{3}[a-z]?")
MAX_BYTES = 16 * 2**20
"""A file may not be larger than this."""
DEEP = 4
"""The folders and lists are looked for so many folders deep."""
SPACE = PAPER_SPACE


def _every(root: Path, name: str) -> list[Path]:
    """All folders and files of that name, the least deep and then the first by name before the others."""
    return [place for depth in range(DEEP) for place in sorted(root.glob("*/" * depth + name))]


def _places(root: Path) -> dict[str, Path]:
    """Where strokes, texts and lists lie.

    Errors: `CorpusError`, which names all that are missing.
    """
    names = {"lineStrokes": "lineStrokes", "ascii": "ascii", **{each: f"{each}.txt" for each in FORMS}}
    found = {key: next(iter(_every(root, name)), None) for key, name in names.items()}
    if missing := [names[key] for key, place in found.items() if place is None]:
        raise CorpusError(
            f"task 'iam_ondb': {root} has no {', '.join(missing)}; expected the folders lineStrokes and ascii and the lists "
            f"{', '.join(f'{each}.txt' for each in FORMS)}. Unpack lineStrokes-all, ascii-all and task1 of {URL} into it."
        )
    return {key: place for key, place in found.items() if place is not None}


def read(file: Path) -> str:
    """A text file in ISO-8859-1.

    Errors: `CorpusError` if it cannot be read or is too large.
    """
    data = locate.bounded("iam_ondb", file, MAX_BYTES, "it is not the corpus. Get it again.", "Get it again.")
    return data.decode("latin-1")


def forms(places: dict[str, Path]) -> dict[str, list[str]]:
    """The forms of each list.

    Errors: `CorpusError` for what is no form, and for a form that is listed twice.
    """
    found: dict[str, list[str]] = {}
    seen: dict[str, str] = {}
    for name in FORMS:
        found[name] = read(places[name]).split()
        for form in found[name]:
            if not FORM.fullmatch(form):
                raise CorpusError(f"task 'iam_ondb': {places[name]}: {form!r} is no form; expected a name as a01-020x.")
            if form in seen:
                both = "twice in" if seen[form] == name else f"in {seen[form]}.txt and in"
                raise CorpusError(
                    f"task 'iam_ondb': form {form} is {both} {name}.txt; expected once. Use the original lists."
                )
            seen[form] = name
    return found


def transcript(file: Path) -> list[str]:
    """The text lines of a form.

    Errors: `CorpusError` without a line ``CSR:``.
    """
    _, marker, text = f"\n{read(file)}".replace("\r\n", "\n").partition("\nCSR:")
    if not marker:
        raise CorpusError(f"task 'iam_ondb': {file} has no line CSR:; expected the text after it. Get the file again.")
    lines = [line.strip() for line in text.split("\n")[1:]]
    while lines and not lines[0]:
        lines.pop(0)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def strokes(file: Path) -> list[NDArray[np.int64]]:
    """The strokes of a line's file: x, y and milliseconds as whole numbers, [n, 3]; y grows downwards.

    Errors: `CorpusError` for broken XML, entities, and what is no number.
    """
    where = f"task 'iam_ondb': {file}"
    content = read(file).encode("latin-1")
    with iam_writers.xml(file, "Get the file again.") as parser:
        root = parser.fromstring(content, forbid_dtd=False)
    found = [_points(where, stroke) for stroke in root.iter("Stroke")]
    if not (found := [points for points in found if len(points)]):
        raise CorpusError(f"{where} has no stroke with a point; expected StrokeSet, Stroke, Point. Get the file again.")
    return found


def _points(where: str, stroke: Any) -> NDArray[np.int64]:
    rows = []
    for point in stroke.iter("Point"):
        try:
            rows.append([float(point.attrib[name]) for name in ("x", "y", "time")])
        except (KeyError, ValueError):
            raise CorpusError(
                f"{where}: the point {dict(point.attrib)} is not numeric; expected numbers x, y and time. Get the file again."
            ) from None
    points = np.array(rows, np.float64).reshape(-1, 3)
    if not (np.abs(points) < 1e9).all():
        raise CorpusError(f"{where}: a point is beyond 1e9 in size; expected finite numbers. Get the file again.")
    return np.rint(points * [1, 1, 1000]).astype(np.int64)


def _files(places: dict[str, Path], form: str) -> list[Path]:
    """The files of a form's strokes, one a line."""
    return sorted((places["lineStrokes"] / form[:3] / form[:7]).glob(f"{form}-[0-9][0-9].xml"))


def _lines(
    places: dict[str, Path], form: str, files: list[Path], unpaired: list[str], writer: str = ""
) -> Iterator[ink.Line]:
    """The lines of a form for which there are strokes and a text.

    Args:
        places: as of `_places`.
        form: its name. files: those of `_files`, one at least.
        unpaired: takes the names of the files of strokes for whose line there is no text.
        writer: empty if it is not known.
    """
    written = places["ascii"] / form[:3] / form[:7] / f"{form}.txt"
    texts = transcript(written)
    for file in files:
        number = int(file.stem[-2:])
        if not 1 <= number <= len(texts) or not texts[number - 1]:
            unpaired.append(file.name)
            continue
        whole = strokes(file)
        kept = ink.every_second(whole)
        started = [int(stroke[0, 2]) for stroke in whole]
        where = f"task 'iam_ondb': {file}"
        ink.encode(f"task 'iam_ondb': {written}, line {number}", texts[number - 1])
        features = ink.features(where, np.concatenate(kept), list(map(len, kept)), started)
        yield ink.Line(where, features, texts[number - 1], writer)


def load(path: str | PathLike[str] | None = None) -> Corpus:
    """The corpus, from the folder that the user gives.

    Errors: `CorpusError` if none is given, or if a file in it is missing or malformed.
    """
    root = locate.folder("iam_ondb", path, "the unpacked corpus. Unpack it, and pass --data iam_ondb=FOLDER.")
    if root is None:
        raise locate.missing("iam_ondb", "no folder given; it is licensed for research, after a registration", URL)
    places = _places(root)
    files = [file for place in places.values() for file in ([place] if place.is_file() else sorted(place.rglob("*")))]
    metadata = [*_every(root, iam_writers.FORMS), *_every(root, iam_writers.ORIGINAL)]
    files = [file for file in [*files, *iam_writers.files(metadata)] if file.is_file()]
    return cache.kept(cache.name("iam_ondb", {}, files, root), lambda: _read(root, places, metadata))


def _read(root: Path, places: dict[str, Path], metadata: list[Path]) -> Assembled:
    """The lines of the lists' forms."""
    listed = forms(places)
    every = [form for each in listed.values() for form in each if form not in LEFT_OUT]
    writers = iam_writers.writers(metadata, every)
    warnings: list[str] = []
    empty: list[str] = []
    unpaired: list[str] = []
    splits: dict[str, list[ink.Line]] = {}
    for split, names in LISTS.items():
        splits[split] = []
        for form in (form for name in names for form in listed[name] if form not in LEFT_OUT):
            if files := _files(places, form):
                splits[split] += _lines(places, form, files, unpaired, writers.get(form, ""))
            else:
                empty.append(form)
    if nameless := [form for form in every if form not in writers] if metadata else []:
        warnings.append(
            f"{len(nameless)} forms of the lists have no writer, first {nameless[0]}: writers are not counted"
        )
    if empty:
        warnings.append(f"{len(empty)} forms of the lists have no file in lineStrokes, first {empty[0]}")
    if unpaired:
        warnings.append(
            f"{len(unpaired)} files of strokes have no text in their form's transcript and were left out, first {unpaired[0]}"
        )
    for what, got, usual in (
        ("forms", {name: len(each) for name, each in listed.items()}, FORMS),
        ("lines", {split: len(lines) for split, lines in splits.items()}, LINES),
    ):
        if got != usual:
            told, expected = ("/".join(f"{count:,}" for count in each.values()) for each in (got, usual))
            warnings.append(f"{told} {what}; the corpus has {expected}")
    provenance = f"IAM-OnDB, {sum(map(len, splits.values()))} lines, {URL}"
    return ink.assembled(f"task 'iam_ondb': {root}", splits, provenance, warnings)


task = Task(
    load,
    objective="ctc",
    family="handwriting",
    bidirectional=True,
    space=SPACE,
    url=URL,
    licence="for research that is not commercial, after a registration; not redistributed here",
    collection="odyssey-2017",
    reference=(
        'M. Liwicki, H. Bunke, "IAM-OnDB - an On-Line English Sentence Database Acquired from Handwritten Text on a '
        'Whiteboard", ICDAR 2005'
    ),
)
