"""Each claim of the paper as data with its source, and what decides whether a study agrees with it.

``lstm_odyssey.reports.paper`` makes the table of these rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy
import xarray
from numpy.typing import NDArray

from lstm_odyssey.reports.contract.wording import at_most, count, form_of, interval, listed, percent, probability
from lstm_odyssey.reports.stats.contents import BETTER, CHOSEN, FEW, NOTHING, OPEN, SAME, WORSE
from lstm_odyssey.reports.stats.inference import Numbers

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
        verdict: ``agrees``, ``agrees in part``, ``differs``, or ``not decided`` (too few trials, chosen rows, or not run).
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
    said, task, claim = f"none of the {count(len(CELLS))} is", str(part["task"].item()), f"better than {BASELINE}"
    verdicts = {name: str(part["verdict"].sel(variant=name).item()) for name in cells}
    judged = [name for name, verdict in verdicts.items() if verdict not in (CHOSEN, FEW, NOTHING)]
    if not judged:
        return Row(task, claim, said, CHOSEN if CHOSEN in verdicts.values() else FEW, UNDECIDED, "", RECALLED)
    better = [name for name in judged if verdicts[name] == BETTER]
    ours = listed(better) if better else "none is shown to be"
    if len(judged) < len(CELLS):
        ours += f" (of {count(len(judged))} judged)"
    return Row(task, claim, said, ours, DIFFERS if better else AGREES, "open" if better else "", RECALLED)


def against(part: xarray.Dataset, name: str, reported: Reported) -> Row:
    """One cell against vanilla: by the verdict, with what the paper's test says beside it.

    The verdict decides. Where it is open it contradicts nothing: a cell that the paper found alike agrees, one that it found
    worse agrees in part if the paper's own test finds it here too, and is not decided if it does not.
    """
    one, units = part.sel(variant=name), str(part["units"].item())
    said = WORSE if name in reported.worse else SAME
    welch, verdict = (str(one[test].item()) for test in ("verdict_welch", "verdict"))
    claim, task = f"{name} against {BASELINE}", str(part["task"].item())
    if verdict == NOTHING:
        return Row(task, claim, said, NOTHING, UNDECIDED, "", RECALLED)
    form = form_of(part)
    low, high = one["difference_corrected_interval"].values.tolist()
    seen = f"{form(float(one['difference']))} {units}"
    if math.isfinite(low) and math.isfinite(high):
        seen += f" (corrected {interval(low, high, form)})"
    if verdict == CHOSEN:
        return Row(task, claim, said, f"{CHOSEN}; seen {seen}", UNDECIDED, "they are no sample of a search", RECALLED)
    if verdict == FEW:
        few = f"best 10 %: {int(one['selected'])} trials, {int(part.attrs['enough'])} are needed"
        return Row(task, claim, said, f"{FEW}; seen {seen}", UNDECIDED, few, RECALLED)
    ours = f"{verdict}: {seen}; {welch} by Welch ({probability(float(one['welch_p']))})"
    judgement, note = _decided(said, verdict, welch, one, form)
    return Row(task, claim, said, ours, judgement, note, RECALLED)


def _decided(said: str, verdict: str, welch: str, one: xarray.Dataset, form: Callable[[float], str]) -> tuple[str, str]:
    """Whether a verdict agrees with the paper, and why not."""
    if verdict == said:
        return AGREES, ""
    if verdict == OPEN and said == SAME:
        found = (
            "" if welch == SAME else f"the paper's test, uncorrected, calls it {welch}; the corrected interval holds 0"
        )
        return AGREES, found
    if verdict == OPEN and welch == WORSE:
        return PARTLY, "the paper's test finds it here too; the corrected interval holds 0"
    if verdict == OPEN:
        return UNDECIDED, f"open: {_at_worst(one, form)}"
    return DIFFERS, f"open: {verdict}, where the paper found {'it worse' if said == WORSE else 'no difference'}"


def _at_worst(one: xarray.Dataset, form: Callable[[float], str]) -> str:
    """The worse end of the corrected interval of the difference, in words."""
    lower, upper = one["difference_corrected_interval"].values.tolist()
    worst = -lower if str(one["direction"].item()) == "maximize" else upper
    if not math.isfinite(worst):
        return "how much worse it could be cannot be told"
    if worst <= 0:
        return "its interval holds nothing worse"
    return f"it could still be up to {at_most(worst, form).removeprefix('+')} {one['units'].item()} worse"


POOR = 0.5
"""R² below which a share that differs is put down to the forest, not to the cell."""


def _unless_poor(r_squared: Numbers) -> str:
    return f"of which the forest predicts only {percent(r_squared)}" if (r_squared < POOR).all() else "open"


def shares(importance: xarray.Dataset, task: str) -> list[Row]:
    """The shares of the variance of the test score over the cells, tree by tree as the paper has them."""
    part = importance.sel(task=task, clip=importance["clip"].values.max())
    names = part["hyperparameter"].values.tolist()
    known = part["main_share"].notnull().any("hyperparameter").values
    if not known.any():
        return []
    main = {name: part["main_share"].sel(hyperparameter=name).values[known] for name in names}
    cells, total = part["variant"].values[known], numpy.nansum(list(main.values()), axis=0)
    rest = 1 - total
    known_r_squared = part["r_squared"].values[known]
    note = f"of the predictable part, R² {percent(known_r_squared)}; tree by tree, as the paper"
    table = []

    def claim(words: str, said: str, ours: str, held: NDArray[numpy.bool_]) -> None:
        verdict = AGREES if held.all() else PARTLY if held.any() else DIFFERS
        missed = "" if held.all() else f"; not for {listed(cells[~held])}, {_unless_poor(known_r_squared[~held])}"
        table.append(Row(task, words, said, ours, verdict, note + missed, SECOND))

    if LEARNING_RATE in main:
        rate = main[LEARNING_RATE]
        claim("share of the learning rate", "more than two thirds of the variance", percent(rate), rate > 2 / 3)
    if SIZE in main and NOISE in main:
        ours = f"N {percent(main[SIZE])}, input noise {percent(main[NOISE])}"
        said = "N is second after the learning rate, input noise third"
        claim("N takes more than input noise", said, ours, main[SIZE] > main[NOISE])
    if MOMENTUM in main:
        claim("share of momentum", "below 1 %", percent(main[MOMENTUM]), main[MOMENTUM] < 0.01)
    claim("all interactions together", "5 to 20 %", percent(rest), (rest > 0.05) & (rest < 0.2))
    return table
