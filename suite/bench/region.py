"""The one way anything here is timed: functions take turns, from a steady state on, until their medians are known.

asv, pytest-benchmark and ``odyssey bench`` share ``measure``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lstm_odyssey.bench.samples import Timing
from lstm_odyssey.training.clocks import Clock, TimingError, between, mark

WINDOW = 3
"""Rounds of a window of the warm-up: two in succession have to agree."""
STEADY = 0.05
"""How well: their medians' greatest relative difference."""
WARM_UP = 0.25
"""The part of the time that the warm-up may take."""
MOST_CALLS = 100
"""Calls a turn at most."""


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Region:
    """What is timed.

    Args:
        phases: called in this order, each with what the one before returned; timed each by itself.
        before: called ahead of them and not timed; what it returns goes to the first phase.
    """

    phases: Mapping[str, Callable[[Any], Any]]
    before: Callable[[], Any] = _nothing

    def once(self, clock: Clock) -> list[float]:
        """Run it; seconds of each phase."""
        return between(clock, self._marked(clock))

    def _marked(self, clock: Clock) -> list[Any]:
        """Run it; the marks around its phases."""
        value = self.before()
        marks = [mark(clock)]
        for phase in self.phases.values():
            value = phase(value)
            marks.append(mark(clock))
        return marks

    def turn(self, seconds: float, clock: Clock, wall: Clock) -> list[float]:
        """Calls until the seconds are over, one at least: the median of the whole, and of each phase."""
        begun = wall()
        marked = [self._marked(clock)]
        while wall() - begun < seconds and len(marked) < MOST_CALLS:
            marked.append(self._marked(clock))
        calls = [between(clock, marks) for marks in marked]  # a GPU goes from call to call without a pause
        total = statistics.median(map(sum, calls))
        return [total, *(statistics.median(phase) for phase in zip(*calls, strict=True))]

    @classmethod
    def of(cls, function: Callable[[], Any]) -> Region:
        """A function without phases."""
        return cls({"call": lambda _: function()})


class Timed(Protocol):
    """What ``measure`` can time: a ``Region``, or a process that times one of its own."""

    @property
    def phases(self) -> Mapping[str, Any]:
        """By name, in their order."""

    def turn(self, seconds: float, clock: Clock, wall: Clock) -> list[float]:
        """One turn: the sample of the whole, and of each phase."""


@dataclass
class _Turns:
    """A region's samples: a row a turn, a column a phase."""

    region: Timed
    rows: list[list[float]] = field(default_factory=list)

    @property
    def steady(self) -> bool:
        """Whether the last two windows agree."""
        totals = [row[0] for row in self.rows]
        if len(totals) < 2 * WINDOW:
            return False
        before, last = statistics.median(totals[-2 * WINDOW : -WINDOW]), statistics.median(totals[-WINDOW:])
        return abs(last - before) <= STEADY * before

    def timing(self, asked: float) -> Timing:
        total, *phases = zip(*self.rows, strict=True)
        names = self.region.phases
        parts = {name: Timing(part, asked) for name, part in zip(names, phases, strict=True)} if len(names) > 1 else {}
        return Timing(total, asked, parts)


def measure(
    regions: Mapping[str, Timed],
    *,
    relative_error: float = 0.02,
    seconds: float = 10.0,
    rounds: int | None = None,
    enough: Callable[[Mapping[str, Timing]], bool] | None = None,
    turn: float = 0.02,
    clock: Clock = time.perf_counter,
    wall: Clock = time.perf_counter,
) -> dict[str, Timing]:
    """Time functions against each other.

    They take turns, round after round, so that a machine that is busy for a while is busy for all of them. Rounds are
    thrown away until the medians of two successive windows of each function agree within 5 %, or a quarter of the time is
    over; then they count, until every median's 95 % interval is within ± ``relative_error`` of it, or the time is over.

    Args:
        regions: by name.
        relative_error: half the width of the interval over the median.
        seconds: for all of it, warm-up included. Whatever it is, one round of warm-up and one that counts are run, and no
            round is begun that would not end in time if it took as long as the one before.
        rounds: count exactly so many instead, however long they take.
        enough: asked after every round in place of ``relative_error``: whether what is known by then will do.
        turn: seconds; in its turn a function is called again until they are over. The median of a turn is one sample, so
            that a quick function is measured as often as slow ones leave time for, and neighbouring calls count once.
        clock: what is measured; see ``timer_of``. wall: what ``seconds`` and ``turn`` are counted in.

    Returns:
        By name, the ``Timing``: samples, median, interval, phases, and why it may be doubted.

    Raises:
        TimingError: there is nothing to time, or an argument is out of range.
    """
    if not regions:
        raise TimingError("measure: no function given; expected at least one to time.")
    for what, value in (("relative_error", relative_error), ("seconds", seconds)):
        if not value > 0:
            raise TimingError(f"measure: {what} is {value!r}; expected a number above 0.")
    if rounds is not None and rounds < 1:
        raise TimingError(f"measure: rounds is {rounds!r}; expected a whole number of at least 1.")
    begun = wall()

    def play(turns: Mapping[str, _Turns]) -> float:
        """One round; returns its length."""
        at = wall()
        for each in turns.values():
            each.rows.append(each.region.turn(turn, clock, wall))
        return wall() - at

    def precise(timings: Mapping[str, Timing]) -> bool:
        return all(timing.error <= relative_error for timing in timings.values())

    warm = {name: _Turns(region) for name, region in regions.items()}
    play(warm)
    while not all(each.steady for each in warm.values()) and wall() - begun < WARM_UP * seconds:
        play(warm)
    turns = {name: _Turns(region) for name, region in regions.items()}
    done = 0
    while True:
        length = play(turns)
        done += 1
        found = {name: each.timing(relative_error) for name, each in turns.items()}
        if rounds is not None:
            if done == rounds:
                return found
        elif wall() - begun + length > seconds or (enough or precise)(found):
            return found
