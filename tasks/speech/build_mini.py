"""Rebuilds the embedded corpus of the task ``festvox_ru_mini`` from Debian's package festvox-ru; a development tool.

    pip install "lstm-odyssey[corpora]"
    apt-get download festvox-ru
    python -m lstm_odyssey.tasks.speech.build_mini festvox-ru_0.5+dfsg-6_all.deb OUT.npz

What it does:

1. of each split of ``festvox_ru`` the first names in the order of sha256(name): 40 of train, 10 of valid, 10 of test;
2. 12 MFCC and log energy of every 10 ms, and the phone of each frame, as ``festvox_ru`` computes them;
3. each of the 13 components as the nearest of 256 equal steps from its least to its greatest value in these utterances.

OUT.npz has ``feat`` uint8 [frames, 13], ``low`` and ``step`` float32 [13], ``lab`` uint8 [frames], ``length`` int32, ``names``,
``split`` and ``phones``: a component is low + step * value.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.tasks.files import archives, npz
from lstm_odyssey.tasks.speech import computed, festvox, festvox_ru, festvox_ru_mini, transcripts
from lstm_odyssey.tasks.speech.recordings import utterances

SIZES = {"train": 40, "valid": 10, "test": 10}


def chosen(splits: dict[str, str]) -> list[str]:
    """The names of the corpus, in order."""
    found = []
    for split, size in SIZES.items():
        members = [name for name, part in splits.items() if part == split]
        found += sorted(members, key=lambda name: hashlib.sha256(name.encode()).digest())[:size]
    return sorted(found)


def build(folder: Path, out: Path) -> None:
    """Write OUT from the voice at or below ``folder``. Errors: `CorpusError`."""
    task = "festvox_ru_mini"
    recordings, _ = festvox.pairs(task, festvox.voice(task, folder), festvox_ru.split)
    phones = {phone for each in recordings for _, _, phone in transcripts.lab(task, each.transcript)}
    names = chosen({each.name: each.split for each in recordings})
    ours = [each for each in recordings if each.name in names]
    read = [transcripts.lab(task, each.transcript) for each in ours]
    classes = tuple(sorted(phones))
    found = list(utterances(task, ours, read, classes, computed.SILENCE))
    features = np.concatenate([each.features for each in found])
    low = features.min(0)
    step = (features.max(0) - low) / 255
    np.savez_compressed(
        out,
        feat=np.round((features - low) / step).astype(np.uint8),
        low=low,
        step=step,
        lab=np.concatenate([each.classes for each in found]),
        length=np.array([len(each.classes) for each in found], dtype=np.int32),
        names=np.array([each.name for each in found]),
        split=np.array([each.split for each in found]),
        phones=np.array(classes),
    )


def main(arguments: Sequence[str]) -> int:
    """Write OUT and say whether it equals the embedded file."""
    if len(arguments) != 2:
        print("usage: python -m lstm_odyssey.tasks.speech.build_mini FESTVOX_RU OUT.npz", file=sys.stderr)
        return 2
    given, out = Path(arguments[0]), Path(arguments[1])
    try:
        if given.is_dir():
            build(given, out)
        else:
            with tempfile.TemporaryDirectory() as folder:
                archives.unpack_deb("festvox_ru_mini", given, Path(folder), festvox_ru.wanted, festvox_ru.MAX_BYTES)
                build(Path(folder), out)
    except (CorpusError, OSError) as error:
        print(f"build_mini: {error}", file=sys.stderr)
        return 1
    fields, most = festvox_ru_mini.FIELDS, festvox_ru_mini.MAX_BYTES
    ours, embedded = (npz.arrays(str(each), each.read_bytes(), fields, most) for each in (out, festvox_ru_mini.FILE))
    same = all(np.array_equal(ours[name], embedded[name]) for name in ours)
    print(f"{len(ours['length'])} utterances: {'equal to' if same else 'DIFFERENT from'} the embedded corpus")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
