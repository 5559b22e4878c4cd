"""How many members of a population are computed at once: as many as fit into what is free of a GPU's memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from lstm_odyssey.backends import record
from lstm_odyssey.backends.lowering import lower
from lstm_odyssey.backends.trainer import Load
from lstm_odyssey.cell import Cell
from lstm_odyssey.tasks.declare import Corpus
from lstm_odyssey.tasks.objectives.base import Objective
from lstm_odyssey.training.batches import groups, scored_frames


def load_of(
    cell: Cell,
    corpus: Corpus,
    objective: Objective,
    sizes: Sequence[int],
    *,
    batch: int,
    bidirectional: bool,
    dtype: torch.dtype,
    keeps: bool,
    sparing: bool,
) -> Load:
    """What a population's memory follows from.

    Args:
        cell, corpus, objective: what is trained on what.
        sizes: N of each member.
        batch, bidirectional, dtype, keeps: of the training.
        sparing: of its backend.
    """
    M, K, D, size = corpus.input_size, objective.n_outputs(corpus), 1 + bidirectional, dtype.itemsize
    learnt = [len(features) for features, _ in corpus.train]
    limit = scored_frames(corpus, batch, sparing)
    scored = [
        (max(len(split[index][0]) for index in group), len(group))
        for split in (corpus.valid, corpus.test)
        for group in groups(split, limit)
    ]
    every = sum(len(features) for split in corpus.splits.values() for features, _ in split)
    rows = min(batch, len(learnt))
    return Load(
        sizes=tuple(sizes),
        inputs=M,
        outputs=K,
        directions=D,
        weights=D * cell.count(M, max(sizes)) + K * (D * max(sizes) + 1),
        update=(max(learnt), rows),
        scored=max(scored, key=lambda one: one[0] * one[1], default=(0, 0)),
        shapes=len({*learnt, *scored}),
        keeps=keeps,
        objective=objective,
        corpus=every * (2 * M * size + 16) + sum(learnt) * M * size,  # inputs and targets of all, noise of an epoch
    )


def group(cell: Cell, backend: str, device: Any, dtype: torch.dtype, load: Load) -> int | None:
    """How many members are computed at once; None: all, or as many as the device turns out to have room for."""
    found = record(backend, device).group(lower(cell.graph), dtype, torch.device(device), load)
    return None if found is None or found >= len(load.sizes) else found
