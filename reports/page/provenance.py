"""What a number hangs on beside the equations, in words: constants and start values of a cell, and what its trials ran with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import xarray

from lstm_odyssey.reports.contract.validation import attribute
from lstm_odyssey.reports.contract.wording import counted


def declared(facts: Mapping[str, Any]) -> str:
    """The constants of a cell with their ranges, and how its parameters begin; empty where it declares neither.

    >>> declared({"constants": {"rate": [0.3, 0.01, None]}, "start": {"b.f": ["number", 1.0], "R.h": ["identity", 0.5]}})
    'k.rate = 0.3 (0.01 or more); at the start b.f = 1, R.h = identity(0.5)'
    >>> declared({"constants": {"rate": [0.3, 0, 1]}, "space": {"k.rate": {"kind": "uniform", "low": 0.2, "high": 0.4}}})
    'k.rate drawn (0.3 where it is not; 0 to 1)'
    """
    said = []
    for name, (default, *ends) in (facts.get("constants") or {}).items():
        drawn = f"k.{name}" in (facts.get("space") or {})
        bounds = _bounds(*ends)
        if drawn:
            said.append(f"k.{name} drawn ({default:g} where it is not{f'; {bounds}' if bounds else ''})")
        else:
            said.append(f"k.{name} = {default:g}{f' ({bounds})' if bounds else ''}")
    starts = [
        f"{name} = {value[0]:g}" if kind == "number" else f"{name} = {kind}({', '.join(f'{one:g}' for one in value)})"
        for name, (kind, *value) in (facts.get("start") or {}).items()
    ]
    return "; ".join(said + ([f"at the start {', '.join(starts)}"] if starts else []))


def _bounds(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return " ".join(f"{end:g} or {word}" for end, word in ((low, "more"), (high, "less")) if end is not None)
    return f"{low:g} to {high:g}"


def environments(dataset: xarray.Dataset) -> dict[str, str]:
    """What the trials of a study ran with where not all ran with the same: by name each value and how many trials.

    Trials of which none is stored, whose index is -1, are counted apart and not among the others.
    """
    known, places = attribute(dataset, "environments"), dataset["environment"].values
    often = Counter(places[dataset["status"].values != "missing"].tolist())
    unknown = often.pop(-1, 0)
    told = {"environment not stored": counted(unknown, "trial")} if unknown else {}
    for name in sorted({name for one in known for name in one}):
        found: Counter[str] = Counter()
        for place, number in often.items():
            found[str(known[place].get(name, "not said"))] += number
        if len(found) > 1:
            told[name] = ", ".join(f"{value} ({counted(number, 'trial')})" for value, number in found.most_common())
    return told
