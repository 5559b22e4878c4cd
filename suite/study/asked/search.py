"""The random search: what trial k of a variant on a task is, from the seed alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lstm_odyssey.tasks.distributions import Distribution
from lstm_odyssey.tasks.nearest import nearest
from lstm_odyssey.training.random_streams import stream

DRAWS = ("independent", "common")
FROM_FILE = "points"
"""What a study says of its draws where they are none, but the rows of a file."""

MAX_TRIALS = 1_000_000
"""More trials than this in one study.json is a damaged number, not a study."""
SEEDS = range(-(2**63), 2**63)
"""Seeds that netCDF holds: whole numbers of 64 bits."""


def draw(
    space: Mapping[str, Distribution], *, seed: int, task: str, variant: str, index: int, draws: str = "independent"
) -> dict[str, Any]:
    """The hyperparameters of one trial.

    Every hyperparameter has a stream of its own, so that one more of them, or a narrower range of another, changes no
    draw of the rest.

    Args:
        space: the task's hyperparameters and their distributions.
        seed, task, variant, index: what the draw depends on, and nothing else.
        draws: ``"independent"`` for every variant, or ``"common"``: trial k has the same hyperparameters in all variants,
            for paired comparisons.

    Raises:
        ValueError: ``draws`` is neither.

    Example:
        >>> from lstm_odyssey.tasks.distributions import Uniform
        >>> one = draw({"input_noise": Uniform(0, 1)}, seed=1, task="bach", variant="nig", index=3)
        >>> one == draw({"input_noise": Uniform(0, 1)}, seed=1, task="bach", variant="nig", index=3)
        True
    """
    if draws not in DRAWS:
        raise ValueError(f"draws is {draws!r}; expected one of {nearest(draws, DRAWS)}.")
    who = variant if draws == "independent" else ""
    return {
        name: distribution.draw(stream("draw", seed, task, who, index, name)) for name, distribution in space.items()
    }
