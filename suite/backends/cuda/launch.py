"""What is run: one kernel of a generated text over a table of programs; and who can run it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

Entry = int | Tensor | None
"""A place of a table: a whole number, a tensor (its address stands there), or None (0 stands there)."""

LARGEST_BLOCK = 1024
CLUSTERS = (1, 2, 4, 8, 16)


class KernelError(RuntimeError):
    """A kernel that could not be compiled, launched or brought to its end."""


def about(text: str) -> str:
    """What a message calls a text: the words of its first comment, where the generator writes cell, dtype and size class."""
    for line in text.splitlines()[:3]:
        if line.startswith("// "):
            return line.removeprefix("// ").rstrip(".")
    return "a text without a first comment"


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
        table: ``programs`` rows, equally long. A tensor may be a view: the address is that of its first number.

    Raises:
        ValueError: the sizes do not fit together.
    """

    kernel: str
    programs: int
    tiles: int
    threads: int
    cluster: int
    shared: int
    table: Sequence[Sequence[Entry]]

    def __post_init__(self) -> None:
        def expect(right: bool, got: str, expected: str) -> None:
            if not right:
                raise ValueError(f"launch of kernel '{self.kernel}': got {got}; expected {expected}.")

        expect(
            self.programs >= 1 and self.tiles >= 1, f"{self.programs} programs of {self.tiles} tiles", "at least 1 each"
        )
        expect(1 <= self.threads <= LARGEST_BLOCK, f"{self.threads} threads", f"1 to {LARGEST_BLOCK}")
        expect(self.cluster in CLUSTERS, f"a cluster of {self.cluster}", f"one of {', '.join(map(str, CLUSTERS))}")
        expect(self.shared >= 0, f"{self.shared} bytes of shared memory", "0 or more")
        widths = sorted({len(row) for row in self.table})
        expect(
            len(self.table) == self.programs, f"a table of {len(self.table)} rows", f"one a program, {self.programs}"
        )
        expect(len(widths) == 1, f"a table with rows of {' and '.join(map(str, widths))} entries", "rows equally long")

    @property
    def width(self) -> int:
        """The length of the table's rows."""
        return len(self.table[0])

    @property
    def grid(self) -> tuple[int, int, int]:
        """Blocks in x, y and z."""
        return self.cluster * self.tiles, self.programs, 1

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors of the table, in its order."""
        return [entry for row in self.table for entry in row if isinstance(entry, Tensor)]


class Device(Protocol):
    """What compiles a text (once, it is kept) and runs kernels of it in turn. They write into the tables' tensors."""

    def run(self, text: str, launches: Sequence[Launch]) -> None:
        """Compile the text and run the launches.

        Raises:
            KernelError: the text does not compile, or a launch fails; the message names kernel and device.
        """
