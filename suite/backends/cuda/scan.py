"""The cuda backend: a cell's scan as generated CUDA C++, forward and backward, wrapped in one autograd Function.

Members of one size class are computed by one launch, each at its own N, so its numbers are the same alone and among others,
bit by bit. What is made of the input alone is torch's. The gradient cannot itself be differentiated.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lstm_odyssey.backends import eager, single
from lstm_odyssey.backends.cuda import memory
from lstm_odyssey.backends.cuda.kernels import LARGEST, Kernel, kernel, sources
from lstm_odyssey.backends.cuda.programs import Programs
from lstm_odyssey.backends.cuda.running.launch import Column, Device, Work
from lstm_odyssey.backends.cuda.source import products
from lstm_odyssey.backends.lowering import Lowered
from lstm_odyssey.backends.tensors import dense, foreign, observed, plain, second_derivative, watched
from lstm_odyssey.backends.trainer import Load, Planned

OLDEST = 8
"""The first compute capability that kernels are made for."""

_emulated: ContextVar[Device | None] = ContextVar("emulated", default=None)


@contextmanager
def emulated(device: Device) -> Iterator[None]:
    """Inside, tensors of the CPU are computed by this device, as ``EmulatedDevice``."""
    token = _emulated.set(device)
    try:
        yield
    finally:
        _emulated.reset(token)


def device_of(where: torch.device) -> Device:
    """Who runs kernels for the tensors of a device.

    Raises:
        ValueError: it is no CUDA device.
    """
    found = _emulated.get()
    if where.type == "cuda":
        from lstm_odyssey.backends.cuda.running.driver import CudaDevice

        return CudaDevice.of(where)
    if where.type != "cpu" or found is None:
        raise ValueError(f"backend 'cuda': x is on {where}; expected a CUDA device. Use backend='auto' or 'eager'.")
    return found


class Call:
    """One call of a scan by autograd.

    Args:
        made: the cell.
        device: who runs it.
        shape: T, P, B.
        sizes: each member's N.
        alone: whether these are the directions of one network, which has the GPU to itself, and no population.
    """

    def __init__(
        self, made: Kernel, device: Device, shape: tuple[int, int, int], sizes: Sequence[int], alone: bool
    ) -> None:
        self.made, self.device = made, device
        self.T, self.P, self.B = shape
        self.processors = device.processors // self.P if alone else None
        self.N = np.array(sizes, np.int64)
        self.members = np.arange(self.P)

    def each(self, value: Tensor) -> Column:
        """Where each member's part of a tensor [P, ...] begins."""
        return Column(value, self.members * value[0].numel())

    def named(self, spaces: Mapping[str, Tensor]) -> dict[str, tuple[Column, int]]:
        """Where each member's parameters begin, by name, and the numbers in a line."""
        found = {}
        for space, names in self.made.plan.graph.packed.items():
            value, begin = spaces[space], self.each(spaces[space]).offsets
            line = value.shape[2] if value.ndim == 3 else 1
            gate = value.shape[1] // len(names) * line
            for k, name in enumerate(names):
                found[name] = Column(value, begin + k * gate), line
        return found

    def programs(self, inputs: Sequence[Tensor], spaces: Mapping[str, Tensor], kept: Tensor | None) -> Programs:
        """The members' scans, with the tensors that they are given."""
        given = [(self.each(x), x.shape[-1]) for x in inputs]
        space, names = next(iter(self.made.plan.graph.packed.items()))
        stacked = int(self.N.min()) * len(names) == spaces[space].shape[1]
        made = Programs(self.made, (self.T, self.B), self.N, self.named(spaces), given, stacked, self.processors)
        made.kept = next(iter(inputs)).new_empty(made.total) if kept is None else kept
        return made

    def common(self, active: Tensor | None, width: int) -> dict[str, Column | int | None]:
        """What the tables of both directions have."""
        mask = None if active is None else self.each(active) if len(active) > 1 else Column(active)
        return {"LINE": width, "STEP": self.P * self.B * width, "active": mask}

    def run(self, launches: Sequence[tuple[str, list[Work]]]) -> None:
        """Run launches, each with its text."""
        for text, own in launches:
            self.device.run(text, own)


class _Fused(torch.autograd.Function):
    """The scans of a population; tensors come as inputs [P, T, B, M], packed spaces [P, ...], states [P, B, N]."""

    @staticmethod
    def forward(ctx: Any, call: Call, active: Tensor | None, *tensors: Tensor) -> tuple[Tensor, ...]:
        made, T, P, B = call.made, call.T, call.P, call.B
        inputs, spaces, states = _split(made, tensors)
        width = states[0].shape[-1]
        make = torch.zeros_like if int(call.N.min()) < width else torch.empty_like
        y = make(states[0].new_empty((T, P, B, width)))
        final = [make(value) for value in states]
        programs = call.programs(inputs, spaces, None)
        if made.plan.input_runs:
            call.device.run(products.source(made.size), programs.input_products())
        columns = call.common(active, width) | {"y": Column(y, call.members * B * width)}
        for k, (value, last) in enumerate(zip(states, final, strict=True)):
            columns |= {f"initial{k}": call.each(value), f"final{k}": call.each(last)}
        call.run(programs.scans(0, columns))
        kept = programs.kept
        ctx.call = call
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, active, kept)
        return (y, *final)

    @staticmethod
    def backward(ctx: Any, *adjoints: Tensor | None) -> tuple[Any, ...]:
        if torch.is_grad_enabled():
            raise second_derivative("cuda")
        if observed():
            raise watched("cuda")
        call: Call = ctx.call
        made, T, B = call.made, call.T, call.B
        *tensors, active, kept = ctx.saved_tensors
        inputs, spaces, states = _split(made, tensors)
        dy, *dfinal = (None if value is None else dense("cuda", value) for value in adjoints)
        width, vectors, sums = states[0].shape[-1], len(made.plan.vectors), len(made.plan.accumulators)
        programs = call.programs(inputs, spaces, kept)
        dspaces = {space: torch.zeros_like(value) for space, value in spaces.items()}
        dstates = [torch.zeros_like(value) for value in states]
        wanted = ctx.needs_input_grad[2 : 2 + len(inputs)]
        dinputs = [torch.empty_like(x) if need else None for x, need in zip(inputs, wanted, strict=True)]
        gradients = {name: column for name, (column, _) in call.named(dspaces).items()}
        deltas = Column.filled(kept.new_empty, T * B * sums * call.N)
        parts = Column.filled(kept.new_empty, programs.tiles() * vectors * call.N)
        columns = call.common(active, width) | {"deltas": deltas, "dvectors": parts if vectors else None}
        columns["dy"] = None if dy is None else Column(dy, call.members * B * width)
        for k, (value, above) in enumerate(zip(dstates, dfinal, strict=True)):
            columns |= {f"dinitial{k}": call.each(value), f"dfinal{k}": None if above is None else call.each(above)}
        call.run(programs.scans(1, columns))
        dxs = [None if dx is None else call.each(dx) for dx in dinputs]
        after = programs.gradient_products(deltas, gradients, dxs) + programs.collected(parts, gradients)
        if after:
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
    alone: bool = False,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run a cell over time; see ``backends.eager.scan`` for the contract. ``alone``: the members are one network's directions.

    Raises:
        TypeError: x is neither float32 nor float64, or an op of the cell has no kernel.
        ValueError: x is not on a CUDA device.
    """
    if x.ndim == 3:
        return single.of_one(partial(scan, alone=True), lowered, spaces, x, state, active)
    if foreign((x, *spaces.values(), *state.values())):
        return eager.scan(lowered, spaces, x, state, active, sizes)
    device = device_of(x.device)
    made = kernel(lowered, x.dtype, device.architecture)
    T, P, B, _ = x.shape
    initial = [state[name] for name in lowered.states]
    sizes = [initial[0].shape[-1]] * P if sizes is None else list(sizes)
    largest = max(T * P * B * max(sizes), (T + 1) * B * max(sizes) * made.most_kept)
    if not x.numel() or largest > LARGEST:
        return eager.scan(lowered, spaces, x, state, active, sizes)
    inputs = _inputs(made, x)
    mask = None
    if active is not None:
        mask = active.squeeze(3).transpose(0, 1).to(torch.uint8).contiguous()
    call = Call(made, device, (T, P, B), sizes, alone)
    given = [plain(value) for value in (*inputs, *(spaces[s] for s in made.plan.graph.packed), *initial)]
    y, *final = _Fused.apply(call, mask, *given)
    return y, dict(zip(lowered.states, final, strict=True))


def several(calls: Sequence[tuple[Any, ...]]) -> list[tuple[Tensor, dict[str, Tensor]]]:
    """What ``scan`` makes of each call. The directions of one network are computed side by side, by the same launches."""
    lowered, _, x, _, active, _ = zip(*calls, strict=True)
    kinds = {(cell, one.shape, id(mask)) for cell, one, mask in zip(lowered, x, active, strict=True)}
    if len(kinds) > 1 or x[0].ndim != 3:
        return [scan(*call) for call in calls]
    return single.of_several(partial(scan, alone=True), calls)


def _inputs(made: Kernel, x: Tensor) -> list[Tensor]:
    """The functions of the input that are multiplied by W [P, T, B, M], made by torch, which differentiates them."""
    x = x.transpose(0, 1).contiguous()
    return made.plan.functions(x) if made.plan.before else [x]


def trainer(dtype: torch.dtype) -> Callable[..., Any]:
    """What makes training steps of populations; see ``backends.Backend.trainer``."""
    from lstm_odyssey.backends.cuda.shape import Workspace
    from lstm_odyssey.backends.cuda.training_step import PopulationStep

    rooms: dict[torch.device, Workspace] = {}  # the groups of a population share them

    def make(network: Any, objective: Any, velocity: Tensor, **options: Any) -> PopulationStep:
        workspace = rooms.setdefault(velocity.device, Workspace(velocity))
        return PopulationStep(
            network, objective, velocity, **options, device=device_of(velocity.device), workspace=workspace
        )

    return make


def missing() -> str:
    """What is not installed; torch's CUDA wheels bring all of it."""
    if torch.version.hip is not None:
        return "a torch for CUDA; this one is for ROCm"
    if (
        torch.cuda.is_available()
        and min(torch.cuda.get_device_capability(k)[0] for k in range(torch.cuda.device_count())) < OLDEST
    ):
        return f"a GPU of compute capability {OLDEST}.0 or newer"
    from lstm_odyssey.backends.cuda.running import nvrtc

    try:
        bindings = importlib.util.find_spec("cuda.bindings") is not None
    except ModuleNotFoundError:
        bindings = False
    if not bindings:
        return "the package cuda-bindings, which torch's CUDA wheels bring"
    return nvrtc.missing()


def prepare(lowered: Lowered, dtype: torch.dtype, planned: Planned | None = None) -> None:
    """Compile what a cell needs on the GPU of this process, on all cores, or read it from the cache.

    Of what is planned all that will be launched; otherwise the scans of every class, and what goes around them.
    """
    if torch.cuda.is_available() or _emulated.get() is not None:
        device = device_of(torch.device("cpu" if _emulated.get() is not None else "cuda"))
        texts = sources(kernel(lowered, dtype, device.architecture), planned)
        device.build(texts, planned.progress if planned else None)


def group(lowered: Lowered, dtype: torch.dtype, device: torch.device, load: Load) -> int | None:
    """How many members fit into what is free on a device; None where that is not known."""
    own = _emulated.get()
    runner = device_of(device) if own is None else own
    free = runner.free()
    return None if free is None else memory.group(kernel(lowered, dtype, runner.architecture), load, free)
