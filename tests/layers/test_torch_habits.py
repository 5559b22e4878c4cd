"""What torch's recurrent layers have: each argument and habit of theirs, beside ours."""

import copy
import itertools
import pickle
import re

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import lstm_odyssey as lo
from lstm_odyssey.plugins import registry
from lstm_odyssey.variants.declare import TraceError
from tests.conftest import ROOT
from tests.tools import swapped

KINDS = (nn.LSTM, nn.GRU, nn.RNN)
M, N, T, B = 5, 7, 4, 3


def made(kind, **options):
    torch.manual_seed(3)
    theirs = kind(M, N, dtype=torch.float64, **options)
    with torch.no_grad():
        for value in theirs.parameters():
            value.normal_()
    return theirs


def inputs(theirs, form):
    """Input and initial states, none of them zero."""
    batch = () if form == "one sequence" else (B,)
    first = theirs.batch_first and form != "one sequence"
    x = torch.randn(*((B, T) if first else (T, *batch)), M, dtype=torch.float64, requires_grad=form != "packed")
    given = x
    if form == "packed":
        given = pack_padded_sequence(x, [2, T, 3], batch_first=theirs.batch_first, enforce_sorted=False)
    shape = (theirs.num_layers * (1 + theirs.bidirectional), *batch, N)
    state = [
        torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(1 + isinstance(theirs, nn.LSTM))
    ]
    return x, given, state


def answers(layer, given, state):
    """Everything that a call returns, as one list of tensors."""
    y, last = layer(given, tuple(state) if len(state) > 1 else state[0])
    return [getattr(y, "data", y), *(last if len(state) > 1 else [last])]


CASES = list(itertools.product((1, 2), (False, True), (False, True), (True, False)))


@pytest.mark.parametrize("form", ["batch", "one sequence", "packed"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("layers", "both", "first", "bias"), [*CASES[::5], *(pytest.param(*case, marks=pytest.mark.long) for case in CASES)]
)
def test_a_torch_layer_is_swapped(kind, layers, both, first, bias, form):
    """Outputs, final states and all gradients are torch's, whatever the options and the form of the input; and back again."""
    theirs = made(kind, num_layers=layers, bidirectional=both, batch_first=first, bias=bias)
    ours = lo.from_torch(theirs)
    x, given, state = inputs(theirs, form)
    leaves = [*([x] if x.requires_grad else []), *state]
    found = []
    for layer in (theirs, ours, ours.to_torch()):
        values = answers(layer, given, state)
        torch.manual_seed(8)
        total = sum((value * torch.randn_like(value)).sum() for value in values)
        found.append([*values, *torch.autograd.grad(total, leaves)])
    for ours_, back, expected in zip(found[1], found[2], found[0], strict=True):
        assert ours_.shape == expected.shape and expected.abs().max() > 1e-3
        torch.testing.assert_close(ours_, expected, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(back, expected, rtol=1e-11, atol=1e-11)


def test_a_packed_result_is_packed_as_the_input():
    """Sizes of batches and both orders of rows are the input's, ties in length included."""
    theirs = made(nn.GRU)
    x = torch.randn(T, 4, M, dtype=torch.float64)
    given = pack_padded_sequence(x, [2, T, 2, 3], enforce_sorted=False)
    for packed in (given, pack_padded_sequence(x, [4, 4, 2, 1])):
        (y, h), (other, h_other) = theirs(packed), lo.from_torch(theirs)(packed)
        assert torch.equal(y.batch_sizes, other.batch_sizes)
        for name in ("sorted_indices", "unsorted_indices"):
            mine, torchs = getattr(other, name), getattr(y, name)
            assert mine is torchs is None or torch.equal(mine, torchs)
        torch.testing.assert_close(other.data, y.data)
        torch.testing.assert_close(h_other, h)


def test_without_initial_states_and_dropout_in_training():
    """None begins at zero; dropout between layers draws as torch does, in training alone."""
    theirs = made(nn.LSTM, num_layers=3, dropout=0.4)
    ours = lo.from_torch(theirs)
    x = torch.randn(T, B, M, dtype=torch.float64)
    for layer in (theirs, ours):
        layer.train()
    torch.manual_seed(1)
    expected, _ = theirs(x)
    torch.manual_seed(1)
    found, _ = ours(x)
    torch.testing.assert_close(found, expected)
    once, again = ours(x)[0], ours(x)[0]
    assert not torch.equal(once, again)
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(x)[0], theirs(x)[0])
    assert not torch.allclose(theirs(x)[0], expected)


def test_several_layers_by_hand():
    """A layer reads the outputs of the one below; states are [L, D, B, N]; keys are layers.L.cells.D.W; a copy is the same."""
    layer = lo.RNN("vanilla", M, N, True, num_layers=2, dtype=torch.float64, initial_std=0.5)
    assert isinstance(layer, lo.RNN) and layer.num_layers == 2
    x = torch.randn(T, B, M, dtype=torch.float64)
    state = {name: torch.randn(2, 2, B, N, dtype=torch.float64) for name in ("y", "c")}
    lengths = [2, 4, 3]
    below, final0 = layer.layers[0](x, {name: value[0] for name, value in state.items()}, lengths)
    expected, final1 = layer.layers[1](below, {name: value[1] for name, value in state.items()}, lengths)
    y, final = layer(x, state, lengths)
    assert torch.equal(y, expected)
    for name, value in final.items():
        assert torch.equal(value, torch.stack([final0[name], final1[name]]))
    keys = set(layer.state_dict())
    assert keys == {f"layers.{k}.cells.{d}.{space}" for k in (0, 1) for d in (0, 1) for space in "WRpb"}
    assert layer.layers[1].cells[0].W.shape == (4 * N, 2 * N)
    assert layer.count() == sum(value.numel() for value in layer.parameters())
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(x, state, lengths)[0], y)
    fresh = lo.RNN("vanilla", M, N, True, num_layers=2, dtype=torch.float64)
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(fresh(x, state, lengths)[0], y)
    assert torch.equal(layer.weight("R.z", 1, layer=1), layer.layers[1].weight("R.z", 1))
    before = layer.weight("R.z").clone()
    layer.reset_parameters()
    assert not torch.equal(layer.weight("R.z"), before)


def test_batch_first_and_one_sequence_of_our_own_layer():
    """The same numbers in the form that the input has; states keep theirs."""
    plain = lo.RNN("cifg", M, N, dtype=torch.float64, initial_std=0.5)
    first = lo.RNN("cifg", M, N, dtype=torch.float64, batch_first=True)
    first.load_state_dict(plain.state_dict())
    x = torch.randn(T, B, M, dtype=torch.float64)
    state = {name: torch.randn(1, B, N, dtype=torch.float64) for name in ("y", "c")}
    y, final = plain(x, state, [2, 4, 3])
    turned, last = first(x.transpose(0, 1), state, [2, 4, 3])
    assert torch.equal(turned, y.transpose(0, 1)) and all(torch.equal(final[name], last[name]) for name in final)
    one, alone = first(x[:, 1], {name: value[:, 1] for name, value in state.items()})
    torch.testing.assert_close(one, y[:, 1])
    assert alone["c"].shape == (1, N)


@pytest.mark.parametrize("name", ["vanilla", "gru", "gru_reset_after", "fgr", "slstm", "minlstm"])
@pytest.mark.parametrize("backend", ["numba", "eager"])
def test_a_cell_without_bias_is_the_cell_with_biases_of_zero(name, backend):
    """Outputs, states and gradients equal, no b among the parameters; the oracle of the cell agrees."""
    cell = lo.variant(name)
    without = lo.RNN(name, M, N, dtype=torch.float64, bias=False, backend=backend, initial_std=0.7)
    with_zero = lo.RNN(name, M, N, dtype=torch.float64, backend=backend)
    assert set(without.cells[0]._parameters) == set(with_zero.cells[0]._parameters) - {"b"}
    with torch.no_grad():
        for parameter in cell.parameters:
            source = None if parameter.startswith("b.") else without.weight(parameter)
            with_zero.weight(parameter).copy_(0 if source is None else source)
    x = torch.randn(T, B, M, dtype=torch.float64)
    state = {}
    for each in cell.states:
        low, high = cell.domains.get(each, (-1.0, 1.0))
        state[each] = low + (high - low) * torch.rand(1, B, N, dtype=torch.float64)
    results = []
    for layer in (without, with_zero):
        y, final = layer(x, state)
        y.square().sum().backward()
        results.append([y, *final.values(), layer.cells[0].W.grad])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    parameters = {each: without.weight(each).detach() for each in without.cell.parameters}
    known = lo.oracle(without.cell, x, {each: value[0] for each, value in state.items()}, parameters)
    torch.testing.assert_close(results[0][0], known[cell.states[0]], rtol=1e-11, atol=1e-11)
    assert not any("b_" in line for line in without.cell.equations)
    assert without.cell.signature != cell.signature


def scaled(x, y, *, W, R, b):
    return b.g * (W.z @ x + R.z @ y + b.z)


def alone(x, y, *, W, R, b):
    return y * 0.5 + (b.z - W.z @ x)


def test_a_bias_that_is_no_term_of_a_sum_stays():
    """A gain is no bias; in a difference what is left has its sign."""
    with pytest.raises(TraceError, match=r"cell 'scaled'.* a bias stands elsewhere than in a sum of vectors, in 'mul'"):
        lo.RNN(scaled, M, N, bias=False)
    assert lo.RNN(alone, M, N, bias=False).cell.equations == ("y_t = y_{t-1} · 0.5 + -W_z x_t",)
    cell = lo.as_cell(lambda_free)
    assert cell.without_bias() is cell


def lambda_free(x, y, *, W, R):
    return W.z @ x + R.z @ y


def test_a_trained_network_is_swapped(capsys):
    """What the page times: after the swap the loss is the same to every digit shown, here and on the page."""
    swapped.main("--units 3 --epochs 1 --rounds 1 --pieces 4 --tested 6".split())
    page = (ROOT / "docs" / "layer.md").read_text(encoding="utf-8")
    for text in (capsys.readouterr().out, page.split("| times as fast |")[1].split("torch computes")[0]):
        rows = [line.strip("| ").split(" | ") for line in text.splitlines() if re.match(r"\| \d", line)]
        assert len(rows) == 3 and all(before == after and float(ratio) > 0 for _, before, after, ratio in rows)


WRONG = [
    ({"num_layers": 0}, "num_layers is 0; expected a whole number"), ({"num_layers": True}, "num_layers is True"),
    ({"dropout": 1.5, "num_layers": 2}, "dropout is 1.5; expected a number from 0 to 1"),
    ({"dropout": 0.5}, "dropout with one layer; expected num_layers of at least 2"),
    ({"proj_size": 3}, "proj_size is 3; expected none. Put a torch.nn.Linear"),
    ({"hidden_size": [3, 4], "num_layers": 2}, "a population has one layer and time first"),
    ({"hidden_size": [3, 4], "batch_first": True}, "a population has one layer and time first"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_options_that_no_layer_has(options, message):
    """One sentence that says what to do."""
    with pytest.raises(ValueError, match=message):
        lo.RNN("cifg", **{"input_size": 3, "hidden_size": 4, **options})


def test_calls_that_do_not_fit():
    """Lengths beside what has its own, states of another number of layers, another layer's number."""
    layer = lo.RNN("cifg", M, N, num_layers=2)
    x = torch.randn(T, B, M)
    with pytest.raises(ValueError, match="lengths beside a PackedSequence"):
        layer(pack_padded_sequence(x, [4, 3, 2]), lengths=[4, 3, 2])
    with pytest.raises(ValueError, match=r"lengths beside x of shape \(4, 5\), one sequence"):
        layer(x[:, 0], lengths=[4])
    with pytest.raises(ValueError, match=r"state 'y' has shape \(1, 3, 7\); expected \(2, 1, 3, 7\)"):
        layer(x, {name: torch.zeros(1, B, N) for name in ("y", "c")})
    with pytest.raises(ValueError, match=r"weight: layer is 2; expected one of \[0, 1\]"):
        layer.weight("W.z", layer=2)


def test_what_is_no_layer_of_torch_is_refused():
    """By name, with what is expected."""
    for wrong, message in (
        (nn.Linear(2, 3), "got Linear; expected torch.nn.LSTM"),
        (nn.LSTM(4, 5, proj_size=2), "proj_size=2; expected 0"),
        (nn.RNN(4, 5, nonlinearity="relu"), "nonlinearity='relu'; expected 'tanh'"),
    ):
        with pytest.raises(ValueError, match=message):
            lo.from_torch(wrong)


@pytest.mark.parametrize(
    ("kind", "spoil", "error", "message"),
    [
        (nn.LSTM, lambda h, c: h, TypeError, r"LSTM: hx is Tensor; expected \(h, c\), as torch.nn.LSTM takes it"),
        (nn.LSTM, lambda h, c: (h, c, c), TypeError, "LSTM: hx is tuple of 3; expected"),
        (nn.LSTM, lambda h, c: {"h": h, "c": c}, TypeError, "LSTM: hx is dict; expected"),
        (
            nn.LSTM,
            lambda h, c: (h[:1], c),
            ValueError,
            rf"LSTM: h of hx has the shape \[1, 3, 7\]; expected \[2, 3, {N}\]",
        ),
        (nn.LSTM, lambda h, c: (h, c[..., 1:]), ValueError, "LSTM: c of hx has the shape"),
        (nn.GRU, lambda h, c: (h, c), TypeError, "GRU: hx is tuple of 2; expected a tensor h"),
        (nn.RNN, lambda h, c: h[0, 0], ValueError, "RNN: h of hx has the shape"),
    ],
)
def test_wrong_states_of_a_swapped_layer_are_one_clear_error(kind, spoil, error, message):
    """Too few, too many, another container, another number of layers or size: torch's name, what it is and what is expected."""
    theirs = made(kind, num_layers=2)
    h, c = torch.randn(2, 2, B, N, dtype=torch.float64)
    with pytest.raises(error, match=message):
        lo.from_torch(theirs)(torch.randn(T, B, M, dtype=torch.float64), spoil(h, c))


def test_no_plugin_comes_between_a_torch_layer_and_its_cell(tmp_path, monkeypatch):
    """A file whose cell cannot be traced, and one with a cell of the same name as ours, change nothing."""
    broken = "def broken(x, y, *, W, R):\n    return y if y else x\n\n\ndef no_peepholes(x, y, *, W, R):\n    return R.a @ y\n"
    file = tmp_path / "broken.py"
    file.write_text(broken)
    monkeypatch.setenv("ODYSSEY_PLUGINS", str(file))
    registry.forget_plugins()
    try:
        theirs = made(nn.LSTM)
        x = torch.randn(T, B, M, dtype=torch.float64)
        assert "broken" in lo.variant_names()
        torch.testing.assert_close(lo.from_torch(theirs)(x)[0], theirs(x)[0])
    finally:
        monkeypatch.undo()
        registry.forget_plugins()
