"""What it costs to begin, to import the package and to compile a cell: each sample is a fresh interpreter."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

# Not by its name in the package, which would be the list of the commit that is installed.
steps: Any = import_module(f"{__package__}.steps")
names: Any = import_module(f"{__package__}.names")


def timeraw_import() -> str:
    """The public face, which loads its names when they are first used."""
    return "import lstm_odyssey"


def timeraw_import_cli() -> str:
    """The command, whose help must not need torch."""
    return f"import {names.code('commands.cli')}"


def timeraw_import_pytest_plugin() -> str:
    """The plugin that every pytest of the environment loads, less pytest itself, which is there already."""
    return "import lstm_odyssey.pytest_plugin", "import pytest"  # type: ignore[return-value]  # asv: code and setup


def timeraw_import_reports() -> str:
    """The reader of stored results, which must not need torch."""
    return "import lstm_odyssey.reports.page"


def timeraw_import_layer() -> str:
    """The layer, torch included: most of it is torch's own import."""
    return "from lstm_odyssey import RNN"


def timeraw_first_compilation() -> str:
    """The scans of a cell that nobody has compiled before, forward and backward, what they share included."""
    setup = (
        "import os, tempfile\nfolder = tempfile.TemporaryDirectory()\nos.environ['ODYSSEY_CACHE'] = folder.name\n"
        f"import torch\nimport lstm_odyssey as lo\nfrom {names.code('backends')} import prepare\n"
        f"cell = lo.variant({steps.VARIANTS[0]!r})\ngraph = getattr(cell, 'lowered', cell.graph)"
    )
    return "prepare('numba', graph, torch.float32)", setup  # type: ignore[return-value]  # asv: code and setup


def _needs_pytest() -> None:
    if find_spec("pytest") is None:
        raise NotImplementedError("pytest is not installed here: skipped")


timeraw_import_pytest_plugin.setup = _needs_pytest  # type: ignore[attr-defined]  # a function's attribute, as asv reads it
timeraw_first_compilation.repeat = 3  # type: ignore[attr-defined]  # as above; each takes seconds
for _benchmark in (
    timeraw_first_compilation,
    timeraw_import,
    timeraw_import_cli,
    timeraw_import_pytest_plugin,
    timeraw_import_reports,
    timeraw_import_layer,
):
    _benchmark.version = "1"  # type: ignore[attr-defined]  # as above
