"""The proof of the generated CUDA text that needs no GPU: every cell and size class in every order of threads, and cubins.

The very text a GPU gets is run by the emulated device and compared with the float64 oracle, each member of a population by
itself; sanitizers look at one cell of each kind; faults are planted and have to be killed; NVRTC says what each class takes.
Run it as

    python -m tests.tools.emulation                 # all of it, into reports/records and docs/gpu-emulation.md
    python -m tests.tools.emulation --quick         # every cell at one N a class, two orders, sm_90: what CI does
    python -m tests.tools.emulation --part cubins --cells vanilla --architectures sm_90
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from lstm_odyssey.backends.cuda import emulation, nvrtc
from lstm_odyssey.backends.cuda.classes import WIDTHS
from lstm_odyssey.backends.cuda.emulation import ORDERS, EmulatedDevice
from lstm_odyssey.backends.cuda.kernels import kernel
from lstm_odyssey.backends.cuda.launch import KernelError
from lstm_odyssey.backends.lowering import lower
from lstm_odyssey.plugins.registry import as_cell, variant_names
from tests.emulated_scans import BEYOND, BOUNDS, CLASSES, FLOATS, Case, answer, drawn, errors, fits
from tests.planted_faults import CHECKS, FAULTS, printed, said
from tests.tools import emulation_page

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "reports" / "records" / "emulation-2026-11-29.json"
PAGE = ROOT / "docs" / "gpu-emulation.md"

SIZES = (1, 3, 33, 97, 100, 131, 200, BEYOND)
"""The N that the backend's record names."""

KINDS = ("vanilla", "gru", "fgr", "minlstm")
"""One cell of each kind: a sum a gate, two rounds in a step, many matrices, none."""

PARTS = ("scans", "checks", "faults", "cubins")
Row = dict[str, Any]


def scans(asked: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Row]]]:
    """Each cell and float type: the error of each N in each order."""
    for cell in asked.cells:
        for dtype in asked.floats:
            yield f"{cell}, {dtype}", lambda cell=cell, dtype=dtype: _scan(cell, dtype, asked)


def _scan(cell: str, dtype: str, asked: argparse.Namespace) -> Row:
    problem, found = drawn(cell, Case(asked.sizes, dtype=dtype)), {}
    oracle, cancels = None, any(node.op == "mean" for node in as_cell(cell).graph.nodes)
    for order in asked.orders:
        got = answer(problem, EmulatedDevice(order))
        if oracle is None or any(not torch.equal(got[name], value) for name, value in oracle[0].items()):
            oracle = got, errors(problem, got, cancels=cancels)
        found[order] = dict(zip(map(str, asked.sizes), oracle[1], strict=True))
    widths = {str(N): one.width if (one := fits(cell, N, dtype)) else 0 for N in asked.sizes}
    right = all(value <= BOUNDS[dtype] for each in found.values() for value in each.values())
    return {"cell": cell, "dtype": dtype, "classes": widths, "errors": found, "right": right}


def checks(asked: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Row]]]:
    """The sanitizers over one cell of each kind, in a block and in a cluster."""
    for cell in [cell for cell in KINDS if cell in asked.cells]:
        for check in CHECKS[len(ORDERS) :]:
            yield f"{cell}, {check}", lambda cell=cell, check=check: _check(cell, check)


def _check(cell: str, check: str) -> Row:
    sizes, words = (7, 131), ""
    problem = drawn(cell, Case(sizes, T=2))
    try:
        answer(problem, EmulatedDevice("shuffled 1", **{check: True}))
    except KernelError as error:
        words = printed(str(error))
    return {"cell": cell, "check": check, "sizes": sizes, "said": words, "right": not words}


def faults(asked: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Row]]]:
    """Each planted fault: what every order and sanitizer says of it."""
    for name in FAULTS:
        yield name, lambda name=name: _fault(name)


def _fault(name: str) -> Row:
    fault = FAULTS[name]
    words = {check: said(fault, check) for check in dict.fromkeys((*ORDERS, fault.seen))}
    return {"fault": name, "cell": FAULTS[name].cell, "said": words, "right": bool(words[FAULTS[name].seen])}


def cubins(asked: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Row]]]:
    """Each cell, architecture, float type and class: registers, shared memory, spills."""
    for architecture in asked.architectures:
        for cell in (
            asked.cells if architecture == "sm_90" else [cell for cell in asked.cells if cell in asked.elsewhere]
        ):
            for dtype in asked.floats:
                for width in WIDTHS:
                    yield (f"{cell}, {architecture}, {dtype}, N <= {width}",
                           lambda *given, c=cell, a=architecture, d=dtype, w=width: cubin(c, a, d, w))  # fmt: skip


def cubin(cell: str, architecture: str, dtype: str, width: int) -> Row:
    """What a cell's scans take in one class, with as many rows as a program may have."""
    made = kernel(lower(as_cell(cell).graph), FLOATS[dtype], architecture)
    layout, row = made.layout(width), {"cell": cell, "architecture": architecture, "dtype": dtype, "width": width}
    if layout is None:
        return {**row, "kernels": {}, "right": True}
    compiled = made.compiled(layout, 4)
    usage = nvrtc.compiled(compiled.text, architecture).usage
    each = {
        name: {"registers": one.registers, "spilled": one.spill_stores + one.spill_loads, "stack": one.stack,
               "shared": compiled.shared[name == "backward"] + one.shared}
        for name, one in usage.items()
    }  # fmt: skip
    taken = {"matrices": layout.matrices, "cluster": layout.cluster, "threads": layout.threads, "rows": compiled.rows}
    return {**row, **taken, "kernels": each, "right": not any(one["spilled"] for one in each.values())}


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="one N a class, two orders, float32, sm_90; nothing is written"
    )
    parser.add_argument("--part", action="append", choices=PARTS, help="only this; may be given several times")
    parser.add_argument("--cells", nargs="+", default=list(variant_names()))
    parser.add_argument("--floats", nargs="+", choices=list(FLOATS), default=list(FLOATS))
    parser.add_argument("--orders", nargs="+", choices=ORDERS, default=list(ORDERS))
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--architectures", nargs="+", choices=nvrtc.ARCHITECTURES, default=list(nvrtc.ARCHITECTURES))
    parser.add_argument(
        "--elsewhere", nargs="+", help="cells that are compiled for other architectures than sm_90; all"
    )
    parser.add_argument("--out", type=Path, default=RECORD)
    parser.add_argument("--page", type=Path, default=PAGE)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the parts; 1 if anything is wrong."""
    asked, console = options().parse_args(arguments), Console()
    asked.elsewhere = asked.elsewhere or asked.cells
    if emulation.compiler() is None or nvrtc.missing():
        console.print(f"g++: {emulation.compiler() or 'not found'}; NVRTC: {nvrtc.missing() or 'there'}. Install both.")
        return 1
    parts = asked.part or list(PARTS)
    if asked.quick:
        parts, asked.floats, asked.orders = asked.part or ["scans", "cubins"], ["float32"], ["shuffled 1", "greedy"]
        asked.sizes, asked.architectures = list(CLASSES), ["sm_90"]
    record = {} if asked.quick or not asked.out.exists() else json.loads(asked.out.read_text(encoding="utf-8"))
    wrong = 0
    with Progress(console=console) as bar:
        for part in parts:
            work = list(globals()[part](asked))
            rows, task, begun = [], bar.add_task(part, total=len(work)), sum(os.times()[:4])
            for name, make in work:
                row = make()
                if not row["right"]:
                    wrong += 1
                    bar.console.print(f"WRONG: {part}, {name}: {row}", markup=False)
                rows.append(row)
                bar.advance(task)
            seconds = sum(os.times()[:4]) - begun
            bar.console.print(f"{part}: {len(rows)} of {len(work)}, {seconds:.0f} CPU s", markup=False)
            record = {**record, **_about(), part: [*_others(record.get(part, []), rows), *rows]}
            if not asked.quick:
                asked.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
                asked.page.write_text(emulation_page.page(record), encoding="utf-8")
    return 1 if wrong else 0


def _others(before: list[Row], now: list[Row]) -> list[Row]:
    """The rows of an earlier call that this one has not made again."""
    keys = ("cell", "dtype", "check", "fault", "architecture", "width")
    made = {tuple(row.get(key) for key in keys) for row in now}
    return [row for row in before if tuple(row.get(key) for key in keys) not in made]


def _about() -> Row:
    version = subprocess.run(
        [str(emulation.compiler()), "--version"], capture_output=True, text=True, check=True
    ).stdout
    return {
        "date": datetime.datetime.fromtimestamp(time.time(), datetime.UTC).date().isoformat(),
        "compiler": version.partition("\n")[0],
        "nvrtc": ".".join(map(str, nvrtc.version())),
        "case": {"T": Case((1,)).T, "B": Case((1,)).B, "M": Case((1,)).M, "bounds": BOUNDS},
    }


if __name__ == "__main__":
    sys.exit(main())
