"""LibriSpeech's dev-clean and test-clean with forced-aligned phones: the phone of every frame, of many speakers.

    x_t in R^39 of every 10 ms: 12 MFCC and log energy, Δ, ΔΔ, standardised on train (see ``features``, ``assemble``)
    score = 100 Σ [argmax_k l_tk != phone(t)] / Σ frames      frame error, % of 40 classes

5,323 utterances of 80 speakers, read English, about 10.8 hours. A speaker's split is the sha256 of the number, modulo 10: 0
is test, 1 valid, the rest train. 39 ARPABET phones without their stress, and silence: ``sil``, ``sp`` and unnamed
intervals. Frames of ``spn``, words unknown to the aligner, are left out: the utterance is cut there, and parts of under 10
frames go with them.

A folder has ``dev-clean`` and ``test-clean`` with SPEAKER/CHAPTER/*.flac, and, beside the sounds or in folders of the same
names, *.TextGrid. Without one the three archives are downloaded (683 MB of sound, and the alignments).

Source: V. Panayotov et al., "Librispeech", ICASSP 2015, https://www.openslr.org/12; the alignments of L. Lugosch et al.,
"Speech Model Pre-training for End-to-End Spoken Language Understanding", Interspeech 2019, made with the Montreal Forced
Aligner, https://zenodo.org/record/2619474. Checksums of the sound are torchaudio's; for the alignments none was found, so
the first download's is recorded. Licence: CC BY 4.0 both.

Departure from the paper: not its corpus. Labels are a machine's.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from lstm_odyssey.tasks.declare import PAPER_SPACE, Corpus, CorpusError, Download, Task
from lstm_odyssey.tasks.files import archives, cache, locate
from lstm_odyssey.tasks.files.cache import SPLITS, Assembled
from lstm_odyssey.tasks.speech import transcripts
from lstm_odyssey.tasks.speech.assemble import assemble
from lstm_odyssey.tasks.speech.features import Segment
from lstm_odyssey.tasks.speech.phones import ARPABET
from lstm_odyssey.tasks.speech.recordings import Recording, check_phones, utterances

TASK = "librispeech_mfa"
URL = "https://www.openslr.org/12"
MAX_BYTES = 4 * 2**30
SOUNDS = {
    "dev-clean": "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3",
    "test-clean": "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23",
}
"""Part -> sha256 of its archive, as torchaudio.datasets.LIBRISPEECH has it."""
SOUND_URL = "https://www.openslr.org/resources/12/{}.tar.gz"
SOUND_MIRROR = "https://us.openslr.org/resources/12/{}.tar.gz"
ALIGNMENTS = "librispeech_alignments.zip"
ALIGNMENTS_URL = f"https://zenodo.org/record/2619474/files/{ALIGNMENTS}"
DOWNLOADS = (
    *(
        Download(f"{part}.tar.gz", SOUND_URL.format(part), sha256, SOUND_MIRROR.format(part), max_bytes=MAX_BYTES)
        for part, sha256 in SOUNDS.items()
    ),
    Download(ALIGNMENTS, ALIGNMENTS_URL, max_bytes=MAX_BYTES),
)
SIZE = 683_000_000
"""Bytes of the two archives of sound, about; nobody says that of the alignments."""
UTTERANCES, SPEAKERS = 5323, 80
RATE = 16_000
SILENCE, UNKNOWN = "sil", "spn"
SILENCES = frozenset(("", "sp", SILENCE))
OTHER = re.compile(r"(train|dev|test)-(clean|other).*")


def split(speaker: str) -> str:
    """The split of a speaker, whoever else is there.

    Example:
        >>> [split(speaker) for speaker in ("84", "251", "908")]
        ['train', 'valid', 'test']
    """
    return {0: "test", 1: "valid"}.get(int(hashlib.sha256(speaker.encode()).hexdigest(), 16) % 10, "train")


def find(*folders: Path) -> tuple[list[Recording], list[str]]:
    """Every utterance of both parts with sound and alignment, at or below the folders, and what is left out, in words.

    Errors: `CorpusError` if there is none.
    """
    files: dict[str, dict[str, Path]] = {".flac": {}, ".TextGrid": {}}
    for folder in folders:
        for place, below, names in os.walk(folder):
            below[:] = sorted(name for name in below if name in SOUNDS or not OTHER.fullmatch(name))
            if not set(Path(place).parts) & set(SOUNDS):
                continue
            for name in names:
                stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a Path for each of ten thousand names takes longer
                if suffix in files:
                    files[suffix][stem] = Path(place, name)
    sounds, grids = files[".flac"], files[".TextGrid"]
    both = sorted(set(sounds) & set(grids))
    if not both:
        raise CorpusError(
            f"task {TASK!r}: {folders[0]} has {len(sounds)} .flac and {len(grids)} .TextGrid files below dev-clean and "
            f"test-clean, none of one name; expected both. Get the sound from {URL}, the alignments from {ALIGNMENTS_URL}."
        )
    lacking = len(set(sounds) - set(grids))
    warnings = [f"{lacking} utterances without an alignment are left out"] if lacking else []
    speakers = len(set(map(_speaker, both)))
    if (len(both), speakers) != (UTTERANCES, SPEAKERS):
        warnings.append(f"{len(both)} utterances of {speakers} speakers; expected {UTTERANCES} of {SPEAKERS}")
    found = [Recording(split(_speaker(name)), name, sounds[name], grids[name]) for name in both]
    return sorted(found, key=lambda each: (SPLITS.index(each.split), each.name)), warnings


def phones(segments: Sequence[Segment]) -> list[Segment]:
    """The segments with the corpus's classes: stress dropped, one silence."""
    return [(start, end, SILENCE if name in SILENCES else name.rstrip("012")) for start, end, name in segments]


def prepare(found: Sequence[Recording], warnings: Sequence[str]) -> Assembled:
    """Features and labels, computed."""
    classes = (*ARPABET, UNKNOWN)
    read = [phones(transcripts.textgrid(TASK, each.transcript)) for each in found]
    for each, segments in zip(found, read, strict=True):
        check_phones(TASK, each, segments, classes)
    made = list(utterances(TASK, found, read, classes, SILENCE, RATE))
    provenance = f"LibriSpeech dev-clean and test-clean, {len(found)} utterances, phones of the Montreal Forced Aligner"
    masked = classes.index(UNKNOWN)
    return assemble(TASK, made, ARPABET, provenance, warnings, masked=masked, speaker=_speaker)


def _speaker(utterance: str) -> str:
    return utterance.partition("-")[0]


def load(path: str | PathLike[str] | None = None) -> Corpus:
    """The corpus of a folder, or of the three archives, which are downloaded once.

    Errors: `CorpusError` if it is not at hand and cannot be had, or is malformed.
    """
    given = locate.folder(TASK, path, "one with dev-clean and test-clean. Unpack the archives.")
    if given is None:
        return _downloaded()
    found, warnings = find(given)
    files = [file for each in found for file in (each.sound, each.transcript)]
    return cache.kept(cache.name(TASK, {"warnings": warnings}, files, given), lambda: prepare(found, warnings))


def _downloaded() -> Corpus:
    *sounds, grids = (locate.fetch(TASK, each, lazily=True) for each in DOWNLOADS)
    recorded = f"no checksum of {ALIGNMENTS} is published; the first download's is {locate.recorded(grids)}"

    def make() -> Assembled:
        with archives.unpacked_folder(grids.parent) as place:
            locate.verify(TASK, grids)
            for archive, told in zip(sounds, DOWNLOADS, strict=False):
                locate.verify(TASK, archive, told.checksum)
                archives.unpack_tar(TASK, archive, place, _is_sound, MAX_BYTES)
            archives.unpack_zip(TASK, grids, place, _is_alignment, MAX_BYTES)
            found, warnings = find(place)
            return prepare(found, [*warnings, recorded])

    return cache.kept(cache.name(TASK, {"recorded": recorded}, [*sounds, grids], grids.parent), make)


def _is_sound(name: str) -> bool:
    return name.endswith(".flac")


def _is_alignment(name: str) -> bool:
    return name.endswith(".TextGrid") and bool(set(name.split("/")) & set(SOUNDS))


task = Task(
    load,
    objective="frames",
    family="speech",
    bidirectional=True,
    space=PAPER_SPACE,
    url=URL,
    mirror=SOUND_MIRROR.format("dev-clean"),
    downloads=DOWNLOADS,
    size=SIZE,
    licence="CC BY 4.0, sound and alignments",
    reference=(
        'V. Panayotov, G. Chen, D. Povey, S. Khudanpur, "Librispeech: an ASR corpus based on public domain audio books", '
        'ICASSP 2015; L. Lugosch et al., "Speech Model Pre-training for End-to-End Spoken Language Understanding", '
        "Interspeech 2019 (alignments)"
    ),
)
