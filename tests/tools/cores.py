"""How well the rows of a batch share two cores: one process of two threads beside two processes of one thread each.

Run ``python -m tests.tools.cores [CELL] [N]`` on a machine with two idle cores. Forward and backward, batch 32, T = 304,
M = 39, in turns. What is printed is the work of a second in one process, as part of that in the two, median over rounds.
"""

import multiprocessing
import statistics
import sys
import time

import torch

import lstm_odyssey as lo

T, B, M, ROUNDS, CALLS = 304, 32, 39, 15, 4


def calls(cell, size):
    """What makes so many calls of a layer."""
    layer, x, adjoint = lo.RNN(cell, M, size), torch.randn(T, B, M), torch.randn(T, B, size)

    def run(count=CALLS):
        for _ in range(count):
            for value in layer.parameters():
                value.grad = None
            torch.autograd.backward(layer(x)[0], adjoint)

    run(2)
    return run


def alone(cell, size, barrier):
    """One of the two processes: it computes when all are at the barrier, and they leave the next one when all are done."""
    torch.set_num_threads(1)
    run = calls(cell, size)
    for _ in range(ROUNDS):
        barrier.wait()
        run()
        barrier.wait()


def shared(cell, size):
    """Seconds of two times the work, of each round: by one process with two threads, by two processes."""
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(3)
    others = [spawn.Process(target=alone, args=(cell, size, barrier), daemon=True) for _ in range(2)]
    for each in others:
        each.start()
    torch.set_num_threads(2)
    run, found = calls(cell, size), []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        run(2 * CALLS)
        own = time.perf_counter() - begun
        barrier.wait()
        begun = time.perf_counter()
        barrier.wait()
        found.append((own, time.perf_counter() - begun))
    for each in others:
        each.join()
    return found


if __name__ == "__main__":
    name, units = (sys.argv[1:] + ["no_peepholes", "200"][len(sys.argv) - 1 :])[:2]
    rounds = shared(name, int(units))
    each = sorted(two / one for one, two in rounds)
    print(
        f"{name}, N = {units}, batch {B}: {1e3 * statistics.median(one for one, _ in rounds) / 2 / CALLS:.1f} ms a call; "
        f"{statistics.median(each):.2f} of two processes ({each[len(each) // 4]:.2f} to {each[-1 - len(each) // 4]:.2f})"
    )
