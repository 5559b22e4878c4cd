"""How often each way to compare two cells is right: a simulation on surfaces like those of the JSB Chorales record.

A trial's score is a valley in the logarithm of the learning rate, up to the chance level, with what the input noise, the size,
the momentum and its initial weights add (``Cell``). Two cells are searched again and again, with the same draws or with
draws of their own, and compared by their best tenths. ``forest_shares`` sets what a forest finds of the variance beside what is
true of the surface. Run it as

    python -m tests.tools.calibration [--studies 1000]
"""

from __future__ import annotations

import argparse
import sys
from typing import NamedTuple

import numpy
import pandas
from numpy.typing import NDArray

from lstm_odyssey.reports.fanova.analysis import analyse
from lstm_odyssey.reports.fanova.space import Uniform
from lstm_odyssey.reports.stats import inference
from lstm_odyssey.reports.stats.inference import best_count
from tests.tools.ground_truths import VIEW

Numbers = NDArray[numpy.float64]
Draws = NDArray[numpy.float64]
"""log10 of the learning rate, log10 of the size, standard deviation of the input noise, log10(1 - momentum) [..., 4]."""

LOW = numpy.array([-6.0, numpy.log10(20), 0.0, -2.0])
HIGH = numpy.array([-2.0, numpy.log10(200), 1.0, 0.0])
NAMES = ("learning_rate", "hidden_size", "input_noise", "momentum")

CHANCE = 11.09


class Cell(NamedTuple):
    """The surface of one cell.

    Attributes:
        level: of its best score.
        optimum: log10 of the best learning rate.
        size, noise: what a decade of sizes and a unit of input noise take and add.
        seed, rest: standard deviations of what the initial weights add to both scores, and of what validation does not see.
    """

    level: float = 8.3
    optimum: float = -2.6
    size: float = 0.15
    noise: float = 1.2
    seed: float = 0.08
    rest: float = 0.015


BASELINE = Cell()

CASES = {
    "identical": BASELINE,
    "optimum elsewhere": Cell(level=8.3, optimum=-3.2, size=0.3, noise=1.0),
    "worse by .125": Cell(level=8.425),
}
"""What is compared with ``BASELINE``."""

ELSEWHERE = "optimum elsewhere"
EQUAL_ELSEWHERE = "optimum elsewhere, equally good"
"""``ELSEWHERE`` with its level moved until the true difference is 0."""


def draw(random: numpy.random.Generator, *size: int) -> Draws:
    """Draws of the paper's space [*size, 4]."""
    return random.uniform(LOW, HIGH, (*size, 4))


def scores(random: numpy.random.Generator, cell: Cell, draws: Draws) -> tuple[Numbers, Numbers]:
    """Validation and test scores of trials with these hyperparameters; smaller is better."""
    rate, size, noise, momentum = numpy.moveaxis(draws, -1, 0)
    away = rate - 0.3 * momentum - cell.optimum
    valid = cell.level + numpy.where(away < 0, 0.28, 0.4) * away**2 + cell.noise * noise + cell.size * (2.3 - size) ** 2
    valid = valid + cell.seed * random.normal(size=valid.shape)
    test = valid + 0.09 + cell.rest * random.normal(size=valid.shape)
    return numpy.minimum(valid, CHANCE), numpy.minimum(test, CHANCE)


class Found(NamedTuple):
    """What so many pairs of searches gave: differences of best tenths [S], their intervals [S, 2], Welch's p [S]."""

    difference: Numbers
    interval: Numbers
    welch: Numbers

    def rejects(self) -> float:
        """Share of the studies whose interval leaves out 0."""
        return float(((self.interval[:, 0] > 0) | (self.interval[:, 1] < 0)).mean())

    def covers(self, truth: float) -> float:
        """Share of the studies whose interval holds the truth."""
        return float(((self.interval[:, 0] <= truth) & (truth <= self.interval[:, 1])).mean())


def searched(
    random: numpy.random.Generator,
    cell: Cell,
    *,
    studies: int = 400,
    trials: int = 200,
    common: bool = True,
    replicates: int = 999,
    comparisons: int = 1,
    confidence: float = 0.95,
) -> Found:
    """Search a cell and the baseline again and again, and compare their best tenths.

    Args:
        random: generator.
        cell: what is compared with ``BASELINE``.
        studies: how often.
        trials: of each cell in a study.
        common: whether both have the same draws; then the bootstrap draws these once for both.
        replicates: of the bootstrap.
        comparisons: what the intervals are corrected for.
        confidence: of the intervals, before that.
    """
    found, everything = [], numpy.ones(trials, bool)
    level = inference.corrected(confidence, comparisons)
    for _ in range(studies):
        draws = draw(random, trials)
        one = inference.rank(*scores(random, cell, draws), everything)
        other = inference.rank(*scores(random, BASELINE, draws if common else draw(random, trials)), everything)
        places = inference.draw(random, trials, replicates)
        again = places if common else inference.draw(random, trials, replicates)
        means = [inference.mean(inference.reselect(*pair)) for pair in (_placed(one, places), _placed(other, again))]
        low, high = inference.percentiles(means[0] - means[1], level)
        found.append((one.best.mean() - other.best.mean(), low, high, inference.welch(one.best, other.best).p))
    values = numpy.array(found)
    return Found(values[:, 0], values[:, 1:3], values[:, 3])


def _placed(ranked: inference.Ranked, places: NDArray[numpy.intp]) -> tuple[inference.Ranked, NDArray[numpy.intp]]:
    """The ranks of the trials at these places."""
    rank = numpy.empty(ranked.trial.size, places.dtype)
    rank[ranked.trial] = numpy.arange(ranked.trial.size)
    return ranked, rank[places]


def true_difference(random: numpy.random.Generator, cell: Cell, *, trials: int = 200, studies: int = 5000) -> float:
    """The mean difference of the best tenths of so many searches with the same draws."""
    k = best_count(trials)
    means = []
    draws = draw(random, studies, trials)
    for one in (cell, BASELINE):
        valid, test = scores(random, one, draws)
        best = numpy.argpartition(valid, k - 1, axis=1)[:, :k]
        means.append(numpy.take_along_axis(test, best, axis=1).mean())
    return float(means[0] - means[1])


def equal_elsewhere(seed: int = 0, *, worse: float = 0.0, studies: int = 5000) -> Cell:
    """The cell with its optimum elsewhere whose true difference to the baseline is ``worse``; 0: an exact null."""
    cell = CASES[ELSEWHERE]
    apart = true_difference(numpy.random.default_rng([seed, 1]), cell, studies=studies)
    return cell._replace(level=cell.level - apart + worse)


def table(studies: int = 1000, seed: int = 0) -> pandas.DataFrame:
    """One row for each case and kind of draws: the estimator's spread, coverage, power and Welch's false positives."""
    rows = []
    for name, cell in {**CASES, EQUAL_ELSEWHERE: equal_elsewhere(seed)}.items():
        truth = true_difference(numpy.random.default_rng([seed, 1]), cell)
        for common in (True, False):
            found = searched(numpy.random.default_rng([seed, 2]), cell, studies=studies, common=common)
            row = {"case": name, "draws": "common" if common else "independent", "true difference": truth}
            row |= {
                "sd": found.difference.std(),
                "covers %": 100 * found.covers(truth),
                "finds %": 100 * found.rejects(),
            }
            rows.append(row | {"Welch finds %": 100 * float((found.welch < 0.05).mean())})
    return pandas.DataFrame(rows)


def power(studies: int = 1000, seed: int = 0, comparisons: int = 8) -> pandas.DataFrame:
    """How often a true difference is found after correction, common draws: by size, number of draws, place of the optimum."""
    surfaces = {"the same": BASELINE, "elsewhere": equal_elsewhere(seed)}
    rows = []
    for optimum, cell in surfaces.items():
        for trials in (100, 200, 400):
            for size in (0.08, 0.13):
                worse = cell._replace(level=cell.level + size)
                random = numpy.random.default_rng([seed, trials])
                found = searched(random, worse, studies=studies, trials=trials, comparisons=comparisons)
                rows.append(
                    {"optimum": optimum, "trials": trials, "difference": size, "found %": 100 * found.rejects()}
                )
    return pandas.DataFrame(rows)


def true_shares(random: numpy.random.Generator, cell: Cell, samples: int = 1_000_000) -> Numbers:
    """Shares of the main effects in the variance of the expected test score [4].

    The covariance of two scores that have one hyperparameter in common is the variance of that one's main effect, of two
    that have all in common that of the expected score: initial weights and the rest are drawn apart (Sobol', 1993).
    """
    draws, others = draw(random, samples), draw(random, samples)
    score = scores(random, cell, draws)[1]
    variances = []
    for kept in (*numpy.eye(len(NAMES), dtype=bool), numpy.ones(len(NAMES), bool)):
        partner = scores(random, cell, numpy.where(kept, draws, others))[1]
        variances.append(numpy.cov(score, partner)[0, 1])
    found: Numbers = numpy.array(variances[:-1]) / variances[-1]
    return found


def forest_shares(studies: int = 20, seed: int = 0, *, trials: int = 200, samples: int = 1_000_000) -> pandas.DataFrame:
    """One row for each hyperparameter: its share of the baseline's variance, true and in the mean over forests, per cent.

    Args:
        studies: how many searches, each with a forest of its own.
        seed: of them.
        trials: of a search.
        samples: for the true shares.
    """
    random = numpy.random.default_rng([seed, 3])
    true, found = 100 * true_shares(random, BASELINE, samples), []
    axes = [Uniform(low, high) for low, high in zip(LOW, HIGH, strict=True)]
    for number in range(studies):
        draws = draw(random, trials)
        cells = [axis.cells(draws[:, j]) for j, axis in enumerate(axes)]
        one = analyse(cells, scores(random, BASELINE, draws)[1], [VIEW] * len(axes), seed=number, over_trees=False)
        found.append(100 * one.main.value)
    mean, spread = numpy.mean(found, axis=0), numpy.std(found, axis=0)
    columns = {"hyperparameter": NAMES, "true %": true, "forest %": mean, "bias": mean - true, "sd": spread}
    return pandas.DataFrame(columns)


def main(arguments: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="tests.tools.calibration", description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=1000, help="pairs of searches for each row (1000)")
    parser.add_argument("--forests", type=int, default=100, help="searches with a forest (100)")
    parser.add_argument("--seed", type=int, default=0, help="seed (0)")
    options = parser.parse_args(arguments)
    parts = [part(options.studies, options.seed) for part in (table, power)]
    parts.append(forest_shares(options.forests, options.seed))
    shown = (part.to_string(index=False, float_format="%.3f") for part in parts)
    sys.stdout.write(
        f"Two cells compared by their best tenths, {options.studies} studies of 200 trials a row, nominal 95 %\n\n"
        f"{next(shown)}\n\n"
        f"Found after Bonferroni over eight cells, common draws\n\n{next(shown)}\n\n"
        f"Shares of the baseline's variance, true and in the mean of {options.forests} forests of 200 trials\n\n{next(shown)}\n"
    )


if __name__ == "__main__":
    main()
