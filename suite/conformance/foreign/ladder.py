"""The promises that somebody else's layer is held to.

Each is a function of a case that says what it saw: tensors, errors, bounds. What a layer need not do raises ``NotOffered``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from lstm_odyssey.conformance.answers import differentiate
from lstm_odyssey.conformance.foreign.calls import NotOffered, heard
from lstm_odyssey.conformance.foreign.cases import Case

Seen = tuple[str, float, float]
"""What is compared, its error and what is allowed."""


def outputs(case: Case) -> list[Seen]:
    """From given initial states."""
    _needs_state(case)
    return case.same(case.answer, case.expected, "y")


def outputs_by_default(case: Case) -> list[Seen]:
    """Where no state is given: from zero, or from what the cell declares."""
    answer = case.ask(case.default, state=False)
    return case.same(answer, case.reference(case.default, case.values, answer), "y")


def final_states(case: Case) -> list[Seen]:
    """Those that are returned."""
    return case.same(case.answer, case.expected, "final ")


def gradient_of_x(case: Case) -> list[Seen]:
    """Under random adjoints of outputs and final states."""
    return case.same(case.answer, case.expected, "gradient of x")


def gradient_of_parameters(case: Case) -> list[Seen]:
    """By the layer's names; of one that the mapping leaves out it is zero."""
    found = case.same(case.answer, case.expected, "gradient of ")
    return [seen for seen in found if seen[0].removeprefix("gradient of ") in case.values]


def gradient_of_states(case: Case) -> list[Seen]:
    """Of the initial states."""
    _needs_state(case)
    return case.same(case.answer, case.expected, "gradient of initial ")


def rows(case: Case) -> list[Seen]:
    """A batch is its rows one by one, gradients included."""
    if case.B == 1:
        return []
    return case.same(case.answer, case.joined([case.asked.rows([row]) for row in range(case.B)]), "")


def causality(case: Case) -> Iterator[Seen]:
    """What comes later changes no output; its gradient is exactly zero."""
    cut, state = case.T // 2, case.layer.takes > 1
    other = replace(case.asked, x=torch.cat([case.asked.x[:cut], -3 * case.asked.x[cut:]]))
    yield case.difference("y", case.ask(other, state=state)["y"][:cut], case.answer["y"][:cut])
    x = case.asked.x.clone().requires_grad_()
    given = {name: case.given(value) for name, value in case.asked.state.items()} if state else None
    y = case.layer.run(case.given(x), given)[0][:cut].cpu().double()
    if y.requires_grad:
        with heard():
            later = differentiate((y * case.asked.adjoint_y[:cut]).sum(), {"x": x})["x"][cut:]
        yield "gradient of later x", later.abs().max().item(), 0.0


def two_parts(case: Case) -> list[Seen]:
    """Some frames, and then the others from the carried states, are all of them, gradients included."""
    _needs_state(case)
    lacking = [name for name in case.cell.states if f"final {name}" not in case.answer]
    if lacking:
        raise NotOffered(f"it returns no final state {lacking[0]}")
    cut = case.T // 2

    def run(x: Tensor, state: dict[str, Tensor], lengths: None) -> tuple[Tensor, dict[str, Tensor]]:
        first, carried = case.layer.run(x[:cut].clone(), state)  # no two arguments share memory, in which it may write
        second, final = case.layer.run(x[cut:].clone(), carried)
        return torch.cat([first, second]), final

    return case.same(case.ask(case.problem, run=run), case.answer, "")


def padding_outputs(case: Case) -> list[Seen]:
    """With lengths, each row's outputs are those it has alone."""
    return case.same(*case.padded, "y")


def padding_states(case: Case) -> list[Seen]:
    """A row's final states are those after its last frame, not after the padding."""
    return case.same(*case.padded, "final ")


def padding_gradients(case: Case) -> list[Seen]:
    """Gradients are those of the rows alone, and 0 on padding."""
    return case.same(*case.padded, "gradient of ")


def padding_of_nan(case: Case) -> list[Seen]:
    """All of that where the padding holds NaN."""
    return case.same(*case.with_padding(float("nan")), "")


def repeated_call(case: Case) -> list[Seen]:
    """The same call gives the same bits."""
    again = case.ask(case.asked, state=case.layer.takes > 1)
    both = [name for name in again if name in case.answer]
    return [(name, float(not torch.equal(again[name], case.answer[name])), 0.0) for name in both]


def arguments(case: Case) -> list[Seen]:
    """Input and states that are given are after the call what they were before it."""
    given = {"x": case.given(case.asked.x)}
    state = {name: case.given(value) for name, value in case.asked.state.items()} if case.layer.takes > 1 else None
    given.update({f"initial {name}": value for name, value in (state or {}).items()})
    before = {name: value.clone() for name, value in given.items()}
    case.layer.run(given["x"], state)
    return [(f"{name} itself", float(not torch.equal(value, before[name])), 0.0) for name, value in given.items()]


def _needs_state(case: Case) -> None:
    if case.layer.takes < 2:
        raise NotOffered("its call takes no state")


PROMISES: dict[str, Callable[[Case], list[Seen] | Iterator[Seen]]] = {
    "outputs": outputs,
    "outputs without a state": outputs_by_default,
    "final states": final_states,
    "gradient of x": gradient_of_x,
    "gradient of parameters": gradient_of_parameters,
    "gradient of initial states": gradient_of_states,
    "rows of a batch": rows,
    "causality": causality,
    "in two parts": two_parts,
    "padding: outputs": padding_outputs,
    "padding: final states": padding_states,
    "padding: gradients": padding_gradients,
    "padding of NaN": padding_of_nan,
    "same call twice": repeated_call,
    "arguments unchanged": arguments,
}
"""By name, in the order of the table."""
