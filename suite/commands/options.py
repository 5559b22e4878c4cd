"""Options of the command line that hold several values, and files that they name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lstm_odyssey.plugins.paths import expanded
from lstm_odyssey.tasks.nearest import nearest


def load_files(values: list[str] | None) -> list[str]:
    """Load the plugin files a command is given, before it looks at any name; the first broken one is the command's error."""
    if values:
        from lstm_odyssey.plugins.discovery import load_plugins

        load_plugins(values)
    return values or []


def load_files_to_list(values: list[str] | None) -> list[str]:
    """The same for a command that lists plugins: what is broken is listed with the rest."""
    from lstm_odyssey.plugins.files import PluginError

    for value in values or []:
        try:
            load_files([value])
        except PluginError:
            continue  # kept by the registry, which the list asks
    return values or []


_PLUGIN_HELP = (
    "A Python file whose cells and tasks are to be known; may be repeated. Its code is run. "
    "It registers, under their own names, its functions with keyword-only arguments among W R p b and its "
    "Variant(...) and Task(...) objects. $ODYSSEY_PLUGINS does the same for every command."
)
_Values = list[str] | None
Plugins = Annotated[
    _Values, typer.Option("--plugin", metavar="FILE", help=_PLUGIN_HELP, callback=load_files, is_eager=True)
]
ListedPlugins = Annotated[
    _Values, typer.Option("--plugin", metavar="FILE", help=_PLUGIN_HELP, callback=load_files_to_list, is_eager=True)
]


def names(values: Iterable[str] | None) -> list[str] | None:
    """Names given as repeated options, or several in one, separated by commas."""
    if values is None:
        return None
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


LISTS = ("--variants", "--tasks", "--sizes", "--batch", "--against")
"""Options that take several values."""


def joined(arguments: Sequence[str]) -> list[str]:
    """Arguments in which an option's values with spaces between are one value with commas.

    >>> joined(["run", "--variants", "nog", "cifg", "--trials", "3"])
    ['run', '--variants', 'nog,cifg', '--trials', '3']
    >>> joined(["run", "--variants", "nog", "study.toml"])
    ['run', '--variants', 'nog', 'study.toml']
    """
    found: list[str] = []
    listing = False
    for argument in arguments:
        more = listing and re.fullmatch(r"[\w,*]+", argument) is not None and not Path(argument).exists()
        if more and found[-1] not in LISTS:
            found[-1] += f",{argument}"
        else:
            found.append(argument)
        listing = argument in LISTS or more
    return found


def numbers(option: str, values: Iterable[str] | None) -> list[int] | None:
    """Whole numbers, given like names.

    Raises:
        SettingsError: one is no whole number.
    """
    from lstm_odyssey.study.asked.settings import SettingsError

    found = names(values)
    if found is None:
        return None
    for value in found:
        if not value.isdecimal():
            raise SettingsError(f"{option}: got {value!r}; expected whole numbers, separated by commas.")
    return [int(value) for value in found]


def pairs(values: Iterable[str] | None) -> dict[str, str]:
    """``TASK=PATH`` given once or more, by task; paths absolute.

    Raises:
        SettingsError: a value is not of this form, or one task has two paths.
    """
    from lstm_odyssey.study.asked.settings import SettingsError

    found: dict[str, str] = {}
    for value in values or []:
        task, sign, path = value.partition("=")
        if not sign or not task or not path:
            raise SettingsError(f"--data: got {value!r}; expected TASK=PATH, as --data my_task=corpus.pickle.")
        place = str(expanded(path).absolute())
        if found.setdefault(task, place) != place:
            raise SettingsError(
                f"--data: got two paths for {task}: {found[task]} and {place}; expected one. Leave one out."
            )
    return found


def places_of(data: Iterable[str] | None, tasks: Sequence[str]) -> dict[str, str]:
    """Where the tasks' corpora lie, from ``--data TASK=PATH``.

    Raises:
        SettingsError: a path is given for a task that is not among them.
    """
    from lstm_odyssey.study.plan import refuse_unasked

    found = pairs(data)
    refuse_unasked(found, tasks)
    return found


@contextmanager
def writing(option: str, path: Path) -> Iterator[None]:
    """What the system refuses while files are written is the option's error, not a traceback."""
    from lstm_odyssey.study.asked.settings import SettingsError

    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise SettingsError(
            f"{option}: got {path}; expected a place that can be written ({why}). Name another."
        ) from None


def read_record(path: Path) -> dict[str, Any]:
    """What ``python -m lstm_odyssey.bench.gpu`` has written.

    Raises:
        SettingsError: there is no such file, or it is another one.
    """
    from lstm_odyssey.bench.gpu.record import read
    from lstm_odyssey.study.asked.settings import SettingsError

    try:
        return read(path)
    except OSError as error:
        raise SettingsError(f"record {path}: {error.strerror}; expected a record of a GPU.") from error
    except ValueError as error:
        raise SettingsError(str(error)) from error


MEANT = {"cell": "variant", "cells": "variants", "corpus": "data", "corpora": "data"}
"""Words for what a command calls otherwise."""


class Commands(TyperGroup):
    """Commands whose unknown one is answered with the one that is meant, and with all there are."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As typer's; its error says what to write."""
        try:
            return super().resolve_command(ctx, args)
        except Exception as error:
            if args and args[0] not in self.commands and hasattr(error, "message"):
                meant = MEANT.get(args[0], "")
                cure = f" Write {ctx.command_path} {meant}." if meant in self.commands else ""
                error.message = (
                    f"No such command '{args[0]}'; expected one of {nearest(args[0], list(self.commands))}.{cure}"
                )
            raise
