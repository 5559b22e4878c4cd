"""A layer of a cell that declares start values or constants: how it begins, and what carries its constants."""

import copy
import pickle

import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.cell import Cell
from lstm_odyssey.layers.starts import LONGEST
from lstm_odyssey.variants.declare import TraceError, Variant, orthogonal
from tests.cells import CONSTANTS, LEAKING, ON_CPU, OSCILLATOR, elman

F64 = torch.float64


def test_parameters_begin_as_declared():
    """A number, the identity, an orthogonal matrix, a uniform draw, and chrono's two that are one draw; the rest is normal."""
    torch.manual_seed(1)
    layer = lo.RNN(LEAKING, 7, 40, bidirectional=True, dtype=F64, longest=21)
    for direction in (0, 1):
        own = {name: layer.weight(name, direction).detach() for name in layer.cell.parameters}
        assert torch.equal(own["R.h"], 0.5 * torch.eye(40, dtype=F64)) and not own["b.h"].any()
        assert (own["R.f"] @ own["R.f"].T - torch.eye(40, dtype=F64)).abs().max() < 1e-13
        assert -0.5 <= own["W.i"].min() < -0.4 and 0.15 < own["W.i"].max() <= 0.25
        assert torch.equal(own["b.i"], -own["b.f"]) and (own["b.f"] >= 0).all() and own["b.f"].exp().max() <= 20
        assert own["b.f"].exp().max() > 15 and abs(own["R.i"].std() - 0.1) < 0.01
    first, second = (layer.weight("b.f", direction) for direction in (0, 1))
    assert not torch.equal(first, second), "both directions had one draw"
    assert lo.RNN(LEAKING, 7, 4).longest == LONGEST
    before = layer.weight("R.f").detach().clone()
    layer.reset_parameters()
    assert not torch.equal(before, layer.weight("R.f")) and layer.weight("R.h")[0, 0] == 0.5


def test_members_begin_at_their_own_size():
    """The identity is that of each member's own N, an orthogonal matrix too; beyond it is 0."""
    layer = lo.RNN(LEAKING, 3, [5, 2], dtype=F64)
    R = layer.weight("R.h")
    assert torch.equal(R[1, :2, :2], 0.5 * torch.eye(2, dtype=F64)) and torch.equal(R[0], 0.5 * torch.eye(5, dtype=F64))
    own = layer.weight("R.f")[1]
    assert (own[:2, :2] @ own[:2, :2].T - torch.eye(2, dtype=F64)).abs().max() < 1e-14
    assert not own[2:].any() and not own[:, 2:].any() and not layer.weight("b.f")[1, 2:].any()


def test_a_matrix_that_is_not_square_has_orthonormal_lines_or_columns():
    """W begins so too, whichever of M and N is greater."""
    for inputs, size in ((3, 7), (7, 3)):
        W = lo.RNN(Variant(elman, start={"W.y": orthogonal(2)}), inputs, size, dtype=F64).weight("W.y").detach()
        product = W.T @ W if size > inputs else W @ W.T
        assert (product - 4 * torch.eye(3, dtype=F64)).abs().max() < 1e-13


def test_a_cell_that_declares_nothing_is_drawn_as_ever():
    """The same numbers from the same seed."""
    torch.manual_seed(3)
    one = lo.RNN("gru", 3, 4)
    torch.manual_seed(3)
    expected = [torch.empty(4, columns).normal_(0, 0.1) for columns in (3, 3, 3)]
    assert torch.equal(one.cells[0].W, torch.cat(expected))


@pytest.mark.parametrize("backend", ON_CPU)
def test_constants_are_the_texts(backend):
    """Outputs, states and gradients are the oracle's at given constants, member by member; a default stands for what is not."""
    torch.manual_seed(2)
    given = {"gamma": [1.5, 3.5, 2.0], "rate": 0.75}
    sizes = [5, 3, 17]
    layer = lo.RNN(OSCILLATOR, 3, sizes, backend=backend, dtype=F64, constants=given, bidirectional=True)
    assert layer.constants == {"gamma": [1.5, 3.5, 2.0], "epsilon": [4.7] * 3, "rate": [0.75] * 3}
    x, states = torch.randn(6, 3, 2, 3, dtype=F64), {s: torch.randn(2, 3, 2, 17, dtype=F64) for s in ("y", "z")}
    y, final = layer(x, states)
    adjoint = torch.randn_like(y)
    (y * adjoint).sum().backward()
    assert layer.cells[0].k.grad is None and layer.cells[0].R.grad is not None
    for member, size in enumerate(sizes):
        found = {name: layer.weight(name)[member, :size].detach() for name in layer.cell.parameters}
        found = {n: (v[:, :size] if n.startswith("R.") else v).clone().requires_grad_() for n, v in found.items()}
        constants = {f"k.{name}": values[member] for name, values in layer.constants.items()}
        start = {name: value[0, member, :, :size] for name, value in states.items()}
        expected = lo.oracle(OSCILLATOR, x[:, member], start, {**found, **constants})
        assert (y[:, member, :, :size] - expected["y"]).abs().max() < 1e-13
        assert (final["z"][0, member, :, :size] - expected["z"][-1]).abs().max() < 1e-13
        (expected["y"] * adjoint[:, member, :, :size]).sum().backward()
        gate = layer.cells[0].R.grad[member, :size, :size]
        assert (gate - found["R.u"].grad).abs().max() < 1e-12 * max(1, gate.abs().max())
    default = lo.oracle(OSCILLATOR, x[:, 0], {n: v[0, 0, :, :5] for n, v in states.items()},
                        {name: layer.weight(name)[0, :5, : 3 if name == "W.u" else 5].detach() if name != "b.u"
                         else layer.weight(name)[0, :5].detach() for name in layer.cell.parameters})  # fmt: skip
    assert (y[:, 0, :, :5] - default["y"]).abs().max() > 1e-3, "the constants that were given change nothing"


def test_constants_travel():
    """A state_dict, a pickle, a copy and another dtype have them; no optimiser sees them; a hand-made dict leaves them."""
    layer = lo.RNN(OSCILLATOR, 3, 4, constants={"gamma": 2.0})
    assert layer.constants == {"gamma": 2.0, "epsilon": 4.7, "rate": 2.0}
    assert "cells.0.k" in layer.state_dict() and all(name != "cells.0.k" for name, _ in layer.named_parameters())
    assert layer.count() == sum(value.numel() for value in layer.parameters())
    other = lo.RNN(OSCILLATOR, 3, 4)
    other.load_state_dict(layer.state_dict())
    x = torch.randn(5, 2, 3)
    for same in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert same.constants == layer.constants and torch.equal(same(x)[0], layer(x)[0])
    assert layer.double().constants["epsilon"] == pytest.approx(4.7, abs=1e-6)
    layer.load_state_dict({f"cells.0.{name}": value for name, value in other.cells[0].named_parameters()})
    layer.reset_parameters()
    assert layer.constants["gamma"] == 2.0
    deep = lo.RNN(OSCILLATOR, 3, 4, num_layers=2, bidirectional=True, constants={"gamma": 2.0})
    assert all(direction.k[0] == 2.0 for direction in deep.directions()) and len(deep.directions()) == 4


@pytest.mark.parametrize(
    ("given", "size", "message"),
    [
        ({"gama": 1.0}, 4, "constants: got 'gama'; expected one of gamma"),
        ({"gamma": 11}, 4, "constants: 'gamma' is 11; expected a number from 0.1 to 10"),
        ({"gamma": "2"}, 4, "constants: 'gamma' is '2'; expected a number"),
        ({"gamma": True}, 4, "constants: 'gamma' is True; expected a number"),
        ({"rate": float("nan")}, 4, "constants: 'rate' is nan; expected a number from 0.5 to inf"),
        ({"gamma": [1.0, 2.0]}, [4, 3, 2], "constants: 'gamma' has 2 values; expected a number, or 3, one a member"),
    ],
)
def test_constants_that_do_not_fit_are_refused(given, size, message):
    """One sentence, with the nearest name and the range."""
    with pytest.raises(ValueError, match=message):
        lo.RNN(OSCILLATOR, 3, size, constants=given)
    with pytest.raises(ValueError, match="got 'gamma'; expected none, as the cell has no constants"):
        lo.RNN("vanilla", 3, 4, constants={"gamma": 1.0})
    assert set(CONSTANTS) == {"gamma", "epsilon", "rate"}


def test_indrnn_begins_with_memories_of_all_lengths():
    """Its vector is uniform in [0, 1], of which Normal(0, 0.1) would leave half below 0 and none near 1."""
    vector = lo.RNN("indrnn", 3, 1000).weight("p.h").detach()
    assert vector.min() >= 0 and vector.max() > 0.98 and abs(vector.mean() - 0.5) < 0.05


@pytest.mark.parametrize(
    "declared", [lo.as_cell("irnn"), Variant(lo.variant("irnn").step, start={"b.h": 1.0, "R.h": orthogonal()})]
)
def test_what_a_bias_begins_with_goes_with_it(declared):
    """Without biases a cell begins with what else it declares; a start of what no text has is an error either way."""
    layer = lo.RNN(declared, 3, 5, bias=False, dtype=F64)
    R = layer.cells[0].R.detach()
    assert set(layer.cells[0]._parameters) == {"W", "R"} and (R @ R.T - torch.eye(5, dtype=F64)).abs().max() < 1e-13
    assert not any(name.startswith("b.") for name in layer.cell.start)
    assert layer.cell.signature == layer.cell.without_bias().signature != lo.as_cell(declared).signature
    for bias in (True, False):
        with pytest.raises(TraceError, match=r"start of b\.q, which is none of its parameters"):
            Cell(Variant(elman, start={"b.q": 1.0}), bias=bias)
