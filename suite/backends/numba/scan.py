"""The numba backend: a cell's scan compiled for this CPU, forward and backward, wrapped in one autograd Function.

Each member of a population is computed at its own N, so its numbers are the same alone and among others, bit by bit. What
is made of the input alone is torch's where autograd is asked for a gradient by it; all else is in the compiled scan.
The gradient is compiled too and cannot itself be differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from lstm_odyssey.backends import eager
from lstm_odyssey.backends.lowering import Lowered
from lstm_odyssey.backends.numba.direct import direct
from lstm_odyssey.backends.numba.function import Network, apply, given_ahead, room
from lstm_odyssey.backends.numba.member import Kernel, kernel, member
from lstm_odyssey.backends.numba.shares import infer, shared
from lstm_odyssey.backends.plan import Plan
from lstm_odyssey.backends.spaces import within
from lstm_odyssey.backends.tensors import (
    NoAddress,
    addresses,
    foreign,
    plain,
)
from lstm_odyssey.backends.trainer import Planned


def _ready(made: Kernel, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Tensors whose addresses a kernel may have.

    Raises:
        ValueError: a parameter is not as the layer made it; a kernel would read beyond it.
    """
    a = made.inputs
    x, N = tensors[0], tensors[-1].shape[-1]
    for place, (value, shape) in enumerate(zip(tensors[a:], made.shapes(N, x.shape[-1]), strict=False)):
        if value.shape != shape or value.dtype != x.dtype or not value.is_cpu:
            raise ValueError(
                f"backend 'numba': parameter '{made.spaces[place]}' is {list(value.shape)} {value.dtype} on {value.device}; "
                f"expected {list(shape)} {x.dtype} on the CPU. Give it parameters of the shape and dtype it made."
            )
    return [plain(value) for value in tensors]


__all__ = ["direct", "prepare", "scan", "several", "trainer"]

_Given = tuple[Kernel, Tensor | None, Sequence[Tensor]]
"""One network to be run: its cell, its padding, its tensors."""


def _network(made: Kernel, active: Tensor | None, given: Sequence[Tensor]) -> tuple[Network, list[Tensor]]:
    """It, and its tensors as their addresses may be given to a kernel.

    Raises:
        NoAddress: a tensor has no memory of its own.
    """
    tensors = _ready(made, given)
    (T, B, M), N = tensors[0].shape, tensors[-1].shape[-1]
    return Network(member(made, (T, B, N, M)), addresses(tensors), active, len(tensors)), tensors


def _run(given: Sequence[_Given]) -> list[tuple[Tensor, ...]]:
    """Outputs and final states of each network; nothing is kept where nobody asks for a gradient.

    Raises:
        NoAddress: a tensor has no memory of its own.
    """
    if len(given) == 1:
        network, own = _network(*given[0])
        if torch.is_grad_enabled() and any(value.requires_grad for value in own):
            return [apply((network,), *own)]
        return _scans([network], [own])
    networks, tensors = zip(*(_network(*each) for each in given), strict=True)
    if len(networks) > 1 and not shared(sum(one.work for one, *_ in networks)):
        return [result for each in zip(networks, tensors, strict=True) for result in _scans(*([one] for one in each))]
    return _scans(networks, tensors)


def _scans(networks: Sequence[Network], tensors: Sequence[list[Tensor]]) -> list[tuple[Tensor, ...]]:
    if torch.is_grad_enabled() and any(value.requires_grad for own in tensors for value in own):
        results = iter(apply(networks, *(value for own in tensors for value in own)))
        return [tuple(next(results) for _ in range(1 + len(one.made.plan.graph.states))) for one, *_ in networks]
    found = [room(one, own) for (one, *_), own in zip(networks, tensors, strict=True)]
    infer([(one.made, one.sizes, given_ahead(places, active, y, final, 0))
           for (one, places, active, _), (y, final) in zip(networks, found, strict=True)])  # fmt: skip
    return [(y, *final) for y, final in found]


def scan(
    lowered: Lowered,
    spaces: Mapping[str, Tensor],
    x: Tensor,
    state: Mapping[str, Tensor],
    active: Tensor | None = None,
    sizes: Sequence[int] | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run a cell over time; see ``backends.eager.scan`` for the contract.

    That one runs with tensors whose numbers do not lie in memory; who calls this has asked ``observed``.

    Raises:
        TypeError: x is neither float32 nor float64.
        ValueError: x is not on the CPU.
    """
    if x.device.type != "cpu":
        raise ValueError(f"backend 'numba': x is on {x.device}; expected the CPU. Use backend='auto' or 'eager'.")
    if x.ndim != 3 or foreign((x, *spaces.values(), *state.values())):
        return several([(lowered, spaces, x, state, active, sizes)])[0]
    try:
        made, names = kernel(lowered, x.dtype), lowered.states
        mask = None if active is None else active.squeeze(2).to(torch.uint8).contiguous()
        y, *final = _run([(made, mask, [*_given(made, spaces, x), *(state[name] for name in names)])])[0]
        return y, dict(zip(names, final, strict=True))
    except NoAddress:
        return eager.scan(lowered, spaces, x, state, active, sizes)


def several(calls: Sequence[tuple[Any, ...]]) -> list[tuple[Tensor, dict[str, Tensor]]]:
    """Scans that need nothing of each other, as the directions of a layer: each is what ``scan`` makes of its arguments.

    With more than one thread they are computed at the same time, where there is work enough.
    """
    try:
        if any(foreign((x, *spaces.values(), *state.values())) for _, spaces, x, state, *_ in calls):
            raise NoAddress
        asked = [_Asked(*call) for call in calls]
        results = iter(_run([one for each in asked for one in each.networks]))
        return [each.results([next(results) for _ in each.networks]) for each in asked]
    except NoAddress:  # torch's operations take such a tensor or say what is wrong with it
        return [eager.scan(*call) for call in calls]


class _Asked:
    """A scan that is asked for, as networks of one member, and its results from theirs; see ``backends.eager.scan``."""

    def __init__(
        self,
        lowered: Lowered,
        spaces: Mapping[str, Tensor],
        x: Tensor,
        state: Mapping[str, Tensor],
        active: Tensor | None = None,
        sizes: Sequence[int] | None = None,
    ) -> None:
        made = kernel(lowered, x.dtype)
        initial = [state[name] for name in lowered.states]
        self.states, self.single, self.width = lowered.states, x.ndim == 3, initial[0].shape[-1]
        if self.single:
            mask = None if active is None else active.squeeze(2).to(torch.uint8).contiguous()
            self.networks: list[_Given] = [(made, mask, [*_given(made, spaces, x), *initial])]
            return
        sizes = [self.width] * initial[0].shape[0] if sizes is None else list(sizes)
        self.networks = []
        for p, N in enumerate(sizes):
            own = within(lowered.graph.packed, {space: value[p] for space, value in spaces.items()}, N)
            single = [*_given(made, own, x[:, p]), *(value[p, :, :N] for value in initial)]
            self.networks.append((made, None if active is None else _mask(active, p), single))

    def results(self, parts: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, dict[str, Tensor]]:
        """Outputs and final states, from those of the members."""
        if self.single:
            y, *final = parts[0]
        else:
            dims = (1, *(0 for _ in self.states))
            y, *final = (torch.stack([pad(value, (0, self.width - value.shape[-1])) for value in values], dim)
                         for values, dim in zip(zip(*parts, strict=True), dims, strict=True))  # fmt: skip
        return y, dict(zip(self.states, final, strict=True))


def prepare(lowered: Lowered, dtype: torch.dtype, planned: Planned | None = None) -> None:
    """Compile a cell's scan, or read it from the cache; it is the same whatever is planned."""
    kernel(lowered, dtype)


def trainer(dtype: torch.dtype) -> Callable[..., Any]:
    """What makes compiled training steps; see ``backends.Backend.trainer``."""
    from lstm_odyssey.backends.numba import training_step

    return training_step.trainer(dtype)


def _mask(active: Tensor, member: int) -> Tensor:
    """[T, B] bytes."""
    return active[:, member if active.shape[1] > 1 else 0, :, 0].to(torch.uint8).contiguous()


def _given(made: Kernel, spaces: Mapping[str, Tensor], x: Tensor) -> list[Tensor]:
    """Inputs and spaces of one member's scan, from its spaces at its own N and its x [T, B, M]."""
    inputs = _before(made.plan, x) if made.plan.before else [x]
    return [*inputs, *(spaces[space] for space in made.spaces)]


def _before(the: Plan, x: Tensor) -> list[Any]:
    """The functions of the input that the scan multiplies by W, made by torch, which differentiates them.

    From a contiguous tensor of the member's own: torch's vectorised functions round otherwise than those it computes numbers
    at the end of a tensor or with strides by, so that bits would depend on where among its neighbours a member lies.
    """
    # a place of its own where its uses are added up, in the same order whatever else x is used for
    return the.functions(plain(x).view_as(x))
