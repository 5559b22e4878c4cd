"""Which backend runs a cell: ``auto`` resolved once, an unavailable one refused with the reason."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from lstm_odyssey.tasks.nearest import nearest

BACKENDS: dict[str, str] = {"eager": "lstm_odyssey.backends.eager", "numba": "lstm_odyssey.backends.numba.scan"}
"""Backends by name and the module that holds their ``scan``."""

PADDED = frozenset({"eager"})
"""Backends that pad a population to its largest member, so that rounding may depend on the neighbours."""


def resolve(backend: str, device: Any = "cpu", dtype: Any = None) -> str:
    """The name of the backend that runs when ``backend`` is asked for on ``device``, for a dtype if it is known.

    ``auto`` is ``numba`` on a CPU, for float32 and float64, and ``eager`` elsewhere.

    Raises:
        ValueError: there is no such backend.
    """
    if backend == "auto":
        compiled = str(device).split(":")[0] == "cpu" and str(dtype) in ("None", "torch.float32", "torch.float64")
        return "numba" if compiled else "eager"
    if backend not in BACKENDS:
        raise ValueError(
            f"backend '{backend}': not available; expected auto or one of {nearest(backend, list(BACKENDS))}."
        )
    return backend


def prepare(backend: str, graph: Any, dtype: Any) -> None:
    """Compile what a resolved backend compiles for a lowered graph: its scans, which are the most of what a study waits for.

    The training step and the scores of an objective, which no cell changes, are compiled when the first of them is made.
    """
    import importlib

    make = getattr(importlib.import_module(BACKENDS[backend]), "prepare", None)
    if make is not None:
        make(graph, dtype)


def training_note(backend: str, graph: Any, name: str = "") -> str:
    """A line that says why a resolved backend trains a cell without its compiled step; empty where it does not.

    Args:
        backend: resolved.
        graph: the cell's lowered graph.
        name: what the cell is called, if not as its function.
    """
    import importlib

    ask = getattr(importlib.import_module(BACKENDS[backend]), "left_to_torch", None)
    left = () if ask is None else ask(graph)
    if not left:
        return ""
    return (
        f"{name or graph.name} on {backend}: torch computes {' and '.join(left)} before the scan, so training goes through "
        "autograd, several times slower than the compiled step."
    )


@cache
def scan_function(backend: str) -> Callable[..., Any]:
    """The ``scan`` of a resolved backend; see ``kernels.eager.scan`` for its contract."""
    import importlib

    function: Callable[..., Any] = importlib.import_module(BACKENDS[backend]).scan
    return function
