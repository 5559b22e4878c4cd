"""Loops that a layer runs, a scan step by step, as CUDA graphs that hold for any tensors and any number of turns.

A kernel reads the addresses of its tensors from a table in the device's memory. So a graph of some turns does for every call
with the same kernels and grids: the call writes its own tables where the graph's kernels read them, and launches it. There are
graphs of 1, 2, 4 ... turns, so that T steps are a few calls of the driver and not one for each kernel of each step.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from lstm_odyssey.backends.cuda.graphs import as_graph
from lstm_odyssey.backends.cuda.launch import Device, Loop, Runs, Work

LONGEST = 256
"""Turns of the longest graph: it takes the driver some kilobytes a turn."""

KEPT = 64
"""Loops of different kernels or grids whose graphs a device keeps; the one not used for longest is dropped."""


class Turns:
    """The turns of a loop, for whatever its tables say.

    Args:
        device: runs them.
        text: of the kernels.
        loop: whose kernels, grids and sizes of tables all that come have.
    """

    def __init__(self, device: Device, text: str, loop: Loop) -> None:
        self._device, self._lock, self._came = device, threading.Lock(), False
        blank = {id(one.table): one.made.blank() for one in loop.launches}
        self._turn = device.prepare(text, [replace(one, table=blank[id(one.table)]) for one in loop.launches])
        self._graphs: dict[int, Runs] = {}

    def run(self, loop: Loop) -> None:
        """Run the loop on torch's current stream, after what runs of another with these kernels.

        Raises:
            KernelError: the driver refuses it.
        """
        with self._lock:
            self._turn.fill([one.made for one in loop.launches])
            if self._came:
                for turns in powers(loop.times):
                    self._graph(turns).run()
            else:  # what comes once is not worth a graph
                for _ in range(loop.times):
                    self._turn.run()
                self._came = True

    def _graph(self, turns: int) -> Runs:
        if turns not in self._graphs:
            self._graphs[turns] = as_graph(self._device, [self._turn] * turns)
        return self._graphs[turns]


def powers(times: int) -> Iterator[int]:
    """Powers of two, ``LONGEST`` at most, whose sum this is; the greatest first."""
    while times:
        part = min(LONGEST, 1 << (times.bit_length() - 1))
        yield part
        times -= part


class Loops:
    """What runs launches and loops on a device, and keeps the graphs of those loops that came."""

    def __init__(self, device: Device) -> None:
        self._device, self._lock = device, threading.Lock()
        self._known: OrderedDict[tuple[object, ...], Turns] = OrderedDict()

    def run(self, text: str, work: Sequence[Work]) -> None:
        """Run them in turn.

        Raises:
            KernelError: the text does not compile, or the driver refuses a launch.
        """
        for kind, group in groupby(work, type):
            if kind is Loop:
                for loop in group:
                    self._turns(text, loop).run(loop)  # type: ignore[arg-type]  # it is one
            else:
                self._device.prepare(text, list(group)).run()

    def _turns(self, text: str, loop: Loop) -> Turns:
        key = text, *((one.kernel, one.grid, one.threads, one.cluster, one.shared, one.width) for one in loop.launches)
        with self._lock:
            found = self._known.pop(key, None) or Turns(self._device, text, loop)
            self._known[key] = found
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        return found
