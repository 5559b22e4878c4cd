"""What a block needs before its first update: its kernels compiled, which the study's progress counts, and memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from lstm_odyssey.backends import BACKENDS, prepare
from lstm_odyssey.backends.trainer import Planned
from lstm_odyssey.tasks import objectives
from lstm_odyssey.training import memory
from lstm_odyssey.training.batches import numbers_of_rows, scored_frames
from lstm_odyssey.training.protocol import Protocol

if TYPE_CHECKING:
    from lstm_odyssey.cell import Cell
    from lstm_odyssey.study.block import Block
    from lstm_odyssey.study.stored.store import Store
    from lstm_odyssey.tasks.declare import Corpus


def compiled(store: Store, block: Block, cell: Cell, corpus: Corpus, wanted: Sequence[int]) -> None:
    """Compile what some trials of a block need.

    Args:
        store: is told how many kernels are compiled.
        block, cell, corpus: what is trained on what.
        wanted: indices of the trials.
    """
    study = block.study
    epochs = study["protocol"]["epochs"]

    def tell(done: int, kernels: int) -> None:
        store.report_progress(block.name, 0, epochs, float("inf"), f"compiling kernels {done} of {kernels}")

    store.report_progress(block.name, 0, epochs, float("inf"), "compiling kernels")
    batch = Protocol.from_dict(study["protocol"]).batch
    frames = scored_frames(corpus, batch, BACKENDS[study["backend"]].sparing)
    planned = Planned(
        tuple(sorted({block.hyperparameters(index)["hidden_size"] for index in wanted})),
        tuple(numbers_of_rows(corpus, batch, frames)),
        objectives.get(study["tasks"][block.task]["objective"]),
        tell,
    )
    prepare(study["backend"], cell.graph, getattr(torch, study["dtype"]), planned)


def planned_group(block: Block, cell: Cell, corpus: Corpus, wanted: Sequence[int]) -> int | None:
    """How many of some trials of a block are computed at once; None: all of them."""
    study, task = block.study, block.study["tasks"][block.task]
    dtype = getattr(torch, study["dtype"])
    load = memory.load_of(
        cell,
        corpus,
        objectives.get(task["objective"]),
        [block.hyperparameters(index)["hidden_size"] for index in wanted],
        batch=Protocol.from_dict(study["protocol"]).batch,
        bidirectional=task["bidirectional"],
        dtype=dtype,
        keeps=study["keep_weights"] == "best",
        sparing=BACKENDS[study["backend"]].sparing,
    )
    return memory.group(cell, study["backend"], study["device"], dtype, load)
