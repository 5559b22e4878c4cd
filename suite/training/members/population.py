"""A population in training: P trials of one variant and task in lockstep, each as if it were alone.

A backend that computes members together has them all in one network. Elsewhere every member is computed by itself, as if it
were alone: the same calls with the same shapes, so its numbers are the same bit by bit, and one that has stopped costs
nothing. What each is booked of the time that passes is ``costs``' business.

Protocol (Greff et al. 2017, section IV): after every sequence an update by stochastic gradient descent with Nesterov
momentum, the loss *summed* over the sequence, no clipping unless a trial's hyperparameters say so, Gaussian noise on the
inputs, order reshuffled every epoch; stop when validation stands still. Epoch 0 is the score before training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstm_odyssey.backends import record
from lstm_odyssey.cell import Cell
from lstm_odyssey.tasks.declare import Corpus
from lstm_odyssey.tasks.objectives.base import Objective
from lstm_odyssey.training.batches import Batch, Batches, groups, scored_frames
from lstm_odyssey.training.costs import Clocks, Costs, clocks_for, shares
from lstm_odyssey.training.hyperparameters import constants, initial_std, starts
from lstm_odyssey.training.members.lockstep import Lockstep, Scores, Trial, training_steps
from lstm_odyssey.training.members.views import NONE, Views, of_test
from lstm_odyssey.training.network import Network
from lstm_odyssey.training.protocol import Protocol

__all__ = ["Curves", "Population", "Trial"]

NAN = float("nan")


@dataclass
class Curves:
    """What is measured each epoch; arrays of P, one entry an epoch, NaN where nothing was measured."""

    train_loss: list[NDArray[Any]] = field(default_factory=list)
    valid: list[NDArray[Any]] = field(default_factory=list)
    test: list[NDArray[Any]] = field(default_factory=list)
    epoch_seconds: list[NDArray[Any]] = field(default_factory=list)


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
        clocks: Clocks | None = None,
        group: int | None = None,
    ) -> None:
        self.cell, self.corpus, self.objective, self.protocol, self.seed = cell, corpus, objective, protocol, seed
        self.trials = tuple(trials)
        members = len(self.trials)
        self.dtype, self.device = dtype, device
        of = record(backend, device)
        self.together = min(members, group or members) if of.together else 1
        make = training_steps(of, device, dtype)
        self.parts: list[Lockstep] = [
            make(self._networks(own, bidirectional, backend), own, objective, protocol, keep_weights)
            for own in (self.trials[start : start + self.together] for start in range(0, members, self.together))
        ]
        self.pads = any(of.pads(cell, trial.hyperparameters["hidden_size"]) for trial in self.trials)
        self.batches = Batches(objective, dtype, device)
        frames = scored_frames(corpus, protocol.batch, of.sparing)
        self.valid, self.test = (self.batches.scored(split, frames) for split in (corpus.valid, corpus.test))
        self.views = of_test(corpus, [index for group in groups(corpus.test) for index in group], device)
        self.epoch = -1
        self.part = 0.0  # how much of the running epoch is done
        self.curves = Curves()
        self.running = np.ones(members, dtype=bool)
        self.diverged_epoch = np.full(members, -1)
        self.best_epoch = np.full(members, -1)
        self.best_valid = np.full(members, np.inf)
        self.best_test = np.full(members, NAN)
        self.best_test_per_sequence = np.full(members, NAN)
        self.best_views = np.full((members, len(self.views.names)), NAN)
        self.view_curve: list[NDArray[Any]] = []  # [P, views] an epoch, where validation improved
        self.costs = Costs(clocks or clocks_for(device), members)
        self.shares = [shares(part.network.count()) for part in self.parts]

    def _networks(self, own: Sequence[Trial], bidirectional: bool, backend: str) -> Network:
        """The networks of some trials, as they begin."""
        cell, corpus, protocol = self.cell, self.corpus, self.protocol
        drawn = [trial.hyperparameters for trial in own]
        network = Network(
            cell, corpus.input_size, [one["hidden_size"] for one in drawn], self.objective.n_outputs(corpus), bidirectional,
            backend, self.dtype, self.device, constants(cell.constants, drawn),
        )  # fmt: skip
        declared = dict(cell.start) if protocol.start == "declared" else {}
        network.initialise(
            self.seed,
            cell.name,
            [trial.index for trial in own],
            [initial_std(one, protocol) for one in drawn],
            [declared | starts(one) for one in drawn],
            max(len(features) for features, _ in corpus.train),
        )
        return network

    @property
    def finished(self) -> bool:
        """No trial that is reported still runs."""
        real = np.array([not trial.ghost for trial in self.trials])
        return self.epoch >= self.protocol.epochs or not bool((self.running & real).any())

    @property
    def network(self) -> Network:
        """The network of a population that is computed together, or of its first member."""
        return self.parts[0].network

    @property
    def keeps_weights(self) -> bool:
        return self.parts[0].best_weights is not None

    def _which(self, wanted: NDArray[Any]) -> list[tuple[slice, Lockstep, NDArray[Any]]]:
        """The parts with a member that is wanted, where their members stand, and each one's share of the work."""
        places = [slice(k * self.together, (k + 1) * self.together) for k in range(len(self.parts))]
        found = zip(places, self.parts, self.shares, strict=True)
        return [(place, part, share) for place, part, share in found if wanted[place].any()]

    def score(self, batches: Sequence[Batch], wanted: NDArray[Any], views: Views = NONE) -> Scores:
        """The scores of the members wanted on a split; of others perhaps NaN."""
        whole, per_sequence = np.full(len(self.trials), NAN), np.full(len(self.trials), NAN)
        further = np.full((len(self.trials), len(views.names)), NAN)
        self.costs.lap()
        for place, part, share in self._which(wanted):
            whole[place], per_sequence[place], further[place] = part.score(batches, views)
            self.costs.book(place, share, training=False)
        return Scores(whole, per_sequence, further)

    def update(self, batch: Batch) -> Tensor:
        """One update of every member that runs; returns the summed loss of each, [P], NaN of those that have stopped."""
        loss = torch.full((len(self.trials),), NAN, dtype=self.dtype, device=self.device)
        for place, part, _ in self._which(self.running):
            loss[place] = part.update(batch)
        return loss

    def train_epoch(self, on_update: Callable[[Population], None] | None) -> NDArray[Any]:
        """One pass over the training set; returns each member's loss per frame, NaN of those that have stopped."""
        train, seed, corpus, batch_size = self.corpus.train, self.seed, self.corpus.fingerprint, self.protocol.batch
        updates = -(-len(train) // batch_size)
        running, costs = self._which(self.running), self.costs
        sums: list[Tensor | float] = [0.0 for _ in running]
        costs.lap()
        for batch in self.batches.epoch(train, seed, corpus, self.epoch, batch_size):
            if costs.clocks.each:
                costs.book_shared(self.running)
            for index, (place, part, share) in enumerate(running):
                loss = part.update(batch)
                sums[index] = sums[index] + (loss.double() if isinstance(loss, Tensor) else loss)
                if costs.clocks.each:
                    costs.book(place, share, training=True)
            self.part += 1 / updates
            if on_update is not None:
                on_update(self)
                if costs.clocks.each:
                    costs.lap()  # nobody's
        if not costs.clocks.each:
            costs.book_pass([(place, share) for place, _, share in running])
        total = np.full(len(self.trials), NAN)
        for (place, _, _), summed in zip(running, sums, strict=True):
            total[place] = summed.cpu().numpy() if isinstance(summed, Tensor) else summed
        return total / sum(len(features) for features, _ in train)

    def advance(self, on_update: Callable[[Population], None] | None = None) -> None:
        """Train one epoch (none at epoch 0), score it, and settle who improved, diverged or stopped."""
        self.epoch += 1
        self.part = 0.0
        self.costs.begin_epoch()
        loss = self.train_epoch(on_update) if self.epoch else np.full(len(self.trials), NAN)
        valid, _, _ = self.score(self.valid, self.running)
        sound = np.isfinite(valid) & (np.isfinite(loss) | (self.epoch == 0))
        self.diverged_epoch[self.running & ~sound] = self.epoch
        improved = self.running & sound & (valid < self.best_valid)
        test, per_sequence, further = self.score(self.test, improved, self.views)
        for best, now in (
            (self.best_valid, valid),
            (self.best_test, test),
            (self.best_test_per_sequence, per_sequence),
            (self.best_views, further),
            (self.best_epoch, np.full(len(self.trials), self.epoch)),
        ):
            best[improved] = now[improved]
        for place, part, _ in self._which(improved):
            part.keep(improved[place])
        for curve, now in (
            (self.curves.train_loss, np.where(self.running & sound, loss, NAN)),
            (self.curves.valid, np.where(self.running & sound, valid, NAN)),
            (self.curves.test, np.where(improved, test, NAN)),
            (self.curves.epoch_seconds, np.where(self.running, self.costs.own[:, 0], NAN)),
        ):
            curve.append(now)
        self.view_curve.append(np.where(improved[:, None], further, NAN))
        self.running &= sound & (self.epoch - self.best_epoch < self.protocol.patience)
        if self.epoch >= self.protocol.epochs:
            self.running[:] = False
        for place, part, _ in self._which(self.running):
            part.only(self.running[place])

    def best_member_weights(self, member: int) -> dict[str, NDArray[Any]]:
        """A trial's weights of its best epoch, by name, at its own N.

        Raises:
            ValueError: the population was made without ``keep_weights``.
        """
        return self.parts[member // self.together].best_member_weights(member % self.together)

    def member_weights(self, member: int) -> dict[str, NDArray[Any]]:
        """A trial's weights as they are now, by name, at its own N."""
        return self.parts[member // self.together].network.member_weights(member % self.together)

    def record(self, member: int) -> dict[str, Any]:
        """What is stored of one trial, as plain data; NaN is None."""
        diverged = int(self.diverged_epoch[member])
        curves = {name: np.array(rows)[:, member] for name, rows in vars(self.curves).items()}
        ran = int(np.isfinite(curves["epoch_seconds"]).sum())  # epochs 0 .. ran - 1
        epochs = ran - 1
        training, wall, shared = (
            values[member] for values in (self.costs.training, self.costs.wall, self.costs.shared)
        )
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
            "n_parameters": self.parts[member // self.together].network.count()[member % self.together],
            "epochs": epochs,
            "seconds": float(np.nansum(curves["epoch_seconds"])),
            "training_seconds": float(training),
            "wall_seconds": float(wall),
            "shared_seconds": _plain(shared),
            "frames_per_second": float(frames / training) if epochs > 0 and training > 0 else None,
            "curves": {name: [_plain(value) for value in curve[:ran]] for name, curve in curves.items()},
            **({"views": self._views(member, ran)} if self.views.names else {}),
        }

    def _views(self, member: int, ran: int) -> dict[str, Any]:
        """By view, its test score at the best epoch, and at each where validation improved."""
        curves = np.array(self.view_curve)[:ran, member].T
        best = map(_plain, self.best_views[member])
        return {
            name: {"best_test": score, "test": [_plain(value) for value in curve]}
            for name, score, curve in zip(self.views.names, best, curves, strict=True)
        }


def _plain(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
