"""Packed spaces: in W, R, p and b the parameters of all gates lie one under another, N lines each, in the text's order.

Which names a space has, and in which order, is ``Graph.packed``. Where a gate begins in a tensor is known here alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lstm_odyssey.cell.symbols import MATRICES

Packed = Mapping[str, Sequence[str]]


def axis(space: str) -> int:
    """The dimension of a packed space along which gates follow each other."""
    return -2 if space in MATRICES else -1


def gates(space: str, value: Tensor, count: int) -> tuple[Tensor, ...]:
    """A packed space's parameters, [..., N, columns] or [..., N] each, as views."""
    dim = axis(space)
    return value.unflatten(dim, (count, value.shape[dim] // count)).unbind(dim - 1)


def by_name(packed: Packed, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters of some spaces by name, as views."""
    return {
        name: value
        for space in values
        for name, value in zip(packed[space], gates(space, values[space], len(packed[space])), strict=True)
    }


def gate(packed: Packed, values: Mapping[str, Tensor], name: str) -> Tensor:
    """One parameter, as a view that may be written to."""
    space = name.partition(".")[0]
    value, names = values[space], packed[space]
    size = value.shape[axis(space)] // len(names)
    return value.narrow(axis(space), names.index(name) * size, size)


def pack(packed: Packed, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The spaces made of parameters by name."""
    return {space: torch.cat([named[name] for name in names], axis(space)) for space, names in packed.items()}


def matrices(packed: Packed, values: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
    """Matrices of one space one under another, [..., gates x N, columns]: the space itself where it is just these."""
    space = names[0].partition(".")[0]
    if tuple(names) == tuple(packed[space]):
        return values[space]
    every = dict(zip(packed[space], gates(space, values[space], len(packed[space])), strict=True))
    return torch.cat([every[name] for name in names], -2)


def within(packed: Packed, values: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
    """One member's spaces at its own N, of spaces packed at a greater one."""
    found = {}
    for space, value in values.items():
        dim, count = axis(space), len(packed[space])
        if value.shape[dim] != count * size:
            value = value.unflatten(dim, (count, -1)).narrow(dim, 0, size).flatten(dim - 1, dim)
            value = value.narrow(-1, 0, size) if space == "R" else value
        found[space] = value
    return found
