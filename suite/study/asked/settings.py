"""What a user asks of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lstm_odyssey.study.asked.profiles import PROFILES
from lstm_odyssey.study.asked.search import DRAWS, FROM_FILE, MAX_TRIALS, SEEDS
from lstm_odyssey.tasks.nearest import nearest

DTYPES = ("float32", "float64")
DEVICES = ("cpu", "cuda")


class SettingsError(ValueError):
    """What was asked for makes no study; the message says subject, got, expected, what to do."""


@dataclass(frozen=True)
class Settings:
    """What a user asks of a study. None means: not said; then the store decides, or the profile, or the default.

    Args:
        variants, tasks: names; by default the paper's nine and the embedded tasks of its collection. ``("all",)`` is every one
            installed.
        trials, epochs: for each variant and task.
        seed: of everything random (1).
        profile: ``smoke``, ``standard`` (default) or ``paper``.
        draws: ``common`` to all variants or ``independent``; the profile's.
        points: a CSV file whose rows are the trials' hyperparameters, in place of draws; see ``study.asked.points``.
        space: distributions of this study in place of the tasks' own, by hyperparameter, or by task and hyperparameter.
        dtype, backend, device: of the computation (float32, auto, cpu).
        block_size: trials in lockstep on a backend that computes them together.
        keep_weights: ``best`` stores each trial's best weights; ``none`` (default).
        protocol: options of ``Protocol`` beside epochs.
        data: where a task's corpus lies, by task.
        plugins: Python files whose variants and tasks are to be known; every worker runs them.
    """

    variants: Sequence[str] | None = None
    tasks: Sequence[str] | None = None
    trials: int | None = None
    epochs: int | None = None
    seed: int | None = None
    profile: str | None = None
    draws: str | None = None
    points: str | None = None
    space: Mapping[str, Any] = field(default_factory=dict)
    dtype: str | None = None
    backend: str | None = None
    device: str | None = None
    block_size: int | None = None
    keep_weights: str | None = None
    protocol: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    plugins: Sequence[str] = ()

    def check(self) -> None:
        """Raise ``SettingsError`` for a value that no study can have."""
        for name in ("trials", "epochs", "block_size"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise SettingsError(f"{option(name)}: got {value!r}; expected a whole number of at least 1.")
            if value is not None and value > MAX_TRIALS:
                raise SettingsError(
                    f"{option(name)}: got {value}; expected at most {MAX_TRIALS:,}, which can be stored."
                )
        if self.seed is not None and (isinstance(self.seed, bool) or not isinstance(self.seed, int)):
            raise SettingsError(f"--seed: got {self.seed!r}; expected a whole number.")
        if self.seed is not None and self.seed not in SEEDS:
            raise SettingsError(f"--seed: got {self.seed}; expected {SEEDS[0]} to {SEEDS[-1]}, which can be stored.")
        for name, known in (
            ("profile", tuple(PROFILES)),
            ("draws", (*DRAWS, FROM_FILE)),
            ("dtype", DTYPES),
            ("device", DEVICES),
            ("keep_weights", ("best", "none")),
        ):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise SettingsError(f"{option(name)}: got {value!r}; expected one of {nearest(value, known)}.")
        for name in ("variants", "tasks"):
            value = getattr(self, name)
            if value is not None and len(value) == 0:
                raise SettingsError(f"{option(name)}: got no name; expected names, as `odyssey {name}` lists them.")


def option(name: str) -> str:
    """A field of ``Settings`` as the command line spells it."""
    return "--" + name.replace("_", "-")
