"""Sampling axes: the hyperparameters on the scale on which they were drawn, where every one of them is uniform on [0, 1].

The measure of a functional ANOVA is the draw's own. A continuous hyperparameter x stands at u = F(x), F being its sampling
CDF; one that has levels (an integer, a flag, a name) owns for each level an interval as long as the level is likely. The
distributions are read from the form in which a study stores them, ``{"kind": "log_uniform", "low": ..., "high": ...}``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[numpy.float64]
Wholes = NDArray[numpy.intp]

MOST_CELLS = 256
"""Cells of an axis of numbers at most: steps of 0.4 % of the probability, far below what a forest resolves."""


ABSENT = "(absent)"
"""The level of a parameter that a trial does not have, among names; of numbers it is minus infinity."""


class AxisError(ValueError):
    """A distribution or a value that no axis can be made of."""


class Cells(NamedTuple):
    """An axis cut into cells, and in which of them the trials lie.

    Attributes:
        places: cell of every trial [n].
        edges: ends of the cells on the probability axis [K + 1], from 0 to 1.
    """

    places: Wholes
    edges: Floats


def _cut_before(n: int) -> Wholes:
    """Before which of n ascending values an axis is cut: before each but the first, or as evenly as ``MOST_CELLS`` allows."""
    if n > MOST_CELLS:
        return numpy.linspace(0, n, MOST_CELLS + 1)[1:-1].round().astype(numpy.intp)
    return numpy.arange(1, n)


class Axis(ABC):
    """The axis of one hyperparameter: ``scale`` is what a plot of it is to use."""

    scale: str
    nominal = False

    @abstractmethod
    def cells(self, values: ArrayLike) -> Cells:
        """Cut the axis into cells for trials with these values [n]."""

    @abstractmethod
    def quantile(self, probability: ArrayLike) -> Floats:
        """The value at a probability; of an axis without numbers, the number of the level."""

    @abstractmethod
    def distance(self, values: ArrayLike) -> float:
        """Kolmogorov and Smirnov's: the greatest difference of the values' distribution [n] and the axis's own."""


class Continuous(Axis):
    """A hyperparameter with a density."""

    @abstractmethod
    def cdf(self, values: ArrayLike) -> Floats:
        """P(X <= x)."""

    def cells(self, values: ArrayLike) -> Cells:
        """Cuts half-way between neighbours among the trials: which side of a cut a trial lies on is all a tree can tell.

        Of more than ``MOST_CELLS`` different values, neighbours share cells, as many in one as in another.
        """
        places = self.cdf(values)
        different = numpy.unique(places)
        before = _cut_before(different.size)
        cuts = (different[before - 1] + different[before]) / 2
        return Cells(numpy.searchsorted(cuts, places, side="left"), numpy.concatenate([[0.0], cuts, [1.0]]))

    def distance(self, values: ArrayLike) -> float:
        places = numpy.sort(self.cdf(values))
        steps = numpy.arange(places.size + 1) / places.size
        return float(numpy.maximum(steps[1:] - places, places - steps[:-1]).max())


class Uniform(Continuous):
    """Uniform on [low, high]."""

    scale = "linear"

    def __init__(self, low: float, high: float) -> None:
        if not -math.inf < low < high < math.inf:
            raise AxisError(f"low={low:g} and high={high:g}; expected finite numbers, low below high")
        self.low, self.high = low, high

    def cdf(self, values: ArrayLike) -> Floats:
        return numpy.clip((numpy.asarray(values, float) - self.low) / (self.high - self.low), 0.0, 1.0)

    def quantile(self, probability: ArrayLike) -> Floats:
        return self.low + numpy.asarray(probability, float) * (self.high - self.low)


class LogUniform(Uniform):
    """exp(U), U uniform on [ln low, ln high].

    >>> axis({"kind": "log_uniform", "low": 1e-6, "high": 1e-2}).quantile([0, 0.25, 1]).round(8).tolist()
    [1e-06, 1e-05, 0.01]
    """

    scale = "log"

    def __init__(self, low: float, high: float) -> None:
        if not 0 < low < high < math.inf:
            raise AxisError(f"low={low:g} and high={high:g}; expected finite numbers above 0, low below high")
        super().__init__(math.log(low), math.log(high))

    def cdf(self, values: ArrayLike) -> Floats:
        floor = numpy.finfo(float).tiny  # what is not positive lies below the support as well
        return super().cdf(numpy.log(numpy.maximum(numpy.asarray(values, float), floor)))

    def quantile(self, probability: ArrayLike) -> Floats:
        return numpy.exp(super().quantile(probability))


class OneMinus(Continuous):
    """1 - X."""

    def __init__(self, inner: Continuous) -> None:
        self.inner = inner
        self.scale = {"log": "log of 1 - x"}.get(inner.scale, inner.scale)

    def cdf(self, values: ArrayLike) -> Floats:
        return 1.0 - self.inner.cdf(1.0 - numpy.asarray(values, float))

    def quantile(self, probability: ArrayLike) -> Floats:
        return 1.0 - self.inner.quantile(1.0 - numpy.asarray(probability, float))


class Levels(Axis):
    """A hyperparameter with levels: their values in order, and how likely each is.

    A level that is a number or a truth value stands in its order; of more than ``MOST_CELLS`` levels, neighbours share cells
    as on a continuous axis. Names have no order: the axis is ``nominal``, and the forest orders them by their mean response.
    """

    def __init__(self, values: Sequence[Any], masses: ArrayLike, scale: str = "levels") -> None:
        self.nominal = any(isinstance(value, str) for value in values)
        self.values, self.scale = list(values), scale
        self.edges = numpy.concatenate([[0.0], numpy.cumsum(numpy.asarray(masses, float))])
        self.edges[-1] = 1.0

    def numbers(self, values: ArrayLike) -> Wholes:
        """Which levels the values are [n].

        Raises:
            AxisError: one is none.
        """
        place = {str(value) if self.nominal else float(value): number for number, value in enumerate(self.values)}
        given = [str(value) if self.nominal else float(value) for value in numpy.asarray(values).tolist()]
        strange = next((value for value in given if value not in place), None)
        if strange is not None:
            raise AxisError(f"{strange!r}, which is none of its {len(place)} levels")
        return numpy.array([place[value] for value in given], numpy.intp)

    def distance(self, values: ArrayLike) -> float:
        numbers = self.numbers(values)
        counts = numpy.bincount(numbers, minlength=len(self.values))
        return float(numpy.abs(numpy.cumsum(counts) / numbers.size - self.edges[1:]).max())

    def cells(self, values: ArrayLike) -> Cells:
        numbers = self.numbers(values)
        if self.nominal or len(self.values) <= MOST_CELLS:
            return Cells(numbers, self.edges)
        different = numpy.unique(numbers)
        before = _cut_before(different.size)
        cuts = (different[before - 1] + different[before] + 1) // 2
        edges = numpy.concatenate([[0.0], self.edges[cuts], [1.0]])
        return Cells(numpy.searchsorted(cuts, numbers, side="right"), edges)

    def quantile(self, probability: ArrayLike) -> Floats:
        level = numpy.searchsorted(self.edges[1:-1], numpy.asarray(probability, float), side="right")
        numbers = numpy.arange(len(self.values)) if self.nominal else numpy.array(self.values)
        return numbers.astype(float)[level]


class WithAbsent(Axis):
    """A hyperparameter that a trial has with probability 1 - share; having none lies below all its values.

    >>> axis({"kind": "absent", "share": 0.25, "distribution": {"kind": "uniform", "low": 0, "high": 3}}).quantile([0.1, 0.5])
    array([nan,  1.])
    """

    def __init__(self, share: float, inner: Axis) -> None:
        self.share, self.inner, self.scale = share, inner, inner.scale

    def cells(self, values: ArrayLike) -> Cells:
        values = numpy.asarray(values, float)
        there = numpy.isfinite(values)
        inner = self.inner.cells(values[there])
        places = numpy.zeros(values.size, numpy.intp)
        places[there] = inner.places + 1
        return Cells(places, numpy.concatenate([[0.0], self.share + (1 - self.share) * inner.edges]))

    def distance(self, values: ArrayLike) -> float:
        values = numpy.asarray(values, float)
        return self.inner.distance(values[numpy.isfinite(values)])  # the share is what was seen

    def quantile(self, probability: ArrayLike) -> Floats:
        beyond = (numpy.asarray(probability, float) - self.share) / (1 - self.share)
        return numpy.where(beyond < 0, numpy.nan, self.inner.quantile(numpy.maximum(beyond, 0.0)))


def absent(share: float, inner: Axis) -> Axis:
    """An axis with a level for having none: one more name, or what lies below all numbers."""
    if isinstance(inner, Levels) and inner.nominal:
        masses = [share, *((1 - share) * numpy.diff(inner.edges))]
        return Levels([ABSENT, *inner.values], masses)
    return WithAbsent(share, inner)


def even_integer(inner: Continuous) -> Levels:
    """2 round(X / 2): the level k has the mass F(k + 1) - F(k - 1)."""
    low, high = inner.quantile([0.0, 1.0])
    levels = numpy.arange(2 * math.floor(low / 2) - 2, 2 * math.ceil(high / 2) + 4, 2)
    masses = inner.cdf(levels + 1.0) - inner.cdf(levels - 1.0)
    return Levels(levels[masses > 0].tolist(), masses[masses > 0], inner.scale)


def nominal(names: Sequence[str]) -> Levels:
    """Names, each as likely as any other."""
    return Levels([str(name) for name in names], numpy.full(len(names), 1 / len(names)))


def axis(form: Mapping[str, Any]) -> Axis:
    """The axis of a hyperparameter that was drawn from a distribution.

    Args:
        form: the distribution as the study stores it.

    Raises:
        AxisError: no distribution of a kind that is known; the message says which are.
    """
    makers: dict[str, Callable[[], Axis]] = {
        "uniform": lambda: Uniform(float(form["low"]), float(form["high"])),
        "log_uniform": lambda: LogUniform(float(form["low"]), float(form["high"])),
        "one_minus": lambda: OneMinus(_continuous(form["distribution"])),
        "even_integer": lambda: even_integer(_continuous(form["distribution"])),
        "choice": lambda: _choice(form["values"]),
        "levels": lambda: Levels(form["values"], form["masses"], form.get("scale", "levels")),
        "absent": lambda: absent(float(form["share"]), axis(form["distribution"])),
    }
    kind = form.get("kind") if isinstance(form, Mapping) else None
    if kind not in makers:
        raise AxisError(f"a distribution of kind {kind!r}; expected one of {', '.join(makers)}")
    try:
        return makers[str(kind)]()
    except AxisError:
        raise
    except (KeyError, TypeError, ValueError) as wrong:
        raise AxisError(f"a damaged distribution {dict(form)!r} ({wrong!r})") from None


def _continuous(form: Mapping[str, Any]) -> Continuous:
    inner = axis(form)
    if not isinstance(inner, Continuous):
        raise AxisError(f"{dict(form)!r}; expected a continuous distribution")
    return inner


def _choice(values: Sequence[Any]) -> Levels:
    if not values:
        raise AxisError("a choice among no values; expected one or more")
    ordered = list(values) if any(isinstance(value, str) for value in values) else sorted(values)
    return Levels(ordered, numpy.full(len(ordered), 1 / len(ordered)))
