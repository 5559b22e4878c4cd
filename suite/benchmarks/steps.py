"""One training step of one network: what asv and pytest-benchmark time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lstm_odyssey.batches import Batch
    from lstm_odyssey.population import Population

VARIANTS = ("vanilla",)
"""The variants tracked by default; the tasks are those whose corpus is embedded."""

HIDDEN_SIZE = 64


class TrainingStep:
    """An update on the training sequence of median length; call it to make one.

    Args:
        variant, task: names. The task's corpus is loaded and the network made here, so that a call is the update alone:
            forward, loss, gradient, Nesterov step.
        hidden_size: N.
        device: as in ``lo.RNN``.
    """

    def __init__(self, variant: str, task: str, hidden_size: int = HIDDEN_SIZE, device: str = "cpu") -> None:
        import numpy as np
        import torch

        import lstm_odyssey as lo
        from lstm_odyssey.kernels.scan import prepare, resolve
        from lstm_odyssey.population import Population, Trial
        from lstm_odyssey.protocol import Protocol
        from lstm_odyssey.tasks import objectives

        torch.set_num_threads(1)  # as in training
        backend = resolve("auto", device)
        prepare(backend, lo.variant(variant).lowered, torch.float32)
        declaration = lo.task(task)
        corpus = declaration.load()
        # So small a rate that ten thousand steps on one sequence leave the numbers as ordinary as they were.
        trial = Trial(0, {"hidden_size": hidden_size, "learning_rate": 1e-6, "momentum": 0.9, "input_noise": 0.1})
        self.population: Population = Population(
            lo.variant(variant),
            corpus,
            objectives.get(declaration.objective),
            [trial],
            Protocol(epochs=1),
            seed=1,
            bidirectional=declaration.bidirectional,
            backend=backend,
            dtype=torch.float32,
            device=device,
        )
        features, target = sorted(corpus.train, key=lambda pair: len(pair[0]))[len(corpus.train) // 2]
        noise = np.random.default_rng(1).standard_normal(features.shape)
        self.frames = len(features)
        self.batch: Batch = self.population.batches.make([(features, target)], [noise])

    def __call__(self) -> float:
        """Make one step; returns the loss, read from the device so that its work is done when this returns."""
        return float(self.population.update(self.batch)[0])


def cases() -> list[tuple[str, str]]:
    """Pairs (variant, task) that are tracked by default."""
    import lstm_odyssey as lo

    tasks = [name for name in lo.task_names() if lo.task(name).embedded]
    return [(variant, task) for task in tasks for variant in VARIANTS]
