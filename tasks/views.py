"""Further scores of a test split, which a corpus names: of some sequences alone, or of classes folded into fewer.

    subset     scale * Σ_{sequences of the subset} numerator / Σ denominator
    folding    the same score of all sequences after every class k became f(k); where f(target) is None nothing is counted,
               and where only f(predicted) is None it is wrong

Both are read off the outputs of which the score itself is computed. No number of a trial depends on them: they enter
neither a corpus's fingerprint nor a trial's id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Subsets = Mapping[str, Sequence[int]]
"""Name -> indices of sequences of the test split."""
Foldings = Mapping[str, Mapping[str, str | None]]
"""Name -> label -> class, or None for a label that is left out; a label that is not named stays what it is."""


def fault(subsets: Subsets, foldings: Foldings, labels: Sequence[str], test: Sequence[tuple[Any, Any]]) -> str:
    """What of the views of a corpus cannot be, in words; empty if all can."""
    for name in (*subsets, *foldings):
        if not isinstance(name, str) or not name.strip() or "\0" in name:
            return f"a subset or folding is called {name!r}; expected a name. Give a few words"
    if both := sorted(set(subsets) & set(foldings)):
        return f"{both[0]!r} is a subset and a folding; expected two names. Rename one"
    for name, indices in subsets.items():
        if not isinstance(indices, Sequence | np.ndarray) or isinstance(indices, str):
            return f"subset {name!r} is {indices!r}; expected indices of test. Give a list of them"
        found = list(indices)
        if not all(_is_index(index) and 0 <= index < len(test) for index in found) or not found:
            return (
                f"subset {name!r} has {_first(found, len(test))}; expected indices of test, 0 to {len(test) - 1}, one or more. "
                "Correct it, or leave it out"
            )
        if len(set(found)) < len(found):
            return f"subset {name!r} has an index twice; expected each once. Correct it"
    for name, folding in foldings.items():
        if not isinstance(folding, Mapping):
            return f"folding {name!r} is {folding!r}; expected a mapping of labels to classes. Give a dict"
        if wrong := [to for to in folding.values() if not (to is None or isinstance(to, str))]:
            return f"folding {name!r} has the class {wrong[0]!r}; expected a name, or None. Correct it"
        if strange := [label for label in folding if label not in labels]:
            return f"folding {name!r} has {strange[0]!r}, which is no label; expected some of the labels. Correct it"
        _, index = folded(labels, folding)
        if not any((index[target] >= 0).any() for _, target in test):
            return f"folding {name!r} leaves out all of test; expected one label or more that is counted. Correct it"
    return ""


def _is_index(index: Any) -> bool:
    return isinstance(index, int | np.integer) and not isinstance(index, bool)


def _first(indices: Sequence[Any], count: int) -> str:
    wrong = (index for index in indices if not _is_index(index) or not 0 <= index < count)
    return repr(next(wrong)) if indices else "no sequence"


def folded(labels: Sequence[str], folding: Mapping[str, str | None]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The folded classes in order, and for each label the index of its class; -1 where it is left out.

    Example:
        >>> names, index = folded(("sh", "zh", "q"), {"zh": "sh", "q": None})
        >>> names, index.tolist()
        (('sh',), [0, 0, -1])
    """
    classes = [folding.get(label, label) for label in labels]
    names = tuple(sorted({name for name in classes if name is not None}))
    place = {name: index for index, name in enumerate(names)}
    return names, np.array([-1 if name is None else place[name] for name in classes], dtype=np.int64)


def checksum(view: Sequence[int] | Mapping[str, str | None]) -> str:
    """Twelve hex digits of the sha256 of what a subset or a folding is."""
    plain = dict(view) if isinstance(view, Mapping) else sorted(int(index) for index in view)
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]


def folded_split(
    split: Sequence[tuple[Any, Any]], index: NDArray[np.int64]
) -> tuple[tuple[Any, NDArray[np.int64]], ...]:
    """A split with its targets folded, what is left out gone; ``index`` as `folded` gives it."""
    return tuple((features, classes[classes >= 0]) for features, classes in ((x, index[target]) for x, target in split))
