"""The training protocol as data: what the numbers of a trial depend on beside its hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from lstm_odyssey.tasks.nearest import nearest


@dataclass(frozen=True)
class Protocol:
    """How a trial is trained (Greff et al. 2017, section IV; ``docs`` of each field say what we recall rather than read).

    Args:
        epochs: at most so many passes over the training set.
        patience: stop when validation has not improved for so many epochs (recalled, hence an option).
        batch: sequences an update; the study's is 1.
        initial_std: weights and biases are drawn from Normal(0, initial_std) (recalled, hence an option).
        momentum: ``"nesterov"`` or ``"classical"``; in both the step is scaled by 1 - m.
        start: ``"declared"``: parameters begin as the cell declares, if it does; or ``"drawn"``: all are drawn.

    Raises:
        ValueError: a field is outside its range.
    """

    epochs: int = 150
    patience: int = 15
    batch: int = 1
    initial_std: float = 0.1
    momentum: str = "nesterov"
    start: str = "declared"

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "batch"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"protocol: {name} is {value!r}; expected a whole number of at least 1.")
        std = self.initial_std
        if isinstance(std, bool) or not isinstance(std, (int, float)) or not (math.isfinite(std) and std > 0):
            raise ValueError(f"protocol: initial_std is {std!r}; expected a finite number above 0.")
        if self.momentum not in ("nesterov", "classical"):
            raise ValueError(f"protocol: momentum is {self.momentum!r}; expected 'nesterov' or 'classical'.")
        if self.start not in ("declared", "drawn"):
            raise ValueError(f"protocol: start is {self.start!r}; expected 'declared' or 'drawn'.")

    def as_dict(self) -> dict[str, Any]:
        """Every field by name; but one that came later is left out at its default, so that old studies and new are the same."""
        return {name: value for name, value in asdict(self).items() if name != "start" or value != "declared"}

    def departures(self) -> dict[str, Any]:
        """The fields that are not at their default: what enters a trial's id, so that a new option leaves old ids alone."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) != field.default}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Protocol:
        """From ``as_dict``.

        Raises:
            ValueError: a field is unknown or outside its range.
        """
        refuse_unknown(content)
        return cls(**content)


def refuse_unknown(content: Mapping[str, Any], cure: str = "Correct the name.") -> None:
    """Raise ValueError at a field that no protocol has: a misspelt one, or in a file that of a newer version."""
    known = [field.name for field in fields(Protocol)]
    for name in content:
        if name not in known:
            raise ValueError(f"protocol: unknown option '{name}'; expected one of {nearest(name, known)}. {cure}")
