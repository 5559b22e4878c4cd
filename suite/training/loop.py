"""Training a population to its end, with checkpoints on the way."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from lstm_odyssey.cell import Cell
from lstm_odyssey.tasks import objectives
from lstm_odyssey.tasks.declare import Corpus
from lstm_odyssey.training.costs import Clocks
from lstm_odyssey.training.members import checkpoint
from lstm_odyssey.training.members.population import Population, Trial
from lstm_odyssey.training.protocol import Protocol
from lstm_odyssey.training.threads import one_thread, without_subnormals

__all__ = ["Population", "Trial", "train"]

CHECKPOINT_EPOCHS = 5
CHECKPOINT_SECONDS = 300.0


def train(
    cell: Cell,
    corpus: Corpus,
    objective: str,
    trials: Sequence[Trial],
    protocol: Protocol,
    *,
    seed: int = 1,
    bidirectional: bool = False,
    backend: str = "eager",
    dtype: str = "float32",
    device: Any = "cpu",
    keep_weights: bool = False,
    checkpoint_file: Path | None = None,
    on_epoch: Callable[[Population], None] | None = None,
    on_update: Callable[[Population], None] | None = None,
    clocks: Clocks | None = None,
    group: int | None = None,
) -> Population:
    """Train a population to its end.

    Args:
        cell, corpus, objective: what is trained on what, for what.
        trials: one member each; see ``hyperparameters``.
        protocol: see ``Protocol``.
        seed: of order and noise (with the corpus and the epoch) and of the initial weights (with variant and trial index).
        bidirectional, backend, dtype, device: as in ``lo.RNN``.
        keep_weights: remember each trial's weights of its best epoch.
        checkpoint_file: where to keep the state; if it exists the training goes on from there, bit for bit as if it had not
            stopped. It is removed by the caller once the results are stored.
        on_epoch, on_update: called after every epoch, and after every update of the weights.
        clocks: what the trials are booked by; by default the thread's processor time and the wall's clock (``costs``).
        group: the most members that a backend that computes members together takes at once; by default all. It changes no
            number where the backend does not pad.

    Returns:
        The population; ``record(member)`` is the result of a trial.
    """
    with one_thread(), without_subnormals():
        population = Population(
            cell,
            corpus,
            objectives.get(objective),
            trials,
            protocol,
            seed=seed,
            bidirectional=bidirectional,
            backend=backend,
            dtype=getattr(torch, dtype),
            device=device,
            keep_weights=keep_weights,
            clocks=clocks,
            group=group,
        )
        if checkpoint_file is not None:
            checkpoint.load(population, checkpoint_file)
        saved_epoch, saved_at = population.epoch, time.monotonic()
        while not population.finished:
            population.advance(on_update)
            due = population.epoch - saved_epoch >= CHECKPOINT_EPOCHS
            due = due or time.monotonic() - saved_at > CHECKPOINT_SECONDS
            if checkpoint_file is not None and due and not population.finished:
                try:
                    checkpoint.save(population, checkpoint_file)
                except OSError as error:  # a full disk: what a kill would cost is no reason to stop
                    warnings.warn(
                        f"checkpoint {checkpoint_file}: not written ({error}); training goes on.", stacklevel=2
                    )
                saved_epoch, saved_at = population.epoch, time.monotonic()
            if on_epoch is not None:
                on_epoch(population)
        return population


def what_fits(
    attempt: Callable[[int | None], Population], members: int, pads: bool, group: int | None = None
) -> Population:
    """A population; where a GPU has no room for all its members at once, in groups that do fit.

    Groups change no number of a backend that does not pad; on one that does they would.

    Args:
        attempt: trains in groups of at most so many, or all at once.
        members: how many there are.
        pads: whether the backend pads.
        group: what is tried first, as it was planned (``training.memory``).

    Raises:
        torch.OutOfMemoryError: there is no room for one.
    """
    group = None if pads else group
    while True:
        try:
            return attempt(group)
        except torch.OutOfMemoryError:
            group = members if group is None else group
            if group < 2 or pads:
                raise
            group = (group + 1) // 2
        gc.collect()  # out of the handler: the error holds the tensors, and a step holds itself
        torch.cuda.empty_cache()
