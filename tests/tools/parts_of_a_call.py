"""Where the time of a layer's call goes: compiled passes, what torch needs for any custom function, and the rest of Python.

Run ``python -m tests.tools.parts_of_a_call no_peepholes`` on an idle machine. Milliseconds, medians, forward and backward at
batch 1, T = 304, M = 39, one thread.
"""

import statistics
import sys
import time

import torch

import lstm_odyssey as lo
from lstm_odyssey.backends.numba import member

T, M, ROUNDS = 304, 39, 150


class Empty(torch.autograd.Function):
    """As many tensors in and out as a layer's function has, and nothing computed."""

    @staticmethod
    def forward(ctx, made, *tensors):
        ctx.made = made
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        return tuple(torch.empty_like(value) for value in made)

    @staticmethod
    def backward(ctx, *_):
        return None, None, *(torch.empty_like(value) for value in ctx.saved_tensors[1:])


class Nothing(torch.nn.Module):
    """A module whose only work is ``Empty``."""

    def __init__(self, layer, made):
        super().__init__()
        self.own, self.made = torch.nn.ParameterList(layer.parameters()), made

    def forward(self, x):
        return Empty.apply(self.made, x, *self.own)


def median(call):
    for _ in range(20):
        call()
    seconds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return 1e3 * statistics.median(seconds)


def parts(cell, size):
    """Whole call, compiled forward and backward pass within it, a call of an empty function."""
    layer, x, adjoint = lo.RNN(cell, M, size), torch.randn(T, 1, M), torch.randn(T, 1, size)

    def call(module):
        for value in layer.parameters():
            value.grad = None
        torch.autograd.backward(module(x)[0], adjoint)

    y, state = layer(x)
    empty = Nothing(layer, (y.detach(), *[value.detach() for value in state.values()]))
    whole, nothing = median(lambda: call(layer)), median(lambda: torch.autograd.backward(empty(x)[0], adjoint))
    seconds = {"forward": [], "backward": []}
    with_kernel = {name: getattr(member.Member, name) for name in seconds}
    try:
        for name, run in with_kernel.items():

            def timed(self, *given, name=name, run=run):
                begun = time.perf_counter()
                run(self, *given)
                seconds[name].append(time.perf_counter() - begun)

            setattr(member.Member, name, timed)
        for _ in range(ROUNDS):
            call(layer)
    finally:
        for name, run in with_kernel.items():
            setattr(member.Member, name, run)
    return whole, *(1e3 * statistics.median(seconds[name]) for name in seconds), nothing


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("cell             N    whole  forward  backward  outside  of it torch's")
    for cell in sys.argv[1:] or ["no_peepholes"]:
        for size in (20, 50, 100, 150, 200):
            whole, forward, backward, nothing = parts(cell, size)
            print(
                f"{cell:15}{size:4}{whole:9.3f}{forward:9.3f}{backward:10.3f}{whole - forward - backward:9.3f}{nothing:12.3f}"
            )
