"""A population beside its members alone: what steps 3 and 5 of the equality ladder ask of members of different N."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from lstm_odyssey.conformance.answers import (
    About,
    Answer,
    ask,
    build,
    differentiate,
    fresh,
    load,
    make,
    named,
    require,
)
from lstm_odyssey.conformance.draws import Draw, Problem
from lstm_odyssey.conformance.placed import device_of


def sizes_of(draw: Draw) -> list[int]:
    """N of the members of a draw's population."""
    return [draw.N, 2 if draw.N == 1 else 1, 5]


@dataclass(frozen=True)
class Neighbours:
    """Members of a population: ``problems[m][d]`` is that of member m in direction d, each of its member's own N."""

    sizes: Sequence[int]
    problems: Sequence[Sequence[Problem]]
    about: About

    @cached_property
    def axes(self) -> dict[str, list[int]]:
        """By parameter, which of its axes are of length N."""
        shapes = self.about.cell.parameters.items()
        return {name: [k for k, axis in enumerate(shape) if axis == "N"] for name, shape in shapes}

    def stacked(self, values: Sequence[Sequence[Tensor]], axes: Sequence[int], filler: float = 0.0) -> Tensor:
        """[D, P, ...] of what each problem has, by member and direction, with ``filler`` beyond a member's N."""
        wide = [[self._wide(value, axes, filler) for value in directed] for directed in values]
        return torch.stack([torch.stack(members) for members in zip(*wide, strict=True)])

    def own(self, value: Tensor, member: int, axes: Sequence[int], what: str) -> Tensor:
        """The part within a member's own N, the rest being zero."""
        size, part = self.sizes[member], value
        for axis in axes:
            part = part.narrow(axis, 0, size)
        zero_beyond = torch.equal(self._wide(part, axes), value)
        require(zero_beyond, f"{self.about}: {what} is not exactly 0 beyond the member's N = {size}")
        return part

    def _wide(self, value: Tensor, axes: Sequence[int], filler: float = 0.0) -> Tensor:
        for axis in axes:
            after = [0, max(self.sizes) - value.shape[axis]]
            value = pad(value, [0, 0] * (value.ndim - 1 - axis) + after, value=filler)
        return value

    def check_initialised(self, layer: torch.nn.Module) -> None:
        """Raise unless a population's parameters, as initialised, are 0 beyond each member's N."""
        for name, value in named(dict(layer.named_parameters()), self.axes).items():
            for m in range(len(self.sizes)):
                self.own(value[m].cpu(), m, self.axes[name.split(".", 2)[2]], f"{name} as initialised")

    def ask(self, layer: torch.nn.Module, lengths: Tensor | None) -> list[list[Answer]]:
        """The answers of a population to its members' problems, by member and direction, each cut to its member's N."""
        self._load(layer)
        parameters, device = dict(layer.named_parameters()), device_of(layer)
        x = torch.stack([directed[0].x for directed in self.problems], 1).requires_grad_()
        state = fresh({name: self._stacked_states("state", name) for name in self.about.cell.states})
        y, final = layer(x.to(device), {name: value.to(device) for name, value in state.items()}, lengths)
        y, final = y.cpu(), {name: value.cpu() for name, value in final.items()}
        y = y.unflatten(-1, (len(self.problems[0]), max(self.sizes))).permute(3, 1, 0, 2, 4)  # [D, P, T, B, N]
        inputs = {"x": x, **{f"initial {name}": value for name, value in state.items()}, **parameters}
        return self._cut(y, final, differentiate(self._loss(y, final), inputs))

    def _load(self, layer: torch.nn.Module) -> None:
        """Give each member the parameters of its problems."""
        weights = {
            name: self.stacked([[p.parameters[name] for p in ps] for ps in self.problems], where)
            for name, where in self.axes.items()
        }
        load(layer, *({name: value[d] for name, value in weights.items()} for d in range(len(self.problems[0]))))

    def _stacked_states(self, field: str, name: str, filler: float = 0.0) -> Tensor:
        """[D, P, B, N] of a state's initial values or adjoints."""
        return self.stacked([[getattr(p, field)[name] for p in ps] for ps in self.problems], [1], filler)

    def _loss(self, y: Tensor, final: Mapping[str, Tensor]) -> Tensor:
        """What is differentiated: outputs and last states with their adjoints, which are not 0 beyond a member's N."""
        total = (y * self.stacked([[p.adjoint_y for p in ps] for ps in self.problems], [2], filler=0.5)).sum()
        for name, value in final.items():
            total = total + (value * self._stacked_states("adjoint_state", name, filler=0.5)).sum()
        return total

    def _cut(self, y: Tensor, final: Mapping[str, Tensor], by: Mapping[str, Tensor]) -> list[list[Answer]]:
        """Outputs, last states and gradients of the whole population as answers of its members."""
        axes = self.axes
        gradients = named({name: value.cpu() for name, value in by.items()}, axes)

        def answer(m: int, d: int) -> Answer:
            found = {"y": (y[d, m], [2]), "gradient of x": (by["x"][:, m], [])}
            for name in self.about.cell.states:
                found[f"final {name}"] = (final[name][d, m], [1])
                found[f"gradient of initial {name}"] = (by[f"initial {name}"][d, m], [1])
            for name, where in axes.items():
                found[f"gradient of {name}"] = (gradients[f"cells.{d}.{name}"][m], where)
            return {what: self.own(value.detach(), m, where, what) for what, (value, where) in found.items()}

        return [[answer(m, d) for d in range(len(self.problems[0]))] for m in range(len(self.sizes))]


def compare_members(
    cell: Any,
    backend: Any,
    draw: Draw,
    directions: int,
    same: Callable[[Answer, Answer, About], None],
    dtype: torch.dtype = torch.float64,
    constants: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """A population of the draw's three sizes beside each of its members alone.

    Args:
        directions: 1 or 2.
        same: raises where two answers are not as equal as they have to be.
        constants: of the cell, by name one for each member.
    """
    sizes, lengths = sizes_of(draw), draw.lengths() if directions == 2 and draw.B > 1 else None
    own_constants = [{name: each[m] for name, each in (constants or {}).items()} for m in range(len(sizes))]
    problems = [
        [
            replace(draw, N=size, seed=draw.seed + 2 * m + d).problem(cell, own_constants[m]).to(dtype)
            for d in range(directions)
        ]
        for m, size in enumerate(sizes)
    ]
    about = About(cell, backend, draw, f"population of N = {sizes}, {directions} direction(s), {dtype}")
    neighbours = Neighbours(sizes, problems, about)
    more = {"constants": constants} if constants else {}
    layer = build(cell, backend, problems[0][0].x.shape[-1], sizes, dtype, bidirectional=directions == 2, **more)
    neighbours.check_initialised(layer)
    valid = torch.full((draw.B,), draw.T) if lengths is None else lengths
    for m, answers in enumerate(neighbours.ask(layer, lengths)):
        alike = {"constants": own_constants[m]} if constants else {}
        one = make(cell, backend, *(problem.parameters for problem in problems[m]), dtype=dtype, **alike)
        for d, (answer, alone) in enumerate(zip(answers, ask(one, *problems[m], lengths=lengths), strict=True)):
            as_run = problems[m][d].turned(problems[m][0].x, valid) if d else problems[m][d]
            what = f"{about.what}, member {m}, direction {d}"
            same(answer, alone, replace(about, what=what, problems=as_run.alone(valid)))
