"""'The paper says, we find': what was reported, as data with its source, beside what a study shows.

The paper is K. Greff, R. K. Srivastava, J. Koutník, B. R. Steunebrink, J. Schmidhuber, "LSTM: A Search Space Odyssey",
IEEE Transactions on Neural Networks and Learning Systems 28(10), 2017; arXiv 1503.04069. Print the table of a study as

    python -m lstm_odyssey.reports.paper STUDY.nc [--reruns AGAIN.nc ...]
"""

from __future__ import annotations

import argparse
import sys

import xarray

from lstm_odyssey.reports.contract import wording
from lstm_odyssey.reports.contract.agreement import read
from lstm_odyssey.reports.contract.selection import as_study
from lstm_odyssey.reports.fanova.api import FanovaError, fanova
from lstm_odyssey.reports.paper import best_score, claims
from lstm_odyssey.reports.paper.claims import BASELINE, CELLS, PAPER, Row
from lstm_odyssey.reports.stats.compare import compare
from lstm_odyssey.reports.stats.reruns import reruns

COLUMNS = {
    "task": "task", "claim": "claim", "paper": "the paper says", "ours": "we find", "verdict": "verdict", "note": "why",
    "sure": "source",
}  # fmt: skip
"""Heads of the table."""


def rows(
    study: xarray.Dataset,
    comparison: xarray.Dataset | None = None,
    importance: xarray.Dataset | None = None,
    again: xarray.Dataset | None = None,
) -> list[Row]:
    """The table, task by task: best score, none beats vanilla, each cell against vanilla, shares of the variance.

    A cell is judged by the corrected interval of its difference alone; what Welch's test says, as the paper used it, stands
    beside it.

    Args:
        study: a stored study, whole or still running.
        comparison: what ``compare`` says of it with ``vanilla`` as the baseline; computed if not given.
        importance: what ``fanova`` says of its test scores, tree by tree as the paper; without it, or by another
            decomposition, no shares, so that no verdict depends on how much was computed.
        again: its draws trained again with fresh seeds, which the best score is judged by; see ``best_score.best``.

    Returns:
        Rows for the tasks of the study that are the paper's; an empty list if none is, or if the study has no
        ``vanilla``.
    """
    study = as_study(study)
    tasks = [task for task in study["task"].values.tolist() if task in PAPER]
    if not tasks or BASELINE not in study["variant"].values.tolist():
        return []
    if comparison is None or comparison.attrs["baseline"] != BASELINE:
        comparison = compare(study, BASELINE)
    table = []
    for task in tasks:
        part = comparison.sel(task=task)
        there = part["variant"].values.tolist()
        cells = [name for name in CELLS if name in there]
        ours = part.sel(
            variant=[name for name in there if name in (BASELINE, *CELLS)]
        )  # others are no part of its search
        table.append(best_score.best(study, ours, PAPER[task], again))
        if cells:
            table.append(claims.none_better(part, cells))
        table += [claims.against(part, name, PAPER[task]) for name in cells]
        if (
            importance is not None
            and importance.attrs["decomposition"] == "per_tree"
            and task in importance["task"].values.tolist()
        ):
            table += claims.shares(importance, task)
    return table


def markdown(table: list[Row]) -> str:
    """The table as text that is legible in a terminal and renders as Markdown."""
    lines = [[str(cell).replace("|", "\\|") for cell in row] for row in table]
    return wording.markdown([[COLUMNS[name] for name in Row._fields], *lines], numbers=False)


def main(arguments: list[str] | None = None) -> None:
    """Print the table of a study."""
    parser = argparse.ArgumentParser(prog="lstm_odyssey.reports.paper", description=__doc__.partition("\n")[0])
    parser.add_argument("study", help="a study as netCDF")
    parser.add_argument(
        "--reruns", action="append", default=[], metavar="AGAIN", help="its best draws with another seed; repeatable"
    )
    asked = parser.parse_args(arguments)
    study = read(asked.study)
    again = reruns(study, [read(place) for place in asked.reruns]) if asked.reruns else None
    try:
        importance = fanova(study, decomposition="per_tree", clip=(1.0,))
    except FanovaError as refused:
        importance = None
        sys.stderr.write(f"no shares of the variance: {refused}\n")
    sys.stdout.write(f"{markdown(rows(study, importance=importance, again=again))}\n")
