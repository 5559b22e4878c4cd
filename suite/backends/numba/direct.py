"""The shortest way to a scan: one network without padding.

Between two scans the processor's caches hold nothing of the interpreter: what is looked up and checked costs several times what
it costs in a loop of its own, more than a short scan. Here every question is asked once, and states at rest are no tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstm_odyssey.backends.lowering import Lowered
from lstm_odyssey.backends.numba.function import Network, apply, given_ahead, room
from lstm_odyssey.backends.numba.member import SIZES, kernel, member
from lstm_odyssey.backends.numba.shares import infer
from lstm_odyssey.backends.tensors import ORDINARY, NoAddress, addresses, plain

LARGEST_REST = 1 << 16
"""Numbers of states at rest that are kept for the next call."""


@lru_cache(maxsize=64)
def _rest(values: tuple[float, ...], count: int, size: int) -> tuple[NDArray[np.floating], list[int]]:
    """Memory of states at rest, so many numbers each, and where each begins. Nobody writes there."""
    held = np.repeat(np.array(values, {4: np.float32, 8: np.float64}[size]), count).reshape(len(values), count)
    return held, [held.ctypes.data + k * held.strides[0] for k in range(len(values))]


def _usual(value: Any, shape: tuple[int, ...], dtype: torch.dtype) -> TypeGuard[Tensor]:
    if type(value) not in ORDINARY or value.is_nested or value.layout is not torch.strided or value.dtype is not dtype:
        return False
    return value.shape == shape and value.is_cpu  # type: ignore[no-any-return]  # of an Any


def direct(
    lowered: Lowered,
    weights: Mapping[str, Tensor | None],
    x: Tensor,
    M: int,
    N: int,
    state: Mapping[str, Tensor] | None,
    initial: tuple[float, ...],
) -> tuple[Tensor, dict[str, Tensor]] | None:
    """What ``scan`` makes of these, or None: then it is to be asked, which takes all there is or says what is wrong.

    Args:
        lowered: the cell.
        weights: its packed spaces.
        x: the input [T, B, M], of which nothing is known but that it is a tensor.
        M, N: inputs, and units.
        state: initial states [1, B, N], of which nothing is known but that it is a mapping.
        initial: what they are where none is given.
    """
    dtype = x.dtype
    if not x.is_cpu or dtype not in SIZES or x.layout is not torch.strided or x.is_nested or x.ndim != 3:
        return None
    made = kernel(lowered, dtype)
    T, B, columns = x.shape
    count = B * N
    if columns != M or made.plan.before or not T or not count:
        return None
    tensors = [plain(x)]
    for space, shape in zip(made.spaces, made.shapes(N, M), strict=True):
        value = weights.get(space)
        if not _usual(value, shape, dtype):
            return None
        tensors.append(plain(value))
    held: NDArray[np.floating] | None = None
    rest: list[int] = []
    if state is None:
        if count * len(initial) > LARGEST_REST:
            return None
        held, rest = _rest(initial, count, made.size)
    else:
        names, shape = lowered.states, (1, B, N)
        if len(state) != len(names):
            return None
        for name in names:
            value = state.get(name)
            if not _usual(value, shape, dtype):
                return None
            tensors.append(plain(value))
    try:
        places = [*addresses(tensors), *rest]
    except NoAddress:
        return None
    one = member(made, (T, B, N, M))
    network = Network(one, places, None, len(tensors))
    if torch.is_grad_enabled() and any(value.requires_grad for value in tensors):
        y, *final = apply((network,), *tensors)
    else:
        y, final = room(one, tensors)
        infer([(made, one.sizes, given_ahead(places, None, y, final, 0))])
    del held  # until here other threads may have pushed it out of the cache
    return y, dict(zip(lowered.states, final, strict=True))
