"""Loops, scans step by step, as CUDA graphs that hold for any tensors and any number of turns.

A kernel reads the addresses of its tensors from a table in the device's memory. So a graph of some turns does for every call
with the same kernels and grids: the call writes its own tables where the graph's kernels read them, and launches it. There are
graphs of 1, 2, 4 ... turns, so that T steps are a few calls of the driver and not one for each kernel of each step, and so that
the sequences of a corpus share them, however many lengths they have.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from lstm_odyssey.backends.cuda.running.graphs import as_graph
from lstm_odyssey.backends.cuda.running.launch import Device, Launch, Loop, Refilled, Runs, Work
from lstm_odyssey.backends.cuda.running.prepared import OneByOne

LONGEST = 256
"""Turns of the longest graph."""

KEPT, NODES = 64, 65536
"""Loops of different kernels or grids whose graphs a device keeps, and the launches in all of these; the one not used for
longest is dropped."""


class Turns:
    """The turns of a loop, for whatever its tables say.

    Args:
        device: runs them.
        text: of the kernels.
        loop: whose kernels, grids and sizes of tables all that come have.

    Attributes:
        nodes: launches in its graphs.
    """

    def __init__(self, device: Device, text: str, loop: Loop) -> None:
        self._device, self._text, self._lock, self._came = device, text, threading.Lock(), False
        blank = {id(one.table): one.made.blank() for one in loop.launches}
        self._launches = [replace(one, table=blank[id(one.table)]) for one in loop.launches]
        self._turn: Refilled | None = None
        self._graphs: dict[int, Runs] = {}
        self.nodes = 0

    def run(self, times: int, fill: Callable[[Refilled], None]) -> None:
        """Run so many on torch's current stream, after what runs of another loop with these kernels.

        Args:
            times: how many.
            fill: writes the tables.

        Raises:
            KernelError: the text does not compile, or the driver refuses it.
        """
        with self._lock:
            if self._turn is None:  # compiled here, where only those wait who need it
                self._turn = self._device.prepare(self._text, self._launches)
            fill(self._turn)
            if self._came:
                for turns in powers(times):
                    self._graph(self._turn, turns).run()
            else:  # what comes once is not worth a graph
                for _ in range(times):
                    self._turn.run()
                self._came = True

    def _graph(self, turn: Refilled, turns: int) -> Runs:
        if turns not in self._graphs:
            self._graphs[turns] = as_graph(self._device, [turn] * turns)
            self.nodes += turns * len(self._launches)
        return self._graphs[turns]


def powers(times: int) -> Iterator[int]:
    """Powers of two, ``LONGEST`` at most, whose sum this is; the greatest first."""
    while times:
        part = min(LONGEST, 1 << (times.bit_length() - 1))
        yield part
        times -= part


def most_turns(times: int) -> int:
    """How many are in the graphs of loops of any length up to this."""
    return 2 * next(powers(times), 0) - (times > 0)


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
        for part in _parts(work):
            if isinstance(part, Loop):
                self._once(text, part)
            else:
                self._device.prepare(text, part).run()

    def prepare(self, text: str, work: Sequence[Work]) -> Runs:
        """What runs them in turn as often as wanted, its tables on the device.

        Raises:
            KernelError: the text does not compile.
        """
        found: list[Runs] = [
            Repeated(self, self._device, text, part) if isinstance(part, Loop) else self._device.prepare(text, part)
            for part in _parts(work)
        ]
        return found[0] if len(found) == 1 else OneByOne(found)

    def repeat(self, text: str, loop: Loop, fill: Callable[[Refilled], None]) -> None:
        """Run a loop with the tables that ``fill`` writes; see ``Turns.run``."""
        self._turns(text, loop).run(loop.times, fill)
        with self._lock:
            while len(self._known) > 1 and sum(one.nodes for one in self._known.values()) > NODES:
                self._known.popitem(last=False)

    def _once(self, text: str, loop: Loop) -> None:
        tables = [one.made for one in loop.launches]
        self.repeat(text, loop, lambda turn: turn.fill(tables))

    def _turns(self, text: str, loop: Loop) -> Turns:
        tables = [id(one.table) for one in loop.launches]
        each = zip(loop.launches, tables, strict=True)
        key = text, *(
            (one.kernel, one.grid, one.threads, one.cluster, one.shared, one.width, tables.index(own)) for one, own in each
        )  # fmt: skip
        with self._lock:
            found = self._known.pop(key, None) or Turns(self._device, text, loop)
            self._known[key] = found
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        return found


def _parts(work: Sequence[Work]) -> Iterator[Loop | list[Launch]]:
    """Each loop, and all launches between two of them."""
    between: list[Launch] = []
    for one in work:
        if not isinstance(one, Loop):
            between.append(one)
            continue
        if between:
            yield between
        yield one
        between = []
    if between:
        yield between


class Repeated:
    """A loop that has its tables on the device and runs as often as wanted.

    Args:
        loops: have its graphs.
        device: theirs.
        text, loop: of the kernels.
    """

    in_a_graph = False

    def __init__(self, loops: Loops, device: Device, text: str, loop: Loop) -> None:
        self._loops, self._text, self._loop = loops, text, loop
        self._own = device.prepare(text, loop.launches)

    def __str__(self) -> str:
        return str(self._own)

    def run(self) -> None:
        """Run its turns.

        Raises:
            KernelError: the driver refuses a launch.
        """
        self._loops.repeat(self._text, self._loop, lambda turn: turn.fill_from(self._own))
