"""lo.RNN as a torch layer: its habits, and one clear error for each mistake."""

import copy
import io
import pickle
import re

import numpy as np
import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.variants.ops import sigmoid, tanh
from tests.cells import ON_CPU


def gru(x, y, *, W, R, b):
    r = sigmoid(W.r @ x + R.r @ y + b.r)
    u = sigmoid(W.u @ x + R.u @ y + b.u)
    h = tanh(W.h @ x + R.h @ (r * y) + b.h)
    return (1 - u) * y + u * h


def without_recurrent_matrix(x, y, *, W, b):
    f = sigmoid(W.f @ x + b.f)
    return f * y + (1 - f) * tanh(W.h @ x)


def without_input(x, y, c, *, R, b):
    z = tanh(R.z @ y + b.z)
    return z * c, z + sigmoid(b.c)


def of_parameters_alone(x, y, c, *, W, b):
    return tanh(W.z @ x) + c, sigmoid(b.c)


def projected(x, y, *, W, R):
    return tanh(W.u @ tanh(2 * x) + R.u @ (W.v @ x) + R.v @ y)


STEPS = [gru, without_recurrent_matrix, without_input, of_parameters_alone, projected]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_any_step_function_is_a_layer_equal_to_its_oracle(step):
    """Two phases, no R, no W, results of parameters alone, products of hoisted values: all equal the oracle, unregistered."""
    torch.manual_seed(0)
    steps, rows, inputs, blocks = 4, 3, 5, 3
    layer = lo.RNN(step, inputs, blocks, dtype=torch.float64, initial_std=1.0)
    x = torch.randn(steps, rows, inputs, dtype=torch.float64, requires_grad=True)
    names = layer.cell.states
    state = {name: torch.randn(1, rows, blocks, dtype=torch.float64, requires_grad=True) for name in names}
    y, final = layer(x, state)
    spaces = dict(layer.cells[0].named_parameters())
    parameters = layer.cells[0].tensors()  # views, through which the oracle reaches the spaces
    expected = lo.oracle(step, x, {name: value[0] for name, value in state.items()}, parameters)
    assert (y - expected["y"]).abs().max() < 1e-11
    assert max((final[name][0] - expected[name][-1]).abs().max() for name in names) < 1e-11
    weights = torch.randn_like(y), {name: torch.randn(rows, blocks, dtype=torch.float64) for name in names}
    leaves = [x, *state.values(), *spaces.values()]

    def gradients(outputs, finals):
        loss = (outputs * weights[0]).sum() + sum((finals[name] * weights[1][name]).sum() for name in names)
        return torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)

    ours = gradients(y, {name: value[0] for name, value in final.items()})
    theirs = gradients(expected["y"], {name: value[-1] for name, value in expected.items()})
    assert max((a - b).abs().max() for a, b in zip(ours, theirs, strict=True)) < 1e-11
    assert sum(float(gradient.abs().max()) > 1e-3 for gradient in ours) >= len(ours) - 3


def test_states_and_parameters_have_the_names_of_the_text():
    """A direction has one parameter a space, gates in the text's order, by name as views; loading gives the same outputs."""
    one = lo.RNN("fgr", 3, 4, bidirectional=True)
    other = lo.RNN("fgr", 3, 4, bidirectional=True)
    assert {name: list(value.shape) for name, value in one.cells[1].named_parameters()} == {
        "W": [16, 3], "R": [52, 4], "p": [12], "b": [16],
    }  # fmt: skip
    assert set(one.state_dict()) == {f"cells.{d}.{space}" for d in (0, 1) for space in "WRpb"}
    assert list(one.cells[0].tensors()) == list(lo.variant("fgr").parameters)
    assert [name for name in lo.variant("fgr").parameters if name[0] == "R"][1:4] == ["R.i", "R.ii", "R.fi"]
    x = torch.randn(5, 2, 3)
    assert not torch.equal(one(x)[0], other(x)[0])
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(x)[0], other(x)[0])


@pytest.mark.parametrize("how", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer)), None])
def test_a_layer_can_be_copied_pickled_and_saved(how):
    """deepcopy, pickle and torch.save keep cell and weights."""
    layer = lo.RNN("cifg", 3, [4, 2])
    if how is None:
        file = io.BytesIO()
        torch.save(layer, file)
        file.seek(0)
        other = torch.load(file, weights_only=False)
    else:
        other = how(layer)
    x = torch.randn(5, 2, 1, 3)
    assert torch.equal(layer(x)[0], other(x)[0]) and other.cell.signature == layer.cell.signature


def test_to_another_dtype_moves_everything():
    """layer.double() computes in float64."""
    layer = lo.RNN("vanilla", 3, [4, 2]).double()
    y, state = layer(torch.randn(5, 2, 1, 3, dtype=torch.float64))
    assert y.dtype == torch.float64 and state["c"].dtype == torch.float64


def test_gradcheck_passes_and_a_layer_can_be_used_twice_in_one_graph():
    """torch's own gradcheck holds, and two uses add their gradients."""
    torch.manual_seed(1)
    layer = lo.RNN("vanilla", 2, 3, dtype=torch.float64, initial_std=0.7)
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda value: layer(value)[0], (x,))
    weight = layer.cells[0].R
    once = torch.autograd.grad(layer(x)[0].sum(), weight)[0]
    twice = torch.autograd.grad(layer(x)[0].sum() + layer(x)[0].sum(), weight)[0]
    assert torch.allclose(twice, 2 * once)


def test_no_grad_builds_no_graph():
    """Under torch.no_grad the outputs ask for no gradient and are the same."""
    layer = lo.RNN("vanilla", 2, 3)
    x = torch.randn(3, 2, 2)
    with torch.no_grad():
        y, _ = layer(x)
    assert not y.requires_grad and torch.equal(y, layer(x)[0])


def test_double_backward_is_a_clear_error():
    """On the compiled backend a second derivative is refused as soon as it is announced, and the message says what to do."""
    layer = lo.RNN("vanilla", 2, 3, backend="numba")
    x = torch.randn(3, 2, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"create_graph=True.*expected one derivative only. Use backend='eager'"):
        torch.autograd.grad(layer(x)[0].sum(), x, create_graph=True)


def test_a_weight_changed_between_forward_and_backward_is_noticed():
    """torch's version check holds for weights changed in place."""
    layer = lo.RNN("vanilla", 2, 3)
    y, _ = layer(torch.randn(3, 2, 2))
    with torch.no_grad():
        layer.weight("p.i").add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_state_changed_between_forward_and_backward_is_noticed():
    """The same for the initial state, which the gradient of R needs."""
    layer = lo.RNN("vanilla", 2, 3)
    state = {name: torch.randn(1, 2, 3) for name in "yc"}
    y, _ = layer(torch.randn(3, 2, 2), state)
    state["y"].zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_torch_func_differentiates_a_functional_call():
    """torch.func.grad over functional_call gives the gradients of backward."""
    layer = lo.RNN("vanilla", 2, 3)
    x = torch.randn(3, 2, 2)
    parameters = dict(layer.named_parameters())
    gradients = torch.func.grad(lambda p: torch.func.functional_call(layer, p, (x,))[0].sum())(parameters)
    layer(x)[0].sum().backward()
    assert all(torch.allclose(gradients[name], value.grad) for name, value in parameters.items())


@pytest.mark.parametrize("size", [np.int64(4), [np.int64(4), 3], np.array([4, 3])], ids=["number", "list", "array"])
def test_sizes_may_be_numpy_integers(size):
    """Whole numbers of numpy are whole numbers."""
    assert lo.RNN("cifg", np.int64(3), size).count() == lo.RNN("cifg", 3, [4, 3] if np.ndim(size) else 4).count()


def test_nan_in_a_weight_gives_nan_out():
    """A NaN weight is not swallowed."""
    layer = lo.RNN("vanilla", 2, 3)
    with torch.no_grad():
        layer.weight("W.z")[1, 1] = float("nan")
    assert layer(torch.randn(3, 2, 2))[0].isnan().any()


def test_initial_weights_are_normal_with_the_given_deviation():
    """Weights and biases are drawn from Normal(0, 0.1), or as asked; nothing beyond a member's own N."""
    torch.manual_seed(2)
    layer = lo.RNN("vanilla", 30, [40, 10]).requires_grad_(False)
    values = torch.cat([value[0].flatten() for value in layer.parameters()])
    assert abs(float(values.std()) - 0.1) < 0.005 and abs(float(values.mean())) < 0.005
    assert all(float(value[1][10:].abs().max()) == 0 for value in layer.cells[0].tensors().values())
    assert layer.count() == [sum(value[0].numel() for value in layer.parameters()), layer.cell.count(30, 10)]
    assert abs(float(lo.RNN("vanilla", 30, 40, initial_std=1.0).weight("R.z").detach().std()) - 1) < 0.1


def layer():
    return lo.RNN("vanilla", 3, 4)


X = torch.zeros(5, 2, 3)


def state(**other):
    return {"y": torch.zeros(1, 2, 4), "c": torch.zeros(1, 2, 4), **other}


MISTAKES = {
    "hidden size 0": (lambda: lo.RNN("vanilla", 3, 0), "hidden_size is 0; expected a whole number of at least 1"),
    "negative hidden size": (lambda: lo.RNN("vanilla", 3, -4), "hidden_size is -4; expected"),
    "one member of size 0": (lambda: lo.RNN("vanilla", 3, [4, 0]), "hidden_size is 0; expected"),
    "hidden size of text": (lambda: lo.RNN("vanilla", 3, "16"), "hidden_size is '16'; expected"),
    "no members": (lambda: lo.RNN("vanilla", 3, []), "hidden_size is an empty list"),
    "hidden size with a fraction": (lambda: lo.RNN("vanilla", 3, 4.0), "hidden_size is 4.0; expected"),
    "hidden size True": (lambda: lo.RNN("vanilla", 3, [True]), "hidden_size is True; expected"),
    "input size of text": (lambda: lo.RNN("vanilla", "3", 4), "input_size is '3'; expected"),
    "unknown backend": (
        lambda: lo.RNN("vanilla", 3, 4, backend="cudnn"),
        "backend 'cudnn': not available; expected auto",
    ),
    "x of one dimension": (lambda: layer()(X[0, 0]), "x has shape (3,); expected [T, B, 3]"),
    "x of two dimensions and another width": (lambda: layer()(X[0, :, :2]), "x has shape (2, 2); expected [T, 3]"),
    "x with the batch first": (
        lambda: lo.RNN("vanilla", 3, 4, batch_first=True)(X[..., :2]),
        "x has shape (5, 2, 2); expected [B, T, 3]",
    ),
    "x of another width": (lambda: layer()(torch.zeros(5, 2, 4)), "x has shape (5, 2, 4); expected [T, B, 3]"),
    "no frames": (lambda: layer()(torch.zeros(0, 2, 3)), "x has shape (0, 2, 3); expected"),
    "x of another dtype": (lambda: layer()(X.double()), "x is torch.float64 on cpu; expected torch.float32 on cpu"),
    "x on another device": (lambda: layer()(X.to("meta")), "x is torch.float32 on meta; expected torch.float32 on cpu"),
    "members of x": (lambda: lo.RNN("vanilla", 3, [4, 5])(torch.zeros(5, 3, 2, 3)), "expected [T, 2, B, 3]"),
    "state without c": (lambda: layer()(X, {"y": torch.zeros(1, 2, 4)}), "state has ['y']; expected all of ['c', 'y']"),
    "state of another shape": (
        lambda: layer()(X, state(c=torch.zeros(2, 4))),
        "state 'c' has shape (2, 4); expected (1, 2, 4)",
    ),
    "state of another dtype": (
        lambda: layer()(X, state(c=torch.zeros(1, 2, 4).double())),
        "state 'c' is torch.float64 on cpu; expected torch.float32 on cpu",
    ),
    "too few lengths": (
        lambda: layer()(X, lengths=[5]),
        "lengths has shape (1,) and dtype torch.int64; expected 2 whole numbers",
    ),
    "lengths with fractions": (lambda: layer()(X, lengths=[5.0, 4.0]), "expected 2 whole numbers"),
    "length beyond T": (lambda: layer()(X, lengths=[5, 6]), "lengths has values from 5 to 6; expected 1 to T = 5"),
    "lengths of text": (lambda: layer()(X, lengths="ab"), "lengths is 'ab'; expected 2 whole numbers"),
    "x of a list": (lambda: layer()([[0.0]]), "x is list; expected a tensor [T, B, 3]"),
    "state of a tuple": (lambda: layer()(X, (X, X)), "state is tuple; expected a dict"),
    "bidirectional text": (lambda: lo.RNN("vanilla", 3, 4, "no"), "bidirectional is 'no'; expected True or False"),
    "negative deviation": (lambda: lo.RNN("vanilla", 3, 4, initial_std=-1), "initial_std is -1; expected"),
    "integer dtype": (lambda: lo.RNN("vanilla", 3, 4, dtype=torch.int64), "dtype is torch.int64; expected"),
    "no parameters": (lambda: lo.RNN(lambda x, y: y, 3, 4), "the cell has no parameters"),
    "hidden size of a tensor": (lambda: lo.RNN("vanilla", 3, torch.tensor(4)), "hidden_size is tensor(4); expected"),
    "hidden size of an array": (lambda: lo.RNN("vanilla", 3, np.array(4)), "hidden_size is array(4); expected"),
    "hidden size of two dimensions": (
        lambda: lo.RNN("vanilla", 3, np.ones((1, 2), int)),
        "hidden_size is array([[1, 1]])",
    ),
    "x that is sparse": (lambda: layer()(X.to_sparse()), "x is torch.sparse_coo; expected a dense tensor"),
    "state that is sparse": (
        lambda: layer()(X, state(c=torch.zeros(1, 2, 4).to_sparse())),
        "state 'c' is torch.sparse_coo; expected a dense tensor",
    ),
    "an empty sequence": (lambda: layer()(X, lengths=[5, 0]), "lengths has values from 0 to 5; expected 1 to T = 5"),
}


@pytest.mark.parametrize("backend", ON_CPU)
def test_wrong_inputs_are_the_same_errors_on_every_backend(backend, monkeypatch):
    """Whichever backend is named, x, state and lengths are looked at before it sees them."""
    monkeypatch.setitem(globals(), "layer", lambda: lo.RNN("vanilla", 3, 4, backend=backend))
    calls = [
        name for name in MISTAKES if name.startswith(("x ", "no frames", "state ", "too few", "length", "an empty"))
    ]
    assert len(calls) >= 12
    for name in calls:
        attempt, message = MISTAKES[name]
        with pytest.raises(ValueError, match=re.escape(message)):
            attempt()


@pytest.mark.parametrize("backend", ON_CPU)
def test_autocast_changes_no_number(backend):
    """Under autocast the layer computes in its parameters' dtype, whatever autocast made of input and states before."""
    layer = lo.RNN("vanilla", 3, [4, 2], bidirectional=True, backend=backend)
    x = torch.randn(5, 2, 2, 3).bfloat16().float().requires_grad_()
    y, state = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.matmul(x, x.mT).dtype == torch.bfloat16  # it is on
        half, end = layer(x.bfloat16(), {name: torch.zeros_like(value).bfloat16() for name, value in state.items()})
        same, _ = layer(x)
    assert torch.equal(same, y) and torch.equal(half, y) and all(torch.equal(end[name], state[name]) for name in state)
    for one, other in zip(torch.autograd.grad(same.sum(), [x, *layer.parameters()]),
                          torch.autograd.grad(y.sum(), [x, *layer.parameters()]), strict=True):  # fmt: skip
        assert torch.equal(one, other)
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(ValueError, match="x is list; expected a tensor"):
        layer([1.0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler warns of torch's own parts
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # it looks at .grad of what a graph break leaves
@pytest.mark.parametrize("compiler", ["aot_eager", pytest.param("inductor", marks=pytest.mark.long)])
@pytest.mark.parametrize("backend", ON_CPU)
def test_a_compiled_model_runs_the_layer_outside_its_graph(backend, compiler):
    """torch.compile breaks its graph at the layer: the same output and gradients; fullgraph=True is torch's clear error."""
    layer = lo.RNN("vanilla", 3, 4, backend=backend)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.out = layer, torch.nn.Linear(4, 2)

        def forward(self, x):
            y, _ = self.layer(torch.tanh(x))
            return self.out(y).relu()

    model, x = Model(), torch.randn(5, 2, 3)
    torch._dynamo.reset()
    try:
        compiled = torch.compile(model, backend=compiler)
        found, expected = compiled(x), model(x)
        torch.testing.assert_close(found, expected)
        for one, other in zip(torch.autograd.grad(found.sum(), [*model.parameters()]),
                              torch.autograd.grad(expected.sum(), [*model.parameters()]), strict=True):  # fmt: skip
            torch.testing.assert_close(one, other)
        torch._dynamo.reset()
        with pytest.raises(torch._dynamo.exc.Unsupported, match="disable"):
            torch.compile(model, fullgraph=True)(x)
    finally:
        torch._dynamo.reset()


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_clear_error(name):
    """Each wrong argument is a ValueError that says what was got and what was expected."""
    attempt, message = MISTAKES[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        attempt()


@pytest.mark.parametrize(
    "device",
    [
        "xla",
        "nowhere",
        pytest.param("cuda:0", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")),
    ],
)
def test_a_device_that_is_not_there_is_refused_in_one_sentence(device):
    """Names that torch knows and this machine does not have raise whatever torch raises, of four kinds."""
    with pytest.raises(ValueError, match=f"device is '{device}'; expected one there is"):
        lo.RNN("vanilla", 3, 4, device=device)


def test_the_oracle_refuses_what_does_not_fit():
    """Missing states or parameters and x without three dimensions are named."""
    v = lo.variant("nog")
    good = {name: torch.zeros(v.shape(name, 3, 4)) for name in v.parameters}
    zero = {"y": torch.zeros(2, 4), "c": torch.zeros(2, 4)}
    with pytest.raises(ValueError, match=r"x has shape \(5, 3\); expected \[T, B, M\]"):
        lo.oracle(v, X[:, 0], zero, good)
    with pytest.raises(ValueError, match=r"state has \['y'\]; expected exactly \['c', 'y'\]"):
        lo.oracle(v, X, {"y": zero["y"]}, good)
    with pytest.raises(ValueError, match="parameters has"):
        lo.oracle(v, X, zero, {**good, "p.z": torch.zeros(4)})


def test_half_precision_runs_on_torchs_operations():
    """A layer turned to half precision on the CPU runs, by the backend that has the dtype."""
    layer = lo.RNN("vanilla", 3, 4).to(torch.bfloat16)
    y, _ = layer(torch.zeros(2, 1, 3, dtype=torch.bfloat16))
    assert y.dtype == torch.bfloat16 and y.shape == (2, 1, 4)


def test_a_layer_without_storage_knows_its_shapes():
    """On the device meta a layer runs, for shapes alone."""
    y, state = lo.RNN("cifg", 3, 4, bidirectional=True, device="meta")(torch.zeros(5, 2, 3, device="meta"))
    assert y.shape == (5, 2, 8) and state["c"].shape == (2, 2, 4)


def test_a_state_of_numbers_is_an_error():
    """States are tensors; a number is named."""
    with pytest.raises(ValueError, match="state 'y' is int; expected a tensor"):
        lo.RNN("vanilla", 3, 4)(torch.zeros(2, 1, 3), {"y": 1, "c": 2})


@pytest.mark.parametrize("lengths", [[5, None], {2, 1}, [1 + 0j, 2 + 0j]])
def test_lengths_of_another_kind_are_an_error(lengths):
    """Whatever lengths are, if they are no whole numbers the error says what was expected."""
    with pytest.raises(ValueError, match="expected 2 whole numbers"):
        lo.RNN("vanilla", 3, 4)(torch.zeros(5, 2, 3), lengths=lengths)


def test_the_second_derivative_of_the_eager_backend_is_right():
    """Differentiated twice, by every parameter and by x, torch's own differences agree; torch.func agrees too."""
    layer = lo.RNN("vanilla", 2, 3, backend="eager", dtype=torch.float64, initial_std=0.6)
    names = [name for name, _ in layer.named_parameters()]
    given = [value.detach().clone().requires_grad_() for value in layer.parameters()]
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)

    def output(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))[0]

    assert torch.autograd.gradgradcheck(output, (x, *given))
    place = names.index("cells.0.R")

    def total(R):
        values = [R if k == place else value.detach() for k, value in enumerate(given)]
        return output(x.detach(), *values).square().sum()

    R, step = given[place].detach(), torch.zeros_like(given[place])
    step[0, 1] = 1e-5
    slope = torch.func.grad(total)
    expected = (slope(R + step) - slope(R - step)) / 2e-5
    found = torch.func.jacrev(slope)(R)[:, :, 0, 1]
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")  # torch's own forward-mode rules use it
@pytest.mark.parametrize("step", [gru, "vanilla"], ids=["gru", "vanilla"])
def test_the_hessian_by_the_initial_state_is_right(step):
    """Second derivatives by initial states and by input, of a cell of two phases too: torch.func's are those of differences."""
    torch.manual_seed(3)
    layer = lo.RNN(step, 2, 3, dtype=torch.float64, initial_std=0.8)
    x = torch.randn(3, 1, 2, dtype=torch.float64)
    state = {name: torch.randn(1, 1, 3, dtype=torch.float64) for name in layer.cell.states}

    def total(y, x):
        return layer(x, {**state, "y": y})[0].square().sum()

    for k, given in enumerate((state["y"], x)):
        found = torch.func.hessian(total, argnums=k)(state["y"], x).reshape(given.numel(), given.numel())
        slope, columns = torch.func.grad(total, argnums=k), []
        for place in range(given.numel()):
            step_ = torch.zeros(given.numel(), dtype=torch.float64)
            step_[place] = 1e-5
            moved = [[state["y"], x], [state["y"], x]]
            moved[0][k], moved[1][k] = given + step_.view_as(given), given - step_.view_as(given)
            columns.append((slope(*moved[0]) - slope(*moved[1])).flatten() / 2e-5)
        assert found.abs().max() > 1e-2
        torch.testing.assert_close(found, torch.stack(columns, 1), rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(found, found.mT)


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")  # torch's own forward-mode rules use it
@pytest.mark.parametrize("backend", ON_CPU)
def test_forward_mode_works_on_every_backend(backend):
    """A directional derivative in forward mode, by torch.func and by dual numbers, is that of the reverse mode."""
    layer = lo.RNN("fgr", 2, 3, dtype=torch.float64, initial_std=0.8, backend=backend)
    x, along = torch.randn(2, 4, 2, 2, dtype=torch.float64)
    y, slope = torch.func.jvp(lambda value: layer(value)[0], (x,), (along,))
    with torch.autograd.forward_ad.dual_level():
        dual = layer(torch.autograd.forward_ad.make_dual(x, along))[0]
        primal, tangent = torch.autograd.forward_ad.unpack_dual(dual)
    torch.testing.assert_close(primal, y)
    torch.testing.assert_close(tangent, slope)
    leaf = x.clone().requires_grad_()
    weights = torch.randn_like(y)
    (gradient,) = torch.autograd.grad((layer(leaf)[0] * weights).sum(), leaf)
    torch.testing.assert_close((slope * weights).sum(), (gradient * along).sum())


@pytest.mark.parametrize("backend", ON_CPU)
def test_a_layer_can_be_mapped_over_many_inputs(backend):
    """torch.vmap over a layer, gradients included, is a loop over its calls."""
    layer = lo.RNN("cifg", 2, 3, bidirectional=True, dtype=torch.float64, backend=backend)
    many = torch.randn(5, 4, 2, 2, dtype=torch.float64)
    torch.testing.assert_close(torch.vmap(lambda x: layer(x)[0])(many), torch.stack([layer(x)[0] for x in many]))
    slopes = torch.vmap(torch.func.grad(lambda x: layer(x)[0].square().sum()))(many)
    expected = []
    for x in many:
        leaf = x.clone().requires_grad_()
        expected.append(torch.autograd.grad(layer(leaf)[0].square().sum(), leaf)[0])
    torch.testing.assert_close(slopes, torch.stack(expected))


def test_the_default_device_is_respected():
    """Under torch.device a population's layer, its mask too, is made on that device."""
    with torch.device("meta"):
        layer = lo.RNN("vanilla", 3, [4, 2])
    assert {value.device.type for value in (*layer.parameters(), *layer.buffers())} == {"meta"}
