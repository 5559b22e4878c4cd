"""What a block needs before its first update: its kernels compiled, which the study's progress counts, and memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from lstm_odyssey.backends import BACKENDS, prepare
from lstm_odyssey.backends.trainer import Planned
from lstm_odyssey.tasks import objectives
from lstm_odyssey.training import memory
from lstm_odyssey.training.batches import numbers_of_rows, scored_frames
from lstm_odyssey.training.protocol import Protocol

if TYPE_CHECKING:
    from lstm_odyssey.cell import Cell
    from lstm_odyssey.tasks.declare import Corpus


def compiled(
    study: Mapping[str, Any], task: str, cell: Cell, corpus: Corpus, sizes: Sequence[int], tell: Callable[[str], None]
) -> None:
    """Compile what some trials of a block need.

    Args:
        study: the content of study.json.
        task, cell, corpus: what is trained on what.
        sizes: N of each trial.
        tell: told what is done, and how many kernels are compiled.
    """

    def count(done: int, kernels: int) -> None:
        tell(f"compiling kernels {done} of {kernels}")

    tell("compiling kernels")
    batch = Protocol.from_dict(study["protocol"]).batch
    frames = scored_frames(corpus, batch, BACKENDS[study["backend"]].sparing)
    planned = Planned(
        tuple(sorted(set(sizes))),
        tuple(numbers_of_rows(corpus, batch, frames)),
        objectives.get(study["tasks"][task]["objective"]),
        count,
    )
    prepare(study["backend"], cell.graph, getattr(torch, study["dtype"]), planned)


def planned_group(study: Mapping[str, Any], task: str, cell: Cell, corpus: Corpus, sizes: Sequence[int]) -> int | None:
    """How many of some trials of a block are computed at once; None: all of them. Arguments as of ``compiled``."""
    if not BACKENDS[study["backend"]].sparing:
        return None
    facts, dtype = study["tasks"][task], getattr(torch, study["dtype"])
    load = memory.load_of(
        cell,
        corpus,
        objectives.get(facts["objective"]),
        sizes,
        batch=Protocol.from_dict(study["protocol"]).batch,
        bidirectional=facts["bidirectional"],
        dtype=dtype,
        keeps=study["keep_weights"] == "best",
        sparing=True,
    )
    return memory.group(cell, study["backend"], study["device"], dtype, load)
