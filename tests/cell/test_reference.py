"""Step 0 of the ladder: the text of every cell is that of its paper."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import lstm_odyssey as lo
from lstm_odyssey.conformance.answers import named
from tests.reference import NAMES, THE_NINE, central_difference, complex_step, reference_forward
from tests.reference_beyond import BEYOND

FORWARD, GRADIENT = 1e-12, 1e-8
SIZES = st.sampled_from((1, 3, 17))
few = settings(max_examples=max(3, settings.default.max_examples // 20), deadline=None)


def random_values(cell, T, M, N, seed):
    """x, non-zero initial states in their domains and parameters of standard deviation 1, by name, as numpy arrays."""
    random, sizes = np.random.default_rng(seed), {"M": M, "N": N}

    def initial(state):
        return random.uniform(*cell.domains[state], N) if state in cell.domains else random.standard_normal(N)

    return {
        "x": random.standard_normal((T, M)),
        **{f"initial {state}": initial(state) for state in cell.states},
        **{name: random.standard_normal([sizes[a] for a in shape]) for name, shape in cell.parameters.items()},
    }


def compare_with_reference(name, cell, T, M, N, seed, oracle=lo.oracle):
    """Raise unless ``oracle`` of ``cell`` gives the states and the gradients of the reference's ``name``."""
    values = random_values(lo.variant(name), T, M, N, seed)
    values |= {key: value for key, value in random_values(cell, T, M, N, seed + 1).items() if key not in values}
    state = {key.removeprefix("initial "): value for key, value in values.items() if key.startswith("initial ")}
    expected = reference_forward(name, values["x"], state, {key: value for key, value in values.items() if "." in key})

    leaves = {key: torch.tensor(value, requires_grad=True) for key, value in values.items()}
    initial = {key: leaves[f"initial {key}"][None] for key in cell.states}
    states = oracle(cell, leaves["x"][:, None], initial, {key: leaves[key] for key in cell.parameters})
    assert set(states) == set(expected)
    for key, value in expected.items():
        error = np.abs(states[key][:, 0].detach().numpy() - value).max()
        assert error <= FORWARD * max(1.0, np.abs(value).max()), f"{cell.name}: state {key} is off by {error:.3g}"

    random = np.random.default_rng(seed + 2)
    adjoint = {key: random.standard_normal((T, N)) for key in expected}
    through = sum((states[key][:, 0] * torch.tensor(adjoint[key])).sum() for key in expected)
    keys = ["x", *(f"initial {key}" for key in cell.states), *cell.parameters]
    gradients = torch.autograd.grad(through, [leaves[key] for key in keys], materialize_grads=True)
    # of a few numbers every relu may be off, as happened with 15; one number less its mean is 0
    used = {node.op for node in cell.graph.nodes}
    may_be_dead = ("relu" in used and N * T <= 24) or (N == 1 and "mean" in used)
    for key, gradient in zip(keys, gradients, strict=True):
        gradient, shape = gradient.numpy(), values[key].shape
        assert may_be_dead or np.abs(gradient).max() > 0, f"{cell.name}: the gradient of {key} is zero"
        for direction in directions(shape, random):
            derivative = central_difference if name in THE_NINE else complex_step  # of the nine none has a kink
            error = abs(np.sum(gradient * direction) - derivative(name, values, adjoint, key, direction))
            bound = GRADIENT * max(1.0, np.abs(gradient).max())
            assert error <= bound, f"{cell.name}: the gradient of {key} is off by {error:.3g}; {bound:.3g} is allowed"


def directions(shape, random):
    """Every unit vector of a small array; three of a large one, and one dense vector of length 1."""
    size = int(np.prod(shape))
    chosen = range(size) if size <= 9 else random.choice(size, 3, replace=False)
    for k in chosen:
        yield np.eye(1, size, k).reshape(shape)
    if size > 9:
        dense = random.standard_normal(shape)
        yield dense / np.linalg.norm(dense)


@pytest.mark.parametrize(
    ("collection", "transcribed", "count"), [("odyssey-2017", THE_NINE, 9), ("beyond-2024", BEYOND, 17)]
)
def test_every_cell_has_a_second_transcription(collection, transcribed, count):
    """Every variant of a built-in collection has a second transcription, and nothing else has."""
    names = {name for name in lo.variant_names() if lo.variant(name).collection == collection}
    assert names == set(transcribed)
    assert len(transcribed) == count


@pytest.mark.parametrize("name", THE_NINE)
def test_both_derivatives_of_the_reference_agree(name):
    """A complex step and a central difference, taken of one transcription, give one derivative."""
    values = random_values(lo.variant(name), 3, 3, 5, seed=0)
    random = np.random.default_rng(1)
    adjoint = {key: random.standard_normal((3, 5)) for key in lo.variant(name).states}
    for key, value in values.items():
        direction = random.standard_normal(value.shape)
        one, other = (form(name, values, adjoint, key, direction) for form in (complex_step, central_difference))
        assert abs(one - other) <= GRADIENT * max(1.0, abs(one))


@pytest.mark.parametrize("name", NAMES)
@few
@given(T=st.integers(2, 5), M=SIZES, N=SIZES, seed=st.integers(0, 2**32 - 1))
def test_the_text_is_the_paper(name, T, M, N, seed):
    """The oracle's states are the reference's to 1e-12, and its gradients are the reference's central differences."""
    compare_with_reference(name, lo.variant(name), T, M, N, seed)


@pytest.mark.parametrize("name", NAMES)
def test_the_text_has_the_parameters_of_the_paper(name):
    """A cell's states and parameters are those that the reference uses, no more and no fewer."""

    class Watched(dict):
        used = set()

        def __getitem__(self, key):
            self.used.add(key)
            return super().__getitem__(key)

    Watched.used = set()
    cell = lo.variant(name)
    values = random_values(cell, 2, 3, 3, seed=0)
    initial = {state: values[f"initial {state}"] for state in cell.states}
    states = reference_forward(name, values["x"], initial, Watched(values))
    assert Watched.used == set(cell.parameters)
    assert tuple(states) == cell.states


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_the_oracle_are_examples(name):
    """Each row of a batch through the oracle is one example of the reference, with its own x and initial state."""
    cell = lo.variant(name)
    examples = [random_values(cell, 4, 3, 5, seed) for seed in (0, 1, 2)]
    weights = {key: examples[0][key] for key in cell.parameters}
    states = lo.oracle(
        cell,
        torch.tensor(np.stack([example["x"] for example in examples], 1)),
        {key: torch.tensor(np.stack([example[f"initial {key}"] for example in examples])) for key in cell.states},
        {key: torch.tensor(value) for key, value in weights.items()},
    )
    for row, example in enumerate(examples):
        initial = {key: example[f"initial {key}"] for key in cell.states}
        for key, value in reference_forward(name, example["x"], initial, weights).items():
            error = np.abs(states[key][:, row].numpy() - value).max()
            assert error <= FORWARD * max(1.0, np.abs(value).max()), f"{name}, row {row}: {key} is off by {error:.3g}"


@pytest.mark.parametrize("bidirectional", [False, True])
def test_no_peepholes_is_the_lstm_of_torch(bidirectional):
    """NP equals torch.nn.LSTM: outputs, final states and all gradients, in one direction and in two."""
    torch.manual_seed(0)
    T, B, M, N, D = 7, 3, 5, 4, 1 + bidirectional
    ours = lo.RNN("no_peepholes", M, N, bidirectional=bidirectional, dtype=torch.float64)
    theirs = torch.nn.LSTM(M, N, bidirectional=bidirectional, dtype=torch.float64)
    names = ("i", "f", "z", "o")  # the order of torch's blocks; what the paper calls z is there called g
    suffixes = ("_l0", "_l0_reverse")[:D]
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(0, N**-0.5)
        for d, suffix in enumerate(suffixes):
            theirs.get_parameter(f"bias_hh{suffix}").zero_()
            for space, kind in (("W", "weight_ih"), ("R", "weight_hh"), ("b", "bias_ih")):
                for name, block in zip(names, theirs.get_parameter(kind + suffix).chunk(4), strict=True):
                    ours.weight(f"{space}.{name}", d).copy_(block)
    x = torch.randn(T, B, M, dtype=torch.float64)
    state = {key: torch.randn(D, B, N, dtype=torch.float64) for key in ("y", "c")}
    weights = [torch.randn(*shape, dtype=torch.float64) for shape in ((T, B, D * N), (D, B, N), (D, B, N))]

    def everything(run, layer):
        leaves = [value.clone().requires_grad_() for value in (x, state["y"], state["c"])]
        results = run(*leaves)
        loss = sum((result * weight).sum() for result, weight in zip(results, weights, strict=True))
        layer.zero_grad()
        loss.backward()
        return [*results, *(leaf.grad for leaf in leaves)]

    def run_ours(x, y, c):
        output, final = ours(x, {"y": y, "c": c})
        return output, final["y"], final["c"]

    def run_theirs(x, h, c):
        output, final = theirs(x, (h, c))
        return output, *final

    for got, expected in zip(everything(run_ours, ours), everything(run_theirs, theirs), strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    for d, suffix in enumerate(suffixes):
        for space, kind in (("W", "weight_ih"), ("R", "weight_hh"), ("b", "bias_ih")):
            packed = ours.get_parameter(f"cells.{d}.{space}").grad
            gates = named({f"cells.{d}.{space}": packed}, ours.cell.parameters)
            got = torch.cat([gates[f"cells.{d}.{space}.{name}"] for name in names])
            expected = theirs.get_parameter(kind + suffix).grad
            assert expected.abs().max() > 1e-3
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
