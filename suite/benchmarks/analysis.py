"""Speed of the functional ANOVA after the fit, on one core, and of optuna's evaluator on the same trials.

The sizes are those of one cell's study (200 trials, 4 hyperparameters, 100 trees) and of all nine cells' with three tasks'
worth of trials together (5400, 10, 64).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy

# Not by its name in the package, which would be that of the commit that is installed.
names: Any = import_module(f"{__package__}.names")


class Size(NamedTuple):
    """Trials, hyperparameters and trees."""

    trials: int
    hyperparameters: int
    trees: int


ONE_CELL = Size(200, 4, 100)
EVERYTHING = Size(5400, 10, 64)


class Work:
    """A fitted forest, and what is timed of it.

    Args:
        size: of the trials and the forest.
        seed: of both.
    """

    def __init__(self, size: Size, seed: int = 0) -> None:
        uniform = names.module("reports.fanova.space").Uniform
        generator = numpy.random.default_rng(seed)
        self.size, self.seed = size, seed
        self.points = generator.random((size.trials, size.hyperparameters))
        smooth = numpy.sin(6 * self.points[:, 0]) + 4 * self.points[:, 1] * self.points[:, 2]
        self.response = smooth + 0.3 * generator.normal(size=size.trials)
        self.cells = [uniform(0.0, 1.0).cells(self.points[:, j]) for j in range(size.hyperparameters)]
        self.fit()

    def fit(self) -> None:
        """The forest, with its out-of-bag R²."""
        forest = names.module("reports.fanova.forest")
        self.forest = forest.fit(self.cells, self.response, trees=self.size.trees, seed=self.seed)

    def fit_and_pairs(self) -> Any:
        """The fit, and what ``pairs`` does after it."""
        self.fit()
        return self.pairs()

    def main_effects(self) -> Any:
        """From scikit-learn's trees to V_j of every tree and of the forest's mean [trees, d], [d]."""
        made, effects = self._effects()
        means = [effect.mean(axis=0) for effect in effects]
        return self._variances(made, effects), self._variances(made, means)

    def pairs(self) -> Any:
        """From scikit-learn's trees to V_ij of the forest's mean, main effects on the way [d (d - 1) / 2]."""
        decomposition = names.module("reports.fanova.effects")

        made, effects = self._effects()
        means = [effect.mean(axis=0) for effect in effects]
        return numpy.array([variance for _, variance in decomposition.pair_grids(made, means)])

    def pairs_per_tree(self) -> Any:
        """From scikit-learn's trees to V_ij of every tree [d (d - 1) / 2, trees]."""
        decomposition = names.module("reports.fanova.effects")

        made, _ = self._effects()
        return decomposition.pair_variances(made, decomposition.all_pairs(self.size.hyperparameters))

    def optuna_study(self) -> Any:
        """The same trials as a study of optuna's."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        space: dict[str, Any] = {
            f"x{j}": optuna.distributions.FloatDistribution(0, 1) for j in range(self.size.hyperparameters)
        }
        study = optuna.create_study()
        study.add_trials([
            optuna.trial.create_trial(
                params=dict(zip(space, map(float, point), strict=True)), distributions=space, value=float(value)
            )
            for point, value in zip(self.points, self.response, strict=True)
        ])  # fmt: skip
        return study

    def evaluator(self, package: str = "optuna.importance") -> Any:
        """Optuna's evaluator, or that of a package that replaces it: fits a forest of as many trees, main effects only."""
        return import_module(package).FanovaImportanceEvaluator(n_trees=self.size.trees, seed=self.seed)

    def optuna_fit(self) -> Any:
        """The part of optuna's evaluator that is scikit-learn's: a forest of its size and depth on the same trials."""
        from sklearn.ensemble import RandomForestRegressor

        return RandomForestRegressor(self.size.trees, max_depth=64, random_state=self.seed).fit(
            self.points, self.response
        )

    def _effects(self) -> Any:
        decomposition = names.module("reports.fanova.effects")
        forest = names.module("reports.fanova.forest")
        edges = self.forest.boxes.edges
        centres = [numpy.arange(edge.size - 1.0) for edge in edges]
        made = decomposition.leaves(forest.boxes(self.forest.trees, centres, edges))
        return made, [decomposition.curves(made, j) for j in range(self.size.hyperparameters)]

    @staticmethod
    def _variances(made: Any, effects: Any) -> Any:
        decomposition = names.module("reports.fanova.effects")

        return decomposition.main_variances(made.boxes, effects)


def _benchmark(function: Callable[[Any], None]) -> Callable[[Any], None]:
    """A version given by hand: asv's own is a hash of the code, which throws a history away for a comment."""
    function.version = "1"  # type: ignore[attr-defined]  # a function's attribute, as asv reads it
    return function


class Analysis:
    """What the cases have in common: a forest, fitted once."""

    size = ONE_CELL
    timeout = 600
    number, repeat, warmup_time = 1, (3, 20, 5.0), 0.0  # least, most, seconds
    work: Any = None

    def setup(self) -> None:
        if self.work is not None:  # asv sets up before every sample
            return
        names.needed("reports.fanova.effects")
        self.work = Work(self.size)


class OneCell(Analysis):
    """200 trials, 4 hyperparameters, 100 trees."""

    @_benchmark
    def time_main_effects_and_pairs(self) -> None:
        self.work.pairs()

    @_benchmark
    def time_main_effects_and_pairs_per_tree(self) -> None:
        self.work.pairs_per_tree()


class Everything(Analysis):
    """5400 trials, 10 hyperparameters, 64 trees."""

    size = EVERYTHING

    @_benchmark
    def time_main_effects(self) -> None:
        self.work.main_effects()

    @_benchmark
    def time_main_effects_and_pairs(self) -> None:
        self.work.pairs()

    @_benchmark
    def time_main_effects_and_pairs_per_tree(self) -> None:
        self.work.pairs_per_tree()


class Optuna(Analysis):
    """Main effects of the same 200 trials by optuna's evaluator, its fit included; not run where optuna is missing."""

    repeat = (3, 3, 60.0)

    def setup(self) -> None:
        super().setup()
        if find_spec("optuna") is None:
            raise NotImplementedError("optuna is not installed: skipped")
        self.study, self.evaluator = self.work.optuna_study(), self.work.evaluator()

    @_benchmark
    def time_main_effects(self) -> None:
        self.evaluator.evaluate(self.study)
