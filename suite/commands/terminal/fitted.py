"""Tables whose figures are never cut: a file gets all columns, a narrow terminal fewer, and a line that says which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

WIDEST = 10_000
"""No table is wider than this many characters."""


class FittedTable(Table):
    """A table that leaves columns out where it does not fit, and never a part of a figure.

    Args:
        columns: heads; the first column stays, on the left, all others are on the right.
        title: above the table.
        least: heads in the order in which they go where the terminal is narrow; after them the others, the last first.
    """

    def __init__(self, columns: Sequence[str], title: str | None = None, least: Sequence[str] = ()) -> None:
        super().__init__(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        self.least = tuple(least)
        for position, column in enumerate(columns):
            self.add_column(column, justify="left" if position == 0 else "right", no_wrap=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown, gone = self, list[str]()
        if is_screen(console):
            for place in self._leaving():
                if shown.needed(console, options) <= options.max_width:
                    break
                gone.append(str(self.columns[place].header))
                kept = [column for column in shown.columns if column.header != self.columns[place].header]
                shown = shown._of(kept)
        width = shown.needed(console, options)
        yield from Table.__rich_console__(shown, console, options.update(width=width, max_width=width))
        if gone:
            words = ", ".join(str(column.header) for column in self.columns if column.header in gone)
            yield Text(
                f"No room for {words} in {options.max_width} characters a line: a wider terminal shows all, and so does a file "
                "(odyssey ... > FILE)."
            )

    def needed(self, console: Console, options: ConsoleOptions) -> int:
        """The width of the whole table."""
        return Table.__rich_measure__(self, console, options.update(max_width=WIDEST)).maximum

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        width = self.needed(console, options)
        return Measurement(width, width)

    def _leaving(self) -> Iterable[int]:
        """The places of the columns in the order in which they go; the first never does, nor the last figure beside it."""
        heads = [str(column.header) for column in self.columns]
        named = [heads.index(head) for head in self.least if head in heads[1:]]
        others = [place for place in range(len(heads) - 1, 0, -1) if place not in named]
        return [*named, *others][:-1]

    def _of(self, columns: Sequence[Column]) -> FittedTable:
        """The same table with some of its columns."""
        title = None if self.title is None else str(self.title)
        narrower = FittedTable([str(column.header) for column in columns], title)
        for row, cells in zip(self.rows, zip(*(column.cells for column in columns), strict=True), strict=True):
            narrower.add_row(*cells, end_section=row.end_section)
        return narrower


def is_screen(console: Console) -> bool:
    """Whether the lines are seen on a screen of the console's width, which colours forced into a file do not make one."""
    try:
        return console.file.isatty()
    except (AttributeError, ValueError):
        return False


def show(console: Console, parts: Iterable[RenderableType], **options: Any) -> None:
    """Print tables and texts one after another; tables as wide as they are, texts within the console's width."""
    for part in parts:
        console.print(part, crop=False, **options)
