"""A population in training: P trials of one variant and task in lockstep, each as if it were alone.

Protocol (Greff et al. 2017, section IV): after every sequence an update by stochastic gradient descent with Nesterov
momentum, the loss *summed* over the sequence, no clipping, Gaussian noise on the inputs, order reshuffled every epoch;
stop when validation stands still. Epoch 0 is the score before training.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lstm_odyssey.batches import Batch, Batches
from lstm_odyssey.cell import Cell
from lstm_odyssey.network import Network
from lstm_odyssey.protocol import Protocol
from lstm_odyssey.tasks.declare import Corpus
from lstm_odyssey.tasks.objectives.base import Objective

NAN = float("nan")


@dataclass(frozen=True)
class Trial:
    """One draw: its index in the search and its hyperparameters. A ghost fills a block and is not reported."""

    index: int
    hyperparameters: Mapping[str, Any]
    ghost: bool = False


@dataclass
class Curves:
    """What is measured each epoch; arrays of P, one entry an epoch, NaN where nothing was measured."""

    train_loss: list[np.ndarray[Any, Any]] = field(default_factory=list)
    valid: list[np.ndarray[Any, Any]] = field(default_factory=list)
    test: list[np.ndarray[Any, Any]] = field(default_factory=list)
    epoch_seconds: list[np.ndarray[Any, Any]] = field(default_factory=list)


class Population:
    """The state of a training: networks, velocities, and what has been measured."""

    def __init__(
        self,
        cell: Cell,
        corpus: Corpus,
        objective: Objective,
        trials: Sequence[Trial],
        protocol: Protocol,
        *,
        seed: int,
        bidirectional: bool,
        backend: str,
        dtype: torch.dtype,
        device: Any,
        keep_weights: bool = False,
    ) -> None:
        self.cell, self.corpus, self.objective, self.protocol, self.seed = cell, corpus, objective, protocol, seed
        self.trials = tuple(trials)
        members = len(self.trials)
        sizes = [trial.hyperparameters["hidden_size"] for trial in self.trials]
        outputs = objective.n_outputs(corpus)
        self.network = Network(cell, corpus.input_size, sizes, outputs, bidirectional, backend, dtype, device)
        self.network.initialise(seed, cell.name, [trial.index for trial in self.trials], protocol.initial_std)
        self.velocity = torch.zeros_like(self.network.weights)
        self.best_weights = torch.zeros_like(self.network.weights) if keep_weights else None

        def column(name: str) -> Tensor:
            values = [trial.hyperparameters[name] for trial in self.trials]
            return torch.tensor(values, dtype=torch.float64).to(dtype=dtype, device=device).unsqueeze(1)

        self.momentum, self.rate = column("momentum"), column("learning_rate")
        self.noise = column("input_noise").view(1, members, 1, 1)
        self.batches = Batches(objective, dtype, device)
        self.valid, self.test = self.batches.scored(corpus.valid), self.batches.scored(corpus.test)
        self.epoch = -1
        self.part = 0.0  # how much of the running epoch is done
        self.curves = Curves()
        self.running = np.ones(members, dtype=bool)
        self.diverged_epoch = np.full(members, -1)
        self.best_epoch = np.full(members, -1)
        self.best_valid = np.full(members, np.inf)
        self.best_test = np.full(members, NAN)
        self.best_test_per_sequence = np.full(members, NAN)

    @property
    def finished(self) -> bool:
        """No trial that is reported still runs."""
        real = np.array([not trial.ghost for trial in self.trials])
        return self.epoch >= self.protocol.epochs or not bool((self.running & real).any())

    def score(self, batches: Sequence[Batch]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """The metric of every member on a split, and its mean over sequences; not finite where a network overflowed."""
        above, below = [], []
        with torch.no_grad():
            for batch in batches:
                x = batch.x.unsqueeze(1).expand(-1, len(self.trials), -1, -1)
                logits = self.network(x, batch.lengths if batch.padded else None)
                numerator, denominator = self.objective.score(logits, batch.target, batch.lengths)
                above.append(numerator)
                below.append(denominator)
        numerators, denominators = torch.cat(above, dim=-1), torch.cat(below, dim=-1)
        whole = self.objective.reduce(numerators, denominators)
        return whole.cpu().numpy(), self.objective.reduce_per_sequence(numerators, denominators).cpu().numpy()

    def update(self, batch: Batch) -> Tensor:
        """One update of every member on one batch; returns the summed loss of each member, [P]."""
        weights, velocity = self.network.weights, self.velocity
        nesterov = self.protocol.momentum == "nesterov"
        velocity.mul_(self.momentum)
        if nesterov:
            weights.add_(velocity)
        assert batch.noise is not None
        x = batch.x.unsqueeze(1) + batch.noise.unsqueeze(1) * self.noise
        logits = self.network(x, batch.lengths if batch.padded else None)
        loss, gradient = self.objective.loss_and_gradient(logits.detach(), batch.target, batch.lengths)
        step = self.network.backward(logits, gradient).mul_((1 - self.momentum) * self.rate)
        velocity.sub_(step)
        if nesterov:
            weights.sub_(step)
        else:
            weights.add_(velocity)
        return loss.sum(dim=1)

    def train_epoch(self, on_update: Callable[[Population], None] | None) -> np.ndarray[Any, Any]:
        """One pass over the training set; returns each member's loss per frame."""
        frames = sum(len(features) for features, _ in self.corpus.train)
        total = torch.zeros(len(self.trials), dtype=torch.float64, device=self.velocity.device)
        seed, corpus = self.seed, self.corpus.fingerprint
        updates = -(-len(self.corpus.train) // self.protocol.batch)
        for batch in self.batches.epoch(self.corpus.train, seed, corpus, self.epoch, self.protocol.batch):
            total += self.update(batch)
            self.part += 1 / updates
            if on_update is not None:
                on_update(self)
        return (total / frames).cpu().numpy()

    def advance(self, on_update: Callable[[Population], None] | None = None) -> None:
        """Train one epoch (none at epoch 0), score it, and settle who improved, diverged or stopped."""
        started = time.perf_counter()
        self.epoch += 1
        self.part = 0.0
        loss = self.train_epoch(on_update) if self.epoch else np.full(len(self.trials), NAN)
        valid, _ = self.score(self.valid)
        sound = np.isfinite(valid) & (np.isfinite(loss) | (self.epoch == 0))
        self.diverged_epoch[self.running & ~sound] = self.epoch
        improved = self.running & sound & (valid < self.best_valid)
        test, per_sequence = self.score(self.test) if improved.any() else (np.full_like(valid, NAN),) * 2
        for best, now in (
            (self.best_valid, valid),
            (self.best_test, test),
            (self.best_test_per_sequence, per_sequence),
            (self.best_epoch, np.full(len(self.trials), self.epoch)),
        ):
            best[improved] = now[improved]
        if self.best_weights is not None:
            rows = torch.from_numpy(improved).to(self.velocity.device)
            self.best_weights[rows] = self.network.weights[rows]
        seconds = (time.perf_counter() - started) / len(self.trials)
        for curve, now in (
            (self.curves.train_loss, np.where(self.running & sound, loss, NAN)),
            (self.curves.valid, np.where(self.running & sound, valid, NAN)),
            (self.curves.test, np.where(improved, test, NAN)),
            (self.curves.epoch_seconds, np.where(self.running, seconds, NAN)),
        ):
            curve.append(now)
        self.running &= sound & (self.epoch - self.best_epoch < self.protocol.patience)
        if self.epoch >= self.protocol.epochs:
            self.running[:] = False

    def best_member_weights(self, member: int) -> dict[str, np.ndarray[Any, Any]]:
        """A trial's weights of its best epoch, by name, at its own N.

        Raises:
            ValueError: the population was made without ``keep_weights``.
        """
        if self.best_weights is None:
            raise ValueError("population: no weights were kept; expected keep_weights=True. Train it so.")
        now = self.network.weights.clone()
        self.network.weights.copy_(self.best_weights)
        try:
            return self.network.member_weights(member)
        finally:
            self.network.weights.copy_(now)

    def record(self, member: int) -> dict[str, Any]:
        """What is stored of one trial, as plain data; NaN is None."""
        diverged = int(self.diverged_epoch[member])
        curves = {name: np.array(rows)[:, member] for name, rows in vars(self.curves).items()}
        ran = int(np.isfinite(curves["epoch_seconds"]).sum())  # epochs 0 .. ran - 1
        epochs = ran - 1
        trained = curves["epoch_seconds"][1:ran].sum()
        frames = epochs * sum(len(features) for features, _ in self.corpus.train)
        return {
            "status": "ok" if diverged < 0 else "diverged",
            "reason": "" if diverged < 0 else f"the loss was not finite in epoch {diverged}",
            "diverged_epoch": None if diverged < 0 else diverged,
            "best_epoch": int(self.best_epoch[member]) if self.best_epoch[member] >= 0 else None,
            "best_valid": _plain(self.best_valid[member]),
            "best_test": _plain(self.best_test[member]),
            "best_test_per_sequence": _plain(self.best_test_per_sequence[member]),
            "final_valid": _plain(curves["valid"][ran - 1]),
            "n_parameters": self.network.count()[member],
            "epochs": epochs,
            "seconds": float(np.nansum(curves["epoch_seconds"])),
            "frames_per_second": float(frames / trained) if trained > 0 else None,
            "curves": {name: [_plain(value) for value in curve[:ran]] for name, curve in curves.items()},
        }


def _plain(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
