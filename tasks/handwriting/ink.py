"""From strokes to a corpus: what the tasks of the family ``handwriting`` share.

A line is a list of strokes, a stroke the points (x, y, t) of a pen that is down; y grows downwards, t is in
milliseconds. Its features at every kept point are

    Δx, Δy     the way from the kept point before, pen up or down; 0 at the line's first
    t          milliseconds since the stroke's first point
    lift       1 on a stroke's last point, else 0

as whole numbers. Every second point of a stroke is kept, counted from its last, so that no pen-lift is lost. Δx, Δy and
t are then brought to mean 0 and variance 1 by the numbers of the training frames; lift stays 0 or 1. The sums for this
are sums of whole numbers, which are exact: a corpus has the same bits on every machine.

Source of the four features: Greff et al. 2017, section III.B. That t is counted in milliseconds and that lift is not
normalised are readings of ours.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_odyssey.tasks.declare import CorpusError, Pair
from lstm_odyssey.tasks.files.cache import SPLITS, Assembled

CHARACTERS = tuple(string.ascii_lowercase + string.ascii_uppercase + string.digits + " !\"#&'()*+,-./[]:;?")
"""The 81 characters of IAM-OnDB."""

NORMALISED = 3
"""So many of the four features, from the first, are brought to mean 0 and variance 1."""

LARGEST = 2**20
"""A feature may not be larger than this in size, so that sums of squares of any corpus fit in 64 bits."""


class Line(NamedTuple):
    """A line's ``features``, int32 [T, 4], its ``text`` and, where known, its writer; ``name`` is what an error calls it."""

    name: str
    features: NDArray[np.int32]
    text: str
    writer: str = ""


def every_second(strokes: Iterable[NDArray[Any]]) -> list[NDArray[Any]]:
    """Every second point of each stroke, counted from its last.

    Example:
        >>> every_second([np.arange(5), np.arange(4), np.arange(1)])
        [array([0, 2, 4]), array([1, 3]), array([0])]
    """
    return [stroke[(len(stroke) - 1) % 2 :: 2] for stroke in strokes]


def features(where: str, points: NDArray[Any], lengths: ArrayLike, started: ArrayLike) -> NDArray[np.int32]:
    """The features of a line, int32 [T, 4].

    Args:
        where: what an error begins with.
        points: whole numbers x, y, t of the kept points, [T, 3], stroke after stroke.
        lengths: how many kept points each stroke has, at least 1.
        started: t of each stroke's first point, kept or not.

    Errors: `CorpusError` if a difference is larger than any pen's.
    """
    ends = np.cumsum(lengths)
    found = np.zeros((len(points), 4), np.int64)
    found[1:, :2] = np.diff(points[:, :2], axis=0)
    found[:, 2] = points[:, 2] - np.repeat(np.asarray(started), np.asarray(lengths))
    found[ends - 1, 3] = 1
    if len(found) and np.abs(found).max() > LARGEST:
        raise CorpusError(
            f"{where}: two points are {np.abs(found[:, :2]).max()} units or {np.abs(found[:, 2]).max()} ms apart; expected "
            f"at most {LARGEST}. The file is damaged: get it again, or leave it out."
        )
    return found.astype(np.int32)


def encode(where: str, text: str, characters: Sequence[str] = CHARACTERS) -> NDArray[np.int64]:
    """The indices of a text's characters.

    Errors: `CorpusError` for a character that is not among ``characters``, and for an empty text.
    """
    index = {character: position for position, character in enumerate(characters)}
    if unknown := sorted(set(text) - set(characters)):
        raise CorpusError(
            f"{where}: the text {text!r} has {', '.join(map(repr, unknown))}; expected only the {len(characters)} characters "
            f"{''.join(characters)!r}. Correct the transcript, or leave the line out."
        )
    if not text:
        raise CorpusError(f"{where}: the text is empty; expected at least one character. Leave the line out.")
    return np.array([index[character] for character in text], np.int64)


def needed(text: str) -> int:
    """Frames that CTC needs for a text: one a character and one more between equal neighbours.

    Example:
        >>> needed("hello")
        6
    """
    return len(text) + sum(a == b for a, b in pairwise(text))


def normalisation(lines: Sequence[Line]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of the first three features over all frames, each the nearest float64 to the true one."""
    count = sum(len(line.features) for line in lines)
    mean, deviation = np.zeros(NORMALISED), np.ones(NORMALISED)
    for column in range(NORMALISED):
        values = [line.features[:, column].astype(np.int64) for line in lines]
        total, squares = (sum(int(each.sum()) for each in part) for part in (values, [each * each for each in values]))
        mean[column] = total / count
        if spread := count * squares - total * total:
            deviation[column] = math.sqrt(spread / count**2)
    return mean, deviation


def assembled(
    where: str,
    splits: Mapping[str, Sequence[Line]],
    provenance: str,
    warnings: Sequence[str] = (),
    characters: Sequence[str] = CHARACTERS,
    unseen_texts: str = "",
) -> Assembled:
    """The corpus of three splits of lines. Lines too short for CTC are left out, and counted in a warning.

    Args:
        where: what an error begins with, unless with a line's name.
        splits: the lines.
        provenance, warnings: as of `Corpus`.
        characters: its labels.
        unseen_texts: name of the subset of the lines that `unseen` finds, if there are any; none is made without a name.

    Errors: `CorpusError` for a split without a line that can be read; as `encode` when the pieces are made.
    """
    possible = {split: [line for line in splits[split] if len(line.features) >= needed(line.text)] for split in SPLITS}
    short = {split: len(splits[split]) - len(possible[split]) for split in SPLITS}
    told = list(warnings)
    if any(short.values()):
        counts = ", ".join(f"{count} of {split}" for split, count in short.items() if count)
        told.append(f"lines with fewer points than their text needs were left out: {counts}")
    for split, lines in possible.items():
        if not lines:
            raise CorpusError(
                f"{where}: {split} has no line that can be read; expected at least one. Use the whole corpus."
            )
    mean, deviation = normalisation(possible["train"])

    def pair(line: Line) -> Pair:
        found = line.features.astype(np.float64)
        found[:, :NORMALISED] = (found[:, :NORMALISED] - mean) / deviation
        return np.ascontiguousarray(found, np.float32), encode(line.name, line.text, characters)

    apart = unseen(possible) if unseen_texts else ()
    writers = {split: {line.writer for line in lines} for split, lines in possible.items()}
    return Assembled(
        {split: [len(line.features) for line in lines] for split, lines in possible.items()},
        lambda: (pair(line) for split in SPLITS for line in possible[split]),
        tuple(characters), tuple(told), provenance,
        targets={split: [len(line.text) for line in lines] for split, lines in possible.items()},
        recorded=(np.append(mean, 0.0), np.append(deviation, 1.0)),
        subsets={unseen_texts: apart} if apart else {},
        people={} if "" in set().union(*writers.values()) else {split: len(found) for split, found in writers.items()},
    )  # fmt: skip


def unseen(splits: Mapping[str, Sequence[Line]]) -> tuple[int, ...]:
    """The test lines of more words than one whose text is none of training's; a word is of letters and digits.

    Where texts were written by several people, the error on these is what a net makes of words it has not learnt by heart.
    """
    known = {line.text for line in splits["train"]}
    return tuple(
        index
        for index, line in enumerate(splits["test"])
        if line.text not in known and len(re.findall(r"\w+", line.text)) > 1
    )
