"""CTC by itself: the compiled step's loss and gradient against torch's, and what share of an update it is.

Lines are made up: T frames of random features, U random labels of 81, a network of two directions. The loss takes turns with
``log_softmax``, ``ctc_loss`` and their backward pass in plain torch on the same logits, and with all the rest of the update:
noise, scans of both directions and back, output layer, momentum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lstm_odyssey.backends.numba.loss import LossAlone
from lstm_odyssey.backends.numba.source.training import BACKWARD, FORWARD, UPDATE
from lstm_odyssey.backends.numba.training_step import trainer
from lstm_odyssey.bench.region import Region, measure
from lstm_odyssey.bench.samples import Timing
from lstm_odyssey.tasks import objectives
from lstm_odyssey.training.batches import Batches
from lstm_odyssey.training.clocks import TimingError, clock_of
from lstm_odyssey.training.network import Network

LINES = ((170, 20), (334, 22), (334, 30), (500, 30), (700, 30))
"""T and U, from a short line of handwriting to a long one."""
OUTPUTS, INPUTS = 82, 4
"""K, the blank among them, and M: those of handwriting."""

AGREE, GRADIENTS_AGREE = 1e-4, 1e-2
"""How far the two float32 ways may lie apart: the loss as a part of it, an entry of the gradient of at most 1."""

OURS, TORCH, REST = "odyssey", "torch", "rest of the step"


@dataclass(frozen=True)
class Lines:
    """What CTC took on a line, by ``OURS``, ``TORCH`` and ``REST``."""

    frames: int
    labels: int
    timings: dict[str, Timing]

    @property
    def ratio(self) -> float:
        """How many times as fast as torch."""
        return self.timings[TORCH].median / self.timings[OURS].median

    @property
    def share(self) -> float:
        """CTC's part of an update."""
        return self.timings[OURS].median / (self.timings[OURS].median + self.timings[REST].median)


class Work:
    """A line, a network that has seen it, and what is timed.

    Args:
        variant: a ``Cell``. frames, labels: T and U. hidden_size: N.

    Raises:
        TimingError: the line has too few frames for its labels, or the two ways compute different things.
    """

    def __init__(self, variant: Any, frames: int, labels: int, hidden_size: int) -> None:
        if not 0 < 2 * labels <= frames or hidden_size < 1:
            raise TimingError(
                f"a line of {frames} frames, {labels} labels and N = {hidden_size}; expected at least two frames a label, "
                "and N of at least 1."
            )
        objective, dtype = objectives.get("ctc"), torch.float32
        generator = np.random.default_rng(1)
        x = generator.normal(size=(frames, INPUTS)).astype(np.float32)
        noise = [generator.standard_normal(x.shape)]
        pair = x, generator.integers(OUTPUTS - 1, size=labels)
        batch = Batches(objective, dtype, "cpu").make([pair], noise)
        network = Network(variant, INPUTS, [hidden_size], OUTPUTS, True, "numba", dtype, "cpu")
        network.initialise(1, variant.name, [0], 0.1)
        options = {"momentum": 0.9, "rate": 1e-6, "noise": 0.1, "nesterov": True}
        step = trainer(dtype)(network, objective, torch.zeros_like(network.weights), **options)
        self.logits = step.logits(batch).clone()
        self.alone = LossAlone(objective, self.logits, objective.kernel_targets(batch.target), batch.lengths)
        leaf = self.logits[:, 0].clone().requires_grad_()

        def plain() -> tuple[torch.Tensor, torch.Tensor]:
            loss = objective.summed_loss(leaf, batch.target, batch.lengths)
            return loss.detach(), torch.autograd.grad(loss, leaf)[0]

        step(batch)
        run: Callable[..., None] = step.compiled(batch)
        self.ways: dict[str, Callable[[], Any]] = {
            OURS: self.alone, TORCH: plain, REST: lambda: run(FORWARD | BACKWARD | UPDATE),
        }  # fmt: skip
        loss, gradient = plain()
        self.alone()
        off = abs(float(loss) / float(self.alone.losses) - 1)
        if off > AGREE or (gradient - self.alone.gradient[:, 0]).abs().max() > GRADIENTS_AGREE:
            raise TimingError(
                "CTC: the two ways compute different losses or gradients; expected one. Please report it."
            )


def line(
    variant: Any,
    frames: int,
    labels: int,
    *,
    hidden_size: int = 100,
    relative_error: float = 0.02,
    seconds: float = 10.0,
    clock: str = "wall",
) -> Lines:
    """Time the loss, torch's, and the rest of an update on a line of T frames and U labels.

    Args:
        variant: a ``Cell``. frames, labels: T and U. hidden_size: N of the network beside it.
        relative_error, seconds, clock: as in ``lo.throughput``.

    Raises:
        TimingError: an argument that cannot be.
    """
    work = Work(variant, frames, labels, hidden_size)
    regions = {name: Region.of(way) for name, way in work.ways.items()}
    timings = measure(regions, relative_error=relative_error, seconds=seconds, clock=clock_of("cpu", clock))
    return Lines(frames, labels, timings)
