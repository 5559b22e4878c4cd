"""Distributions as others write them, in the form in which ``space.axis`` reads them.

optuna's, scipy's frozen ones and lists, as scikit-learn takes them, those of ``lstm_odyssey.tasks.distributions``, and the
stored form itself. None of these packages is imported: what a distribution is, is read off the object.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

MOST_LEVELS = 10_000
"""Integers of more values than this are taken as continuous: their levels are finer than any forest resolves."""

EXPECTED = "a distribution of optuna, scipy's uniform, loguniform or randint, choices, or {'kind': 'log_uniform', ...}"


class FormError(ValueError):
    """What is no distribution that is known; the message says which are."""


def form(given: Any) -> dict[str, Any] | None:
    """A distribution in the stored form; None if it has but one value.

    Raises:
        FormError: it is none that is known.

    Example:
        >>> form([32, 64, 128])
        {'kind': 'choice', 'values': [32, 64, 128]}
        >>> form({"kind": "uniform", "low": 0, "high": 1})
        {'kind': 'uniform', 'low': 0, 'high': 1}
    """
    if isinstance(given, Mapping):
        low, high = given.get("low"), given.get("high")
        return None if low is not None and isinstance(low, int | float) and low == high else dict(given)
    if callable(made := getattr(given, "as_dict", None)):
        return dict(made())
    if isinstance(given, Sequence) and not isinstance(given, str):
        return _choice(given)
    if getattr(given, "ndim", None) == 1 and callable(made := getattr(given, "tolist", None)):
        return _choice(made())  # numpy's and pandas' lists, as numpy.arange(1, 9)
    if hasattr(given, "choices"):
        return _choice(given.choices)
    if hasattr(given, "low") and hasattr(given, "high"):
        return _optunas(given)
    if hasattr(given, "dist") and hasattr(given, "support"):
        return _scipys(given)
    raise FormError(f"{' '.join(repr(given).split()):.80}; expected {EXPECTED}")


def label(choice: Any) -> str:
    """The name of a choice that is no number: a text as it is, anything else as Python writes it."""
    return choice if isinstance(choice, str) and choice else repr(choice)


def numeric(values: Sequence[Any]) -> bool:
    """Whether all choices are numbers or truth values, which stand in their order."""
    return all(isinstance(value, int | float) and math.isfinite(value) for value in values)


def _choice(values: Sequence[Any]) -> dict[str, Any] | None:
    values = list(values)
    if not numeric(values):
        values = [label(value) for value in values]
    if len(set(values)) < len(values):
        raise FormError(f"the choices {values!r:.80}, some of them alike; expected different ones")
    return {"kind": "choice", "values": values} if len(values) > 1 else None


def _optunas(given: Any) -> dict[str, Any] | None:
    low, high, log = float(given.low), float(given.high), bool(getattr(given, "log", False))
    if low == high:
        return None
    whole = type(given).__name__.startswith("Int")
    step = getattr(given, "step", None)
    if not whole and not step:
        return _interval(low, high, log)
    return _levels(low, high, float(step or 1), log, whole)


def _interval(low: float, high: float, log: bool) -> dict[str, Any]:
    return {"kind": "log_uniform" if log else "uniform", "low": low, "high": high}


def _levels(low: float, high: float, step: float, log: bool, whole: bool) -> dict[str, Any] | None:
    """Levels from low to high: as likely as others, or as long on the logarithmic axis as they are as intervals."""
    count = 1 + math.floor((high - low) / step + 1e-9)
    if count == 1:
        return None
    if count > MOST_LEVELS:
        return _interval(low - step / 2, high + step / 2, log)
    values = [low + k * step for k in range(count)]
    masses = [math.log((value + step / 2) / (value - step / 2)) if log else 1.0 for value in values]
    return {
        "kind": "levels",
        "values": [int(value) for value in values] if whole else values,
        "masses": [mass / math.fsum(masses) for mass in masses],
        "scale": "log" if log else "linear",
    }


def _scipys(given: Any) -> dict[str, Any] | None:
    name = given.dist.name
    low, high = (float(end) for end in given.support())
    if name in ("uniform", "loguniform", "reciprocal"):
        return _interval(low, high, name != "uniform")
    if name == "randint":
        return _levels(low, high, 1.0, log=False, whole=True)
    raise FormError(f"{name} of scipy.stats; expected {EXPECTED}")
