"""TIMIT, the paper's speech corpus: the phone of every frame.

    x_t in R^39 of every 10 ms: 12 MFCC and log energy, Δ, ΔΔ, standardised on train (see ``features``, ``assemble``)
    score = 100 Σ [argmax_k l_tk != phone(t)] / Σ frames      frame error, %, of 61 phones

3,696/400/192 utterances of 462/50/24 speakers, 304 frames on average: train is TRAIN without the sentences SA1 and SA2,
valid the 50 speakers of the usual development set, test the 24 of the core test set. What no phone covers is h#.

The tree is ``[TIMIT/]{TRAIN,TEST}/DR1..8/SPEAKER/SENTENCE.{WAV,PHN}``, in upper, lower or mixed case. Sounds are NIST
SPHERE, as distributed, or RIFF, converted in place or beside the original (``SA1.WAV.wav``); the first bytes tell, and of
two the original is taken. The 39 classes that are often reported are ``phones.FOLDING``.

Source: J. S. Garofolo et al., LDC93S1, 1993; the development set is Halberstadt's (1998), as Kaldi's recipe lists it. Licence:
the LDC's; whoever has the corpus gives its folder.

Departure from the paper: valid has 400 utterances and test 192; one place of the paper names 192 for valid. The framework of
the authors computed its features by another program.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from lstm_odyssey.tasks.declare import PAPER_SPACE, Choice, Corpus, CorpusError, Task
from lstm_odyssey.tasks.files import cache, locate
from lstm_odyssey.tasks.files.cache import SPLITS, Assembled
from lstm_odyssey.tasks.speech import audio, transcripts
from lstm_odyssey.tasks.speech.assemble import assemble
from lstm_odyssey.tasks.speech.phones import FOLDING, TIMIT
from lstm_odyssey.tasks.speech.recordings import Recording, check_phones, utterances

URL = "https://catalog.ldc.upenn.edu/LDC93S1"
SILENCE = "h#"
FOLDED = "39 classes"
EXPECTED = {"train": (3696, 462), "valid": (400, 50), "test": (192, 24)}
"""Utterances and speakers."""
CORE = frozenset(
    (
        "MDAB0 MWBT0 FELC0 MTAS1 MWEW0 FPAS0 MJMP0 MLNT0 FPKT0 MLLL0 MTLS0 FJLM0 MBPM0 MKLT0 FNLP0 MCMJ0 MJDH0 FMGD0 "
        "MGRT0 MNJM0 FDHC0 MJLN0 MPAM0 FMLD0"
    ).split()
)
"""The speakers of test."""
DEVELOPMENT = frozenset(
    (
        "FAKS0 FDAC1 FJEM0 MGWT0 MJAR0 MMDB1 MMDM2 MPDF0 FCMH0 FKMS0 MBDG0 MBWM0 MCSH0 FADG0 FDMS0 FEDW0 MGJF0 MGLB0 "
        "MRTK0 MTAA0 MTDT0 MTHC0 MWJG0 FNMR0 FREW0 FSEM0 MBNS0 MMJR0 MDLS0 MDLF0 MDVC0 MERS0 FMAH0 FDRW0 MRCS0 MRJM4 "
        "FCAL1 MMWH0 FJSJ0 MAJC0 MJSW0 MREB0 FGJD0 FJMG0 MROA0 MTEB0 MJFC0 MRJR0 FMML0 MRWS1"
    ).split()
)
"""The speakers of valid."""
DEPTH = 3
SPEAKER = re.compile(r"[FM][A-Z]{3}\d")
NLTK = re.compile(r"dr[1-8]-[fm][a-z]{3}\d", re.IGNORECASE)


def root(given: Path) -> Path:
    """The folder that has TRAIN and TEST, at or below the one given; links are not followed.

    Errors: `CorpusError` if there is none; NLTK's sample is named as what it is.
    """
    for place, below, _ in os.walk(given):
        names = {name.upper() for name in below}
        if {"TRAIN", "TEST"} <= names:
            return Path(place)
        if any(NLTK.fullmatch(name) for name in below):
            raise CorpusError(
                f"task 'timit': {place} is NLTK's sample of TIMIT, 160 utterances of 16 speakers; expected the corpus LDC93S1, "
                f"6,300 of 630. Get it from {URL}, and pass --data timit=FOLDER."
            )
        if len(Path(place).relative_to(given).parts) >= DEPTH:
            below.clear()
        below.sort()
    raise CorpusError(
        f"task 'timit': {given} has no folder with TRAIN and TEST; expected the tree of LDC93S1. Pass --data timit=FOLDER."
    )


def recordings(top: Path) -> list[Recording]:
    """Every utterance that is used, in the order of split, speaker and sentence.

    Errors: `CorpusError` if a sound has no .PHN or a .PHN no sound, or if a speaker has two folders.
    """
    found = []
    for part in sorted(top.iterdir()):
        if part.name.upper() not in ("TRAIN", "TEST") or not part.is_dir():
            continue
        for speaker in sorted(each for region in part.iterdir() if region.is_dir() for each in region.iterdir()):
            name = speaker.name.upper()
            split = "train" if part.name.upper() == "TRAIN" else _held_out(name)
            if split and SPEAKER.fullmatch(name) and speaker.is_dir():
                found += _of_speaker(split, name, speaker)
    places: dict[str, Path] = {}
    for each in found:
        if each.name in places:
            raise CorpusError(
                f"task 'timit': {places[each.name]} and {each.sound.parent} both have {each.name}; expected one folder "
                "a speaker. Leave one out."
            )
        places[each.name] = each.sound.parent
    return sorted(found, key=lambda each: (SPLITS.index(each.split), each.name))


def _held_out(speaker: str) -> str:
    return "valid" if speaker in DEVELOPMENT else "test" if speaker in CORE else ""


def _of_speaker(split: str, speaker: str, folder: Path) -> list[Recording]:
    sounds: dict[str, list[Path]] = {}
    labels: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        sentence, *suffixes = path.name.upper().split(".")
        if sentence in ("SA1", "SA2"):
            continue
        if suffixes in (["WAV"], ["WAV", "WAV"]):
            sounds.setdefault(sentence, []).append(path)
        elif suffixes == ["PHN"]:
            labels[sentence] = path
    if alone := sorted(set(sounds) ^ set(labels)):
        raise CorpusError(
            f"task 'timit': {folder} has {'no' if alone[0] in sounds else 'only'} {alone[0]}.PHN; expected a sound and a "
            ".PHN of each sentence. Get the original files."
        )
    return [Recording(split, f"{speaker}-{key}", _original(sounds[key]), labels[key]) for key in sorted(sounds)]


def _original(paths: Sequence[Path]) -> Path:
    """Of twins the one as distributed, NIST SPHERE; else the first."""
    return next((path for path in paths if len(paths) > 1 and audio.kind("timit", path) == "nist"), paths[0])


def _speaker(utterance: str) -> str:
    return utterance.partition("-")[0]


def _warnings(found: Sequence[Recording]) -> list[str]:
    """What of the numbers of utterances and of speakers is not TIMIT's."""
    told = []
    for split, usual in EXPECTED.items():
        names = [each.name for each in found if each.split == split]
        got = len(names), len(set(map(_speaker, names)))
        if got != usual:
            told.append(f"{split} has {got[0]} utterances of {got[1]} speakers; TIMIT has {usual[0]} of {usual[1]}")
    return told


def load(path: str | PathLike[str] | None = None) -> Corpus:
    """The corpus in a folder that the user gives; other counts than TIMIT's are a warning.

    Errors: `CorpusError` if none is given, or it is not the corpus, or a file of it is broken.
    """
    given = locate.folder("timit", path, "the tree of LDC93S1. Unpack it, and pass the folder.")
    if given is None:
        raise locate.missing("timit", "no folder given; the LDC licenses the corpus", URL)
    top = root(given)
    found = recordings(top)
    files = [file for each in found for file in (each.sound, each.transcript)]
    name = cache.name("timit", {}, files, top)

    def make() -> Assembled:
        read = [transcripts.phn("timit", each.transcript) for each in found]
        for each, segments in zip(found, read, strict=True):
            check_phones("timit", each, segments, TIMIT)
        made = list(utterances("timit", found, read, TIMIT, SILENCE, transcripts.TIMIT_RATE))
        provenance = f"LDC93S1, {len(found)} utterances of a folder {top.name}"
        whole = assemble("timit", made, TIMIT, provenance, _warnings(found), speaker=_speaker)
        return whole._replace(foldings={FOLDED: FOLDING})

    return cache.kept(name, make)


task = Task(
    load,
    objective="frames",
    family="speech",
    bidirectional=True,
    space={**PAPER_SPACE, "nesterov": Choice((False, True)), "clip_gradient": Choice((False, True))},
    collection="odyssey-2017",
    url=URL,
    licence="LDC user agreement; the user gives the folder",
    reference=(
        'J. S. Garofolo, L. F. Lamel, W. M. Fisher, J. G. Fiscus, D. S. Pallett, N. L. Dahlgren, V. Zue, "TIMIT '
        'Acoustic-Phonetic Continuous Speech Corpus", LDC93S1, Linguistic Data Consortium, 1993'
    ),
)
