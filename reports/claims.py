"""Each claim of the paper as data with its source, and what decides whether a study agrees with it.

``lstm_odyssey.reports.paper`` makes the table of these rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy
import xarray
from numpy.typing import NDArray

from lstm_odyssey.reports.contents import BETTER, FEW, NOTHING, SAME, WELCH_REJECTS, WORSE
from lstm_odyssey.reports.inference import Numbers
from lstm_odyssey.reports.sentences import count, listed, percent, probability, signed

AGREES, PARTLY, DIFFERS, UNDECIDED = "agrees", "agrees in part", "differs", "not decided"
JUDGEMENTS = (AGREES, PARTLY, DIFFERS, UNDECIDED)
"""Verdicts on a claim."""

SECOND, RECALLED = "read second-hand", "recalled"
"""How sure it is that the paper says so. Its method was read in the paper itself; of its results none was."""

BASELINE = "vanilla"


class Reported(NamedTuple):
    """What the paper reports of one task: the best score with its cell, and the cells worse than vanilla.

    Those that are neither worse nor the baseline were not found to differ.
    """

    best: float
    cell: str
    worse: tuple[str, ...]


PAPER = {
    "timit": Reported(29.6, "cifg", ("nfg", "noaf", "nig", "nog", "niaf")),
    "iam_ondb": Reported(9.26, "no_peepholes", ("nfg", "noaf", "nig", "nog", "niaf")),
    "jsb_chorales": Reported(8.38, "niaf", ("nfg", "noaf", "fgr")),
}
"""By task; Welch's t-test at 5 % on the best 20 of 200 trials by validation."""

CELLS = ("cifg", "fgr", "no_peepholes", "nog", "niaf", "nig", "nfg", "noaf")
"""The paper's eight, in the order of its figures."""

LEARNING_RATE, SIZE, NOISE, MOMENTUM = "learning_rate", "hidden_size", "input_noise", "momentum"


class Row(NamedTuple):
    """One claim of the paper beside what a study shows.

    Attributes:
        task: the task it speaks of.
        claim: what is asked, e.g. ``nfg against vanilla``.
        paper: what the paper says.
        ours: what the study shows, with its numbers.
        verdict: ``agrees``, ``agrees in part``, ``differs``, or ``not decided`` (too few trials, or not run).
        note: why, computed from the numbers: the deviation explained, or called open; empty where there is nothing to say.
        sure: how sure it is that the paper says so: ``read second-hand`` or ``recalled``.
    """

    task: str
    claim: str
    paper: str
    ours: str
    verdict: str
    note: str
    sure: str


def none_better(part: xarray.Dataset, cells: list[str]) -> Row:
    """Whether none of the cells is better than vanilla."""
    verdicts = {
        name: [str(part[test].sel(variant=name).item()) for test in ("verdict", "verdict_welch")] for name in cells
    }
    judged = {name: found for name, found in verdicts.items() if found[0] not in (FEW, NOTHING)}
    said = f"none of the {count(len(CELLS))} is"
    task, claim = str(part["task"].item()), f"better than {BASELINE}"
    if not judged:
        return Row(task, claim, said, "too few trials", UNDECIDED, "", RECALLED)
    both, one = ([name for name, found in judged.items() if found.count(BETTER) == times] for times in (2, 1))
    ours = f"{listed(both)}" if both else f"{listed(one)}, by one of two tests" if one else "none is"
    if len(judged) < len(CELLS):
        ours += f" (of {count(len(judged))} judged)"
    verdict = DIFFERS if both else PARTLY if one else AGREES
    return Row(task, claim, said, ours, verdict, "open" if both else "", RECALLED)


def against(part: xarray.Dataset, name: str, reported: Reported) -> Row:
    """One cell against vanilla, by the paper's test and by the one for inference."""
    one, units = part.sel(variant=name), str(part["units"].item())
    said = WORSE if name in reported.worse else SAME
    welch, bootstrap = (str(one[test].item()) for test in ("verdict_welch", "verdict"))
    claim, task = f"{name} against {BASELINE}", str(part["task"].item())
    difference = float(one["difference"])
    if bootstrap == NOTHING:
        return Row(task, claim, said, NOTHING, UNDECIDED, "", RECALLED)
    low, high = (signed(value) for value in one["difference_interval"].values.tolist())
    seen = f"{signed(difference)} {units} ({low} to {high})"
    if bootstrap == FEW:
        few = f"best 10 %: {int(one['selected'])} trials, {int(part.attrs['enough'])} are needed"
        return Row(task, claim, said, f"{FEW}; seen {seen}", UNDECIDED, few, RECALLED)
    tests = f"Welch {probability(float(one['welch_p']))}; bootstrap {probability(float(one['bootstrap_p_holm']))}"
    ours = f"{welch} by Welch, {bootstrap} by the bootstrap" if welch != bootstrap else bootstrap
    agreeing = [welch, bootstrap].count(said)
    verdict = (DIFFERS, PARTLY, AGREES)[agreeing]
    return Row(task, claim, said, f"{ours}: {seen}; {tests}", verdict, _why(said, welch, bootstrap, one), RECALLED)


def _why(said: str, welch: str, bootstrap: str, one: xarray.Dataset) -> str:
    """A deviation explained by what the tests are, or called open."""
    if welch == bootstrap == said:
        return ""
    if said == SAME and bootstrap == SAME:
        return "the paper's test, uncorrected and on selected scores, finds a difference that the bootstrap does not confirm"
    if said == SAME:
        by = "" if welch == bootstrap else ", by the bootstrap that selects anew and not by the paper's test"
        return f"open: a difference the paper did not find{by}"
    if BETTER in (welch, bootstrap):
        return "open: better, where the paper found it worse"
    if welch == WORSE:
        return (
            "the paper's test finds it here too; the bootstrap that selects anew, and rejects fewer true nulls, does not "
            "confirm it"
        )
    if bootstrap == WORSE:
        return "open: the bootstrap that selects anew finds it, the paper's test does not"
    low, high = WELCH_REJECTS
    return (
        f"open: no test finds it, and {_at_worst(one)}; the paper's test finds a difference in {low} to {high} % of pairs of "
        "searches of one cell"
    )


def _at_worst(one: xarray.Dataset) -> str:
    """The worse end of the interval of the difference, in words."""
    lower, upper = one["difference_interval"].values.tolist()
    worst = -lower if str(one["direction"].item()) == "maximize" else upper
    if worst <= 0:
        return "its interval holds nothing worse"
    return f"it could still be up to {worst:.2g} {one['units'].item()} worse"


POOR = 0.5
"""R² below which a share that differs is put down to the forest, not to the cell."""


def _unless_poor(r_squared: Numbers) -> str:
    return f"of which the forest predicts only {percent(r_squared)}" if (r_squared < POOR).all() else "open"


def shares(importance: xarray.Dataset, task: str) -> list[Row]:
    """The shares of the variance of the test score over the cells."""
    part = importance.sel(task=task, clip=importance["clip"].values.max())
    names = part["hyperparameter"].values.tolist()
    known = part["main_share"].notnull().any("hyperparameter").values
    if not known.any():
        return []
    main = {name: part["main_share"].sel(hyperparameter=name).values[known] for name in names}
    cells, total = part["variant"].values[known], numpy.nansum(list(main.values()), axis=0)
    rest = 1 - total
    known_r_squared = part["r_squared"].values[known]
    how = {"forest": "the forest's mean", "per_tree": "tree by tree, as the paper"}[importance.attrs["decomposition"]]
    note = f"of the predictable part, R² {percent(known_r_squared)}; {how}"
    table = []

    def claim(words: str, said: str, ours: str, held: NDArray[numpy.bool_]) -> None:
        verdict = AGREES if held.all() else PARTLY if held.any() else DIFFERS
        missed = "" if held.all() else f"; not for {listed(cells[~held])}, {_unless_poor(known_r_squared[~held])}"
        table.append(Row(task, words, said, ours, verdict, note + missed, SECOND))

    if LEARNING_RATE in main:
        rate = main[LEARNING_RATE]
        claim("share of the learning rate", "more than two thirds of the variance", percent(rate), rate > 2 / 3)
    if SIZE in main and NOISE in main:
        ours = f"{percent(main[SIZE])} and {percent(main[NOISE])}"
        claim("size of the layer before input noise", "the second and the third", ours, main[SIZE] > main[NOISE])
    if MOMENTUM in main:
        claim("share of momentum", "below 1 %", percent(main[MOMENTUM]), main[MOMENTUM] < 0.01)
    claim("all interactions together", "5 to 20 %", percent(rest), (rest > 0.05) & (rest < 0.2))
    return table
