"""60 sentences of one Russian speaker: the phone of every frame. Carried by the package.

    x_t in R^39 of every 10 ms: 12 MFCC and log energy, Δ, ΔΔ, standardised on train (see ``features``, ``assemble``)
    score = 100 Σ [argmax_k l_tk != phone(t)] / Σ frames      frame error, %

40/10/10 utterances of ``festvox_ru``, each from the same split there, cut as there at pauses of 150 ms or more; 51 phones.
The 13 components of a frame are stored in 256 steps each; Δ and ΔΔ are computed when the corpus is loaded.

Source: N. V. Shmyrev, "Russian language support for Festival", 2005, Debian's package festvox-ru 0.5+dfsg-6; ``build_mini``
rebuilds the file. Licence: BSD-like, copyright 2005 Nickolay V. Shmyrev; see ``corpora/festvox_ru_mini.NOTICE``.

Departure from the paper: not its corpus. A tenth of ``festvox_ru``: scores of the two may not be compared with each other.
"""

from __future__ import annotations

import hashlib
from os import PathLike
from pathlib import Path

from lstm_odyssey.tasks.declare import PAPER_SPACE, Corpus, CorpusError, EvenInteger, LogUniform, Task
from lstm_odyssey.tasks.files import locate, npz
from lstm_odyssey.tasks.files.cache import corpus
from lstm_odyssey.tasks.speech import computed, festvox_ru
from lstm_odyssey.tasks.speech.assemble import assemble
from lstm_odyssey.tasks.speech.recordings import Utterance

FILE = Path(__file__).parent.parent / "corpora" / "festvox_ru_mini.npz"
CHECKSUM = "277731c0ea9179727478060b69a46f9da91084c82202cc833b7d74aa5022f2ae"
MAX_BYTES = 16 * 2**20
FIELDS = {**computed.FIELDS, "feat": "u2", "low": "f1", "step": "f1"}


def decode(where: str, data: bytes) -> tuple[list[Utterance], tuple[str, ...]]:
    """The utterances and the phones, from the bytes of the .npz that ``build_mini`` describes.

    Errors: `CorpusError`, which starts with ``where``.
    """
    found = npz.arrays(where, data, FIELDS, MAX_BYTES)
    shapes = {name: found[name].shape for name in ("low", "step")}
    if set(shapes.values()) != {found["feat"].shape[1:]}:
        raise CorpusError(
            f"{where}: low and step have the shapes {shapes['low']} and {shapes['step']}; expected one number for each of "
            f"{found['feat'].shape[1]} components. Use the original file."
        )
    return computed.utterances(where, {**found, "feat": found["low"] + found["step"] * found["feat"]})


def load(path: str | PathLike[str] | None = None) -> Corpus:
    """The embedded corpus, or one of the same form that the user gives, which then carries a warning.

    Errors: `CorpusError` if the given file is missing or malformed.
    """
    given = locate.locate("festvox_ru_mini", path)
    file = given or FILE
    data = locate.read("festvox_ru_mini", file, None if given else CHECKSUM)
    utterances, phones = decode(f"task 'festvox_ru_mini': {file}", data)
    got = hashlib.sha256(data).hexdigest()
    warnings = [] if got == CHECKSUM else [f"not the embedded corpus: {file.name}, sha256 {got}"]
    provenance = f"{file.name}, {len(utterances)} utterances of Debian's festvox-ru"
    pause = phones.index(computed.SILENCE)
    return corpus(assemble("festvox_ru_mini", utterances, phones, provenance, warnings, pause=pause))


task = Task(
    load,
    objective="frames",
    family="speech",
    bidirectional=True,
    space=PAPER_SPACE,
    narrowed={"hidden_size": EvenInteger(LogUniform(20, 80)), "learning_rate": LogUniform(1e-3, 1e-2)},
    collection="odyssey-2017",
    url=festvox_ru.URL,
    checksum=CHECKSUM,
    size=FILE.stat().st_size,
    licence=festvox_ru.task.licence,
    chance=78.3356,
    embedded=True,
    reference=festvox_ru.task.reference,
)
