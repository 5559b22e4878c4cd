"""One random problem for somebody else's layer, in one dtype: its answers, the text's, and how near they have to be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from lstm_odyssey.conformance.answers import TIMES_ROUNDING, Answer, ask_oracle, differentiate, fresh, join
from lstm_odyssey.conformance.draws import Draw, Problem, beyond
from lstm_odyssey.conformance.foreign.calls import NotOffered, RaisedError, heard
from lstm_odyssey.conformance.foreign.layer import Foreign
from lstm_odyssey.conformance.foreign.mapping import LayerError
from lstm_odyssey.conformance.ties import NEAR, distance

MOST_EXCUSED = 1000
"""So many times the tolerance at most is allowed where rounding alone moves the text that far."""

FILLER = 1e3
"""What padding holds, where it is a number."""

Run = Callable[..., tuple[Tensor, dict[str, Tensor]]]


def tolerance(dtype: torch.dtype) -> float:
    """Error allowed, in parts of a tensor's greatest entry: ε^(2/3), 4e-11 in float64, 2e-5 in float32, 4e-2 in bfloat16."""
    return float(torch.finfo(dtype).eps ** (2 / 3))


class Heard(Answer):
    """A layer's answer; where it has no gradients, what it raised when they were asked for."""

    raised: RaisedError | None = None


class Case:
    """A layer with values of its parameters, inputs and adjoints, all representable in a dtype.

    Args:
        given: the layer as it was given.
        dtype: in which it is to compute.
        T, B: frames and rows.
        own: whether its parameters stay as they are.
    """

    def __init__(self, given: Foreign, dtype: torch.dtype, T: int, B: int, *, own: bool) -> None:
        self.cell, self.dtype, self.T, self.B = given.cell, dtype, T, B
        self.draw = Draw(T, B, given.M, given.N, seed=T)
        for seed in range(T, T + 20):
            values = self._values(given, seed, own)
            problem = replace(self.draw, seed=seed).problem(given.cell)
            problem = replace(problem, parameters=given.as_cell(values)).to(dtype).to(torch.float64)
            # the cell's parameters are rounded once more where a transform made them: so they are made of rounded ones
            self.values, self.problem = values, replace(problem, parameters=given.as_cell(values))
            if distance(given.cell, self.problem) > NEAR:
                break
        self.layer = given.copied(dtype, self.values)

    def __str__(self) -> str:
        return f"T = {self.T}, B = {self.B}"

    def _values(self, given: Foreign, seed: int, own: bool) -> dict[str, Tensor]:
        """Of order 1, matrices smaller where sequences or layers are long: both amplify rounding."""
        generator, found = torch.Generator().manual_seed(seed), {}
        scale = 1.0 if self.T <= 4 and given.N <= 33 else 1 / math.sqrt(given.N)
        for name, value in given.parameters.items():
            drawn = torch.randn(value.shape, generator=generator, dtype=torch.float64)
            drawn = drawn * (scale if value.ndim > 1 else 1.0)
            found[name] = (value.detach().cpu() if own else drawn).to(self.dtype).to(torch.float64)
        return found

    def given(self, value: Tensor) -> Tensor:
        """A tensor as the layer takes it: one of its own, in which it may write."""
        return value.to(self.layer.device, self.dtype, copy=True)

    def ask(
        self, problem: Problem, *, state: bool = True, lengths: Tensor | None = None, run: Run | None = None
    ) -> Heard:
        """The layer's answers: outputs, final states, gradients by its own names; in float64 on the CPU.

        What it does not return is left out, and so are all gradients where its outputs have none, or it raises.
        """
        start = problem.state if state else {}
        leaves = fresh({"x": problem.x, **{f"initial {name}": value for name, value in start.items()}})
        values = {name: self.given(leaves[f"initial {name}"]) for name in start}
        y, final = (run or self.layer.run)(self.given(leaves["x"]), values if state else None, lengths)
        weighed = y.cpu().double() * problem.adjoint_y
        total = (weighed if lengths is None else weighed.masked_fill(beyond(len(y), lengths), 0.0)).sum()
        for name, value in final.items():
            total = total + (value.cpu().double() * problem.adjoint_state[name]).sum()
        answer = Heard(y=y.detach().cpu().double())
        answer.update({f"final {name}": value.detach().cpu().double() for name, value in final.items()})
        if total.requires_grad:
            everything = {**leaves, **self.layer.parameters}
            try:
                with heard():
                    gradients = differentiate(total, everything)
            except RaisedError as error:
                answer.raised = error
            else:
                answer.update({f"gradient of {name}": value.cpu().double() for name, value in gradients.items()})
        return answer

    def joined(self, problems: Sequence[Problem]) -> Heard:
        """The layer's answers to problems of one row, as one answer; without gradients where it raised at one of them."""
        found = [self.ask(problem, state=self.layer.takes > 1) for problem in problems]
        raised = next((each.raised for each in found if each.raised), None)
        if raised:
            found = [Heard({n: v for n, v in each.items() if not n.startswith("gradient ")}) for each in found]
        whole = Heard(join(found, self.T))
        whole.raised = raised
        return whole

    @cached_property
    def answer(self) -> Heard:
        """The layer's answer from given states, or from none if it takes none."""
        return self.ask(self.problem, state=self.layer.takes > 1)

    @cached_property
    def default(self) -> Problem:
        """The problem whose states are what the cell begins with where none are given."""
        return self.problem.by_default(self.cell)

    @property
    def asked(self) -> Problem:
        """What ``answer`` is the answer to."""
        return self.problem if self.layer.takes > 1 else self.default

    @cached_property
    def padded(self) -> tuple[Heard, Heard]:
        """``with_padding`` of numbers that are far from any frame's."""
        return self.with_padding(FILLER)

    def with_padding(self, filler: float) -> tuple[Heard, Heard]:
        """The layer's answer to rows of several lengths, filled up to T, and those to its rows alone, joined."""
        lengths, state = replace(self.draw, B=max(self.B, 2)).lengths()[-self.B :], self.layer.takes > 1
        padding = beyond(self.T, lengths)
        filled = replace(self.asked, x=self.asked.x.masked_fill(padding, filler))
        answer = self.ask(filled, state=state, lengths=lengths)
        answer["y"] = answer["y"].masked_fill(padding, 0.0)  # what a layer puts there is its own affair
        return answer, self.joined(self.asked.alone(lengths))

    def reference(self, problem: Problem, values: Mapping[str, Tensor], final: Any) -> Answer:
        """The text's answer, with gradients by the layer's names: those of the cell's pulled back through the mapping."""
        heard = {name: value * (f"final {name}" in final) for name, value in problem.adjoint_state.items()}
        leaves = fresh(values)
        made = self.layer.as_cell(leaves)
        found = ask_oracle(
            self.cell, replace(problem, adjoint_state=heard, parameters={n: v.detach() for n, v in made.items()})
        )
        reached = [name for name, value in made.items() if value.requires_grad]
        gradients = torch.autograd.grad(
            [made[name] for name in reached], list(leaves.values()), [found[f"gradient of {name}"] for name in reached],
            materialize_grads=True, allow_unused=True,
        )  # fmt: skip
        kept = {name: value for name, value in found.items() if name.removeprefix("gradient of ") not in made}
        return {**kept, **{f"gradient of {name}": value for name, value in zip(leaves, gradients, strict=True)}}

    @cached_property
    def expected(self) -> Answer:
        """The text's answer to what the layer was asked.

        Raises:
            LayerError: it is not finite.
        """
        found = self.reference(self.asked, self.values, self.answer)
        if not all(value.isfinite().all() for value in found.values()):
            raise LayerError(
                f"check_layer: the text of '{self.cell.name}' is not finite with these weights; expected finite outputs. "
                "Pass weights='own'."
            )
        return found

    @cached_property
    def moved(self) -> dict[str, float]:
        """How far the text's answer moves as the last bits of all inputs change, in parts of its greatest entry."""
        worst: dict[str, float] = {}
        for seed in range(3):
            generator = torch.Generator().manual_seed(seed)

            def other(value: Tensor, generator: torch.Generator = generator) -> Tensor:
                step = 2 * torch.finfo(self.dtype).eps
                return value * (1 + step * torch.randn(value.shape, generator=generator, dtype=value.dtype))

            values = {name: other(value) for name, value in self.values.items()}
            state = {name: other(value) for name, value in self.asked.state.items()}
            found = self.reference(replace(self.asked, x=other(self.asked.x), state=state), values, self.answer)
            for name, value in found.items():
                largest = self.expected[name].abs().max().item() or 1.0
                worst[name] = max(worst.get(name, 0.0), (value - self.expected[name]).abs().max().item() / largest)
        return worst

    def difference(self, name: str, got: Tensor, expected: Tensor) -> tuple[str, float, float]:
        """What is compared, its error and what is allowed, both in parts of its greatest entry."""
        largest = expected.abs().max().item() or 1.0
        error, allowed = (got - expected).abs().max().item() / largest, tolerance(self.dtype)
        if allowed < error <= MOST_EXCUSED * allowed:  # not so for a NaN
            excused = TIMES_ROUNDING * self.moved.get(name, 0.0)
            allowed = max(allowed, min(excused, MOST_EXCUSED * allowed))
        return name, error, allowed

    def same(self, answer: Answer, expected: Answer, prefix: str) -> list[tuple[str, float, float]]:
        """All tensors of two answers whose names begin so.

        Raises:
            NotOffered: the layer gives none of them.
            RaisedError: gradients are among them, and the layer raised when it was asked for them.
        """
        raised = next((each.raised for each in (answer, expected) if isinstance(each, Heard) and each.raised), None)
        if raised and (not prefix or prefix.startswith("gradient ")):
            raise raised
        names = [name for name in answer if name.startswith(prefix) and name in expected]
        if not names:
            raise NotOffered("it returns no final states" if prefix == "final " else "its outputs have no gradient")
        return [self.difference(name, answer[name], expected[name]) for name in names]
