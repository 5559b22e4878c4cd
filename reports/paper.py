"""'The paper says, we find': what was reported, as data with its source, beside what a study shows.

The paper is K. Greff, R. K. Srivastava, J. Koutník, B. R. Steunebrink, J. Schmidhuber, "LSTM: A Search Space Odyssey",
IEEE Transactions on Neural Networks and Learning Systems 28(10), 2017; arXiv 1503.04069. Print the table of a study as

    python -m lstm_odyssey.reports.paper STUDY.nc
"""

from __future__ import annotations

from typing import NamedTuple

import xarray

AGREES, PARTLY, DIFFERS, UNDECIDED = "agrees", "agrees in part", "differs", "not decided"
JUDGEMENTS = (AGREES, PARTLY, DIFFERS, UNDECIDED)


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

    Args:
        study: a stored study, whole or still running.
        comparison: what ``compare`` says of it with ``vanilla`` as the baseline; computed if not given.
        importance: what ``fanova`` says of its test scores, by either decomposition; without it, no shares.

    Returns:
        Rows for the tasks of the study that are the paper's; an empty list if none is, or if the study has no
        ``vanilla``.
    """
    raise NotImplementedError


def markdown(table: list[Row]) -> str:
    """The table as text that is legible in a terminal and renders as Markdown."""
    raise NotImplementedError
