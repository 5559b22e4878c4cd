"""*check*, the training: updates of members of different N against the plain transcription."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lstm_odyssey.bench.gpu.parts.transcription import LOSSES, Transcription
from lstm_odyssey.bench.gpu.record import Item, Row
from lstm_odyssey.bench.gpu.target import BACKEND, Target
from lstm_odyssey.cell import Cell
from lstm_odyssey.tasks import objectives
from lstm_odyssey.training.batches import Batch, Batches
from lstm_odyssey.training.hyperparameters import CLIP
from lstm_odyssey.training.members.lockstep import Lockstep, Trial, training_steps
from lstm_odyssey.training.network import Network
from lstm_odyssey.training.protocol import Protocol
from lstm_odyssey.training.threads import one_thread

EXACT, TIMES_PLAIN = 1e-11, 8
"""Bounds of weights and losses after updates: in float64, and in float32 in parts of the transcription's own error there."""

RATE = 0.01
"""Of the first member; at 0.05, or with weights of a greater spread, the larger networks are chaotic and no bound holds."""

OBJECTIVES = {
    "next_frame": False, "frames": True, "ctc": True, "label_last": False, "label_ends": True, "label_mean": True,
}  # fmt: skip
"""By name, and whether their networks read in both directions."""

SEED = 1


@dataclass(frozen=True)
class Made:
    """Sequences that are made up, one an update.

    Args:
        objective: its name.
        M, K: inputs and outputs.
        pairs: features [T, M] and targets; noise: [T, M] each.
    """

    objective: str
    M: int
    K: int
    pairs: list[tuple[Any, Any]]
    noise: list[Any]

    @classmethod
    def drawn(cls, objective: str, updates: int, T: int, M: int, K: int, labels: int = 4) -> Made:
        """Features and noise are normal, targets random."""
        generator = np.random.default_rng(SEED)
        pairs, noise = [], []
        for k in range(updates):
            frames = T + k % 3  # more than one length, since a step keeps memory for each
            features = generator.standard_normal((frames, M)).astype(np.float32)
            target: Any = generator.integers(K, size=frames)
            if objective == "next_frame":
                target = (generator.random((frames, K)) < 0.3).astype(np.float32)
            elif objective == "ctc":
                target = generator.integers(K - 1, size=min(labels, frames // 2))
            elif objective.startswith("label"):
                target = generator.integers(K, size=1)
            pairs.append((features, target))
            noise.append(generator.standard_normal((frames, M)).astype(np.float32))
        return cls(objective, M, K, pairs, noise)

    def batches(self, dtype: torch.dtype, device: Any) -> list[Batch]:
        """A batch for each."""
        making = Batches(objectives.get(self.objective), dtype, device)
        return [making.make([pair], [noise]) for pair, noise in zip(self.pairs, self.noise, strict=True)]


def population(
    target: Target,
    cell: Cell,
    made: Made,
    trials: Sequence[Trial],
    bidirectional: bool,
    dtype: torch.dtype = torch.float32,
) -> Lockstep:
    """Networks in training on the device, as a study trains them. To be used inside ``target.here()``."""
    sizes = [trial.hyperparameters["hidden_size"] for trial in trials]
    network = Network(cell, made.M, sizes, made.K, bidirectional, BACKEND, dtype, target.device)
    protocol = Protocol()
    network.initialise(SEED, cell.name, [trial.index for trial in trials], protocol.initial_std)
    make = training_steps(target.backend, target.device, dtype)
    return make(network, trials, objectives.get(made.objective), protocol, False)


def mixed(sizes: Sequence[int], rate: float) -> list[Trial]:
    """Trials that look ahead or not, clipped or not, in all combinations, with numbers of their own."""
    return [
        Trial(k, {
            "hidden_size": N, "learning_rate": rate * (1 + k / 8), "momentum": 0.3 + 0.6 * k / max(len(sizes), 1),
            "input_noise": 0.1 * k, "nesterov": k % 2 == 0, "clip_gradient": k // 2 % 2 == 0,
        })
        for k, N in enumerate(sizes)
    ]  # fmt: skip


def updates(
    target: Target, cell: Cell, objective: str, bidirectional: bool, dtype: torch.dtype, sizes: Sequence[int]
) -> Iterator[Row]:
    """Some updates of members of different N, against the transcription in float64."""
    scale = target.scale
    made = Made.drawn(objective, scale.updates, 12, 4, 5)
    trials = mixed(sizes, RATE)
    with one_thread(), target.here():
        ours = population(target, cell, made, trials, bidirectional, dtype)
        started = [ours.network.member_weights(member) for member in range(len(trials))]
        losses = [ours.update(batch) for batch in made.batches(dtype, target.device)]
        ended = [ours.network.member_weights(member) for member in range(len(trials))]
        got = torch.stack([torch.as_tensor(loss).double().cpu().reshape(-1) for loss in losses])
        off, allowed, moved, off_losses = 0.0, EXACT, 1.0, 0.0
        for member, trial in enumerate(trials):
            exact, exact_losses = plain(cell, started[member], trial, made, torch.float64)
            largest = max(value.abs().max().item() for value in exact.values())
            off = max(off, furthest(ended[member], exact) / largest)
            moved = min(moved, furthest(started[member], exact) / largest)
            each = torch.tensor(exact_losses, dtype=torch.float64)
            off_losses = max(off_losses, ((got[:, member] - each).abs() / each.abs()).max().item())
            if dtype != torch.float64:
                rounded, _ = plain(cell, started[member], trial, made, dtype)
                eps = torch.finfo(dtype).eps
                allowed = max(allowed, TIMES_PLAIN * (furthest(rounded, exact) / largest + eps))
    yield {
        "what": "updates", "variant": cell.name, "objective": objective, "directions": 1 + bidirectional,
        "dtype": str(dtype).removeprefix("torch."), "members": len(trials), "updates": scale.updates, "off": off,
        "allowed": allowed, "moved": moved, "losses_off": off_losses,
        "passed": bool(max(off, off_losses) <= allowed < moved),
    }  # fmt: skip


def plain(
    cell: Cell, weights: Any, trial: Trial, made: Made, dtype: torch.dtype
) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Weights and losses of one member by the transcription."""
    drawn = trial.hyperparameters
    rates = {name: drawn[name] for name in ("learning_rate", "momentum", "input_noise")}
    network = Transcription(
        cell, weights, LOSSES[made.objective], **rates, nesterov=drawn["nesterov"],
        clip=CLIP if drawn["clip_gradient"] else None, dtype=dtype,
    )  # fmt: skip
    losses = [
        network.update(torch.from_numpy(x), torch.from_numpy(noise), wanted)
        for (x, wanted), noise in zip(made.pairs, made.noise, strict=True)
    ]
    return {name: value.detach().reshape(weights[name].shape) for name, value in network.weights.items()}, losses


def furthest(weights: Any, exact: Any) -> float:
    """The greatest difference of two sets of weights; NaN is infinitely far."""
    each = [
        (torch.as_tensor(weights[name]).double() - torch.as_tensor(exact[name]).double()).abs().max() for name in exact
    ]
    return float(torch.stack(each).nan_to_num(torch.inf).max())


def items(target: Target) -> list[Item]:
    """Updates of each objective by all members, those that every study has first."""
    found = []

    def add(cell: Cell, seconds: float, objective: str, both: bool, dtype: torch.dtype) -> None:
        name = f"updates {cell.name} {objective} {str(dtype).removeprefix('torch.')}"
        found.append(Item(name, seconds, lambda: updates(target, cell, objective, both, dtype, target.scale.members)))

    for objective, both in OBJECTIVES.items():
        add(target.first, 4.0, objective, both, torch.float64)
    if target.heaviest is not target.first:
        add(target.heaviest, 5.0, "next_frame", False, torch.float64)
    for objective, both in OBJECTIVES.items() if not target.emulated else ():
        if not objective.startswith("label"):
            add(target.first, 5.0, objective, both, torch.float32)
    return found
