"""The conformance kit: what every cell promises on every backend, each promise a function that raises if it is broken.

For plugin authors as for ourselves; no promise knows a variant by name. Steps are those of the equality ladder::

    from lstm_odyssey.testing import check_variant, parametrize_with_checks

    check_variant(my_step)                      # raises AssertionError on the first broken promise

    @parametrize_with_checks(["my_cell"])       # one test for each promise and backend
    def test_my_cell(cell, check):
        check(cell)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.nn.functional import pad

import lstm_odyssey as lo
from lstm_odyssey.conformance import BOUND, SIZES, Answer, Draw, Problem, ask, ask_oracle, build, compare, describe
from lstm_odyssey.conformance import differentiate, flip, fresh, join, load, make

__all__ = ["CHECKS", "Draw", "checks", "check_variant", "draws", "parametrize_with_checks"]

FIXED = (Draw(2, 2, 1, 3), Draw(4, 3, 17, 1, seed=1), Draw(4, 2, 3, 17, seed=2), Draw(12, 3, 3, 33, seed=3))
LONG = (Draw(50, 2, 3, 33), Draw(300, 1, 3, 17, seed=1))
Draws = Sequence[Draw]


def check_declaration(cell: Any, backend: Any = "eager", draws: Draws = ()) -> None:
    """What is declared beside the text speaks of states and parameters that are in it."""
    cell, about = _cell(cell), f"{_cell(cell).name}, what is declared beside the text"
    for state, (low, high) in cell.domains.items():
        _require(state in cell.states, f"{about}: domains has '{state}'; the states are {cell.states}")
        _require(low < high, f"{about}: the domain of '{state}' is ({low}, {high}); expected the lesser bound first")
    for limit in cell.limits:
        for state in limit.states or ():
            _require(state in cell.states, f"{about}: a limit of {limit.of} has '{state}'; the states are {cell.states}")


def check_equations(cell: Any, backend: Any = "eager", draws: Draws = ()) -> None:
    """Step 2: the equations read off the text are those of its docstring's block, character by character."""
    cell = _cell(cell)
    lines = (line.strip().split("  ")[0] for line in (cell.step.__doc__ or "").splitlines())
    block = [line for line in lines if line.partition(" = ")[0].rstrip().endswith("_t") and " = " in line]
    rendered = "\n    ".join(cell.equations)
    _require(
        block == list(cell.equations),
        f"{cell.name}: the docstring's block and the text say different things. The docstring of the step says\n    "
        + ("\n    ".join(block) or "(no line 'n_t = ...')")
        + f"\nand the text\n    {rendered}\nMend whichever is wrong.",
    )


def check_draws_say_something(cell: Any, backend: Any = "eager", draws: Draws = ()) -> None:
    """The kit is not vacuous: x and every parameter have a derivative that is neither zero nor infinite."""
    cell = _cell(cell)
    answer = ask_oracle(cell, Draw(4, 2, 17, 17).problem(cell))
    for name in ("y", "gradient of x", *(f"gradient of {name}" for name in cell.parameters)):
        largest = answer[name].abs().max().item()
        _require(0 < largest < float("inf"), f"{cell.name}, oracle: max |{name}| is {largest}; nothing can be compared")


def check_oracle(cell: Any, backend: Any = "eager", draws: Draws = FIXED) -> None:
    """Step 3: outputs, final states and all gradients, of the initial state too, are the oracle's."""
    cell = _cell(cell)
    for draw in draws:
        problem = draw.problem(cell)
        (answer,) = ask(make(cell, backend, problem.parameters), problem)
        compare(answer, ask_oracle(cell, problem), describe(cell, backend, draw, "compared with the oracle"))


def check_long_sequences(cell: Any, backend: Any = "eager", draws: Draws = LONG) -> None:
    """Step 3 over 50 to 300 frames."""
    check_oracle(cell, backend, draws)


def check_default_state(cell: Any, backend: Any = "eager", draws: Draws = FIXED[:1]) -> None:
    """No initial state means the zero state."""
    cell = _cell(cell)
    for draw in draws:
        problem = draw.problem(cell)
        layer = make(cell, backend, problem.parameters)
        zero = {name: torch.zeros_like(value).unsqueeze(0) for name, value in problem.state.items()}
        (y, final), (y0, final0) = layer(problem.x), layer(problem.x, zero)
        about = describe(cell, backend, draw, "without an initial state")
        compare({"y": y, **final}, {"y": y0, **final0}, about)


def check_rows(cell: Any, backend: Any = "eager", draws: Draws = FIXED) -> None:
    """Step 5: a batch is its rows one by one; only the parameters' gradients are summed."""
    cell = _cell(cell)
    for draw in draws:
        draw = replace(draw, B=max(draw.B, 2))
        problem = draw.problem(cell)
        layer = make(cell, backend, problem.parameters)
        (answer,) = ask(layer, problem)
        alone = [ask(layer, problem.rows([row]))[0] for row in range(draw.B)]
        compare(answer, join(alone, draw.T), describe(cell, backend, draw, "a batch compared with its rows alone"))


def check_permutation(cell: Any, backend: Any = "eager", draws: Draws = FIXED) -> None:
    """Step 5: the order of a batch's rows is the order of the results, and changes no number."""
    cell = _cell(cell)
    for draw in draws:
        draw = replace(draw, B=max(draw.B, 3))
        problem, order = draw.problem(cell), list(range(1, draw.B)) + [0]
        layer = make(cell, backend, problem.parameters)
        (shuffled,), (answer,) = ask(layer, problem.rows(order)), ask(layer, problem)
        for name in ("y", "gradient of x"):
            answer[name] = answer[name][:, order]
        for state in cell.states:
            for name in (f"final {state}", f"gradient of initial {state}"):
                answer[name] = answer[name][order]
        compare(shuffled, answer, describe(cell, backend, draw, "with the rows of the batch permuted"))


def check_carried_state(cell: Any, backend: Any = "eager", draws: Draws = FIXED) -> None:
    """Step 5: T1 frames and then T2 from the carried state are T1 + T2 frames, gradients included."""
    cell = _cell(cell)
    for draw in draws:
        problem = draw.problem(cell)
        layer = make(cell, backend, problem.parameters)
        cut = draw.T // 2

        class InTwoParts(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.cells = layer.cells

            def forward(self, x, state, lengths):  # noqa: B023 - used in this turn of the loop only
                first, carried = layer(x[:cut], state)  # noqa: B023
                second, final = layer(x[cut:], carried)  # noqa: B023
                return torch.cat([first, second]), final

        about = describe(cell, backend, draw, f"{cut} frames and then the others from the carried state")
        compare(ask(InTwoParts(), problem)[0], ask(layer, problem)[0], about)


def check_causality(cell: Any, backend: Any = "eager", draws: Draws = FIXED) -> None:
    """Step 5: what comes later changes no output, and its gradient is exactly zero."""
    cell = _cell(cell)
    for draw in draws:
        problem = draw.problem(cell)
        layer = make(cell, backend, problem.parameters)
        cut = draw.T // 2
        about = describe(cell, backend, draw, f"with other frames from the {cut + 1}th on")
        x = fresh({"x": problem.x})["x"]
        state = {name: value.unsqueeze(0) for name, value in problem.state.items()}
        y, _ = layer(x, state)
        other, _ = layer(torch.cat([problem.x[:cut], -3 * problem.x[cut:]]), state)
        compare({"the output before": other[:cut]}, {"the output before": y[:cut]}, about)
        later = differentiate((y[:cut] * problem.adjoint_y[:cut]).sum(), {"x": x})["x"][cut:]
        _require(not later.any(), f"{about}: earlier outputs have a derivative by them, max {later.abs().max():.3g}")
        _require(not torch.equal(other[cut:], y[cut:]), f"{about}: no output changed at all")


def check_padding(cell: Any, backend: Any = "eager", draws: Draws = FIXED) -> None:
    """Step 5: with lengths, a row is what it is alone; padding, be it NaN, changes nothing, and is 0 in y and gradient."""
    cell = _cell(cell)
    for draw in draws:
        draw = replace(draw, B=max(draw.B, 2))
        problem = draw.problem(cell)
        layer = make(cell, backend, problem.parameters)
        for lengths in (draw.lengths(), draw.lengths().clamp(max=draw.T - 1)):  # the longest may be shorter than T
            alone = [ask(layer, problem.rows([b]).frames(length))[0] for b, length in enumerate(lengths.tolist())]
            padding = (torch.arange(draw.T)[:, None] >= lengths)[:, :, None]
            for filler in (float("nan"), 1e3):
                padded = replace(problem, x=problem.x.masked_fill(padding, filler))
                (answer,) = ask(layer, padded, lengths=lengths)
                about = describe(cell, backend, draw, f"lengths {lengths.tolist()}, padded with {filler}")
                compare(answer, join(alone, draw.T), about)
                for name in ("y", "gradient of x"):
                    _require(not (answer[name] * padding).any(), f"{about}: {name} is not exactly 0 on padding")


def check_bidirectional(cell: Any, backend: Any = "eager", draws: Draws = FIXED) -> None:
    """Step 5: two directions are two layers, the second fed each row's own frames in reverse order."""
    cell = _cell(cell)
    for draw in draws:
        forward, backward = draw.problem(cell), replace(draw, seed=draw.seed + 1).problem(cell)
        layer = make(cell, backend, forward.parameters, backward.parameters)
        for lengths in (None, draw.lengths()):
            valid = torch.full((draw.B,), draw.T) if lengths is None else lengths
            turned = replace(backward, x=flip(forward.x, valid), adjoint_y=flip(backward.adjoint_y, valid))
            (one,) = ask(make(cell, backend, forward.parameters), forward, lengths=lengths)
            (two,) = ask(make(cell, backend, backward.parameters), turned, lengths=lengths)
            both = one["gradient of x"] + flip(two["gradient of x"], valid)
            expected = ({**one, "gradient of x": both}, {**two, "gradient of x": both, "y": flip(two["y"], valid)})
            answers = ask(layer, forward, backward, lengths=lengths)
            for answer, reference, direction in zip(answers, expected, ("forwards", "backwards"), strict=True):
                about = describe(cell, backend, draw, f"{direction} of two directions, lengths {valid.tolist()}")
                compare(answer, reference, about)


def check_population(cell: Any, backend: Any = "eager", draws: Draws = FIXED) -> None:
    """Step 5: members of different N are what they are alone; beyond a member's N everything is exactly 0."""
    from lstm_odyssey.populations import check_members

    cell = _cell(cell)
    for draw in draws:
        for directions in (1, 2):
            check_members(cell, backend, draw, directions)


def check_repeated_call(cell: Any, backend: Any = "eager", draws: Draws = FIXED) -> None:
    """Step 5: the same call twice gives the same bits."""
    cell = _cell(cell)
    for draw in draws:
        problem = draw.problem(cell)
        layer = make(cell, backend, problem.parameters)
        (first,), (second,) = ask(layer, problem), ask(layer, problem)
        for name, value in first.items():
            about = describe(cell, backend, draw, "the same call twice")
            _require(torch.equal(value, second[name]), f"{about}: {name} has other bits the second time")
