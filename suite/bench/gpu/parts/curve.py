"""*check*, a training curve: one trial of next frames beside the same trial on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from lstm_odyssey.backends import BACKENDS, resolve
from lstm_odyssey.bench.gpu.parts.training import SEED
from lstm_odyssey.bench.gpu.record import Item, NotReachedError, Row
from lstm_odyssey.bench.gpu.target import BACKEND, Target
from lstm_odyssey.plugins import registry
from lstm_odyssey.tasks import objectives
from lstm_odyssey.training.batches import Batches
from lstm_odyssey.training.members.lockstep import Trial, training_steps
from lstm_odyssey.training.network import Network
from lstm_odyssey.training.protocol import Protocol
from lstm_odyssey.training.threads import one_thread

OBJECTIVE = "next_frame"
TIMES_CPU, UNITS = 8, 1e-5
"""Bounds of a loss, as part of it: so many times what float32 on the CPU is off by, and so much besides."""


def chosen(data: str | None) -> str:
    """The task of ``TASK=PATH``; without it the first of next frames whose corpus is embedded, and none where none is."""
    if data is not None:
        return data.partition("=")[0]
    every = map(registry.task, registry.task_names())
    return next((task.name for task in every if task.embedded and task.objective == OBJECTIVE), "none")


def corpus_of(data: str | None) -> Any:
    """The corpus to train on."""
    name = chosen(data)
    if name not in registry.task_names():
        raise NotReachedError(f"task '{name}' is not installed; expected one that predicts the next frame")
    task = registry.task(name)
    if task.objective != OBJECTIVE:
        raise NotReachedError(f"task '{name}' is one of {task.objective}; expected one that predicts the next frame")
    return task.load(data.partition("=")[2]) if data is not None else task.load()


def curve(target: Target, data: str | None = None) -> Iterator[Row]:
    """The losses of some epochs and the score after them, with the same weights, order and noise on both."""
    size, epochs, sequences, backend = target.scale.curve
    corpus = corpus_of(data)
    train, valid = corpus.train[:sequences], corpus.valid[:sequences]
    trial = Trial(0, {"hidden_size": size, "learning_rate": 1e-3, "momentum": 0.9, "input_noise": 0.1})
    cpu = resolve(backend, "cpu", torch.float64)
    ways = {
        "device": (BACKEND, target.backend, target.device, torch.float32),
        "float32": (cpu, BACKENDS[cpu], torch.device("cpu"), torch.float32),
        "float64": (cpu, BACKENDS[cpu], torch.device("cpu"), torch.float64),
    }
    objective, protocol, found = objectives.get(OBJECTIVE), Protocol(), {}
    with one_thread(), target.here():
        for way, (name, record, device, dtype) in ways.items():
            network = Network(target.first, corpus.input_size, [size], corpus.input_size, False, name, dtype, device)
            network.initialise(SEED, target.first.name, [0], protocol.initial_std)
            steps = training_steps(record, device, dtype)(network, [trial], objective, protocol, False)
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
    allowed = TIMES_CPU * cpu_off + UNITS
    yield {
        "what": "curve", "variant": target.first.name, "task": chosen(data), "given": data is not None, "hidden_size": size,
        "epochs": epochs, "sequences": len(train), "frames": sum(len(each[0]) for each in train),
        "inputs": corpus.input_size, "curves": found, "off": off, "cpu_off": cpu_off, "allowed": allowed,
        "passed": bool(off <= allowed),
    }  # fmt: skip


def items(target: Target, data: str | None = None) -> list[Item]:
    """One, named after its task."""
    return [Item(f"curve {chosen(data)}", 20.0, lambda: curve(target, data))]
