"""Variants and tasks by name, from entry points: the built-in ones go the way every plugin goes."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from lstm_odyssey.cell import Cell
from lstm_odyssey.variants.declare import Variant

if TYPE_CHECKING:
    from lstm_odyssey.tasks.declare import Corpus, Task

GROUPS = {"variant": "lstm_odyssey.variants", "task": "lstm_odyssey.tasks"}


class UnknownNameError(LookupError):
    """No plugin of that name; the message lists the known ones, nearest first."""

    def __str__(self) -> str:  # a KeyError would show the message's repr
        return str(self.args[0])


class PluginError(RuntimeError):
    """A plugin is broken, or two plugins have one name; the message names the distributions."""


def _origin(point: EntryPoint) -> dict[str, str]:
    distribution = point.dist
    if distribution is None:
        return {"module": point.module}
    return {"distribution": distribution.name, "version": distribution.version}


@cache
def _points(kind: str) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUPS[kind]):
        other = found.get(point.name)
        if other is not None and other.value != point.value:
            raise PluginError(
                f"{kind} '{point.name}': two plugins have this name, {other.value} of {_origin(other)} and {point.value} of "
                f"{_origin(point)}; expected one. Uninstall one of them or ask its author to rename it."
            )
        found[point.name] = point
    return found


def _load(kind: str, name: str) -> Any:
    point = _points(kind)[name]
    try:
        return point.load()
    except Exception as error:
        raise PluginError(
            f"{kind} '{name}' of {_origin(point)}: {point.value} cannot be loaded: {type(error).__name__}: {error}."
        ) from error


def _names(kind: str) -> tuple[str, ...]:
    return tuple(sorted(_points(kind)))


def variant_names() -> tuple[str, ...]:
    """Names of all variants that are installed, built-in and plugins', in alphabetical order.

    Reads entry points only; nothing is imported. Aliases are not listed.
    """
    return _names("variant")


def task_names() -> tuple[str, ...]:
    """Names of all tasks that are installed, built-in and plugins'. Reads entry points only."""
    return _names("task")


def _unknown(kind: str, name: str, known: tuple[str, ...]) -> UnknownNameError:
    spellings = {known_name: [known_name] for known_name in known}
    for alias, home in (_aliases() if kind == "variant" else {}).items():
        spellings[home].append(alias)

    def likeness(known_name: str) -> float:
        low = str(name).lower()
        return max(difflib.SequenceMatcher(None, low, spelling.lower()).ratio() for spelling in spellings[known_name])

    near = sorted(known, key=likeness, reverse=True)
    return UnknownNameError(
        f"{kind} '{name}': unknown; expected one of {', '.join(near)}. "
        f"`odyssey {kind}s` shows them; a plugin's package has to be installed."
    )


def _aliases() -> dict[str, str]:
    found = {}
    for name in variant_names():
        try:
            for alias in _declared(name).aliases:
                found[alias] = name
        except PluginError:
            continue  # a broken plugin is an error only for who asks for it
    return found


def _declared(name: str) -> Variant:
    loaded = _load("variant", name)
    return loaded if isinstance(loaded, Variant) else Variant(loaded)


@cache
def _cell(name: str) -> Cell:
    return Cell(_declared(name), name, _origin(_points("variant")[name]))


def variant(name: str) -> Cell:
    """The variant of that name or alias, traced.

    Raises:
        UnknownNameError: there is none; the message lists the known names, nearest first.
        PluginError: its package cannot be loaded, or two packages claim the name.
        TraceError: its text is outside the contract of a step.

    Example:
        >>> import lstm_odyssey as lo
        >>> lo.variant("np").name
        'no_peepholes'
    """
    if name not in variant_names():
        name = _aliases().get(name) or name
    if name not in variant_names():
        raise _unknown("variant", name, variant_names())
    return _cell(name)


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

    def load(self, path: str | None = None) -> Corpus:
        """The corpus, from ``path``, from ``$ODYSSEY_DATA``, from the package or downloaded once, as the task does it."""
        return self.declaration.load(path)

    def __getattr__(self, field: str) -> Any:
        if field.startswith("__") or field == "declaration":
            raise AttributeError(field)
        return getattr(self.declaration, field)

    def __repr__(self) -> str:
        return f"Task('{self.name}', objective='{self.objective}')"


@cache
def task(name: str) -> NamedTask:
    """The task of that name.

    Raises:
        UnknownNameError: there is none; the message lists the known names, nearest first.
        PluginError: its package cannot be loaded, or it registers something that is no ``Task``.

    Example:
        >>> import lstm_odyssey as lo
        >>> lo.task("bach").objective
        'next_frame'
    """
    if name not in task_names():
        raise _unknown("task", name, task_names())
    from lstm_odyssey.tasks.declare import Task

    loaded = _load("task", name)
    point = _points("task")[name]
    if not isinstance(loaded, Task):
        raise PluginError(
            f"task '{name}' of {_origin(point)}: {point.value} is {type(loaded).__name__}; expected an lo.Task declaration."
        )
    return NamedTask(loaded, name, _origin(point))
