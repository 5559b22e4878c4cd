"""Plugins in a file of one's own: how it is loaded, and which names it registers.

A file registers what it binds at its top level by assignment or ``def``, never what it imports:

* a ``Variant(...)`` or a ``Task(...)``, under its variable's name. A declaration called just ``variant`` is named as its
  step function, one called just ``task`` as the file, without ``odyssey_`` before it: so the module that `odyssey new`
  writes can be given as it stands;
* a function that is a step: x and the states as positional arguments, keyword-only ones among ``W R p b``, ``W`` or ``R``
  one of them. A function that a ``Variant`` of the file declares is registered by that alone.

Names with a leading underscore are private. The file's code runs, as any plugin's does.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import linecache
import re
import symtable
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

from lstm_odyssey.variants.declare import Variant

GROUPS = {"variant": "lstm_odyssey.variants", "task": "lstm_odyssey.tasks"}
SPACES = {"W", "R", "p", "b", "k"}


class PluginError(RuntimeError):
    """A plugin is broken, or two plugins have one name; the message names the distributions or files."""


@dataclass(frozen=True)
class PluginFile:
    """A loaded file.

    Attributes:
        path: absolute.
        sha256: of its bytes as they were run.
        module: the name of its module in this process.
        points: by kind, an entry point for each name, which leads to the loaded module.
    """

    path: Path
    sha256: str
    module: str
    points: Mapping[str, tuple[EntryPoint, ...]]

    def names(self, kind: str) -> tuple[str, ...]:
        """The variants or tasks it registers; ``kind`` is ``variant`` or ``task``."""
        return tuple(point.name for point in self.points[kind])

    @property
    def origin(self) -> dict[str, str]:
        """What results say of it. Its folder is nobody's business, and no other machine's."""
        return {"file": self.path.name, "sha256": self.sha256}


def read(path: Path) -> bytes:
    """The bytes of a plugin's file.

    Raises:
        PluginError: it is no file, or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise PluginError(
            f"plugin {path}: cannot be read ({error.strerror}); expected a Python file. Check the path; workers on other "
            "machines need it under the same one."
        ) from error


def checksum(content: bytes) -> str:
    """The sha256 of a file's bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


def load(path: Path, content: bytes) -> PluginFile:
    """Run the file and read off what it registers.

    Args:
        path: absolute, for messages and tracebacks.
        content: its bytes; they are what runs, so that they are what the checksum is of.

    Raises:
        PluginError: its code raises, or it registers nothing, or a name twice; the cause is the error's ``__cause__``.
    """
    sha256 = checksum(content)
    place = hashlib.sha256(f"{path}\0{sha256}".encode()).hexdigest()[:12]
    name = f"odyssey_plugin_{_identifier(path)}_{place}"
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # while it runs: dataclasses and pickle look there
    try:
        source = importlib.util.decode_source(content)
        linecache.checkcache(str(path))  # a file that was edited since: messages quote its lines
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
        found = _registered(module, _bound(source, path), path)
    except PluginError:
        del sys.modules[name]
        raise
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise PluginError(
            f"plugin {path}: cannot be loaded: {type(error).__name__}: {error}. Mend the file; "
            f"`odyssey variants --plugin {path}` shows where it fails."
        ) from error
    points = {
        kind: tuple(EntryPoint(label, f"{name}:{variable}", group) for label, variable in found[kind].items())
        for kind, group in GROUPS.items()
    }
    return PluginFile(path, sha256, name, points)


def _bound(source: str, path: Path) -> list[str]:
    """Public names that the top level binds itself; an import alone binds nothing of the file's own."""
    table = symtable.symtable(source, str(path), "exec")
    return [
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_assigned() and not symbol.get_name().startswith("_")
    ]


def _registered(module: ModuleType, bound: list[str], path: Path) -> dict[str, dict[str, str]]:
    """By kind and name, the variable that holds what is registered."""
    from lstm_odyssey.tasks.declare import Task

    values = {variable: getattr(module, variable) for variable in bound if hasattr(module, variable)}
    declared = {id(value.step) for value in values.values() if isinstance(value, Variant)}
    found: dict[str, dict[str, str]] = {kind: {} for kind in GROUPS}
    for variable, value in values.items():
        if isinstance(value, Variant):
            kind, name = "variant", value.step.__name__ if variable == "variant" else variable
        elif isinstance(value, Task):
            kind, name = "task", _identifier(path).removeprefix("odyssey_") if variable == "task" else variable
        elif is_step(value) and id(value) not in declared:
            kind, name = "variant", variable
        else:
            continue
        if name in found[kind]:
            raise PluginError(
                f"plugin {path}: {found[kind][name]} and {variable} both register the {kind} '{name}'; expected one of "
                "them. Rename a variable."
            )
        found[kind][name] = variable
    if not any(found.values()):
        raise PluginError(
            f"plugin {path}: it registers nothing; expected at its top level a step, as "
            "`def my_cell(x, y, c, *, W, R, p, b)`, or a Variant(...) or Task(...) in a variable of its own."
            f"{_nearly(values)}"
        )
    return found


def _nearly(values: dict[str, Any]) -> str:
    """What makes the first function that is nearly a step none, in words; empty if there is no such function."""
    for name, value in values.items():
        if not inspect.isfunction(value):
            continue
        arguments = inspect.signature(value).parameters
        if {"W", "R"} & set(arguments):
            bare = [
                each
                for each in arguments
                if each in SPACES and arguments[each].kind is not inspect.Parameter.KEYWORD_ONLY
            ]
            why = f"has no * before {bare[0]}" if bare else "takes others than x, states, and W, R, p, b, k after a *"
            return f" {name}({', '.join(arguments)}) {why}."
    return ""


def _identifier(path: Path) -> str:
    return re.sub(r"\W", "_", path.stem)


def is_step(value: Any) -> bool:
    """Whether a function takes x, states, and parameters among W R p b k: what a step looks like from outside."""
    if not inspect.isfunction(value):
        return False
    arguments = inspect.signature(value).parameters.values()
    positional = [each for each in arguments if each.kind is each.POSITIONAL_OR_KEYWORD]
    keywords = {each.name for each in arguments if each.kind is each.KEYWORD_ONLY}
    others = len(positional) + len(keywords) != len(arguments)
    return len(positional) >= 2 and not others and keywords <= SPACES and bool(keywords & {"W", "R"})
