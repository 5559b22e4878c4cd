"""Distributions of hyperparameters.

A distribution is drawn from by the random search, turned into JSON by the store, and read by the analysis, whose axes
are the sampling axes. Drawing goes through ``scipy.stats``, imported at the first draw. numpy only otherwise.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_odyssey.tasks.nearest import nearest

Number = float | int | bool


class Distribution(ABC):
    """What a hyperparameter may be, and how likely: a frozen dataclass, equal by value, hashable, picklable."""

    kind: ClassVar[str]

    @abstractmethod
    def draw(self, generator: np.random.Generator) -> Number:
        """One value, a plain Python number, from ``generator``."""

    @abstractmethod
    def cdf(self, x: ArrayLike) -> NDArray[np.float64]:
        """P(X <= x), for a number or an array of them: float64 of the same shape."""

    @abstractmethod
    def contains(self, x: Number) -> bool:
        """Whether ``x`` lies in the support."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form, ``{"kind": "log_uniform", "low": 1e-06, "high": 0.01}``; see `distribution_from_dict`."""
        plain = {
            name: value.as_dict() if isinstance(value, Distribution) else value for name, value in vars(self).items()
        }
        return {"kind": self.kind, **plain}


class Continuous(Distribution):
    """A distribution with a density on the closed interval `support`."""

    @property
    @abstractmethod
    def support(self) -> tuple[float, float]:
        """The smallest and the largest value."""

    def contains(self, x: Number) -> bool:
        low, high = self.support
        return bool(low <= x <= high)


@dataclass(frozen=True)
class Interval(Continuous):
    """A distribution with the two parameters low < high, both finite; kept as floats."""

    low: float
    high: float
    text: ClassVar[str]

    def __post_init__(self) -> None:
        name = f"{type(self).__name__}({self.low!r}, {self.high!r})"
        for bound in ("low", "high"):
            value = getattr(self, bound)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"{name}: {bound} is {value!r}; expected a finite number. Give one.")
            object.__setattr__(self, bound, float(value))
        if not self.low < self.high:
            raise ValueError(f"{name}: low is not below high. Swap them, or use Choice for a single value.")

    @property
    def support(self) -> tuple[float, float]:
        return self.low, self.high

    @abstractmethod
    def sample(self, generator: np.random.Generator) -> float:
        """One value by ``scipy.stats``."""

    def draw(self, generator: np.random.Generator) -> float:
        value = self.sample(generator)
        return min(max(value, self.low), self.high)  # rounding may put a value one unit outside

    def __str__(self) -> str:
        return f"{self.text} [{self.low:g}, {self.high:g}]"


@dataclass(frozen=True)
class Uniform(Interval):
    """Uniform on [low, high]."""

    kind: ClassVar[str] = "uniform"
    text: ClassVar[str] = "uniform"

    def sample(self, generator: np.random.Generator) -> float:
        from scipy import stats

        return float(stats.uniform.rvs(self.low, self.high - self.low, random_state=generator))

    def cdf(self, x: ArrayLike) -> NDArray[np.float64]:
        return np.clip((np.asarray(x, dtype=np.float64) - self.low) / (self.high - self.low), 0.0, 1.0)


@dataclass(frozen=True)
class LogUniform(Interval):
    """exp(U) with U uniform on [ln low, ln high]; 0 < low < high.

    Example:
        >>> print(LogUniform(1e-6, 1e-2), LogUniform(1e-6, 1e-2).cdf(1e-4).round(12))
        log-uniform [1e-06, 0.01] 0.5
    """

    kind: ClassVar[str] = "log_uniform"
    text: ClassVar[str] = "log-uniform"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low <= 0:
            raise ValueError(f"LogUniform({self.low}, {self.high}): low is not positive. Give a low above 0.")

    def sample(self, generator: np.random.Generator) -> float:
        from scipy import stats

        return float(stats.loguniform.rvs(self.low, self.high, random_state=generator))

    def cdf(self, x: ArrayLike) -> NDArray[np.float64]:
        clipped = np.clip(np.asarray(x, dtype=np.float64), self.low, self.high)
        return np.asarray((np.log(clipped) - math.log(self.low)) / (math.log(self.high) - math.log(self.low)))


@dataclass(frozen=True)
class Wrapper(Distribution):
    """A function of a continuous distribution."""

    distribution: Continuous
    text: ClassVar[str]

    def __post_init__(self) -> None:
        if not isinstance(self.distribution, Continuous):
            name = type(self).__name__
            raise TypeError(f"{name}({self.distribution!r}): expected LogUniform, Uniform or OneMinus. Pass one.")

    def __str__(self) -> str:
        return f"{self.text} {self.distribution}"


@dataclass(frozen=True)
class OneMinus(Wrapper, Continuous):
    """1 - X, X of a continuous distribution: P(1 - X <= x) = 1 - P(X <= 1 - x).

    Example:
        >>> print(OneMinus(LogUniform(0.01, 1)), OneMinus(LogUniform(0.01, 1)).support)
        1 - log-uniform [0.01, 1] (0.0, 0.99)
    """

    kind: ClassVar[str] = "one_minus"
    text: ClassVar[str] = "1 -"

    @property
    def support(self) -> tuple[float, float]:
        low, high = self.distribution.support
        return 1 - high, 1 - low

    def draw(self, generator: np.random.Generator) -> float:
        return 1.0 - float(self.distribution.draw(generator))

    def cdf(self, x: ArrayLike) -> NDArray[np.float64]:
        return np.asarray(1.0 - self.distribution.cdf(1.0 - np.asarray(x, dtype=np.float64)))


@dataclass(frozen=True)
class EvenInteger(Wrapper):
    """2 round(X / 2), X of a continuous distribution with cdf F: the sizes as the authors of the paper drew them.

    The level k (even) has the mass F(k + 1) - F(k - 1), F being 0 and 1 beyond its support: of LogUniform(20, 200) the
    level 20 gets F(21), the level 200 gets 1 - F(199).

    Example:
        >>> print(EvenInteger(LogUniform(20, 200)), EvenInteger(LogUniform(20, 200)).cdf([19, 20, 199, 200]).round(4))
        even log-uniform [20, 200] [0.     0.0212 0.9978 1.    ]
    """

    kind: ClassVar[str] = "even_integer"
    text: ClassVar[str] = "even"

    def draw(self, generator: np.random.Generator) -> int:
        return 2 * round(self.distribution.draw(generator) / 2)

    def cdf(self, x: ArrayLike) -> NDArray[np.float64]:
        return self.distribution.cdf(2.0 * np.floor(np.asarray(x, dtype=np.float64) / 2) + 1.0)

    def contains(self, x: Number) -> bool:
        return math.isfinite(x) and x % 2 == 0 and float(self.cdf(x)) > float(self.cdf(x - 2))


@dataclass(frozen=True)
class Choice(Distribution):
    """One of some numbers or booleans, each as likely as any other."""

    values: tuple[Number, ...]
    kind: ClassVar[str] = "choice"

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))
        finite = all(isinstance(value, int | float) and math.isfinite(value) for value in self.values)
        if not self.values or not finite or len(set(self.values)) < len(self.values):
            raise ValueError(f"Choice({self.values!r}): expected one or more different finite numbers or booleans.")

    def draw(self, generator: np.random.Generator) -> Number:
        from scipy import stats

        return self.values[int(stats.randint.rvs(0, len(self.values), random_state=generator))]

    def cdf(self, x: ArrayLike) -> NDArray[np.float64]:
        values = np.sort(np.asarray(self.values, dtype=np.float64))
        return np.asarray(np.searchsorted(values, np.asarray(x, dtype=np.float64), side="right") / len(values))

    def contains(self, x: Number) -> bool:
        return x in self.values

    def as_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "values": list(self.values)}

    def __str__(self) -> str:
        return "one of " + ", ".join(str(value) for value in self.values)


KINDS: dict[str, type[Distribution]] = {
    kind.kind: kind for kind in (LogUniform, Uniform, OneMinus, EvenInteger, Choice)
}


def distribution_from_dict(form: Mapping[str, Any]) -> Distribution:
    """The distribution that `Distribution.as_dict` turned into ``form``.

    Errors: ValueError for any other form; it names what is known, the nearest first.

    Example:
        >>> distribution_from_dict({"kind": "log_uniform", "low": 1e-4, "high": 1e-2})
        LogUniform(low=0.0001, high=0.01)
    """
    given = dict(form) if isinstance(form, Mapping) else {}
    kind = given.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"distribution {form!r}: kind is {kind!r}; expected one of {nearest(kind, list(KINDS))}.")
    known = list(inspect.signature(KINDS[kind]).parameters)
    for name in given:
        if name not in known:
            raise ValueError(f"distribution {form!r}: unknown field '{name}'; expected {nearest(name, known)}.")
    if lacking := [name for name in known if name not in given]:
        raise ValueError(f"distribution {form!r}: it lacks {', '.join(lacking)}; {kind} has {', '.join(known)}.")
    if isinstance(given.get("distribution"), Mapping):
        given["distribution"] = distribution_from_dict(given["distribution"])
    try:
        return KINDS[kind](**given)
    except TypeError as error:
        raise ValueError(f"distribution {form!r}: {error}. Give the fields that as_dict() writes.") from None
