"""The phones of TIMIT, and the 39 classes they are folded to.

Source: Lee and Hon, "Speaker-independent phone recognition using hidden Markov models", IEEE TASSP 37(11), 1989.
"""

from __future__ import annotations

from collections.abc import Mapping

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
