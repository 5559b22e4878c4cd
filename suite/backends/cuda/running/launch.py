"""What is run: one kernel of a generated text over a table of programs; and who can run it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from torch import Tensor

Numbers = np.ndarray[Any, np.dtype[Any]]

Entry = int | Tensor | None
"""A place of a table: a whole number, a tensor (its address stands there), or None (0 stands there)."""

LARGEST_BLOCK = 1024
MOST_PROGRAMS = 65535
"""Blocks of a grid in y, on any device."""

CLUSTERS = (1, 2, 4, 8, 16)


class KernelError(RuntimeError):
    """A kernel that could not be compiled, launched or brought to its end."""


@lru_cache(maxsize=512)
def about(text: str) -> str:
    """What a message calls a text: the words of its first comment, where the generator writes cell, dtype and size class."""
    for line in text.splitlines()[:3]:
        if line.startswith("// "):
            return line.removeprefix("// ").rstrip(".")
    return "a text without a first comment"


class Table:
    """Rows of whole numbers and addresses, one a program.

    Args:
        numbers: int64 [programs, width]; of an address, the bytes from the beginning of its tensor.
        of: int16 [programs, width], which tensor an address is of; -1 where a number is none.
        tensors: those that ``of`` counts.
    """

    def __init__(self, numbers: Numbers, of: Numbers, tensors: Sequence[Tensor]) -> None:
        self.numbers, self.of, self.tensors = numbers, of, tuple(tensors)

    @classmethod
    def made(cls, rows: Sequence[Sequence[Entry]]) -> Table:
        """Of entries row by row."""
        tensors: list[Tensor] = []
        shape = len(rows), len(rows[0])
        numbers, of = np.zeros(shape, np.int64), np.full(shape, -1, np.int16)
        for k, row in enumerate(rows):
            for place, entry in enumerate(row):
                if isinstance(entry, Tensor):
                    of[k, place] = len(tensors)
                    tensors.append(entry)
                else:
                    numbers[k, place] = entry or 0
        return cls(numbers, of, tensors)

    @classmethod
    def of_columns(cls, columns: Sequence[Value], programs: int) -> Table:
        """Of columns: a number for all programs or one for each, addresses in one tensor, or nothing, which is 0."""
        numbers, of = np.zeros((programs, len(columns)), np.int64), np.full((programs, len(columns)), -1, np.int16)
        tensors: dict[int, tuple[int, Tensor]] = {}
        for place, column in enumerate(columns):
            if isinstance(column, Column):
                of[:, place] = tensors.setdefault(id(column.tensor), (len(tensors), column.tensor))[0]
                numbers[:, place] = np.asarray(column.offsets) * column.tensor.element_size()
            elif column is not None:
                numbers[:, place] = column
        return cls(numbers, of, [tensor for _, tensor in tensors.values()])

    @classmethod
    def joined(cls, tables: Sequence[Table]) -> Table:
        """One under another."""
        if len(tables) == 1:
            return tables[0]
        tensors: dict[int, tuple[int, Tensor]] = {}
        of = []
        for table in tables:
            new = [tensors.setdefault(id(tensor), (len(tensors), tensor))[0] for tensor in table.tensors]
            of.append(np.where(table.of < 0, -1, np.array([*new, 0], np.int16)[table.of]))
        numbers = np.concatenate([table.numbers for table in tables])
        return cls(numbers, np.concatenate(of), [tensor for _, tensor in tensors.values()])

    def __len__(self) -> int:
        return len(self.numbers)

    def blank(self) -> Table:
        """One of this shape with 0 everywhere, which holds no tensor."""
        return type(self)(np.zeros_like(self.numbers), np.full_like(self.of, -1), ())

    def rows(self, which: Numbers | slice) -> Table:
        """Some of the rows."""
        return type(self)(self.numbers[which], self.of[which], self.tensors)

    @property
    def width(self) -> int:
        """The length of the rows."""
        return int(self.numbers.shape[1])

    def addresses(self) -> Numbers:
        """What a kernel reads: int64 [programs, width]."""
        begins = np.array([*(tensor.data_ptr() for tensor in self.tensors), 0], np.int64)
        return self.numbers + begins[self.of]


@dataclass(frozen=True)
class Column:
    """A table's column of addresses: one tensor, and how many of its numbers lie before each program's."""

    tensor: Tensor
    offsets: int | Numbers = 0

    @classmethod
    def filled(cls, make: Callable[[int], Tensor], counts: Numbers) -> Column:
        """In a tensor made for it, in which each program has so many numbers, one after the other."""
        ends = np.cumsum(counts)
        return cls(make(int(ends[-1])), ends - counts)

    def moved(self, by: int | Numbers) -> Column:
        """So many numbers further."""
        return Column(self.tensor, self.offsets + by)

    def part(self, which: slice) -> Column:
        """Of some of the programs."""
        return self if isinstance(self.offsets, int) else Column(self.tensor, self.offsets[which])


Value = Column | int | Numbers | None
"""What a column of a table may be made of."""


@dataclass(frozen=True)
class Launch:
    """One launch: ``cluster * tiles`` by ``programs`` blocks. Block (x, y) works on tile x // cluster of program y.

    Args:
        kernel: the kernel's name in the text.
        programs: number of programs, each with a row of the table.
        tiles: number of tiles of each program.
        threads: threads of a block.
        cluster: blocks that work on one tile together.
        shared: bytes of dynamic shared memory of a block.
        table: ``programs`` rows, or what one is made of. A tensor may be a view: the address is that of its first number.

    Raises:
        ValueError: the sizes do not fit together.
    """

    kernel: str
    programs: int
    tiles: int
    threads: int
    cluster: int
    shared: int
    table: Table | Sequence[Sequence[Entry]]

    def __post_init__(self) -> None:
        def expect(right: bool, got: str, expected: str) -> None:
            if not right:
                raise ValueError(f"launch of kernel '{self.kernel}': got {got}; expected {expected}.")

        expect(
            self.programs >= 1 and self.tiles >= 1, f"{self.programs} programs of {self.tiles} tiles", "at least 1 each"
        )
        expect(1 <= self.threads <= LARGEST_BLOCK, f"{self.threads} threads", f"1 to {LARGEST_BLOCK}")
        expect(self.cluster in CLUSTERS, f"a cluster of {self.cluster}", f"one of {', '.join(map(str, CLUSTERS))}")
        expect(self.programs <= MOST_PROGRAMS, f"{self.programs} programs", f"{MOST_PROGRAMS} at most")
        expect(self.shared >= 0, f"{self.shared} bytes of shared memory", "0 or more")
        widths = [self.table.width] if isinstance(self.table, Table) else sorted({len(row) for row in self.table})
        expect(
            len(self.table) == self.programs, f"a table of {len(self.table)} rows", f"one a program, {self.programs}"
        )
        expect(len(widths) == 1, f"a table with rows of {' and '.join(map(str, widths))} entries", "rows equally long")

    @property
    def made(self) -> Table:
        """The table."""
        return self.table if isinstance(self.table, Table) else Table.made(self.table)

    @property
    def width(self) -> int:
        """The length of the table's rows."""
        return self.made.width

    @property
    def grid(self) -> tuple[int, int, int]:
        """Blocks in x, y and z."""
        return self.cluster * self.tiles, self.programs, 1

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors of the table, in its order."""
        return list(self.made.tensors)


@dataclass(frozen=True)
class Loop:
    """Launches that are run in turn, so many times: the same kernels with the same tables."""

    launches: tuple[Launch, ...]
    times: int


Work = Launch | Loop


def unrolled(work: Iterable[Work]) -> list[Launch]:
    """The launches one by one."""
    return [launch for one in work for launch in (one.launches * one.times if isinstance(one, Loop) else (one,))]


class Runs(Protocol):
    """Launches that are compiled and have their tables where a kernel reads them."""

    @property
    def in_a_graph(self) -> bool:
        """Whether a graph may hold them: one that is made of graphs may not."""

    def run(self) -> None:
        """Run them in turn."""


class Refilled(Runs, Protocol):
    """Launches whose tables may be written anew."""

    def fill(self, tables: Sequence[Table]) -> None:
        """Write these, one a launch and of the same shape, where the kernels read them, after what has been run."""

    def fill_from(self, other: Any) -> None:
        """Write the tables of the same launches that were prepared with others there, from where they are on the device."""


class Device(Protocol):
    """What compiles a text (once, it is kept) and runs kernels of it in turn. They write into the tables' tensors."""

    architecture: str
    processors: int
    """How many multiprocessors it has."""

    def run(self, text: str, work: Sequence[Work]) -> None:
        """Compile the text and run the launches.

        Raises:
            KernelError: the text does not compile, or a launch fails; the message names kernel and device.
        """

    def prepare(self, text: str, work: Sequence[Work]) -> Refilled:
        """Compile the text, and make what runs the launches as often as wanted, those of a loop one by one."""

    def looped(self, text: str, work: Sequence[Work]) -> Runs:
        """As ``prepare``, but a loop is graphs of some of its turns, which all loops with its kernels have in common."""

    def build(self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None) -> None:
        """Compile many texts on all cores; ``progress`` is told how many are done and how many there are, from 0 on."""

    def graph(self, prepared: Sequence[Runs]) -> Runs:
        """What runs all of them by one call. Nothing runs while it is made, and their tables are what it reads for good.

        Raises:
            KernelError: the device refuses; nothing has run.
        """

    def free(self) -> int | None:
        """Bytes of its memory that nobody has; None where it has none of its own."""

    def event(self) -> Any:
        """An event behind what the device was given, as ``torch.cuda.Event``: ``record``, ``synchronize``, ``elapsed_time``."""

    def together(self, prepared: Sequence[Runs]) -> Runs:
        """What runs several side by side, of which none waits for another; what comes after waits for all."""
