"""From files to utterances: the features and the labels of every recording, computed in parallel.

A `Recording` is two paths; its transcript is read here, its sound in a worker process. Nothing of a sound is kept but its
features.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstm_odyssey.tasks.cores import cores
from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.tasks.nearest import nearest
from lstm_odyssey.tasks.speech import audio
from lstm_odyssey.tasks.speech.features import WINDOW, Segment, filled, frame_labels, mfcc, n_frames

SERIAL = 64
"""So many recordings or fewer are computed in this process: starting others takes longer."""


class Recording(NamedTuple):
    """One utterance on disk."""

    split: str
    name: str
    sound: Path
    transcript: Path


class Utterance(NamedTuple):
    """Features [T, 13] and classes [T] of one recording, T >= 2."""

    split: str
    name: str
    features: NDArray[np.float32]
    classes: NDArray[np.uint8]


def utterance(
    task: str, classes: tuple[str, ...], silence: str, rate: int | None, given: tuple[Recording, list[Segment]]
) -> tuple[Utterance, int]:
    """Features and classes of one recording, and its rate in Hz.

    Errors: `CorpusError`, which names the file: see `audio.read`; another rate than ``rate``; a sound shorter than two
    frames; a transcript that ends later than its sound.
    """
    recording, segments = given
    samples, found = audio.read(task, recording.sound)
    where = f"task {task!r}: {recording.sound}"
    if rate is not None and found != rate:
        raise CorpusError(
            f"{where} has {found} samples a second; expected {rate}. Use the original file, or resample it."
        )
    frames, seconds = n_frames(len(samples), found), len(samples) / found
    if frames < 2:
        raise CorpusError(
            f"{where} has {len(samples)} samples; expected at least two windows of 25 ms. Leave the utterance out."
        )
    end = segments[-1][1]
    if end > seconds + WINDOW:
        raise CorpusError(
            f"task {task!r}: {recording.transcript} ends at {end:.3f} s, {recording.sound.name} at {seconds:.3f} s; expected "
            "the transcript of this sound. Is the sound truncated? Get the original files again."
        )
    labels = frame_labels(filled(segments, seconds, silence), classes, len(samples), found)
    return Utterance(recording.split, recording.name, mfcc(task, samples, found), labels), found


def check_phones(task: str, recording: Recording, segments: Iterable[Segment], classes: Sequence[str]) -> None:
    """Raise `CorpusError` if a phone is none of the classes."""
    for _, _, phone in segments:
        if phone not in classes:
            raise CorpusError(
                f"task {task!r}: {recording.transcript} has the phone {phone!r}; expected one of {nearest(phone, classes)}. "
                "Use the original file."
            )


def utterances(
    task: str,
    recordings: Sequence[Recording],
    transcripts: Sequence[list[Segment]],
    classes: tuple[str, ...],
    silence: str,
    rate: int | None = None,
) -> Iterator[Utterance]:
    """Every recording's features and classes, in order; a bar on the terminal says how far it is.

    Args:
        classes: the phones that may occur, ``silence`` among them.
        silence: the phone of what no segment covers.
        rate: Hz; None admits any that all recordings share.

    Errors: see `utterance`.
    """
    first: tuple[int, str] | None = None
    work = partial(utterance, task, classes, silence, rate)
    given = list(zip(recordings, transcripts, strict=True))
    for found, hertz in tracked(task, in_parallel(work, given), len(given)):
        first = first or (hertz, found.name)
        if hertz != first[0]:
            raise CorpusError(
                f"task {task!r}: {found.name} has {hertz} samples a second, {first[1]} has {first[0]}; expected one rate. "
                "Resample the sounds."
            )
        yield found


def in_parallel(work: Callable[[Any], Any], given: Sequence[Any]) -> Iterator[Any]:
    """``map(work, given)`` on all cores, in order; in this process where the work is little."""
    if len(given) <= SERIAL or cores() == 1:
        yield from map(work, given)
        return
    from joblib import Parallel, delayed

    yield from Parallel(n_jobs=cores(), return_as="generator")(delayed(work)(each) for each in given)


def tracked(task: str, results: Iterator[Any], total: int) -> Iterator[Any]:
    """The results, with a bar on standard error where that is a terminal."""
    if not sys.stderr.isatty():
        yield from results
        return
    from rich.console import Console
    from rich.progress import track

    text = f"{task}: features"
    yield from track(results, text, total=total, console=Console(stderr=True), transient=True)
