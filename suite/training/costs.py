"""What each trial of a population costs: its own work by the thread's clock, the work that all share apart.

A study runs beside other work, so a trial is booked by the processor time of the thread that trains it; the wall's clock
stands beside it. Where members are computed one by one, the clock is read round each member's update and each member's
scoring. Where they are computed together, padded to the widest, a member is booked its share of the work: its number of
parameters (the multiply-adds of a frame) among those of all members computed, running or not, so that neither a wider
neighbour nor one that has stopped changes what it is booked.

A GPU computes while its host goes on: there the clocks are the wall's, read once the device has done what it was given,
before and after a whole pass over the training set; what is shared is inside and not told apart (NaN).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_odyssey.training.clocks import Clock, clock_of
from lstm_odyssey.training.environment import kind_of


@dataclass(frozen=True)
class Clocks:
    """Two clocks in seconds: what a trial is booked by, and the wall's beside it.

    Args:
        booked: by default the processor time of this thread.
        wall: time of day.
        each: whether they are read round every member's update; else round a pass over the training set.
    """

    booked: Clock = time.thread_time
    wall: Clock = time.perf_counter
    each: bool = True


def clocks_for(device: Any) -> Clocks:
    """The clocks for a training on a device."""
    if kind_of(device) == "cpu":
        return Clocks()
    waiting = clock_of(device)
    return Clocks(waiting, waiting, each=False)


def shares(counts: Sequence[int]) -> NDArray[Any]:
    """Each member's share of a computation, [P]: its parameters among those of all members.

    >>> shares([100, 300]).tolist()
    [0.25, 0.75]
    """
    work: NDArray[Any] = np.asarray(counts, float)
    whole: NDArray[Any] = work / work.sum()
    return whole


class Costs:
    """Books what passes on the clocks.

    Args:
        clocks: what is read.
        members: P.

    Attributes:
        own: of the running epoch, [P, 2]: own work by either clock, updates and scoring.
        training: [P], own updates of all epochs, by the booked clock.
        wall: [P], own updates and scoring of all epochs, by the wall's.
        shared: [P], order, noise and batches of the epochs in which the member ran, by the booked clock: what it would cost
            alone too, and what a block pays once.
    """

    def __init__(self, clocks: Clocks, members: int) -> None:
        self.clocks = clocks
        self.own = np.zeros((members, 2))
        self.training, self.wall = np.zeros(members), np.zeros(members)
        self.shared = np.full(members, 0.0 if clocks.each else np.nan)
        self._read = (0.0, 0.0)

    def lap(self) -> NDArray[Any]:
        """What has passed on both clocks since the last reading, [2]."""
        now = (self.clocks.booked(), self.clocks.wall())
        passed = np.subtract(now, self._read)
        self._read = now
        return passed

    def begin_epoch(self) -> None:
        self.own[:] = 0
        self.lap()

    def book(self, place: slice, share: NDArray[Any], *, training: bool) -> None:
        """The lap that ends now goes to the members of a part, by their shares."""
        self._add(place, share, self.lap(), training=training)

    def _add(self, place: slice, share: NDArray[Any], passed: NDArray[Any], *, training: bool) -> None:
        self.own[place] += share[:, None] * passed
        self.wall[place] += share * passed[1]
        if training:
            self.training[place] += share * passed[0]

    def book_shared(self, running: NDArray[Any]) -> None:
        """The lap that ends now was order, noise or a batch, for every running member alike."""
        self.shared[running] += self.lap()[0]

    def book_pass(self, parts: Sequence[tuple[slice, NDArray[Any]]]) -> None:
        """The lap that ends now was a whole pass over the training set of these parts, at the same time."""
        passed = self.lap()
        for place, share in parts:
            self._add(place, share / len(parts), passed, training=True)
