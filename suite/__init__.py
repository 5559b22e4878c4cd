"""lstm_odyssey: which recurrent cell, on which task, at which cost?

The public face; every name is loaded when it is first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lstm_odyssey.backends.numba.memory import free_memory as free_memory
    from lstm_odyssey.bench.throughput import throughput as throughput
    from lstm_odyssey.cell import Cell as Cell
    from lstm_odyssey.conformance.foreign.check import check_layer as check_layer
    from lstm_odyssey.conformance.kit import check_variant as check_variant
    from lstm_odyssey.conformance.tasks import check_task as check_task
    from lstm_odyssey.layers.of_torch import from_torch as from_torch
    from lstm_odyssey.layers.oracle import oracle as oracle
    from lstm_odyssey.layers.rnn import RNN as RNN
    from lstm_odyssey.plugins.discovery import load_plugin as load_plugin
    from lstm_odyssey.plugins.registry import as_cell as as_cell
    from lstm_odyssey.plugins.registry import task as task
    from lstm_odyssey.plugins.registry import task_names as task_names
    from lstm_odyssey.plugins.registry import variant as variant
    from lstm_odyssey.plugins.registry import variant_names as variant_names
    from lstm_odyssey.reports.citation import citation as citation
    from lstm_odyssey.reports.fanova.api import fanova as fanova
    from lstm_odyssey.reports.stats.compare import compare as compare
    from lstm_odyssey.study.asked.settings import Settings as Settings
    from lstm_odyssey.study.results import open_study as open_study
    from lstm_odyssey.study.run import run as run
    from lstm_odyssey.study.weights import load_network as load_network
    from lstm_odyssey.tasks.declare import Corpus as Corpus
    from lstm_odyssey.tasks.declare import Task as Task
    from lstm_odyssey.variants.declare import Limit as Limit
    from lstm_odyssey.variants.declare import TraceError as TraceError
    from lstm_odyssey.variants.declare import Variant as Variant

_HOMES = {
    "Cell": "cell",
    "oracle": "layers.oracle",
    "RNN": "layers.rnn",
    "from_torch": "layers.of_torch",
    "free_memory": "backends.numba.memory",
    "as_cell": "plugins.registry",
    "load_plugin": "plugins.discovery",
    "task": "plugins.registry",
    "task_names": "plugins.registry",
    "variant": "plugins.registry",
    "variant_names": "plugins.registry",
    "compare": "reports.stats.compare",
    "fanova": "reports.fanova.api",
    "open_study": "study.results",
    "run": "study.run",
    "load_network": "study.weights",
    "Settings": "study.asked.settings",
    "Corpus": "tasks.declare",
    "Task": "tasks.declare",
    "check_task": "conformance.tasks",
    "citation": "reports.citation",
    "check_variant": "conformance.kit",
    "check_layer": "conformance.foreign.check",
    "throughput": "bench.throughput",
    "Limit": "variants.declare",
    "TraceError": "variants.declare",
    "Variant": "variants.declare",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - the names are made by __getattr__


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("lstm-odyssey")
    if name not in _HOMES:
        raise AttributeError(f"module 'lstm_odyssey' has no attribute {name!r}")
    return getattr(importlib.import_module(f"lstm_odyssey.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
