"""What lies outside a sequence's length or a member's size: set to 0, and kept out of a reversed direction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lstm_odyssey.cell.symbols import VECTORS


def masked(space: str, value: Tensor, inside: Tensor) -> Tensor:
    """A packed space [P, G·N, ...] with what lies beyond each member's N set to 0, and so its gradient."""
    inside = inside.to(value.dtype)
    lines = inside.repeat(1, value.shape[1] // inside.shape[1])
    if space in VECTORS:
        return value * lines
    value = value * lines.unsqueeze(2)
    return value * inside.unsqueeze(1) if space == "R" else value


def zeroed(value: Tensor, keep: Tensor | None) -> Tensor:
    """A value with 0 where ``keep`` is false."""
    return value if keep is None else torch.where(keep, value, value.new_zeros(()))


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


def counted(
    lengths: Tensor | Sequence[int] | None,
    steps: int,
    rows: int,
    device: torch.device,
    fail: Callable[[str], Exception],
) -> Tensor | None:
    """The lengths as a tensor [B]; None where no row is shorter than T. What is wrong with them is raised by ``fail``."""
    if lengths is None:
        return None
    try:
        count = torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError) as error:
        raise fail(f"lengths is {lengths!r}; expected {rows} whole numbers: give the frames of each row.") from error
    if count.is_nested or count.layout != torch.strided:
        raise fail(f"lengths is a tensor of layout {count.layout}; expected a dense one of {rows} whole numbers.")
    if (
        count.ndim != 1
        or len(count) != rows
        or count.is_floating_point()
        or count.is_complex()
        or count.dtype == torch.bool
    ):
        raise fail(
            f"lengths has shape {tuple(count.shape)} and dtype {count.dtype}; expected {rows} whole numbers: give the "
            "frames of each row."
        )
    try:  # as numbers of Python: an integer type may be too narrow for T
        values = count.tolist() if isinstance(lengths, Tensor) else [int(value) for value in lengths]
    except (RuntimeError, NotImplementedError) as error:
        raise fail(
            f"lengths is a {type(count).__name__} on {count.device}, whose numbers cannot be read; expected {rows} whole "
            "numbers. Give them as a list."
        ) from error
    if min(values) < 1 or max(values) > steps:
        raise fail(
            f"lengths has values from {min(values)} to {max(values)}; expected 1 to T = {steps}. Leave empty rows out, and "
            "pad x to the longest."
        )
    return None if min(values) == steps else torch.tensor(values, device=device)
