"""What study.json says of a variant and of a task."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lstm_odyssey.cell import Cell
from lstm_odyssey.plugins import registry
from lstm_odyssey.study.asked import spaces
from lstm_odyssey.study.asked.profiles import PROFILES
from lstm_odyssey.study.asked.settings import SettingsError
from lstm_odyssey.tasks import objectives, views
from lstm_odyssey.tasks.files.locate import locate
from lstm_odyssey.training.hyperparameters import missing

if TYPE_CHECKING:
    from lstm_odyssey.tasks.declare import Corpus
    from lstm_odyssey.tasks.objectives.base import Objective

SAME = {
    "variants": ("signature",),
    "tasks": ("checksum", "objective", "bidirectional", "direction", "space"),
}
"""By kind, the facts in which a variant or task of a study has to be what it was: otherwise it is another study."""


def variant_facts(cell: Cell, study: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored of a variant: its mathematics, where it comes from, and what this study draws for it alone.

    Of what only some cells have there is nothing where a cell has none: start values, by parameter a kind and its numbers;
    constants, each with its default and its ends, None for an open one; ``space``.
    """
    ranges = {
        name: [one.default, *(end if math.isfinite(end) else None for end in (one.low, one.high))]
        for name, one in cell.constants.items()
    }
    declared = {"start": cell.starts(), "constants": ranges, "space": study.get("space", {}).get(cell.name, {})}
    return {
        "signature": cell.signature,
        "equations": list(cell.equations),
        "states": list(cell.states),
        "parameters": {name: list(shape) for name, shape in cell.parameters.items()},
        "origin": cell.origin,
        "collection": cell.collection,
        "reference": cell.reference,
        **{name: content for name, content in declared.items() if content},
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
    further = view_facts(corpus, objective)
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
        "embedded": task.embedded and locate(name, path) is None,
        "warnings": list(corpus.warnings),
        "space": {key: distribution.as_dict() for key, distribution in space.items()},
        "task_space": {key: distribution.as_dict() for key, distribution in task.space.items()},
        "space_note": note,
        **({"views": further} if further else {}),
    }


def view_facts(corpus: Corpus, objective: Objective) -> dict[str, Any]:
    """By view of the test split what it is, in words, its checksum and its chance level."""
    found = {}
    for name, indices in corpus.subsets.items():
        part = tuple(corpus.test[index] for index in indices)
        chance = objective.chance(corpus.train, part, corpus.labels)
        said = f"{len(part)} of the {len(corpus.test)} test sequences"
        found[name] = {"is": said, "checksum": views.checksum(indices), "chance": float(chance)}
    for name, folding in corpus.foldings.items():
        classes, index = views.folded(corpus.labels, folding)
        train, test = (views.folded_split(split, index) for split in (corpus.train, corpus.test))
        left_out = [label for label, place in zip(corpus.labels, index, strict=True) if place < 0]
        said = f"{len(corpus.labels)} classes folded into {len(classes)}"
        said += f", {', '.join(left_out)} left out" if left_out else ""
        chance = objective.chance(train, test, classes)
        found[name] = {"is": said, "checksum": views.checksum(folding), "chance": float(chance)}
    return found
