"""The short way of a call is the long one in every bit, and is taken where nothing stands in its way."""

import types

import pytest
import torch
from torch.nn.utils import parametrizations

import lstm_odyssey as lo
from lstm_odyssey.backends.numba import direct as short
from lstm_odyssey.layers import hooks
from tests import cells

CELLS = ("vanilla", "fgr", "gru", "minlstm", "slstm", "cornn", "ln_lstm", "irnn", cells.shared)
"""One phase and two, no R, a state that does not begin at 0, constants, means, starts of its own, functions of x."""


@pytest.fixture
def ways(monkeypatch):
    """What the short way answered, call by call: True where it gave a result."""
    taken = []
    whole = hooks.direct

    def told(*arguments):
        found = whole(*arguments)
        taken.append(found is not None)
        return found

    monkeypatch.setattr("lstm_odyssey.layers.rnn.direct", told)
    return taken


def make(cell="vanilla", **options):
    torch.manual_seed(3)
    layer = lo.RNN(cell, 3, 7, initial_std=1.0, dtype=torch.float64, **options)
    return layer, torch.randn(5, 2, 3, dtype=torch.float64)


def results(layer, x, state=None, lengths=None):
    """Outputs, final states, and the gradients of all that was given."""
    x = x.clone().requires_grad_()
    given = None if state is None else {name: value.clone().requires_grad_() for name, value in state.items()}
    y, final = layer(x, given, lengths)
    over = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    total = (y * over).sum() + sum((value * value).sum() for value in final.values())
    return [y, *final.values(), *torch.autograd.grad(total, [x, *layer.parameters(), *(given or {}).values()])]


@pytest.mark.parametrize("cell", CELLS)
def test_the_numbers_are_those_of_the_long_way(cell, ways):
    """Outputs, final states and every gradient, with states given or at rest."""
    layer, x = make(cell)
    names, domains = layer.cell.states, layer.cell.domains
    drawn = {name: torch.randn(1, 2, 7, dtype=x.dtype).clamp(*domains.get(name, (-9, 9))) for name in names}
    for state in (None, drawn, dict(reversed(drawn.items()))):
        whole = results(layer, x, state, [5, 5])  # who gives lengths goes the long way
        for ours, other in zip(results(layer, x, state), whole, strict=True):
            assert torch.equal(ours, other)
        with torch.no_grad():
            assert torch.equal(layer(x, state)[0], whole[0])
    assert ways == [cell is not cells.shared] * 6  # torch makes its functions of x


def test_a_call_that_asks_for_more_goes_the_long_way(ways):
    """Lengths, two directions, [B, T, M], another backend, a transform, autocast, one sequence, a mapping that is no dict."""
    layer, x = make()
    layer(x, lengths=[5, 3])
    assert not ways  # not even asked
    for options in ({"bidirectional": True}, {"batch_first": True}, {"backend": "eager"}):
        make(**options)[0](x)
    torch.func.vmap(lambda one: layer(one)[0])(torch.stack([x, x]))
    with torch.autocast("cpu"):
        layer(x)
    layer(x[:, 0])
    layer(x, types.MappingProxyType({name: torch.ones(1, 2, 7, dtype=x.dtype) for name in layer.cell.states}))
    assert ways and not any(ways)
    make(num_layers=2)[0](x)
    assert ways[-3:] == [False, True, True]  # each of the two by itself


def test_a_population_goes_the_long_way(ways):
    """Its members have sizes of their own."""
    layer, x = make()
    torch.manual_seed(3)
    both = lo.RNN("vanilla", 3, [7, 4], initial_std=1.0, dtype=torch.float64)
    both(x.unsqueeze(1).expand(5, 2, 2, 3))
    layer(x)
    assert ways == [False, True]


def test_what_is_wrong_is_said_as_ever(ways):
    """A wrong x, state or parameter is the long way's to answer."""
    layer, x = make()
    for wrong, words in ((x[..., :2], "shape"), (x.float(), "float32"), (x[:0], "shape"), (x.numpy(), "ndarray")):
        with pytest.raises(ValueError, match=words):
            layer(wrong)
    good = torch.zeros(1, 2, 7, dtype=x.dtype)
    for wrong, words in (({"y": good}, "expected all of"), ({"y": good, "c": good[..., :6]}, "state 'c'"),
                         ({"y": good, "c": good.float()}, "float32"), ({"y": good, "c": None}, "NoneType"),
                         ({"y": good, "c": good.to_sparse()}, "sparse"), ([good, good], "list")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            layer(x, wrong)
    layer.cells[0].R.data = layer.cells[0].R.data[:, :6].clone()
    with pytest.raises(ValueError, match=r"parameter 'R' is \[28, 6\]"):
        layer(x)
    assert ways and not any(ways)


def test_hooks_run_and_computed_parameters_are_used(ways):
    """Hooks of a direction, of all modules and of the layer, and a parametrization."""
    layer, x = make()
    ran = []
    handle = layer.cells[0].register_forward_hook(lambda *_: ran.append("direction"))
    layer(x)
    handle.remove()
    handle = torch.nn.modules.module.register_module_forward_hook(lambda module, *_: ran.append(type(module).__name__))
    layer(x)
    handle.remove()
    assert ran == ["direction", "CellParameters", "RNN"]
    handle = layer.register_forward_hook(lambda *_: ran.append("layer"))
    layer(x)
    handle.remove()
    assert ran[3:] == ["layer"]
    before = layer(x)[0]
    parametrizations.weight_norm(layer.cells[0], "R")
    with torch.no_grad():
        layer.cells[0].parametrizations.R.original0.mul_(2)
    assert not torch.equal(layer(x)[0], before)
    assert ways == [False, False, True, True, False]


def test_a_direction_that_computes_its_own_is_asked(ways):
    """One of a class with another forward gives what that returns."""

    class Doubled(type(make()[0].cells[0])):
        def forward(self):
            return {space: 2 * value for space, value in super().forward().items()}

    layer, x = make()
    layer.cells[0].__class__ = Doubled
    ours = layer(x)[0]
    layer.cells[0].__class__ = Doubled.__mro__[1]
    with torch.no_grad():
        for value in layer.parameters():
            value.mul_(2)
    assert torch.equal(ours, layer(x)[0])
    assert ways == [False, True]


def test_states_at_rest_outlive_what_other_calls_push_out():
    """Their memory is there as long as a pass reads it."""
    layer, x = make("slstm")
    whole = results(layer, x)
    y, final = layer(x)
    for rows in range(1, 80):  # more than are kept
        layer(torch.zeros(2, rows, 3, dtype=x.dtype))
    assert short._rest.cache_info().currsize == short._rest.cache_info().maxsize
    y.sum().backward()
    for ours, other in zip(results(layer, x), whole, strict=True):
        assert torch.equal(ours, other)
    assert all(torch.isfinite(value).all() for value in final.values())


def test_many_states_are_made_for_a_call(monkeypatch, ways):
    """Large ones are not kept."""
    layer, x = make()
    y = layer(x)[0]
    monkeypatch.setattr(short, "LARGEST_REST", 2 * 2 * 7 - 1)
    assert torch.equal(layer(x)[0], y)
    assert ways == [True, False]
