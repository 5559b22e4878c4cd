"""*check*, the scans: every cell in every size class against its own text called in float64 on the CPU.

Numbers are drawn in float32, so that one answer in float64 serves both types. In float64 each tensor of an answer has to agree
to ``EXACT`` of its greatest entry. In float32 the bound is the equality ladder's: the median over the draws of
max |got - text| / max(1, max |text|) is at most 8 times that of the eager backend on the CPU, and 8 units besides.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lstm_odyssey.backends.cuda.classes import WIDTHS
from lstm_odyssey.bench.gpu.record import Item, Row
from lstm_odyssey.bench.gpu.target import BACKEND, Target
from lstm_odyssey.bench.loop import Loop
from lstm_odyssey.cell import Cell
from lstm_odyssey.layers.rnn import RNN
from lstm_odyssey.training.threads import one_thread

EXACT = 1e-11
TIMES_EAGER = 8
INPUTS = 5

Answer = dict[str, Tensor]


@dataclass(frozen=True)
class Problem:
    """Inputs of a layer of one direction, float32: x [T, B, M], states [B, N], parameters, and adjoints of all results."""

    x: Tensor
    state: dict[str, Tensor]
    parameters: dict[str, Tensor]
    adjoint: Tensor
    adjoints: dict[str, Tensor]

    def frames(self, stop: int) -> Problem:
        """The same for the first frames."""
        return replace(self, x=self.x[:stop], adjoint=self.adjoint[:stop])

    @classmethod
    def drawn(cls, cell: Cell, T: int, B: int, M: int, N: int, seed: int = 1) -> Problem:
        """Entries of W and R have a standard deviation of 1/√N, all others 1; states keep to their domains and are not 0."""
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator)

        def initial(name: str) -> Tensor:
            if name not in cell.domains:
                return normal(B, N)
            low, high = cell.domains[name]
            return low + (high - low) * torch.rand(B, N, generator=generator)

        parameters = {}
        for name in cell.parameters:
            shape = cell.shape(name, M, N)
            parameters[name] = normal(*shape) / (math.sqrt(N) if len(shape) == 2 else 1)
        return cls(
            normal(T, B, M),
            {name: initial(name) for name in cell.states},
            parameters,
            normal(T, B, N),
            {name: normal(B, N) for name in cell.states},
        )


def by_text(cell: Cell, problem: Problem) -> Answer:
    """The answer of the cell's text in float64: outputs, last states, and the gradients of everything it is given."""
    constants = {
        f"k.{name}": one.default * torch.ones(problem.adjoint.shape[-1]) for name, one in cell.constants.items()
    }
    given = {name: value.double() for name, value in {**problem.parameters, **constants}.items()}
    loop = Loop(cell.step, cell.spaces, given)
    x = problem.x.double().mT.contiguous().requires_grad_()
    state = [problem.state[name].double().mT.contiguous().requires_grad_() for name in cell.states]
    y, final = loop(x, state)
    ends = dict(zip(cell.states, final, strict=True))
    total = (y * problem.adjoint.double().mT).sum()
    for name, value in ends.items():
        total = total + (value * problem.adjoints[name].double().mT).sum()
    leaves = [x, *state, *loop.parameters.values()]
    dx, *rest = torch.autograd.grad(total, leaves, materialize_grads=True)
    dstate, dparameters = rest[: len(state)], rest[len(state) :]
    return {
        "y": y.detach().mT,
        **{f"final {name}": value.detach().mT for name, value in ends.items()},
        "gradient of x": dx.mT,
        **{f"gradient of initial {name}": value.mT for name, value in zip(cell.states, dstate, strict=True)},
        **{
            f"gradient of {name}": value.view_as(problem.parameters[name])
            for name, value in zip(loop.parameters, dparameters, strict=True)
        },
    }


def made(cell: Cell, problem: Problem, backend: str, dtype: torch.dtype, device: torch.device) -> RNN:
    """A layer with the problem's parameters."""
    N = problem.adjoint.shape[-1]
    layer = RNN(cell, problem.x.shape[-1], N, backend=backend, dtype=dtype, device=device)
    layer.load_state_dict({f"cells.0.{name}": value for name, value in problem.parameters.items()})
    return layer


def by_layer(cell: Cell, problem: Problem, backend: str, dtype: torch.dtype, device: torch.device) -> Answer:
    """The answer of a layer."""

    def put(value: Tensor) -> Tensor:
        return value.to(device, dtype)

    layer = made(cell, problem, backend, dtype, device)
    x = put(problem.x).requires_grad_()
    state = {name: put(value).unsqueeze(0).requires_grad_() for name, value in problem.state.items()}
    y, final = layer(x, state)
    total = (y * put(problem.adjoint)).sum()
    for name, value in final.items():
        total = total + (value * put(problem.adjoints[name])).sum()
    packed = dict(layer.directions()[0].named_parameters())
    leaves = [x, *state.values(), *packed.values()]
    dx, *rest = torch.autograd.grad(total, leaves, materialize_grads=True)
    found = {
        "y": y.detach(),
        **{f"final {name}": value.detach()[0] for name, value in final.items()},
        "gradient of x": dx,
    }
    found |= {f"gradient of initial {name}": value[0] for name, value in zip(state, rest, strict=False)}
    for space, value in zip(packed, rest[len(state) :], strict=True):
        names = cell.graph.packed[space]
        found |= {f"gradient of {name}": part for name, part in zip(names, value.chunk(len(names)), strict=True)}
    return found


def apart(answer: Answer, text: Answer) -> Iterator[tuple[str, float, float]]:
    """Of each tensor its name, the greatest difference, and the text's greatest entry; NaN is infinitely far off."""
    for name, expected in text.items():
        off = (answer[name].detach().cpu().double() - expected).abs().max().item()
        yield name, off if math.isfinite(off) else math.inf, expected.abs().max().item()


def sizes(target: Target) -> list[tuple[int, int, int]]:
    """T, B and N of the draws: the least and the greatest N of each class, and one beyond the last class.

    The least with a few rows, each a program of its own; the greatest with so many that programs share the multiprocessors and
    compute as many rows as they may.
    """
    batches = target.scale.batch, 4 * target.processors + 1
    widths = WIDTHS[: target.scale.widths]
    least = [3, *(width + 1 for width in widths[:-1])]
    ends = list(zip(target.scale.frames, batches, (least, list(widths)), strict=False))
    found = [(T, B, N) for T, B, each in ends for N in each]
    return [*found, (target.scale.frames[-1], target.scale.batch, target.scale.beyond)]


def scan(target: Target, cell: Cell) -> Iterator[Row]:
    """Both types of one cell at all sizes."""
    cpu, exact = torch.device("cpu"), (0.0, "")
    errors: dict[str, list[float]] = {}
    allowed: dict[str, list[float]] = {}
    with one_thread(), target.here():
        for T, B, N in sizes(target):
            problem = Problem.drawn(cell, T, B, INPUTS, N, seed=N)
            text = by_text(cell, problem)
            for name, off, largest in apart(by_layer(cell, problem, BACKEND, torch.float64, target.device), text):
                exact = max(exact, (off / max(largest, 1e-300), f"N {N}, {name}"))
            for table, backend, device in ((errors, BACKEND, target.device), (allowed, "eager", cpu)):
                for name, off, largest in apart(by_layer(cell, problem, backend, torch.float32, device), text):
                    table.setdefault(name, []).append(off / max(1.0, largest))
    eps = torch.finfo(torch.float32).eps
    shares = {
        name: (statistics.median(found), TIMES_EAGER * (statistics.median(allowed[name]) + eps))
        for name, found in errors.items()
    }
    worst = max(shares, key=lambda name: shares[name][0] / shares[name][1])
    found, most = shares[worst]
    finite = all(math.isfinite(off) for each in errors.values() for off in each)
    yield {
        "what": "scan", "variant": cell.name, "float64": exact[0], "float64_at": exact[1], "float32": found,
        "float32_at": worst, "float32_allowed": most, "draws": len(sizes(target)), "classes": classes(target, cell),
        "passed": bool(exact[0] <= EXACT and found <= most and finite),
    }  # fmt: skip


def classes(target: Target, cell: Cell) -> dict[str, dict[str, str]]:
    """How each size is computed: blocks of a cluster and threads of a block, or step by step."""

    def how(N: int, dtype: torch.dtype) -> str:
        layout = target.kernel(cell, dtype).layout(N)
        return "step by step" if layout is None else f"{layout.cluster} x {layout.threads} threads"

    return {
        str(dtype).removeprefix("torch."): {str(N): how(N, dtype) for _, _, N in sizes(target)}
        for dtype in (torch.float32, torch.float64)
    }


def items(target: Target) -> list[Item]:
    """An item for each cell, that with the most matrices second."""

    def one(cell: Cell) -> Item:
        return Item(f"scan {cell.name}", 2.5, lambda: scan(target, cell))

    return [one(cell) for cell in dict.fromkeys((*target.examples, *target.cells))]


def repeated(target: Target, cell: Cell, N: int) -> Row:
    """The same scan again and again, forward and backward: every bit has to be that of the first, and so has a shorter one's y.

    What runs step by step is launched kernel by kernel the first time and as graphs from then on, of other lengths for other T.
    """
    problem = Problem.drawn(cell, 4 if target.emulated else 50, target.scale.batch, INPUTS, N)
    with target.here():
        first = by_layer(cell, problem, BACKEND, torch.float32, target.device)
        different = 0
        for _ in range(target.scale.repeats - 1):
            again = by_layer(cell, problem, BACKEND, torch.float32, target.device)
            different += any(not torch.equal(again[name], value) for name, value in first.items())
        frames = len(problem.x) - 1
        shorter = by_layer(cell, problem.frames(frames), BACKEND, torch.float32, target.device)
        different += not torch.equal(shorter["y"], first["y"][:frames])
    return {
        "what": "repeat", "variant": cell.name, "hidden_size": N, "runs": target.scale.repeats, "different": different,
        "passed": different == 0,
    }  # fmt: skip
