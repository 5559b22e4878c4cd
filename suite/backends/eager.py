"""The eager backend: the traced graph evaluated with torch ops on [P, B, N], on any device and dtype; autograd differentiates,
any number of times and in any mode.

P members (a population; 1 for a single network) run in lockstep, padded to the largest N. What no state reaches is computed
for all steps at once; products with the same right-hand vector are one batched product; a product whose sum begins with a
hoisted term starts from that term.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from lstm_odyssey.backends import single
from lstm_odyssey.backends.lowering import Lowered, Products
from lstm_odyssey.backends.spaces import by_name, matrices
from lstm_odyssey.cell.ops import OPS
from lstm_odyssey.cell.symbols import VECTORS


def _rows(product: Tensor, count: int) -> tuple[Tensor, ...]:
    return product.chunk(count, dim=-1) if count > 1 else (product,)


def scan(
    lowered: Lowered,
    spaces: Mapping[str, Tensor],
    x: Tensor,
    state: Mapping[str, Tensor],
    active: Tensor | None = None,
    sizes: Sequence[int] | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run a cell over time.

    Args:
        lowered: the cell, see ``backends.lowering``.
        spaces: W [P, G·N, M], R [P, G·N, N], p and b [P, G·N], as ``Graph.packed`` orders their G gates.
        x: [T, P, B, M].
        state: each state [P, B, N].
        active: [T, 1 or P, B, 1], true where a row is not padding; there the state stands still.
        sizes: each member's own N; this backend computes all at the widest, but for a reduction, which is over a member's own.

    Of a single network everything, results too, may come without the dimension P; the states may come with it all the same.

    Returns:
        The output at every step [T, P, B, N] and the states after the last.
    """
    if x.ndim == 3:
        return single.of_one(scan, lowered, spaces, x, state, active)
    first = 1 + len(spaces)
    tensors = [x, *spaces.values(), *(state[name] for name in lowered.states)]

    def run(values: Sequence[Tensor], apart: bool) -> list[Tensor]:
        given = dict(zip(spaces, values[1:first], strict=True))  # apart from states: one may be called k
        y, final = _steps(lowered, given, values[0], list(values[first:]), active, apart, sizes)
        return [y, *final]

    y, *after = _Scan.apply(run, *tensors) if _once(tensors) else run(tensors, False)
    return y, dict(zip(lowered.states, after, strict=True))


def _once(tensors: Sequence[Tensor]) -> bool:
    """Whether autograd will ask for gradients and no other transform looks into the scan."""
    return (
        torch.is_grad_enabled()
        and any(value.requires_grad for value in tensors)
        and not torch._C._are_functorch_transforms_active()
        and all(unpack_dual(value).tangent is None for value in tensors)
    )


class _Scan(torch.autograd.Function):
    """The whole scan: once differentiated, the fast way; differentiated again, as torch's operations one by one.

    Forward makes a graph of its own, in which the recurrent weights stand apart. A gradient that is to be differentiated
    again is made from a scan run anew, in which they do not: every path is in its graph then.

    The inner graph hangs on a tensor that is saved, so it goes when the graph around it does. Hooks on saved tensors
    (``torch.utils.checkpoint``, ``save_on_cpu``) bring another tensor back; the scan is run anew then, too.
    """

    @staticmethod
    def forward(
        ctx: Any, run: Callable[[Sequence[Tensor], bool], list[Tensor]], *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        leaves, results = _inner(run, tensors, ctx.needs_input_grad[1:])
        anchor: Any = torch.empty(0)
        anchor.graph = leaves, results
        ctx.run = run
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, anchor)
        return tuple(value.detach().clone() for value in results)  # who changes them in place changes nothing saved

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        *tensors, anchor = ctx.saved_tensors  # once: a checkpoint gives each tensor only once
        again = torch.is_grad_enabled()
        if again:  # a view has a place in the graph of its own, even if one tensor was made of another
            leaves = [value.view_as(value) for value in tensors]
            results = ctx.run(leaves, False)
        else:
            graph = getattr(anchor, "graph", None)
            leaves, results = _inner(ctx.run, tensors, ctx.needs_input_grad[1:]) if graph is None else graph
        wanted = [k for k, need in enumerate(ctx.needs_input_grad[1:]) if need]
        pairs = [(value, gradient) for value, gradient in zip(results, gradients, strict=True)
                 if gradient is not None and value.requires_grad]  # fmt: skip
        found: list[Tensor | None] = [None] * len(tensors)
        if pairs:
            made = torch.autograd.grad(
                [value for value, _ in pairs], [leaves[k] for k in wanted], [gradient for _, gradient in pairs],
                retain_graph=True, create_graph=again, allow_unused=True,
            )  # fmt: skip
            for k, value in zip(wanted, made, strict=True):
                found[k] = value
        return (None, *found)


def _inner(
    run: Callable[[Sequence[Tensor], bool], list[Tensor]], tensors: Sequence[Tensor], needs: Sequence[bool]
) -> tuple[list[Tensor], list[Tensor]]:
    """The leaves and results of a graph that knows nothing of the one around it."""
    leaves = [value.detach().requires_grad_(need) for value, need in zip(tensors, needs, strict=True)]
    with torch.enable_grad():
        return leaves, run(leaves, True)


def _steps(
    lowered: Lowered,
    spaces: Mapping[str, Tensor],
    x: Tensor,
    current: list[Tensor],
    active: Tensor | None,
    apart: bool,
    sizes: Sequence[int] | None,
) -> tuple[Tensor, list[Tensor]]:
    """The loop over time. ``apart``: recurrent weights get their gradients by one product after it, for one derivative only."""
    graph, nodes = lowered.graph, lowered.graph.nodes
    steps = x.shape[0]
    values: list[Any] = [None] * len(nodes)

    def stacked(group: Products) -> Tensor:
        return matrices(graph.packed, spaces, group.parameters).transpose(1, 2)

    mean = _own_mean(sizes, x) if sizes is not None and len(set(sizes)) > 1 else None

    def meaning(number: int) -> Callable[..., Any]:
        op = OPS[nodes[number].op]
        return mean if op.reduction and mean is not None else op.eager

    vectors = by_name(graph.packed, {space: value for space, value in spaces.items() if space in VECTORS})

    def over_time(value: Tensor) -> bool:
        return isinstance(value, Tensor) and value.ndim == 4

    for item in lowered.before:
        if isinstance(item, Products):
            product = _all_frames(values[item.operand], stacked(item))
            for result, value in zip(item.results, _rows(product, len(item.results)), strict=True):
                values[result] = value
        elif nodes[item].op == "input":
            values[item] = x
        elif nodes[item].op == "vector":
            values[item] = vectors[nodes[item].name].unsqueeze(1)
        elif nodes[item].op == "constant":
            values[item] = nodes[item].value
        else:
            values[item] = meaning(item)(*(values[argument] for argument in nodes[item].args))

    sliced = {number: values[number].unbind(0) for number in lowered.read_by_step if over_time(values[number])}
    instructions: list[tuple[Any, Callable[..., Any] | None, tuple[int, ...], Any]] = []
    for item in lowered.step:
        if isinstance(item, Products):
            weight = stacked(item).contiguous()
            if item.starts:
                starts = torch.cat([_over_frames(values[start], x, weight) for start in item.starts], dim=-1)
            else:
                starts = x.new_zeros(()).expand(*x.shape[:3], weight.shape[2])
            operands = _Operands() if apart and weight.requires_grad else None
            if operands is not None:
                starts = _RecurrentWeight.apply(starts, weight, operands)
            product = (item.operand, weight.detach() if apart else weight, starts.unbind(0), operands)
            instructions.append((item.outputs, None, (), product))
        else:
            instructions.append((item, meaning(item), nodes[item].args, None))
    places = [number for number, node in enumerate(nodes) if node.op == "state"]
    mask = active.unbind(0) if active is not None else None
    outputs = []
    for t in range(steps):
        for number, series in sliced.items():
            values[number] = series[t]
        for place, value in zip(places, current, strict=True):
            values[place] = value
        for out, function, args, product in instructions:
            if function is not None:
                values[out] = function(*[values[argument] for argument in args])
                continue
            operand, weight, starts, operands = product
            if operands is not None:
                operands.append((values[operand].detach(), values[operand]._version))
            rows = torch.baddbmm(starts[t], values[operand], weight)
            for result, part in zip(out, _rows(rows, len(out)), strict=True):
                values[result] = part
        new = [_full_step(values[result], current[0]) for result in graph.results]
        if mask is not None:
            new = [torch.where(mask[t], after, held) for after, held in zip(new, current, strict=True)]
        current = new
        outputs.append(current[0])
    return torch.stack(outputs), current


def _own_mean(sizes: Sequence[int], like: Tensor) -> Callable[[Tensor], Tensor]:
    """The mean over each member's own N of [..., P, B, N]; what lies beyond is no part of it, a NaN neither."""
    own = torch.tensor(sizes, device=like.device).view(-1, 1, 1)
    inside = torch.arange(max(sizes), device=like.device) < own

    def mean(a: Tensor) -> Tensor:
        return (torch.where(inside, a, a.new_zeros(())).sum(-1, keepdim=True) / own).expand_as(a)

    return mean


def _full_step(value: Tensor, like: Tensor) -> Tensor:
    """A result made of parameters alone, [P, 1, N], for every row."""
    return value if value.shape == like.shape else value.expand_as(like)


def _over_frames(value: Tensor | float, x: Tensor, weight: Tensor) -> Tensor:
    """A hoisted term at its full size [T, P, B, N], whether it was made of the input, of parameters or is a number."""
    value = value if isinstance(value, Tensor) else x.new_full((1,), value)
    return value.expand(*x.shape[:3], weight.shape[1])


def _all_frames(value: Tensor, weight: Tensor) -> Tensor:
    """value [T, P, B, M] (or [P, 1, M], made of parameters alone) times weight [P, M, K] as one product a member."""
    if value.ndim == 3:
        return torch.bmm(value, weight)
    steps, members, rows, _ = value.shape
    product = torch.bmm(value.transpose(0, 1).reshape(members, steps * rows, -1), weight)
    return product.view(members, steps, rows, -1).transpose(0, 1)


class _Operands(list[tuple[Tensor, int]]):
    """Right-hand vectors of a product, step by step, with their versions; not a list to torch.func, which would copy it."""


class _RecurrentWeight(torch.autograd.Function):
    """Passes the products' starts through and gives the recurrent weight its gradient, one product over all steps.

    A step computes ``start_t + operand_t @ weight``, so the gradient of the starts is the gradient δ of the products, and
    that of the weight Σ_t operand_tᵀ δ_t. Autograd by itself would add up a matrix in every step. ``operands`` is filled
    by the loop, detached (the graph would hold itself alive otherwise), each with its version, as autograd would check it.
    """

    @staticmethod
    def forward(starts: Tensor, weight: Tensor, operands: _Operands) -> Tensor:
        del weight, operands
        return starts.view_as(starts)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.operands = inputs[2]

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]  # torch's own is untyped
    def backward(ctx: Any, delta: Tensor) -> tuple[Tensor, Tensor, None]:
        steps, members, rows, width = delta.shape
        if any(operand._version != version for operand, version in ctx.operands):
            raise RuntimeError(
                "one of the states needed for gradient computation has been modified by an inplace operation "
                "between forward and backward; clone it first."
            )
        operand = torch.stack([operand for operand, _ in ctx.operands], dim=1).view(members, steps * rows, -1)
        flat = delta.transpose(0, 1).reshape(members, steps * rows, width)
        return delta, torch.bmm(operand.transpose(1, 2), flat), None
