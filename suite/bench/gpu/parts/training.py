"""*check*, the training: updates against the plain transcription, a curve beside the CPU's, members and their neighbours."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lstm_odyssey.backends import BACKENDS, resolve
from lstm_odyssey.bench.gpu.parts.transcription import LOSSES, Transcription
from lstm_odyssey.bench.gpu.record import Item, NotReachedError, Row
from lstm_odyssey.bench.gpu.target import BACKEND, Target
from lstm_odyssey.cell import Cell
from lstm_odyssey.plugins import registry
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
    std: float = 0.1,
) -> Lockstep:
    """Networks in training on the device, as a study trains them. To be used inside ``target.here()``."""
    sizes = [trial.hyperparameters["hidden_size"] for trial in trials]
    network = Network(cell, made.M, sizes, made.K, bidirectional, BACKEND, dtype, target.device)
    network.initialise(SEED, cell.name, [trial.index for trial in trials], std)
    make = training_steps(target.backend, target.device, dtype)
    return make(network, trials, objectives.get(made.objective), Protocol(), False)


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


def neighbours(target: Target, cell: Cell, objective: str) -> Iterator[Row]:
    """One member alone, among others, and among those that are left of them: every bit of its weights has to be the same."""
    count = max(target.scale.together)
    made = Made.drawn(objective, 3, 12, 4, 5)
    most = 4 if target.emulated else 200
    generator = np.random.default_rng(2)
    sizes = [min(most, max(1, int(N))) for N in np.exp(generator.uniform(0, np.log(most + 1), count))]
    watched, trials = 0, mixed([most, *sizes[1:]], RATE)
    with target.here():
        batches = made.batches(torch.float32, target.device)

        def trained(members: int, kept: int | None = None) -> tuple[Any, int]:
            """The watched member's weights, and how many members were computed last."""
            ours = population(target, cell, made, trials[:members], True)
            for update, batch in enumerate(batches):
                if update == 1 and kept is not None:
                    ours.only(np.arange(members) % kept == watched)  # the others have stopped after the first update
                ours.update(batch)
            return ours.network.member_weights(watched), len(ours.step.members)  # type: ignore[attr-defined]  # cuda's

        found = {str(members): trained(members)[0] for members in target.scale.together}
        weights, left = trained(count, kept=3)
        found[f"{left} left of {count}"] = weights
    alone = found[str(min(target.scale.together))]
    different = [
        name for name, own in found.items() if any(not np.array_equal(own[each], alone[each]) for each in alone)
    ]
    yield {
        "what": "neighbours", "variant": cell.name, "objective": objective, "populations": list(found),
        "different": different, "bitwise": not different,
        # a loss of torch's makes no such promise: it sums CTC's gradient on a GPU in an order of its own
        "passed": left < count and (not different or objective not in target.backend.bits),
    }  # fmt: skip


def graphs(target: Target, cell: Cell, objective: str) -> Iterator[Row]:
    """Updates as one CUDA graph and launch by launch: the same bits; on a GPU also how long the host is at an update."""
    made, weights, host = Made.drawn(objective, 2, 12, 4, 5), {}, {}
    with target.here():
        for way in ("graph", "launches"):
            ours = population(target, cell, made, mixed(target.scale.members[:3], RATE), True)
            ours.step.graphs = way == "graph"  # type: ignore[attr-defined]  # cuda's
            batches = made.batches(torch.float32, target.device) * 3
            for batch in batches:
                ours.update(batch)
            target.wait()
            begun = time.perf_counter()
            for batch in batches[:4] if not target.emulated else ():
                ours.update(batch)
            host[way] = (time.perf_counter() - begun) / 4
            weights[way] = [ours.network.member_weights(member) for member in range(3)]
    pairs = zip(weights["graph"], weights["launches"], strict=True)
    same = all(np.array_equal(one[name], other[name]) for one, other in pairs for name in one)
    yield {
        "what": "graphs", "variant": cell.name, "objective": objective, "bitwise": same, "passed": same,
        "host_seconds": {} if target.emulated else host,
    }  # fmt: skip


def curve(target: Target) -> Iterator[Row]:
    """A trial on the embedded corpus of next frames beside the CPU's, with the same weights, order and noise."""
    size, epochs, sequences, backend = target.scale.curve
    tasks = map(registry.task, registry.task_names())
    task = next((task for task in tasks if task.embedded and task.objective == "next_frame"), None)
    if task is None:
        raise NotReachedError("no corpus of next frames is embedded")
    corpus = task.load()
    train, valid = corpus.train[:sequences], corpus.valid[:sequences]
    trial = Trial(0, {"hidden_size": size, "learning_rate": 1e-3, "momentum": 0.9, "input_noise": 0.1})
    cpu = resolve(backend, "cpu", torch.float64)
    ways = {
        "device": (BACKEND, target.backend, target.device, torch.float32),
        "float32": (cpu, BACKENDS[cpu], torch.device("cpu"), torch.float32),
        "float64": (cpu, BACKENDS[cpu], torch.device("cpu"), torch.float64),
    }
    objective, found = objectives.get("next_frame"), {}
    with one_thread(), target.here():
        for way, (name, record, device, dtype) in ways.items():
            network = Network(target.first, corpus.input_size, [size], corpus.input_size, False, name, dtype, device)
            network.initialise(SEED, target.first.name, [0], 0.1)
            steps = training_steps(record, device, dtype)(network, [trial], objective, Protocol(), False)
            making = Batches(objective, dtype, device)
            scored, losses = making.scored(valid), []
            for epoch in range(1, epochs + 1):
                each = [steps.update(b) for b in making.epoch(train, SEED, corpus.fingerprint, epoch, 1)]
                losses.append(sum(float(torch.as_tensor(loss).sum()) for loss in each))
            losses.append(float(steps.score(scored)[0][0]))
            found[way] = losses
    exact = np.array(found["float64"])
    off, cpu_off = (
        float(np.max(np.abs(np.array(found[way]) - exact) / np.abs(exact))) for way in ("device", "float32")
    )
    yield {
        "what": "curve", "variant": target.first.name, "task": task.name, "hidden_size": size, "epochs": epochs,
        "sequences": len(train), "curves": found, "off": off, "cpu_off": cpu_off, "allowed": 8 * cpu_off + 1e-5,
        "passed": bool(off <= 8 * cpu_off + 1e-5),
    }  # fmt: skip


def items(target: Target) -> list[Item]:
    """Updates of each objective, neighbours, the curve."""
    found = []

    def add(name: str, seconds: float, run: Any, *given: Any) -> None:
        found.append(Item(name, seconds, lambda: run(target, *given)))

    every, half = target.scale.members, target.scale.members[1::2]
    for objective, both in (("frames", True), ("next_frame", False), ("ctc", True)):
        cell, name = target.first, f"updates {target.first.name} {objective}"
        add(f"{name} float64", 15.0, updates, cell, objective, both, torch.float64, every)
        if not target.emulated:
            add(f"{name} float32", 15.0, updates, cell, objective, both, torch.float32, half)
    for objective, both in (("label_last", False), ("label_ends", True), ("label_mean", True)):
        add(
            f"updates {target.first.name} {objective} float64",
            8.0,
            updates,
            target.first,
            objective,
            both,
            torch.float64,
            half,
        )
    if target.heaviest is not target.first:
        cell = target.heaviest
        add(f"updates {cell.name} next_frame float64", 15.0, updates, cell, "next_frame", False, torch.float64, half)
    for objective in ("next_frame",) if target.emulated else ("next_frame", "frames", "ctc", "label_mean"):
        add(f"neighbours {objective}", 8.0, neighbours, target.first, objective)
    add("graphs next_frame", 5.0, graphs, target.first, "next_frame")
    add("curve", 20.0, curve)
    return found
