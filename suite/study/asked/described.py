"""What study.json says of a variant and of a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lstm_odyssey.cell import Cell
from lstm_odyssey.plugins import registry
from lstm_odyssey.study.asked import spaces
from lstm_odyssey.study.asked.profiles import PROFILES
from lstm_odyssey.study.asked.settings import SettingsError
from lstm_odyssey.tasks import objectives
from lstm_odyssey.training.hyperparameters import missing


def variant_facts(cell: Cell) -> dict[str, Any]:
    """What is stored of a variant: its mathematics and where it comes from."""
    return {
        "signature": cell.signature,
        "equations": list(cell.equations),
        "states": list(cell.states),
        "parameters": {name: list(shape) for name, shape in cell.parameters.items()},
        "origin": cell.origin,
        "collection": cell.collection,
        "reference": cell.reference,
    }


def task_facts(name: str, path: str | None, study: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored of a task: its corpus, what it asks, and the space of this study.

    Raises:
        SettingsError: the task's space is not one that a training reads.
        CorpusError: the corpus is missing, or not the one it should be.
    """
    task = registry.task(name)
    objective = objectives.get(task.objective)
    corpus = registry.load_corpus(name, path)
    if wrong := missing(task.space):
        raise SettingsError(f"task '{name}': {wrong}. Mend the task's declaration.")
    for where, held in (("space", task.space), ("narrowed", task.narrowed)):
        for key, distribution in held.items():
            spaces.form_of(f"task '{name}': {where}", key, distribution.as_dict())
    space, note = spaces.of_task(name, task.space, PROFILES[study["profile"]], study.get("space", {}), task.narrowed)
    return {
        "checksum": corpus.fingerprint,
        "metric": objective.metric,
        "units": objective.units,
        "direction": objective.direction,
        "chance": float(objective.chance(corpus.train, corpus.test, corpus.labels)),
        "family": task.family,
        "objective": task.objective,
        "bidirectional": task.bidirectional,
        "licence": task.licence,
        "url": task.url,
        "reference": task.reference,
        "origin": task.origin,
        "input_size": corpus.input_size,
        "n_outputs": objective.n_outputs(corpus),
        "provenance": corpus.provenance,
        "warnings": list(corpus.warnings),
        "space": {key: distribution.as_dict() for key, distribution in space.items()},
        "task_space": {key: distribution.as_dict() for key, distribution in task.space.items()},
        "space_note": note,
    }
