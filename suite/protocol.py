"""The training protocol as data: what the numbers of a trial depend on beside its hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Protocol:
    """How a trial is trained (Greff et al. 2017, section IV; ``docs`` of each field say what we recall rather than read).

    Args:
        epochs: at most so many passes over the training set.
        patience: stop when validation has not improved for so many epochs (recalled, hence an option).
        batch: sequences an update; the study's is 1.
        initial_std: weights and biases are drawn from Normal(0, initial_std) (recalled, hence an option).
        momentum: ``"nesterov"`` or ``"classical"``; in both the step is scaled by 1 - m.

    Raises:
        ValueError: a field is outside its range.
    """

    epochs: int = 150
    patience: int = 15
    batch: int = 1
    initial_std: float = 0.1
    momentum: str = "nesterov"

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "batch"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"protocol: {name} is {value!r}; expected a whole number of at least 1.")
        if not self.initial_std > 0:
            raise ValueError(f"protocol: initial_std is {self.initial_std!r}; expected a number above 0.")
        if self.momentum not in ("nesterov", "classical"):
            raise ValueError(f"protocol: momentum is {self.momentum!r}; expected 'nesterov' or 'classical'.")

    def as_dict(self) -> dict[str, Any]:
        """Every field by name."""
        return asdict(self)

    def departures(self) -> dict[str, Any]:
        """The fields that are not at their default: what enters a trial's id, so that a new option leaves old ids alone."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) != field.default}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Protocol:
        """From ``as_dict``.

        Raises:
            ValueError: a field is unknown (a newer version wrote it) or outside its range.
        """
        unknown = sorted(set(content) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(
                f"protocol: unknown field {', '.join(unknown)}; written by a newer version of lstm-odyssey."
            )
        return cls(**content)
