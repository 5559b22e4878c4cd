"""Trials that collapsed while they trained, read off the validation curves that every study stores.

An epoch is a collapse if its validation score is worse than the chance level *and* worse than some earlier epoch by more than
half the chance score. A trial with one is ``unstable``. It is no other status: the trial ran to its end, and its score stays
what validation kept. A net that has not learned yet is not unstable: it has no earlier epoch that was better.
"""

from __future__ import annotations

import math

import numpy
import xarray
from numpy.typing import ArrayLike, NDArray
from scipy import special

from lstm_odyssey.reports.contract.variables import FINISHED

MARGIN = 0.5
"""How much worse than an earlier epoch, in chance scores."""

BRIEFLY = "worse than chance in an epoch after a far better one"
"""The rule as tables and sentences have it."""

RULE = (
    f"some epoch is worse than chance and worse than an earlier epoch by more than {MARGIN:g} chance scores, by the stored "
    "validation curve"
)


def collapsed(valid: ArrayLike, chance: ArrayLike, *, maximize: bool = False) -> NDArray[numpy.bool_]:
    """Which curves [..., epoch] collapse: any epoch worse than chance and than the best before it by ``MARGIN``.

    Args:
        valid: validation scores, epoch by epoch; NaN where there is none, an infinite one counts.
        chance: score of the best constant prediction [...]; where it is NaN nothing can be said, and the answer is no.
        maximize: whether larger scores are better.

    >>> collapsed([[60.0, 9.0, 30.0, 8.5], [60.0, 59.0, 12.0, 9.0]], 11.0).tolist()
    [True, False]
    """
    sign = -1.0 if maximize else 1.0
    scores, bound = sign * numpy.asarray(valid, float), sign * numpy.asarray(chance, float)[..., None]
    before = numpy.fmin.accumulate(scores, axis=-1)[..., :-1]
    now = scores[..., 1:]
    with numpy.errstate(invalid="ignore"):  # infinity less infinity
        far = (now > bound) & (now - before > MARGIN * numpy.abs(bound))
    return numpy.asarray(far.any(axis=-1), bool)


def unstable(study: xarray.Dataset) -> xarray.DataArray:
    """Which finished trials of a study are unstable (task, variant, trial); the attributes say by which rule."""
    parts = []
    for task in study["task"].values.tolist():
        part = study.sel(task=task)
        maximize = str(part["direction"].item()) == "maximize"
        curves = part["valid"].transpose("variant", "trial", "epoch").values
        parts.append(
            collapsed(curves, float(part["chance"]), maximize=maximize)
            & numpy.isin(part["status"].transpose("variant", "trial").values, FINISHED)
        )
    return xarray.DataArray(
        numpy.stack(parts),
        {dim: study[dim] for dim in ("task", "variant", "trial")},
        ("task", "variant", "trial"),
        name="unstable",
        attrs={"long_name": f"whether {RULE}", "margin": MARGIN, "margin_units": "chance score of the task"},
    )


def proportion(count: int, total: int, confidence: float = 0.95) -> tuple[float, float, float]:
    """A share with its exact (Clopper and Pearson) interval; NaN if there is nothing to count.

    >>> [round(value, 3) for value in proportion(0, 70)]
    [0.0, 0.0, 0.051]
    """
    if not total:
        return math.nan, math.nan, math.nan
    # Quantiles of the beta distribution. scipy.stats has the interval by name, and takes a second to import.
    tail, rest = (1 - confidence) / 2, total - count
    low = float(special.betaincinv(count, rest + 1, tail)) if count else 0.0
    high = float(special.betaincinv(count + 1, rest, 1 - tail)) if rest else 1.0
    return count / total, low, high
