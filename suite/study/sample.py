"""Trials that were run again to see whether a file is to be believed, and what such a sample does not show."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

BITS, CLOSE, DIFFERS, NOT_RUN = VERDICTS = ("the same bits", "within tolerance", "differs", "not run")


@dataclass(frozen=True)
class Verified:
    """What became of one trial.

    Attributes:
        task, variant, trial: which it is.
        verdict: one of ``BITS``, ``CLOSE``, ``DIFFERS``, ``NOT_RUN``; only the first two are agreement.
        stored, found: its best test score in the file and now; None where there is none.
        why: what differs, where it ran, or why it could not be run.
        note: what is another here than in the file and changes no number: how the cell's equations are written, or its file.
    """

    task: str
    variant: str
    trial: int
    verdict: str
    stored: float | None = None
    found: float | None = None
    why: str = ""
    note: str = ""


@dataclass(frozen=True)
class Sample:
    """Trials run again, and of how many.

    Attributes:
        found: what became of each.
        among: how many trials it was chosen from.
    """

    found: list[Verified]
    among: int

    def __iter__(self) -> Iterator[Verified]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def tenth(self) -> int:
        """How many trials a tenth of all are, one at least."""
        return max(1, round(0.1 * self.among))

    def missed(self) -> float:
        """The probability that such a sample holds none of the changed trials, were a tenth of them all changed.

        >>> round(Sample([Verified("bach", "light", k, BITS) for k in range(5)], 50).missed(), 2)
        0.58
        """
        ran = sum(one.verdict != NOT_RUN for one in self.found)
        return math.comb(self.among - self.tenth(), ran) / math.comb(self.among, ran)

    def gained(self) -> list[float]:
        """Of the trials within tolerance the test score in the file less that of now, as a share of it."""
        return [
            (one.stored - one.found) / abs(one.found)
            for one in self.found
            if one.verdict == CLOSE and one.stored is not None and one.found
        ]
