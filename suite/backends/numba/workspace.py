"""The memory that compiled training steps share, and the tables of addresses that one is called with."""

from __future__ import annotations

from array import array
from typing import Any

import torch
from torch import Tensor

from lstm_odyssey.backends.numba.memory import scratch


class Workspace:
    """Memory that the steps of one population share: each uses all of it while it runs, and leaves nothing in it."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.memory, self.zeros = (torch.zeros(0, dtype=dtype, device="cpu") for _ in range(2))
        self.doubles = torch.zeros(0, dtype=torch.float64, device="cpu")
        self.generation = 0

    def require(self, floats: int, zeros: int) -> None:
        """Make it at least so large; addresses of an earlier generation are void."""
        if floats > self.memory.numel():
            self.memory = scratch(floats, self.dtype)
            self.generation += 1
        if zeros > self.zeros.numel():
            self.zeros = torch.zeros(zeros, dtype=self.dtype, device="cpu")
            self.generation += 1

    def for_loss(self, count: int) -> Tensor:
        """So many float64 numbers for a loss; who calls keeps them as long as their address is in a table."""
        if count > self.doubles.numel():
            self.doubles = torch.empty(count, dtype=torch.float64, device="cpu")
        return self.doubles


class Tables:
    """The tables of a step for one shape of batch, and where the logits and their gradient lie.

    ``kept`` is everything else whose address is in them, so that it lives as long as they do.
    """

    def __init__(
        self, step: array[int], scans: list[array[int]], logits: Tensor, delta: Tensor, losses: array[float], *kept: Any
    ) -> None:
        self.step, self.scans, self.logits, self.delta, self.losses = step, scans, logits, delta, losses
        self.kept, self.address = kept, step.buffer_info()[0]

    @property
    def loss(self) -> float:
        """Of the last step, summed over the rows."""
        return sum(self.losses)
