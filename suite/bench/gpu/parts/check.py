"""*check*: whether what the device computes is right, always the same, and clean in the eyes of compute-sanitizer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from lstm_odyssey.backends.cuda.source import products
from lstm_odyssey.backends.cuda.source.training import source as training_source
from lstm_odyssey.bench.gpu.parts import bits, curve, scans, training
from lstm_odyssey.bench.gpu.record import Item, NotReachedError, Row
from lstm_odyssey.bench.gpu.target import BACKEND, Target
from lstm_odyssey.cell import Cell

SANITIZER = "compute-sanitizer"
TOOLS = ("memcheck", "racecheck")
SANITIZER_SECONDS = 60.0


def texts(
    target: Target,
    cells: Iterable[Cell],
    sizes: Iterable[int],
    batches: Sequence[int],
    dtypes: Sequence[torch.dtype],
    layers: bool = False,
) -> list[str]:
    """The sources of the scans of some cells, by layers or in populations."""
    processors = target.processors if layers else None
    found = {
        (kernel.stepwise_text if layout is None else kernel.compiled(layout, batch, processors).text): None
        for cell in cells
        for dtype in dtypes
        for kernel in (target.kernel(cell, dtype),)
        for layout in dict.fromkeys(map(kernel.layout, sizes))
        for batch in batches
    }
    return list(found)


def around(objectives: Iterable[str], sizes: Sequence[int] = (4, 8)) -> list[str]:
    """The sources of what goes around a scan, for floats of so many bytes."""
    return [products.source(size) for size in sizes] + [training_source(size, o) for o in objectives for size in sizes]


def compiling(done: int, kernels: int) -> None:
    """Say how far a compilation is, about ten times."""
    if done == kernels or done % max(kernels // 10, 1) == 0:
        sys.stderr.write(f"compiling kernels {done} of {kernels}\n")


def build(target: Target, sources: Sequence[str]) -> Iterator[Row]:
    """Compile sources on all cores, ahead of what needs them; what ptxas says of registers and spills."""
    target.only_on_a_gpu("NVRTC's compilation ahead of the rest")
    from lstm_odyssey.backends.cuda.running import nvrtc
    from lstm_odyssey.backends.cuda.running.launch import about

    begun = time.perf_counter()
    cubins = nvrtc.build_all(sources, target.runner.architecture, compiling)
    spilled = {
        f"{about(text)}, {name}": use.spill_stores + use.spill_loads
        for text, cubin in zip(sources, cubins, strict=True)
        for name, use in cubin.usage.items()
        if use.spill_stores + use.spill_loads
    }
    yield {
        "what": "compile", "texts": len(sources), "seconds": time.perf_counter() - begun, "spilled_bytes": spilled,
        "registers": max((use.registers for cubin in cubins for use in cubin.usage.values()), default=0), "passed": True,
    }  # fmt: skip


def items(target: Target, data: str | None = None) -> list[Item]:
    """All of the part, what matters most first."""
    types = (torch.float32, torch.float64)

    def building() -> Iterator[Row]:
        draws = scans.sizes(target)
        sources = [
            text
            for B in dict.fromkeys(rows for _, rows, _ in draws)
            for text in texts(target, target.cells, [N for _, rows, N in draws if rows == B], [B], types, layers=True)
        ]
        trained = texts(target, target.examples, target.scale.members, (1,), types)
        return build(target, [*sources, *trained, *around(("frames", "next_frame", "ctc"))])

    def again() -> Iterator[Row]:
        for cell in target.examples:
            for N in (*(target.scale.sizes[1::2] or target.scale.sizes), target.scale.beyond):
                yield scans.repeated(target, cell, N)

    cleared = shutil.which(SANITIZER) is not None and not target.emulated
    return [
        Item("compile", 25.0, building),
        *training.items(target),
        Item("sanitizer", SANITIZER_SECONDS if cleared else 0.0, lambda: sanitized(target)),
        *scans.items(target),
        *bits.items(target),
        Item("repeat", 5.0, again),
        *curve.items(target, data),
    ]


def small(target: Target) -> Iterator[Row]:
    """What compute-sanitizer watches: short scans of every class and one update, forward and backward."""
    _, B, _ = scans.sizes(target)[0]
    sizes = [N for _, rows, N in scans.sizes(target) if rows == B]
    with target.here():
        for N in sizes:
            problem = scans.Problem.drawn(target.first, 3, B, 3, N)
            for _ in range(2):  # what runs step by step is graphs the second time
                scans.by_layer(target.first, problem, BACKEND, torch.float32, target.device)
        made = training.Made.drawn("frames", 1, 4, 3, 3)
        ours = training.population(target, target.first, made, training.mixed(target.scale.members[:2], 0.01), True)
        ours.update(made.batches(torch.float32, target.device)[0])
        target.wait()
    yield {"what": "small", "sizes": sizes}


def sanitized(target: Target) -> Iterator[Row]:
    """A small run under each of the tools, side by side."""
    target.only_on_a_gpu(SANITIZER)
    program = shutil.which(SANITIZER)
    if program is None:
        raise NotReachedError(f"{SANITIZER} is not on the PATH")
    left = []
    with ThreadPoolExecutor(len(TOOLS)) as pool:
        for tool, row in zip(TOOLS, pool.map(lambda tool: _under(program, tool), TOOLS), strict=True):
            if isinstance(row, str):
                left.append(f"{tool}: {row}")
            else:
                yield row
    if left:
        raise NotReachedError("; ".join(left))


def _under(program: str, tool: str) -> Row | str:
    """What a tool found, or why it could not look."""
    command = [program, "--tool", tool, "--error-exitcode", "9", "--print-limit", "20", sys.executable, "-m",
               "lstm_odyssey.bench.gpu", "--part", "small"]  # fmt: skip
    # without torch's pool each tensor is an allocation of its own, so that a step beyond it is seen
    variables = os.environ | {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    begun = time.perf_counter()
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=SANITIZER_SECONDS,
            env=variables,
        )
    except subprocess.TimeoutExpired:
        return f"it did not end within {SANITIZER_SECONDS:.0f} s"
    said = (done.stdout + done.stderr).strip()
    summary = re.findall(r"SUMMARY:[^\n]*", said)
    if not summary or "Device not supported" in said:
        return f"it cannot look here: {said[-500:]}"
    return {
        "what": tool, "seconds": time.perf_counter() - begun, "code": done.returncode, "summary": summary,
        "said": "" if done.returncode == 0 else said[-3000:], "passed": done.returncode == 0,
    }  # fmt: skip
