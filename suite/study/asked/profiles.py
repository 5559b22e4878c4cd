"""Profiles: how large a study is. Data only; a command line option beats its profile's entry.

No variant and no task is named: the default variants are a collection's, the default tasks those of it that are embedded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lstm_odyssey.tasks.distributions import Distribution, EvenInteger, LogUniform

COLLECTION = "odyssey-2017"
"""The variants a study has if none are named, and, of those whose corpus the package carries, the tasks."""


@dataclass(frozen=True)
class Profile:
    """The size of a study.

    Args:
        trials: trials for each variant and task.
        epochs, patience: see ``Protocol``.
        block_size: how many consecutive trials run in lockstep on a backend that computes them together.
        draws: ``common`` to all variants, so that these are compared at equal draws, or ``independent``, as the paper's were.
        space: distributions that replace the task's own; a task may narrow its space itself, and then does so instead.
        note: why, printed with the table and on the page.
    """

    trials: int
    epochs: int
    patience: int = 15
    block_size: int = 8
    draws: str = "common"
    space: Mapping[str, Distribution] = field(default_factory=dict)
    note: str = ""


PROFILES: dict[str, Profile] = {
    "smoke": Profile(
        trials=3,
        epochs=16,
        block_size=3,
        space={"hidden_size": EvenInteger(LogUniform(20, 100)), "learning_rate": LogUniform(1e-3, 1e-2)},
        note="narrowed so that 16 epochs show something; most draws of the paper's space need many more",
    ),
    "standard": Profile(trials=24, epochs=30),
    "paper": Profile(trials=200, epochs=150, draws="independent"),
}
