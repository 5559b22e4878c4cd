"""The compiled scans of one or more networks as one autograd Function, whose gradient cannot itself be differentiated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lstm_odyssey.backends.numba.member import Member
from lstm_odyssey.backends.numba.memory import kept
from lstm_odyssey.backends.numba.parts import Ahead, Back
from lstm_odyssey.backends.numba.shares import VectorSums, ahead, back
from lstm_odyssey.backends.tensors import (
    NoAddress,
    addresses,
    dense,
    foreign,
    observed,
    plain,
    second_derivative,
    watched,
)


class Network(NamedTuple):
    """The scan of one network: tensors come as inputs, packed spaces, states, all contiguous, and these are their addresses.

    States at rest are no tensors: then only the first ``given`` addresses are of tensors.
    """

    one: Member
    places: list[int]
    active: Tensor | None
    given: int


class _Scans(torch.autograd.Function):
    """The compiled scans of one or more networks, the tensors of one behind those of another."""

    @staticmethod
    def forward(ctx: Any, networks: Sequence[Network], *tensors: Tensor) -> tuple[Tensor, ...]:
        calls, made, kept_for_later, start = [], [], [], 0
        for one, places, active, count in networks:
            y, final = room(one, tensors[start : start + count])
            start += count
            memory = kept(one.kept_bytes)
            calls.append((one, given_ahead(places, active, y, final, memory.data_ptr())))
            made += [y, *final]
            kept_for_later += [active, memory]
        ahead(calls)
        ctx.networks = [
            (one, places, given.kept, count)
            for (one, places, _, count), (_, given) in zip(networks, calls, strict=True)
        ]
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, *kept_for_later)
        return tuple(made)

    @staticmethod
    def backward(ctx: Any, *adjoints: Tensor | None) -> tuple[Any, ...]:
        if torch.is_grad_enabled():
            # once_differentiable would let a second derivative pass as zero where dy is constant
            raise second_derivative("numba")
        saved, networks = ctx.saved_tensors, ctx.networks
        prepared, gradients = [], []
        start, first, later = 0, 0, len(saved) - 2 * len(networks)
        for one, places, memory, count in networks:
            end, last = start + count, first + 1 + len(one.made.plan.graph.states)
            above, own = adjoints[first:last], (*saved[start:end], *saved[later : later + 2])
            if len(networks) == 1 or any(value is not None for value in above):
                prepared.append(_Backward(one, places, memory, above, own, ctx.needs_input_grad[1 + start : 1 + end]))
                gradients += prepared[-1].gradients
            else:
                gradients += [None] * count
            start, first, later = end, last, later + 2
        back([(each.one, each.given) for each in prepared])
        for each in prepared:
            each.end()
        return (None, *gradients)


class _Backward:
    """What the backward pass of one network is given, and all that has to live while it runs.

    Args:
        one, places: of the network. memory: where its forward pass kept what this one needs.
        adjoints: of its results.
        saved: tensors, padding, what was kept.
        needs: of which tensors a gradient is asked for.
    """

    def __init__(
        self, one: Member, places: list[int], memory: int, adjoints: Sequence[Tensor | None], saved: Sequence[Tensor | None],
        needs: Sequence[bool],
    ) -> None:  # fmt: skip
        self.one, made = one, one.made
        a, b = made.inputs, made.inputs + made.vector_spaces
        T, B, N, _ = one.sizes
        try:
            if observed():
                raise NoAddress
            dy, *dfinal = [None if value is None else dense("numba", value) for value in adjoints]
            above = [0 if value is None else addresses((value,))[0] for value in (dy, *dfinal)]
        except NoAddress as error:
            raise watched("numba") from error
        tensors, places, mask, kept = _brought_back(one, places, memory, saved)
        if dy is None:
            dy = torch.zeros((T, B, N), dtype=tensors[0].dtype, device="cpu")
            above[0] = dy.data_ptr()
        # the kernel fills the gradients of all vectors
        gradients = [torch.empty_like(value) if need or a <= k < b else None
                     for k, (value, need) in enumerate(zip(tensors, needs, strict=True))]  # fmt: skip
        if not made.plan.inputs and gradients[0] is not None:
            gradients[0].zero_()
        filled = [0 if value is None else value.data_ptr() for value in gradients]
        filled += [0] * (len(places) - len(filled))  # of states at rest
        self.sums = VectorSums(one) if one.blocks > 1 else None
        if self.sums is not None:
            filled[a:b] = self.sums.addresses()
        held = 0 if mask is None else mask.data_ptr()
        self.given = Back(places, held, kept.data_ptr(), above[0], above[1:], filled)
        self.gradients, self.vectors, self.held = gradients, gradients[a:b], (tensors, mask, kept, dy, dfinal)

    def end(self) -> None:
        """After the pass."""
        if self.sums is not None:
            self.sums.total(self.vectors)


def given_ahead(places: Sequence[int], active: Tensor | None, y: Tensor, final: Sequence[Tensor], memory: int) -> Ahead:
    """What a forward pass is given."""
    mask = 0 if active is None else active.data_ptr()
    return Ahead(places, mask, memory, y.data_ptr(), [value.data_ptr() for value in final])


def room(one: Member, tensors: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Room for the outputs and for the final states."""
    T, B, N, _ = one.sizes
    x, states = tensors[0], tensors[one.made.inputs + len(one.made.spaces) :]
    final = [torch.empty_like(value) for value in states]
    return x.new_empty((T, B, N)), final or [x.new_empty((1, B, N)) for _ in one.made.plan.graph.states]


def _brought_back(
    one: Member, places: list[int], memory: int, saved: Sequence[Tensor | None]
) -> tuple[list[Tensor], list[int], Tensor | None, Tensor]:
    """What was saved, as it is now, with the addresses of the tensors: hooks on saved tensors may have moved it.

    Raises:
        RuntimeError: a hook brought back something else.
    """
    *inputs, active, kept = saved
    T, B, N, M = one.sizes
    made, a, c = one.made, one.made.inputs, one.made.inputs + len(one.made.spaces)
    tensors = [value for value in inputs if value is not None]
    if [value.data_ptr() for value in tensors] != places[: len(tensors)]:
        states = [(1, B, N) if value.ndim == 3 else (B, N) for value in tensors[c:]]  # as the layer gives them
        shapes = [*[(T, B, M)] * a, *made.shapes(N, M), *states]
        tensors = [_as_saved(value, shape, made.dtype) for value, shape in zip(tensors, shapes, strict=True)]
        places = addresses(tensors) + places[len(tensors) :]
    assert kept is not None
    mask = None if active is None else _as_saved(active, (T, B), torch.uint8)
    if kept.data_ptr() != memory or kept.nbytes != one.kept_bytes:
        kept = _as_saved(kept, (one.kept_bytes,), torch.uint8)
    return tensors, places, mask, kept


def _as_saved(value: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    if (
        value.shape != shape
        or value.dtype != dtype
        or not value.is_cpu
        or (type(value) is not Tensor and foreign((value,)))
    ):
        raise RuntimeError(
            f"backend 'numba': a hook on saved tensors brought back {list(value.shape)} {value.dtype} on {value.device}; "
            f"expected {list(shape)} {dtype} on the CPU, as it was saved. Have it undo what it did."
        )
    return plain(value)


apply = super(torch.autograd.Function, _Scans).apply  # type: ignore[misc]  # what Function.apply calls outside torch.func
