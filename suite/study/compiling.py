"""What a block needs compiled, before its first update, and how far that is in the study's progress."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from lstm_odyssey.backends import prepare
from lstm_odyssey.backends.trainer import Planned
from lstm_odyssey.tasks import objectives
from lstm_odyssey.training.batches import numbers_of_rows
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
    planned = Planned(
        tuple(sorted({block.hyperparameters(index)["hidden_size"] for index in wanted})),
        tuple(numbers_of_rows(corpus, Protocol.from_dict(study["protocol"]).batch)),
        objectives.get(study["tasks"][block.task]["objective"]),
        tell,
    )
    prepare(study["backend"], cell.graph, getattr(torch, study["dtype"]), planned)
