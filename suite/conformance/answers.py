"""The tools of the conformance kit: a layer's or the oracle's answers to a problem, and their comparison.

An *answer* is a flat dict of everything a cell computes and every derivative of it: ``"y"``, ``"final c"``,
``"gradient of x"``, ``"gradient of initial c"``, ``"gradient of W.z"``... under random adjoints on every output and on
every final state. Two answers are compared tensor by tensor, in float64. The promises themselves are in
``lstm_odyssey.conformance.kit``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

import lstm_odyssey as lo
from lstm_odyssey.backends.spaces import by_name
from lstm_odyssey.cell.graph import by_space
from lstm_odyssey.cell.ops import FUNCTIONS, OPS, Op
from lstm_odyssey.conformance.draws import Draw, Problem
from lstm_odyssey.conformance.placed import device_of, shown

BOUND = 1e-11
"""Error allowed, in parts of the greatest entry of the reference's tensor."""

TIMES_ROUNDING = 8
"""Where rounding alone moves the oracle further than that, so many times as far; seen: 2.5 times."""

USELESS = 1e-4
"""A draw in which an error of more parts than this may come of rounding says nothing."""

Answer = dict[str, Tensor]


class ChaoticDrawError(AssertionError):
    """Nothing can be compared at a draw: the oracle itself gives another answer once its inputs' last bits change."""


def fresh(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies one may differentiate by."""
    return {name: value.detach().clone().requires_grad_() for name, value in values.items()}


def make(
    cell: Any,
    backend: Any,
    *parameters: Mapping[str, Tensor],
    dtype: torch.dtype = torch.float64,
    **options: Any,
) -> torch.nn.Module:
    """A layer with these parameters, one dict a direction; options as ``lo.RNN`` takes them.

    ``backend`` is the name of one, or any callable that takes ``lo.RNN``'s arguments and returns such a layer. Wherever it
    lies, problems and answers lie on the CPU.
    """
    shapes = {axis: size for name, value in parameters[0].items()
              for axis, size in zip(cell.parameters[name], value.shape, strict=True)}  # fmt: skip
    layer = build(cell, backend, shapes.get("M", 1), shapes["N"], dtype, bidirectional=len(parameters) == 2, **options)
    load(layer, *parameters)
    return layer


def build(
    cell: Any,
    backend: Any,
    input_size: int,
    hidden_size: int | list[int],
    dtype: torch.dtype = torch.float64,
    **options: Any,
) -> torch.nn.Module:
    """A layer as it is made, its parameters not yet touched."""
    if callable(backend):
        return backend(cell, input_size, hidden_size, dtype=dtype, **options)
    return lo.RNN(cell, input_size, hidden_size, backend=backend, dtype=dtype, **options)


def load(layer: torch.nn.Module, *parameters: Mapping[str, Tensor]) -> None:
    """Put one dict of parameters into each direction, under the promised keys ``cells.D.NAME``."""
    layer.load_state_dict(
        {f"cells.{d}.{name}": value.detach() for d, values in enumerate(parameters) for name, value in values.items()}
    )


def named(values: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """What a layer holds, by the promised keys ``cells.D.NAME``: a space in one piece is cut into its gates.

    Args:
        values: by the layer's own keys, ``cells.0.R`` [..., G·N, N] or ``cells.0.R.z``; other keys are left out.
        names: the cell's parameters, in the text's order.
    """
    packed, found = by_space(names), {}
    for key, value in values.items():
        cells, _, rest = key.partition(".")
        direction, _, name = rest.partition(".")
        if cells != "cells":
            continue
        parts = by_name(packed, {name: value}) if name in packed else {name: value}
        found.update({f"cells.{direction}.{gate}": part for gate, part in parts.items()})
    return found


def differentiate(total: Tensor, leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The derivative of ``total`` by every leaf; zero where it does not depend on it."""
    gradients = torch.autograd.grad(total, list(leaves.values()), materialize_grads=True)
    return dict(zip(leaves, gradients, strict=True))


def ask_oracle(cell: Any, problem: Problem) -> Answer:
    """The oracle's answer: the cell's own text, example by example, and autograd."""
    leaves = fresh({"x": problem.x, **{f"initial {name}": value for name, value in problem.state.items()}})
    parameters = fresh(problem.parameters)
    given = {**problem.constants, **parameters}
    states = lo.oracle(cell, leaves["x"], {name: leaves[f"initial {name}"] for name in problem.state}, given)
    total = (states[cell.states[0]] * problem.adjoint_y).sum()
    total = total + sum((states[name][-1] * problem.adjoint_state[name]).sum() for name in cell.states)
    gradients = differentiate(total, {**leaves, **parameters})
    return {
        "y": states[cell.states[0]].detach(),
        **{f"final {name}": states[name][-1].detach() for name in cell.states},
        **{f"gradient of {name}": value for name, value in gradients.items()},
    }


def ask(
    layer: torch.nn.Module,
    *problems: Problem,
    lengths: Tensor | None = None,
    run: Callable[..., Any] | None = None,
) -> list[Answer]:
    """A layer's answers, one a direction; x is the first problem's, and so is its gradient through all directions.

    ``run`` stands in for the layer where it is to be called in another way, with its parameters.
    """
    parameters, device = dict(layer.named_parameters()), device_of(layer)
    x = problems[0].x.to(device).detach().clone().requires_grad_()
    state = fresh({name: torch.stack([p.state[name] for p in problems]).to(device) for name in problems[0].state})
    y, final = (run or layer)(x, state, lengths)
    adjoint_y = torch.cat([p.adjoint_y for p in problems], -1).to(device)
    got = {"y": tuple(y.shape), **{f"final {name}": tuple(value.shape) for name, value in final.items()}}
    expected = {"y": tuple(adjoint_y.shape), **{f"final {name}": tuple(value.shape) for name, value in state.items()}}
    require(got == expected, f"the layer returned {got}; expected {expected}")
    total = (y * adjoint_y).sum()
    for name, value in final.items():
        total = total + (value * torch.stack([p.adjoint_state[name] for p in problems]).to(device)).sum()
    leaves = {"x": x, **{f"initial {name}": value for name, value in state.items()}, **parameters}
    by = {name: value.cpu() for name, value in differentiate(total, leaves).items()}
    gradients = named(by, problems[0].parameters)
    return [
        {
            "y": y.detach().cpu().chunk(len(problems), -1)[d],
            **{f"final {name}": value.detach().cpu()[d] for name, value in final.items()},
            "gradient of x": by["x"],
            **{f"gradient of initial {name}": by[f"initial {name}"][d] for name in state},
            **{f"gradient of {name.removeprefix(f'cells.{d}.')}": value
               for name, value in gradients.items() if name.startswith(f"cells.{d}.")},
        }
        for d in range(len(problems))
    ]  # fmt: skip


@dataclass(frozen=True)
class About:
    """The beginning of every message: which cell, on which backend, what was promised, at which draw.

    ``problems`` are those whose joined answers are in question, where it is not just the draw's own.
    """

    cell: Any
    backend: Any
    draw: Draw
    what: str
    problems: Sequence[Problem] = ()

    def __str__(self) -> str:
        return f"{self.cell.name} on {shown(self.backend)}, {self.what}, {self.draw}"


def compare(answer: Answer, reference: Answer, about: About) -> None:
    """Raise unless every tensor of ``reference`` is in ``answer``, to ``BOUND`` of its greatest entry.

    Some draws amplify rounding: a saturated gate's derivative is a difference of almost equal numbers, and a cell whose
    output is not bounded may be chaotic over hundreds of frames. So where the bound is missed, the oracle is asked
    again with last bits of inputs and functions that differ, and the error may be ``TIMES_ROUNDING`` times what that makes.

    Raises:
        AssertionError: a tensor has another shape, or is further off than that.
        ChaoticDrawError: one is off by more than ``USELESS``, and by rounding alone may be.
    """
    rounding: dict[str, float] | None = None
    for name, expected in reference.items():
        got, largest = answer[name], expected.abs().max().item()
        require(got.shape == expected.shape, f"{about}: {name} is {tuple(got.shape)}, expected {tuple(expected.shape)}")
        error = (got - expected).abs().max().item()
        if math.isfinite(largest) and error <= BOUND * largest:
            continue  # not so for a NaN, wherever it is
        rounding = rounding or rounding_error(about.cell, *(about.problems or [about.draw.problem(about.cell)]))
        allowed = max(BOUND, TIMES_ROUNDING * rounding.get(name, 0.0))
        if not error <= min(allowed, USELESS) * largest:
            raise (ChaoticDrawError if allowed > USELESS else AssertionError)(
                f"{about}: {name} is off by {error:.3g}; {allowed * largest:.3g} is allowed "
                f"({allowed:.1e} of max |reference| = {largest:.3g})"
            )


class _Rounded(torch.autograd.Function):
    """A function of one operand whose value is off in its last bits; its derivative is made of that value."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, op: Op, noise: Tensor) -> Tensor:
        ctx.op, out = op, op.eager(a) * (1 + 2.0**-52 * noise)
        ctx.save_for_backward(a, out)
        return out

    @staticmethod
    def backward(ctx: Any, adjoint: Tensor) -> tuple[Any, ...]:
        a, out = ctx.saved_tensors
        return *ctx.op.pullback(adjoint, out, a), None, None


class Rounded(TorchFunctionMode):
    """Inside, functions of a text are off in their last bits, as they are from one implementation to another.

    Where a gate is all but 1, no change of its operand's last bits reaches its value, and its derivative σ(1 - σ) hangs on
    the last bit of it.
    """

    ONE: ClassVar = {
        name: op
        for name, op in OPS.items()
        if name in FUNCTIONS and op.arity == 1 and hasattr(Tensor, name) and not op.reduction
    }

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        op = self.ONE.get(getattr(func, "__name__", ""))
        if op is None or len(args) != 1 or kwargs:
            return func(*args, **(kwargs or {}))
        noise = torch.randn(args[0].shape, generator=self.generator, dtype=args[0].dtype)
        return _Rounded.apply(args[0], op, noise)  # type: ignore[no-untyped-call]  # of torch


def rounding_error(cell: Any, *problems: Problem) -> dict[str, float]:
    """How far the oracle's answer moves, in parts of its greatest entry, as last bits of inputs and of functions change."""
    T = max(len(problem.x) for problem in problems)
    reference: Answer = join([ask_oracle(cell, problem) for problem in problems], T)
    worst = dict.fromkeys(reference, 0.0)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        others = [problem.jittered(generator) for problem in problems]
        with Rounded(generator):
            moved = [ask_oracle(cell, other) for other in others]
        for name, value in join(moved, T).items():
            largest = max(reference[name].abs().max().item(), 1e-300)
            worst[name] = max(worst[name], (value - reference[name]).abs().max().item() / largest)
    return worst


def join(parts: Sequence[Answer], T: int) -> Answer:
    """The answer for a batch from those for its rows: rows side by side, zero after their end, parameters summed."""

    def along_time(tensor: Tensor) -> Tensor:
        return torch.cat([tensor, tensor.new_zeros(T - len(tensor), *tensor.shape[1:])])

    def joined(name: str) -> Tensor:
        if name in ("y", "gradient of x"):
            return torch.cat([along_time(part[name]) for part in parts], dim=1)
        if name.startswith(("final ", "gradient of initial ")):
            return torch.cat([part[name] for part in parts])
        return torch.stack([part[name] for part in parts]).sum(0)

    return {name: joined(name) for name in parts[0]}


def require(holds: bool, message: str) -> None:
    """``assert`` that also holds under ``python -O``."""
    if not holds:
        raise AssertionError(message)
