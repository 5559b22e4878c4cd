"""Speed of cells against ``torch.nn.LSTM`` in one run: ``python tests/tools/bench_cell.py vanilla cifg --batch 1``.

One thread; the networks take turns, so that a busy machine is busy for all of them; medians; the geometric mean over N.
Times are the thread's own CPU time (``--wall`` for the clock on the wall): on a shared machine the wall measures the others.
Gradients of x, of every parameter and of the initial states are computed.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import lstm_odyssey as lo


def cpu_name() -> str:
    """The processor's name, its vectors' width beside it."""
    from lstm_odyssey.kernels.vectors import vector_bytes

    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = "unknown CPU"
    return f"{name}, {8 * vector_bytes()}-bit vectors"


def cases(
    names: list[str], backend: str, N: int, arguments: argparse.Namespace
) -> dict[str, Callable[[], tuple[float, float]]]:
    """By name, a function that does one forward and backward pass and returns both times."""
    clock = time.perf_counter if arguments.wall else time.thread_time
    T, B, M = arguments.frames, arguments.batch, arguments.inputs
    torch.manual_seed(0)
    x, adjoint = torch.randn(T, B, M), torch.randn(T, B, N)

    def case(
        layer: torch.nn.Module, states: int, pack: Callable[[list[torch.Tensor]], Any]
    ) -> Callable[[], tuple[float, float]]:
        def once() -> tuple[float, float]:
            frames = x.clone().requires_grad_()
            state = pack([torch.zeros(1, B, N, requires_grad=True) for _ in range(states)])
            start = clock()
            y, _ = layer(frames, state)
            between = clock()
            y.backward(adjoint)
            end = clock()
            layer.zero_grad()
            return between - start, end - between

        return once

    found = {"torch.nn.LSTM": case(torch.nn.LSTM(M, N), 2, tuple)}
    for name in names:
        layer = lo.RNN(name, M, N, backend=backend)
        named = layer.cell.states
        found[name] = case(layer, len(named), lambda values, named=named: dict(zip(named, values, strict=True)))
    return found


def main() -> None:
    """Print a line for each N and the geometric mean of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("variants", nargs="*", default=lo.variant_names())
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 50, 100, 150, 200])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--frames", type=int, default=304)
    parser.add_argument("--inputs", type=int, default=39)
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--backend", default="numba")
    parser.add_argument("--wall", action="store_true", help="wall clock instead of the thread's CPU time")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sizes = f"batch {arguments.batch}, T {arguments.frames}, M {arguments.inputs}"
    print(f"{cpu_name()}; {sizes}, one thread, ms forward + backward, ratio to torch.nn.LSTM")
    ratios: dict[str, list[float]] = {}
    for N in arguments.sizes:
        functions = cases(list(arguments.variants), arguments.backend, N, arguments)
        for function in functions.values():
            for _ in range(3):
                function()
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in functions}
        for _ in range(arguments.repeats):
            for name, function in functions.items():
                times[name].append(function())
        yardstick = statistics.median(map(sum, times["torch.nn.LSTM"]))
        for name, pairs in times.items():
            ahead, back = (1e3 * statistics.median(part) for part in zip(*pairs, strict=True))
            ratio = yardstick / statistics.median(map(sum, pairs))
            ratios.setdefault(name, []).append(ratio)
            print(f"N {N:4d}  {name:15s} {ahead:7.2f} + {back:7.2f}   {ratio:5.2f}", flush=True)
    for name, found in ratios.items():
        print(f"geometric mean  {name:15s} {math.exp(statistics.fmean(map(math.log, found))):5.2f}")


if __name__ == "__main__":
    main()
