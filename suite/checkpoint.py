"""Checkpoints of a population: weights, velocities, epoch, curves. Going on from one is bitwise the same as not stopping.

Nothing random is stored: order, noise and initial weights come from streams named after the epoch and the trial.
"""

from __future__ import annotations

import warnings
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lstm_odyssey.reports.files import replacing
from lstm_odyssey.streams import digest

if TYPE_CHECKING:
    from lstm_odyssey.population import Population

FORMAT = 1
_ARRAYS = ("running", "diverged_epoch", "best_epoch", "best_valid", "best_test", "best_test_per_sequence")


def identity(population: Population) -> str:
    """Hash of all that a checkpoint has to agree with."""
    return digest(
        {
            "format": FORMAT,
            "variant": population.cell.signature,
            "corpus": population.corpus.fingerprint,
            "protocol": population.protocol.departures(),
            "seed": population.seed,
            "trials": [[trial.index, dict(trial.hyperparameters)] for trial in population.trials],
            "dtype": str(population.velocity.dtype),
            "backend": population.network.rnn.backend,
            "keeps": population.best_weights is not None,
        }
    )


def save(population: Population, path: Path) -> None:
    """Write the state of a population, whole or not at all."""
    content: dict[str, Any] = {
        "identity": np.array(identity(population)),
        "epoch": np.array(population.epoch),
        "weights": population.network.weights.cpu().numpy(),
        "velocity": population.velocity.cpu().numpy(),
        **{name: getattr(population, name) for name in _ARRAYS},
        **{f"curve_{name}": np.array(rows) for name, rows in vars(population.curves).items()},
    }
    if population.best_weights is not None:
        content["best_weights"] = population.best_weights.cpu().numpy()
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **content)


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
        curves = {entry.name: list(content[f"curve_{entry.name}"]) for entry in fields(population.curves)}
        arrays = {name: content[name] for name in _ARRAYS}
        weights, velocity = content["weights"], content["velocity"]
        best = content.get("best_weights")
        epoch = int(content["epoch"])
    except Exception as error:  # noqa: BLE001 - zip, key, value and eof errors alike: a damaged file
        warnings.warn(f"checkpoint {path}: not usable ({error}); its epochs are computed again.", stacklevel=2)
        return False
    population.epoch = epoch
    for name, rows in curves.items():
        setattr(population.curves, name, rows)
    for name, array in arrays.items():
        setattr(population, name, array)
    population.network.weights.copy_(torch.from_numpy(weights))
    population.velocity.copy_(torch.from_numpy(velocity))
    if population.best_weights is not None and best is not None:
        population.best_weights.copy_(torch.from_numpy(best))
    return True
