"""The phones of TIMIT, and the 39 classes they are folded to.

Source: Lee and Hon, "Speaker-independent phone recognition using hidden Markov models", IEEE TASSP 37(11), 1989.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

TIMIT = tuple(
    (
        "aa ae ah ao aw ax ax-h axr ay b bcl ch d dcl dh dx eh el em en eng epi er ey f g gcl h# hh hv ih ix iy jh k kcl "
        "l m n ng nx ow oy p pau pcl q r s sh t tcl th uh uw ux v w y z zh"
    ).split()
)
"""The 61."""

FOLDING: Mapping[str, str | None] = {phone: phone for phone in TIMIT} | {
    "ao": "aa",
    "ax": "ah",
    "ax-h": "ah",
    "axr": "er",
    "hv": "hh",
    "ix": "ih",
    "el": "l",
    "em": "m",
    "en": "n",
    "nx": "n",
    "eng": "ng",
    "zh": "sh",
    "ux": "uw",
    "q": None,
    **dict.fromkeys("bcl dcl gcl pcl tcl kcl epi pau h#".split(), "sil"),
}
"""Phone -> one of 39 classes; None, of q alone, is left out of the score."""

ARPABET = tuple(
    ("AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH sil").split()
)
"""The 39 phones of the CMU dictionary without stress, and silence."""


def folded(labels: Sequence[str], folding: Mapping[str, str | None] = FOLDING) -> tuple[tuple[str, ...], NDArray[Any]]:
    """The folded classes in order, and for each label the index of its class; -1 where it is left out.

    Example:
        >>> names, index = folded(TIMIT)
        >>> len(names), index[TIMIT.index("q")], names[index[TIMIT.index("ao")]]
        (39, np.int64(-1), 'aa')
    """
    names = tuple(sorted({name for name in (folding[label] for label in labels) if name is not None}))
    place = {name: index for index, name in enumerate(names)}
    return names, np.array([place.get(folding[label] or "", -1) for label in labels], dtype=np.int64)


def folded_error(
    predicted: ArrayLike, target: ArrayLike, labels: Sequence[str], folding: Mapping[str, str | None] = FOLDING
) -> float:
    """Frame error, %, after folding; frames whose target is left out do not count, one predicted for them is wrong.

    Args:
        predicted, target: classes [frames], indices of ``labels``.

    Example:
        >>> sh, zh, q, s = (TIMIT.index(phone) for phone in "sh zh q s".split())
        >>> round(folded_error([zh, s, q, s], [sh, sh, sh, q], TIMIT), 2)
        66.67
    """
    _, index = folded(labels, folding)
    got, expected = index[np.asarray(predicted)], index[np.asarray(target)]
    counted = expected >= 0
    return float(100 * np.mean(got[counted] != expected[counted]))
