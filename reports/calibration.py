"""How often each test of two cells finds a difference where there is none: a simulation.

Two cells of one and the same distribution are searched, n trials each; the best 10 % by validation are compared by their
test scores. Where the test score follows validation, Welch's t-test rejects 13 to 21 % of these true nulls at a nominal
5 % (200 trials, correlation 0.999, by shape): the selected scores lie close together, and the test does not know that
another search would have selected others, all of them a little better or worse. The bootstrap with re-selection stays
near 5 % (3 to 6 %), and below it where validation says little about the test. Run it as

    python -m lstm_odyssey.reports.calibration [--searches 2000]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

import numpy
import pandas
from numpy.typing import NDArray

from lstm_odyssey.reports import inference
from lstm_odyssey.reports.nearest import nearest

Numbers = NDArray[numpy.float64]

SHAPES = ("normal", "exponential", "search")
"""Distributions of a trial's score. ``search`` looks like a real one: a parabola in the logarithm of the learning rate,
spread by what the other hyperparameters do, under a ceiling at the chance level."""


def scores(
    random: numpy.random.Generator, searches: int, trials: int, shape: str, correlation: float
) -> tuple[Numbers, Numbers]:
    """Validation and test scores [searches, trials] of one distribution, correlated as stated; smaller is better."""
    size = searches, trials
    if shape == "normal":
        valid = random.normal(size=size)
    elif shape == "exponential":
        valid = random.exponential(size=size)
    elif shape == "search":
        rate = random.uniform(0, 4, size)
        spread = 0.3 * random.uniform(size=size) + 0.2 * random.exponential(size=size)
        valid = numpy.minimum(8.4 + 0.8 * (rate - 2.7) ** 2 + spread, 11.1)
    else:
        raise ValueError(f"shape: got {shape!r}; expected one of {nearest(shape, SHAPES)}.")
    if correlation == 0:
        return valid, random.permuted(valid, axis=1)
    noise = valid.std() * numpy.sqrt(1 / correlation**2 - 1)
    return valid, valid + noise * random.normal(size=size)


def false_positives(
    random: numpy.random.Generator,
    *,
    searches: int = 1000,
    trials: int = 200,
    shape: str = "normal",
    correlation: float = 0.999,
    replicates: int = 399,
    level: float = 0.05,
) -> dict[str, float]:
    """Share of true nulls that Welch's t-test and the bootstrap with re-selection reject.

    Args:
        random: generator.
        searches: pairs of searches that are compared; the standard error of a share p is √(p (1 - p) / searches).
        trials: of each search.
        shape: one of ``SHAPES``.
        correlation: of the test score with validation.
        replicates: of the bootstrap.
        level: nominal level.
    """
    pairs = [scores(random, searches, trials, shape, correlation) for _ in range(2)]
    rejected = {"welch": 0, "reselection": 0}
    everything = numpy.ones(trials, bool)
    for search in range(searches):
        one, other = (inference.rank(valid[search], test[search], everything) for valid, test in pairs)
        rejected["welch"] += inference.welch(one.best, other.best).p < level
        means = [
            inference.replicate_means(inference.reselect(cell, inference.draw(random, trials, replicates)))
            for cell in (one, other)
        ]
        rejected["reselection"] += inference.bootstrap_p(means[0] - means[1]) < level
    return {name: count / searches for name, count in rejected.items()}


def table(
    searches: int = 1000,
    seed: int = 0,
    *,
    trials: Iterable[int] = (200, 100, 70),
    correlations: Iterable[float] = (0.999, 0.95, 0.8, 0.0),
) -> pandas.DataFrame:
    """False positives in per cent: one row for each shape, correlation and number of trials."""
    rows: list[dict[str, str | float]] = []
    correlations, trials = tuple(correlations), tuple(trials)
    for shape in SHAPES:
        for correlation in correlations:
            for count in trials:
                random = numpy.random.default_rng([seed, len(rows)])
                found = false_positives(random, searches=searches, trials=count, shape=shape, correlation=correlation)
                rows.append({"shape": shape, "correlation": correlation, "trials": count})
                rows[-1] |= {f"{name} %": round(100 * share, 1) for name, share in found.items()}
    return pandas.DataFrame(rows)


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="lstm_odyssey.reports.calibration", description=__doc__.partition("\n")[0])
    parser.add_argument("--searches", type=int, default=1000, help="pairs of searches for each row (1000)")
    parser.add_argument("--seed", type=int, default=0, help="seed (0)")
    options = parser.parse_args(arguments)
    error = 100 * (0.05 * 0.95 / options.searches) ** 0.5
    sys.stdout.write(
        "True nulls rejected at a nominal 5 %, two cells of one distribution, best 10 % by validation compared\n"
        f"({options.searches} pairs of searches a row; standard error at 5 %: {error:.1f} points)\n\n"
        f"{table(options.searches, options.seed).to_string(index=False)}\n"
    )


if __name__ == "__main__":
    main()
