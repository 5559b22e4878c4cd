"""``odyssey bench gpu``: the tables of a record that ``python -m lstm_odyssey.bench.gpu`` has made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstm_odyssey.commands.options import read_record
from lstm_odyssey.plugins.paths import USER_PATH

if TYPE_CHECKING:
    from rich.console import RenderableType


def gpu(
    record: Annotated[
        Path, typer.Argument(help="A file that python -m lstm_odyssey.bench.gpu has written.", **USER_PATH)
    ],
) -> None:
    """Print the tables of a GPU's record: what is right, how fast it is, what bounds it."""
    from rich.console import Console

    from lstm_odyssey.commands.terminal import fitted

    fitted.show(Console(), shown(read_record(record)))


def shown(content: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The tables of a record, and what is said around them."""
    from rich.text import Text

    from lstm_odyssey.bench.gpu.tables import ends, heading, tables
    from lstm_odyssey.commands.terminal.tables import new_table

    yield Text(f"{heading(content)}\n")
    for table in tables(content):
        made = new_table(*table.head, title=table.title)
        for first, *others in table.rows:
            made.add_row(Text(first), *others)
        yield made
        yield Text(f"{table.note}\n")
    yield Text(ends(content).strip())
