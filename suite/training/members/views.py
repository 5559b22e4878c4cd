"""What of a split is scored beside the whole: sequences of a subset, and classes folded into fewer (``tasks.views``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lstm_odyssey.tasks import views
from lstm_odyssey.tasks.declare import Corpus
from lstm_odyssey.training.random_streams import digest


@dataclass(frozen=True)
class Views:
    """The views of a split, those of subsets first.

    Args:
        names: of all of them.
        places: for each subset where its sequences stand in the order in which the split is scored, int64.
        foldings: for each folding the class of every label, -1 where it is left out, int64.
    """

    names: tuple[str, ...] = ()
    places: tuple[Tensor, ...] = ()
    foldings: tuple[Tensor, ...] = ()


NONE = Views()


def of_test(corpus: Corpus, order: Sequence[int], device: Any) -> Views:
    """The views of a corpus's test split, whose sequences are scored in this order."""
    if not corpus.subsets and not corpus.foldings:
        return NONE
    at = {index: place for place, index in enumerate(order)}
    return Views(
        (*corpus.subsets, *corpus.foldings),
        tuple(torch.tensor([at[index] for index in found], device=device) for found in corpus.subsets.values()),
        tuple(
            torch.from_numpy(views.folded(corpus.labels, folding)[1]).to(device) for folding in corpus.foldings.values()
        ),
    )


def identity(corpus: Corpus) -> str:
    """Hash of the views of a corpus; empty where it has none."""
    held: dict[str, Any] = {**corpus.subsets, **corpus.foldings}
    told = {name: views.checksum(view) for name, view in held.items()}
    return digest(told) if told else ""
