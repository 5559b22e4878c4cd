"""Modules of the package that is measured, whatever its commit calls them.

asv runs the benchmarks of one tree on the packages of many commits, and modules have moved since the first of them.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

OLDER = {
    "backends": "kernels.scan",
    "bench.cuda_probe": "driver",
    "bench.measured": "measured",
    "bench.step": "bench.step",
    "bench.timed.ctc": "bench.ctc",
    "commands.cli": "cli",
    "plugins.registry": "registry",
    "reports.fanova.effects": "reports.decomposition",
    "reports.fanova.forest": "reports.forest",
    "reports.fanova.space": "reports.axes",
    "reports.page": "reports.page",
    "training.clocks": "clocks",
    "training.costs": "costs",
    "training.loop": "training",
    "training.protocol": "protocol",
}
"""Names below ``lstm_odyssey``: what a module is called here, and what it was called before it had its folder."""


def there(name: str) -> str | None:
    """The name that a module has in the package that is installed; None if it has no such module."""
    for each in (name, OLDER.get(name, name)):
        try:
            if find_spec(f"lstm_odyssey.{each}") is not None:
                return f"lstm_odyssey.{each}"
        except ModuleNotFoundError:  # its folder is not there
            continue
    return None


def needed(name: str) -> str:
    """The name that is there, of a module a case needs; it is not imported.

    Raises:
        NotImplementedError: the package has none, which is how asv is told to skip a case.
    """
    found = there(name)
    if found is None:
        raise NotImplementedError(f"lstm_odyssey.{name} is not in the package of this commit: skipped")
    return found


def module(name: str) -> Any:
    """A module by the name it has here.

    Raises:
        NotImplementedError: as ``needed``.
    """
    return import_module(needed(name))


def code(name: str) -> str:
    """The name that is there, for the text of a program; the name it has here where neither is."""
    return there(name) or f"lstm_odyssey.{name}"
