"""Where the time of a layer's call goes: compiled passes, what torch needs for a function that does nothing else, our Python.

Run ``python -m tests.tools.parts_of_a_call no_peepholes`` on an idle machine. Milliseconds, medians, forward and backward at
batch 1, T = 304, M = 39, one thread. The layer takes turns with a *bare* one: the same compiled passes, called with tables
that are filled beforehand, in the shortest ``torch.autograd.Function`` there can be: it makes room for results and gradients.
"""

import statistics
import sys
import time
from array import array
from unittest import mock

import torch

import lstm_odyssey as lo
from lstm_odyssey.backends.lowering import lower
from lstm_odyssey.backends.numba import function, member

T, M, ROUNDS, WARM = 304, 39, 150, 20


class Bare(torch.autograd.Function):
    """The compiled passes and as many tensors in and out as a layer's function has."""

    @staticmethod
    def forward(ctx, passes, made, *tensors):
        ctx.passes = passes
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        results = tuple(torch.empty_like(value) for value in made)
        passes.run("forward")
        return results

    @staticmethod
    def backward(ctx, *_):
        gradients = [torch.empty_like(value) for value in ctx.saved_tensors[1:]]
        ctx.passes.run("backward")
        return None, None, None, *gradients


class Passes:
    """The compiled passes of a layer, each with the table that its last call filled."""

    def __init__(self, layer, x, adjoint):
        tables, held, fill = [], [layer, x, adjoint], member._Table.fill
        begin, borrow = function._Backward.__init__, member.borrow

        def filled(one, *given):
            address = fill(one, *given)
            tables.append(array("q", one.entries))  # as the next call would fill it anew
            return address

        def begun(one, *given):
            begin(one, *given)
            held.append((one.gradients, one.held))

        def borrowed(size):
            held.append(borrow(size))
            return held[-1]

        with (
            mock.patch.object(member._Table, "fill", filled),
            mock.patch.object(function._Backward, "__init__", begun),
            mock.patch.object(member, "borrow", borrowed),
        ):
            y, state = layer(x)
            torch.autograd.backward(y, adjoint, retain_graph=True)
        self.made, self.held = (y, state), held  # whatever has its address in the tables
        made = member.kernel(lower(layer.cell.graph), x.dtype)
        self.calls = {
            name: (getattr(made, name), table.buffer_info()[0])
            for name, table in zip(("forward", "backward"), tables, strict=True)
        }
        self.tables = tables
        self.seconds = {name: [] for name in self.calls}

    def run(self, name):
        function, address = self.calls[name]
        begun = time.perf_counter()
        function(address)
        self.seconds[name].append(time.perf_counter() - begun)


def parts(cell, size):
    """Milliseconds of a layer's call, of the bare one, of the compiled passes in that."""
    layer, x, adjoint = lo.RNN(cell, M, size), torch.randn(T, 1, M), torch.randn(T, 1, size)
    passes, own = Passes(layer, x, adjoint), list(layer.parameters())
    y, state = passes.made
    made = [value.detach() for value in (y, *state.values())]
    calls = {"whole": lambda: layer(x)[0], "bare": lambda: Bare.apply(passes, made, x, *own)[0]}
    seconds = {name: [] for name in calls}
    for _ in range(WARM + ROUNDS):
        for name, call in calls.items():
            for value in own:
                value.grad = None
            begun = time.perf_counter()
            torch.autograd.backward(call(), adjoint)
            seconds[name].append(time.perf_counter() - begun)
    return [1e3 * statistics.median(values[WARM:]) for values in (*seconds.values(), *passes.seconds.values())]


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("cell             N    whole     bare  forward  backward  torch's  our Python")
    for cell in sys.argv[1:] or ["no_peepholes"]:
        for size in (20, 50, 100, 150, 200):
            whole, bare, forward, backward = parts(cell, size)
            outside = bare - forward - backward
            print(
                f"{cell:15}{size:4}{whole:9.3f}{bare:9.3f}{forward:9.3f}{backward:10.3f}{outside:9.3f}{whole - bare:12.3f}"
            )
