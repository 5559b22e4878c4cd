"""Compiled steps whose inputs and workspaces nobody else holds; ``test_training_step`` runs it where freed memory is poisoned.

Prints one line of weights for each case; in memory that is overwritten when it is freed, it has to be the same line.
"""

from __future__ import annotations

import gc
import hashlib
import sys
from dataclasses import replace

import numpy as np
import torch

import lstm_odyssey as lo
from lstm_odyssey.backends.numba.training_step import TrainingStep, Workspace
from lstm_odyssey.tasks import objectives
from lstm_odyssey.training.batches import Batch, Batches
from lstm_odyssey.training.network import Network
from tests.corpora import CORPORA

KINDS = ("frames", "next_frame", "ctc")


def step(kind, size, workspace, outputs=None):
    """A step of a new network on the small corpus of an objective, and a batch that is padded."""
    objective, corpus = objectives.get(kind), CORPORA[kind]()
    outputs = objective.n_outputs(corpus) if outputs is None else outputs
    network = Network(lo.variant("vanilla"), corpus.input_size, [size], outputs, True, "numba", torch.float64, "cpu")
    network.initialise(1, "vanilla", [0], 0.3)
    made = TrainingStep(network, objective, torch.zeros_like(network.weights), 0.5, 0.01, 0.1, True, workspace)
    batch = next(one for one in Batches(objective, torch.float64, "cpu").epoch(corpus.train, 1, "", 1, 3) if one.padded)
    return made, batch


def own(batch: Batch) -> Batch:
    """The same numbers in memory of its own."""
    target = tuple(part.clone() if isinstance(part, torch.Tensor) else part for part in batch.target)
    return replace(batch, x=batch.x.clone(), noise=batch.noise.clone(), lengths=batch.lengths.clone(), target=target)


def overwritten(objective):
    """An objective whose targets for the kernel are made for the call, as those of any plugin's may be."""

    class Made(type(objective)):
        def kernel_targets(self, target):
            return super().kernel_targets(target).clone()

    return Made()


def disturbed(workspace, kind):
    """Another network's step, larger in every way, and what is left of it freed."""
    larger, batch = step(kind, 90, workspace)
    larger(batch)
    del larger, batch
    gc.collect()
    return [torch.full((n,), np.nan, dtype=torch.float64) for n in (3, 5, 9, 17, 33, 65, 90, 129) for _ in range(40)]


def shown(kind, case, made):
    """A line with the weights' hash, and their sum to read."""
    weights = made.network.weights
    digest = hashlib.sha256(weights.numpy().tobytes()).hexdigest()[:16]
    sys.stdout.write(f"{kind}, {case}: {digest} {float(weights.sum()):.12g}\n")


def main():
    for kind in KINDS:
        made, batch = step(kind, 5, Workspace(torch.float64))
        run = made.compiled(own(batch))
        filled = disturbed(made.workspace, kind)
        run()
        run()
        shown(kind, "timed call", made)
        made, batch = step(kind, 5, Workspace(torch.float64))
        made.objective = overwritten(made.objective)
        value, phases = None, made.phases(own(batch))
        for phase in phases.values():
            value = phase(value)
            filled += [torch.full((n,), np.nan) for n in range(1, 60)]
        made(own(batch))
        made.logits(own(batch))
        run = made.compiled(own(batch))
        filled += disturbed(Workspace(torch.float64), kind)
        run()
        shown(kind, "targets of the call", made)
        made, batch = step(kind, 5, Workspace(torch.float64))
        made(batch)
        made.network.to("cpu")  # its weights lie elsewhere from here on
        filled += disturbed(Workspace(torch.float64), kind)
        before = made.network.weights.clone()
        made(batch)
        assert not torch.equal(before, made.network.weights), "the step went to memory that is no longer the network's"
        shown(kind, "moved", made)
        del filled


if __name__ == "__main__":
    with torch.no_grad():
        torch.set_num_threads(1)
        main()
