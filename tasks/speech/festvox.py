"""A festvox voice: ``wav/NAME.wav`` and ``lab/NAME.lab`` of one speaker, as CMU ARCTIC's voices are distributed.

    x_t in R^39 of every 10 ms: 12 MFCC and log energy, Δ, ΔΔ, standardised on train (see ``features``, ``assemble``)
    score = 100 Σ [argmax_k l_tk != phone(t)] / Σ frames      frame error, %

Any such folder: ``odyssey run --tasks festvox --data festvox=PATH``. Two voices are two corpora, whose scores may not be
compared. The phones are those that occur. Utterances in the order of sha256(name): the first 80 % train, the next 10 %
valid, the rest test; cut at pauses of 150 ms or more.

Source: A. W. Black, K. A. Lenzo, "Building Synthetic Voices", http://festvox.org; J. Kominek, A. W. Black, "The CMU Arctic
speech databases", SSW5, 2004: 18 voices of about 1,130 (some 593) sentences, labelled by machine.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path

from lstm_odyssey.tasks.declare import PAPER_SPACE, Corpus, CorpusError, Task
from lstm_odyssey.tasks.files import cache, locate
from lstm_odyssey.tasks.files.cache import Assembled
from lstm_odyssey.tasks.speech import transcripts
from lstm_odyssey.tasks.speech.assemble import assemble
from lstm_odyssey.tasks.speech.recordings import Recording, utterances

URL = "http://festvox.org/cmu_arctic/"
SILENCES = ("pau", "sil", "ssil", "SIL", "h#", "H#", "#")
"""What voices call a pause; the first that occurs is the corpus's."""
DEPTH = 8

Splitter = Callable[[Sequence[str]], dict[str, str]]


def split(names: Sequence[str]) -> dict[str, str]:
    """Name -> split, 80/10/10, in the order of the sha256 of a name."""
    ordered = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    first, second = len(ordered) * 8 // 10, len(ordered) * 9 // 10
    parts = {"train": ordered[:first], "valid": ordered[first:second], "test": ordered[second:]}
    return {name: part for part, members in parts.items() for name in members}


def voice(task: str, folder: Path) -> Path:
    """The one folder at or below ``folder`` that has ``wav`` and ``lab``; links are not followed.

    Errors: `CorpusError` if there is none, or more than one.
    """
    found = []
    for place, below, _ in os.walk(folder):
        if {"wav", "lab"} <= set(below):
            found.append(Path(place))
            below.clear()
        elif len(Path(place).relative_to(folder).parts) >= DEPTH:
            below.clear()
    if not found:
        raise CorpusError(
            f"task {task!r}: {folder} has no folder with wav/ and lab/; expected a festvox voice. Pass --data {task}=FOLDER."
        )
    if len(found) > 1:
        listed = ", ".join(str(each.relative_to(folder)) for each in sorted(found)[:5])
        raise CorpusError(
            f"task {task!r}: {folder} has {len(found)} voices: {listed}; expected one. Pass the folder of one of them."
        )
    return found[0]


def pairs(task: str, folder: Path, splitter: Splitter) -> tuple[list[Recording], list[str]]:
    """The recordings of a voice, in the order of their names, and a warning if some have no partner.

    Errors: `CorpusError` if none has.
    """
    sounds, labels = (
        {
            path.stem: path
            for path in sorted((folder / kind).iterdir())
            if path.suffix.lower() == f".{kind}" and not path.name.startswith("._")  # macOS's notes on a file
        }
        for kind in ("wav", "lab")
    )
    both = sorted(set(sounds) & set(labels))
    if len(both) < 3:
        raise CorpusError(
            f"task {task!r}: {folder} has {len(sounds)} wav and {len(labels)} lab files, {len(both)} of one name; expected at "
            "least 3. Pass the folder of a whole voice."
        )
    alone = sorted(set(sounds) ^ set(labels))
    more = f"{', '.join(alone[:5])}{' and others' if len(alone) > 5 else ''}"
    warnings = [f"{len(alone)} utterances have only a wav or only a lab file and are left out: {more}"] if alone else []
    splits = splitter(both)
    return [Recording(splits[name], name, sounds[name], labels[name]) for name in both], warnings


def prepare(
    task: str, recordings: Sequence[Recording], warnings: Sequence[str], provenance: str, rate: int | None = None
) -> Assembled:
    """Features and labels of a voice, computed. Errors: see `transcripts.lab` and `recordings.utterance`."""
    read = [transcripts.lab(task, each.transcript) for each in recordings]
    phones = {phone for segments in read for _, _, phone in segments}
    silence = next((name for name in SILENCES if name in phones), SILENCES[0])
    classes = tuple(sorted(phones | {silence}))
    if len(classes) > 256:
        raise CorpusError(
            f"task {task!r}: {len(classes)} different phones; expected at most 256. Is it a folder of labels?"
        )
    found = list(utterances(task, recordings, read, classes, silence, rate))
    return assemble(task, found, classes, provenance, warnings, pause=classes.index(silence))


def load_folder(task: str, folder: Path, splitter: Splitter, warn: Callable[[int], list[str]] | None = None) -> Corpus:
    """The corpus of the voice at or below ``folder``, from the cache where it has been computed."""
    place = voice(task, folder)
    recordings, warnings = pairs(task, place, splitter)
    warnings += warn(len(recordings)) if warn else []
    files = [file for each in recordings for file in (each.sound, each.transcript)]
    provenance = f"{place.name}, a festvox voice of {len(recordings)} utterances"
    name = cache.name(task, {"warnings": warnings, "provenance": provenance}, files, place)
    return cache.kept(name, lambda: prepare(task, recordings, warnings, provenance))


def load(path: str | PathLike[str] | None = None) -> Corpus:
    """The voice in a folder that the user gives.

    Errors: `CorpusError` if none is given, or it is malformed.
    """
    given = locate.folder("festvox", path, "one with wav/ and lab/. Unpack the archive.")
    if given is None:
        raise locate.missing(
            "festvox", "no folder given; it reads any festvox voice (wav/ and lab/), as CMU ARCTIC's", URL
        )
    return load_folder("festvox", given, split)


task = Task(
    load,
    objective="frames",
    family="speech",
    bidirectional=True,
    space=PAPER_SPACE,
    url=URL,
    licence="the voice's own; CMU ARCTIC's are free for any use",
    reference='J. Kominek, A. W. Black, "The CMU Arctic speech databases", SSW5, 2004; http://festvox.org/cmu_arctic/',
)
