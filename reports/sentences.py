"""What a comparison of cells and a functional ANOVA say, in sentences computed from their numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy
import xarray

from lstm_odyssey.reports.contents import BETTER, FEW, NOTHING, SAME, WORSE
from lstm_odyssey.reports.table import score

SMALL = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def count(number: int, noun: str = "") -> str:
    """A count as one writes it.

    >>> count(9, "cell"), count(1, "trial"), count(5400, "trial")
    ('nine cells', 'one trial', '5,400 trials')
    """
    text = SMALL[number] if number < len(SMALL) else f"{number:,}"
    return f"{text} {noun}{'' if number == 1 else 's'}" if noun else text


def listed(names: Iterable[object]) -> str:
    """Names as a list in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    *first, last = [str(name) for name in names]
    return f"{', '.join(first)} and {last}" if first else last


def comparison_text(comparison: xarray.Dataset) -> list[str]:
    """What ``compare`` found, one paragraph for each task and, where there was a test, one on how far to trust it.

    Each task: which cells beat the baseline and which are worse, by the bootstrap with re-selection after Holm; where
    Welch's test, the paper's, says otherwise, that too; where no other cell is both better and faster; divergence.
    Cells with too few trials are named and not judged.
    """
    raise NotImplementedError


def importance_text(importance: xarray.Dataset) -> list[str]:
    """What ``fanova`` found, one paragraph for each task: the share of each hyperparameter over the cells, interactions,
    how much of the variance is predictable at all, and which cells are flagged."""
    raise NotImplementedError
