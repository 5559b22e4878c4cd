"""What lies outside a sequence's length or a member's size: set to 0, and kept out of a reversed direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lstm_odyssey.cell.symbols import CONSTANTS, VECTORS


def masked(space: str, value: Tensor, inside: Tensor) -> Tensor:
    """A packed space [P, G·N, ...] with what lies beyond each member's N set to 0, and so its gradient; constants stay."""
    if space == CONSTANTS:  # a text may divide by one
        return value
    inside = inside.to(value.dtype)
    lines = inside.repeat(1, value.shape[1] // inside.shape[1])
    if space in VECTORS:
        return value * lines
    value = value * lines.unsqueeze(2)
    return value * inside.unsqueeze(1) if space == "R" else value


def zeroed(value: Tensor, keep: Tensor | None) -> Tensor:
    """A value with 0 where ``keep`` is false."""
    return value if keep is None else torch.where(keep, value, value.new_zeros(()))


def of_no_rows(
    x: Tensor, initial: Mapping[str, Tensor], weights: Sequence[Mapping[str, Tensor]]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Outputs and final states of a batch without rows, whose gradients are 0."""
    used = [x, *(value for direction in weights for value in direction.values())]
    linked = sum(value.sum() * 0 for value in used)  # a number, which is added to nothing
    width = len(weights) * next(iter(initial.values())).shape[-1]
    return x.new_zeros(*x.shape[:-1], width) + linked, {name: value + linked for name, value in initial.items()}


def reversal(steps: int, rows: int, lengths: Tensor | None, device: torch.device) -> Tensor:
    """Time indices [T, B] that turn each sequence round within its own length; its own inverse."""
    t = torch.arange(steps, device=device).unsqueeze(1).expand(steps, rows)
    if lengths is None:
        return steps - 1 - t
    return torch.where(t < lengths, lengths - 1 - t, t)


def reorder(value: Tensor, index: Tensor) -> Tensor:
    """Frames [T, ..., B, features] in the order of ``index`` [T, B]."""
    between = (1,) * (value.ndim - 3)  # the members of a population
    return value.gather(0, index.view(index.shape[0], *between, index.shape[1], 1).expand_as(value))


def in_dtype(value: Any, dtype: torch.dtype) -> Any:
    """Tensors of floating point, alone or in a mapping, in this dtype; anything else as it is."""
    if isinstance(value, Mapping):
        return {name: in_dtype(one, dtype) for name, one in value.items()}
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
