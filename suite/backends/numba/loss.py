"""An objective's compiled loss: its code, and a call of it alone, without a network."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lstm_odyssey.backends.numba.cache import module
from lstm_odyssey.backends.numba.source.losses import LOSSES, Loss
from lstm_odyssey.backends.numba.source.training import LOSS, NAMES, source

if TYPE_CHECKING:
    from lstm_odyssey.tasks.objectives.base import Objective


@lru_cache(maxsize=64)
def compiled(size: int, loss: Loss | None) -> Callable[[int, int], None]:
    """The compiled step of floats of so many bytes with a loss: called with a table's address and the step's parts."""
    code = module(source(size, loss), f"training{size}")
    return code.run.ctypes  # type: ignore[no-any-return]  # a generated module has no types


class LossAlone:
    """An objective's compiled loss and its gradient; call it to compute them from the logits as they are then.

    Args:
        objective: one of ``LOSSES``.
        logits: [T, 1, B, K], contiguous, on the CPU.
        targets: its ``kernel_targets``, in the logits' floats where they are not integers. lengths: [B].

    After a call ``losses`` [B] (float64) and ``gradient`` [T, 1, B, K], 0 in the padding, are of these logits.
    """

    def __init__(self, objective: Objective, logits: Tensor, targets: Tensor, lengths: Tensor) -> None:
        T, _, B, K = logits.shape
        loss = LOSSES[objective.name]
        self.losses = torch.zeros(B, dtype=torch.float64, device="cpu")
        self.gradient = torch.empty_like(logits)
        active = (torch.arange(T, device="cpu").unsqueeze(1) < lengths).to(torch.uint8).contiguous()
        lengths, longest = lengths.to(torch.int64).contiguous(), 0 if loss.memory is None else targets.shape[1]
        numbers = 0 if loss.memory is None else loss.memory(T, longest, K)
        memory = torch.empty(numbers, dtype=torch.float64, device="cpu")
        values = dict.fromkeys(NAMES, 0) | {
            "T": T, "B": B, "K": K, "logits": logits.data_ptr(), "delta": self.gradient.data_ptr(),
            "targets": targets.data_ptr(), "loss": self.losses.data_ptr(), "active": active.data_ptr(),
            "lengths": lengths.data_ptr(), "longest": longest, "memory": memory.data_ptr(),
        }  # fmt: skip
        self._table = array("q", [values[name] for name in NAMES])
        self._kept = logits, targets, active, lengths, memory
        self._run, self._address = compiled(logits.element_size(), loss), self._table.buffer_info()[0]

    def __call__(self) -> None:
        """Compute loss and gradient."""
        self._run(self._address, LOSS)


def exact_losses(objective: Objective, logits: Tensor, target: Any, lengths: Tensor) -> Tensor:
    """An objective's loss of each row in float64, [1, B], from logits [T, 1, B, K] of a network on the CPU."""
    targets = objective.kernel_targets(target)
    exact = targets.double() if targets.is_floating_point() else targets
    alone = LossAlone(objective, logits.double(), exact, lengths)
    alone()
    return alone.losses.unsqueeze(0)
