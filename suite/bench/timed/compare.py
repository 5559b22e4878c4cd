"""Which of two is faster: two variants, two backends, or two installed versions of this package.

Each has a process of its own, and they take turns in one run, so that a machine that is busy for a while is busy for both.
Both are started anew several times: two processes of one program differ by a percent or two, all through their lives, by where
their memory happens to lie. So a launch is what counts once: of every round of turns the ratio of the two times is taken,
of a launch their median, and the 95 % interval is that of the median of the launches, which assumes nothing about how they
spread (``bench.samples``); six launches are the fewest. With r = speed / speed of the baseline and the threshold θ:

    FAST       r > 1 + θ all over the interval          SAME       1/(1 + θ) <= r <= 1 + θ all over it
    SLOW       r < 1/(1 + θ) all over it                AMBIGUOUS  none of these: measure longer, or on a quieter machine
"""

from __future__ import annotations

import math
import os
import shutil
import statistics
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lstm_odyssey.backends import BACKENDS
from lstm_odyssey.bench.region import measure
from lstm_odyssey.bench.samples import Timing, outside
from lstm_odyssey.bench.timed.worker import Worker
from lstm_odyssey.training.clocks import TimingError, clock_of

FAST, SLOW, SAME, AMBIGUOUS = VERDICTS = ("FAST", "SLOW", "SAME", "AMBIGUOUS")
THRESHOLD = 0.03
"""The part by which two speeds have to differ before they are said to."""
LAUNCHES = 9
"""How often both processes are started anew: of nine, one that fell on a busy moment widens no interval."""
DIFFERS = 1e-3
"""How far the first losses of one variant, computed in two ways, may lie apart, in parts of the loss."""


@dataclass(frozen=True)
class Side:
    """One of the two that are compared.

    Args:
        text: as it was written.
        variant: a name. backend: as in ``lo.RNN``; empty: the usual one.
        python: the interpreter; empty: this one.
    """

    text: str
    variant: str
    backend: str = ""
    python: str = ""

    @classmethod
    def of(cls, text: str) -> Side:
        """Read ``VARIANT[@BACKEND][@PYTHON]``; PYTHON is an interpreter or the folder of a virtual environment.

        Raises:
            TimingError: it is not of this form, or there is no such interpreter.

        Example:
            >>> Side.of("fgr@eager")
            Side(text='fgr@eager', variant='fgr', backend='eager', python='')
        """
        variant, _, rest = text.partition("@")
        backend, _, path = rest.partition("@")
        if backend not in ("", "auto", *BACKENDS):
            backend, path = "", rest
        if not variant or text.endswith("@"):
            raise TimingError(f"{text!r}: got an empty part; expected VARIANT[@BACKEND][@PYTHON].")
        return cls(text, variant, backend, _interpreter(text, path) if path else "")


def _interpreter(text: str, path: str) -> str:
    place = Path(path).expanduser()
    if place.is_dir():
        place = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    found = shutil.which(str(place))
    if found is None:
        known = ", ".join(sorted(BACKENDS))
        raise TimingError(
            f"{text!r}: got {path!r}; expected a backend (auto, {known}), or the path of a Python interpreter "
            "or of a virtual environment."
        )
    # not resolved: a virtual environment is told by where the link to its Python lies
    return str(Path(found).absolute())


@dataclass(frozen=True)
class Comparison:
    """How the speed of ``contender`` stands to that of ``baseline``.

    Args:
        ratios: a row a launch: of every round, the baseline's time a frame over the contender's.
        seconds_per_frame: medians, of baseline and contender.
        facts: what each of the two is.
    """

    baseline: str
    contender: str
    ratios: tuple[tuple[float, ...], ...]
    seconds_per_frame: tuple[float, float]
    facts: tuple[Mapping[str, Any], Mapping[str, Any]]
    threshold: float = THRESHOLD

    @property
    def launches(self) -> Timing:
        """A sample a launch: the median of its ratios."""
        return Timing(tuple(map(statistics.median, self.ratios)), self.threshold)

    @property
    def ratio(self) -> float:
        """How many times as fast as the baseline the contender is."""
        return self.launches.median

    @property
    def interval(self) -> tuple[float, float]:
        """The ratio's 95 % interval; of fewer than six launches the least and the greatest."""
        return self.launches.interval

    @property
    def verdict(self) -> str:
        """FAST, SLOW, SAME or AMBIGUOUS, which it is with fewer than six launches."""
        return verdict(self.interval, self.threshold) if outside(len(self.ratios)) else AMBIGUOUS

    @property
    def note(self) -> str:
        """A reason to doubt that both did the same work; empty if there is none."""
        mine, theirs = (facts["losses"] for facts in self.facts)
        if self.facts[0]["signature"] != self.facts[1]["signature"]:
            return ""
        if all(abs(a - b) <= DIFFERS * abs(a) for a, b in zip(mine, theirs, strict=True)):
            return ""
        return (
            f"The same cell, but the loss of the first update is {mine[0]:.6g} in the one and {theirs[0]:.6g} in the other: "
            "they do not do the same work."
        )


def verdict(interval: tuple[float, float], threshold: float = THRESHOLD) -> str:
    """What an interval of the ratio of speeds says; see the module.

    Example:
        >>> verdict((1.1, 1.2)), verdict((0.99, 1.01)), verdict((0.99, 1.2))
        ('FAST', 'SAME', 'AMBIGUOUS')
    """
    low, high = interval
    if low > 1 + threshold:
        return FAST
    if high < 1 / (1 + threshold):
        return SLOW
    return SAME if low >= 1 / (1 + threshold) and high <= 1 + threshold else AMBIGUOUS


def compare(
    baseline: str,
    contender: str,
    task: str,
    *,
    threshold: float = THRESHOLD,
    relative_error: float = 0.01,
    seconds: float = 30.0,
    launches: int = LAUNCHES,
    clock: str = "wall",
    backend: str = "auto",
    on_doing: Callable[[str], None] = lambda words: None,
    **options: Any,
) -> Comparison:
    """Time an update of two by turns.

    Args:
        baseline, contender: ``VARIANT[@BACKEND][@PYTHON]``, see ``Side``. task: a name.
        threshold: the part by which the speed has to differ before it is said to.
        relative_error: a launch ends when its ratio is known to ± this part of it, at 95 %; not when there is a verdict:
            who looks after every round, and stops at the first that pleases, finds a difference where there is none.
        seconds: of measuring, at most, all launches together; starting the processes comes on top.
        launches: how often the processes are started anew.
        clock, options: as in ``lo.throughput``. backend: of a side that names none.
        on_doing: told what is being done.

    Raises:
        TimingError: a side or an argument that cannot be, or a process that ended.
    """
    clock_of(options.get("device", "cpu"), clock)
    if not 0 < threshold < 1:
        raise TimingError(f"threshold is {threshold!r}; expected a part between 0 and 1, as 0.03.")
    for what, value in (("relative_error", relative_error), ("seconds", seconds)):
        if not 0 < value < math.inf:
            raise TimingError(f"{what} is {value!r}; expected a number above 0.")
    if launches < 1:
        raise TimingError(f"launches is {launches!r}; expected a whole number of at least 1, and 6 for a verdict.")
    sides = [Side.of(text) for text in (baseline, contender)]
    ratios, samples, facts = [], [], []
    for launch in range(launches):
        on_doing(f"starting both, {launch + 1} of {launches}")
        with ExitStack() as stack:
            workers = [Worker(side.text, side.python) for side in sides]
            for worker in workers:
                stack.callback(worker.close)
            for worker, side in zip(workers, sides, strict=True):
                worker.ask(side.variant, task, clock, {"backend": side.backend or backend, **options})
            facts = [worker.ready() for worker in workers]
            on_doing(f"measuring, {launch + 1} of {launches}")
            found = measure(
                dict(zip(("baseline", "contender"), workers, strict=True)),
                seconds=seconds / launches,
                enough=lambda timings: Timing(paired(timings), relative_error).error <= relative_error,
            )
        ratios.append(paired(found))
        samples.append([timing.samples for timing in found.values()])
    medians = [statistics.median(s for row in samples for s in row[which]) for which in (0, 1)]
    return Comparison(baseline, contender, tuple(ratios), (medians[0], medians[1]), (facts[0], facts[1]), threshold)


def paired(timings: Mapping[str, Timing]) -> tuple[float, ...]:
    """The baseline's time over the contender's in every round, rounds in which both had their turn one after the other."""
    baseline, contender = (timings[name].samples for name in ("baseline", "contender"))
    return tuple(a / b for a, b in zip(baseline, contender, strict=True))
