"""Step 5 of the equality ladder: what a layer owes to batches, time, padding, directions and populations, in float64.

Each promise is a function of a cell, a backend and draws, and raises AssertionError where it is broken.
``lstm_odyssey.conformance.kit`` is the way in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

import lstm_odyssey as lo
from lstm_odyssey.conformance.answers import About, Answer, ask, compare, differentiate, fresh, join, make, require
from lstm_odyssey.conformance.draws import Draw, beyond, flip, visits
from lstm_odyssey.conformance.neighbours import compare_members, sizes_of
from lstm_odyssey.conformance.placed import device_of, record_of, shown

Draws = Sequence[Draw]

NEIGHBOURS = (Draw(2, 1, 3, 17), Draw(4, 2, 1, 33, seed=1), Draw(6, 1, 17, 3, seed=2), Draw(3, 3, 33, 40, seed=3))
"""Draws whose members differ much in N, some with a single row: there a product is computed in another way."""


def check_rows(cell: Any, backend: Any = "eager", draws: Draws | None = None) -> None:
    """Step 5: a batch is its rows one by one; only the parameters' gradients are summed."""
    cell = lo.as_cell(cell)
    for draw in visits(backend, draws):
        draw = replace(draw, B=max(draw.B, 2))
        problem = draw.problem(cell)
        layer = make(cell, backend, problem.parameters)
        (answer,) = ask(layer, problem)
        alone = [ask(layer, problem.rows([row]))[0] for row in range(draw.B)]
        compare(answer, join(alone, draw.T), About(cell, backend, draw, "a batch compared with its rows"))


def check_permutation(cell: Any, backend: Any = "eager", draws: Draws | None = None) -> None:
    """Step 5: the order of a batch's rows is the order of the results, and changes no number."""
    cell = lo.as_cell(cell)
    for draw in visits(backend, draws):
        draw = replace(draw, B=max(draw.B, 3))
        problem, order = draw.problem(cell), [*range(1, draw.B), 0]
        layer = make(cell, backend, problem.parameters)
        (shuffled,), (answer,) = ask(layer, problem.rows(order)), ask(layer, problem)
        for name in ("y", "gradient of x"):
            answer[name] = answer[name][:, order]
        for state in cell.states:
            for name in (f"final {state}", f"gradient of initial {state}"):
                answer[name] = answer[name][order]
        compare(shuffled, answer, About(cell, backend, draw, "with the rows of the batch permuted"))


def check_carried_state(cell: Any, backend: Any = "eager", draws: Draws | None = None) -> None:
    """Step 5: T1 frames and then T2 from the carried state are T1 + T2 frames, gradients included."""
    cell = lo.as_cell(cell)
    for draw in visits(backend, draws):
        problem = draw.problem(cell)
        layer = make(cell, backend, problem.parameters)
        cut = draw.T // 2

        def in_two_parts(x: Any, state: Any, lengths: None, layer: Any = layer, cut: int = cut) -> tuple[Any, Any]:
            first, carried = layer(x[:cut], state)
            second, final = layer(x[cut:], carried)
            return torch.cat([first, second]), final

        about = About(cell, backend, draw, f"{cut} frames and then the others from the carried state")
        compare(ask(layer, problem, run=in_two_parts)[0], ask(layer, problem)[0], about)


def check_causality(cell: Any, backend: Any = "eager", draws: Draws | None = None) -> None:
    """Step 5: what comes later changes no output, and its gradient is exactly zero."""
    cell = lo.as_cell(cell)
    for draw in visits(backend, draws):
        problem = draw.problem(cell)
        layer = make(cell, backend, problem.parameters)
        cut = draw.T // 2
        about = About(cell, backend, draw, f"with other frames from the {cut + 1}th on", [problem.frames(cut)])
        x, device = fresh({"x": problem.x})["x"], device_of(layer)
        state = {name: value.unsqueeze(0).to(device) for name, value in problem.state.items()}
        y = layer(x.to(device), state)[0].cpu()
        other = layer(torch.cat([problem.x[:cut], -3 * problem.x[cut:]]).to(device), state)[0].cpu()
        compare({"y": other[:cut]}, {"y": y[:cut]}, about)
        later = differentiate((y[:cut] * problem.adjoint_y[:cut]).sum(), {"x": x})["x"][cut:]
        require(not later.any(), f"{about}: earlier outputs have a derivative by them, max {later.abs().max():.3g}")


def check_padding(cell: Any, backend: Any = "eager", draws: Draws | None = None) -> None:
    """Step 5: with lengths, rows are what they are alone, whatever the padding holds; y and gradient are 0 on it."""
    cell = lo.as_cell(cell)
    for draw in visits(backend, draws):
        draw = replace(draw, B=max(draw.B, 2))
        problem = draw.problem(cell)
        layer = make(cell, backend, problem.parameters)
        for lengths in (draw.lengths(), draw.lengths().clamp(max=draw.T - 1)):  # the longest may be shorter than T
            parts = problem.alone(lengths)
            expected = join([ask(layer, part)[0] for part in parts], draw.T)
            padding = beyond(draw.T, lengths)
            for filler in (float("nan"), 1e3):
                padded = replace(problem, x=problem.x.masked_fill(padding, filler))
                (answer,) = ask(layer, padded, lengths=lengths)
                about = About(cell, backend, draw, f"lengths {lengths.tolist()}, padded with {filler}", parts)
                compare(answer, expected, about)
                for name in ("y", "gradient of x"):
                    require(not (answer[name] * padding).any(), f"{about}: {name} is not exactly 0 on padding")


def check_bidirectional(cell: Any, backend: Any = "eager", draws: Draws | None = None) -> None:
    """Step 5: two directions are two layers, the second fed each row's own frames in reverse order."""
    cell = lo.as_cell(cell)
    for draw in visits(backend, draws):
        forward, backward = draw.problem(cell), replace(draw, seed=draw.seed + 1).problem(cell)
        layer = make(cell, backend, forward.parameters, backward.parameters)
        for lengths in (None, draw.lengths()):
            valid = torch.full((draw.B,), draw.T) if lengths is None else lengths
            turned = backward.turned(forward.x, valid)
            (one,) = ask(make(cell, backend, forward.parameters), forward, lengths=lengths)
            (two,) = ask(make(cell, backend, backward.parameters), turned, lengths=lengths)
            both = one["gradient of x"] + flip(two["gradient of x"], valid)
            expected = ({**one, "gradient of x": both}, {**two, "gradient of x": both, "y": flip(two["y"], valid)})
            answers = ask(layer, forward, backward, lengths=lengths)
            for answer, reference, own in zip(answers, expected, (forward, turned), strict=True):
                direction = "forwards" if own is forward else "backwards"
                what = f"{direction} of two directions, lengths {valid.tolist()}"
                compare(answer, reference, About(cell, backend, draw, what, own.alone(valid)))


def check_population(cell: Any, backend: Any = "eager", draws: Draws | None = None) -> None:
    """Step 5: members of different N are what they are alone; beyond a member's N everything is exactly 0."""
    cell = lo.as_cell(cell)
    for draw in visits(backend, draws):
        for directions in (1, 2):
            compare_members(cell, backend, replace(draw, B=max(draw.B, 2)), directions, compare)


def check_member_bits(cell: Any, backend: Any = "auto", draws: Draws | None = None) -> None:
    """Step 5: a member has the very bits it has alone, so that no neighbour changes them; in float64 and in float32.

    Raises:
        ValueError: the backend pads its members, so that it promises no more than ``check_population`` asks for.
    """
    cell = lo.as_cell(cell)
    found = record_of(backend)
    asked = [
        draw for draw in visits(backend, draws, NEIGHBOURS)
        if found is None or not any(found.pads(cell, size) for size in sizes_of(draw))
    ]  # fmt: skip
    if not asked:
        raise ValueError(f"check_member_bits: backend '{shown(backend)}' pads its members; expected one that does not.")
    for draw in asked:
        for directions in (1, 2):
            for dtype in (torch.float64, torch.float32):
                compare_members(cell, backend, draw, directions, _same_bits, dtype)


def _same_bits(answer: Answer, reference: Answer, about: About) -> None:
    for name, expected in reference.items():
        got = answer[name]
        require(
            torch.equal(got, expected),
            f"{about}: {name} has not the bits it has alone, in {int((got != expected).sum())} of {got.numel()} places",
        )


def check_repeated_call(cell: Any, backend: Any = "eager", draws: Draws | None = None) -> None:
    """Step 5: the same call twice gives the same bits."""
    cell = lo.as_cell(cell)
    for draw in visits(backend, draws):
        problem = draw.problem(cell)
        layer = make(cell, backend, problem.parameters)
        (first,), (second,) = ask(layer, problem), ask(layer, problem)
        for name, value in first.items():
            about = About(cell, backend, draw, "the same call twice")
            require(torch.equal(value, second[name]), f"{about}: {name} has other bits the second time")
