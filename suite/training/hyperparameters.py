"""What a training reads of a trial: every hyperparameter it knows, and which values it takes.

Four are needed. The others stand in for what the protocol would give to all trials alike, so that a search can draw them, one
value a trial: the form of momentum, clipping, the spread of the initial weights, and the start of a bias or a peephole.

Source: Greff et al. 2017, section IV; ``nesterov`` and ``clip_gradient`` are two of its hyperparameters on TIMIT, where each
component of the gradient is clipped to [-1, 1] by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lstm_odyssey.tasks.nearest import nearest
from lstm_odyssey.training.protocol import Protocol
from lstm_odyssey.variants.declare import Constant

HYPERPARAMETERS = ("hidden_size", "learning_rate", "momentum", "input_noise")
"""What a training needs of a trial; a task's space has a distribution for each."""

START = "start."
"""Before a parameter's name: the number with which all of a bias or peephole begins, ``start.b.f``."""

CONSTANT = "k."
"""Before the name of a cell's constant: its value in the trial, ``k.gamma``."""

CLIP = 1.0
"""Where ``clip_gradient`` cuts each component of the gradient, on both sides."""

LARGEST_SIZE = 100_000
"""Units of a layer beyond which a number is a mistake: a square matrix of that side has 40 GB in float32."""


@dataclass(frozen=True)
class Trainable:
    """What a training takes for a hyperparameter.

    Args:
        low, high: the ends; an open end is no value itself.
        words: the same in words.
        open_low, open_high: whether the end is left out.
        whole: whole numbers only.
        truth: true and false only.
    """

    low: float
    high: float
    words: str
    open_low: bool = False
    open_high: bool = False
    whole: bool = False
    truth: bool = False

    def takes(self, value: Any) -> bool:
        """Whether a training takes this value."""
        if self.truth or isinstance(value, bool):
            return self.truth and isinstance(value, bool)
        if not isinstance(value, int | float) or not math.isfinite(value):
            return False
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below and (not self.whole or value == int(value))


_FLAG = Trainable(0, 1, "true or false", truth=True)
_TRAINABLE = {
    "hidden_size": Trainable(1, LARGEST_SIZE, f"a whole number from 1 to {LARGEST_SIZE:,}", whole=True),
    "learning_rate": Trainable(0, math.inf, "a finite number above 0", open_low=True),
    "momentum": Trainable(0, 1, "a number from 0 to below 1", open_high=True),
    "input_noise": Trainable(0, math.inf, "a finite number of at least 0"),
    "nesterov": _FLAG,
    "clip_gradient": _FLAG,
    "initial_std": Trainable(0, math.inf, "a finite number above 0", open_low=True),
}
_ANY = Trainable(-math.inf, math.inf, "a finite number")

KNOWN = (*_TRAINABLE, f"{START}PARAMETER", f"{CONSTANT}CONSTANT")
"""Names a space may have, the last two for every ``start.`` and ``k.``."""


def trainable(name: str) -> Trainable | None:
    """What a training takes for this hyperparameter, often more than a task's space holds; None where it reads no such."""
    return _ANY if of_cell(name) else _TRAINABLE.get(name)


def of_cell(name: str) -> bool:
    """Whether a hyperparameter is one that only some cells have: the start of a parameter, or a constant."""
    return any(name.startswith(prefix) and name != prefix for prefix in (START, CONSTANT))


def missing(space: Iterable[str]) -> str:
    """What is wrong with the names of a space, in words; empty where a training can read it."""
    names = list(space)
    if lacking := [name for name in HYPERPARAMETERS if name not in names]:
        return f"its space lacks {', '.join(lacking)}; expected a distribution for each of {', '.join(HYPERPARAMETERS)}"
    for name in names:
        if trainable(name) is None:
            return f"its space has {name}, which no training reads; expected one of {nearest(name, KNOWN)}"
    return ""


def nesterov(hyperparameters: Mapping[str, Any], protocol: Protocol) -> bool:
    """Whether a trial has Nesterov's momentum; else it has the classical one."""
    return bool(hyperparameters.get("nesterov", protocol.momentum == "nesterov"))


def clips(hyperparameters: Mapping[str, Any]) -> bool:
    """Whether a trial's gradient is clipped to [-1, 1], each component by itself, before it is scaled."""
    return bool(hyperparameters.get("clip_gradient", False))


def initial_std(hyperparameters: Mapping[str, Any], protocol: Protocol) -> float:
    """The standard deviation of a trial's initial weights."""
    return float(hyperparameters.get("initial_std", protocol.initial_std))


def starts(hyperparameters: Mapping[str, Any]) -> dict[str, float]:
    """What a trial's parameters begin with where it is no draw, by their names in the text, as ``b.f``."""
    return {name.removeprefix(START): float(value) for name, value in hyperparameters.items() if name.startswith(START)}


def constants(declared: Mapping[str, Constant], trials: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """The constants of a cell by name, one for each trial: what its hyperparameters say, or the default."""
    return {
        name: [float(trial.get(f"{CONSTANT}{name}", one.default)) for trial in trials] for name, one in declared.items()
    }


def unfit_constant(name: str, values: Iterable[Any], ranges: Mapping[str, Sequence[float]]) -> str:
    """Why a cell's constant cannot take these values, in words; empty where it can.

    Args:
        name: of a hyperparameter; of another than a constant nothing is wrong.
        values: the greatest and the least among them.
        ranges: the constants of the cell, each with its default and its ends, None for an open one.
    """
    if not name.startswith(CONSTANT):
        return ""
    short = name.removeprefix(CONSTANT)
    if short not in ranges:
        expected = f"one of {nearest(short, list(ranges))}" if ranges else "no constant, as the cell has none"
        return f"{name} is asked for and {short} is none of its constants; expected {expected}"
    _, *ends = ranges[short]
    low, high = (math.inf * sign if end is None else end for end, sign in zip(ends, (-1, 1), strict=True))
    strange = [value for value in values if not low <= value <= high]
    return f"{name} can be {strange[0]:g}; expected a number from {low:g} to {high:g}" if strange else ""


def unfit_starts(names: Iterable[str], parameters: Mapping[str, Iterable[Any]]) -> str:
    """Why a cell cannot begin as these hyperparameters say, in words; empty where it can.

    Args:
        names: of hyperparameters.
        parameters: of the cell, each with its shape.
    """
    vectors = [name for name, shape in parameters.items() if len(list(shape)) == 1]
    for name in names:
        if name.startswith(START) and (parameter := name.removeprefix(START)) not in vectors:
            kind = "a matrix" if parameter in parameters else "none of its parameters"
            return f"{name} is asked for and {parameter} is {kind}; expected one of {nearest(parameter, vectors)}"
    return ""
