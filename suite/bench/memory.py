"""Memory of a layer beside torch.nn.LSTM's: the most that a loop needs, and what is left when it is over.

    python -m lstm_odyssey.bench.memory CELL

Each loop runs in a process of its own, after a short pass that compiles and warms up. Resident memory of the process, as the
system counts it (Linux). *Left* is what it has more than before, the loop's own losses still alive where it says so.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

INPUTS, UNITS = 39, 100
MEGABYTE = 1e6
TORCH = "nn.LSTM"
"""What stands for torch's own layer where a cell is named."""


def _layer(kind: str, inputs: int) -> torch.nn.Module:
    if kind == TORCH:
        return torch.nn.LSTM(inputs, UNITS)
    from lstm_odyssey.layers.rnn import RNN

    return RNN(kind, inputs, UNITS)


def losses_kept(kind: str, steps: int = 2000, count: int = 40) -> Any:
    """40 losses of sequences of 2,000 frames kept after backward()."""
    layer = _layer(kind, INPUTS)
    kept = []
    for _ in range(count):
        loss = layer(torch.randn(steps, 1, INPUTS))[0].square().sum()
        loss.backward()
        kept.append(loss)
    return kept


def checkpointed(kind: str, steps: int = 2000, count: int = 8) -> Any:
    """8 layers one on the other at T = 2,000, each under checkpoint(use_reentrant=False)."""
    layers = [_layer(kind, UNITS) for _ in range(count)]
    x = torch.randn(steps, 1, UNITS, requires_grad=True)
    for layer in layers:
        x = checkpoint(lambda value, layer=layer: layer(value)[0], x, use_reentrant=False)
    x.square().sum().backward()
    return None


def inferred(kind: str, steps: int = 20_000, count: int = 3) -> Any:
    """No gradient, T = 20,000, three times."""
    layer = _layer(kind, INPUTS)
    x = torch.randn(steps, 1, INPUTS)
    with torch.no_grad():
        for _ in range(count):
            layer(x)
    return None


def stacked(kind: str, steps: int = 10_000, count: int = 8) -> Any:
    """One training step of 8 layers one on the other at T = 10,000."""
    layers = [_layer(kind, UNITS) for _ in range(count)]
    x = torch.randn(steps, 1, UNITS)
    for layer in layers:
        x = layer(x)[0]
    x.square().sum().backward()
    return None


LOOPS: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (losses_kept, checkpointed, inferred, stacked)
}


def _resident(what: str) -> float:
    """``VmRSS`` or, the most of it so far, ``VmHWM``, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status: no {what}; expected Linux.")


def measured(loop: str, kind: str) -> tuple[float, float]:
    """Bytes of this process: the most during a loop and what is left after it, both beside what it had before."""
    torch.set_num_threads(1)
    LOOPS[loop](kind, steps=2, count=1)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far, of the compiler, is forgotten
    before = _resident("VmRSS")
    result = LOOPS[loop](kind)
    gc.collect()
    most, left = _resident("VmHWM"), _resident("VmRSS")
    del result
    return most - before, left - before


def beside(loop: str, cell: str) -> dict[str, tuple[float, float]]:
    """``measured`` of the package's layer of a cell and of torch's, each in a process of its own."""
    found = {}
    for kind in (cell, TORCH):
        command = [sys.executable, "-m", "lstm_odyssey.bench.memory", loop, kind]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[kind] = tuple(json.loads(done.stdout))
    return found


def main() -> None:
    """Write the table for a cell; with the names of a loop and a layer, that one's numbers."""
    if len(sys.argv) == 3:
        sys.stdout.write(json.dumps(measured(*sys.argv[1:])))
        return
    if len(sys.argv) != 2:
        sys.exit("memory: expected the name of a cell, as `odyssey variants` lists them.")
    sys.stdout.write(f"{'':<55}{'lo.RNN':>9}{'':7}{'nn.LSTM':>7}\n{'MB':<50}{'peak   left   peak   left':>28}\n")
    for loop, function in LOOPS.items():
        numbers = [value / MEGABYTE for pair in beside(loop, sys.argv[1]).values() for value in pair]
        what = (function.__doc__ or "").split(".")[0]
        sys.stdout.write(f"{what:<50}" + "".join(f"{value:7.0f}" for value in numbers) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
