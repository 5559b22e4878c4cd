"""Single networks by a scan that has the dimension P of a population: one of them, or several of one cell side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lstm_odyssey.backends.lowering import Lowered


def of_one(
    scan: Callable[..., tuple[Tensor, dict[str, Tensor]]],
    lowered: Lowered,
    spaces: Mapping[str, Tensor],
    x: Tensor,
    state: Mapping[str, Tensor],
    active: Tensor | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """A scan of a single network, everything without the dimension P, by a scan that has it."""
    y, final = scan(
        lowered,
        {name: value.unsqueeze(0) for name, value in spaces.items()},
        x.unsqueeze(1),
        {name: value.view(1, *value.shape[-2:]) for name, value in state.items()},
        None if active is None else active.unsqueeze(1),
    )
    return y.squeeze(1), {name: value.view(state[name].shape) for name, value in final.items()}


def of_several(
    scan: Callable[..., tuple[Tensor, dict[str, Tensor]]], calls: Sequence[tuple[Any, ...]]
) -> list[tuple[Tensor, dict[str, Tensor]]]:
    """Scans of single networks of one cell and one shape, with the same lengths, as those of the members of a population."""
    lowered, spaces, x, state, active, _ = zip(*calls, strict=True)
    y, final = scan(
        lowered[0],
        {space: torch.stack([own[space] for own in spaces]) for space in spaces[0]},
        torch.stack(x, dim=1),
        {name: torch.stack([own[name].view(own[name].shape[-2:]) for own in state]) for name in state[0]},
        None if active[0] is None else active[0].unsqueeze(1),
    )
    ends = [{name: value[k].view(state[k][name].shape) for name, value in final.items()} for k in range(len(calls))]
    return list(zip(y.unbind(1), ends, strict=True))
