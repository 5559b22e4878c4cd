"""Each claim of the paper as data with its source, and what decides whether a study agrees with it.

``lstm_odyssey.reports.paper`` makes the table of these rows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy
import xarray
from numpy.typing import NDArray

from lstm_odyssey.reports.contents import BETTER, FEW, NOTHING, SAME, WELCH_REJECTS, WORSE
from lstm_odyssey.reports.inference import Numbers
from lstm_odyssey.reports.sentences import count, listed, percent, probability, signed
from lstm_odyssey.reports.table import best_fraction, score
from lstm_odyssey.reports.validation import attribute
from lstm_odyssey.reports.variables import FINISHED

AGREES, PARTLY, DIFFERS, UNDECIDED = "agrees", "agrees in part", "differs", "not decided"
JUDGEMENTS = (AGREES, PARTLY, DIFFERS, UNDECIDED)
"""Verdicts on a claim."""

READ, SECOND, RECALLED = "read in the paper", "read second-hand", "recalled"
"""How sure it is that the paper says so."""

BASELINE = "vanilla"

CLOSE = 0.01
"""Relative difference up to which a best score agrees in part, being a single number of a single search."""

REPLICATED = 200
"""Trials of each cell on each task in the paper."""


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

READ_OF = ("cifg", "no_peepholes")
"""Cells whose comparison was read in the paper's text; the others are recalled."""

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
        sure: how sure it is that the paper says so: ``read in the paper``, ``read second-hand``, ``recalled``.
    """

    task: str
    claim: str
    paper: str
    ours: str
    verdict: str
    note: str
    sure: str


def best(study: xarray.Dataset, part: xarray.Dataset, reported: Reported) -> Row:
    """The best score of all cells beside the paper's."""
    task, units = str(part["task"].item()), str(part["units"].item())
    said = f"{score(reported.best)} {units}, {reported.cell}"
    scores = part["best_test"].values
    sign = -1 if str(part["direction"].item()) == "maximize" else 1
    if numpy.isnan(scores).all():
        return Row(task, "best score", said, "no score yet", UNDECIDED, "", RECALLED)
    name = str(part["variant"].values[int(numpy.nanargmin(sign * scores))])
    cell = part.sel(variant=name)
    best = float(cell["best_test"])
    apart = sign * (best - reported.best)
    spread = float(cell["expected_best_std"].sel(replacement="with", n_trials=int(cell["finished"])))
    near = abs(apart) <= 2 * spread
    verdict = AGREES if near else PARTLY if abs(apart) <= CLOSE * abs(reported.best) else DIFFERS
    note = (
        f"{_amount(abs(apart))} {units} ({100 * abs(apart / reported.best):.1f} %) {'worse' if apart > 0 else 'better'}; the "
        f"outcome of one search of {int(cell['finished'])} trials varies by {_amount(spread)} (standard deviation)"
    )
    known = int(part["finished"].min())
    if known < REPLICATED:
        note += f"; {known} trials of a cell where the paper ran {REPLICATED}"
        verdict = UNDECIDED if verdict == DIFFERS and apart > 0 else verdict
    note += _other_mean(study, part, sign, best) + _limit(study, cell)
    return Row(task, "best score", said, f"{score(best)} {units}, {name}", verdict, note, RECALLED)


def _amount(value: float) -> str:
    return f"{value:.2g}"


def _other_mean(study: xarray.Dataset, part: xarray.Dataset, sign: int, best: float) -> str:
    """The best score as a mean over sequences, where it differs from the mean over frames."""
    names, trials = part["variant"].values.tolist(), part["best_trial"].values.tolist()
    held = [study["best_test_per_sequence"].sel(variant=name).values for name in names]
    values = [scores[trial] if trial >= 0 else math.nan for scores, trial in zip(held, trials, strict=True)]
    if numpy.isnan(values).all():
        return ""
    place = int(numpy.nanargmin(sign * numpy.array(values)))
    if score(values[place]) == score(best):
        return ""
    return f"; as a mean over sequences, which the paper may have meant, {score(values[place])} ({names[place]})"


def _limit(study: xarray.Dataset, cell: xarray.Dataset) -> str:
    """How many of the cell's best trials were stopped by the limit of epochs."""
    limit = attribute(study, "protocol").get("epochs")
    part = study.sel(variant=cell["variant"].item())
    ended = numpy.isin(part["status"].values, FINISHED)
    maximize = str(cell["direction"].item()) == "maximize"
    chosen = best_fraction(part["best_valid"].values, ended, maximize=maximize)
    stopped = int((part["epochs"].values[chosen] == limit).sum()) if limit else 0
    return f"; {stopped} of its best {chosen.size} trials ended at the limit of {limit} epochs" if stopped else ""


def none_better(part: xarray.Dataset, cells: list[str]) -> Row:
    """Whether none of the cells is better than vanilla."""
    verdicts = {
        name: [str(part[test].sel(variant=name).item()) for test in ("verdict", "verdict_welch")] for name in cells
    }
    judged = {name: found for name, found in verdicts.items() if found[0] not in (FEW, NOTHING)}
    said = f"none of the {count(len(CELLS))} is"
    task, claim = str(part["task"].item()), f"better than {BASELINE}"
    if not judged:
        return Row(task, claim, said, "too few trials", UNDECIDED, "", READ)
    both, one = ([name for name, found in judged.items() if found.count(BETTER) == times] for times in (2, 1))
    ours = f"{listed(both)}" if both else f"{listed(one)}, by one of two tests" if one else "none is"
    if len(judged) < len(CELLS):
        ours += f" (of {count(len(judged))} judged)"
    verdict = DIFFERS if both else PARTLY if one else AGREES
    return Row(task, claim, said, ours, verdict, "open" if both else "", READ)


def against(part: xarray.Dataset, name: str, reported: Reported) -> Row:
    """One cell against vanilla, by the paper's test and by the one for inference."""
    one, units = part.sel(variant=name), str(part["units"].item())
    said = WORSE if name in reported.worse else SAME
    welch, bootstrap = (str(one[test].item()) for test in ("verdict_welch", "verdict"))
    claim, task = f"{name} against {BASELINE}", str(part["task"].item())
    sure = READ if name in READ_OF else RECALLED
    difference = float(one["difference"])
    if bootstrap == NOTHING:
        return Row(task, claim, said, NOTHING, UNDECIDED, "", sure)
    low, high = (signed(value) for value in one["difference_interval"].values.tolist())
    seen = f"{signed(difference)} {units} ({low} to {high})"
    if bootstrap == FEW:
        few = f"best 10 %: {int(one['selected'])} trials, {int(part.attrs['enough'])} are needed"
        return Row(task, claim, said, f"{FEW}; seen {seen}", UNDECIDED, few, sure)
    tests = f"Welch {probability(float(one['welch_p']))}; bootstrap {probability(float(one['bootstrap_p_holm']))}"
    ours = f"{welch} by Welch, {bootstrap} by the bootstrap" if welch != bootstrap else bootstrap
    agreeing = [welch, bootstrap].count(said)
    verdict = (DIFFERS, PARTLY, AGREES)[agreeing]
    return Row(task, claim, said, f"{ours}: {seen}; {tests}", verdict, _why(said, welch, bootstrap, one), sure)


def _why(said: str, welch: str, bootstrap: str, one: xarray.Dataset) -> str:
    """A deviation explained by what the tests are, or called open."""
    if welch == bootstrap == said:
        return ""
    if welch == said:
        return (
            "the paper's test finds it here too; the bootstrap that selects anew, and rejects fewer true nulls, does not "
            "confirm it"
        )
    if bootstrap == said:
        return "the paper's test, uncorrected and on selected scores, finds a difference that the bootstrap does not confirm"
    if said == WORSE:
        low, high = WELCH_REJECTS
        bound = max(map(abs, one["difference_interval"].values.tolist()))
        return (
            f"open: no test finds it, and the interval leaves no room for more than {bound:.2g} {one['units'].item()}; the "
            f"paper's test finds a difference in {low} to {high} % of pairs of searches of one cell"
        )
    return "open: a difference the paper did not find"


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
