"""A swapped layer beyond its call: options set later, what is frozen, what a swap would lose, training, no rows, errors."""

import copy
import importlib
import re
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import lstm_odyssey as lo
from tests.conftest import ROOT
from tests.layers.test_torch_habits import KINDS, B, M, N, T, made

F64 = torch.float64
WHOLE = "ignore:.*weight_norm.* is deprecated:FutureWarning"


def swapped(theirs):
    return lo.from_torch(theirs, backend="eager")


@pytest.mark.parametrize("kind", KINDS)
def test_options_that_are_set_later_are_obeyed(kind):
    """Dropout and batch_first are those of the layer inside, and draw and turn as torch's do; the way back has them too."""
    theirs = made(kind, num_layers=2)
    ours = swapped(theirs)
    x = torch.randn(T, B, M, dtype=F64)
    for layer in (theirs, ours, ours.layer):
        layer.dropout = 0.9
    results = []
    for layer in (theirs, ours, ours.layer, ours.to_torch()):
        torch.manual_seed(2)
        results.append(layer(x)[0])
    assert all(torch.allclose(one, results[0], atol=1e-12) for one in results)
    ours.dropout = np.float32(0)
    theirs.dropout = 0.0
    assert ours.layer.dropout == 0 and not torch.allclose(ours(x)[0], results[0])
    ours.batch_first = theirs.batch_first = True
    states = torch.randn(2, 2, T, N, dtype=F64)
    hx = tuple(states) if kind is nn.LSTM else states[0]
    torch.testing.assert_close(ours(x, hx)[0], theirs(x, hx)[0], rtol=1e-11, atol=1e-11)
    assert ours.layer.batch_first and ours.to_torch().batch_first and copy.deepcopy(ours).batch_first
    ours.layer.batch_first = False
    assert not ours.batch_first


def test_options_that_are_fixed_are_told_and_refused():
    """What weights are made of can be read as torch's and not set; what is set has to be an option's value."""
    for kind in KINDS:
        theirs = made(kind, num_layers=2, bidirectional=True)
        ours = swapped(theirs)
        for name in ("input_size", "hidden_size", "num_layers", "bias", "bidirectional", "mode", "proj_size"):
            own = getattr(theirs, name)
            assert getattr(ours, name) == own
            setattr(ours, name, own)
            with pytest.raises(ValueError, match=rf"{kind.__name__}: {name} is set to 'other'; expected {own!r}"):
                setattr(ours, name, "other")
            with pytest.raises(ValueError, match=f"{name} is set to"):
                setattr(ours, name, np.zeros(2))
    for name, wrong in (("num_layers", 3), ("bidirectional", False), ("input_size", 9), ("bias", False),
                        ("batch_first", "no"), ("dropout", 3)):  # fmt: skip
        with pytest.raises(ValueError, match=rf"RNN 'tanh_rnn': {name} is .*{wrong!r}; expected"):
            setattr(ours.layer, name, wrong)
    with pytest.raises(ValueError, match="RNN 'cifg': batch_first is set to True; expected False"):
        lo.RNN("cifg", M, [N, 3]).batch_first = True
    with pytest.raises(ValueError, match="LSTM: dropout with one layer; expected num_layers of at least 2"):
        swapped(made(nn.LSTM)).dropout = 0.5
    with pytest.raises(ValueError, match="RNN: dropout is 2; expected a number from 0 to 1"):
        ours.dropout = 2
    with pytest.raises(ValueError, match="RNN: batch_first is 1; expected True or False"):
        ours.batch_first = 1


@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 2, "bidirectional": True, "dropout": 0.25}, {"batch_first": True, "bias": False}]
)
@pytest.mark.parametrize("kind", KINDS)
def test_every_attribute_is_there_or_told(kind, options):
    """What torch's layers have beyond a module's: of the same value, or a row of the page and an error; and nothing else."""
    theirs = made(kind, **options)
    ours, page = swapped(theirs), {re.sub(r"[`.]+", "", name) for row in HABITS for name in row.split(", ")}
    names = [name for name in {*dir(theirs), "nonlinearity"} - {*dir(nn.Module())} if not name.startswith("_")]
    same = {name for name in names if hasattr(ours, name)}
    for name in same:
        own, found = getattr(theirs, name), getattr(ours, name)
        assert callable(found) if callable(own) else (type(found), found) == (type(own), own), name
    assert same >= {"input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional", "mode",
                    "proj_size", "flatten_parameters", "reset_parameters"}  # fmt: skip
    assert ("nonlinearity" in same) == hasattr(theirs, "nonlinearity") == (kind is nn.RNN)
    for name in set(names) - same - {"nonlinearity"}:
        assert name.startswith(("weight_", "bias_", *page)), name
        for asked in (lambda name=name: getattr(ours, name), lambda name=name: setattr(ours, name, hook)):
            with pytest.raises(AttributeError, match=rf"^{kind.__name__}: a swapped layer has no {name}; expected"):
                asked()
    if kind is not nn.RNN:
        with pytest.raises(
            AttributeError, match=f"{kind.__name__}: there is no nonlinearity, as torch's layer has none"
        ):
            ours.nonlinearity = "tanh"


@pytest.mark.filterwarnings("ignore:dropout option adds dropout:UserWarning")
def test_a_dropout_that_torch_warns_of_is_left():
    """With one layer it does nothing, and a swapped layer says so: it is 0."""
    theirs = made(nn.GRU, dropout=0.5)
    assert theirs.dropout == 0.5 and swapped(theirs).dropout == swapped(theirs).to_torch().dropout == 0


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_frozen_stays_so(kind):
    """A matrix, both biases or a whole layer, there and back; of two biases one alone cannot be."""
    theirs = made(kind, num_layers=2, bidirectional=True)
    frozen = ("weight_hh_l0", "weight_ih_l1_reverse", "bias_ih_l0_reverse", "bias_hh_l0_reverse")
    for name in frozen:
        theirs.get_parameter(name).requires_grad_(False)
    ours = swapped(theirs)
    needs = {(k, d, space): ours.layer.layers[k].cells[d].get_parameter(space).requires_grad
             for k in (0, 1) for d in (0, 1) for space in "WRb"}  # fmt: skip
    assert {place for place, needed in needs.items() if not needed} == {(0, 0, "R"), (1, 1, "W"), (0, 1, "b")}
    assert {name for name, one in ours.to_torch().named_parameters() if not one.requires_grad} == set(frozen)
    for name, one in theirs.named_parameters():
        one.requires_grad_("_l1" in name)
    assert not any(one.requires_grad for one in swapped(theirs).layer.layers[0].parameters())
    theirs.bias_hh_l1.requires_grad_(False)
    with pytest.raises(
        ValueError, match="bias_ih_l1 needs gradients and bias_hh_l1 does not; expected both or neither"
    ):
        lo.from_torch(theirs)


class Mine(nn.LSTM):
    """Nothing but another class."""


def hook(*given):
    return None


def changed(change):
    """A layer of torch to which something was done."""
    theirs = nn.LSTM(M, N, num_layers=2)
    change(theirs)
    return theirs


def tied(layer):
    layer.weight_hh_l1 = layer.weight_hh_l0


def tied_by_memory(layer):
    layer.bias_hh_l0.data = layer.bias_ih_l0.data


def its_own_call(layer):
    layer.forward = hook


def its_own_state(layer):
    layer.state_dict = hook


LOST = {
    "forward hook": (lambda one: one.register_forward_hook(hook), "has the hook hook (_forward_hooks); expected none"),
    "forward pre hook": (lambda one: one.register_forward_pre_hook(hook), "(_forward_pre_hooks); expected none"),
    "backward hook": (lambda one: one.register_full_backward_hook(hook), "(_backward_hooks); expected none"),
    "a weight's hook": (lambda one: one.weight_hh_l1.register_hook(hook), "weight_hh_l1 of torch.nn.LSTM has the hook hook"),
    "a weight's hook after": (lambda one: one.bias_hh_l1.register_post_accumulate_grad_hook(hook), "has the hook hook"),
    "tied": (tied, "weight_hh_l0 and weight_hh_l1 of torch.nn.LSTM are one tensor; expected each its own"),
    "tied memory": (tied_by_memory, "bias_ih_l0 and bias_hh_l0 of torch.nn.LSTM are one tensor"),
    "pruned": (lambda one: prune.l1_unstructured(one, "weight_hh_l0", 0.5), "torch.nn.utils.prune.remove(module, 'weight"),
    "weight_norm": (lambda one: nn.utils.weight_norm(one, "weight_ih_l1"), "remove_weight_norm(module, 'weight_ih"),
    "spectral_norm": (lambda one: nn.utils.spectral_norm(one, "weight_hh_l0"), "remove_spectral_norm(module, "),
    "parametrization": (lambda one: parametrizations.orthogonal(one, "weight_hh_l0"),
                        "has a parametrization of weight_hh_l0; expected plain weights"),
    "buffer": (lambda one: one.register_buffer("more", torch.zeros(1)), "has a more of its own; expected none"),
    "its own call": (its_own_call, "has a forward of its own; expected none"),
    "its own state_dict": (its_own_state, "has a state_dict of its own; expected none"),
}  # fmt: skip


@pytest.mark.filterwarnings(WHOLE)
@pytest.mark.parametrize("what", LOST)
def test_what_a_swap_would_lose_is_refused(what):
    """Hooks, tied and computed weights, what was hung on the layer: one sentence with what to do, in place of other results."""
    change, message = LOST[what]
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        lo.from_torch(changed(change))
    assert str(raised.value).startswith("from_torch: ") and "lost" in str(raised.value) + "lost" * what.startswith(
        "tied"
    )


def hook_places(layer):
    """Where torch keeps the hooks of a module, by what they are called and what they are."""
    return {name: value for name, value in vars(layer).items() if "hook" in name and isinstance(value, dict)}


REGISTER = [name for name in dir(nn.Module) if re.fullmatch("_?register_.*hook", name)]


@pytest.mark.parametrize("register", REGISTER)
def test_no_hook_is_lost(register):
    """Whatever way torch has to hang a hook on a layer: it is refused by its name and its place, until it is removed."""
    theirs = nn.LSTM(M, N)
    handle = getattr(theirs, register)(hook)
    (place, *_) = [name for name, hooks in hook_places(theirs).items() if hooks]
    with pytest.raises(
        ValueError, match=rf"^from_torch: torch.nn.LSTM has the hook .* \({place}\); expected none, as it"
    ):
        lo.from_torch(theirs)
    handle.remove() if hasattr(handle, "remove") else hook_places(theirs)[place].clear()
    assert isinstance(swapped(theirs).layer, lo.RNN)


def test_no_place_of_hooks_is_forgotten():
    """Each dictionary of hooks that torch's modules have, those of a later torch too; several of them no method fills."""
    places = hook_places(nn.Module())
    assert len(places) >= 11 and len(REGISTER) >= 10
    for place in places:
        theirs = nn.GRU(M, N)
        vars(theirs)[place][0] = hook
        with pytest.raises(ValueError, match=rf"torch.nn.GRU has the hook hook \({place}\)"):
            lo.from_torch(theirs)


def test_state_dict_hooks_of_a_swapped_layer():
    """The cure helps: a hook that mends old names of torch's works on the swapped layer as it did on torch's; one that looks at
    a state_dict sees our names.
    """
    theirs, seen = made(nn.LSTM, num_layers=2), []
    ours, model = swapped(made(nn.LSTM, num_layers=2)), nn.ModuleDict()
    old = {f"rnn.old_{name}": value + 1 for name, value in theirs.state_dict().items()}

    def rename(module, state_dict, prefix, *rest):
        assert module in (theirs, ours)
        for name in [key for key in state_dict if key.startswith(f"{prefix}old_")]:
            state_dict[prefix + name.removeprefix(f"{prefix}old_")] = state_dict.pop(name)

    ours.register_state_dict_post_hook(lambda module, state_dict, prefix, _: seen.extend(state_dict))
    ours.register_load_state_dict_post_hook(lambda module, keys: seen.append(keys))
    for layer in (theirs, ours):
        layer.register_load_state_dict_pre_hook(rename)
        model["rnn"] = layer
        model.load_state_dict(old)
    assert len(hook_places(ours)["_load_state_dict_pre_hooks"]) == 1
    x = torch.randn(T, B, M, dtype=F64)
    torch.testing.assert_close(ours(x)[0], theirs(x)[0], rtol=1e-12, atol=1e-12)
    model.state_dict()
    assert len(seen) == 7 and {"rnn.layer.layers.1.cells.0.R"} < set(map(str, seen))


@pytest.mark.filterwarnings(WHOLE)
def test_the_cures_help():
    """What a message says to do makes a layer that is swapped."""
    for change, cure in (
        (LOST["pruned"][0], lambda one: prune.remove(one, "weight_hh_l0")),
        (LOST["weight_norm"][0], lambda one: nn.utils.remove_weight_norm(one, "weight_ih_l1")),
        (LOST["spectral_norm"][0], lambda one: nn.utils.remove_spectral_norm(one, "weight_hh_l0")),
        (LOST["parametrization"][0], lambda one: parametrize.remove_parametrizations(one, "weight_hh_l0")),
        (tied, lambda one: setattr(one, "weight_hh_l1", nn.Parameter(one.weight_hh_l1.detach().clone()))),
    ):
        theirs = changed(change)
        cure(theirs)
        x = torch.randn(T, B, M)
        torch.testing.assert_close(swapped(theirs)(x)[0], theirs(x)[0])


def test_other_classes_are_refused_by_their_whole_name():
    """A subclass, a quantized layer."""
    with pytest.raises(
        ValueError, match=r"got Mine, a subclass of torch.nn.LSTM; .* load_state_dict\(module.state_dict"
    ):
        lo.from_torch(Mine(M, N))
    quantized = type("LSTM", (nn.Module,), {"__module__": "torch.ao.nn.quantized.dynamic"})()
    with pytest.raises(
        ValueError, match=r"got torch.ao.nn.quantized.dynamic.LSTM; expected torch.nn.LSTM. Swap the layer"
    ):
        lo.from_torch(quantized)


@pytest.mark.parametrize("kind", KINDS)
def test_torchs_weights_elsewhere(kind):
    """reset_parameters draws torch's numbers, a state_dict of torch's loads, other names of weights say where ours are."""
    theirs, model = made(kind, num_layers=2, bidirectional=True), nn.ModuleDict()
    ours = swapped(theirs)
    for layer in (theirs, ours):
        torch.manual_seed(5)
        layer.reset_parameters()
    x = torch.randn(T, B, M, dtype=F64)
    torch.testing.assert_close(ours(x)[0], theirs(x)[0], rtol=1e-12, atol=1e-12)
    assert theirs.weight_hh_l0.abs().max() < N**-0.5
    other, model["rnn"] = made(kind, num_layers=2, bidirectional=True), ours
    model.load_state_dict({f"rnn.{name}": value for name, value in other.state_dict().items()})
    torch.testing.assert_close(ours(x)[0], other(x)[0], rtol=1e-12, atol=1e-12)
    ours.load_state_dict(swapped(theirs).state_dict())
    torch.testing.assert_close(ours(x)[0], theirs(x)[0], rtol=1e-12, atol=1e-12)
    wrong = {**other.state_dict(), "weight_hh_l0": torch.zeros(3, 2)}
    del wrong["bias_ih_l1_reverse"]
    with pytest.raises(
        RuntimeError,
        match=r"Missing key.*bias_ih_l1_reverse(.|\n)*size mismatch for weight_hh_l0: the file has \[3, 2\]",
    ):
        ours.load_state_dict(wrong)
    for name in ("weight_hh_l0", "bias_ih_l1_reverse", "all_weights", "_all_weights", "_flat_weights"):
        assert not hasattr(ours, name)
        with pytest.raises(
            AttributeError, match=rf"{kind.__name__}: a swapped layer has no {name}; expected its weights in"
        ):
            setattr(ours, name, nn.Parameter(torch.zeros(1)))
    assert not isinstance(ours, nn.RNNBase) and isinstance(ours.to_torch(), kind) and isinstance(ours.layer, lo.RNN)
    ours.flatten_parameters()
    prune.l1_unstructured(ours.layer.layers[0].cells[0], "R", 0.5)
    torch.testing.assert_close(ours.to_torch()(x)[0], ours(x)[0], rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match=f"{kind.__name__}: reset_parameters: R is a tensor and no parameter"):
        ours.reset_parameters()


@pytest.mark.parametrize(("bias_lr", "decay"), [(1, 0), (2, 0), (2, 0.3)])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.RNN])
def test_training_after_a_swap(kind, bias_lr, decay):
    """Our one bias has the gradient of each of torch's two and moves half as far; with twice the step and half the weight decay
    training is torch's.
    """
    theirs = made(kind)
    ours = swapped(theirs)
    x, wanted = torch.randn(T, B, M, dtype=F64), torch.randn(T, B, N, dtype=F64)
    ours_b = [one for name, one in ours.named_parameters() if name.endswith(".b")]
    rest = [one for name, one in ours.named_parameters() if not name.endswith(".b")]
    steps = (
        torch.optim.SGD(theirs.parameters(), lr=0.01, momentum=0.9, weight_decay=decay),
        torch.optim.SGD([{"params": rest}, {"params": ours_b, "lr": 0.01 * bias_lr, "weight_decay": decay / 2}],
                        lr=0.01, momentum=0.9, weight_decay=decay),
    )  # fmt: skip
    before = ours_b[0].detach().clone()
    for number in range(4):
        for layer, step in zip((theirs, ours), steps, strict=True):
            step.zero_grad()
            (layer(x)[0] - wanted).square().sum().backward()
            step.step()
        if not number:
            assert sum(one.numel() for one in theirs.parameters()) - ours.layer.count() == before.numel()
            torch.testing.assert_close(ours_b[0].grad, in_our_order(theirs, theirs.bias_ih_l0.grad))
            moved = in_our_order(theirs, (theirs.bias_ih_l0 + theirs.bias_hh_l0).detach()) - before
            torch.testing.assert_close(ours_b[0].detach() - before, moved * bias_lr / 2)
    assert torch.allclose(ours(x)[0], theirs(x)[0], rtol=0, atol=1e-10) == (bias_lr == 2)


def in_our_order(theirs, values):
    """Numbers of torch's first bias in our order of gates."""
    copied = copy.deepcopy(theirs)
    with torch.no_grad():
        copied.bias_ih_l0.copy_(values)
        copied.bias_hh_l0.zero_()
    return swapped(copied).layer.cells[0].b.detach()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [False, True])
def test_a_batch_without_rows(kind, first):
    """Outputs and states of no rows, with and without initial ones, and gradients of zero; no frames stay an error."""
    theirs = made(kind, num_layers=2, bidirectional=True, batch_first=first)
    ours = lo.from_torch(theirs)
    x = torch.zeros((0, T, M) if first else (T, 0, M), dtype=F64, requires_grad=True)
    state = torch.zeros(4, 0, N, dtype=F64)
    for hx in (None, (state, state) if kind is nn.LSTM else state):
        for found, expected in zip(answers(ours(x, hx)), answers(theirs(x, hx)), strict=True):
            assert found.shape == expected.shape and found.dtype == F64
    ours(x)[0].sum().backward()
    assert x.grad.shape == x.shape and all(not one.grad.any() for one in ours.parameters())
    with pytest.raises(ValueError, match="expected .* with T of at least 1"):
        ours(torch.zeros((B, 0, M) if first else (0, B, M), dtype=F64))


def answers(given):
    y, last = given
    return [y, *(last if isinstance(last, tuple) else [last])]


def test_a_batch_without_rows_of_a_population():
    """Every member's; lengths of none."""
    layer = lo.RNN("cifg", M, [N, 3], bidirectional=True)
    y, final = layer(torch.zeros(T, 2, 0, M), lengths=[])
    with pytest.raises(ValueError, match="lengths has shape .* expected 0 whole numbers"):
        layer(torch.zeros(T, 2, 0, M), lengths=3)
    assert y.shape == (T, 2, 0, 2 * N) and final["c"].shape == (2, 2, 0, N)


X, ONE = torch.zeros(T, B, M), torch.zeros(T, M)


def nested(layout):
    return torch.nested.nested_tensor([torch.zeros(2, M), torch.zeros(3, M)], layout=layout)


def zeros(*shape):
    return {"y": torch.zeros(shape), "c": torch.zeros(shape)}


FORMS = {
    "numbers for one sequence": ({}, ONE, {"y": 1.0, "c": 2.0}, "state 'y' is float; expected a tensor [1, 7]"),
    "a list for one sequence": ({}, ONE, [torch.zeros(1, N)], "state is list; expected a dict"),
    "no dimension": ({}, ONE, zeros(), "state 'y' has shape (); expected (1, 7)"),
    "a batch for one sequence": ({}, ONE, zeros(1, 1, N), "state 'y' has shape (1, 1, 7); expected (1, 7)"),
    "of another dtype": ({}, ONE, {"y": torch.zeros(1, N), "c": torch.zeros(1, N, dtype=F64)},
                         "state 'c' is torch.float64 on cpu; expected torch.float32 on cpu"),
    "a tuple for layers": ({"num_layers": 2}, X, (X, X), "state is tuple; expected a dict"),
    "numbers for layers": ({"num_layers": 2}, X, {"y": 1.0, "c": 2.0}, "state 'y' is float; expected a tensor [2, 1, 3, 7]"),
    "one layer's": ({"num_layers": 2}, X, zeros(2, 2, B, N), "state 'y' has shape (2, 2, 3, 7); expected (2, 1, 3, 7)"),
    "batch first": ({"batch_first": True}, X, zeros(1, B, N), "state 'y' has shape (1, 3, 7); expected (1, 4, 7)"),
    "one dimension, batch first": ({"batch_first": True}, X[0, 0], None, "x has shape (5,); expected [B, T, 5]"),
    "names that are no text": ({}, X, {1: X, "y": X}, "state has ['1', 'y']; expected all of ['c', 'y']"),
    "nested": ({"batch_first": True}, torch.strided, None, "x is nested; expected a dense tensor"),
    "jagged": ({"batch_first": True}, torch.jagged, None, "x is nested; expected a dense tensor"),
    "nested layers": ({"num_layers": 2}, torch.jagged, zeros(2, 1, 2, N), "x is nested; expected a dense tensor"),
    "packed numbers": ({}, PackedSequence(torch.zeros(5), torch.tensor([3, 2])), None,
                       "x is packed, its data of shape (5,); expected [frames, 5]"),
    "packed": ({}, pack_padded_sequence(X, [4, 3, 2]), zeros(1, 2, N), "state 'y' has shape (1, 2, 7); expected (1, 3, 7)"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype:UserWarning")
@pytest.mark.parametrize("what", FORMS)
def test_a_wrong_call_is_told_in_the_shapes_that_were_given(what):
    """Whatever the form of the input: the message has what the caller wrote, and no error of Python's."""
    options, x, state, message = FORMS[what]
    with pytest.raises(ValueError, match=re.escape(f"RNN 'cifg': {message}")):
        lo.RNN("cifg", M, N, backend="eager", **options)(
            x if isinstance(x, Tensor | PackedSequence) else nested(x), state
        )


@pytest.mark.parametrize(
    ("x", "hx", "error", "message"),
    [
        (
            ONE,
            (torch.zeros(1, 1, N),) * 2,
            ValueError,
            "h of hx has the shape [1, 1, 7]; expected [1, 7]: layers times",
        ),
        (X, (torch.zeros(1, N),) * 2, ValueError, "h of hx has the shape [1, 7]; expected [1, 3, 7]"),
        (X, (torch.zeros(1, 2, N),) * 2, ValueError, "h of hx has the shape [1, 2, 7]; expected [1, 3, 7]"),
        (
            X,
            (torch.zeros(1, B, N), torch.zeros(1, B, N, dtype=F64)),
            ValueError,
            "c of hx is torch.float64 on cpu; expected",
        ),
        (
            X,
            (torch.zeros(1, B, N).to_sparse(),) * 2,
            ValueError,
            "h of hx is torch.sparse_coo; expected a dense tensor",
        ),
        (X, (None, None), TypeError, "hx is tuple of NoneType, NoneType; expected (h, c)"),
        (X, [1.0, 2.0], TypeError, "hx is list of float, float; expected (h, c)"),
    ],
)
def test_wrong_states_are_told_by_torchs_names(x, hx, error, message):
    """The batch of the input included."""
    with pytest.raises(error, match=re.escape(f"LSTM: {message}")):
        swapped(nn.LSTM(M, N))(x, hx)


def by_hand(frames, sizes):
    return PackedSequence(torch.zeros(frames, M), torch.tensor(sizes, dtype=torch.long))


WRONG_INPUTS = {
    "a list": ([1.0], "x is list; expected a tensor [{batch}, 5]."),
    "an array": (np.zeros((T, B, M)), "x is ndarray; expected a tensor [{batch}, 5]."),
    "two": ((X, X), "x is tuple; expected a tensor [{batch}, 5]."),
    "a number": (X[0, 0, 0], "x has shape (); expected [{batch}, 5]"),
    "a frame": (X[0, 0], "x has shape (5,); expected [{batch}, 5]"),
    "four dimensions": (X[None], "x has shape (1, 4, 3, 5); expected [{batch}, 5] with T of at least 1."),
    "features": (torch.zeros(T, B, 6), "x has shape (4, 3, 6); expected [{batch}, 5] with T of at least 1."),
    "features of one sequence": (torch.zeros(T, 6), "x has shape (4, 6); expected [T, 5] with T of at least 1."),
    "no frames": (torch.zeros(0, M), "x has shape (0, 5); expected [T, 5] with T of at least 1."),
    "float64": (X.double(), "x is torch.float64 on cpu; expected torch.float32 on cpu as the weights. Move"),
    "whole numbers": (X.long(), "x is torch.int64 on cpu; expected torch.float32 on cpu as the weights. Move"),
    "another device": (X.to("meta"), "x is torch.float32 on meta; expected torch.float32 on cpu as the weights. Move"),
    "sparse": (X.to_sparse(), "x is torch.sparse_coo; expected a dense tensor. Give it as x.to_dense()."),
    "nested": (torch.jagged, "x is nested; expected a dense tensor. Give it padded, with lengths or packed."),
    "packed features": (pack_padded_sequence(torch.zeros(T, B, 6), [4, 3, 2]),
                        "x is packed, its data of shape (9, 6); expected [frames, 5]."),
    "packed float64": (pack_padded_sequence(X.double(), [4, 3, 2]), "x is torch.float64 on cpu; expected torch.float32"),
    "packed by hand": (by_hand(9, [3, 2]), "x is packed, 9 frames in batches of [3, 2]; expected batches that hold all"),
    "packed upwards": (by_hand(5, [2, 3]), "x is packed, 5 frames in batches of [2, 3]; expected batches"),
    "packed, none": (by_hand(0, []), "x is packed, 0 frames in batches of []; expected batches"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype:UserWarning")
@pytest.mark.parametrize(("kind", "layers", "first"), [(nn.LSTM, 1, False), (nn.GRU, 2, True)])
@pytest.mark.parametrize("what", WRONG_INPUTS)
def test_a_wrong_input_is_told_by_torchs_name_and_in_its_order(what, kind, layers, first):
    """The error begins with the class that the user swapped and has no other behind it; the layer inside has its own name."""
    x, message = WRONG_INPUTS[what]
    ours = swapped(kind(M, N, layers, batch_first=first))
    for layer, name in ((ours, kind.__name__), (ours.layer, f"RNN '{ours.layer.cell.name}'")):
        told = f"{name}: {message.format(batch='B, T' if first else 'T, B')}"
        with pytest.raises(ValueError, match="^" + re.escape(told)) as raised:
            layer(nested(x) if isinstance(x, torch.layout) else x)
        assert raised.value.__suppress_context__ == (layer is ours)


@pytest.mark.parametrize("layers", [1, 2])
def test_what_else_a_call_refuses_is_told_by_torchs_name(layers):
    """A hook that would never run, a trace; what the message says to set is there. An error of others stays as it is."""
    ours = lo.from_torch(nn.GRU(M, N, layers), backend="numba")
    with pytest.raises(RuntimeError, match="^GRU: called under torch.jit.trace"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.trace(ours, X, check_trace=False)
    with pytest.raises(RuntimeError, match=r"GRU: called under torch.export .* Set layer.backend = 'eager' before it"):
        torch.export.export(ours, (X,))
    ours.backend = "eager"
    assert ours.layer.backend == "eager" and torch.equal(torch.export.export(ours, (X,)).module()(X)[0], ours(X)[0])
    handle = ours.layer.directions()[0].register_full_backward_hook(hook)
    with pytest.raises(ValueError, match="^GRU: cells.0 has a backward hook, hook; expected none"):
        ours(X)
    handle.remove()

    def own_error(*given):
        raise ValueError("mine")

    ours.layer.register_forward_pre_hook(own_error)
    with pytest.raises(ValueError, match="^mine$"):
        ours(X)


def test_numbers_of_numpy_and_layers_without_memory():
    """Options may be numpy's as sizes may; a layer on "meta" is swapped and comes back."""
    layer = lo.RNN("cornn", M, N, num_layers=np.int64(2), dropout=np.float32(0.25), initial_std=np.float32(0.5),
                   proj_size=np.int64(0), constants={"gamma": np.float32(2)})  # fmt: skip
    assert type(layer.num_layers) is int and layer.dropout == 0.25 and layer.constants["gamma"] == 2
    for kind in KINDS:
        ours = lo.from_torch(kind(M, N, 2, device="meta"))
        assert ours(X.to("meta"))[0].shape == (T, B, N)
        assert {one.device.type for one in (*ours.parameters(), *ours.to_torch().parameters())} == {"meta"}


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")
def test_jit_script_is_refused_in_our_words():
    """Of a layer, of a swapped one, and of a model with one; torch's layer in its place is scripted."""
    ours = swapped(nn.LSTM(M, N))
    for model, message in ((ours, "LSTM: torch.jit.script"), (nn.Sequential(ours), "layer.to_torch() in its place"),
                           (ours.layer, "RNN 'no_peepholes': torch.jit.script")):  # fmt: skip
        with pytest.raises(RuntimeError, match=re.escape(message)):
            torch.jit.script(model)
    torch.jit.script(ours.to_torch())


HABITS = {
    "`input_size`, `hidden_size`, `bidirectional`, `device`, `dtype`": "torch_habits.test_a_torch_layer_is_swapped",
    "`num_layers`": "torch_habits.test_several_layers_by_hand",
    "`dropout`": "torch_habits.test_without_initial_states_and_dropout_in_training",
    "`batch_first`": "torch_habits.test_batch_first_and_one_sequence_of_our_own_layer",
    "`bias=False`": "torch_habits.test_a_cell_without_bias_is_the_cell_with_biases_of_zero",
    "`nonlinearity`": "torch_habits.test_what_is_no_layer_of_torch_is_refused",
    "`proj_size`": "torch_habits.test_options_that_no_layer_has",
    "`dropout`, `batch_first` set later": "swapped_layer.test_options_that_are_set_later_are_obeyed",
    "other options set later": "swapped_layer.test_options_that_are_fixed_are_told_and_refused",
    "`mode`, `nonlinearity`, `proj_size`, read": "swapped_layer.test_every_attribute_is_there_or_told",
    "x [T, B, M], or [T, M] without a batch": "torch_habits.test_a_torch_layer_is_swapped",
    "a batch without rows, [T, 0, M]": "swapped_layer.test_a_batch_without_rows",
    "a `PackedSequence`": "torch_habits.test_a_packed_result_is_packed_as_the_input",
    "`hx`, a tensor or `(h, c)`, [L·D, B, N]": "torch_habits.test_wrong_states_of_a_swapped_layer_are_one_clear_error",
    "`weight_ih_l0`, `bias_hh_l0_reverse` ...": "torch_habits.test_several_layers_by_hand",
    "the same of a swapped layer": "swapped_layer.test_torchs_weights_elsewhere",
    "`all_weights`, `check_...`, `get_expected_...`, `permute_hidden`": "swapped_layer.test_every_attribute_is_there_or_told",
    "two biases for each gate": "torch_habits.test_a_torch_layer_is_swapped",
    "the number of parameters": "swapped_layer.test_training_after_a_swap",
    "the gradient of a bias": "swapped_layer.test_training_after_a_swap",
    "initial weights uniform in ±1/√N": "starts.test_a_cell_that_declares_nothing_is_drawn_as_ever",
    "`reset_parameters()`": "swapped_layer.test_torchs_weights_elsewhere",
    "a `state_dict` of torch's layer": "swapped_layer.test_torchs_weights_elsewhere",
    "frozen parameters": "swapped_layer.test_what_is_frozen_stays_so",
    "one parameter in two places, hooks of any kind": "swapped_layer.test_what_a_swap_would_lose_is_refused",
    "`prune`, `weight_norm`, `spectral_norm`, parametrizations": "swapped_layer.test_the_cures_help",
    "a subclass, a quantized layer": "swapped_layer.test_other_classes_are_refused_by_their_whole_name",
    "`isinstance(m, nn.RNNBase)`": "swapped_layer.test_torchs_weights_elsewhere",
    "`torch.jit.script`": "swapped_layer.test_jit_script_is_refused_in_our_words",
    "`torch.set_num_threads(n)`": "cores.test_bits_do_not_depend_on_the_number_of_threads",
    "`flatten_parameters()`": "swapped_layer.test_torchs_weights_elsewhere",
}
"""By the first cell of a row of the page's table, the test that holds the row."""


def test_every_row_of_the_page_has_a_test():
    """A row is added with its test, and a test that is renamed takes its row along."""
    page = (ROOT / "docs" / "layer.md").read_text(encoding="utf-8")
    table = page.split("| torch's layers |")[1].split("\n\n")[0]
    assert [row.split(" | ")[0].removeprefix("| ") for row in table.splitlines()[2:]] == list(HABITS)
    for place in HABITS.values():
        file, name = place.split(".")
        folder = "backends" if file == "cores" else "layers"
        assert callable(getattr(importlib.import_module(f"tests.{folder}.test_{file}"), name)), place
