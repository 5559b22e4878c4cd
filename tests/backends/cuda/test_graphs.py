"""Launches that come again are one graph: when one is made, when it is dropped, and that it changes no bit."""

import numpy as np
import pytest
import torch

from lstm_odyssey.backends.cuda import training_step
from lstm_odyssey.backends.cuda.emulation import EmulatedDevice
from lstm_odyssey.backends.cuda.running.graphs import Sequences
from lstm_odyssey.backends.cuda.running.launch import KernelError, Launch
from lstm_odyssey.bench.gpu.parts.training import Made, mixed, population
from lstm_odyssey.bench.gpu.target import Target
from tests import needed

DOUBLE = """\
#include "device.h"

// doubles a number
extern "C" __global__ void twice(const long long* __restrict__ tables) {
    if (threadIdx.x == 0) reinterpret_cast<float*>(tables[blockIdx.y])[0] *= 2.0f;
}
"""


class Counted:
    """A stage, or the device that makes graphs of stages; each says what it does."""

    def __init__(self, said, name="", in_a_graph=True):
        self.said, self.name, self.in_a_graph = said, name, in_a_graph

    def run(self):
        self.said.append(self.name)

    def graph(self, prepared):
        names = "+".join(one.name for one in prepared)
        self.said.append(f"make {names}")
        return Counted(self.said, f"graph {names}")


def test_a_sequence_is_a_graph_from_its_second_time_on():
    """Once is not worth one; other sequences of the same stages have their own; a single stage needs none."""
    said = []
    stages = {name: [Counted(said, name)] for name in "abc"}
    ready = Sequences(Counted(said), {**stages, "none": []})
    for _ in range(3):
        ready.run("a", "none", "b")
    ready.run("b", "c")
    ready.run("c")
    ready.run("c")
    ready.run("a", "none", "b", graphs=False)
    assert said == ["a", "b", "make a+b", "graph a+b", "graph a+b", "b", "c", "c", "c", "a", "b"]
    assert ready.has("a") and not ready.has("none") and not ready.has("d")


def test_what_is_made_of_graphs_parts_a_sequence():
    """It runs by itself; what stands before and after it is a graph each, one stage alone is none."""
    said = []
    stages = {name: [Counted(said, name, name not in "LM")] for name in "abLcMde"}
    ready = Sequences(Counted(said), stages)
    ready.run(*stages)
    assert said == list(stages)
    del said[:]
    for _ in range(2):
        ready.run(*stages)
    once = ["graph a+b", "L", "c", "M", "graph d+e"]
    assert said == ["make a+b", "make d+e", *once, *once]


@pytest.mark.parametrize("error", [KernelError, torch.OutOfMemoryError])
def test_a_device_that_refuses_a_graph_is_given_launch_by_launch(error):
    """One warning with the reason, nothing is run twice, and the sequence is not tried again; memory for it may lack too."""
    said = []

    class Refusing(Counted):
        def graph(self, prepared):
            raise error("H200: cuStreamEndCapture answered CUDA_ERROR_STREAM_CAPTURE_INVALIDATED.")

    ready = Sequences(Refusing(said), {name: [Counted(said, name)] for name in "ab"})
    ready.run("a", "b")
    with pytest.warns(UserWarning, match=r"CAPTURE_INVALIDATED\. Its kernels are launched one by one"):
        ready.run("a", "b")
    ready.run("a", "b")
    assert said == ["a", "b"] * 3


def test_an_address_that_has_moved_is_seen():
    """What a GPU would read where a tensor was before, the emulated device refuses to run, in a graph as without."""
    needed.cxx()
    device, number = EmulatedDevice(), torch.ones(1)
    ready = device.prepare(DOUBLE, [Launch("twice", 1, 1, 32, 1, 0, [[number]])])
    graph = device.graph([ready, ready])
    assert number.item() == 1.0, "nothing runs while a graph is made"
    graph.run()
    assert number.item() == 4.0
    number.data = torch.ones(1)
    for stale in (ready, graph):
        with pytest.raises(KernelError, match="doubles a number: a tensor of a table has moved since"):
            stale.run()


@pytest.fixture
def made(monkeypatch):
    """How many parts each graph has that the emulated device makes."""
    needed.cxx()
    found, graph = [], EmulatedDevice.graph

    def count(device, prepared):
        found.append(len(prepared))
        return graph(device, prepared)

    monkeypatch.setattr(EmulatedDevice, "graph", count)
    return found


def trained(target, objective, graphs, cell=None):
    """Members of three N, batches of two lengths that come again, one left out on the way; their weights and losses."""
    made = Made.drawn(objective, 2, 5, 3, 3)
    with target.here():
        ours = population(target, cell or target.first, made, mixed([3, 1, 4], 0.05), True)
        ours.step.graphs = graphs
        batches = made.batches(torch.float32, target.device)
        losses = [ours.update(batch) for batch in batches * 3]
        ours.only(np.array([True, False, True]))
        losses += [ours.update(batch) for batch in batches * 2]
    return ours, torch.stack(losses)


@pytest.mark.parametrize("objective", ["next_frame", "label_mean"])
def test_graphs_change_no_bit_and_are_dropped_where_something_moves(objective, made):
    """With graphs and without: the same bits. Each shape has its own, made anew for those that are left.

    A loss of ours is inside, one update one graph; torch's is between two.
    """
    target = Target("emulated")
    ours, losses = trained(target, objective, True)
    per_update = 1 if objective == "next_frame" else 2
    # the second batch is longer and moves the workspace, so the first shape is made again when it comes back
    assert len(made) == per_update * 4
    plain, expected = trained(target, objective, False)
    assert len(made) == per_update * 4
    for member in range(3):
        found, right = (of.network.member_weights(member) for of in (ours, plain))
        assert all(np.array_equal(found[name], right[name]) for name in right)
    torch.testing.assert_close(losses, expected, rtol=0, atol=0, equal_nan=True)
    assert losses[-1, 1].isnan() and losses[:6].isfinite().all()


def test_a_graph_of_other_weights_is_dropped(made):
    """Weights that lie elsewhere, as after a move of the network, are computed where they are now."""
    target, drawn = Target("emulated"), Made.drawn("next_frame", 1, 5, 3, 3)
    with target.here():
        ours = population(target, target.first, drawn, mixed([3, 1, 4], 0.05), True)
        (batch,) = drawn.batches(torch.float32, target.device)
        for _ in range(3):
            ours.update(batch)
        assert len(made) == 1
        ours.step.network._gather()
        ours.step._places()
        before = ours.network.member_weights(0)["a"].copy()
        for _ in range(3):
            ours.update(batch)
    assert len(made) == 2 and not np.array_equal(ours.network.member_weights(0)["a"], before)


def test_of_too_many_shapes_the_oldest_stay(made, monkeypatch):
    """An epoch visits all of its shapes in turn, so that dropping the oldest, or all, would make every one anew each time."""
    monkeypatch.setattr(training_step, "SHAPES", 2)
    target, drawn = Target("emulated"), Made.drawn("next_frame", 3, 5, 3, 3)
    with target.here():
        ours = population(target, target.first, drawn, mixed([3, 1, 4], 0.05), True)
        batches = drawn.batches(torch.float32, target.device)[::-1]  # the longest first, which makes all the room
        kept = []
        for batch in batches * 2:
            ours.update(batch)
            kept.append([T for T, *_ in ours.step._shapes])
    assert kept == [[7], [7, 6], [7, 5], [7, 5], [7, 6], [7, 5]]
