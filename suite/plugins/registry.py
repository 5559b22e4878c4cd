"""Variants and tasks by name, built-in and plugins': the built-in ones go the way every plugin goes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from os import PathLike
from typing import TYPE_CHECKING, Any

from lstm_odyssey.cell import Cell
from lstm_odyssey.plugins.discovery import (
    broken_files,
    file_of,
    forget_plugins,
    load_plugin,
    load_plugins,
    origin_of,
    place,
    points,
    refuse_rivals,
)
from lstm_odyssey.plugins.files import GROUPS, PluginError
from lstm_odyssey.tasks.kinds import refuse_kind
from lstm_odyssey.tasks.nearest import nearest
from lstm_odyssey.variants.declare import Variant

if TYPE_CHECKING:
    from lstm_odyssey.tasks.declare import Corpus, Task

__all__ = [
    "NamedTask",
    "PluginError",
    "UnknownNameError",
    "as_cell",
    "as_task",
    "broken_files",
    "corpus_of",
    "file_of",
    "forget_plugins",
    "load_corpus",
    "load_plugin",
    "load_plugins",
    "origin",
    "own_variants",
    "task",
    "task_names",
    "variant",
    "variant_names",
]


OWN = "lstm_odyssey."
"""What the modules of this package's own entry points begin with."""


class UnknownNameError(LookupError):
    """No plugin of that name; the message names the nearest."""

    def __str__(self) -> str:  # a KeyError would show the message's repr
        return str(self.args[0])


def _load(kind: str, name: str) -> Any:
    refuse_rivals(kind, name)
    point = points(kind)[name]
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{kind} '{name}': {place(point)} cannot be loaded: {type(error).__name__}: {error}. Mend or uninstall it; "
            f"`odyssey {kind}s` shows where it fails."
        ) from error


def _names(kind: str) -> tuple[str, ...]:
    return tuple(sorted(points(kind)))


def origin(kind: str, name: str) -> dict[str, str]:
    """Where the variant or task of that name comes from: distribution and version, or file and sha256.

    It is not loaded, so a broken one has an origin too. ``kind`` is ``variant`` or ``task``.
    """
    return origin_of(points(kind)[name])


def variant_names() -> tuple[str, ...]:
    """Names of all variants there are, built-in and plugins', in alphabetical order.

    Of what is installed only the entry points are read, nothing is imported; files of plugins have to be run to be read.
    Aliases are not listed.
    """
    return _names("variant")


def task_names() -> tuple[str, ...]:
    """Names of all tasks there are, built-in and plugins', found as variants are."""
    return _names("task")


def _unknown(kind: str, name: str, known: tuple[str, ...]) -> UnknownNameError:
    spellings: dict[str, list[str]] = {known_name: [] for known_name in known}
    for alias, homes in (_aliases() if kind == "variant" else {}).items():
        for home in homes:
            spellings[home].append(alias)
    torchs = [f"torch's is {cell.name}; " for cell in own_variants() if kind == "variant" and cell.is_torchs(name)]
    broken = "".join(f" This file is not usable: {path}." for path in broken_files())
    return UnknownNameError(
        f"{kind} '{name}': unknown; {''.join(torchs)}expected one of {nearest(name, spellings)}. "
        f"`odyssey {kind}s` shows all; a plugin's package has to be installed, or its file given with --plugin.{broken}"
    )


def _aliases() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in variant_names():
        try:
            for alias in _declared(name).aliases:
                found.setdefault(alias, []).append(name)
        except PluginError:
            continue  # a broken plugin is an error only for who asks for it
    return found


def _declared(name: str) -> Variant:
    loaded = _load("variant", name)
    if not callable(loaded) and not isinstance(loaded, Variant):
        raise PluginError(
            f"variant '{name}': {place(points('variant')[name])} is {type(loaded).__name__}; expected a step function or an "
            "lo.Variant declaration."
        )
    return loaded if isinstance(loaded, Variant) else Variant(loaded)


@cache
def _cell(name: str, point: EntryPoint) -> Cell:
    return Cell(_declared(name), name, origin_of(point))


def variant(name: str) -> Cell:
    """The variant of that name or alias, traced.

    Raises:
        UnknownNameError: there is none; the message names the nearest ones.
        PluginError: its package cannot be loaded, or two packages claim the name.
        TraceError: its text is outside the contract of a step.

    Example:
        >>> import lstm_odyssey as lo
        >>> lo.variant("np").name
        'no_peepholes'
    """
    refuse_kind("lo.variant", "a text", name=name)
    if name not in variant_names():
        homes = _aliases().get(name, [])
        if len(homes) > 1:
            raise PluginError(f"variant '{name}': an alias of {' and of '.join(homes)}; expected one. Use a full name.")
        name = homes[0] if homes else name
    if name not in variant_names():
        raise _unknown("variant", name, variant_names())
    refuse_rivals("variant", name)
    return _cell(name, points("variant")[name])


@cache
def _own(point: EntryPoint) -> Cell:
    loaded = point.load()
    return Cell(loaded if isinstance(loaded, Variant) else Variant(loaded), point.name, origin_of(point))


def own_variants() -> Iterator[Cell]:
    """This package's variants in the order of their names; no plugin, broken or of the same name, comes between."""
    found = {point.name: point for point in entry_points(group=GROUPS["variant"]) if point.value.startswith(OWN)}
    for name in sorted(found):
        yield _own(found[name])


def as_cell(cell: str | Callable[..., Any] | Variant | Cell) -> Cell:
    """A ``Cell`` from whatever says which: a name, a step function, a declaration, or a ``Cell`` itself."""
    if isinstance(cell, Cell):
        return cell
    if isinstance(cell, str):
        return variant(cell)
    return Cell(cell if isinstance(cell, Variant) else Variant(cell))


class NamedTask:
    """A registered task: the declaration's fields, its name, and ``load``."""

    def __init__(self, declaration: Task, name: str, origin: dict[str, str]) -> None:
        self.declaration, self.name, self.origin = declaration, name, origin

    def load(self, path: str | PathLike[str] | None = None) -> Corpus:
        """The corpus, from ``path``, from ``$ODYSSEY_DATA``, from the package or downloaded once, as the task does it."""
        return self.declaration.load(None if path is None else os.path.expanduser(path))  # noqa: PTH111 - a text stays one

    def __getattr__(self, field: str) -> Any:
        if field.startswith("__") or field == "declaration":
            raise AttributeError(field)
        return getattr(self.declaration, field)

    def __repr__(self) -> str:
        return f"Task('{self.name}', objective='{self.objective}')"


def task(name: str) -> NamedTask:
    """The task of that name.

    Raises:
        UnknownNameError: there is none; the message names the nearest ones.
        PluginError: its package cannot be loaded, or it registers something that is no ``Task``.

    Example:
        >>> import lstm_odyssey as lo
        >>> lo.task("bach").objective
        'next_frame'
    """
    if not isinstance(name, str) or name not in task_names():
        raise _unknown("task", name, task_names())
    refuse_rivals("task", name)
    return _task(name, points("task")[name])


@cache
def _task(name: str, point: EntryPoint) -> NamedTask:
    from lstm_odyssey.tasks.declare import Task

    loaded = _load("task", name)
    if not isinstance(loaded, Task):
        raise PluginError(f"task '{name}': {place(point)} is {type(loaded).__name__}; expected an lo.Task declaration.")
    return NamedTask(loaded, name, origin_of(point))


@cache
def _as_named(declaration: Task) -> NamedTask:
    return NamedTask(declaration, getattr(declaration.load, "__module__", "task"), {})


def as_task(task_: str | Task | NamedTask) -> NamedTask:
    """A task with its name from whatever says which: a name, a declaration, or what ``task`` returned.

    A declaration that is not registered is called as the module of its loader.

    Raises:
        TypeError: it is something else.
        UnknownNameError, PluginError: see ``task``.
    """
    from lstm_odyssey.tasks.declare import Task

    if isinstance(task_, NamedTask):
        return task_
    if isinstance(task_, Task):
        return _as_named(task_)
    if not isinstance(task_, str):
        raise TypeError(
            f"task: got {type(task_).__name__}; expected a name, an lo.Task declaration or what lo.task returned."
        )
    return task(task_)


@cache
def corpus_of(task: NamedTask, path: str | None) -> Corpus:
    """What a task's ``load`` returns, called once a process."""
    return task.load(path)


def load_corpus(name: str, path: str | None) -> Corpus:
    """A task's corpus, loaded once a process, and anew if the plugin's file has changed; one that can be trained on.

    Raises:
        CorpusError: it is missing, damaged or foreign, or has sequences that the task's objective cannot be asked for.
        UnknownNameError, PluginError: see ``task``.
        Exception: whatever the author's ``load`` raises, with a note of whose it is.
    """
    return _fitting(task(name), path)


@cache
def _fitting(task: NamedTask, path: str | None) -> Corpus:
    from lstm_odyssey.tasks import objectives
    from lstm_odyssey.tasks.declare import Corpus, CorpusError

    try:
        corpus = corpus_of(task, path)
    except CorpusError:
        raise
    except Exception as error:
        error.add_note(f"(task '{task.name}': raised by its load; `odyssey check {task.name}` calls it alone.)")
        raise
    if not isinstance(corpus, Corpus):
        raise CorpusError(
            f"task '{task.name}': load returned {type(corpus).__name__}; expected an lo.Corpus. Mend the task's load."
        )
    try:
        objectives.get(task.objective).check(corpus)
    except CorpusError as error:
        raise CorpusError(f"task '{task.name}': {error}") from None
    return corpus
