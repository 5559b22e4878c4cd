"""Search spaces: what a training can do with a hyperparameter, and a study's own distributions in place of a task's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lstm_odyssey.study.asked.profiles import HYPERPARAMETERS, Profile
from lstm_odyssey.study.asked.settings import SettingsError
from lstm_odyssey.tasks.distributions import Choice, Continuous, Distribution, EvenInteger, distribution_from_dict
from lstm_odyssey.tasks.nearest import nearest

LARGEST_SIZE = 100_000
"""Blocks of a layer beyond which a number is a mistake: a square matrix of that side has 40 GB in float32."""

Space = dict[str, Distribution]


@dataclass(frozen=True)
class Trainable:
    """What a training takes for a hyperparameter.

    Args:
        low, high: the ends; an open end is no value itself.
        words: the same in words.
        open_low, open_high: whether the end is left out.
        whole: whole numbers only.
    """

    low: float
    high: float
    words: str
    open_low: bool = False
    open_high: bool = False
    whole: bool = False

    def takes(self, value: Any) -> bool:
        """Whether a training takes this value, a number."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below and (not self.whole or value == int(value))


TRAINABLE = {
    "hidden_size": Trainable(1, LARGEST_SIZE, f"a whole number from 1 to {LARGEST_SIZE:,}", whole=True),
    "learning_rate": Trainable(0, math.inf, "a finite number above 0", open_low=True),
    "momentum": Trainable(0, 1, "a number from 0 to below 1", open_high=True),
    "input_noise": Trainable(0, math.inf, "a finite number of at least 0"),
}
"""By hyperparameter. A task's space is usually narrower; a point outside it is trained all the same."""


def checked(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The ``[space]`` of a study in the form in which it is stored.

    Args:
        asked: distributions as ``Distribution.as_dict`` writes them, by hyperparameter for every task, or by task and
            hyperparameter for one: ``{"momentum": {...}, "bach": {"learning_rate": {...}}}``.

    Raises:
        SettingsError: a name is no hyperparameter, a form is no distribution, or one can draw what no training takes.
    """
    found: dict[str, Any] = {}
    for name, content in asked.items():
        if name in HYPERPARAMETERS:
            found[name] = _form("space", name, content)
        elif not isinstance(content, Mapping) or "kind" in content:
            raise SettingsError(
                f"space: unknown hyperparameter '{name}'; expected one of {nearest(name, HYPERPARAMETERS)}, or the table of a "
                "task, [space.TASK]."
            )
        else:
            for inner in content:
                if inner not in HYPERPARAMETERS:
                    raise SettingsError(
                        f"space.{name}: unknown hyperparameter '{inner}'; expected one of {nearest(inner, HYPERPARAMETERS)}."
                    )
            found[name] = {inner: _form(f"space.{name}", inner, form) for inner, form in content.items()}
    return found


def _form(where: str, name: str, content: Any) -> dict[str, Any]:
    if not isinstance(content, Mapping):
        example = '{kind = "log_uniform", low = 1e-4, high = 1e-2}'
        raise SettingsError(f"{where}: {name} is {content!r}; expected a distribution, as {name} = {example}.")
    try:
        distribution = distribution_from_dict(content)
    except ValueError as error:
        raise SettingsError(f"{where}: {name}: {error}") from None
    for value in ends(distribution):
        if not TRAINABLE[name].takes(value) or (
            TRAINABLE[name].whole and not isinstance(distribution, Choice | EvenInteger)
        ):
            raise SettingsError(
                f"{where}: {name} is {distribution}, which can be {value:.6g}; a training takes {TRAINABLE[name].words}. "
                "Give a distribution within."
            )
    if TRAINABLE[name].whole and isinstance(distribution, Choice):
        distribution = Choice(tuple(int(value) for value in distribution.values))  # 64.0 of a file is the size 64
    return distribution.as_dict()


def ends(distribution: Distribution) -> tuple[float, ...]:
    """Values between or among which all draws lie."""
    if isinstance(distribution, Choice):
        return distribution.values
    if isinstance(distribution, EvenInteger):
        return tuple(2 * round(end / 2) for end in distribution.distribution.support)
    return distribution.support if isinstance(distribution, Continuous) else ()


def refuse_strange(asked: Mapping[str, Any], tasks: Iterable[str]) -> None:
    """Raise ``SettingsError`` if ``[space]`` has a table for something that is no task of the study."""
    known = list(tasks)
    for name in asked:
        if name not in HYPERPARAMETERS and name not in known:
            raise SettingsError(
                f"space.{name}: neither a hyperparameter nor a task of this study; expected one of "
                f"{nearest(name, [*HYPERPARAMETERS, *known])}."
            )


def of_task(
    name: str, own: Mapping[str, Distribution], profile: Profile, asked: Mapping[str, Any]
) -> tuple[Space, str]:
    """The space a study draws from on a task, and a note that says what of it is not the task's own.

    A study's table for the task goes before its table for every task, this before the profile, this before the task.

    Args:
        name: of the task.
        own: the space that the task declares.
        profile: of the study.
        asked: the study's ``[space]``, as ``checked`` gives it.
    """
    chosen = {key: form for key, form in asked.items() if key in HYPERPARAMETERS} | asked.get(name, {})
    space = {key: profile.space.get(key, distribution) for key, distribution in own.items()}
    notes = [profile.note] if any(key in own for key in profile.space if key not in chosen) else []
    space |= {key: distribution_from_dict(form) for key, form in chosen.items()}
    changed = [key for key in own if key in chosen and space[key] != own[key]]
    if changed:
        notes.append(f"{', '.join(changed)} as chosen for this study")
    return space, "; ".join(notes)
