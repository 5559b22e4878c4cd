"""From utterances to a corpus: differences, cuts, and the mean and variance of train.

1. Δ and ΔΔ of a whole utterance, before it is cut;
2. where asked, a cut in the middle of every pause of 150 ms or more that has sound on both sides;
3. frames of a class that is masked are left out, and the utterance is cut there; of its parts, those of under 10 frames;
4. every component is moved and scaled so that over the frames of train its mean is 0 and its variance 1, in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.tasks.files.cache import SPLITS, Assembled
from lstm_odyssey.tasks.speech.features import SHIFT, WIDTH, with_differences
from lstm_odyssey.tasks.speech.recordings import Utterance

PAUSE = round(0.15 / SHIFT)
SHORTEST = 10
"""Frames."""

Piece = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""Features [T, 39] and classes [T]."""


def spans(classes: NDArray[np.uint8], pause: int | None, masked: int | None) -> list[tuple[int, int]]:
    """First frame and last + 1 of the sequences that an utterance is cut into.

    Args:
        classes: [T].
        pause: the class of pauses, where it is cut; None leaves it whole.
        masked: the class that is left out; None leaves out nothing.

    Example:
        >>> spans(np.repeat(np.uint8([1, 0, 2, 0]), [20, 16, 20, 16]), pause=0, masked=None)
        [(0, 28), (28, 72)]
        >>> spans(np.repeat(np.uint8([1, 3, 2]), [20, 4, 20]), pause=None, masked=3)
        [(0, 20), (24, 44)]
    """
    n = len(classes)
    if masked is not None:
        return [(a, b) for a, b in _runs(classes != masked) if b - a >= SHORTEST or (a, b) == (0, n)]
    pauses = [] if pause is None else _runs(classes == pause)
    cuts = [(a + b) // 2 for a, b in pauses if b - a >= PAUSE and a > 0 and b < n]
    return list(zip([0, *cuts], [*cuts, n], strict=True))


def _runs(where: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First index and last + 1 of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], where, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def assemble(
    task: str,
    utterances: Sequence[Utterance],
    labels: tuple[str, ...],
    provenance: str,
    warnings: Sequence[str] = (),
    pause: int | None = None,
    masked: int | None = None,
    speaker: Callable[[str], str] | None = None,
) -> Assembled:
    """The corpus of these utterances: see the module.

    Args:
        speaker: the speaker of an utterance by its name; None where all are of one.

    Errors: `CorpusError` if a split is empty.
    """
    places = [
        (split, index, first, last)
        for split in SPLITS
        for index, each in enumerate(utterances)
        if each.split == split
        for first, last in spans(each.classes, pause, masked)
    ]
    lengths: dict[str, list[int]] = {split: [] for split in SPLITS}
    for split, _, first, last in places:
        lengths[split].append(last - first)
    for split, found in lengths.items():
        if not found:
            raise CorpusError(
                f"task {task!r}: no utterance for {split} in {provenance}; expected one or more. Use the whole corpus."
            )
    full = np.zeros(3 * WIDTH)
    square, count = np.zeros(3 * WIDTH), sum(lengths["train"])
    for _, features in _cut(utterances, [place for place in places if place[0] == "train"]):
        full += features.sum(0, dtype=np.float64)
        square += np.square(features, dtype=np.float64).sum(0)
    mean = full / count
    deviation = np.sqrt(np.maximum(square / count - mean**2, 0))
    deviation[deviation == 0] = 1  # a component that never changes becomes 0

    def pieces() -> Iterator[Piece]:
        for (_, index, first, last), features in _cut(utterances, places):
            moved = ((features - mean) / deviation).astype(np.float32)
            yield moved, utterances[index].classes[first:last]

    people = {
        split: len({speaker(each.name) if speaker else "" for each in utterances if each.split == split})
        for split in SPLITS
    }
    return Assembled(lengths, pieces, labels, tuple(warnings), provenance, people=people)


def _cut(
    utterances: Sequence[Utterance], places: Sequence[tuple[str, int, int, int]]
) -> Iterator[tuple[tuple[str, int, int, int], NDArray[np.float32]]]:
    """Each place and its features; the differences of an utterance are computed once for all its places."""
    last, full = -1, np.zeros((0, 0), np.float32)
    for place in places:
        _, index, start, stop = place
        if index != last:
            last, full = index, with_differences(utterances[index].features)
        yield place, full[start:stop]
