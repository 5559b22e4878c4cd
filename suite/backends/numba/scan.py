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
from lstm_odyssey.backends.numba.member import Kernel, Member, infer, kernel, member
from lstm_odyssey.backends.numba.memory import kept
from lstm_odyssey.backends.plan import Plan
from lstm_odyssey.backends.spaces import within
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
from lstm_odyssey.backends.trainer import Planned


class _Single(torch.autograd.Function):
    """The compiled scan of one network; tensors come as inputs, packed spaces, states, all contiguous."""

    @staticmethod
    def forward(
        ctx: Any, one: Member, places: list[int], active: Tensor | None, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        y, final = _results(one, tensors)
        memory = kept(one.kept_bytes)
        mask = 0 if active is None else active.data_ptr()
        one.forward(one.spread(places), mask, memory.data_ptr(), y.data_ptr(), [value.data_ptr() for value in final])
        ctx.member, ctx.places = one, places
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, active, memory)
        return (y, *final)

    @staticmethod
    def backward(ctx: Any, *adjoints: Tensor | None) -> tuple[Any, ...]:
        if torch.is_grad_enabled():
            # once_differentiable would let a second derivative pass as zero where dy is constant
            raise second_derivative("numba")
        one: Member = ctx.member
        a, b = one.made.inputs, one.made.inputs + one.made.vector_spaces
        T, B, N, _ = one.sizes
        try:
            if observed():
                raise NoAddress
            dy, *dfinal = (None if value is None else dense("numba", value) for value in adjoints)
            given = iter(addresses([value for value in (dy, *dfinal) if value is not None]))
            above = [0 if value is None else next(given) for value in (dy, *dfinal)]
        except NoAddress as error:
            raise watched("numba") from error
        tensors, places, mask, memory = _brought_back(one, ctx.places, ctx.saved_tensors)
        if dy is None:
            dy = torch.zeros((T, B, N), dtype=tensors[0].dtype, device="cpu")
            above[0] = dy.data_ptr()
        # the kernel fills the gradients of all vectors
        gradients = [torch.empty_like(value) if need or a <= k < b else None
                     for k, (value, need) in enumerate(zip(tensors, ctx.needs_input_grad[3:], strict=True))]  # fmt: skip
        if not one.made.plan.inputs and gradients[0] is not None:
            gradients[0].zero_()
        filled = [0 if value is None else value.data_ptr() for value in gradients]
        held = 0 if mask is None else mask.data_ptr()
        one.backward(one.spread(places), held, memory.data_ptr(), above[0], above[1:], one.spread(filled))
        return (None, None, None, *gradients)


def _results(one: Member, tensors: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Room for the outputs and for the final states."""
    T, B, N, _ = one.sizes
    states = tensors[one.made.inputs + len(one.made.spaces) :]
    return torch.empty((T, B, N), dtype=tensors[0].dtype, device="cpu"), [torch.empty_like(value) for value in states]


def _brought_back(
    one: Member, places: list[int], saved: Sequence[Tensor | None]
) -> tuple[list[Tensor], list[int], Tensor | None, Tensor]:
    """What was saved, as it is now, with the addresses of the tensors: hooks on saved tensors may have moved it.

    Raises:
        RuntimeError: a hook brought back something else.
    """
    *inputs, active, memory = saved
    T, B, N, M = one.sizes
    made, a, c = one.made, one.made.inputs, one.made.inputs + len(one.made.spaces)
    tensors = [value for value in inputs if value is not None]
    if [value.data_ptr() for value in tensors] != places:
        states = [(1, B, N) if value.ndim == 3 else (B, N) for value in tensors[c:]]  # as the layer gives them
        shapes = [*[(T, B, M)] * a, *made.shapes(N, M), *states]
        tensors = [_as_saved(value, shape, made.dtype) for value, shape in zip(tensors, shapes, strict=True)]
        places = addresses(tensors)
    assert memory is not None
    mask = None if active is None else _as_saved(active, (T, B), torch.uint8)
    return tensors, places, mask, _as_saved(memory, (one.kept_bytes,), torch.uint8)


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


_apply = super(torch.autograd.Function, _Single).apply  # type: ignore[misc]  # what Function.apply calls outside torch.func


def _run(made: Kernel, active: Tensor | None, given: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The scan of one network; nothing is kept where nobody asks for a gradient.

    Raises:
        NoAddress: a tensor has no memory of its own.
    """
    tensors = _ready(made, given)
    places = addresses(tensors)
    (T, B, M), N = tensors[0].shape, tensors[-1].shape[-1]
    one = member(made, (T, B, N, M))
    if torch.is_grad_enabled() and any(value.requires_grad for value in tensors):
        return _apply(one, places, active, *tensors)  # type: ignore[no-any-return]  # torch's own is untyped
    y, final = _results(one, tensors)
    mask = 0 if active is None else active.data_ptr()
    infer(made, one.sizes, one.spread(places), mask, y.data_ptr(), [value.data_ptr() for value in final])
    return (y, *final)


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
    if foreign((x, *spaces.values(), *state.values())):
        return eager.scan(lowered, spaces, x, state, active, sizes)
    try:
        return _scan(lowered, spaces, x, state, active, sizes)
    except NoAddress:  # torch's operations take such a tensor or say what is wrong with it
        return eager.scan(lowered, spaces, x, state, active, sizes)


def _scan(
    lowered: Lowered,
    spaces: Mapping[str, Tensor],
    x: Tensor,
    state: Mapping[str, Tensor],
    active: Tensor | None,
    sizes: Sequence[int] | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    made = kernel(lowered, x.dtype)
    initial = [state[name] for name in lowered.states]
    if x.ndim == 3:
        mask = None if active is None else active.squeeze(2).to(torch.uint8).contiguous()
        y, *final = _run(made, mask, [*_given(made, spaces, x), *initial])
        return y, dict(zip(lowered.states, final, strict=True))
    members, _, width = initial[0].shape
    sizes = [width] * members if sizes is None else list(sizes)
    parts = []
    for p, N in enumerate(sizes):
        own = within(lowered.graph.packed, {space: value[p] for space, value in spaces.items()}, N)
        single = [*_given(made, own, x[:, p]), *(value[p, :, :N] for value in initial)]
        mask = None if active is None else _mask(active, p)
        parts.append(_run(made, mask, single))
    padded = [torch.stack([pad(value, (0, width - value.shape[-1])) for value in values], dim)
              for values, dim in zip(zip(*parts, strict=True), (1, *(0 for _ in initial)), strict=True)]  # fmt: skip
    return padded[0], dict(zip(lowered.states, padded[1:], strict=True))


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
