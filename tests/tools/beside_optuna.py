"""A search of optuna's analysed by ``lo.fanova`` and by optuna's own evaluator: shares beside the truth, and both times.

``python -m tests.tools.beside_optuna`` prints the table that stands in docs/analysis.md. The objective is multilinear in the
places on the axes from which parameters are drawn, so that its shares are known: V_U = b_U² / 12^|U|. Times are medians of
rounds that take turns, of the process's own processor time, the fit included on both sides.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial

import lstm_odyssey as lo
from lstm_odyssey.reports.fanova.forms import form
from lstm_odyssey.reports.fanova.space import axis
from lstm_odyssey.training.threads import one_thread

SPACE = {
    "learning_rate": FloatDistribution(1e-5, 1e-1, log=True),
    "weight_decay": FloatDistribution(1e-6, 1e-2, log=True),
    "momentum": FloatDistribution(0, 1),
    "dropout": FloatDistribution(0, 0.5),
}
MAIN = {"learning_rate": 3.0, "weight_decay": 1.0, "momentum": 3.0, "dropout": 2.0}
PAIR = ("learning_rate", "momentum"), 6.0
"""Factors b of the places, less a half, and of the product of two of them."""


def truth() -> dict[str, float]:
    """The shares of the main effects and of the one pair."""
    parts = {name: b**2 / 12 for name, b in MAIN.items()} | {":".join(PAIR[0]): PAIR[1] ** 2 / 144}
    return {name: value / sum(parts.values()) for name, value in parts.items()}


def search(trials: int, seed: int = 0) -> optuna.Study:
    """A random search by optuna of so many trials."""
    study = optuna.create_study(study_name="search", sampler=optuna.samplers.RandomSampler(seed=seed))
    axes = {name: axis(form(given) or {}) for name, given in SPACE.items()}
    for _ in range(trials):
        trial = study.ask(SPACE)
        u = {name: float(axes[name].cdf(value)) - 0.5 for name, value in trial.params.items()}  # type: ignore[attr-defined]
        value = sum(b * u[name] for name, b in MAIN.items()) + PAIR[1] * u[PAIR[0][0]] * u[PAIR[0][1]]
        study.tell(trial, value)
    done = [create_trial(params=t.params, distributions=t.distributions, value=t.value) for t in study.trials]
    again = optuna.create_study(study_name="search", sampler=study.sampler)
    again.add_trials(done)
    return again


def shares(result: Any) -> dict[str, float]:
    """Main effects and pairs by name."""
    result = result.sel(clip=1)
    return {**result["main_share"].to_series(), **result["pair_share"].to_series()}


def times(study: optuna.Study, trees: int, rounds: int) -> dict[str, tuple[float, Any]]:
    """Median seconds of each, and what it found."""
    asked: dict[str, Callable[[], Any]] = {
        "lo.fanova": lambda: lo.fanova(study, clip=1, trees=trees),
        "optuna": lambda: optuna.importance.FanovaImportanceEvaluator(n_trees=trees, seed=1).evaluate(study),
    }
    seconds: dict[str, list[float]] = {name: [] for name in asked}
    found = {}
    for number in range(rounds + 1):  # the first warms up
        for name, ask in asked.items():
            start = time.process_time()
            found[name] = ask()
            if number:
                seconds[name].append(time.process_time() - start)
    return {name: (statistics.median(taken), found[name]) for name, taken in seconds.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--trees", type=int, default=64, help="optuna's usual number")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with one_thread():
        taken = times(search(options.trials), options.trees, options.rounds)
    (ours, result), (theirs, importances) = taken["lo.fanova"], taken["optuna"]
    rows = shares(result)
    print("| share, in per cent | true | `lo.fanova` | optuna |\n|---|---|---|---|")
    for name, share in truth().items():
        known = f"{100 * importances[name]:.1f}" if name in importances else "does not say"
        print(f"| {name} | {100 * share:.1f} | {100 * rows[name]:.1f} | {known} |")
    print(f"| seconds | | {ours:.2g} | {theirs:.2g} |")
    print(
        f"{options.trials} trials, {options.trees} trees; lo.fanova, with the pairs, is {theirs / ours:.1f} times as fast"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
