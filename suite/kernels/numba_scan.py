"""The numba backend: a cell's scan compiled for this CPU, forward and backward, wrapped in one autograd Function.

Each member of a population is computed at its own N, so its numbers are the same alone and among others, bit by bit. What
is made of the input alone or of parameters alone is left to torch and its autograd; all else is in the compiled scan.
The gradient is compiled too and cannot itself be differentiated.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import threading

import torch
from torch import Tensor
from torch.nn.functional import pad

from lstm_odyssey.cell.graph import Graph
from lstm_odyssey.cell.ops import OPS
from lstm_odyssey.kernels import products
from lstm_odyssey.kernels.cache import module
from lstm_odyssey.kernels.emit import source
from lstm_odyssey.kernels.plan import Plan, plan
from lstm_odyssey.kernels.vectors import vector_bytes

_SIZES = {torch.float32: 4, torch.float64: 8}


@dataclass(frozen=True, eq=False)
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

    @cached_property
    def cuts(self) -> tuple[int, int, int]:
        """Where fixed vectors, matrices and states begin in a list of all tensors."""
        inputs = max(len(self.plan.inputs), 1)
        fixed = inputs + len(self.plan.vectors)
        return inputs, fixed, fixed + len(self.matrices)

    @cached_property
    def plain(self) -> tuple[str, ...] | None:
        """The names of the fixed vectors, if they and the input go into the scan as they are."""
        nodes = self.plan.graph.nodes
        if all(nodes[n].op == "input" for n in self.plan.inputs) and all(nodes[n].op == "vector" for n in self.plan.vectors):
            return tuple(nodes[n].name for n in self.plan.vectors)
        return None

    @cached_property
    def matrices(self) -> tuple[str, ...]:
        """The parameters that stand in products of the scan."""
        runs = (*self.plan.input_runs, *self.plan.recurrent)
        return tuple(dict.fromkeys(name for run in runs for name in run.parameters))


_PLANS: dict[str, Plan] = {}


def _plan(graph: Graph) -> Plan:
    if graph.signature not in _PLANS:
        _PLANS[graph.signature] = plan(graph)
    return _PLANS[graph.signature]


_KERNELS: dict[tuple[str, torch.dtype], Kernel] = {}


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
    made = _KERNELS.get((graph.signature, dtype))
    if made is None:
        if dtype not in _SIZES:
            raise TypeError(f"backend 'numba': x is {dtype}; expected float32 or float64. Use backend='eager' for other types.")
        _plan(graph)
        made = _KERNELS[graph.signature, dtype] = _compiled(graph.signature, _SIZES[dtype])
    return made


@dataclass(frozen=True)
class Layout:
    """Where the areas of a call lie, in bytes from the beginning of a tensor, and how many floats each tensor has."""

    kept: tuple[int, ...]
    kept_total: int
    forward: tuple[int, ...]
    forward_total: int
    backward: tuple[int, ...]
    backward_total: int


@lru_cache(maxsize=4096)
def _layout(made: Kernel, T: int, B: int, N: int, M: int) -> Layout:  # noqa: N803 - the paper's letters
    the, lanes = made.plan, vector_bytes() // made.size
    frames, count, states = T * B, len(made.plan.accumulators), len(made.plan.graph.states)

    def packed(lines: int, columns: int) -> int:
        return lines * -(-columns // lanes) * lanes

    def areas(*sizes: int) -> tuple[tuple[int, ...], int]:
        places, total = [], 0
        for size in sizes:
            places.append(total * made.size)
            total += -(-size // lanes) * lanes
        return tuple(places), total

    rows = [len(run.parameters) * N for run in the.recurrent]
    return Layout(
        *areas(states * (T + 1) * B * N, frames * the.places * N, len(the.operands) * frames * N),
        *areas(max(M, N), count * N, *(packed(M, len(run.parameters) * N) for run in the.input_runs),
               *(packed(N, row) for row in rows)),
        *areas(max(M, N), frames * count * N, len(the.operands) * B * N, 2 * states * B * N, packed(count * N, M),
               *(packed(row, N) for row in rows)),
    )  # fmt: skip


class Pool(threading.local):
    """Memory of earlier calls, used again: fresh pages cost as much as a short scan. One pool a thread."""

    def __init__(self) -> None:
        self.scratch: dict[torch.dtype, Tensor] = {}
        self.free: list[Tensor] = []

    def address(self, floats: int, dtype: torch.dtype) -> int:
        """Of memory for what a call needs only while it runs."""
        tensor = self.scratch.get(dtype)
        if tensor is None or tensor.numel() < floats:
            tensor = self.scratch[dtype] = torch.empty(floats, dtype=dtype)
        return tensor.data_ptr()

    def take(self, floats: int, dtype: torch.dtype) -> Tensor:
        """A tensor of at least this many floats, and at most twice as many."""
        for place, tensor in enumerate(self.free):
            if tensor.dtype == dtype and floats <= tensor.numel() <= 2 * floats:
                return self.free.pop(place)
        return torch.empty(floats, dtype=dtype)


POOL = Pool()


class Kept:
    """What a forward pass leaves for the backward pass; the memory returns to the pool when the graph is gone."""

    def __init__(self, floats: int, dtype: torch.dtype) -> None:
        self.tensor = POOL.take(floats, dtype)

    def __del__(self) -> None:
        free = getattr(POOL, "free", None)  # gone when the interpreter ends
        if free is not None and len(free) < 8:
            free.append(self.tensor)


def _addresses(tensors: Sequence[Tensor | None]) -> list[int]:
    return [0 if tensor is None else tensor.data_ptr() for tensor in tensors]


def _lines(tensors: Sequence[Tensor | None], size: int) -> list[int]:
    """Address and distance of lines of each matrix."""
    return [n for tensor in tensors for n in ((0, 0) if tensor is None else (tensor.data_ptr(), tensor.stride(0) * size))]


class Member:
    """One member's scan: tensors without the member's dimension, contiguous, all of one dtype.

    Args:
        made: the compiled cell.
        inputs: [T, B, M]; fixed: [N]; matrices: [N, M] or [N, N], contiguous in the last dimension; state: [B, N].
        active: [T, B] bytes, or None.
    """

    def __init__(self, made: Kernel, N: int, inputs: Sequence[Tensor], fixed: Sequence[Tensor],  # noqa: N803
                 matrices: Sequence[Tensor], active: Tensor | None) -> None:  # fmt: skip
        T, B, M = inputs[0].shape  # noqa: N806
        self.made, self.sizes, self.dtype = made, (T, B, N, M), inputs[0].dtype
        self.layout = _layout(made, T, B, N, M)
        self.head = [T, B, N, M, 0 if active is None else active.data_ptr(),
                     made.product, made.pack_lines, made.pack_columns]  # fmt: skip
        self.arguments = [*_addresses(inputs[: len(made.plan.inputs)]), *_addresses(fixed), *_lines(matrices, made.size)]

    def _base(self, kept: Kept, places: Sequence[int], floats: int) -> list[int]:
        first, scratch = kept.tensor.data_ptr(), POOL.address(floats, self.dtype)
        return [*self.head, *(first + place for place in self.layout.kept), *(scratch + place for place in places)]

    def forward(self, state: Sequence[Tensor], y: Tensor, final: Sequence[Tensor]) -> Kept:
        """Fill y [T, B, N] and the final states; returns what the backward pass needs."""
        kept = Kept(self.layout.kept_total, self.dtype)
        base = self._base(kept, self.layout.forward, self.layout.forward_total)
        table = array("q", [*base, y.data_ptr(), *_addresses(final), *self.arguments, *_addresses(state)])
        self.made.forward(table.buffer_info()[0])
        return kept

    def backward(self, kept: Kept, dy: Tensor, dfinal: Sequence[Tensor | None], dinputs: Sequence[Tensor | None],
                 dfixed: Sequence[Tensor], dmatrices: Sequence[Tensor | None], dstate: Sequence[Tensor | None]) -> None:  # fmt: skip
        """Fill the gradients; those given as None are not computed."""
        base = self._base(kept, self.layout.backward, self.layout.backward_total)
        table = array("q", [
            *base, dy.data_ptr(), *_addresses(dfinal), *self.arguments, *_addresses(dinputs), *_addresses(dfixed),
            *_lines(dmatrices, self.made.size), *_addresses(dstate),
        ])  # fmt: skip
        self.made.backward(table.buffer_info()[0])


class _Single(torch.autograd.Function):
    """The compiled scan of one network; tensors come as inputs, fixed vectors, matrices, states."""

    @staticmethod
    def forward(ctx: Any, made: Kernel, active: Tensor | None, *tensors: Tensor) -> tuple[Tensor, ...]:
        a, b, c = made.cuts
        state = tensors[c:]
        B, N = state[0].shape[-2:]  # noqa: N806
        ctx.member = member = Member(made, N, tensors[:a], tensors[a:b], tensors[b:c], active)
        y = torch.empty((member.sizes[0], B, N), dtype=member.dtype)
        final = [torch.empty_like(value) for value in state]
        ctx.kept = member.forward(state, y, final)
        ctx.active = active  # its address is in the member's table
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        return (y, *final)

    @staticmethod
    def backward(ctx: Any, dy: Tensor | None, *dfinal: Tensor | None) -> tuple[Any, ...]:
        if torch.is_grad_enabled():  # once_differentiable would let a second derivative pass as zero where dy is constant
            raise RuntimeError(
                "backend 'numba': asked for a gradient that can be differentiated again (create_graph=True); expected one "
                "derivative only. Use backend='eager' for higher ones."
            )
        tensors = ctx.saved_tensors
        member: Member = ctx.member
        made = member.made
        a, b, c = made.cuts
        T, B, N, _ = member.sizes  # noqa: N806
        dy = torch.zeros((T, B, N), dtype=member.dtype) if dy is None else dy.contiguous()
        needs = ctx.needs_input_grad[2:]
        made_of = [torch.empty_like(value) if need or a <= k < b else None
                   for k, (value, need) in enumerate(zip(tensors, needs, strict=True))]  # fmt: skip
        if not made.plan.inputs and made_of[0] is not None:
            made_of[0].zero_()
        dfinal = tuple(None if value is None else value.contiguous() for value in dfinal)
        inputs = made_of[:a] if made.plan.inputs else []
        member.backward(ctx.kept, dy, dfinal, inputs, made_of[a:b], made_of[b:c], made_of[c:])
        return (None, None, *made_of)


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
    initial = [state[name] for name in graph.states]
    if made.plain is not None:
        inputs, fixed = [x], [parameters[name] for name in made.plain]
        if x.ndim == 4:
            fixed = [value.unsqueeze(1) for value in fixed]
    else:
        values = _before(graph, made.plan, parameters, x, sizes)
        inputs = [values[number] for number in made.plan.inputs] or [x]
        fixed = [values[number] for number in made.plan.vectors]
    weights = [parameters[name] for name in made.matrices]
    if x.ndim == 3:
        mask = None if active is None else active.squeeze(2).to(torch.uint8).contiguous()
        tensors = [value.contiguous() for value in (*inputs, *fixed, *weights, *initial)]
        y, *final = _Single.apply(made, mask, *tensors)
        return y, dict(zip(graph.states, final, strict=True))
    members, _, width = initial[0].shape
    sizes = [width] * members if sizes is None else list(sizes)
    parts = []
    for p, N in enumerate(sizes):  # noqa: N806
        single = [*(value[:, p] for value in inputs), *(value[p, 0, :N] for value in fixed),
                   *(value[p, :N, : N if shape[1] == "N" else None] for value, shape in
                     zip(weights, (graph.parameters[name] for name in made.matrices), strict=True)),
                   *(value[p, :, :N] for value in initial)]  # fmt: skip
        mask = None if active is None else _mask(active, p)
        parts.append(_Single.apply(made, mask, *(value.contiguous() for value in single)))
    padded = [torch.stack([pad(value, (0, width - value.shape[-1])) for value in values], dim)
              for values, dim in zip(zip(*parts, strict=True), (1, *(0 for _ in initial)), strict=True)]  # fmt: skip
    return padded[0], dict(zip(graph.states, padded[1:], strict=True))


def _mask(active: Tensor, member: int) -> Tensor:
    """[T, B] bytes."""
    return active[:, member if active.shape[1] > 1 else 0, :, 0].to(torch.uint8).contiguous()


def _before(graph: Graph, the: Plan, parameters: Mapping[str, Tensor], x: Tensor, sizes: Sequence[int] | None) -> dict[int, Any]:
    """What torch computes: nodes made of the input alone or of parameters alone, as far as the scan reads them."""
    values: dict[int, Any] = {}

    def value(number: int) -> Any:
        if number not in values:
            node = graph.nodes[number]
            if node.op == "input":
                values[number] = x
            elif node.op == "vector":
                vector = parameters[node.name]
                values[number] = vector if x.ndim == 3 else vector.unsqueeze(1)
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


def _member_products(vector: Tensor, matrix: Tensor, sizes: Sequence[int] | None) -> Tensor:
    """matrix @ vector for each member at its own N, so that rounding does not depend on the widest."""
    if matrix.ndim == 2:
        return matrix @ vector
    width = matrix.shape[1]
    sizes = [width] * len(matrix) if sizes is None else sizes
    parts = [pad(matrix[p, :N, :N] @ vector[p, 0, :N], (0, width - N)) for p, N in enumerate(sizes)]
    return torch.stack(parts).unsqueeze(1)
