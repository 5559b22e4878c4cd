"""An epoch of training with the package's trainer, against the same protocol in plain torch (``bench.plain_torch``).

Both go through the whole training set once, in a new order and with new noise, which they draw themselves; neither scores.
Cells and yardstick take turns, an epoch each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lstm_odyssey.bench.region import Region, measure
from lstm_odyssey.bench.samples import Timing
from lstm_odyssey.bench.step import Setting
from lstm_odyssey.training.batches import Batches
from lstm_odyssey.training.clocks import timer_of

PLAIN = "plain torch"


@dataclass(frozen=True)
class Epochs:
    """What an epoch took, by variant, and the yardstick under ``PLAIN``."""

    task: str
    hidden_size: int
    device: str
    sequences: int
    frames: int
    timings: dict[str, Timing]

    def share(self, variant: str) -> float:
        """A variant's time over that of plain torch; less than 1 is faster."""
        return self.timings[variant].median / self.timings[PLAIN].median


def ours(setting: Setting) -> Region:
    """An epoch with the package's trainer."""
    population = setting.population()
    population.epoch = 0

    def epoch() -> None:
        population.epoch += 1  # another order and other noise
        population.part = 0.0
        population.train_epoch(None)

    return Region.of(epoch)


def plain(setting: Setting) -> Region:
    """An epoch in plain torch."""
    batches = Batches(setting.objective, setting.kind, setting.device)
    sequences = [(batch.x, batch) for batch in (batches.make([pair]) for pair in setting.corpus.train)]
    frames = sum(len(x) for x, _ in sequences)
    network = setting.plain()

    def epoch() -> float:
        order = torch.randperm(len(sequences)).tolist()
        noise = torch.randn(frames, setting.corpus.input_size, dtype=setting.kind, device=setting.device)
        return network.epoch(sequences, order, noise)

    return Region.of(epoch)


def epochs(
    variants: Sequence[Any],
    task: str,
    *,
    relative_error: float = 0.02,
    seconds: float = 60.0,
    clock: str = "wall",
    **options: Any,
) -> Epochs:
    """Time an epoch, batch 1, of every variant and of plain torch.

    Args:
        variants: each as in ``lo.RNN``. task: a name.
        relative_error, clock: as in ``lo.throughput``. seconds: for all together.
        options: ``hidden_size device backend dtype data``, see ``Setting``.

    Raises:
        TimingError: an argument that cannot be.
        UnknownNameError, PluginError, TraceError, CorpusError: a variant or the task's corpus is not to be had.
    """
    reading = timer_of(options.get("device", "cpu"), clock)
    settings = [Setting(variant, task, batch=1, **options) for variant in variants]  # a batch of one, as the yardstick
    first = settings[0]
    regions = {setting.cell.name: ours(setting) for setting in settings} | {PLAIN: plain(first)}
    timings = measure(regions, relative_error=relative_error, seconds=seconds, clock=reading)
    frames = sum(len(features) for features, _ in first.corpus.train)
    return Epochs(task, first.hidden_size, first.device, len(first.corpus.train), frames, timings)
