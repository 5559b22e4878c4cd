"""What samples of a time tell: the median, an interval that makes no assumption about how times spread, and doubts in words."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

CONFIDENCE = 0.95


@lru_cache(maxsize=1024)
def outside(n: int, confidence: float = CONFIDENCE) -> int:
    """How many of n sorted samples lie at or beyond each end of the median's interval; 0: no interval is wide enough.

    The median lies below the k-th smallest of n independent samples with the probability that fewer than k of n fair coins
    show heads. So the interval from the k-th smallest to the k-th largest misses it with probability

        2 P(Binomial(n, ½) <= k - 1),

    and the greatest k for which this is at most 1 - confidence is returned. For 95 % six samples are the fewest.

    Example:
        >>> outside(5), outside(6), outside(20)
        (0, 1, 6)
    """
    below, k = 0, 0
    while k < n:
        below += math.comb(n, k)
        if below / 2 ** (n - 1) > 1 - confidence:  # of whole numbers: a power of 2 may be too large for a float
            break
        k += 1
    return k


@dataclass(frozen=True)
class Timing:
    """Samples of one function's time.

    Args:
        samples: seconds a call, in the order they were taken.
        asked: the relative error that was asked for.
        phases: the same for each phase of the call, by name; empty if it has one phase.
    """

    samples: tuple[float, ...]
    asked: float
    phases: Mapping[str, Timing] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """Seconds a call."""
        return statistics.median(self.samples)

    @property
    def interval(self) -> tuple[float, float]:
        """The median's 95 % interval, in seconds; of fewer than six samples the least and the greatest."""
        return _interval(self.samples)

    @property
    def error(self) -> float:
        """Half the interval's width over the median; infinite with fewer than six samples."""
        if not outside(len(self.samples)):
            return math.inf
        low, high = self.interval
        return (high - low) / 2 / self.median if self.median > 0 else 0.0

    @property
    def unstable(self) -> str:
        """Why the median is to be doubted; empty if there is no reason."""
        if not outside(len(self.samples)):
            return f"{len(self.samples)} samples, too few for an interval"
        notes = []
        if self.error > self.asked:
            notes.append(f"known to ±{100 * self.error:.1f} %, asked for ±{100 * self.asked:g} %")
        half = len(self.samples) // 2
        early, late = self.samples[:half], self.samples[-half:]
        if outside(half):
            (low, high), (below, above) = _interval(early), _interval(late)
            change = statistics.median(late) / statistics.median(early) - 1 if statistics.median(early) > 0 else 0.0
            if abs(change) > self.asked and (high < below or above < low):
                notes.append(f"the second half took {100 * change:+.1f} %")
        return "; ".join(notes)


def _interval(samples: Sequence[float]) -> tuple[float, float]:
    ordered = sorted(samples)
    ends = max(1, outside(len(ordered)))
    return ordered[ends - 1], ordered[-ends]
