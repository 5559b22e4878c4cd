"""Functions of parameters alone, as a learnable time constant, and of the input: compiled, the same bits among any neighbours.

A compilation takes seconds, so few random cells are drawn here: ODYSSEY_RANDOM_CELLS=300 draws as many.
"""

import os

import numpy as np
import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.backends.lowering import Products, lower
from lstm_odyssey.conformance.answers import rounding_error
from lstm_odyssey.conformance.draws import Draw
from lstm_odyssey.conformance.kit import check_oracle
from lstm_odyssey.conformance.ladder_structure import check_member_bits, check_population
from lstm_odyssey.tasks import objectives
from lstm_odyssey.training.members.lockstep import CompiledLockstep, Lockstep, Trial
from lstm_odyssey.training.members.population import Population
from lstm_odyssey.training.protocol import Protocol
from lstm_odyssey.variants.ops import sigmoid, tanh
from tests.corpora import CORPORA
from tests.random_cells import compiled, random_text

COUNT = int(os.environ.get("ODYSSEY_RANDOM_CELLS", "3"))
MORE = () if "ODYSSEY_RANDOM_CELLS" in os.environ else pytest.mark.long
DRAWS = (Draw(3, 2, 3, 5), Draw(4, 1, 2, 11, seed=1), Draw(2, 3, 17, 17, seed=2))


def time_constant(x, y, *, W, R, p, b):
    """The keeping of the old value is learned and depends on nothing."""
    a = sigmoid(p.tau - 2.0)
    return a * y + (1 - a) * tanh(W.z @ x + R.z @ y + b.z)


def raised(x, y, *, W, R, b):
    """A gate without W whose bias begins one higher."""
    f = sigmoid(R.f @ y + b.f + 1)
    return f * y + (1 - f) * tanh(W.z @ x + R.z @ y + b.z)


def lowered(x, y, *, W, R, b):
    """The same with a minus."""
    f = sigmoid(R.f @ y + b.f - 4)
    return f * y + (1 - f) * tanh(W.z @ x + R.z @ y + b.z)


def squashed_frames(x, y, *, W, R, b):
    """A function of the input before W, and a product of parameters."""
    return tanh(W.z @ (sigmoid(x) * x) + R.z @ y + R.q @ tanh(b.q) + b.z)


EVERY = (time_constant, raised, lowered, squashed_frames)


def same(one, other):
    """Equal bits, a NaN being a NaN."""
    return all(np.array_equal(value, other[name], equal_nan=True) for name, value in one.items())


def rounds_little(cell, draw):
    return max(rounding_error(cell, draw.problem(cell)).values()) < 1e-7


def trained(cell, sizes, backend="numba", dtype=torch.float32, epochs=2):
    """A population after some epochs, and its members' weights by name."""
    corpus, objective = CORPORA["next_frame"](), objectives.get("next_frame")
    drawn = [{"hidden_size": N, "learning_rate": 0.01, "momentum": 0.6, "input_noise": 0.2} for _, N in sizes]
    trials = [Trial(index, one) for (index, _), one in zip(sizes, drawn, strict=True)]
    made = Population(
        lo.as_cell(cell), corpus, objective, trials, Protocol(epochs=epochs, initial_std=0.5), seed=1,
        bidirectional=True, backend=backend, dtype=dtype, device="cpu",
    )  # fmt: skip
    batches = [one for k in range(epochs) for one in made.batches.epoch(corpus.train, 1, corpus.fingerprint, k + 1, 1)]
    losses = [[float(part.update(batch)) for part in made.parts] for batch in batches]
    weights = [part.network.member_weights(k) for part in made.parts for k in range(len(part.trials))]
    return made, weights, losses


@pytest.mark.parametrize("cell", [time_constant, raised, squashed_frames], ids=lambda cell: cell.__name__)
def test_a_part_of_parameters_alone_keeps_every_promise(cell):
    """The oracle's numbers and gradients, and a member's bits whatever its neighbours, forward and backward."""
    check_oracle(cell, "numba")
    check_population(cell, "numba")
    check_member_bits(cell, "numba")


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=MORE) for seed in range(1, COUNT))])
def test_random_cells_with_such_parts_keep_them_too(seed):
    """Texts that nobody wrote: equal to their oracle, member bits, and trained to the same bits alone and among others."""
    text = random_text(seed, learned=True)
    cell = lo.as_cell(compiled(text))
    try:
        check_oracle(cell, "numba", [draw for draw in DRAWS if rounds_little(cell, draw)])
        check_member_bits(cell, "numba")
        sizes = [(0, 5), (1, 17), (2, 3)]
        _, together, losses = trained(cell, sizes, epochs=1)
        for place, size in enumerate(sizes):
            _, (alone,), lost = trained(cell, [size], epochs=1)
            assert np.array_equal([loss[place] for loss in losses], [loss[0] for loss in lost], equal_nan=True)
            assert same(alone, together[place])
    except Exception as error:
        error.add_note(text)
        raise


def test_enough_random_cells_have_such_parts():
    """Among the first hundred are functions of the input before W and products of parameters with R."""
    graphs = [lower(lo.as_cell(compiled(random_text(seed, learned=True))).graph) for seed in range(100)]
    of_input = [
        any(isinstance(item, Products) and one.graph.nodes[item.operand].op != "input" and
            one.graph.nodes[item.operand].size == "M" for item in one.before)
        for one in graphs
    ]  # fmt: skip
    of_parameters = [
        any(isinstance(item, Products) and one.graph.nodes[item.operand].size == "N" for item in one.before)
        for one in graphs
    ]
    assert sum(of_input) > 20 and sum(of_parameters) > 5


@pytest.mark.parametrize("cell", EVERY, ids=lambda cell: cell.__name__)
def test_such_a_cell_trains_in_the_compiled_step(cell):
    """Training is one compiled call, whichever the sign before the number, and what autograd makes of the eager backend."""
    made, (weights,), losses = trained(cell, [(0, 17)], dtype=torch.float64)
    plain, (expected,), wanted = trained(cell, [(0, 17)], "eager", torch.float64)
    assert type(made.parts[0]) is CompiledLockstep and type(plain.parts[0]) is Lockstep
    torch.testing.assert_close(torch.tensor(losses), torch.tensor(wanted), rtol=1e-9, atol=0)
    for name, value in expected.items():
        torch.testing.assert_close(torch.from_numpy(weights[name]), torch.from_numpy(value), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("cell", [time_constant, squashed_frames], ids=lambda cell: cell.__name__)
def test_a_member_trains_to_the_same_bits_alone_and_among_others(cell):
    """No neighbour changes a bit of a training."""
    sizes = [(0, 17), (1, 5), (2, 33)]
    made, together, losses = trained(cell, sizes)
    assert all(type(part) is CompiledLockstep for part in made.parts)
    for place, size in enumerate(sizes):
        _, (alone,), lost = trained(cell, [size])
        assert [loss[place] for loss in losses] == [loss[0] for loss in lost]
        assert same(alone, together[place])
