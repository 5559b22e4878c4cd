"""A training set that lies on a GPU: batches are gathered there, and noise comes in few large copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstm_odyssey.tasks.objectives.base import moved

AHEAD = 8 * 2**20
"""Bytes of noise that are drawn and copied at once, at least, where each sequence has a stream of its own."""


class Frames:
    """Rows of sequences, one sequence after the other, and a row of zeros behind them.

    Args:
        rows: [frames, M], on the device.
        ends: where each sequence begins and the last one ends, [sequences + 1].
    """

    def __init__(self, rows: Tensor, ends: NDArray[Any]) -> None:
        self._rows, self._ends = torch.cat([rows, rows.new_zeros(1, rows.shape[1])]), ends

    def padded(self, places: Tensor) -> Tensor:
        """A batch [T, B, M] of the rows at ``places`` [T, B]."""
        return self._rows[places]

    def places(self, chosen: NDArray[Any], steps: int) -> Tensor:
        """Where the frames of some sequences are, [T, B]; those of the padding are zeros."""
        found = np.full((steps, len(chosen)), self._ends[-1])
        for row, index in enumerate(chosen):
            begin, end = self._ends[index], self._ends[index + 1]
            found[: end - begin, row] = np.arange(begin, end)
        return moved(torch.from_numpy(found), self._rows.device)


def ahead(
    order: Sequence[int], draw: Callable[[int], Tensor], move: Callable[[Tensor], Tensor], bytes_at_once: int = AHEAD
) -> Iterator[Tensor]:
    """The noise of each sequence on the device, in the order of an epoch, copied many sequences at a time.

    Args:
        order: of the sequences.
        draw: a sequence's noise, [T, M].
        move: brings noise to the device.
        bytes_at_once: how much is drawn before it is copied.
    """
    waiting: list[Tensor] = []
    for place, index in enumerate(order, 1):
        waiting.append(draw(index))
        if sum(noise.nbytes for noise in waiting) >= bytes_at_once or place == len(order):
            yield from move(torch.cat(waiting)).split([len(noise) for noise in waiting])
            waiting = []
