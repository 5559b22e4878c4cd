"""A device without a GPU: the very text a GPU gets, compiled by g++ behind ``text/shim.h`` and run as a program of its own.

Each thread of a block is a fiber. A GPU runs threads in no order that may be relied on, so the order here is chosen: what
comes out the same in all of :data:`ORDERS` misses no barrier that they can tell. Shared memory starts as NaN, so that a read
before a write shows, and is as long as the launch says. Blocks of a cluster run together, clusters one after the other.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache as once
from pathlib import Path
from typing import BinaryIO

import numpy as np
from torch import Tensor

from lstm_odyssey.backends.cuda.running import kept
from lstm_odyssey.backends.cuda.running.launch import KernelError, Launch, Runs, Table, Work, about, unrolled
from lstm_odyssey.backends.cuda.running.prepared import OneByOne
from lstm_odyssey.tasks.nearest import nearest

ORDERS = ("in order", "reversed", "shuffled 1", "shuffled 2", "greedy")
"""The orders of threads. Greedy: a warp runs as far as it can before the next one starts, so that it overtakes the others."""

_FLAGS = ("-std=c++17", "-O1", "-g1")
_LINKED = ("-rdynamic", "-ldl")  # a kernel is found by its name
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
RACES = ("-fsanitize=thread",)
_SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0",
    "UBSAN_OPTIONS": "print_stacktrace=1:abort_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:exitcode=3",
}
_MAPPED = "ThreadSanitizer: unexpected memory mapping"
HEADERS = ("device.h", "shim.h", "fiber.h", "guarded.h", "threads.h", "grid.h", "run.cpp")
"""What a program is compiled of besides the text."""

_LONGEST_MESSAGE = 4000
SECONDS = 1800.0
"""What a request may take: longer is a loop without end."""


def compiler() -> str | None:
    """The C++ compiler: ``$CXX`` if it is set, else g++; None if there is none."""
    return shutil.which(os.environ.get("CXX") or "g++")


@once
def _version(path: str) -> str:
    return subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout.partition("\n")[0]


class EmulatedDevice:
    """Runs kernels on the CPU, in one order of threads.

    Args:
        order: one of :data:`ORDERS`, or "shuffled" and another number.
        sanitize: compile with AddressSanitizer and UndefinedBehaviorSanitizer. A tensor's storage is as long as it says, so
            that they see a step beyond it.
        races: compile with ThreadSanitizer instead, to which the threads of a cluster are threads: two of them at one
            place, one to write, with no barrier between, are an error in any order, whatever the values.
        processors: of how many multiprocessors a network may think that it has them to itself.

    Raises:
        KernelError: there is no C++ compiler.
        ValueError: the order is none, or both checks are asked for.
    """

    architecture = "sm_90"

    def __init__(
        self, order: str = "in order", sanitize: bool = False, races: bool = False, processors: int = 1
    ) -> None:
        kind, _, seed = order.partition(" ")
        if order not in ORDERS and not (kind == "shuffled" and seed.isdecimal()):
            raise ValueError(f"order of threads: got '{order}'; expected one of {nearest(order, ORDERS)}.")
        if sanitize and races:
            raise ValueError("the emulated device: got sanitize and races; expected one of them. Run it twice.")
        found = compiler()
        if found is None:
            raise KernelError("the emulated device found no C++ compiler. Install g++, or set CXX to one.")
        self.order, self.sanitize, self.races, self.processors = order, sanitize, races, processors
        self._compiler = found

    def __repr__(self) -> str:
        checks = f"{', sanitize=True' if self.sanitize else ''}{', races=True' if self.races else ''}"
        return f"EmulatedDevice({self.order!r}{checks})"

    def run(self, text: str, work: Sequence[Work]) -> None:
        """Compile the text (it is kept) and run the launches in turn, in one process.

        Raises:
            KernelError: the text does not compile, or a kernel fails: a thread waits where others do not, an address is
                wrong, a block of a cluster has ended too early.
        """
        program, launches = self.compiled(text), unrolled(work)
        with tempfile.TemporaryDirectory(prefix="lstm-odyssey-") as scratch:
            request, answer = Path(scratch, "request"), Path(scratch, "answer")
            with open(request, "wb") as file:
                buffers = _write(file, launches)
            self._call(about(text), launches, [str(program), self.order, str(request), str(answer)])
            with open(answer, "rb") as file:
                for address, size in buffers:
                    if file.readinto(_bytes(address, size)) != size:
                        raise KernelError(f"{self!r}: the answer is shorter than the buffers.")

    def prepare(self, text: str, work: Sequence[Work]) -> Prepared:
        """What runs the launches each time it is asked to."""
        return Prepared(self, text, unrolled(work))

    def looped(self, text: str, work: Sequence[Work]) -> Prepared:
        """The same: there are no graphs of a loop's turns here, all of them are one request."""
        return self.prepare(text, work)

    def build(self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None) -> None:
        """Compile many texts on all cores."""
        kept.built(self.compiled, texts, progress)

    def graph(self, prepared: Sequence[Runs]) -> OneByOne:
        """What runs them in turn; as on a GPU nothing runs while it is made."""
        return OneByOne(prepared)

    def free(self) -> None:
        """The processor's memory is not planned."""

    def event(self) -> Event:
        """An event with a time."""
        return Event()

    def together(self, prepared: Sequence[Runs]) -> OneByOne:
        """One after the other: what it computes is the same."""
        return OneByOne(prepared)

    def compiled(self, text: str) -> Path:
        """The program made of this text."""
        flags = (*_FLAGS, *(SANITIZERS if self.sanitize else RACES if self.races else ()))
        depends = (_version(self._compiler), *flags, *_LINKED, *map(kept.header, HEADERS))
        told = ("-DSANITIZED",) if self.sanitize else ("-DRACES",) if self.races else ()
        quick = (*_FLAGS, *told)  # what runs the kernels need not be looked at
        runner = kept.kept(
            f"runner_{kept.key(*depends)}.o",
            lambda path: self._compile("run.cpp", [*quick, "-c", str(kept.TEXTS / "run.cpp")], path),
        )

        def make(path: Path) -> None:
            with tempfile.TemporaryDirectory(prefix="lstm-odyssey-") as scratch:
                Path(scratch, "kernels.cpp").write_text(text, encoding="utf-8")
                named = f"-ffile-prefix-map={scratch}=."  # what messages name does not depend on where it was compiled
                rest = [*flags, named, "kernels.cpp", str(runner), *_LINKED]
                self._compile(about(text), rest, path, scratch)
                path.chmod(0o700)

        return kept.kept(f"emulated_{kept.key(*depends, text)}", make)

    def _compile(self, name: str, arguments: Sequence[str], path: Path, folder: str | None = None) -> None:
        command = [self._compiler, f"-I{kept.TEXTS}", *arguments, "-o", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, cwd=folder)
        if done.returncode != 0:
            raise KernelError(f"{self!r}: {name} does not compile.\n{done.stderr[:_LONGEST_MESSAGE]}")

    def _call(self, name: str, launches: Sequence[Launch], command: Sequence[str]) -> None:
        around = {**os.environ, **_SANITIZER_OPTIONS}
        names = ", ".join(dict.fromkeys(f"'{launch.kernel}'" for launch in launches))

        def run(*before: str) -> subprocess.CompletedProcess[str]:
            words = [*before, *command]
            return subprocess.run(
                words, capture_output=True, text=True, errors="replace", check=False, timeout=SECONDS, env=around
            )

        try:
            done = run()
            if self.races and _MAPPED in done.stderr:  # where addresses are drawn too far apart for it
                done = run("setarch", platform.machine(), "--addr-no-randomize")
        except subprocess.TimeoutExpired as error:
            raise KernelError(f"{self!r}: {name}: kernels {names} did not end within {SECONDS:.0f} s.") from error
        except OSError as error:
            raise KernelError(f"{self!r}: {name} is compiled but does not start: {error}.") from error
        if done.returncode != 0:
            said = _said(done.stderr) or f"kernels {names} ended with code {done.returncode}"
            raise KernelError(f"{self!r}: {name}: {said}")


def _said(stderr: str) -> str:
    """What a program said last: where it was, and before that what a sanitizer said of it, without its table of bytes."""
    lines = [
        line for line in stderr.strip().partition("\nShadow bytes")[0].splitlines() if not line.startswith("=====")
    ]
    last = stderr.strip().rpartition("\n")[2]
    rest = [line for line in lines if line != last]
    return "\n".join((last, *rest)).strip()[:_LONGEST_MESSAGE]


class Event:
    """The wall's clock when it is recorded: all that came before is done by then."""

    def __init__(self) -> None:
        self._at = float("nan")

    def record(self) -> None:
        """Read the clock."""
        self._at = time.perf_counter()

    def synchronize(self) -> None:
        """There is nothing to wait for, except for an event that was never recorded."""
        if self._at != self._at:
            raise KernelError("the emulated device: an event is waited for that was not recorded.")

    def elapsed_time(self, end: Event) -> float:
        """Milliseconds from here to there."""
        return 1000 * (end._at - self._at)


class Prepared:
    """Launches that are run as often as wanted, with the addresses that their tables had when this was made, as on a GPU."""

    in_a_graph = True

    def __init__(self, device: EmulatedDevice, text: str, launches: Sequence[Launch]) -> None:
        self._device, self._text, self._launches = device, text, launches
        self.fill([launch.made for launch in launches])

    def fill(self, tables: Sequence[Table]) -> None:
        """Run with these tables from now on, one a launch, and with the addresses that they have now."""
        self._launches = [replace(launch, table=table) for launch, table in zip(self._launches, tables, strict=True)]
        self._tensors = list({id(tensor): tensor for table in tables for tensor in table.tensors}.values())
        self._addresses = [tensor.data_ptr() for tensor in self._tensors]

    def fill_from(self, other: Prepared) -> None:
        """Run with the tables of another from now on, and with the addresses that those had when it was filled."""
        self.fill([launch.made for launch in other._launches])
        self._addresses = list(other._addresses)

    def run(self) -> None:
        """Run them in turn.

        Raises:
            KernelError: a tensor has moved meanwhile: a GPU would read and write where it was.
        """
        if [tensor.data_ptr() for tensor in self._tensors] != self._addresses:
            raise KernelError(
                f"{self._device!r}: {about(self._text)}: a tensor of a table has moved since its address was written there."
            )
        self._device.run(self._text, self._launches)


def _bytes(address: int, size: int) -> memoryview:
    """The memory of a tensor's storage."""
    return memoryview((ctypes.c_char * size).from_address(address)).cast("B") if size else memoryview(bytearray())


def _write(file: BinaryIO, launches: Sequence[Launch]) -> list[tuple[int, int]]:
    """Write the request that ``text/run.cpp`` describes; address and bytes of the buffers, in its order."""
    places: dict[int, int] = {}
    buffers: list[tuple[int, int]] = []

    def pair(entry: Tensor) -> tuple[int, int]:
        if entry.device.type != "cpu":
            raise ValueError(f"a tensor of an emulated launch is on {entry.device}; expected the CPU.")
        storage = entry.untyped_storage()
        if storage.data_ptr() not in places:
            places[storage.data_ptr()] = len(buffers)
            buffers.append((storage.data_ptr(), storage.nbytes()))
        return places[storage.data_ptr()], entry.data_ptr() - storage.data_ptr()

    said: list[bytes] = []
    for launch in launches:
        name = launch.kernel.encode()
        numbers = [
            len(name),
            launch.programs,
            launch.tiles,
            launch.threads,
            launch.cluster,
            launch.shared,
            launch.width,
        ]
        table = launch.made
        begins = np.array([*map(pair, table.tensors), (-1, 0)], np.int64)[table.of]  # the last is of numbers, -1
        begins[..., 1] += table.numbers
        said += [_numbers(numbers), name, begins.tobytes()]
    file.write(_numbers([len(buffers), *(size for _, size in buffers)]))
    file.write(_numbers([len(launches)]))
    file.writelines(said)
    file.writelines(_bytes(address, size) for address, size in buffers)
    return buffers


def _numbers(numbers: Sequence[int] | Sequence[tuple[int, int]]) -> bytes:
    return np.array(numbers, dtype=np.int64).tobytes()
