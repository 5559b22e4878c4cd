"""Computed features in an .npz: the utterances of one voice, one after another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.tasks.files.cache import SPLITS
from lstm_odyssey.tasks.speech.features import WIDTH
from lstm_odyssey.tasks.speech.recordings import Utterance

FIELDS = {"feat": "f2", "lab": "iu1", "length": "iu1", "names": "U1", "phones": "U1", "split": "U1"}
"""Features [frames, 13] and classes [frames] of all utterances; frames, name and split of each; the names of the classes."""
SILENCE = "pau"


def _fault(found: Mapping[str, NDArray[Any]]) -> str:
    """What of the arrays does not fit, in words; empty if nothing does."""
    features, classes, lengths = found["feat"], found["lab"], found["length"].astype(np.int64)
    phones, splits = found["phones"], sorted(set(map(str, found["split"])))
    if len({len(lengths), len(found["names"]), len(found["split"])}) > 1:
        return "length, names and split have different sizes; expected one entry of each an utterance"
    if len(lengths) == 0 or lengths.min() < 2:
        return "an utterance has fewer than 2 frames, or there is none; expected at least 2"
    if lengths.max() > len(features):  # so that the sum below cannot overflow
        return f"an utterance has {lengths.max()} frames, feat {len(features)}; expected no more than these"
    if features.shape != (lengths.sum(), WIDTH) or len(classes) != lengths.sum():
        return f"feat has the shape {features.shape}, lab {classes.shape}; expected {lengths.sum()} frames of {WIDTH}"
    if not np.isfinite(features).all():
        return "feat has NaN or infinite values; expected finite ones"
    if not set(splits) <= set(SPLITS):
        return f"split has {', '.join(splits)}; expected {', '.join(SPLITS)}"
    if SILENCE not in phones or len(phones) > 256:
        return f"there are {len(phones)} phones; expected at most 256, and {SILENCE} among them"
    if classes.min() < 0 or classes.max() >= len(phones):
        return f"lab has the classes {classes.min()} to {classes.max()}; expected 0 to {len(phones) - 1}"
    return ""


def utterances(where: str, found: Mapping[str, NDArray[Any]]) -> tuple[list[Utterance], tuple[str, ...]]:
    """The utterances and the phones of the arrays of an .npz.

    Errors: `CorpusError`, which starts with ``where``, if they do not fit each other.
    """
    if fault := _fault(found):
        raise CorpusError(f"{where}: {fault}. Use the original file.")
    lengths, names, splits = (found[name] for name in ("length", "names", "split"))
    phones = tuple(map(str, found["phones"]))
    stops = np.cumsum(lengths)
    made = [
        Utterance(
            str(splits[index]),
            str(names[index]),
            found["feat"][stop - length : stop].astype(np.float32),
            found["lab"][stop - length : stop].astype(np.uint8),
        )
        for index, (length, stop) in enumerate(zip(lengths, stops, strict=True))
    ]
    return made, phones
