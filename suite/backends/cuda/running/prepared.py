"""Launches that a GPU is ready for: compiled, loaded, tables in its memory; one after the other or side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lstm_odyssey.backends.cuda.running.launch import Launch, Runs, Table, about


class Prepared:
    """Launches that are compiled, loaded and have their tables on the device, a ``driver.CudaDevice``."""

    in_a_graph = True

    def __init__(
        self,
        device: Any,
        text: str,
        launches: Sequence[Launch],
        functions: list[Any],
        tables: list[Tensor],
        stream: Any,
    ) -> None:
        self._device, self._text, self._stream = device, text, stream
        once = {id(launch): launch for launch in launches}  # a step's launches are there once for all steps
        configs = {key: device.config(launch) for key, launch in once.items()}
        each = (configs[id(launch)] for launch in launches)
        self._launches = list(zip(launches, functions, tables, each, strict=True))

    def __str__(self) -> str:
        return about(self._text)

    def run(self) -> None:
        """Put the launches onto torch's current stream. On another one than they were prepared on, it waits for the tables.

        Raises:
            KernelError: the driver refuses a launch.
        """
        self._wait()
        with self._device.current():
            for launch, function, table, config in self._launches:
                self._device.launch(self._text, launch, function, table, config)

    def fill(self, tables: Sequence[Table]) -> None:
        """Write other tables, one a launch, where the kernels read them: in order with torch's current stream, and after what
        was run of them on another. Launches that have one table in common still have.
        """
        self._wait()
        each = zip(self._launches, tables, strict=True)
        once = {id(place): (launch.kernel, table, place) for (launch, _, place, _), table in each}
        for kernel, table, place in once.values():
            self._device.upload(kernel, table, place)

    def fill_from(self, other: Prepared) -> None:
        """Write the tables of the same launches that were prepared with others: ``fill``, without the host."""
        self._wait()
        other._wait()
        each = zip(self._launches, other._launches, strict=True)
        for place, table in {id(place): (place, table) for (_, _, place, _), (_, _, table, _) in each}.values():
            place.copy_(table, non_blocking=True)

    def _wait(self) -> None:
        """Let torch's current stream wait for the one that has used the tables last."""
        stream = torch.cuda.current_stream(self._device.device)
        if stream != self._stream and not self._device.captured():
            stream.wait_stream(self._stream)
            for _, _, table, _ in self._launches:
                table.record_stream(stream)
            self._stream = stream


class _Several:
    """Launches of several texts, each prepared, that are run as one."""

    def __init__(self, prepared: Sequence[Runs]) -> None:
        self._prepared = tuple(prepared)

    def __str__(self) -> str:
        return "; ".join(dict.fromkeys(map(str, self._prepared)))

    @property
    def in_a_graph(self) -> bool:
        """Whether a graph may hold all of them."""
        return all(one.in_a_graph for one in self._prepared)


class OneByOne(_Several):
    """In turn, without a graph of all."""

    def run(self) -> None:
        """Run them."""
        for one in self._prepared:
            one.run()


class Together(_Several):
    """Side by side, and what comes after them waits for all.

    Args:
        device: whose current stream the first is put onto.
        prepared: what runs.
        streams: one for each of the others.
    """

    def __init__(self, device: torch.device, prepared: Sequence[Runs], streams: Sequence[Any]) -> None:
        super().__init__(prepared)
        self._device, self._streams = device, tuple(streams)

    def run(self) -> None:
        """Put the launches onto their streams."""
        first, *others = self._prepared
        current = torch.cuda.current_stream(self._device)
        try:
            for one, stream in zip(others, self._streams, strict=True):
                stream.wait_stream(current)
                with torch.cuda.stream(stream):
                    one.run()
            first.run()
        finally:  # whoever is told of a refusal may free what the others still write to
            for stream in self._streams:
                current.wait_stream(stream)
