"""The numba backend: a cell's scan compiled for this CPU, forward and backward, wrapped in one autograd Function.

Each member of a population is computed at its own N, so its numbers are the same alone and among others, bit by bit. What
is made of the input alone or of parameters alone is left to torch and its autograd; all else is in the compiled scan.
The gradient is compiled too and cannot itself be differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.functional import pad

from lstm_odyssey.cell.graph import Graph
from lstm_odyssey.cell.ops import OPS
from lstm_odyssey.kernels.member import Kernel, Member, kernel
from lstm_odyssey.kernels.plan import Plan, plan


class _Single(torch.autograd.Function):
    """The compiled scan of one network; tensors come as inputs, fixed vectors, matrices, states, all contiguous."""

    @staticmethod
    def forward(ctx: Any, made: Kernel, active: Tensor | None, *tensors: Tensor) -> tuple[Tensor, ...]:
        x, state = tensors[0], tensors[made.cuts[2] :]
        (T, B, M), N = x.shape, state[0].shape[-1]
        dtype = x.dtype
        y = torch.empty((T, B, N), dtype=dtype, device="cpu")
        final = [torch.empty_like(value) for value in state]
        ctx.member = member = Member(made, T, B, N, M, dtype, active)
        ctx.addresses = addresses = [value.data_ptr() for value in tensors]
        ctx.kept = member.forward(addresses, y.data_ptr(), [value.data_ptr() for value in final])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        return (y, *final)

    @staticmethod
    def backward(ctx: Any, dy: Tensor | None, *dfinal: Tensor | None) -> tuple[Any, ...]:
        if torch.is_grad_enabled():
            # once_differentiable would let a second derivative pass as zero where dy is constant
            raise RuntimeError(
                "backend 'numba': asked for a gradient that can be differentiated again (create_graph=True); expected one "
                "derivative only. Use backend='eager' for higher ones."
            )
        tensors = ctx.saved_tensors
        member: Member = ctx.member
        addresses = [value.data_ptr() for value in tensors]
        if addresses != ctx.addresses:  # hooks on saved tensors have brought them back to another place
            tensors = [_plain(value) for value in tensors]
            addresses = [value.data_ptr() for value in tensors]
        a, b, _ = member.made.cuts
        T, B, N, _ = member.sizes
        dy = torch.zeros((T, B, N), dtype=member.dtype, device="cpu") if dy is None else _plain(dy)
        dfinal = tuple(None if value is None else _plain(value) for value in dfinal)
        # the kernel fills the gradients of all fixed vectors
        gradients = [torch.empty_like(value) if need or a <= k < b else None
                     for k, (value, need) in enumerate(zip(tensors, ctx.needs_input_grad[2:], strict=True))]  # fmt: skip
        if not member.made.plan.inputs and gradients[0] is not None:
            gradients[0].zero_()
        try:
            adjoints = [0 if value is None else value.data_ptr() for value in (dy, *dfinal)]
        except RuntimeError as error:  # several at once, or tensors of a transform: there is no address
            raise RuntimeError(
                "backend 'numba': asked for a batch of gradients (is_grads_batched, vmap); expected one at a time. Use "
                "backend='eager'."
            ) from error
        filled = [0 if value is None else value.data_ptr() for value in gradients]
        member.backward(addresses, ctx.kept, adjoints[0], adjoints[1:], filled)
        return (None, None, *gradients)


def _plain(value: Tensor) -> Tensor:
    """The numbers as they lie in memory: contiguous, no sign pending."""
    return value.resolve_neg().contiguous()


def _ready(made: Kernel, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Tensors whose addresses a kernel may have.

    Raises:
        ValueError: a parameter is not as the layer made it; a kernel would read beyond it.
    """
    a, _, c = made.cuts
    x, N = tensors[0], tensors[-1].shape[-1]
    for place, (value, shape) in enumerate(zip(tensors[a:c], made.shapes(N, x.shape[-1]), strict=True)):
        if value.shape != shape or value.dtype != x.dtype or not value.is_cpu:
            names = [*(made.plain or ["a vector"] * len(made.plan.vectors)), *made.matrices]
            raise ValueError(
                f"backend 'numba': parameter '{names[place]}' is {list(value.shape)} {value.dtype} on {value.device}; expected "
                f"{list(shape)} {x.dtype} on the CPU. Give the layer parameters of the shape and dtype it made them in."
            )
    return [_plain(value) for value in tensors]


_transformed: Callable[[], bool] = getattr(torch._C, "_are_functorch_transforms_active", lambda: False)
_apply = super(torch.autograd.Function, _Single).apply  # type: ignore[misc]  # what Function.apply calls outside torch.func


def scan(
    graph: Graph,
    parameters: Mapping[str, Tensor],
    x: Tensor,
    state: Mapping[str, Tensor],
    active: Tensor | None = None,
    sizes: Sequence[int] | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run a cell over time; see ``kernels.eager.scan`` for the contract; that runs under torch.func and in forward mode.

    Raises:
        TypeError: x is neither float32 nor float64.
        ValueError: x is not on the CPU.
    """
    if x.device.type != "cpu":
        raise ValueError(f"backend 'numba': x is on {x.device}; expected the CPU. Use backend='auto' or 'eager'.")
    # torch.func, vmap and forward-mode differentiation cannot see into a compiled kernel
    if _transformed() or forward_ad._current_level >= 0:
        from lstm_odyssey.kernels import eager

        return eager.scan(graph, parameters, x, state, active, sizes)
    made = kernel(graph, x.dtype)
    initial = [state[name] for name in graph.states]
    if x.ndim == 3:
        mask = None if active is None else active.squeeze(2).to(torch.uint8).contiguous()
        y, *final = _apply(made, mask, *_ready(made, [*_given(made, parameters, x), *initial]))
        return y, dict(zip(graph.states, final, strict=True))
    members, _, width = initial[0].shape
    sizes = [width] * members if sizes is None else list(sizes)
    parts = []
    for p, N in enumerate(sizes):
        own = {name: parameters[name][p, :N, : N if shape[-1] == "N" else None] if len(shape) == 2 else parameters[name][p, :N]
               for name, shape in graph.parameters.items()}  # fmt: skip
        single = [*_given(made, own, x[:, p]), *(value[p, :, :N] for value in initial)]
        mask = None if active is None else _mask(active, p)
        parts.append(_apply(made, mask, *_ready(made, single)))
    padded = [torch.stack([pad(value, (0, width - value.shape[-1])) for value in values], dim)
              for values, dim in zip(zip(*parts, strict=True), (1, *(0 for _ in initial)), strict=True)]  # fmt: skip
    return padded[0], dict(zip(graph.states, padded[1:], strict=True))


def prepare(graph: Graph, dtype: torch.dtype) -> None:
    """Compile a lowered graph's scan, or read it from the cache."""
    kernel(graph, dtype)


def left_to_torch(graph: Graph) -> tuple[str, ...]:
    """What of a lowered graph is not in its compiled scan, in words: with any of it there is no compiled training step."""
    return plan(graph).left_to_torch


def _mask(active: Tensor, member: int) -> Tensor:
    """[T, B] bytes."""
    return active[:, member if active.shape[1] > 1 else 0, :, 0].to(torch.uint8).contiguous()


def _given(made: Kernel, parameters: Mapping[str, Tensor], x: Tensor) -> list[Tensor]:
    """Inputs, fixed vectors and matrices of one member's scan, from its parameters at its own N and its x [T, B, M]."""
    if made.plain is not None:
        inputs, fixed = [x], [parameters[name] for name in made.plain]
    else:
        values = _before(made.plan, parameters, x)
        inputs = [values[number] for number in made.plan.inputs] or [x]
        fixed = [values[number] for number in made.plan.vectors]
    return [*inputs, *fixed, *(parameters[name] for name in made.matrices)]


def _before(the: Plan, parameters: Mapping[str, Tensor], x: Tensor) -> dict[int, Any]:
    """What torch computes: functions of the input, products of parameters, as far as the scan reads them.

    For one member, from contiguous tensors of its own: torch's vectorised functions round otherwise than those it computes
    numbers at the end of a tensor or with strides by, so that bits would depend on where among its neighbours a member lies.
    """
    nodes, x = the.graph.nodes, _plain(x)
    x = x.view_as(x)  # a place of its own where its uses are added up, in the same order whatever else x is used for
    values: dict[int, Any] = {}

    def value(number: int) -> Any:
        if number not in values:
            node = nodes[number]
            if node.op == "input":
                values[number] = x
            elif node.op == "vector":
                values[number] = _plain(parameters[node.name])
            elif node.op == "constant":
                values[number] = node.value
            elif node.op == "matmul":
                # a sum: BLAS chooses its order of summation by addresses and strides
                values[number] = (_plain(parameters[node.name]) * value(node.args[0])).sum(-1)
            else:
                values[number] = OPS[node.op].eager(*(value(argument) for argument in node.args))
        return values[number]

    for number in (*the.inputs, *the.vectors):
        value(number)
    return values
