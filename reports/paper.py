"""'The paper says, we find': what was reported, as data with its source, beside what a study shows.

The paper is K. Greff, R. K. Srivastava, J. Koutník, B. R. Steunebrink, J. Schmidhuber, "LSTM: A Search Space Odyssey",
IEEE Transactions on Neural Networks and Learning Systems 28(10), 2017; arXiv 1503.04069. Print the table of a study as

    python -m lstm_odyssey.reports.paper STUDY.nc
"""

from __future__ import annotations

import argparse
import math
import sys
from typing import Any, NamedTuple

import numpy
import xarray

from lstm_odyssey.reports.compare import compare
from lstm_odyssey.reports.contents import BETTER, FEW, NOTHING, SAME, WORSE
from lstm_odyssey.reports.netcdf import load
from lstm_odyssey.reports.sentences import count, listed, percent, probability, signed
from lstm_odyssey.reports.table import score
from lstm_odyssey.reports.validation import attribute

AGREES, PARTLY, DIFFERS, UNDECIDED = "agrees", "agrees in part", "differs", "not decided"
JUDGEMENTS = (AGREES, PARTLY, DIFFERS, UNDECIDED)

READ, SECOND, RECALLED = "read in the paper", "read second-hand", "recalled"

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


COLUMNS = {
    "task": "task", "claim": "claim", "paper": "the paper says", "ours": "we find", "verdict": "verdict", "note": "why",
    "sure": "source",
}  # fmt: skip
"""Heads of the table."""


def rows(
    study: xarray.Dataset, comparison: xarray.Dataset | None = None, importance: xarray.Dataset | None = None
) -> list[Row]:
    """The table, task by task: best score, none beats vanilla, each cell against vanilla, shares of the variance.

    A cell agrees where both tests say what the paper says, Welch's as the paper used it and the bootstrap with
    re-selection; in part where one of them does.

    Args:
        study: a stored study, whole or still running.
        comparison: what ``compare`` says of it with ``vanilla`` as the baseline; computed if not given.
        importance: what ``fanova`` says of its test scores, by either decomposition; without it, no shares.

    Returns:
        Rows for the tasks of the study that are the paper's; an empty list if none is, or if the study has no
        ``vanilla``.
    """
    tasks = [task for task in study["task"].values.tolist() if task in PAPER]
    if not tasks or BASELINE not in study["variant"].values.tolist():
        return []
    if comparison is None or comparison.attrs["baseline"] != BASELINE:
        comparison = compare(study, BASELINE)
    table = []
    for task in tasks:
        part = comparison.sel(task=task)
        table.append(_best(study.sel(task=task), part, PAPER[task]))
        cells = [name for name in CELLS if name in part["variant"].values.tolist()]
        if cells:
            table.append(_none_better(part, cells))
        table += [_against(part, name, PAPER[task]) for name in cells]
        if importance is not None and task in importance["task"].values.tolist():
            table += _shares(importance, task)
    return table


def markdown(table: list[Row]) -> str:
    """The table as text that is legible in a terminal and renders as Markdown."""
    head = [COLUMNS[name] for name in Row._fields]
    lines = [head, *([str(cell).replace("|", "\\|") for cell in row] for row in table)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    padded.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def _best(study: xarray.Dataset, part: xarray.Dataset, reported: Reported) -> Row:
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
        f"{_amount(abs(apart))} {units} ({abs(apart) / abs(reported.best):.1%}) {'worse' if apart > 0 else 'better'}; the "
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
    found = study["best_test_per_sequence"]
    names = part["variant"].values.tolist()
    values = [float(found.sel(variant=name, trial=int(part["best_trial"].sel(variant=name)))) if
              int(part["best_trial"].sel(variant=name)) >= 0 else math.nan for name in names]  # fmt: skip
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
    sign = -1 if str(cell["direction"].item()) == "maximize" else 1
    chosen = numpy.argsort(sign * part["best_valid"].values, kind="stable")[: int(cell["selected"])]
    stopped = int((part["epochs"].values[chosen] == limit).sum()) if limit else 0
    return f"; {stopped} of its best {chosen.size} trials ended at the limit of {limit} epochs" if stopped else ""


def _none_better(part: xarray.Dataset, cells: list[str]) -> Row:
    """Whether none of the cells is better than vanilla."""
    verdicts = {name: [str(part[test].sel(variant=name).item()) for test in ("verdict", "verdict_welch")] for name in cells}
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


def _against(part: xarray.Dataset, name: str, reported: Reported) -> Row:
    """One cell against vanilla, by the paper's test and by the one for inference."""
    one, units = part.sel(variant=name), str(part["units"].item())
    said = WORSE if name in reported.worse else SAME
    welch, bootstrap = (str(one[test].item()) for test in ("verdict_welch", "verdict"))
    claim, task = f"{name} against {BASELINE}", str(part["task"].item())
    sure = RECALLED if name == "fgr" else READ
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
    return Row(task, claim, said, f"{ours}: {seen}; {tests}", verdict, _why(said, welch, bootstrap, part), sure)


def _why(said: str, welch: str, bootstrap: str, part: xarray.Dataset) -> str:
    """A deviation explained by what the tests are, or called open."""
    if welch == bootstrap == said:
        return ""
    if welch == said:
        return (
            "the paper's test finds it here too; a search drawn anew would not, by the bootstrap that selects anew: "
            "Welch's test rejects too many true nulls"
        )
    if bootstrap == said:
        return "the paper's test, uncorrected and on selected scores, finds a difference that the bootstrap does not confirm"
    if said == WORSE:
        return (
            "open: the interval holds no difference; the paper's test finds one in 14 to 24 % of pairs of searches that "
            "do not differ"
        )
    return "open: a difference the paper did not find"


def _shares(importance: xarray.Dataset, task: str) -> list[Row]:
    """The shares of the variance of the test score over the cells."""
    part = importance.sel(task=task, clip=importance["clip"].values.max())
    names = part["hyperparameter"].values.tolist()
    known = part["main"].notnull().any("hyperparameter").values
    if not known.any():
        return []
    main = {name: part["main"].sel(hyperparameter=name).values[known] for name in names}
    cells, total = part["variant"].values[known], numpy.nansum(list(main.values()), axis=0)
    rest = 1 - total
    how = {"forest": "the forest's mean", "per_tree": "tree by tree, as the paper"}[importance.attrs["decomposition"]]
    note = f"of the predictable part, R² {percent(part['r_squared'].values[known])}; {how}"
    table = []

    def claim(words: str, said: str, ours: str, held: Any) -> None:
        held = numpy.asarray(held, bool)
        verdict = AGREES if held.all() else PARTLY if held.any() else DIFFERS
        missed = "" if held.all() or not held.any() else f"; not for {listed(cells[~held])}"
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


def main(arguments: list[str] | None = None) -> None:
    """Print the table of a study."""
    parser = argparse.ArgumentParser(prog="lstm_odyssey.reports.paper", description=__doc__.partition("\n")[0])
    parser.add_argument("study", help="a study as netCDF")
    options = parser.parse_args(arguments)
    sys.stdout.write(f"{markdown(rows(load(options.study)))}\n")


if __name__ == "__main__":
    main()
