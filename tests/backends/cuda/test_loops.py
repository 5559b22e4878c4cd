"""Loops as graphs: the powers of two, what is kept, and the bits of a layer that runs step by step through them."""

import threading

import numpy as np
import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.backends.cuda.emulation import EmulatedDevice
from lstm_odyssey.backends.cuda.kernels import Kernel
from lstm_odyssey.backends.cuda.running import loops
from lstm_odyssey.backends.cuda.running.launch import KernelError, Launch, Loop, unrolled
from lstm_odyssey.backends.cuda.running.loops import KEPT, LONGEST, NODES, Loops, most_turns, powers
from lstm_odyssey.backends.cuda.running.prepared import OneByOne
from lstm_odyssey.backends.cuda.scan import emulated
from lstm_odyssey.bench.gpu.parts.training import Made, mixed, population
from lstm_odyssey.bench.gpu.target import Target
from tests import needed
from tests.conftest import ROOT


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

    def looped(self, text, work):
        return self.loops.prepare(text, work)

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


def trained(device, objective, graphs=True):
    """A population of which some members run step by step, on batches of some lengths that come again, one left out."""
    target, made = Target("emulated"), Made.drawn(objective, 2, 3, 3, 3)
    target.runner = device
    with target.here():
        ours = population(target, target.first, made, mixed([3, 5, 40], 0.05), True)
        ours.step.graphs = graphs
        batches = made.batches(torch.float32, target.device)
        losses = [ours.update(batch) for batch in batches * 3]
        ours.only(np.array([True, False, True]))
        losses += [ours.update(batch) for batch in batches * 2]
        scores = ours.step.logits(batches[0])
    return [torch.stack(losses), scores, ours.network.weights]


@pytest.mark.parametrize("objective", ["next_frame", "label_mean"])
def test_a_population_s_loops_change_no_bit(objective, monkeypatch):
    """Members beside a size class and without one, also when those that have stopped are left out; with and without graphs."""
    needed.cxx()
    layout = Kernel.layout
    monkeypatch.setattr(Kernel, "layout", lambda self, N: None if N < 6 else layout(self, N))
    expected, looped, never = trained(EmulatedDevice(), objective), Looped(), Looped()
    for found in (trained(looped, objective), trained(never, objective, graphs=False)):
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
    assert never.graphs == [] and {1, 2, 4} <= set(looped.graphs)
    assert not never.loops._known and len(looped.loops._known) == 4, "forward and backward, of all and of those left"


class Counting:
    """A device that computes nothing: it counts the launches in its graphs, but not those of graphs that are gone."""

    architecture, in_a_graph = "sm_90", True

    def __init__(self):
        self.loops, self.nodes = Loops(self), 0

    def free(self):
        return None

    def prepare(self, text, work):
        return Part(len(unrolled(work)))

    def looped(self, text, work):
        return self.loops.prepare(text, work)

    def together(self, prepared):
        return OneByOne(prepared)

    def graph(self, prepared):
        self.nodes += sum(one.size for one in prepared)
        return Part(0)


class Part:
    in_a_graph = True

    def __init__(self, size):
        self.size = size

    def run(self):
        pass

    def fill_from(self, other):
        assert other.size == self.size


@pytest.mark.parametrize("cell", ["vanilla", "ln_lstm"])
def test_lengths_share_the_graphs_of_their_loops(cell):
    """A population beyond the size classes: nodes of its loops do not grow with the lengths of a corpus."""
    found = []
    for step in (10, 5):
        device, target = Counting(), Target("emulated")
        target.runner = device
        drawn = [Made.drawn("next_frame", 1, T, 2, 2) for T in range(63, 0, -step)]
        with target.here():
            ours = population(target, lo.variant(cell), drawn[0], mixed([257], 0.05), True)
            batches = [one.batches(torch.float32, target.device)[0] for one in drawn]
            for batch in batches * 2:
                ours.update(batch)
        of_a_turn = sum(map(len, ours.step.made.stepwise.kernels)) + 2  # each direction counts its steps
        in_loops = sum(one.nodes for one in device.loops._known.values())
        assert in_loops == most_turns(63) * of_a_turn
        found.append((device.nodes - in_loops) / len(drawn))
    assert found[0] == found[1] < 20, "what is left is a length's own, however long it is"
    if cell == "vanilla":  # the page says what that saves; in one graph a loop has two ends and a clock to set back
        lengths, page = np.linspace(90, 778, 400).astype(int), (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
        shared = most_turns(778) * of_a_turn + len(lengths) * int(found[0])
        unrolled_ = int(lengths.sum()) * of_a_turn + len(lengths) * (int(found[0]) + 6)
        assert f"have {shared:,} kernels for `vanilla`, and not {unrolled_:,}" in " ".join(page.split())


def test_turns_of_all_graphs_that_lengths_need():
    """Those of every power up to the greatest of them."""
    for times in (0, 1, 2, 5, 8, 304, 5 * LONGEST):
        assert most_turns(times) == sum({part for each in range(times + 1) for part in powers(each)})


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


def one_loop(tiles, times=3, text="text"):
    return text, [Loop((Launch("step", 1, tiles, 32, 1, 0, [[0, None]]),), times)]


def test_loops_are_kept_while_their_graphs_are_few_enough(monkeypatch):
    """Launches in all graphs count; what was not used for longest goes first, and the last one stays however long it is."""
    monkeypatch.setattr(loops, "NODES", 10)
    known = Loops(Recorded())

    def kept(tiles, times):
        for _ in range(2):
            known.run(*one_loop(tiles, times))
        return [one.nodes for one in known._known.values()]

    assert [kept(1, 3), kept(2, 7), kept(3, 2)] == [[3], [3, 7], [7, 2]] and NODES > 10
    assert kept(2, 1) == [2, 7] and kept(4, 16) == [16]


def test_who_needs_another_loop_does_not_wait_for_a_compiler():
    """Nor does a device's own list of modules: only a second one that needs the same text waits."""
    compiling, compiled, told = threading.Event(), threading.Event(), []

    class Slow(Recorded):
        def prepare(self, text, work):
            told.append(text)
            if text == "slow":
                compiling.set()
                assert compiled.wait(30)
            return super().prepare(text, work)

    known = Loops(Slow())
    threads = [threading.Thread(target=known.run, args=one_loop(1, text="slow")) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert compiling.wait(30)
    known.run(*one_loop(1, text="quick"))
    compiled.set()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["quick", "slow"], "compiled once"
