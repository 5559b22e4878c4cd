"""One Russian speaker, 620 read sentences: the phone of every frame. The open corpus in the place of TIMIT.

    x_t in R^39 of every 10 ms: 12 MFCC and log energy, Δ, ΔΔ, standardised on train (see ``features``, ``assemble``)
    score = 100 Σ [argmax_k l_tk != phone(t)] / Σ frames      frame error, %

99.5 minutes, 16 kHz, 51 phones; 496/62/62 utterances, cut in the middle of pauses of 150 ms or more: 2,283 sequences of 261
frames on average. The split is one permutation of the names, drawn once.

Source: N. V. Shmyrev, "Russian language support for Festival", 2005; Debian's package festvox-ru 0.5+dfsg-6, whose checksum
is that of Debian's own index of packages. Licence: BSD-like, copyright 2005 Nickolay V. Shmyrev. Given as the package
(.deb), the folder it unpacks to, or an .npz of computed features (``feat`` [frames, 13], ``lab``, ``length``, ``names``,
``phones``, ``split``); scores of features computed elsewhere are not those of the package's.

Departure from the paper: not its corpus. One speaker, another language, machine-made labels: scores say nothing about
TIMIT's.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from lstm_odyssey.tasks.declare import PAPER_SPACE, Corpus, Task
from lstm_odyssey.tasks.files import archives, cache, locate, npz
from lstm_odyssey.tasks.files.cache import Assembled
from lstm_odyssey.tasks.speech import computed, festvox
from lstm_odyssey.tasks.speech.assemble import assemble

FILENAME = "festvox-ru_0.5+dfsg-6_all.deb"
SIZE = 178_728_512
URL = f"https://ftp.debian.org/debian/pool/main/f/festvox-ru/{FILENAME}"
MIRROR = f"https://snapshot.debian.org/archive/debian/20230611T000000Z/pool/main/f/festvox-ru/{FILENAME}"
CHECKSUM = "21ef3f0f2978ecf2e2eddb367cb0ff4a72572196d28dc69feb84f4177af5e6c4"
MAX_BYTES = 512 * 2**20
UTTERANCES = 620
VALID = frozenset(
    int(number)
    for number in """
        11 40 45 51 81 85 87 93 101 102 103 116 122 130 153 178 180 200 216 224 227 248 249 290 297 300 304
        308 315 325 344 364 379 393 448 450 458 463 470 481 482 488 490 503 514 517 530 543 563 569 577 580
        593 598 618 674 678 683 721 725 785 831
    """.split()
)
TEST = frozenset(
    int(number)
    for number in """
        18 32 50 55 63 67 82 94 125 132 148 157 168 182 183 199 201 203 222 232 233 238 239 251 253 263 271
        307 314 319 339 343 380 388 407 464 484 531 536 537 541 542 546 559 567 585 611 615 634 648 652 690
        696 702 735 740 749 752 754 757 768 840
    """.split()
)
"""The numbers in the names of the sentences of valid and test: ``ru_0011.wav`` is 11."""


def split(names: Sequence[str]) -> dict[str, str]:
    """Name -> split; a name that is not the corpus's is of train."""

    def part(name: str) -> str:
        number = name.removeprefix("ru_")
        place = int(number) if number.isdigit() else 0
        return "valid" if place in VALID else "test" if place in TEST else "train"

    return {name: part(name) for name in names}


def _warn(count: int) -> list[str]:
    return [] if count == UTTERANCES else [f"{count} utterances; festvox-ru has {UTTERANCES}"]


def load(path: str | PathLike[str] | None = None) -> Corpus:
    """The corpus of a folder, a .deb or an .npz; without one, of the package, which is downloaded once (179 MB).

    Errors: `CorpusError` if it is not at hand and cannot be had, or is malformed.
    """
    given = locate.locate("festvox_ru", path)
    if given is None:
        given = locate.download("festvox_ru", FILENAME, CHECKSUM, URL, MIRROR, MAX_BYTES, lazily=True)
    if given.is_dir():
        return festvox.load_folder("festvox_ru", given, split, _warn)
    if archives.is_deb("festvox_ru", given):
        name = cache.name("festvox_ru", {"deb": FILENAME}, [given], given.parent)
        return cache.kept(name, lambda: _from_deb(given))
    name = cache.name("festvox_ru", {"npz": sorted(computed.FIELDS)}, [given], given.parent)
    return cache.kept(name, lambda: from_npz(given))


def _from_deb(file: Path) -> Assembled:
    if file.parent == locate.cache_folder():
        locate.verify("festvox_ru", file, CHECKSUM)
    got = locate.checksum("festvox_ru", file, MAX_BYTES)
    with archives.unpacked_folder(file) as folder:
        archives.unpack_deb("festvox_ru", file, folder, wanted, MAX_BYTES)
        place = festvox.voice("festvox_ru", folder)
        recordings, warnings = festvox.pairs("festvox_ru", place, split)
        warnings += _warn(len(recordings))
        warnings += [] if got == CHECKSUM else [f"not Debian's {FILENAME}: {file.name}, sha256 {got}"]
        provenance = f"{file.name}, sha256 {got}, {len(recordings)} utterances"
        return festvox.prepare("festvox_ru", recordings, warnings, provenance)


def wanted(name: str) -> bool:
    """Whether a member of the package is a sound or its labels."""
    parts = name.split("/")
    return len(parts) > 1 and (parts[-2], parts[-1][-4:]) in (("wav", ".wav"), ("lab", ".lab"))


def from_npz(file: Path) -> Assembled:
    """The corpus of an .npz of computed features.

    Errors: `CorpusError` if it has other arrays, or ones that do not fit each other.
    """
    where = f"task 'festvox_ru': {file}"
    data = locate.read("festvox_ru", file)
    found = npz.arrays(where, data, computed.FIELDS, MAX_BYTES)
    utterances, phones = computed.utterances(where, found)
    provenance = f"{file.name}, features of {len(utterances)} utterances of festvox-ru"
    warnings = ["features computed elsewhere, not by this package", *_warn(len(utterances))]
    return assemble("festvox_ru", utterances, phones, provenance, warnings, pause=phones.index(computed.SILENCE))


task = Task(
    load,
    objective="frames",
    family="speech",
    bidirectional=True,
    space=PAPER_SPACE,
    url=URL,
    mirror=MIRROR,
    checksum=CHECKSUM,
    file=FILENAME,
    size=SIZE,
    licence="BSD-like, copyright 2005 Nickolay V. Shmyrev",
    chance=78.3115,
    reference='N. V. Shmyrev, "Russian language support for Festival", 2005; Debian package festvox-ru 0.5',
)
