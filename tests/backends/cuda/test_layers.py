"""What the scans of one layer launch: as few rows a program as the multiprocessors allow, and both directions at once."""

import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.backends import BACKENDS
from lstm_odyssey.backends.cuda.emulation import EmulatedDevice
from lstm_odyssey.backends.cuda.running.launch import unrolled
from lstm_odyssey.backends.cuda.scan import emulated
from lstm_odyssey.backends.lowering import lower
from tests import needed
from tests.emulated_scans import Case, answer, drawn

SIZES = {"T": 3, "B": 7, "M": 4, "N": 5}


@pytest.fixture(autouse=True)
def _compiler():
    needed.cxx()


class Watched(EmulatedDevice):
    """Remembers the programs and tiles of each scan that it ran."""

    def __init__(self, processors):
        super().__init__("shuffled 1", processors=processors)
        self.scans = []

    def run(self, text, work):
        """Note them."""
        kinds = ("forward", "backward")
        self.scans += [(one.kernel, one.programs, one.tiles) for one in unrolled(work) if one.kernel in kinds]
        super().run(text, work)


def given(cell, backend, bidirectional):
    """A layer, its input, its states, and what its answer is weighed with; the same for every backend."""
    generator = torch.Generator().manual_seed(3)
    T, B, M, N = SIZES.values()
    directions = 1 + bidirectional
    layer = lo.RNN(cell, M, N, backend=backend, bidirectional=bidirectional, dtype=torch.float64)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    for value in layer.parameters():
        value.data.copy_(normal(*value.shape))
    state = {name: normal(directions, B, N) for name in layer.cell.states}
    return layer, normal(T, B, M), state, normal(T, B, directions * N)


def found(layer, x, state, weights, lengths=None):
    """Outputs, last states and all gradients."""
    x, state = x.clone().requires_grad_(), {name: value.clone().requires_grad_() for name, value in state.items()}
    y, final = layer(x, state, lengths=lengths)
    total = (y * weights).sum() + sum((value * state[name].detach().cos()).sum() for name, value in final.items())
    gradients = torch.autograd.grad(total, [x, *state.values(), *layer.parameters()])
    return [y.detach(), *(value.detach() for value in final.values()), *gradients]


@pytest.mark.parametrize("cell", ["vanilla", "ln_lstm"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("lengths", [None, [3, 1, 2, 3, 2, 1, 1]])
def test_whatever_the_rows_of_a_program_a_layer_is_what_eager_makes_of_it(cell, bidirectional, lengths):
    """Seven rows in programs of 4, 2 and 1, forward and backward; both directions are programs of one launch."""
    expected = found(*given(cell, "eager", bidirectional), lengths)
    layer, *of = given(cell, "cuda", bidirectional)
    programs = 1 + bidirectional
    for processors, tiles in ((1, 2), (4 * programs, 4), (7 * programs, 7)):
        device = Watched(processors)
        with emulated(device):
            torch.testing.assert_close(found(layer, *of, lengths), expected, rtol=1e-10, atol=1e-10)
        assert device.scans == [("forward", programs, tiles), ("backward", programs, tiles)]


def test_the_rows_of_a_population_do_not_follow_from_the_multiprocessors():
    """A population of one has programs of as many rows as it would among others."""
    device = Watched(7)
    answer(drawn("vanilla", Case((5,), T=3, B=7)), device)
    assert device.scans == [("forward", 1, 2), ("backward", 1, 2)]


def test_scans_of_unlike_shapes_are_computed_one_after_the_other():
    """What the backend is asked for at once need not be the directions of one layer."""
    layer, x, state, _ = given("vanilla", "cuda", True)
    calls = [
        (
            lower(layer.cell.graph),
            direction.spaces(),
            x[: 3 - k],
            {name: value[k] for name, value in state.items()},
            None,
            None,
        )
        for k, direction in enumerate(layer.directions())
    ]
    device = Watched(14)
    with emulated(device):
        both = BACKENDS["cuda"].several(calls)
        alone = [BACKENDS["cuda"].scan(*call) for call in calls]
    assert device.scans == [("forward", 1, 7)] * 4
    assert all(torch.equal(one[0], other[0]) for one, other in zip(both, alone, strict=True))


def test_under_a_transform_both_directions_are_what_they_are_without():
    """``torch.func.vmap`` over inputs of a layer of both directions."""
    layer, x, state, _ = given("vanilla", "cuda", True)
    parameters = dict(layer.named_parameters())
    with emulated(Watched(7)):
        expected, _ = layer(x, state)
        both = torch.func.vmap(lambda one: torch.func.functional_call(layer, parameters, (one, state))[0])(
            torch.stack([x, -x])
        )
    torch.testing.assert_close(both[0], expected, rtol=1e-12, atol=1e-12)
