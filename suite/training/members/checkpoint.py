"""Checkpoints of a population: weights, velocities, epoch, curves. Going on from one is bitwise the same as not stopping.

A part of a population that is computed by itself is stored and found again by itself, so a population of fewer members
goes on from the checkpoint of a larger one; where a member's numbers do not depend on its neighbours it does so too if the
members were together in other groups, as where memory was short. Nothing random is stored: order, noise and initial weights
come from streams named after the epoch and the trial.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstm_odyssey.reports.contract.files import replacing
from lstm_odyssey.training.environment import environment, of_device
from lstm_odyssey.training.members.views import identity as identity_of_views
from lstm_odyssey.training.random_streams import digest

if TYPE_CHECKING:
    from lstm_odyssey.training.members.lockstep import Lockstep, Trial
    from lstm_odyssey.training.members.population import Population

FORMAT = 3
_ARRAYS = (
    "running",
    "diverged_epoch",
    "best_epoch",
    "best_valid",
    "best_test",
    "best_test_per_sequence",
)
_COSTS = ("training", "wall", "shared")


def identity(population: Population) -> str:
    """Hash of all that a checkpoint has to agree with, beside its trials."""
    return digest(
        {
            "format": FORMAT,
            # the name seeds the initial weights; parameters lie in the stored buffer in the text's order
            "variant": [population.cell.name, population.cell.signature, *population.cell.parameters],
            "objective": population.objective.name,
            "bidirectional": population.network.rnn.bidirectional,
            "corpus": population.corpus.fingerprint,
            "protocol": population.protocol.departures(),
            "seed": population.seed,
            "dtype": str(population.dtype),
            "backend": population.network.rnn.backend,
            "keeps": population.keeps_weights,
            **({"views": views} if (views := identity_of_views(population.corpus)) else {}),
            # bits are promised on one processor model and versions only
            "environment": {**environment(), **of_device(population.device)},
        }
    )


def _trials(trials: Sequence[Trial]) -> str:
    return digest([[trial.index, dict(trial.hyperparameters)] for trial in trials])


def save(population: Population, path: Path) -> None:
    """Write the state of a population, whole or not at all."""
    content: dict[str, Any] = {
        "identity": np.array(identity(population)),
        "epoch": np.array(population.epoch),
        "trials": np.array([_trials(part.trials) for part in population.parts]),
        "members": np.array([_trials([trial]) for trial in population.trials]),
        "sizes": np.array([trial.hyperparameters["hidden_size"] for trial in population.trials]),
        **{name: getattr(population, name) for name in _ARRAYS},
        **{f"cost_{name}": getattr(population.costs, name) for name in _COSTS},
        **{f"curve_{name}": np.array(rows) for name, rows in vars(population.curves).items()},
    }
    if population.views.names:
        content |= {"best_views": population.best_views, "curve_of_views": np.array(population.view_curve)}
    for number, part in enumerate(population.parts):
        content |= {f"{name}_{number}": value.cpu().numpy() for name, value in _tensors(part).items()}
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **content)


def _tensors(part: Lockstep) -> dict[str, Tensor]:
    found = {"weights": part.network.weights, "velocity": part.velocity}
    return found if part.best_weights is None else {**found, "best_weights": part.best_weights}


def _found(
    population: Population, content: Mapping[str, NDArray[Any]]
) -> tuple[list[int], list[tuple[Tensor, Tensor]]]:
    """The rows of a checkpoint that are this population's members, and its tensors, each with what they were."""
    known = {name: number for number, name in enumerate(content["trials"].tolist())}
    if known.keys() >= {_trials(part.trials) for part in population.parts}:
        numbers = [known[_trials(part.trials)] for part in population.parts]
        rows = [
            number * population.together + k
            for number, part in zip(numbers, population.parts, strict=True)
            for k in range(len(part.trials))
        ]
        return rows, [
            (value, torch.from_numpy(content[f"{name}_{number}"]))
            for number, part in zip(numbers, population.parts, strict=True)
            for name, value in _tensors(part).items()
        ]
    places = {name: row for row, name in enumerate(content["members"].tolist())} if "members" in content else {}
    own = [_trials([trial]) for trial in population.trials]
    if population.pads or not places.keys() >= set(own):
        raise ValueError("it belongs to other trials")
    return [places[name] for name in own], _regrouped(population, content, [places[name] for name in own])


def _regrouped(
    population: Population, content: Mapping[str, NDArray[Any]], rows: Sequence[int]
) -> list[tuple[Tensor, Tensor]]:
    """Tensors of parts whose members were together with others: each member's own pieces, which lie elsewhere there."""
    counts = [len(content[f"weights_{number}"]) for number in range(len(content["trials"]))]
    ends = np.cumsum(counts)
    groups = [content["sizes"][end - count : end].tolist() for end, count in zip(ends, counts, strict=True)]
    there = [population.network.like(group) for group in groups]
    found, begin = [], 0
    for part in population.parts:
        here = population.network.like(part.network.sizes)
        for name, value in _tensors(part).items():
            for number, network in enumerate(there):
                network.weights.copy_(torch.from_numpy(content[f"{name}_{number}"]))
            for member in range(len(part.trials)):
                number = int(np.searchsorted(ends, rows[begin + member], side="right"))
                place = rows[begin + member] - int(ends[number] - counts[number])
                here.load_member_weights(member, there[number].member_weights(place))
            found.append((value, here.weights.clone()))
        begin += len(part.trials)
    return found


def load(population: Population, path: Path) -> bool:
    """Put a population into the state of a checkpoint; false where there is none.

    A checkpoint that cannot be read, or belongs to something else, is set aside with a warning: what it held is computed
    again, and no result depends on it.
    """
    if not path.exists():
        return False
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            content = {name: stored[name] for name in stored.files}
        if str(content["identity"]) != identity(population):
            raise ValueError("it belongs to another population")
        rows, tensors = _found(population, content)
        curves = {entry.name: list(content[f"curve_{entry.name}"][:, rows]) for entry in fields(population.curves)}
        arrays = {name: content[name][rows] for name in _ARRAYS}
        viewed = bool(population.views.names)
        views = [content["best_views"][rows], list(content["curve_of_views"][:, rows])] if viewed else None
        costs = {name: content[f"cost_{name}"][rows] for name in _COSTS}
        epoch = int(content["epoch"])
    except Exception as error:  # noqa: BLE001 - zip, key, value and eof errors alike: a damaged file
        warnings.warn(f"checkpoint {path}: not usable ({error}); its epochs are computed again.", stacklevel=2)
        return False
    population.epoch = epoch
    for name, curve in curves.items():
        setattr(population.curves, name, curve)
    for name, array in arrays.items():
        setattr(population, name, array)
    for name, array in costs.items():
        setattr(population.costs, name, array)
    if views is not None:
        population.best_views, population.view_curve = views
    for value, stored_value in tensors:
        value.copy_(stored_value)
    return True
