"""Which cases asv tracks: pairs of a variant and a task, at which sizes. Those of the default set are named one by one.

asv runs this file, of the tree it is started in, on the package of every commit it looks at. So what is listed here must
not depend on that package: a case that an older commit does not have is there and is skipped, and no name of a case says
anything about the number or the order of the others.
"""

from __future__ import annotations

import os
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

# Not by its name in the package, which would be that of the commit that is installed.
names: Any = import_module(f"{__package__}.names")

VARIANTS = ("vanilla", "cifg", "fgr")
TASKS = ("bach", "festvox_ru_mini", "hershey_mini")
"""The tasks that a study has if none are named; ``tests/benchmarks/test_benchmarks.py`` holds the list to it."""

COLLECTION = "odyssey-2017"
"""The collection whose tasks are tracked, beside those that belong to none, as a plugin's may."""

HIDDEN_SIZE, LARGER = 64, 128


def full() -> bool:
    """Whether ``ODYSSEY_ASV`` asks for every variant, and for the larger size beside the usual one."""
    return os.environ.get("ODYSSEY_ASV", "") == "full"


def asked() -> list[str]:
    """The names of variants and tasks in ``ODYSSEY_ASV``, as ``mine,vanilla``; none where a set is asked for."""
    text = os.environ.get("ODYSSEY_ASV", "")
    return [] if text in ("", "default", "full") else [name.strip() for name in text.split(",") if name.strip()]


def sizes() -> tuple[int, ...]:
    """The numbers of units N that are tracked."""
    return (HIDDEN_SIZE, LARGER) if full() else (HIDDEN_SIZE,)


def cases() -> list[tuple[str, str]]:
    """The pairs (variant, task) that are tracked.

    Raises:
        ValueError: ``ODYSSEY_ASV`` holds no name that is known.
    """
    variants, tasks = list(VARIANTS), list(TASKS)
    if given := asked():
        variants, tasks = _named(given)
    elif full():
        registry = names.module("plugins.registry")

        variants += [*_declared_here(), *registry.variant_names()]
        tasks += [name for name in registry.task_names() if name not in tasks and _tracked(name)]
    return [(variant, task) for task in tasks for variant in dict.fromkeys(variants)]


def _named(given: list[str]) -> tuple[list[str], list[str]]:
    """Variants and tasks of the names given; those of the default set where none of a kind is named.

    A name that is not known beside one that is may be a cell of another commit: its cases are listed, and skipped there.
    """
    registry = names.module("plugins.registry")

    tasks = [name for name in given if name in registry.task_names()]
    variants = [name for name in given if name not in tasks]
    if not tasks and not {*variants} & {*registry.variant_names(), *_declared_here()}:
        raise ValueError(
            f"ODYSSEY_ASV is {','.join(given)!r}; expected 'full', 'default', nothing, or names of variants and tasks "
            "that are installed, as 'mine,vanilla'. `odyssey variants` shows them."
        )
    return variants or list(VARIANTS), tasks or list(TASKS)


def _tracked(name: str) -> bool:
    """Whether a task's corpus is there and no other collection's; one that is broken is listed, so that it is seen to fail."""
    registry = names.module("plugins.registry")

    try:
        task = registry.task(name)
        return bool(task.embedded and getattr(task, "collection", None) in (None, COLLECTION))
    except registry.PluginError:
        return True


def _declared_here() -> list[str]:
    """The variants of the tree that this file lies in; none where it lies in an installed package."""
    project = Path(__file__).resolve().parents[2] / "pyproject.toml"
    if not project.is_file():
        return []
    points = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {}).get("entry-points", {})
    return sorted(points.get("lstm_odyssey.variants", {}))
