"""What a comparison holds, as data: every variable of ``compare``'s dataset with its dimensions, meaning and units."""

from __future__ import annotations

from typing import NamedTuple

from lstm_odyssey.reports.stats.searches import DRAWS
from lstm_odyssey.reports.stats.stability import RULE

CELL = ("task", "variant")
BOUND = (*CELL, "bound")
TRIALS = (*CELL, "n_trials", "replacement")
HOURS = (*CELL, "step")
BEST_OF = (*CELL, "best_of")

BETTER, WORSE, OPEN = "better", "worse", "open"
FEW, NOTHING, SELF = "too few trials", "no scores", "baseline"
CHOSEN = "rows were chosen"
"""In place of a verdict where hyperparameters are the rows of a file: to draw them anew says nothing of a search."""

VERDICTS = (BETTER, WORSE, OPEN, CHOSEN, FEW, NOTHING, SELF)

SAME = "not different"
"""What Welch's test, the paper's, says instead of ``open``."""

WELCH_REJECTS = {"independent": (23.0, 23.0), "common": (0.3, 8.5)}
"""Per cent of true nulls that Welch's t-test on the best tenths rejects at a nominal 5 %, by how the draws were made: where the
cells are identical, and where they are equally good with optima 0.6 decades of the learning rate apart."""

TIMES_LARGER = 2.5
"""How much larger the standard error of a difference is where each cell had draws of its own."""

POWER = {200: {0.13: (67, 99), 0.08: (24, 71)}, 400: {0.13: (98, 100), 0.08: (53, 97)}}
"""Per cent of studies of so many common draws in which a true difference (nats a frame) is found, after correction over eight
cells: where the cells' optima lie 0.6 decades of the learning rate apart, and where they are the same.

These three are simulated on surfaces like the JSB Chorales record's: ``tests.tools.calibration`` does so again."""


COORDINATES = {
    "task": "corpus bound to one objective",
    "variant": "recurrent cell",
    "bound": "end of an interval",
    "replacement": "whether a trial may be drawn twice",
    "n_trials": "trials of a search",
    "step": "point of the grid of hours",
    "best_of": "draws of a search",
}


class Content(NamedTuple):
    """One variable of a comparison.

    Attributes:
        dims: its dimensions.
        long_name: what it is, in words.
        units: ``score`` for the units of the task, empty for texts and truth values.
    """

    dims: tuple[str, ...]
    long_name: str
    units: str = ""


_TESTED = "mean test score of the best 10 % by validation"
_AFTER_N = "expected test score of the trial that validation chooses among n"
_AFTER_T = "expected test score of the trial that validation chooses among those finished after so many hours"

CONTENTS = {
    "is_baseline": Content(CELL, "whether the others are compared with it"),
    "trials": Content(CELL, "trials drawn", "1"),
    "finished": Content(CELL, "trials with scores: ended, or diverged on the way", "1"),
    "diverged": Content(CELL, "trials whose loss ceased to be finite", "1"),
    "unstable": Content(CELL, f"finished trials that collapsed on the way: {RULE}", "1"),
    "failed": Content(CELL, "trials that ended without a score", "1"),
    "missing": Content(CELL, "trials not run yet", "1"),
    "worse_than_chance": Content(CELL, "finished trials scored at the chance level, being worse or without score", "1"),
    "selected": Content(CELL, "trials among the best 10 % by validation", "1"),
    "enough": Content(CELL, "whether these are enough for inference"),
    "mean_test": Content(CELL, _TESTED, "score"),
    "mean_test_interval": Content(BOUND, f"bootstrap interval with re-selection: {_TESTED}", "score"),
    "std_test": Content(CELL, "standard deviation of the test scores of the best 10 %", "score"),
    "best_test": Content(CELL, "best test score among the best 10 %", "score"),
    "best_trial": Content(CELL, "index of the trial with the best test score, -1 if none", "1"),
    "chosen_test": Content(CELL, "test score of the one trial that is best by validation", "score"),
    "n_parameters": Content(CELL, "parameters of the best trial", "1"),
    "mean_parameters": Content(CELL, "mean number of parameters of the best 10 %", "1"),
    "epoch_cost": Content(
        CELL, "processor time of an epoch's updates at one N, fitted over all the cell's trials", "s"
    ),
    "epoch_cost_error": Content(CELL, "standard error of the logarithm of that time", "1"),
    "epoch_cost_freedom": Content(CELL, "degrees of freedom of that standard error", "1"),
    "epoch_cost_residual": Content(CELL, "standard deviation of log time about that fit", "1"),
    "hours": Content(CELL, "median time of a finished trial", "h"),
    "pareto": Content(CELL, "whether no other cell is both better and faster"),
    "divergence": Content(CELL, "share of the finished trials that diverged", "1"),
    "divergence_interval": Content(BOUND, "exact interval of the probability of divergence", "1"),
    "instability": Content(CELL, "share of the finished trials that are unstable", "1"),
    "instability_interval": Content(BOUND, "exact interval of the probability that a trial is unstable", "1"),
    "difference": Content(CELL, f"{_TESTED}, less the baseline's", "score"),
    "difference_interval": Content(
        BOUND, "joint bootstrap interval of the difference, each best tenth selected anew", "score"
    ),
    "difference_corrected_interval": Content(
        BOUND,
        "the same at the confidence that Bonferroni asks of the cells that are judged on a task: what the verdict rests on",
        "score",
    ),
    "differs_by_less_than": Content(CELL, "the end of difference_corrected_interval that is farther from 0", "score"),
    "stable_difference": Content(
        CELL, "the difference with unstable trials left out of both cells; not tested", "score"
    ),
    "better_in_search": Content(
        CELL, f"probability to score better than the baseline in a search of {DRAWS} draws", "1"
    ),
    "better_in_search_interval": Content(BOUND, "bootstrap interval of that probability", "1"),
    "best_of_difference": Content(BEST_OF, f"{_AFTER_N} draws, less the baseline's, to a tenth of the trials", "score"),
    "best_of_difference_interval": Content((*BEST_OF, "bound"), "joint bootstrap interval of that difference", "score"),
    "welch_t": Content(CELL, "Welch's t on the test scores of the best 10 %", "1"),
    "welch_df": Content(CELL, "degrees of freedom of Welch's t", "1"),
    "welch_p": Content(CELL, "p-value of Welch's t-test, the paper's test", "1"),
    "welch_interval": Content(BOUND, "Welch's interval of the difference", "score"),
    "hedges_g": Content(CELL, "Hedges' g of the test scores of the best 10 % against the baseline's", "1"),
    "hedges_g_interval": Content(BOUND, "bootstrap interval with re-selection of Hedges' g", "1"),
    "cliffs_delta": Content(CELL, "Cliff's delta of the test scores of the best 10 % against the baseline's", "1"),
    "cliffs_delta_interval": Content(BOUND, "bootstrap interval with re-selection of Cliff's delta", "1"),
    "verdict": Content(CELL, f"by difference_corrected_interval alone: {', '.join(VERDICTS)}"),
    "verdict_welch": Content(CELL, f"by welch_p, uncorrected, as the paper judges; in place of '{OPEN}' '{SAME}'"),
    "expected_best": Content(TRIALS, _AFTER_N, "score"),
    "expected_best_std": Content(TRIALS, "standard deviation of the outcome of one search of n trials", "score"),
    "expected_best_interval": Content((*TRIALS, "bound"), f"bootstrap interval: {_AFTER_N}", "score"),
    "expected_by_hours": Content(HOURS, _AFTER_T, "score"),
    "expected_by_hours_std": Content(
        HOURS, "standard deviation of the outcome of one search of so many hours", "score"
    ),
    "expected_by_hours_interval": Content((*HOURS, "bound"), f"bootstrap interval: {_AFTER_T}", "score"),
}
"""The variables that hold something for every cell; beside them stand the task's own and ``budget`` (task, step)."""
