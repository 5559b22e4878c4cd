"""The seventeen cells beyond the paper's nine, where a cell of its kind may go wrong in a way of its own."""

import numpy as np
import pytest
import torch

import lstm_odyssey as lo
from tests.cells import ON_CPU
from tests.reference_beyond import minlstm, slstm_without_stabiliser

M, N = 3, 5


def started(backend, dtype, **biases):
    """An sLSTM with weights of std 1/√N and these biases, an input of six frames, and the reference's parameters."""
    torch.manual_seed(0)
    layer = lo.RNN("slstm", M, N, backend=backend, initial_std=N**-0.5, dtype=dtype)
    with torch.no_grad():
        for name, value in biases.items():
            layer.weight(f"b.{name}").fill_(value)
    x = torch.randn(6, 2, M, dtype=dtype)
    exact = {name: value.detach().double().numpy() for name, value in layer.cells[0].tensors().items()}
    expected = np.stack([slstm_without_stabiliser(x[:, row].double().numpy(), exact) for row in range(2)], 1)
    return layer, x, expected


@pytest.mark.parametrize("backend", ON_CPU)
def test_slstm_begins_with_nothing(backend):
    """Without a state its outputs are those of the equations that have no stabiliser, from c = n = 0, to 1e-12."""
    layer, x, expected = started(backend, torch.float64)
    assert np.abs(layer(x)[0].detach().numpy() - expected).max() <= 1e-12


@pytest.mark.parametrize(
    "gates", [(100, 100), (100, -100), (-100, 100), (-100, -100), (-120, 0), (300, 0), (-300, 100)]
)
@pytest.mark.parametrize("backend", ON_CPU)
def test_slstm_neither_overflows_nor_loses_its_first_frame(backend, gates):
    """In float32, with gates far outside the range of exp, outputs are right to rounding and all gradients finite."""
    layer, x, expected = started(backend, torch.float32, i=gates[0], f=gates[1])
    x.requires_grad_()
    y, _ = layer(x)
    y.square().sum().backward()
    assert np.abs(y.detach().numpy() - expected).max() <= 1e-5
    for name, value in {"x": x, **dict(layer.named_parameters())}.items():
        assert bool(value.grad.isfinite().all()), f"the gradient of {name} is not finite"
    assert layer.cells[0].W.grad[:N].abs().max() > 1e-4  # W.z is the first


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("ours", "theirs", "gates"), [("gru_reset_after", "GRU", "rzh"), ("tanh_rnn", "RNN", "h")])
def test_torch_has_two_of_them(ours, theirs, gates, bidirectional):
    """gru_reset_after is torch.nn.GRU and tanh_rnn is torch.nn.RNN: from one state_dict, in one direction and in two."""
    torch.manual_seed(0)
    reference = getattr(torch.nn, theirs)(M, N, bidirectional=bidirectional, dtype=torch.float64)
    layer = lo.RNN(ours, M, N, bidirectional=bidirectional, dtype=torch.float64)
    for direction, suffix in enumerate(("_l0", "_l0_reverse")[: 1 + bidirectional]):
        blocks = {
            name: dict(zip(gates, reference.get_parameter(name + suffix).chunk(len(gates)), strict=True))
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
        with torch.no_grad():
            for gate in gates:
                inner = theirs == "GRU" and gate == "h"  # the one bias of torch's second four that is not a sum's term
                bias = blocks["bias_ih"][gate] + (0 if inner else blocks["bias_hh"][gate])
                for name, value in (("W", blocks["weight_ih"][gate]), ("R", blocks["weight_hh"][gate]), ("b", bias)):
                    layer.weight(f"{name}.{gate}", direction).copy_(value)
                if inner:
                    layer.weight("b.Rh", direction).copy_(blocks["bias_hh"][gate])
    x = torch.randn(7, 2, M, dtype=torch.float64)
    state = torch.randn(1 + bidirectional, 2, N, dtype=torch.float64)
    (y, final), (expected, last) = layer(x, {"y": state}), reference(x, state)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(final["y"], last, rtol=0, atol=1e-12)


@pytest.mark.parametrize("gates", [(-120, -120), (-100, -101), (-300, 0), (100, 100), (100, -100)])
@pytest.mark.parametrize("backend", ON_CPU)
def test_minlstm_weighs_old_against_new_though_both_gates_are_shut(backend, gates):
    """In float32, with gates whose sum no float32 holds, outputs are the reference's and all gradients finite."""
    torch.manual_seed(0)
    layer = lo.RNN("minlstm", M, N, backend=backend, initial_std=N**-0.5, dtype=torch.float32)
    with torch.no_grad():
        for name, value in zip("fi", gates, strict=True):
            layer.weight(f"b.{name}").fill_(value)
    x = torch.randn(6, 1, M)
    exact = {name: value.detach().double().numpy() for name, value in layer.cells[0].tensors().items()}
    expected = minlstm(x[:, 0].double().numpy(), {"y": np.zeros(N)}, exact)["y"]
    y, _ = layer(x)
    y.square().sum().backward()
    assert np.abs(y[:, 0].detach().numpy() - expected).max() <= 5e-5  # a pre-activation of 100 is known to 4e-6
    assert all(bool(value.grad.isfinite().all()) for value in layer.parameters())


def test_minlstm_has_no_recurrent_matrix():
    """Its Jacobian from one output to the next is diagonal and does not depend on the output."""
    layer = lo.RNN("minlstm", M, N, dtype=torch.float64)
    assert not any(".R." in name for name in layer.state_dict())
    x = torch.randn(1, 1, M, dtype=torch.float64)

    def step(y):
        return layer(x, {"y": y[None, None]})[1]["y"][0, 0]

    first, second = (torch.autograd.functional.jacobian(step, torch.randn(N, dtype=torch.float64)) for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=1e-14)
    torch.testing.assert_close(first, first.diag().diag(), rtol=0, atol=0)
    assert bool(((first.diag() > 0) & (first.diag() < 1)).all())
