"""The cuda backend: a cell's scan as generated CUDA C++, forward and backward, wrapped in one autograd Function.

Members of one size class are computed by one launch, each at its own N, so its numbers are the same alone and among others,
bit by bit. What is made of the input alone is torch's. The gradient cannot itself be differentiated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from lstm_odyssey.backends import eager
from lstm_odyssey.backends.cuda.classes import SizeClass
from lstm_odyssey.backends.cuda.launch import Device, Entry, Launch
from lstm_odyssey.backends.cuda.member import (
    LARGEST,
    Compiled,
    Kernel,
    Layout,
    Member,
    gradient_products,
    input_products,
    kernel,
)
from lstm_odyssey.backends.cuda.source import products
from lstm_odyssey.backends.lowering import Lowered
from lstm_odyssey.cell.ops import OPS

_emulated: ContextVar[Device | None] = ContextVar("emulated", default=None)


@contextmanager
def emulated(device: Device) -> Iterator[None]:
    """Inside, tensors of the CPU are computed by this device, as ``EmulatedDevice``."""
    token = _emulated.set(device)
    try:
        yield
    finally:
        _emulated.reset(token)


def _device(x: Tensor) -> Device:
    found = _emulated.get()
    if x.device.type == "cuda":
        from lstm_odyssey.backends.cuda.driver import CudaDevice

        return CudaDevice.of(x.device)
    if x.device.type != "cpu" or found is None:
        raise ValueError(f"backend 'cuda': x is on {x.device}; expected a CUDA device. Use backend='auto' or 'eager'.")
    return found


class Call:
    """One call of a scan: its sizes, and the members in their classes.

    Args:
        made: the cell.
        device: who runs it.
        shape: T, P, B.
        sizes: each member's N.
    """

    def __init__(self, made: Kernel, device: Device, shape: tuple[int, int, int], sizes: Sequence[int]) -> None:
        self.made, self.device, self.sizes = made, device, tuple(sizes)
        self.T, self.P, self.B = shape
        self.classes: dict[SizeClass, list[int]] = {}
        for p, N in enumerate(sizes):
            layout = made.layout(N)
            assert layout is not None  # asked before
            self.classes.setdefault(layout, []).append(p)
        self.layouts: list[Layout] = []
        end = 0
        for N in sizes:
            self.layouts.append(Layout(made.plan, self.T, self.B, N, end))
            end = self.layouts[-1].end
        self.total = end

    def members(
        self, inputs: Sequence[Tensor], spaces: Mapping[str, Tensor], kept: Tensor
    ) -> tuple[list[Member], list[dict[str, tuple[Tensor, int]]]]:
        """Each member's view of the tensors of a call."""
        named = [self._named(spaces, p) for p in range(self.P)]
        return [
            Member(N, [x[p] for x in inputs], named[p], kept, self.layouts[p]) for p, N in enumerate(self.sizes)
        ], named

    def _named(self, spaces: Mapping[str, Tensor], p: int) -> dict[str, tuple[Tensor, int]]:
        """One member's parameters by name, from its first number on, and the numbers in a line of each."""
        found = {}
        for space, names in self.made.plan.graph.packed.items():
            value = spaces[space][p]
            lines = value.shape[0] // len(names)
            for k, name in enumerate(names):
                found[name] = value[k * lines :], value.shape[1] if value.ndim == 2 else 1
        return found

    def run(self, which: int, rows: Sequence[Mapping[str, Entry]]) -> None:
        """Launch the scan ``which``, 0 forward and 1 backward, of every class."""
        kernels = ("forward", "backward")
        for layout, members in self.classes.items():
            made = self.made.compiled(layout, self.B)
            table = [[rows[p][name] for name in self.made.names[which]] for p in members]
            launch = Launch(
                kernels[which], len(members), self.tiles(made), layout.threads, layout.cluster, made.shared[which], table
            )
            self.device.run(made.text, [launch])

    def tiles(self, made: Compiled) -> int:
        """Of rows."""
        return -(-self.B // made.rows)

    def common(self, member: Member, active: Tensor | None, y_step: int, line: int) -> dict[str, Entry]:
        """What both directions' tables have."""
        at = member.at
        found: dict[str, Entry] = {
            "T": self.T, "B": self.B, "N": member.N, "LINE": line, "STEP": y_step, "active": active,
            "slots": member.kept[at.slots :], "history": member.kept[at.history :],
            "operands": member.kept[at.operands :] if at.end > at.operands else None,
        }  # fmt: skip
        names = [parameter for run in self.made.plan.recurrent for parameter in run.parameters]
        for k, name in enumerate(names):
            found[f"r{k}"], found[f"r{k}_line"] = member.parameters[name]
        for k, number in enumerate(self.made.plan.vectors):
            found[f"f{k}"] = member.parameters[self.made.plan.graph.nodes[number].name][0]
        return found


class _Fused(torch.autograd.Function):
    """The scans of a population; tensors come as inputs [P, T, B, M], packed spaces [P, ...], states [P, B, N]."""

    @staticmethod
    def forward(ctx: Any, call: Call, active: Tensor | None, *tensors: Tensor) -> tuple[Tensor, ...]:
        made, T, P, B = call.made, call.T, call.P, call.B
        inputs, spaces, states = _split(made, tensors)
        width = states[0].shape[-1]
        ragged = min(call.sizes) < width
        make = torch.zeros if ragged else torch.empty
        y = make((T, P, B, width), dtype=states[0].dtype, device=states[0].device)
        final = [make(value.shape, dtype=value.dtype, device=value.device) for value in states]
        kept = torch.empty(call.total, dtype=y.dtype, device=y.device)
        members, _ = call.members(inputs, spaces, kept)
        call.device.run(products.source(made.size), input_products(made, T * B, members)) if made.plan.input_runs else None
        rows = []
        for p, member in enumerate(members):
            row = call.common(member, None if active is None else active[p if len(active) > 1 else 0], P * B * width, width)
            row["y"] = y[:, p]
            for k, (value, last) in enumerate(zip(states, final, strict=True)):
                row[f"initial{k}"], row[f"final{k}"] = value[p], last[p]
            rows.append(row)
        call.run(0, rows)
        ctx.call = call
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, active, kept)
        return (y, *final)

    @staticmethod
    def backward(ctx: Any, *adjoints: Tensor | None) -> tuple[Any, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "backend 'cuda': asked for a gradient that can be differentiated again (create_graph=True); expected one "
                "derivative only. Use backend='eager' for higher ones."
            )
        call: Call = ctx.call
        made, T, P, B = call.made, call.T, call.P, call.B
        *tensors, active, kept = ctx.saved_tensors
        inputs, spaces, states = _split(made, tensors)
        dy, *dfinal = (None if value is None else value.contiguous() for value in adjoints)
        width, vectors = states[0].shape[-1], len(made.plan.vectors)
        members, _ = call.members(inputs, spaces, kept)
        dspaces = {space: torch.zeros_like(value) for space, value in spaces.items()}
        dstates = [torch.zeros_like(value) for value in states]
        wanted = ctx.needs_input_grad[2 : 2 + len(inputs)]
        dinputs = [torch.empty_like(x) if need else None for x, need in zip(inputs, wanted, strict=True)]
        _, gradients = call.members(inputs, dspaces, kept)
        sums = len(made.plan.accumulators)
        tiles = {p: call.tiles(made.compiled(layout, B)) for layout, own in call.classes.items() for p in own}
        deltas = [kept.new_empty(T * B * sums * N) for N in call.sizes]
        parts = [kept.new_empty(tiles[p] * vectors * N) for p, N in enumerate(call.sizes)]
        rows = []
        for p, member in enumerate(members):
            row = call.common(member, None if active is None else active[p if len(active) > 1 else 0], P * B * width, width)
            row |= {"deltas": deltas[p], "dvectors": parts[p] if vectors else None, "dy": None if dy is None else dy[:, p]}
            for k, (value, above) in enumerate(zip(dstates, dfinal, strict=True)):
                row[f"dinitial{k}"], row[f"dfinal{k}"] = value[p], None if above is None else above[p]
            rows.append(row)
        call.run(1, rows)
        dxs = [[None if dx is None else dx[p] for dx in dinputs] for p in range(P)]
        after = gradient_products(made, T * B, members, deltas, gradients, dxs)
        collected: list[list[Entry]] = [
            [tiles[p], N, parts[p][k * N :], vectors * N, gradients[p][made.plan.graph.nodes[number].name][0]]
            for p, N in enumerate(call.sizes)
            for k, number in enumerate(made.plan.vectors)
        ]
        if collected:
            blocks = -(-max(call.sizes) // products.THREADS)
            after.append(Launch("collect", len(collected), blocks, products.THREADS, 1, 0, collected))
        call.device.run(products.source(made.size), after)
        if not made.plan.inputs:
            dinputs = [None if dx is None else dx.zero_() for dx in dinputs]
        return (None, None, *dinputs, *dspaces.values(), *dstates)


def _split(made: Kernel, tensors: Sequence[Tensor]) -> tuple[Sequence[Tensor], dict[str, Tensor], Sequence[Tensor]]:
    """Inputs, spaces by name, states."""
    packed, count = made.plan.graph.packed, max(len(made.plan.inputs), 1)
    states = tensors[count + len(packed) :]
    return tensors[:count], dict(zip(packed, tensors[count:], strict=False)), states


def scan(
    lowered: Lowered,
    spaces: Mapping[str, Tensor],
    x: Tensor,
    state: Mapping[str, Tensor],
    active: Tensor | None = None,
    sizes: Sequence[int] | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run a cell over time; see ``backends.eager.scan`` for the contract.

    Raises:
        TypeError: x is neither float32 nor float64, or an op of the cell has no kernel.
        ValueError: x is not on a CUDA device.
    """
    if x.ndim == 3:
        y, final = scan(
            lowered,
            {name: value.unsqueeze(0) for name, value in spaces.items()},
            x.unsqueeze(1),
            {name: value.view(1, *value.shape[-2:]) for name, value in state.items()},
            None if active is None else active.unsqueeze(1),
        )
        return y.squeeze(1), {name: value.view(state[name].shape) for name, value in final.items()}
    device = _device(x)
    made = kernel(lowered, x.dtype, device.architecture)
    T, P, B, _ = x.shape
    initial = [state[name] for name in lowered.states]
    sizes = [initial[0].shape[-1]] * P if sizes is None else list(sizes)
    largest = T * B * max(made.plan.places, len(made.plan.accumulators), 1) * max(sizes)
    if not x.numel() or largest > LARGEST or any(made.layout(N) is None for N in sizes):
        return eager.scan(lowered, spaces, x, state, active, sizes)
    inputs = _inputs(made, x)
    mask = None
    if active is not None:
        mask = active.squeeze(3).transpose(0, 1).to(torch.uint8).contiguous()
    call = Call(made, device, (T, P, B), sizes)
    given = [value.contiguous() for value in (*inputs, *(spaces[s] for s in made.plan.graph.packed), *initial)]
    y, *final = _Fused.apply(call, mask, *given)
    return y, dict(zip(lowered.states, final, strict=True))


def _inputs(made: Kernel, x: Tensor) -> list[Tensor]:
    """The functions of the input that are multiplied by W [P, T, B, M], made by torch, which differentiates them."""
    x = x.transpose(0, 1).contiguous()
    if not made.plan.before:
        return [x]
    nodes, values = made.plan.graph.nodes, {}
    for number in made.plan.before:
        node = nodes[number]
        if node.op in ("input", "constant"):
            values[number] = x if node.op == "input" else node.value
        else:
            values[number] = OPS[node.op].eager(*(values[argument] for argument in node.args))
    return [values[number] for number in made.plan.inputs]
