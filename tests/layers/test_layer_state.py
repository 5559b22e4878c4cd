"""What a layer stores, is moved by and is parametrized with: sizes in its state_dict, no hook that nobody runs, true writes."""

import copy
import io
import pickle
import re
from pathlib import Path

import pytest
import torch
from torch.nn.utils import parametrizations, parametrize, prune

import lstm_odyssey as lo
from lstm_odyssey.conformance.draws import FIXED
from lstm_odyssey.conformance.kit import check_oracle
from lstm_odyssey.training.network import Network
from lstm_odyssey.variants.ops import sigmoid, tanh
from tests.cells import ON_CPU

STORED = Path(__file__).parent / "stored"
X = torch.randn(5, 2, 2, 3, generator=torch.Generator().manual_seed(0))


def ragged(*sizes, **options):
    return lo.RNN("vanilla", 3, list(sizes or (4, 2)), bidirectional=True, **options)


def poisoned(layer):
    """A layer whose memory is what ``to_empty`` may find: nothing sensible in any parameter or buffer."""
    for value in (*layer.parameters(), *layer.buffers()):
        value.detach().view(torch.uint8).fill_(0)
    return layer


def from_meta():
    return poisoned(ragged(device="meta").to_empty(device="cpu"))


def assigned(state):
    layer = ragged(device="meta")
    layer.load_state_dict(state, assign=True)
    return layer


def materialised(state):
    layer = from_meta()
    layer.load_state_dict(state)
    return layer


def moved_about(state):
    layer = ragged()
    layer.load_state_dict(state)
    return layer.to(torch.float64).to("cpu").float().share_memory()


def pickled(state):
    layer = ragged()
    layer.load_state_dict(state)
    return pickle.loads(pickle.dumps(copy.deepcopy(layer)))


@pytest.mark.parametrize("way", [assigned, materialised, moved_about, pickled], ids=lambda way: way.__name__)
def test_a_layer_that_came_another_way_is_the_same(way):
    """By meta, assign, dtypes, shared memory, copy and pickle: outputs, states, 0 beyond N and gradients are the same."""
    layer = ragged()
    other = way(layer.state_dict())
    (y, final), (again, after) = layer(X), other(X)
    assert y.abs().max() > 0.01 and torch.equal(y, again)
    assert all(torch.equal(final[name], after[name]) for name in final)
    assert not again.unflatten(-1, (2, 4))[:, 1, :, :, 2:].any()
    ours, theirs = (
        torch.autograd.grad(out.square().sum(), list(one.parameters())) for out, one in ((y, layer), (again, other))
    )
    assert all(torch.equal(one, two) for one, two in zip(ours, theirs, strict=True))


def test_a_mask_made_in_inference_mode_serves_training():
    """A layer whose parameters are assigned inside inference_mode, or that first runs there, can be trained afterwards."""
    state = {name: value.clone() for name, value in ragged().state_dict().items()}
    layer = ragged(device="meta")
    with torch.inference_mode():
        layer.load_state_dict(state, assign=True)
        layer(X)
    layer(X)[0].sum().backward()
    with torch.inference_mode():
        layer.to(torch.float64).to(torch.float32)
    assert layer.inside(torch.device("cpu")).is_inference() is False


def test_a_population_stores_its_sizes_and_refuses_another_s():
    """[8, 6] does not load into [8, 4], in a model too; the message names both. A single network's shapes say all."""
    eight_six, eight_four = ragged(8, 6), ragged(8, 4)
    before = [value.clone() for value in eight_four.parameters()]
    assert eight_six.state_dict()["hidden_sizes"].tolist() == [8, 6]
    message = "hidden_sizes of the state_dict is [8, 6]; expected [8, 4], the layer's. Make the layer with hidden_size=[8, 6]."
    for strict in (True, False):
        with pytest.raises(RuntimeError, match=re.escape(message)):
            eight_four.load_state_dict(eight_six.state_dict(), strict=strict)
    with pytest.raises(RuntimeError, match=re.escape("0.hidden_sizes of the state_dict is [8, 6]; expected [8, 4]")):
        torch.nn.Sequential(eight_four).load_state_dict(torch.nn.Sequential(eight_six).state_dict())
    assert all(torch.equal(one, two) for one, two in zip(before, eight_four.parameters(), strict=True))
    assert "hidden_sizes" not in lo.RNN("vanilla", 3, 8).state_dict()
    with pytest.raises(RuntimeError, match=re.escape("is [8, 6]; expected 8, the layer's")):
        lo.RNN("vanilla", 3, 8, bidirectional=True).load_state_dict(eight_six.state_dict())


def test_sizes_pass_through_a_file_that_holds_tensors_only():
    """torch.save and the loader that admits nothing but tensors."""
    layer, file = ragged(), io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other = ragged()
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(X)[0], layer(X)[0])


def test_a_state_dict_without_sizes_still_loads():
    """Files of the version before have no sizes; strictly loaded, nothing is missing and nothing is too much."""
    layer = ragged()
    state = layer.state_dict()
    del state["hidden_sizes"]
    other = ragged()
    assert str(other.load_state_dict(state)) == "<All keys matched successfully>"
    assert torch.equal(other(X)[0], layer(X)[0])


def test_a_layer_pickled_by_the_version_before_runs():
    """Its stored mask is dropped and made anew; its outputs are what they were then; it trains, moves and is saved again."""
    layer = pickle.loads((STORED / "layer.pickle").read_bytes())
    y, _ = layer(torch.linspace(-1, 1, 12).view(3, 2, 1, 2))
    expected = [-0.14102646708488464, 0.05321637541055679, 0.14099672436714172, 0.0, -0.15828175842761993,
                0.027907703071832657, 0.11205270886421204, 0.0, -0.12284384667873383, -0.04250108823180199,
                0.003171131946146488, 0.0]  # fmt: skip
    torch.testing.assert_close(y.flatten(), torch.tensor(expected), rtol=1e-5, atol=1e-7)
    assert not list(layer.buffers()) and layer.hidden_sizes == (2, 1)
    other = pickle.loads(pickle.dumps(layer.double())).float()
    assert other.state_dict()["hidden_sizes"].tolist() == [2, 1]
    assert torch.equal(other(torch.linspace(-1, 1, 12).view(3, 2, 1, 2))[0], y)


def hook(*_):
    """A hook somebody registered."""


@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("how", ["register_forward_pre_hook", "register_forward_hook", "register_full_backward_hook"])
def test_a_hook_that_would_never_run_is_refused(how, backend):
    """The list of directions is never called: one clear error, from forward and reset_parameters."""
    layer = lo.RNN("vanilla", 3, 4, bidirectional=True, backend=backend)
    layer(X[:, 0])
    getattr(layer.cells, how)(hook)
    message = r"RNN 'vanilla': cells has a hook, hook; expected none, as it would never run.*layer\.cells\[0\]"
    for attempt in (lambda: layer(X[:, 0]), layer.reset_parameters):
        with pytest.raises(ValueError, match=message):
            attempt()


@pytest.mark.parametrize("how", ["register_full_backward_hook", "register_full_backward_pre_hook"])
def test_a_backward_hook_on_a_direction_is_refused(how):
    """Torch would not run it, as a direction returns a dict; on the layer and on a parameter hooks run."""
    layer, seen = lo.RNN("vanilla", 3, 4), []
    layer.cells[0].R.register_hook(lambda gradient: seen.append("parameter"))
    layer.register_full_backward_hook(lambda *_: seen.append("layer"))
    layer(X[:, 0].requires_grad_())[0].sum().backward()
    assert sorted(seen) == ["layer", "parameter"]
    getattr(layer.cells[0], how)(hook)
    with pytest.raises(ValueError, match=r"RNN 'vanilla': cells\.0 has a backward hook, hook; expected none"):
        layer(X[:, 0])


def first_z(x, y, *, W, R, b):
    """A candidate and a gate."""
    z = tanh(W.z @ x + R.z @ y + b.z)
    i = sigmoid(W.i @ x + R.i @ y + b.i)
    return z * i


def first_i(x, y, *, W, R, b):
    """The same mathematics with its lines in another order, and so another order in memory."""
    i = sigmoid(W.i @ x + R.i @ y + b.i)
    z = tanh(W.z @ x + R.z @ y + b.z)
    return z * i


@pytest.mark.parametrize("backend", ON_CPU)
def test_two_cells_that_differ_in_the_order_of_lines_keep_their_own(backend):
    """Of one signature, so that trials have one id, but each reads its own order of gates, whichever came first."""
    assert lo.as_cell(first_z).signature == lo.as_cell(first_i).signature
    for step in (first_z, first_i, first_z):
        check_oracle(step, backend, FIXED[:3])


def test_a_file_of_a_cell_with_its_lines_in_another_order_loads_by_name():
    """The state_dict says which gates lie where: they are turned, and of other gates it is an error."""
    one, other = lo.RNN(first_z, 3, 4), lo.RNN(first_i, 3, 4)
    file = io.BytesIO()
    torch.save(one.state_dict(), file)
    file.seek(0)
    assert str(other.load_state_dict(torch.load(file, weights_only=True))) == "<All keys matched successfully>"
    assert torch.equal(one.weight("R.i"), other.weight("R.i")) and not torch.equal(one.cells[0].R, other.cells[0].R)
    torch.testing.assert_close(one(X[:, 0])[0], other(X[:, 0])[0])

    def renamed(x, y, *, W, R, b):
        return tanh(W.q @ x + R.q @ y + b.q) * sigmoid(W.i @ x + R.i @ y + b.i)

    with pytest.raises(RuntimeError, match=r"cells\.0\.W: the file has W\.z, W\.i; expected W\.q, W\.i"):
        lo.RNN(renamed, 3, 4).load_state_dict(one.state_dict())


def of_gates(layer):
    """A state_dict as an earlier version wrote it, one tensor a gate."""
    return {f"cells.0.{name}": value.detach().clone() for name, value in layer.cells[0].tensors().items()}


def test_a_part_of_an_older_file_loads_where_that_is_asked_for():
    """Without ``strict`` what is there is loaded and the rest stays; with it, and of a wrong shape, the gate is named."""
    layer, other = lo.RNN("vanilla", 3, 4), lo.RNN("vanilla", 3, 4)
    before, state = of_gates(layer), of_gates(other)
    found = layer.load_state_dict({"cells.0.b.f": state["cells.0.b.f"]}, strict=False)
    assert "cells.0.b.i" in found.missing_keys and "cells.0.b.f" not in found.missing_keys and not found.unexpected_keys
    after = of_gates(layer)
    assert torch.equal(after["cells.0.b.f"], state["cells.0.b.f"])
    assert all(torch.equal(after[name], value) for name, value in before.items() if name != "cells.0.b.f")
    del state["cells.0.R.f"]
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "cells\.0\.R\.f"'):
        layer.load_state_dict(dict(state))
    state["cells.0.R.f"] = torch.zeros(2, 2)
    with pytest.raises(
        RuntimeError, match=r"size mismatch for cells\.0\.R\.f: the file has \[2, 2\], the layer \[4, 4\]"
    ):
        layer.load_state_dict(dict(state))
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "cells\.0\.b\.f"'):
        layer.load_state_dict({**other.state_dict(), "cells.0.b.f": torch.zeros(4)})


@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("space", "WRpb")
def test_a_space_that_is_frozen_has_no_gradient(space, backend):
    """The others have theirs."""
    layer = lo.RNN("vanilla", 3, [4, 2], bidirectional=True, backend=backend, dtype=torch.float64)
    layer(X.double())[0].square().sum().backward()
    expected = {name: value.grad.clone() for name, value in layer.named_parameters()}
    layer.zero_grad()
    for direction in layer.cells:
        direction.get_parameter(space).requires_grad_(False)
    layer(X.double())[0].square().sum().backward()
    for name, value in layer.named_parameters():
        if name.endswith(space):
            assert value.grad is None
        else:
            torch.testing.assert_close(value.grad, expected[name], rtol=1e-12, atol=1e-14)


def test_reading_a_weight_runs_no_hook():
    """Nor does reset_parameters."""
    layer, seen = lo.RNN("vanilla", 3, 4), []
    layer.cells[0].register_forward_hook(lambda *_: seen.append(1))
    layer.weight("R.z")
    layer.cells[0].tensors()
    layer.reset_parameters()
    assert not seen
    layer(X[:, 0])
    assert seen == [1]


OLDER = {
    "spectral_norm": (torch.nn.utils.spectral_norm, torch.nn.utils.remove_spectral_norm, "R_orig"),
    "weight_norm": (torch.nn.utils.weight_norm, torch.nn.utils.remove_weight_norm, "R_v"),
    "prune": (lambda cells, name: prune.l1_unstructured(cells, name, 0.5), prune.remove, "R_orig"),
}


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("which", OLDER)
def test_what_torch_hangs_on_by_hooks_computes_trains_and_comes_off(which, backend):
    """Older spectral_norm and weight_norm and prune: a layer with the computed matrix says the same; training changes it."""
    torch.manual_seed(0)
    hang, take_off, original = OLDER[which]
    layer = lo.RNN("vanilla", 3, 4, bidirectional=True, backend=backend, dtype=torch.float64, initial_std=0.5)
    before = layer.cells[1].R.detach().clone()
    hang(layer.cells[1], "R")
    layer.eval()  # spectral_norm goes on with its power iteration in training
    x = X[:, 0].double()
    y, _ = layer(x)
    matrix = layer.cells[1].R.detach().clone()
    assert which == "weight_norm" or (matrix - before).abs().max() > 0.1
    plain = lo.RNN("vanilla", 3, 4, bidirectional=True, backend=backend, dtype=torch.float64)
    plain.load_state_dict(
        {f"cells.{d}.{space}": value for d, cells in enumerate(layer.cells) for space, value in cells().items()}
    )
    torch.testing.assert_close(y, plain(x)[0], rtol=1e-12, atol=0)
    computed = layer.cells[1].R  # as the last call made it
    (slope,) = torch.autograd.grad(plain(x)[0].square().sum(), plain.cells[1].R)
    source = layer.cells[1].get_parameter(original)
    (expected,) = torch.autograd.grad(computed, source, slope, retain_graph=True)
    (found,) = torch.autograd.grad(layer(x)[0].square().sum(), source)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    optimiser = torch.optim.SGD(layer.parameters(), 0.05)
    layer(x)[0].square().sum().backward()
    optimiser.step()
    y, _ = layer(x)
    assert (layer.cells[1].R - matrix).abs().max() > 1e-4
    assert which != "prune" or (layer.cells[1].R == 0).sum() == before.numel() // 2
    take_off(layer.cells[1], "R")
    assert set(dict(layer.cells[1].named_parameters())) == set("WRpb")
    torch.testing.assert_close(layer(x)[0], y, rtol=1e-12, atol=0)


@pytest.mark.parametrize("backend", ON_CPU)
def test_hooks_on_the_layer_a_direction_and_a_parametrization_run(backend):
    """Each once a call, those of a direction with its four tensors."""
    layer, seen = lo.RNN("vanilla", 3, 4, bidirectional=True, backend=backend), []
    parametrizations.weight_norm(layer.cells[0], "R")
    layer.register_forward_pre_hook(lambda *_: seen.append("before"))
    layer.register_forward_hook(lambda *_: seen.append("after"))
    layer.cells[0].parametrizations.R[0].register_forward_hook(lambda *_: seen.append("computed"))
    layer.cells[1].register_forward_hook(lambda module, given, spaces: seen.append("".join(spaces)))
    layer(X[:, 0])
    assert seen == ["before", "computed", "WRpb", "after"]


def test_a_hook_may_put_other_tensors_in_a_direction_s_place():
    """What a forward hook of a direction returns is computed with, as torch promises of any module."""
    layer = lo.RNN("vanilla", 3, 4)
    layer.cells[0].register_forward_hook(lambda module, given, spaces: {**spaces, "R": torch.zeros_like(spaces["R"])})
    other = copy.deepcopy(layer)
    other.cells[0]._forward_hooks.clear()
    with torch.no_grad():
        other.cells[0].R.zero_()
    assert torch.equal(layer(X[:, 0])[0], other(X[:, 0])[0])


class Halved(torch.nn.Module):
    """A parametrization without a way back."""

    def forward(self, value):
        return value / 2


PARAMETRIZED = {
    "weight_norm": lambda module: parametrizations.weight_norm(module, "R", dim=-2),
    "spectral_norm": lambda module: parametrizations.spectral_norm(module, "R"),
    "orthogonal": lambda module: parametrizations.orthogonal(module, "R"),
    "one's own": lambda module: parametrize.register_parametrization(module, "R", Halved()),
}


@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("hidden", [4, [4, 4]], ids=["one", "two members"])
@pytest.mark.parametrize("which", PARAMETRIZED)
def test_a_parametrized_layer_computes_and_trains(which, hidden, backend):
    """Output and gradient are those of a layer with the computed matrix; five steps change what it is computed from."""
    if which == "spectral_norm" and not isinstance(hidden, int):
        hidden = [3]  # torch's takes a batch of matrices for one
    layer = lo.RNN("vanilla", 3, hidden, backend=backend, dtype=torch.float64, initial_std=0.5)
    x = (
        X[:, :1] if isinstance(hidden, list) and len(hidden) == 1 else X if isinstance(hidden, list) else X[:, 0]
    ).double()
    PARAMETRIZED[which](layer.cells[0])
    layer.eval()  # spectral_norm goes on with its power iteration in training
    matrix = layer.cells[0].R.detach().clone()
    plain = lo.RNN("vanilla", 3, hidden, backend=backend, dtype=torch.float64)
    with torch.no_grad():
        for space, value in layer.cells[0]().items():
            plain.cells[0].get_parameter(space).copy_(value)
    torch.testing.assert_close(layer(x)[0], plain(x)[0], rtol=1e-12, atol=0)
    (slope,) = torch.autograd.grad(plain(x)[0].square().sum(), plain.cells[0].R)
    originals = [value for name, value in layer.named_parameters() if "parametrizations" in name]
    expected = torch.autograd.grad(layer.cells[0].R, originals, slope)
    for one, other in zip(torch.autograd.grad(layer(x)[0].square().sum(), originals), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    optimiser = torch.optim.SGD(layer.parameters(), 0.05)
    for _ in range(5):
        optimiser.zero_grad()
        layer(x)[0].square().sum().backward()
        optimiser.step()
    assert (layer.cells[0].R - matrix).abs().max() > 1e-4
    other = lo.RNN("vanilla", 3, hidden, backend=backend, dtype=torch.float64)
    PARAMETRIZED[which](other.cells[0])
    other.eval().load_state_dict(layer.state_dict())
    torch.testing.assert_close(other(x)[0], layer(x)[0], rtol=1e-12, atol=0)


def test_a_parametrization_is_asked_once_a_call():
    """spectral_norm's power iteration goes one step on in a call, as in torch's own layers."""
    layer, asked = lo.RNN("vanilla", 3, 4), []
    parametrizations.spectral_norm(layer.cells[0], "W")
    layer.cells[0].parametrizations.W[0].register_forward_hook(lambda *_: asked.append(1))
    layer(X[:, 0])
    with torch.autocast("cpu", torch.bfloat16):
        layer(X[:, 0])
    assert len(asked) == 2


@pytest.mark.parametrize("which", ["weight_norm", "spectral_norm"])
def test_reset_parameters_reaches_what_a_matrix_is_computed_from(which):
    """Under a parametrization with a right inverse the weights are drawn anew, and all others too."""
    torch.manual_seed(0)
    layer = lo.RNN("vanilla", 3, 40, initial_std=0.3)
    PARAMETRIZED[which](layer.cells[0])
    before = {name: value.detach().clone() for name, value in layer.cells[0].tensors().items()}
    layer.reset_parameters()
    after = layer.cells[0].tensors()
    assert all((after[name] - before[name]).abs().max() > 0.05 for name in before)
    if which == "weight_norm":
        assert abs(float(after["R.z"].detach().std()) - 0.3) < 0.03
    assert {name for name, _ in layer.named_parameters()} >= {
        f"cells.0.parametrizations.R.original{'0' if which == 'weight_norm' else ''}"
    }


def test_reset_parameters_draws_the_same_numbers_as_before():
    """From the same state of torch's generator, with and without a parametrization, and 0 beyond a member's N."""
    layers = [lo.RNN("vanilla", 3, [4, 2]) for _ in range(2)]
    parametrizations.weight_norm(layers[1].cells[0], "b", dim=0)
    for layer in layers:
        torch.manual_seed(5)
        layer.reset_parameters()
    one, other = (layer.cells[0].tensors() for layer in layers)
    assert all(torch.allclose(one[name], other[name]) for name in one)
    assert not one["R.z"][1, 2:].any() and one["R.z"][1, :2, :2].any()


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda cells: parametrize.register_parametrization(cells, "R", Halved()), "Halved does not implement right_inverse"),
        (lambda cells: parametrizations.orthogonal(cells, "R", "matrix_exp", use_trivialization=False), "matrix exponential"),
    ],
    ids=["none", "orthogonal"],
)  # fmt: skip
def test_reset_parameters_says_where_there_is_no_way_back(prepare, reason):
    """A parametrization without a right inverse is one clear error, and no other weight was touched."""
    layer = lo.RNN("vanilla", 3, 4)
    prepare(layer.cells[0])
    before = {name: value.detach().clone() for name, value in layer.cells[0].tensors().items()}
    with pytest.raises(ValueError, match=f"RNN 'vanilla': reset_parameters: R cannot be set .*{reason}.*remove_param"):
        layer.reset_parameters()
    assert all(torch.equal(value, before[name]) for name, value in layer.cells[0].tensors().items())


def test_a_weight_that_another_network_makes_is_used_and_not_reset():
    """A tensor set in a parameter's place computes and differentiates; reset_parameters says that it is none of its own."""
    layer, made = lo.RNN("vanilla", 3, 4), torch.randn(16, 4, requires_grad=True)
    del layer.cells[0].R
    layer.cells[0].R = made.tanh()
    layer(X[:, 0])[0].sum().backward()
    assert made.grad.abs().max() > 0
    with pytest.raises(ValueError, match="R is a tensor and no parameter; expected a parameter"):
        layer.reset_parameters()


def test_a_network_that_is_moved_still_trains():
    """After .to the weights are slices of one buffer again, so that what an optimiser writes there is what is computed with."""
    network = Network(lo.variant("vanilla"), 3, [4, 2], 5, False, "eager", torch.float32, "cpu")
    network.initialise(1, "vanilla", [0, 1], 0.3)
    network.double()
    x = X.double()
    before = network(x).detach().clone()
    network.backward(network(x), torch.ones_like(before))
    assert network.weights.dtype == network.gradients.dtype == torch.float64 and network.gradients.any()
    network.weights.sub_(0.1 * network.gradients)
    assert not torch.equal(network(x), before)
