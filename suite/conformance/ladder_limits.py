"""Step 6 of the equality ladder: under the declared change of its parameters, a cell equals another one.

``Limit`` in ``lstm_odyssey.variants.declare`` says what may be declared; ``lstm_odyssey.conformance.kit`` is the way in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import lstm_odyssey as lo
from lstm_odyssey.conformance.answers import About, ask, compare, fresh, make, require
from lstm_odyssey.conformance.draws import Draw, Problem, visits
from lstm_odyssey.variants.declare import Limit


def check_limits(cell: Any, backend: Any = "eager", draws: Sequence[Draw] | None = None) -> None:
    """Step 6: outputs, shared states and gradients, of shared parameters too, are those of the declared limit."""
    cell = lo.as_cell(cell)
    for limit in cell.limits:
        for draw in visits(backend, draws):
            _check_limit(cell, limit, backend, draw)


def _check_limit(cell: Any, limit: Limit, backend: Any, draw: Draw) -> None:
    about = About(cell, backend, draw, f"in its limit {limit.of}")
    other = TorchLayer(limit.of, draw.M, draw.N) if limit.of.startswith("torch.nn.") else lo.variant(limit.of)
    states = dict(limit.states or {name: name for name in cell.states if name in other.states})
    problem = draw.problem(cell)
    own = fresh(problem.parameters)
    here, there, shared = _parameters(limit, cell, other, own, draw, about)
    require(bool(shared and states), f"{about}: it shares parameters {shared} and states {states}; nothing to compare")

    values = {name: value.detach() for name, value in there.items()}
    layer = other.filled(values) if isinstance(other, TorchLayer) else make(other, backend, values)
    ours = replace(_silenced(problem, states), parameters={name: value.detach() for name, value in here.items()})
    extra = problem.state if isinstance(other, TorchLayer) else draw.problem(other).state
    theirs = _renamed(ours, states, {name: extra[name] for name in other.states if name not in states.values()})
    # in the order of its text, to which a limit need not keep
    order = there if isinstance(other, TorchLayer) else other.parameters
    theirs = replace(theirs, parameters={name: values[name] for name in order})
    (answer,), (reference,) = ask(make(cell, backend, ours.parameters), ours), ask(layer, theirs)

    expected = {name: reference[name] for name in ("y", "gradient of x")}
    for name, its_name in states.items():
        expected[f"final {name}"] = reference[f"final {its_name}"]
        expected[f"gradient of initial {name}"] = reference[f"gradient of initial {its_name}"]
    sources = [name for name, value in there.items() if value.requires_grad]
    pulled_back = torch.autograd.grad(
        [there[name] for name in sources],
        [own[name] for name in shared],
        [reference[f"gradient of {name}"] for name in sources],
        materialize_grads=True,
    )
    expected.update({f"gradient of {name}": value for name, value in zip(shared, pulled_back, strict=True)})
    compare(answer, expected, replace(about, problems=[ours]))


def _parameters(
    limit: Limit, cell: Any, other: Any, own: Mapping[str, Tensor], draw: Draw, about: About
) -> tuple[Mapping[str, Tensor], dict[str, Tensor], list[str]]:
    """The parameters here, those there as functions of ``own``, and the names by which both can be differentiated."""
    if callable(limit.parameters):
        made = limit.parameters(own).items()
        stacked = {name: torch.cat(list(value)) if isinstance(value, list | tuple) else value for name, value in made}
        here, there, shared = own, stacked, list(own)
    else:
        torch_layer = isinstance(other, TorchLayer)
        require(not torch_layer, f"{about}: its parameters are a dict; a limit of a torch layer needs a function")
        shapes = {**cell.parameters, **other.parameters}
        unknown = sorted(set(limit.parameters) - set(shapes))
        require(not unknown, f"{about}: it changes {unknown}, which neither cell has")
        sizes = {"M": draw.M, "N": draw.N}
        changed = {
            name: torch.full([sizes[axis] for axis in shapes[name]], float(value), dtype=torch.float64)
            for name, value in limit.parameters.items()
        }
        here = {name: changed.get(name, value) for name, value in own.items()}
        there = {name: value for name, value in {**own, **changed}.items() if name in other.parameters}
        shared = [name for name in own if name in there and name not in changed]
    if not isinstance(other, TorchLayer):
        missing = sorted(set(other.parameters) - set(there))
        require(not missing, f"{about}: {missing} of {limit.of} are left without a value; give them one")
    return here, there, shared


def _silenced(problem: Problem, shared: Mapping[str, str]) -> Problem:
    """The same problem with no adjoint on states that only one of the two cells has."""
    adjoint = {name: value * (name in shared) for name, value in problem.adjoint_state.items()}
    return replace(problem, adjoint_state=adjoint)


def _renamed(problem: Problem, names: Mapping[str, str], extra: Mapping[str, Tensor]) -> Problem:
    """The same problem in the other's names of the states, and with the states that only the other has."""
    state = {its_name: problem.state[name] for name, its_name in names.items()}
    adjoint = {its_name: problem.adjoint_state[name] for name, its_name in names.items()}
    silent = {name: torch.zeros_like(value) for name, value in extra.items()}
    return replace(problem, state={**state, **extra}, adjoint_state={**adjoint, **silent})


class TorchLayer(torch.nn.Module):
    """A recurrent layer of torch with our face: states by name, ``h`` and (if it has one) ``c``.

    Any recurrent layer torch.nn has, ``RNN``, ``LSTM`` and ``GRU``.

    Raises:
        AssertionError: torch.nn has no recurrent layer of that name.
    """

    def __init__(self, path: str, input_size: int, hidden_size: int) -> None:
        super().__init__()
        kind: Any = getattr(torch.nn, path.removeprefix("torch.nn."), None)
        recurrent = isinstance(kind, type) and issubclass(kind, torch.nn.RNNBase)
        require(
            recurrent, f"a limit of {path}: expected a recurrent layer, as torch.nn.RNN, torch.nn.LSTM or torch.nn.GRU"
        )
        self.cells = torch.nn.ModuleList([kind(input_size, hidden_size, dtype=torch.float64)])
        self.states = ("h", "c") if issubclass(kind, torch.nn.LSTM) else ("h",)

    def filled(self, values: Mapping[str, Tensor]) -> TorchLayer:
        """Itself with these parameters, and zero for those left out."""
        zero = {name: torch.zeros_like(value) for name, value in self.cells[0].named_parameters()}
        self.cells[0].load_state_dict({**zero, **values})
        return self

    def forward(self, x: Tensor, state: Mapping[str, Tensor], lengths: None = None) -> tuple[Tensor, dict[str, Tensor]]:
        initial = tuple(state[name] for name in self.states)
        y, final = self.cells[0](x, initial if len(initial) > 1 else initial[0])
        return y, dict(zip(self.states, final if isinstance(final, tuple) else (final,), strict=True))
