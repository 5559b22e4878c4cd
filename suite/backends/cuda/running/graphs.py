"""Prepared launches as one CUDA graph: what a host tells a GPU one after the other becomes a single call.

A launch from Python takes the host some microseconds, and an update of a population has about thirty of them, a scan step by
step thousands. All that a kernel reads, hyperparameters included, lies in device memory at places that a table holds, so a
graph that was captured once computes the next update as well, until something moves: then its owner drops it.

Source: CUDA driver API, "Stream Management" (capture) and "Graph Management".
"""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby
from typing import Any

import torch

from lstm_odyssey.backends.cuda.running.launch import Device, KernelError, Runs
from lstm_odyssey.backends.cuda.running.prepared import OneByOne

NAMED = 3
"""Texts of a graph that an error names."""


class Graph:
    """A captured graph.

    Attributes:
        in_a_graph: no, it is one.

    Args:
        device: a ``driver.CudaDevice``, which captures and launches it.
        prepared: what it consists of; kept, as their tables are what the graph reads. None of it runs meanwhile.

    Raises:
        KernelError: the driver refuses the capture or the graph.
    """

    in_a_graph = False

    def __init__(self, device: Any, prepared: Sequence[Runs]) -> None:
        self._device, self._prepared = device, tuple(prepared)
        self._stream = torch.cuda.current_stream(device.device)
        mode = device.driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._place = place = f"{device.name}: a graph of {_named(self._prepared)}"
        # torch's default stream cannot be captured; torch does not know of the capture, so nothing of its is freed meanwhile
        with device.current(), device.capturing() as side, torch.cuda.stream(side), _nothing_collected():
            device.checked("cuStreamBeginCapture", place, side.cuda_stream, mode)
            with ExitStack() as held:
                try:
                    for one in self._prepared:
                        one.run()
                finally:  # whatever became of it, the stream is out of the capture again
                    code, graph = device.driver.cuStreamEndCapture(side.cuda_stream)
                    if code == device.driver.CUresult.CUDA_SUCCESS:
                        held.callback(device.driver.cuGraphDestroy, graph)
                device.accepted("cuStreamEndCapture", place, code)
                self._graph = device.checked("cuGraphInstantiate", place, graph, 0)
        # one that still runs is freed when it ends; at the end of the process the driver frees all
        weakref.finalize(self, device.driver.cuGraphExecDestroy, self._graph).atexit = False

    def run(self) -> None:
        """Launch it on torch's current stream.

        Raises:
            KernelError: the driver refuses it.
        """
        stream = torch.cuda.current_stream(self._device.device)
        if stream != self._stream:
            stream.wait_stream(self._stream)
            self._stream = stream
        with self._device.current():
            self._device.checked("cuGraphLaunch", self._place, self._graph, stream.cuda_stream)


def _named(prepared: Sequence[Runs]) -> str:
    """The first few of its texts, and how many launches' worth of parts it has."""
    texts = list(dict.fromkeys(map(str, prepared)))
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return f"{len(prepared)} parts ({'; '.join(texts[:NAMED])}{more})"


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """While this lasts, the garbage collector frees nothing."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class Sequences:
    """Stages of a computation, each prepared, that are run in sequences: from its second time on a sequence is one graph.

    A stage that is made of graphs stays outside, so that what comes before and after it is a graph each.

    Args:
        device: makes graphs.
        stages: by name.
    """

    def __init__(self, device: Device, stages: dict[str, list[Runs]]) -> None:
        self._device, self._stages = device, stages
        self._ran: set[tuple[str, ...]] = set()
        self._graphs: dict[tuple[str, ...], list[Runs]] = {}

    def has(self, stage: str) -> bool:
        """Whether there is anything to run in it."""
        return bool(self._stages.get(stage))

    def run(self, *names: str, graphs: bool = True) -> None:
        """Run stages in turn.

        Args:
            names: of the stages.
            graphs: whether they may be graphs.
        """
        found = [one for name in names for one in self._stages[name]]
        if graphs and names in self._ran:
            if names not in self._graphs:
                self._graphs[names] = self._as_graphs(found)
            found = self._graphs[names]
        for one in found:
            one.run()
        self._ran.add(names)  # a shape of batch that comes once is not worth a graph

    def _as_graphs(self, stages: Sequence[Runs]) -> list[Runs]:
        """What runs them in turn, with those in a graph that can be and follow each other."""
        found: list[Runs] = []
        for within, group in groupby(stages, key=lambda one: one.in_a_graph):
            own = list(group)
            found += [as_graph(self._device, own)] if within and len(own) > 1 else own
        return found


def as_graph(device: Device, prepared: Sequence[Runs]) -> Runs:
    """All of them as one graph; where the device refuses, one by one, with a warning."""
    try:
        return device.graph(prepared)
    except (KernelError, torch.OutOfMemoryError) as error:  # nothing has run, and what comes is the same, bit by bit
        warnings.warn(f"{error} Its kernels are launched one by one, which takes longer.", stacklevel=2)
        return OneByOne(prepared)
