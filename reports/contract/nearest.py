"""Names that were meant: how a name that is not known is answered, in the words of the rest of the package.

Standard library only. ``tasks/nearest.py`` is the same for tasks and the harness; a test holds the two together.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

SHOWN = 5
"""So many names stand in an error; the others are counted."""

ALIKE = 0.5
"""Names less alike than this keep their order: nothing of them was meant."""


def nearest(name: object, known: Iterable[str] | Mapping[str, Iterable[str]], joint: str = "or") -> str:
    """The names one may have meant, the most alike first, in words; of a long list only some.

    Args:
        name: what was given.
        known: the names there are, in the order they are told where none is like it; as a mapping, each with its other
            spellings.
        joint: the word before how many others there are, ``and`` after "expected some of".

    Example:
        >>> nearest("standart", ["smoke", "standard", "paper"])
        'standard, smoke, paper'
        >>> nearest("nigg", ["cifg", "fgr", "nfg", "niaf", "nig", "noaf", "nog"])
        'nig, nfg, nog, cifg, niaf or 2 others'
    """
    spellings = {each: [each, *(known[each] if isinstance(known, Mapping) else ())] for each in known}

    def likeness(each: str) -> float:
        ratio = max(
            difflib.SequenceMatcher(None, str(name).lower(), spelling.lower()).ratio() for spelling in spellings[each]
        )
        return ratio if ratio >= ALIKE else 0.0

    ordered = sorted(spellings, key=likeness, reverse=True)
    if len(ordered) <= SHOWN + 1:
        return ", ".join(ordered)
    return f"{', '.join(ordered[:SHOWN])} {joint} {len(ordered) - SHOWN} others"
