"""One training step of one network, and the same step in plain torch: what asv, pytest and the command line time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lstm_odyssey.backends import BACKENDS, prepare, resolve
from lstm_odyssey.bench.plain_torch import PlainTorch
from lstm_odyssey.bench.region import Region
from lstm_odyssey.plugins import registry
from lstm_odyssey.study.asked.settings import DTYPES
from lstm_odyssey.tasks import objectives
from lstm_odyssey.tasks.nearest import nearest
from lstm_odyssey.tasks.objectives.base import Objective
from lstm_odyssey.training.batches import Batch
from lstm_odyssey.training.clocks import TimingError, check_device
from lstm_odyssey.training.members.population import Population, Trial
from lstm_odyssey.training.protocol import Protocol

# So small a rate that ten thousand steps on one sequence leave the numbers as ordinary as they were.
LEARNING_RATE, MOMENTUM, INPUT_NOISE = 1e-6, 0.9, 0.1


class Setting:
    """A cell, a task and how they are to be computed, all of it checked.

    Args:
        variant: whatever says which cell, as in ``lo.RNN``. task: a name.
        hidden_size: N. batch: sequences an update.
        device, backend, dtype: as in ``lo.RNN``; the dtype by its name.
        data: where the task's corpus lies, if not in the package.
    """

    def __init__(
        self,
        variant: Any,
        task: str,
        *,
        hidden_size: int = 100,
        batch: int = 1,
        device: str = "cpu",
        backend: str = "auto",
        dtype: str = "float32",
        data: str | None = None,
    ) -> None:
        for what, value in (("hidden_size", hidden_size), ("batch", batch)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise TimingError(f"{what} is {value!r}; expected a whole number of at least 1.")
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise TimingError(f"dtype is {dtype!r}; expected one of {nearest(dtype, DTYPES)}.")
        check_device(device)
        try:
            self.backend = resolve(backend, device)
        except ValueError as error:
            raise TimingError(str(error)) from error
        if not (of := BACKENDS[self.backend]).runs(device):
            there = " or ".join("the CPU" if kind == "cpu" else kind for kind in sorted(of.devices))
            raise TimingError(f"backend '{of.name}': got device '{device}'; expected {there}. Use backend 'auto'.")
        self.cell, self.task = registry.as_cell(variant), registry.task(task)
        self.origins = {"variant": self.cell.origin or {}, "task": self.task.origin}
        self.hidden_size, self.batch, self.device, self.dtype = hidden_size, batch, device, dtype
        self.kind: torch.dtype = getattr(torch, dtype)
        self.objective: Objective = objectives.get(self.task.objective)
        self.corpus = registry.load_corpus(task, data)
        if batch > len(self.corpus.train):
            raise TimingError(
                f"batch is {batch}; expected at most the {len(self.corpus.train)} training sequences of '{task}'."
            )

    def population(self) -> Population:
        """One network in training, its kernels compiled."""
        hyperparameters = {
            "hidden_size": self.hidden_size,
            "learning_rate": LEARNING_RATE,
            "momentum": MOMENTUM,
            "input_noise": INPUT_NOISE,
        }
        prepare(self.backend, self.cell.graph, self.kind)
        return Population(
            self.cell,
            self.corpus,
            self.objective,
            [Trial(0, hyperparameters)],
            Protocol(epochs=1, batch=self.batch),
            seed=1,
            bidirectional=self.task.bidirectional,
            backend=self.backend,
            dtype=self.kind,
            device=self.device,
        )

    def plain(self) -> PlainTorch:
        """The same network and training in plain torch; a target is a ``Batch``."""
        return PlainTorch(
            self.corpus.input_size,
            self.hidden_size,
            self.objective.n_outputs(self.corpus),
            self._summed_loss,
            learning_rate=LEARNING_RATE,
            momentum=MOMENTUM,
            input_noise=INPUT_NOISE,
            bidirectional=self.task.bidirectional,
            dtype=self.kind,
            device=self.device,
        )

    def _summed_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        return self.objective.summed_loss(logits, batch.target, batch.lengths)


class TimedStep:
    """An update on the training sequences of median length; call it to make one.

    The task's corpus is loaded and the network made here, so that a call is the update alone: forward, loss, gradient,
    Nesterov step. Arguments: see ``Setting``.
    """

    def __init__(self, variant: Any, task: str, hidden_size: int = 100, **options: Any) -> None:
        self.setting = setting = Setting(variant, task, hidden_size=hidden_size, **options)
        self.population = setting.population()
        pairs = sorted(setting.corpus.train, key=lambda pair: len(pair[0]))
        start = (len(pairs) - setting.batch + 1) // 2
        chosen = pairs[start : start + setting.batch]
        generator = np.random.default_rng(1)
        noise = [generator.standard_normal(features.shape) for features, _ in chosen]
        self.frames = sum(len(features) for features, _ in chosen)
        self.batch: Batch = self.population.batches.make(chosen, noise)

    def __call__(self) -> float:
        """Make one step; returns the loss, read from the device so that its work is done when this returns."""
        return float(self.population.update(self.batch)[0])

    def in_phases(self) -> Region:
        """The step as forward, backward and update."""
        return Region(self.population.parts[0].phases(self.batch))

    def compiled(self) -> Callable[[], None] | None:
        """The compiled call that the step is, without the Python around it; None where there is none."""
        return self.population.parts[0].compiled(self.batch)

    def alone(self) -> dict[str, Callable[[], None]]:
        """Parts of the step by themselves: ``recurrent``, the cell's scans, and ``loss``; none on a backend without them."""
        return self.population.parts[0].alone(self.batch)

    def yardstick(self) -> PlainStep:
        """The same step with torch.nn.LSTM and Linear, by autograd."""
        return PlainStep(self.setting.plain(), self.batch)


class PlainStep:
    """An update in plain torch on a batch; call it to make one."""

    def __init__(self, plain: PlainTorch, batch: Batch) -> None:
        self.plain, self.batch = plain, batch

    def __call__(self) -> float:
        """Make one step; returns the loss."""
        assert self.batch.noise is not None
        return float(self.plain.update(self.batch.x, self.batch.noise, self.batch))
