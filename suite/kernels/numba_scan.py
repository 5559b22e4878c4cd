"""The numba backend: a cell's scan compiled for this CPU, forward and backward, wrapped in one autograd Function.

Each member of a population is computed at its own N, so its numbers are the same alone and among others, bit by bit. What
is made of the input alone or of parameters alone is left to torch and its autograd; all else is in the compiled scan.
The gradient is compiled too and cannot itself be differentiated.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lstm_odyssey.cell.graph import Graph
from lstm_odyssey.cell.ops import OPS
from lstm_odyssey.kernels import products
from lstm_odyssey.kernels.cache import module
from lstm_odyssey.kernels.emit import source
from lstm_odyssey.kernels.plan import Plan, plan
from lstm_odyssey.kernels.vectors import vector_bytes

_SIZES = {torch.float32: 4, torch.float64: 8}


@dataclass(frozen=True)
class Kernel:
    """A cell compiled for one float type."""

    plan: Plan
    size: int
    forward: Callable[[int], None]
    backward: Callable[[int], None]
    forward_names: tuple[str, ...]
    backward_names: tuple[str, ...]
    product: int
    pack_lines: int
    pack_columns: int

    @property
    def matrices(self) -> tuple[str, ...]:
        """The parameters that stand in products of the scan."""
        runs = (*self.plan.input_runs, *self.plan.recurrent)
        return tuple(dict.fromkeys(name for run in runs for name in run.parameters))


_PLANS: dict[str, Plan] = {}


def _plan(graph: Graph) -> Plan:
    if graph.signature not in _PLANS:
        _PLANS[graph.signature] = plan(graph)
    return _PLANS[graph.signature]


@lru_cache(maxsize=512)
def _compiled(signature: str, size: int) -> Kernel:
    made = _PLANS[signature]
    shared = module(products.source(size, 'nopython=True, error_model="numpy", cache={cached}'), f"products{size}")
    text = source(made, size)
    code = module(text.text, f"cell{size}")
    return Kernel(
        made, size, code.forward, code.backward, text.forward, text.backward,
        shared.product.address, shared.pack_lines.address, shared.pack_columns.address,
    )  # fmt: skip


def kernel(graph: Graph, dtype: torch.dtype) -> Kernel:
    """The compiled scan of a lowered graph.

    Raises:
        TypeError: there is none for this dtype.
    """
    if dtype not in _SIZES:
        raise TypeError(f"backend 'numba': x is {dtype}; expected float32 or float64. Use backend='eager' for other types.")
    _plan(graph)
    return _compiled(graph.signature, _SIZES[dtype])


class Workspace:
    """Areas of one tensor, each on a vector's boundary."""

    def __init__(self, areas: Mapping[str, int], like: Tensor) -> None:
        lanes = vector_bytes() // like.element_size()
        places, total = {}, 0
        for name, count in areas.items():
            places[name] = total
            total += -(-max(count, 1) // lanes) * lanes
        self.tensor = torch.empty(total + lanes, dtype=like.dtype)
        first = self.tensor.data_ptr()
        first += -first % vector_bytes()
        self.offset = (first - self.tensor.data_ptr()) // like.element_size()
        self.places = places
        self.addresses = {name: first + place * like.element_size() for name, place in places.items()}

    def area(self, name: str, *shape: int) -> Tensor:
        count = 1
        for extent in shape:
            count *= extent
        start = self.offset + self.places[name]
        return self.tensor[start : start + count].view(shape)


def _packed(steps: int, columns: int, lanes: int) -> int:
    return steps * -(-columns // lanes) * lanes


def run_forward(made: Kernel, N: int, M: int, inputs: Sequence[Tensor], fixed: Sequence[Tensor],  # noqa: N803
                matrices: Mapping[str, Tensor], active: Tensor | None, state: Sequence[Tensor]) -> Workspace:  # fmt: skip
    """One member forward: inputs [T,B,M], fixed [>=N], matrices with at least N lines, states [B,N]."""
    the = made.plan
    lanes = vector_bytes() // made.size
    B = state[0].shape[0]  # noqa: N806
    T = inputs[0].shape[0]  # noqa: N806
    frames = T * B
    kept = Workspace(
        {
            "history": len(state) * (T + 1) * B * N,
            "slots": frames * the.places * N,
            "operands": len(the.operands) * frames * N,
        },
        inputs[0],
    )
    areas = {"zeros": max(M, N, 1) + len(the.accumulators) * N, "bias": len(the.accumulators) * N}
    areas |= {f"input_pack{k}": _packed(M, len(run.parameters) * N, lanes) for k, run in enumerate(the.input_runs)}
    areas |= {f"pack{k}": _packed(N, len(run.parameters) * N, lanes) for k, run in enumerate(the.recurrent)}
    work = Workspace(areas, inputs[0])
    work.area("zeros", areas["zeros"]).zero_()
    work.area("bias", areas["bias"]).zero_()
    history = kept.area("history", len(state), T + 1, B, N)
    for place, value in enumerate(state):
        history[place, 0] = value
    entries = {
        "T": T, "B": B, "N": N, "M": M, "active": 0 if active is None else active.data_ptr(),
        "product": made.product, "pack_lines": made.pack_lines, "pack_columns": made.pack_columns,
        **kept.addresses, **work.addresses,
    }  # fmt: skip
    _name(entries, made, inputs, fixed, matrices)
    table = array("q", [entries[name] for name in made.forward_names])
    made.forward(table.buffer_info()[0])
    return kept


def _name(entries: dict[str, int], made: Kernel, inputs: Sequence[Tensor], fixed: Sequence[Tensor],
          matrices: Mapping[str, Tensor], prefix: str = "") -> None:  # fmt: skip
    """Put the addresses of inputs, vectors and matrices into a table's entries."""
    for k, value in enumerate(inputs):
        entries[f"{prefix}x{k}"] = value.data_ptr()
    for k, value in enumerate(fixed):
        entries[f"{prefix}f{k}"] = value.data_ptr()
    for name, value in matrices.items():
        word = prefix + name.replace(".", "_")
        entries[word], entries[f"{word}_line"] = value.data_ptr(), value.stride(-2) * made.size


def run_backward(made: Kernel, N: int, M: int, inputs: Sequence[Tensor], fixed: Sequence[Tensor],  # noqa: N803
                 matrices: Mapping[str, Tensor], active: Tensor | None, kept: Workspace, dy: Tensor,
                 dstate: Sequence[Tensor | None], dinputs: Sequence[Tensor | None], dfixed: Sequence[Tensor],
                 dmatrices: Mapping[str, Tensor]) -> list[Tensor]:  # fmt: skip
    """One member backward; fills dinputs, dfixed and dmatrices and returns the adjoints of the initial states [B,N]."""
    the = made.plan
    lanes = vector_bytes() // made.size
    T, B = dy.shape[:2]  # noqa: N806
    frames, count, states = T * B, len(the.accumulators), len(dstate)
    areas = {
        "zeros": max(M, N),
        "deltas": frames * count * N,
        "waiting": len(the.operands) * B * N,
        "lambdas": 2 * states * B * N,
        "pack_x": _packed(count * N, M, lanes),
    }
    areas |= {f"pack{k}": _packed(len(run.parameters) * N, N, lanes) for k, run in enumerate(the.recurrent)}
    work = Workspace(areas, dy)
    work.area("zeros", max(M, N)).zero_()
    lambdas = work.area("lambdas", 2, states, B, N)
    for place, value in enumerate(dstate):
        lambdas[0, place] = 0.0 if value is None else value
    entries = {
        "T": T, "B": B, "N": N, "M": M, "active": 0 if active is None else active.data_ptr(),
        "product": made.product, "pack_lines": made.pack_lines, "pack_columns": made.pack_columns,
        "dys": dy.data_ptr(), **kept.addresses, **work.addresses,
    }  # fmt: skip
    _name(entries, made, inputs, fixed, matrices)
    _name(entries, made, (), dfixed, dmatrices, "d")
    for k, value in enumerate(dinputs):
        entries[f"dx{k}"] = 0 if value is None else value.data_ptr()
    table = array("q", [entries[name] for name in made.backward_names])
    made.backward(table.buffer_info()[0])
    return list(lambdas[T % 2].unbind(0))


class _Scan(torch.autograd.Function):
    """The compiled scan of all members; tensors come as inputs, fixed vectors, matrices, states."""

    @staticmethod
    def forward(ctx: Any, made: Kernel, sizes: Sequence[int], active: Tensor | None, *tensors: Tensor) -> tuple[Tensor, ...]:
        the, matrices = made.plan, made.matrices
        counts = (max(len(the.inputs), 1), len(the.vectors), len(matrices))
        a, b, c = counts[0], counts[0] + counts[1], sum(counts)
        inputs, fixed, weights, state = tensors[:a], tensors[a:b], tensors[b:c], tensors[c:]
        _, rows, width = state[0].shape
        steps, M = inputs[0].shape[0], inputs[0].shape[-1]  # noqa: N806
        frames = [value.transpose(0, 1).contiguous() for value in inputs]
        ctx.kept, ys, finals = [], [], []
        for p, N in enumerate(sizes):  # noqa: N806
            mask = _member_mask(active, p)
            kept = run_forward(
                made, N, M, [value[p] for value in frames], [value[p] for value in fixed],
                dict(zip(matrices, (value[p] for value in weights), strict=True)), mask, [value[p, :, :N] for value in state],
            )  # fmt: skip
            history = kept.area("history", len(state), steps + 1, rows, N)
            ys.append(history[0, 1:])
            finals.append(history[:, -1])
            ctx.kept.append(kept)
        ctx.made, ctx.sizes, ctx.active, ctx.counts = made, tuple(sizes), active, counts
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        y, final = _padded(ys, width, 1), _padded(finals, width, 1)
        return (y, *final.unbind(0))

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]  # torch's own is untyped
    def backward(ctx: Any, dy: Tensor | None, *dfinal: Tensor | None) -> tuple[Any, ...]:
        tensors = ctx.saved_tensors
        made, (na, nb, nc) = ctx.made, ctx.counts
        inputs, fixed, weights, state = tensors[:na], tensors[na : na + nb], tensors[na + nb : na + nb + nc], tensors[na + nb + nc :]
        _, rows, width = state[0].shape
        steps, M = inputs[0].shape[0], inputs[0].shape[-1]  # noqa: N806
        frames = [value.transpose(0, 1).contiguous() for value in inputs]
        needs = ctx.needs_input_grad[3:]
        dframes = [_gradient_of(value, made.plan) if need else None for value, need in zip(frames, needs, strict=False)]
        dfixed = [torch.zeros_like(value, memory_format=torch.contiguous_format) for value in fixed]
        whole = all(N == width for N in ctx.sizes)
        make = torch.empty_like if whole else torch.zeros_like
        dweights = [make(value, memory_format=torch.contiguous_format) for value in weights]
        dstates = []
        for p, N in enumerate(ctx.sizes):  # noqa: N806
            member_dy = dy[:, p, :, :N].contiguous() if dy is not None else frames[0].new_zeros(steps, rows, N)
            dstates.append(torch.stack(run_backward(
                made, N, M, [value[p] for value in frames], [value[p] for value in fixed],
                dict(zip(made.matrices, (value[p] for value in weights), strict=True)), _member_mask(ctx.active, p),
                ctx.kept[p], member_dy, [None if d is None else d[p, :, :N] for d in dfinal],
                [None if d is None else d[p] for d in dframes], [d[p] for d in dfixed],
                dict(zip(made.matrices, (d[p] for d in dweights), strict=True)),
            )))  # fmt: skip
        initial = _padded(dstates, width, 1)
        dinputs = [None if d is None else d.transpose(0, 1) for d in dframes]
        return (None, None, None, *dinputs, *dfixed, *dweights, *initial.unbind(0))


def _gradient_of(value: Tensor, the: Plan) -> Tensor:
    """Room for the gradient of an input; a cell that multiplies none by a matrix leaves it zero."""
    return torch.empty_like(value) if the.inputs else torch.zeros_like(value)


def _member_mask(active: Tensor | None, member: int) -> Tensor | None:
    """[T, B] bytes."""
    if active is None:
        return None
    return active[:, member if active.shape[1] > 1 else 0, :, 0].to(torch.uint8).contiguous()


def _padded(parts: Sequence[Tensor], width: int, dim: int) -> Tensor:
    """Members side by side in a new dimension, zero beyond each one's N."""
    first = parts[0]
    if len(parts) == 1 and first.shape[-1] == width:
        return first.unsqueeze(dim).clone()
    whole = first.new_zeros(*first.shape[:dim], len(parts), *first.shape[dim:-1], width)
    for p, part in enumerate(parts):
        whole.select(dim, p)[..., : part.shape[-1]] = part
    return whole


def scan(
    graph: Graph,
    parameters: Mapping[str, Tensor],
    x: Tensor,
    state: Mapping[str, Tensor],
    active: Tensor | None = None,
    sizes: Sequence[int] | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run a cell over time; see ``kernels.eager.scan`` for the contract.

    Raises:
        TypeError: x is neither float32 nor float64.
        ValueError: x is not on the CPU.
    """
    if x.device.type != "cpu":
        raise ValueError(f"backend 'numba': x is on {x.device}; expected the CPU. Use backend='auto' or 'eager'.")
    made = kernel(graph, x.dtype)
    members, width = next(iter(state.values())).shape[0], next(iter(state.values())).shape[2]
    sizes = [width] * members if sizes is None else list(sizes)
    values = _before(graph, made.plan, parameters, x, sizes)
    inputs = [values[number] for number in made.plan.inputs] or [x]
    fixed = [values[number].squeeze(1) for number in made.plan.vectors]
    weights = [parameters[name].contiguous() for name in made.matrices]
    initial = [state[name] for name in graph.states]
    y, *final = _Scan.apply(made, sizes, active, *inputs, *fixed, *weights, *initial)
    return y, dict(zip(graph.states, final, strict=True))


def _before(graph: Graph, the: Plan, parameters: Mapping[str, Tensor], x: Tensor, sizes: Sequence[int]) -> dict[int, Any]:
    """What torch computes: nodes made of the input alone or of parameters alone, as far as the scan reads them."""
    values: dict[int, Any] = {}

    def value(number: int) -> Any:
        if number not in values:
            node = graph.nodes[number]
            if node.op == "input":
                values[number] = x
            elif node.op == "vector":
                values[number] = parameters[node.name].unsqueeze(1)
            elif node.op == "constant":
                values[number] = node.value
            elif node.op == "matmul":
                values[number] = _member_products(value(node.args[0]), parameters[node.name], sizes)
            else:
                values[number] = OPS[node.op].eager(*(value(argument) for argument in node.args))
        return values[number]

    for number in (*the.inputs, *the.vectors):
        value(number)
    return values


def _member_products(vector: Tensor, matrix: Tensor, sizes: Sequence[int]) -> Tensor:
    """matrix @ vector for each member at its own N, so that rounding does not depend on the widest."""
    width = matrix.shape[1]
    parts = [torch.nn.functional.pad(matrix[p, :N, :N] @ vector[p, 0, :N], (0, width - N)) for p, N in enumerate(sizes)]
    return torch.stack(parts).unsqueeze(1)
