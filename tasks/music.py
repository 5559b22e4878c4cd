"""Polyphonic music as a piano roll: what the tasks of the family ``music`` share.

A piece is a list of frames, a frame a collection of MIDI numbers. Its roll x is 0/1, [T, 88], column = number - 21
(A0 to C8). A piece of T frames is the pair (x_1..x_{T-1}, x_2..x_T): at every frame the next one is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_odyssey.tasks.declare import Corpus, CorpusError, Pair

LOWEST, KEYS = 21, 88
MAX_FRAMES = 1_000_000
"""All pieces of a corpus together may not be longer; a roll takes 352 bytes a frame."""


def roll(where: str, frames: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """The roll of a piece, float32 [T, 88], 0/1.

    Errors: `CorpusError` if a note is not an integer on the keyboard; the message starts with ``where``.
    """
    notes = np.zeros((len(frames), KEYS), dtype=np.float32)
    for t, chord in enumerate(frames):
        for note in chord:
            if isinstance(note, bool) or not isinstance(note, int | np.integer) or not LOWEST <= note < LOWEST + KEYS:
                raise CorpusError(
                    f"{where}: frame {t} has the note {note!r}; expected MIDI numbers from {LOWEST} to "
                    f"{LOWEST + KEYS - 1}. Use the original file."
                )
            notes[t, int(note) - LOWEST] = 1
    return notes


def pair(where: str, frames: Sequence[Sequence[int]]) -> Pair:
    """(x_1..x_{T-1}, x_2..x_T) of a piece, two views of one roll; T >= 2."""
    if len(frames) < 2:
        raise CorpusError(f"{where}: the piece has {len(frames)} frames; expected at least 2. Leave it out.")
    notes = roll(where, frames)
    return notes[:-1], notes[1:]


def corpus(where: str, splits: Mapping[str, Sequence[Any]], provenance: str, warnings: Sequence[str] = ()) -> Corpus:
    """The corpus of three splits of pieces.

    Errors: `CorpusError`, which starts with ``where`` and names the piece, if a part has not the form described above.
    """
    try:
        n_frames = sum(len(piece) for pieces in splits.values() for piece in pieces)
        if n_frames > MAX_FRAMES:
            raise CorpusError(
                f"{where}: {n_frames} frames in all; expected at most {MAX_FRAMES}. Use the original file."
            )
        train, valid, test = (
            tuple(pair(f"{where}: {name}[{index}]", piece) for index, piece in enumerate(splits[name]))
            for name in ("train", "valid", "test")
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise CorpusError(
            f"{where}: not three splits of lists of frames ({type(error).__name__}: {error}). Use the original file."
        ) from None
    return Corpus(train, valid, test, warnings=tuple(warnings), provenance=provenance)
