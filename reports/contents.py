"""What a comparison holds, as data: every variable of ``compare``'s dataset with its dimensions, meaning and units."""

from __future__ import annotations

from typing import NamedTuple

CELL = ("task", "variant")
BOUND = (*CELL, "bound")
TRIALS = (*CELL, "n_trials", "replacement")
HOURS = (*CELL, "step")

BETTER, WORSE, SAME = "better", "worse", "not different"
FEW, NOTHING, SELF = "too few trials", "no scores", "baseline"
VERDICTS = (BETTER, WORSE, SAME, FEW, NOTHING, SELF)

WELCH_REJECTS, RESELECTION_REJECTS = (13, 21), (3, 6)
"""Per cent of true nulls that each test rejects at a nominal 5 %, two searches of 200 trials whose test scores follow
validation (correlation 0.999): what ``lstm_odyssey.reports.calibration`` measures over its three shapes, 1000 pairs each."""

COORDINATES = {
    "task": "corpus bound to one objective",
    "variant": "recurrent cell",
    "bound": "end of an interval",
    "replacement": "whether a trial may be drawn twice",
    "n_trials": "trials of a search",
    "step": "point of the grid of hours",
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
    "frames_per_second": Content(CELL, "median training throughput of the best 10 %", "frames/s"),
    "hours": Content(CELL, "median time of a finished trial", "h"),
    "pareto": Content(CELL, "whether no other cell is both better and faster"),
    "divergence": Content(CELL, "share of the finished trials that diverged", "1"),
    "divergence_interval": Content(BOUND, "exact interval of the probability of divergence", "1"),
    "difference": Content(CELL, f"{_TESTED}, less the baseline's", "score"),
    "difference_interval": Content(BOUND, "bootstrap interval with re-selection of the difference", "score"),
    "welch_t": Content(CELL, "Welch's t on the test scores of the best 10 %", "1"),
    "welch_df": Content(CELL, "degrees of freedom of Welch's t", "1"),
    "welch_p": Content(CELL, "p-value of Welch's t-test, the paper's test", "1"),
    "welch_interval": Content(BOUND, "Welch's interval of the difference", "score"),
    "welch_p_holm": Content(CELL, "p-value of Welch's t-test after Holm over the cells of the task", "1"),
    "hedges_g": Content(CELL, "Hedges' g of the test scores of the best 10 % against the baseline's", "1"),
    "hedges_g_interval": Content(BOUND, "bootstrap interval with re-selection of Hedges' g", "1"),
    "cliffs_delta": Content(CELL, "Cliff's delta of the test scores of the best 10 % against the baseline's", "1"),
    "cliffs_delta_interval": Content(BOUND, "bootstrap interval with re-selection of Cliff's delta", "1"),
    "bootstrap_p": Content(CELL, "p-value of the bootstrap with re-selection, for inference", "1"),
    "bootstrap_p_holm": Content(CELL, "p-value of the bootstrap with re-selection after Holm", "1"),
    "verdict": Content(CELL, f"by bootstrap_p_holm: {', '.join(VERDICTS)}"),
    "verdict_welch": Content(CELL, f"by welch_p, uncorrected, as the paper judges: {', '.join(VERDICTS)}"),
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
