"""Functions whose decomposition is known, and how well a forest's mean and its single trees recover it.

``python -m tests.tools.ground_truths`` prints the table true / forest / per tree. All functions live on [0, 1]^d
with the uniform measure; their shares are exact.

Sources: Ishigami and Homma, ISUMA 1990; Sobol', "Theorems and examples on high dimensional model representation", 2003;
Friedman, "Multivariate Adaptive Regression Splines", Annals of Statistics 1991.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import chain, combinations
from typing import NamedTuple

import numpy
import pandas

from lstm_odyssey.reports.fanova.analysis import DECOMPOSITIONS, Analysis, View, analyse
from lstm_odyssey.reports.fanova.effects import all_pairs
from lstm_odyssey.reports.fanova.space import Floats, Uniform

Subset = tuple[int, ...]

VIEW = View(numpy.linspace(0.0, 1.0, 3), False)
"""Two points on each curve: shares do not depend on how curves are shown."""


class Truth(NamedTuple):
    """A function and its decomposition.

    Attributes:
        function: [n, d] -> [n].
        d: number of arguments.
        variance: total variance.
        parts: V_U of every subset U of the arguments that has any.
    """

    function: Callable[[Floats], Floats]
    d: int
    variance: float
    parts: Mapping[Subset, float]

    def share(self, *subset: int) -> float:
        """V_U / V."""
        return self.parts.get(subset, 0.0) / self.variance

    def mains(self) -> Floats:
        """Shares of the main effects [d]."""
        return numpy.array([self.share(j) for j in range(self.d)])

    def pairs(self) -> Floats:
        """Shares of the interactions of two [d (d - 1) / 2]."""
        return numpy.array([self.share(i, j) for i, j in all_pairs(self.d)])


def truth(function: Callable[[Floats], Floats], d: int, parts: Mapping[Subset, float]) -> Truth:
    """A function with all its parts: the total is their sum."""
    return Truth(function, d, sum(parts.values()), parts)


def ishigami(a: float = 7.0, b: float = 0.1) -> Truth:
    """sin x_1 + a sin² x_2 + b x_3⁴ sin x_1, each x uniform on [-π, π]."""

    def function(u: Floats) -> Floats:
        x = math.pi * (2 * u - 1)
        return numpy.asarray(numpy.sin(x[:, 0]) * (1 + b * x[:, 2] ** 4) + a * numpy.sin(x[:, 1]) ** 2)

    # E[x⁴] = π⁴ / 5 and Var[x⁴] = π⁸ (1/9 - 1/25)
    parts = {(0,): (1 + b * math.pi**4 / 5) ** 2 / 2, (1,): a**2 / 8, (0, 2): b**2 * math.pi**8 * 8 / 225}
    return truth(function, 3, parts)


def sobol_g(a: tuple[float, ...] = (0.0, 0.5, 3.0, 9.0, 99.0)) -> Truth:
    """Π_j (|4 u_j - 2| + a_j) / (1 + a_j): V_U = Π_{j∈U} 1 / (3 (1 + a_j)²)."""
    shape = numpy.array(a)

    def function(u: Floats) -> Floats:
        return numpy.asarray(((abs(4 * u - 2) + shape) / (1 + shape)).prod(axis=1))

    one = 1 / (3 * (1 + shape) ** 2)
    subsets = chain.from_iterable(combinations(range(len(a)), size) for size in range(1, len(a) + 1))
    return truth(function, len(a), {subset: float(one[list(subset)].prod()) for subset in subsets})


def multilinear(weights: Mapping[Subset, float] | None = None) -> Truth:
    """Σ_U b_U Π_{j∈U} (u_j - ½): V_U = b_U² / 12^|U|."""
    chosen = weights or {(0,): 1.0, (1,): 0.7, (2,): 0.4, (0, 1): 3.0, (1, 2): 1.5, (0, 1, 2): 6.0}
    d = 1 + max(map(max, chosen))

    def function(u: Floats) -> Floats:
        return numpy.asarray(sum(b * (u[:, list(subset)] - 0.5).prod(axis=1) for subset, b in chosen.items()))

    return truth(function, d, {subset: b**2 / 12 ** len(subset) for subset, b in chosen.items()})


def friedman() -> Truth:
    """10 sin(π u_1 u_2) + 20 (u_3 - ½)² + 10 u_4 + 5 u_5, without noise.

    The first term g has mean and variances as integrals over one axis: m(u) = (1 - cos πu) / (πu) is its average over the
    other, and the average of its square over the other is ½ (1 - sin(2πu) / (2πu)).
    """

    def function(u: Floats) -> Floats:
        return numpy.asarray(
            10 * numpy.sin(math.pi * u[:, 0] * u[:, 1]) + 20 * (u[:, 2] - 0.5) ** 2 + 10 * u[:, 3] + 5 * u[:, 4]
        )

    nodes, weights = numpy.polynomial.legendre.leggauss(64)
    u, w = (nodes + 1) / 2, weights / 2
    averages = (1 - numpy.cos(math.pi * u)) / (math.pi * u)
    mean = float(w @ averages)
    square = float(w @ (1 - numpy.sinc(2 * u))) / 2
    one = 100 * (float(w @ averages**2) - mean**2)
    both = 100 * (square - mean**2) - 2 * one
    return truth(function, 5, {(0,): one, (1,): one, (2,): 400 / 180, (3,): 100 / 12, (4,): 25 / 12, (0, 1): both})


def additive() -> Truth:
    """u_1 + cos(2π u_2) + 2 u_3² + 1[u_4 < 0.3]: no interaction at all."""

    def function(u: Floats) -> Floats:
        return numpy.asarray(u[:, 0] + numpy.cos(2 * math.pi * u[:, 1]) + 2 * u[:, 2] ** 2 + (u[:, 3] < 0.3))

    return truth(function, 4, {(0,): 1 / 12, (1,): 1 / 2, (2,): 16 / 45, (3,): 0.21})


TRUTHS: dict[str, Callable[[], Truth]] = {
    "Ishigami": ishigami,
    "Sobol' g": sobol_g,
    "multilinear": multilinear,
    "Friedman 1": friedman,
    "additive": additive,
}


def recovered(known: Truth, n: int, seed: int = 0, *, noise: float = 0.0, trees: int = 100) -> dict[str, Analysis]:
    """Both decompositions from n random trials.

    Args:
        known: the function.
        n: number of trials.
        seed: of the trials, the noise and the forest.
        noise: its standard deviation, in standard deviations of the function.
        trees: of the forest.
    """
    generator = numpy.random.default_rng([seed, n])
    points = generator.random((n, known.d))
    response = known.function(points) + noise * known.variance**0.5 * generator.normal(size=n)
    cells = [Uniform(0.0, 1.0).cells(points[:, j]) for j in range(known.d)]
    return {
        name: analyse(cells, response, [VIEW] * known.d, decomposition=name, trees=trees, seed=seed, over_trees=False)
        for name in DECOMPOSITIONS
    }


def table(
    names: Iterable[str] = tuple(TRUTHS), n: int = 1000, seed: int = 0, *, noise: float = 0.0
) -> pandas.DataFrame:
    """One row for each main effect, each pair, and the rest: per cent, true and recovered."""
    rows = []
    for name in names:
        known = TRUTHS[name]()
        found = recovered(known, n, seed, noise=noise)
        effects = [f"S{j + 1}" for j in range(known.d)] + [f"S{i + 1},{j + 1}" for i, j in all_pairs(known.d)]
        columns = {"true": numpy.concatenate([known.mains(), known.pairs()])}
        columns |= {key: numpy.concatenate([each.main.value, each.pair.value]) for key, each in found.items()}
        columns = {key: numpy.append(values, 1 - values.sum()) for key, values in columns.items()}
        r_squared = next(iter(found.values())).r_squared
        for number, effect in enumerate([*effects, "three or more"]):
            rows.append({"function": name, "R²": round(r_squared, 3), "effect": effect})
            rows[-1] |= {f"{key} %": round(100 * float(values[number]), 2) for key, values in columns.items()}
    return pandas.DataFrame(rows)


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="tests.tools.ground_truths", description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=1000, help="random trials of each function (1000)")
    parser.add_argument("--noise", type=float, default=0.0, help="standard deviation of noise over the function's (0)")
    parser.add_argument("--seed", type=int, default=0, help="seed (0)")
    options = parser.parse_args(arguments)
    found = table(n=options.trials, seed=options.seed, noise=options.noise)
    squared = [(found[f"{name} %"] - found["true %"]) ** 2 for name in DECOMPOSITIONS]
    errors = ", ".join(f"{name} {each.mean() ** 0.5:.2f}" for name, each in zip(DECOMPOSITIONS, squared, strict=True))
    sys.stdout.write(
        f"Shares of the variance, true and recovered from {options.trials} trials (noise {options.noise:g})\n\n"
        f"{found.to_string(index=False)}\n\nroot-mean-square error in points: {errors}\n"
    )


if __name__ == "__main__":
    main()
