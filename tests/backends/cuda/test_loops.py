"""Loops as graphs: the powers of two, what is kept, and the bits of a layer that runs step by step through them."""

import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.backends.cuda import loops
from lstm_odyssey.backends.cuda.emulation import EmulatedDevice
from lstm_odyssey.backends.cuda.kernels import Kernel
from lstm_odyssey.backends.cuda.launch import KernelError, Launch, Loop
from lstm_odyssey.backends.cuda.loops import KEPT, LONGEST, Loops, powers
from lstm_odyssey.backends.cuda.scan import emulated
from tests import needed


@pytest.mark.parametrize(
    ("times", "parts"), [(0, []), (1, [1]), (304, [256, 32, 16]), (3 * LONGEST + 5, [LONGEST] * 3 + [4, 1])]
)
def test_turns_are_a_sum_of_powers_of_two(times, parts):
    """The greatest first, none longer than the longest graph."""
    assert list(powers(times)) == parts


class Looped(EmulatedDevice):
    """An emulated device whose loops are what a GPU's are."""

    def __init__(self):
        super().__init__()
        self.loops, self.graphs = Loops(self), []

    def run(self, text, work):
        if any(isinstance(one, Loop) for one in work):
            self.loops.run(text, work)
        else:
            super().run(text, work)

    def graph(self, prepared):
        self.graphs.append(len(prepared))
        return super().graph(prepared)


def answers(device, layer, T, seed):
    """Outputs, last states and all gradients."""
    generator = torch.Generator().manual_seed(seed)
    x, adjoint = (torch.randn(T, 2, width, generator=generator) for width in (3, 2 * 5))
    x.requires_grad_()
    with emulated(device):
        y, state = layer(x, lengths=torch.tensor([T, T - 1]))
        leaves = [x, *layer.parameters()]
        total = (y * adjoint).sum() + sum(value.sum() for value in state.values())
        return [y.detach(), *(value.detach() for value in state.values()), *torch.autograd.grad(total, leaves)]


@pytest.mark.parametrize("cell", ["vanilla", "ln_lstm"])
def test_they_change_no_bit(cell, monkeypatch):
    """A layer without a size class, called with tensors of many places and lengths: launch by launch once, then as graphs."""
    needed.cxx()
    monkeypatch.setattr(Kernel, "layout", lambda self, N: None)
    torch.manual_seed(0)
    layer = lo.RNN(cell, 3, 5, bidirectional=True, backend="cuda", initial_std=0.7)
    plain, looped = EmulatedDevice(), Looped()
    for T, seed in ((3, 0), (3, 1), (6, 2), (5, 3)):
        for one, other in zip(answers(plain, layer, T, seed), answers(looped, layer, T, seed), strict=True):
            assert torch.equal(one, other)
    assert sorted(looped.graphs) == [1, 1, 2, 2, 4, 4], "of each length once, forward and backward"


def test_a_device_that_refuses_graphs_runs_the_turns(monkeypatch):
    """One warning a graph, the same bits."""
    needed.cxx()
    monkeypatch.setattr(Kernel, "layout", lambda self, N: None)
    layer, plain, looped = lo.RNN("nog", 3, 5, backend="cuda", bidirectional=True), EmulatedDevice(), Looped()

    def refuse(prepared):
        raise KernelError("H200: cuStreamBeginCapture answered no.")

    monkeypatch.setattr(looped, "graph", refuse)
    with pytest.warns(UserWarning, match="one by one") as told:
        found = [answers(looped, layer, 4, 1) for _ in range(2)][-1]
    assert len(told) == 2, "forward and backward"
    assert all(torch.equal(one, other) for one, other in zip(answers(plain, layer, 4, 1), found, strict=True))


class Recorded:
    """A device that only says what it was asked to prepare."""

    architecture = "none"

    def __init__(self):
        self.made = []

    def prepare(self, text, work):
        self.made.append([tensor for one in work for tensor in one.tensors])
        return self

    def fill(self, tables):
        pass

    def run(self):
        pass

    def graph(self, prepared):
        return self


def test_a_device_keeps_so_many_loops_and_no_tensor(monkeypatch):
    """The one that was not used for longest is made anew; grids tell loops apart, tables do not."""
    monkeypatch.setattr(loops, "KEPT", 2)
    device = Recorded()
    known, value = Loops(device), torch.zeros(3)

    def turn(tiles, number=0):
        known.run("text", [Loop((Launch("step", 1, tiles, 32, 1, 0, [[number, value]]),), 3)])

    for tiles in (1, 2, 1, 3, 1, 2):
        turn(tiles)
        turn(tiles, 5)
    assert device.made == [[]] * 4 and KEPT > 2
