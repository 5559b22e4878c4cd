"""Points: a study whose hyperparameters are the rows of a file in place of draws.

Trial k takes row k, in every variant and task; a column ``variant`` or ``task`` keeps a row for one of them, and trial k of a
cell is then the k-th row that is for it. A hyperparameter that is not needed and has no column, or an empty cell, is what the
protocol says. The seed decides weights, order and noise only. The rows themselves and their hash stand in study.json, so that
a study goes on without the file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lstm_odyssey.plugins.paths import expanded
from lstm_odyssey.study.asked.settings import SettingsError
from lstm_odyssey.tasks.nearest import nearest
from lstm_odyssey.training.hyperparameters import HYPERPARAMETERS, KNOWN, Trainable, trainable
from lstm_odyssey.training.random_streams import digest

PLACES = ("variant", "task")
"""Columns that say for what a row is; an empty cell is for all."""
COLUMNS = (*PLACES, *KNOWN)
DELIMITERS = ",;\t"
LARGEST = 64 * 1024 * 1024
"""Bytes of a file beyond which it is no list of points."""

Points = dict[str, Any]
Row = dict[str, Any]


def read(path: str | Path) -> Points:
    """The points of a CSV file in the form in which study.json holds them: ``file``, ``sha256``, ``rows``.

    The first line names the columns: each hyperparameter once, and ``variant`` and ``task`` if wanted. Columns are separated
    by comma, semicolon or tab; numbers have a decimal point.

    Raises:
        SettingsError: the file cannot be read, a column is missing, unknown or there twice, or a value is none that a training
            takes; the line is named.
    """
    place = expanded(path)
    if not place.is_file():
        raise SettingsError(f"--points: {place} is no file; expected a CSV file of hyperparameters. Check the path.")
    if place.stat().st_size > LARGEST:
        raise SettingsError(f"--points: {place} has {place.stat().st_size:,} bytes; expected at most {LARGEST:,}.")
    try:
        text = place.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"--points: {place} cannot be read as UTF-8 text ({error}). Save it as CSV in UTF-8."
        ) from None
    head = text.lstrip().split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=head.count)
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        table = [(lines.line_num, [cell.strip() for cell in line]) for line in lines if any(map(str.strip, line))]
    except csv.Error as error:
        raise SettingsError(f"--points: {place} is no CSV file ({error}). Save it as CSV in UTF-8.") from None
    if len(table) < 2:
        found = "no line" if not table else "a line of names and no row"
        raise SettingsError(f"--points: {place} has {found}; expected names of columns and a row for each trial.")
    columns = table[0][1]
    _check_columns(place, columns)
    rows = [_row(f"{place}, line {number}", columns, cells) for number, cells in table[1:]]
    return {"file": place.name, "sha256": digest(rows), "rows": rows}


def _check_columns(place: Path, columns: Sequence[str]) -> None:
    expected = f"columns {', '.join(HYPERPARAMETERS)}, and variant and task if wanted"
    for name in columns:
        if name not in PLACES and trainable(name) is None:
            raise SettingsError(
                f"--points: {place} has a column '{name}'; expected one of {nearest(name, COLUMNS)}. Correct it."
            )
        if columns.count(name) > 1:
            raise SettingsError(f"--points: {place} has column '{name}' twice; expected {expected}, each once.")
    missing = [name for name in HYPERPARAMETERS if name not in columns]
    if missing:
        raise SettingsError(f"--points: {place} has no column {', '.join(missing)}; expected {expected}.")


def _row(where: str, columns: Sequence[str], cells: Sequence[str]) -> Row:
    if len(cells) != len(columns):
        raise SettingsError(f"--points: {where}: {len(cells)} values; expected {len(columns)}, one a column.")
    texts = dict(zip(columns, cells, strict=True))
    row: Row = {name: texts[name] for name in PLACES if texts.get(name)}
    for name in dict.fromkeys((*HYPERPARAMETERS, *columns)):
        if name in PLACES or (not texts[name] and name not in HYPERPARAMETERS):
            continue
        text, takes = texts[name], trainable(name)
        assert takes is not None
        try:
            value = _value(text, takes)
        except ValueError:
            point = " The decimal sign is a point." if "," in text else ""
            raise SettingsError(f"--points: {where}: {name} is {text!r}; expected {takes.words}.{point}") from None
        if not takes.takes(value):
            raise SettingsError(f"--points: {where}: {name} is {text}; expected {takes.words}.")
        row[name] = int(value) if takes.whole else value
    return row


def _value(text: str, takes: Trainable) -> Any:
    """The number or truth value that a cell holds; ValueError where a number is meant and it holds none."""
    if takes.truth:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    return float(text.replace("_", "?"))  # float() takes 1_000, which no other program does


def check(points: Any) -> None:
    """Raise ValueError with what is wrong with stored points."""
    if not isinstance(points, Mapping) or not isinstance(points.get("rows"), list) or not points["rows"]:
        raise ValueError("points hold no rows")
    for number, row in enumerate(points["rows"]):
        if not isinstance(row, Mapping) or not set(HYPERPARAMETERS) <= set(row):
            raise ValueError(f"row {number} of points is {row!r}")
        for name, value in row.items():
            takes = trainable(name)
            if name not in PLACES and takes is None:
                raise ValueError(f"row {number} of points is {row!r}")
            sound = takes.takes(value) if takes is not None else isinstance(value, str) and value
            if not sound or (takes is not None and takes.whole and not isinstance(value, int)):
                raise ValueError(f"{name} of row {number} of points is {value!r}")
    if not isinstance(points.get("file"), str) or points.get("sha256") != digest(points["rows"]):
        raise ValueError("the rows of points have another sha256 than points say")


def names(points: Points, place: str) -> tuple[str, ...]:
    """The variants or tasks that rows name, each once."""
    return tuple(dict.fromkeys(row[place] for row in points["rows"] if place in row))


def hyperparameters(points: Points) -> tuple[str, ...]:
    """The hyperparameters that rows give, each once."""
    return tuple(dict.fromkeys(name for row in points["rows"] for name in row if name not in PLACES))


def rows(points: Points, task: str, variant: str) -> list[Row]:
    """The hyperparameters of a cell's trials, in their order."""
    wanted = {"task": task, "variant": variant}
    return [
        {name: value for name, value in row.items() if name not in PLACES}
        for row in points["rows"]
        if all(row.get(place, name) == name for place, name in wanted.items())
    ]


def count(points: Points, tasks: Iterable[str], variants: Iterable[str]) -> int:
    """How many rows each cell has.

    Raises:
        SettingsError: a cell has none, or not all have as many.
    """
    variants = list(variants)
    found = {(task, variant): len(rows(points, task, variant)) for task in tasks for variant in variants}
    most = max(found, key=lambda cell: found[cell])
    fewest = min(found, key=lambda cell: found[cell])
    if found[fewest] < found[most]:
        raise SettingsError(
            f"--points: {points['file']} has {_words(found[fewest])} for '{fewest[1]}' on '{fewest[0]}' and {found[most]} for "
            f"'{most[1]}' on '{most[0]}'; expected as many for each. Complete the file, or name what it is for."
        )
    if not found[most]:
        named = {place: ", ".join(names(points, place)) for place in PLACES}
        said = " and ".join(f"{place} {listed}" for place, listed in named.items() if listed)
        raise SettingsError(
            f"--points: {points['file']} has no row for '{most[1]}' on '{most[0]}'; its rows are for {said}."
        )
    return found[most]


def _words(number: int) -> str:
    return str(number) if number else "no row"
