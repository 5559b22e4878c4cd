"""Where plugins are: the entry points of what is installed, and the files that are given.

A file comes by ``load_plugin`` (``--plugin FILE``) or stands in ``$ODYSSEY_PLUGINS``, several separated as in ``$PATH``;
``plugin_files`` says which names it registers. Names that clash among what is installed or in the environment, and a file of
the environment that is broken, are errors for who asks for them, never for the others; a file that is given by hand is asked
for, and with it all of its names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from lstm_odyssey.plugins import files
from lstm_odyssey.plugins.files import GROUPS, PluginError, PluginFile
from lstm_odyssey.plugins.paths import PathError, expanded

ENVIRONMENT = "ODYSSEY_PLUGINS"

_files: dict[Path, PluginFile] = {}
_broken: dict[Path, PluginError] = {}
_environment = [""]  # what $ODYSSEY_PLUGINS was when it was last read


def load_plugin(path: str | Path) -> PluginFile:
    """Run a Python file and register its variants and tasks, for this process; ``plugin_files`` says which names.

    A file that was loaded before is run again if its content has changed.

    Raises:
        PluginError: it cannot be read or loaded, registers nothing, or a name that another plugin has too.

    Example:
        >>> import lstm_odyssey as lo
        >>> lo.load_plugin("my_cells.py").names("variant")  # doctest: +SKIP
        ('light', 'lighter')
    """
    _read_environment()
    file = _load_file(_whole(path))
    for kind in GROUPS:
        for name in file.names(kind):
            refuse_rivals(kind, name)
    return file


def _whole(path: str | Path) -> Path:
    """The absolute path; a link stays one: other machines may not resolve it."""
    return Path(os.path.abspath(expanded(path)))  # noqa: PTH100 - Path.absolute leaves .. in it


def load_plugins(paths: Iterable[str | Path]) -> None:
    """Load several files, as ``load_plugin`` does; the first that is broken raises."""
    for path in paths:
        load_plugin(path)


def _load_file(path: Path) -> PluginFile:
    old = _files.get(path)
    try:
        content = files.read(path)
        if old is not None and old.sha256 == files.checksum(content):
            return old
        _forget(path)
        _files[path] = files.load(path, content)
    except PluginError as error:
        _forget(path)
        _broken[path] = error
        raise
    _broken.pop(path, None)
    _found.cache_clear()
    return _files[path]


def _forget(path: Path) -> None:
    file = _files.pop(path, None)
    if file is not None:
        sys.modules.pop(file.module, None)
    _found.cache_clear()


def _read_environment() -> None:
    """Load what $ODYSSEY_PLUGINS names, once; a file that is broken is kept for ``broken_files``."""
    value = os.environ.get(ENVIRONMENT, "")
    if value == _environment[0]:
        return
    _environment[0] = value
    for path in filter(None, value.split(os.pathsep)):
        try:
            _load_file(_whole(path))
        except (PluginError, PathError):
            continue  # listed with the others, and an error for who loads it


def for_children() -> str:
    """The value of $ODYSSEY_PLUGINS with which a process started from here knows the files that are known here."""
    _read_environment()
    known = dict.fromkeys((*filter(None, os.environ.get(ENVIRONMENT, "").split(os.pathsep)), *map(str, _files)))
    return os.pathsep.join(known)


def broken_files() -> dict[Path, PluginError]:
    """The files that were given and could not be loaded, each with its error; the cause is the error's ``__cause__``."""
    _read_environment()
    return dict(_broken)


def forget_plugins() -> None:
    """Take back all that files registered; $ODYSSEY_PLUGINS and what is installed are read again."""
    for path in list(_files):
        _forget(path)
    _found.cache_clear()
    _broken.clear()
    _environment[0] = ""


def _file(point: EntryPoint) -> PluginFile | None:
    return next((file for file in _files.values() if file.module == point.module), None)


def origin_of(point: EntryPoint) -> dict[str, str]:
    """What results say of a plugin: distribution and version, or file and sha256."""
    file = _file(point)
    if file is not None:
        return file.origin
    distribution = point.dist
    if distribution is None:
        return {"module": point.module}
    return {"distribution": distribution.name, "version": distribution.version}


def place(point: EntryPoint) -> str:
    """Where a plugin is, in words."""
    file = _file(point)
    if file is not None:
        return f"{point.attr} of the file {file.path}"
    if point.dist is None:
        return point.value
    return f"{point.value} of {point.dist.name} {point.dist.version}"


@cache
def _found(kind: str) -> dict[str, tuple[EntryPoint, ...]]:
    """By name, everything registered under it: one, unless names clash. One thing registered twice is no clash."""
    found: dict[str, dict[str, EntryPoint]] = {}
    of_files = (point for file in _files.values() for point in file.points[kind])
    for point in (*entry_points(group=GROUPS[kind]), *of_files):
        found.setdefault(point.name, {}).setdefault(point.value, point)
    return {name: tuple(rivals.values()) for name, rivals in found.items()}


def points(kind: str) -> dict[str, EntryPoint]:
    """By name, one entry point of the kind, ``variant`` or ``task``; whether it is the only one says ``refuse_rivals``."""
    _read_environment()
    return {name: rivals[0] for name, rivals in _found(kind).items()}


def refuse_rivals(kind: str, name: str) -> None:
    """Raise ``PluginError``, which names them all, if several plugins have one name."""
    rivals = _found(kind).get(name, ())
    if len(rivals) > 1:
        raise PluginError(
            f"{kind} '{name}': {len(rivals)} plugins have this name: {' and '.join(sorted(map(place, rivals)))}; expected one. "
            "Uninstall or leave out the others, or rename yours."
        )


def file_of(kind: str, name: str) -> Path | None:
    """The file that registered the variant or task of that name, if it was one."""
    point = points(kind).get(name)
    file = None if point is None else _file(point)
    return None if file is None else file.path
