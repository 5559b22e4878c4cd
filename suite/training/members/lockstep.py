"""Networks that are updated together: their weights, velocities and hyperparameters as a few tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstm_odyssey.backends import Backend
from lstm_odyssey.backends.trainer import Step
from lstm_odyssey.tasks.objectives.base import Objective
from lstm_odyssey.training.batches import Batch
from lstm_odyssey.training.hyperparameters import CLIP, clips, nesterov
from lstm_odyssey.training.members.views import NONE, Views
from lstm_odyssey.training.network import Network
from lstm_odyssey.training.protocol import Protocol


@dataclass(frozen=True)
class Trial:
    """One draw: its index in the search and its hyperparameters. A ghost fills a block and is not reported."""

    index: int
    hyperparameters: Mapping[str, Any]
    ghost: bool = False


class Scores(NamedTuple):
    """What P networks reach on a split; not finite where one overflowed.

    Attributes:
        whole: the metric, [P].
        per_sequence: its mean over sequences, [P].
        views: the metric of each view, [P, views].
    """

    whole: NDArray[Any]
    per_sequence: NDArray[Any]
    views: NDArray[Any]


class Lockstep:
    """P networks with an optimiser: Nesterov's or classical momentum, of the loss summed over time, clipped or not.

    Args:
        network: P networks.
        trials: their draws.
        objective, protocol: of the training.
        keep_weights: have a place for the best weights.
    """

    def __init__(
        self, network: Network, trials: Sequence[Trial], objective: Objective, protocol: Protocol, keep_weights: bool
    ) -> None:
        self.network, self.trials, self.objective, self.protocol = network, tuple(trials), objective, protocol
        weights = network.weights
        self.velocity = torch.zeros_like(weights)
        self.best_weights = torch.zeros_like(weights) if keep_weights else None

        def column(name: str) -> Tensor:
            values = [trial.hyperparameters[name] for trial in self.trials]
            return torch.tensor(values, dtype=torch.float64).to(dtype=weights.dtype, device=weights.device).unsqueeze(1)

        def flags(values: Iterable[bool]) -> Tensor | bool:
            """True or False where all networks have the same, else one a row."""
            each = list(values)
            return each[0] if len(set(each)) == 1 else torch.tensor(each, device=weights.device).unsqueeze(1)

        self.momentum, self.rate = column("momentum"), column("learning_rate")
        self.noise = column("input_noise").view(1, len(self.trials), 1, 1)
        self.nesterov = flags(nesterov(trial.hyperparameters, protocol) for trial in self.trials)
        self.clips = flags(clips(trial.hyperparameters) for trial in self.trials)

    def update(self, batch: Batch) -> Tensor | float:
        """One update of every network on one batch; returns the summed loss of each, [P] (a number where there is one)."""
        value: Any = None
        for phase in self.phases(batch).values():
            value = phase(value)
        loss: Tensor = value
        return loss

    def phases(self, batch: Batch) -> dict[str, Callable[[Any], Any]]:
        """One update in phases, ``forward``, ``backward`` and ``update``, for who times them.

        Called in this order, each with what the one before returned (the first with None), they are one update; the last
        returns the summed loss of each network, [P].
        """
        weights, velocity = self.network.weights, self.velocity
        ahead, clipped = self.nesterov, self.clips

        def forward(_: None) -> Tensor:
            velocity.mul_(self.momentum)
            if ahead is True:
                weights.add_(velocity)
            elif ahead is not False:
                weights.copy_(torch.where(ahead, weights + velocity, weights))
            assert batch.noise is not None
            x = batch.x.unsqueeze(1) + batch.noise.unsqueeze(1) * self.noise
            return self.network(x, batch.lengths if batch.padded else None)  # type: ignore[no-any-return]  # a Module's call

        def backward(logits: Tensor) -> tuple[Tensor, Tensor]:
            loss, gradient = self.objective.loss_and_gradient(logits.detach(), batch.target, batch.lengths)
            return loss, self.network.backward(logits, gradient)

        def update(made: tuple[Tensor, Tensor]) -> Tensor:
            loss, gradients = made
            if clipped is True:
                gradients.clamp_(-CLIP, CLIP)
            elif clipped is not False:
                gradients.copy_(torch.where(clipped, gradients.clamp(-CLIP, CLIP), gradients))
            step = gradients.mul_((1 - self.momentum) * self.rate)
            velocity.sub_(step)
            if ahead is True:
                weights.sub_(step)
            elif ahead is False:
                weights.add_(velocity)
            else:
                weights.copy_(torch.where(ahead, weights - step, weights + velocity))
            return loss.sum(dim=1)

        return {"forward": forward, "backward": backward, "update": update}

    def compiled(self, batch: Batch) -> Callable[[], None] | None:
        """What of an update is one compiled call, to be timed by itself; None where there is no such call."""
        return None

    def alone(self, batch: Batch) -> dict[str, Callable[[], None]]:
        """Parts of an update to be timed by themselves; see ``backends.trainer.Step``. Empty where it cannot be taken apart."""
        return {}

    def score(self, batches: Sequence[Batch], views: Views = NONE) -> Scores:
        """The scores of every network on a split, all read off one pass over the batches."""
        with torch.no_grad():
            found = [self.scores(batch, views) for batch in batches]
        return self._reduced(found, views)

    def _reduced(self, found: Sequence[Sequence[tuple[Tensor, Tensor]]], views: Views) -> Scores:
        """Scores from the numerators and denominators of every batch."""
        (above, below), *folded = [
            (torch.cat([numerator for numerator, _ in parts], dim=-1), torch.cat([count for _, count in parts]))
            for parts in zip(*found, strict=True)
        ]
        of, per_sequence = self.objective.reduce, self.objective.reduce_per_sequence(above, below)
        parts = [(above[..., place.to(above.device)], below[place.to(below.device)]) for place in views.places]
        further = [of(*each).cpu().numpy() for each in (*parts, *folded)]
        whole = of(above, below).cpu().numpy()
        return Scores(
            whole, per_sequence.cpu().numpy(), np.stack(further, -1) if further else np.zeros((len(whole), 0))
        )

    def scores(self, batch: Batch, views: Views = NONE) -> list[tuple[Tensor, Tensor]]:
        """Numerator [P, B] and denominator [B] of the score of every network on one batch, then of each folding."""
        logits, given = self.logits(batch), (batch.target, batch.lengths)
        folded = [self.objective.folded_score(logits, *given, classes) for classes in views.foldings]
        return [self.objective.score(logits, *given), *folded]

    def logits(self, batch: Batch) -> Tensor:
        """The outputs [T, P, B, K] of every network on one batch, without noise."""
        x = batch.x.unsqueeze(1).expand(-1, len(self.trials), -1, -1)
        logits: Tensor = self.network(x, batch.lengths if batch.padded else None)
        return logits

    def only(self, running: NDArray[Any]) -> None:
        """The others have stopped: what is made of them from now on is not looked at."""

    def keep(self, improved: NDArray[Any]) -> None:
        """Remember the weights of these networks as their best."""
        if self.best_weights is not None:
            rows = torch.from_numpy(improved).to(self.velocity.device)
            self.best_weights[rows] = self.network.weights[rows]

    def best_member_weights(self, member: int) -> dict[str, NDArray[Any]]:
        """A network's best weights by name, at its own N.

        Raises:
            ValueError: none were kept.
        """
        if self.best_weights is None:
            raise ValueError("population: no weights were kept; expected keep_weights=True. Train it so.")
        now = self.network.weights.clone()
        self.network.weights.copy_(self.best_weights)
        try:
            return self.network.member_weights(member)
        finally:
            self.network.weights.copy_(now)


class CompiledLockstep(Lockstep):
    """Networks whose update is a step of their backend's, without autograd; the same numbers to rounding.

    Args:
        step: of the networks, its velocity the one given.
    """

    def __init__(
        self,
        network: Network,
        trials: Sequence[Trial],
        objective: Objective,
        protocol: Protocol,
        keep_weights: bool,
        step: Step,
    ) -> None:
        super().__init__(network, trials, objective, protocol, keep_weights)
        self.step, self.velocity = step, step.velocity

    def update(self, batch: Batch) -> Tensor | float:
        """One update on one batch; returns its loss, summed over the batch, [P] or of one network a number."""
        return self.step(batch)

    def only(self, running: NDArray[Any]) -> None:
        self.step.only(running)

    def _reduced(self, found: Sequence[Sequence[tuple[Tensor, Tensor]]], views: Views) -> Scores:
        """As ever, each network's sums by themselves: torch's order of a sum may change with their number."""
        known = [[(above.cpu(), below.cpu()) for above, below in parts] for parts in found]
        alone = [[[(above[[p]], below) for above, below in parts] for parts in known] for p in range(len(self.trials))]
        each = [super(CompiledLockstep, self)._reduced(own, views) for own in alone]
        return Scores(*(np.concatenate(parts) for parts in zip(*each, strict=True)))

    def phases(self, batch: Batch) -> dict[str, Callable[[Any], Any]]:
        return self.step.phases(batch)

    def compiled(self, batch: Batch) -> Callable[[], None]:
        return self.step.compiled(batch)

    def alone(self, batch: Batch) -> dict[str, Callable[[], None]]:
        return self.step.alone(batch)

    def scores(self, batch: Batch, views: Views = NONE) -> list[tuple[Tensor, Tensor]]:
        losses = self.step.exact_losses(batch) if self.objective.score_is_loss else None
        return super().scores(batch, views) if losses is None else [(losses, batch.lengths.to(torch.float64))]

    def logits(self, batch: Batch) -> Tensor:
        return self.step.logits(batch)


def training_steps(backend: Backend, device: Any, dtype: torch.dtype) -> Callable[..., Lockstep]:
    """What makes the parts of a population on a backend; ``Lockstep``'s arguments are its own."""
    trainer = backend.trainer(device, dtype)
    if trainer is None:
        return Lockstep

    def make(
        network: Network, trials: Sequence[Trial], objective: Objective, protocol: Protocol, keep_weights: bool
    ) -> Lockstep:
        drawn = [trial.hyperparameters for trial in trials]
        each = {
            "momentum": [one["momentum"] for one in drawn],
            "rate": [one["learning_rate"] for one in drawn],
            "noise": [one["input_noise"] for one in drawn],
            "nesterov": [nesterov(one, protocol) for one in drawn],
            "clip": [CLIP if clips(one) else None for one in drawn],
        }
        options = each if backend.together else {name: values[0] for name, values in each.items()}
        step = trainer(network, objective, torch.zeros_like(network.weights), **options)
        return CompiledLockstep(network, trials, objective, protocol, keep_weights, step)

    return make
