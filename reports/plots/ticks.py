"""Where the ticks of a sampling axis stand: at its ends, and at round numbers between them as far as there is room."""

from __future__ import annotations

import math

import numpy
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

Numbers = NDArray[numpy.float64]

POWERS_FROM = 200.0
"""An axis whose ends are so many times apart has powers of ten for ticks."""


def ticked(points: Numbers, *, logarithmic: bool, small: bool) -> tuple[list[float], bool]:
    """Two ticks or more for an axis with these points, and whether they are powers of ten.

    The points lie in the middles of cells of equal probability, so that an axis goes half a cell further at either end.

    Args:
        points: drawn places, in any order [P]; positive, if logarithmic.
        logarithmic: whether the axis is.
        small: whether there is room for three ticks only.

    >>> ticked(numpy.geomspace(20, 200, 65)[1::2], logarithmic=True, small=True)
    ([20.0, 50.0, 200.0], False)
    >>> ticked(numpy.geomspace(1e-6, 1e-2, 65)[1::2], logarithmic=True, small=True)
    ([1e-06, 0.0001, 0.01], True)
    """
    places = numpy.unique(numpy.asarray(points, float))
    if places.size < 2:
        return places.tolist(), False
    if not logarithmic:
        return _linear(places, small=small), False
    low = float(places[0] / math.sqrt(places[1] / places[0]))
    high = float(places[-1] * math.sqrt(places[-1] / places[-2]))
    if high / low > POWERS_FROM:
        return _powers(low, high, 4 if small else 6), True
    ends = _round(low, float(places[0]), places[0]), _round(float(places[-1]), high, places[-1])
    if ends[1] < 1.1 * ends[0]:
        return [float(f"{low:.4g}"), float(f"{high:.4g}")], False
    return [ends[0], *_between(*ends, 1 if small else 3), ends[1]], False


def _linear(places: Numbers, *, small: bool) -> list[float]:
    low, high = 1.5 * places[0] - 0.5 * places[1], 1.5 * places[-1] - 0.5 * places[-2]
    if small:
        digits = 2 - math.floor(math.log10(high - low))
        return [round(float(value), digits) + 0.0 for value in (low, (low + high) / 2, high)]
    room = 0.02 * (high - low)
    found = MaxNLocator(nbins=5, min_n_ticks=2).tick_values(low, high)
    return [float(value) for value in found if low - room <= value <= high + room]


def _powers(low: float, high: float, most: int) -> list[float]:
    """The first and the last power of ten of an axis, and those between them in equal steps, if these are few enough."""
    first, last = math.ceil(math.log10(low) - 0.05), math.floor(math.log10(high) + 0.05)
    steps = last - first
    step = next(step for step in range(1, steps + 1) if steps % step == 0 and (steps // step < most or step == steps))
    return [10.0**exponent for exponent in range(first, last + 1, step)]


def _round(low: float, high: float, point: float) -> float:
    """The roundest number from one place to another, as far as two digits go; the point itself, if it has but two."""
    for digits in (0, 1):
        if digits and point == float(f"{point:.2g}"):
            return float(point)
        unit = 10.0 ** (math.floor(math.log10(high)) - digits)
        number = math.floor(high / unit * (1 + 1e-6)) * unit
        if number >= low * (1 - 1e-6):
            return float(f"{number:.6g}")
    return float(f"{high:.2g}")


def _between(low: float, high: float, most: int) -> list[float]:
    """Round numbers near to equal parts of a logarithmic axis, none of them close to another tick."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    round_numbers = [float(f"{digit * 10.0**decade:.6g}") for decade in decades for digit in (1, 2, 5)]
    span, found = math.log(high / low), [low, high]
    apart = 0.6 / (most + 1)
    for part in range(1, most + 1):
        goal = math.log(low) + span * part / (most + 1)
        free = [x for x in round_numbers if min(abs(math.log(x / other)) for other in found) >= apart * span]
        free = [x for x in free if low < x < high]
        if free:
            found.append(min(free, key=lambda x: abs(math.log(x) - goal)))
    return sorted(found)[1:-1]
