"""The rows of ``tests.tools.emulation``: what each part has to make, what a row depends on, and how it is made."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lstm_odyssey.backends.cuda import emulation
from lstm_odyssey.backends.cuda.classes import WIDTHS, rows_of
from lstm_odyssey.backends.cuda.emulation import ORDERS, EmulatedDevice
from lstm_odyssey.backends.cuda.kernels import Compiled, kernel
from lstm_odyssey.backends.cuda.running import kept, nvrtc
from lstm_odyssey.backends.cuda.running.launch import KernelError
from lstm_odyssey.backends.cuda.source import products
from lstm_odyssey.backends.lowering import lower
from lstm_odyssey.plugins.registry import as_cell
from tests.cells import ODD
from tests.emulated_scans import BOUNDS, FLOATS, Case, answer, drawn, errors, fits
from tests.planted_faults import CHECKS, FAULTS, Fault, printed, said

KINDS = ("vanilla", "gru", "fgr", "minlstm")
"""One cell of each kind: a sum a gate, two rounds in a step, many matrices, none."""

KEYS = ("cell", "dtype", "batch", "check", "fault", "architecture", "rows", "width")
"""What tells a row of a part from the others."""

NAMED = {("sm_100", "float32", 2, 160): 16}
"""Architecture, float, rows and width where ptxas spills, and how many bytes at most, stores and loads of a step together.

Of some cells it takes more registers for the backward pass of two rows than for that of four. Nothing else may spill.
"""

Row = dict[str, Any]
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Work:
    """One row that is to be made.

    Args:
        keys: its entries among ``KEYS``.
        of: what it depends on, hashed: a row of the record with the same one is kept.
        make: the rest of the row.
    """

    keys: Row
    of: Callable[[], str]
    make: Callable[[], Row]

    @property
    def name(self) -> str:
        """As a message has it."""
        return ", ".join(map(str, self.keys.values()))


def key(row: Row) -> Key:
    """What tells it from other rows of its part."""
    return tuple(row.get(name) for name in KEYS)


def hashed(*parts: Any) -> str:
    """Of texts and numbers; short, since two rows of one cell are all it has to tell apart."""
    return kept.key(*map(str, parts))[:12]


def texts(cell: str, dtype: str, case: Case, architecture: str = EmulatedDevice.architecture) -> list[str]:
    """All that the emulated device compiles for a case: the scans of each class, and the products around them."""
    made = kernel(lower(as_cell(cell).graph), FLOATS[dtype], architecture)
    layouts = dict.fromkeys(map(made.layout, case.sizes))
    scans = [made.stepwise_text if one is None else made.compiled(one, case.B).text for one in layouts]
    return [*scans, products.source(made.size), *map(kept.header, emulation.HEADERS)]


def scans(asked: argparse.Namespace) -> Iterator[Work]:
    """Each cell, float type and batch: the error of each N in each order."""
    for batch, dtype, cell in itertools.product(asked.batches, asked.floats, asked.cells):
        case = Case(tuple(asked.sizes), B=batch, dtype=dtype)
        yield Work(
            {"cell": cell, "dtype": dtype, "batch": batch},
            lambda case=case, cell=cell, dtype=dtype: hashed(case, asked.orders, *texts(cell, dtype, case)),
            lambda case=case, cell=cell: _scan(cell, case, asked.orders),
        )


def _scan(cell: str, case: Case, orders: Sequence[str]) -> Row:
    problem, found, dtype = drawn(cell, case), {}, case.dtype
    oracle, cancels = None, any(node.op == "mean" for node in as_cell(cell).graph.nodes)
    for order in orders:
        got = answer(problem, EmulatedDevice(order))
        if oracle is None or any(not torch.equal(got[name], value) for name, value in oracle[0].items()):
            oracle = got, errors(problem, got, cancels=cancels)
        found[order] = dict(zip(map(str, case.sizes), oracle[1], strict=True))
    widths = {str(N): one.width if (one := fits(cell, N, dtype)) else 0 for N in case.sizes}
    right = all(value <= BOUNDS[dtype] for each in found.values() for value in each.values())
    return {"classes": widths, "errors": found, "right": right}


WATCHED = Case((7, 131), T=2)
"""What the sanitizers look at: a block and a cluster."""


def checks(asked: argparse.Namespace) -> Iterator[Work]:
    """AddressSanitizer, UndefinedBehaviorSanitizer: over every cell. ThreadSanitizer, which is slow: over one of each kind."""
    for check in CHECKS[len(ORDERS) :]:
        for cell in asked.cells if check == "sanitize" else [cell for cell in KINDS if cell in asked.cells]:
            yield Work(
                {"cell": cell, "check": check},
                lambda cell=cell: hashed(WATCHED, *texts(cell, WATCHED.dtype, WATCHED)),
                lambda cell=cell, check=check: _check(cell, check),
            )


def _check(cell: str, check: str) -> Row:
    problem, words = drawn(cell, WATCHED), ""
    try:
        answer(problem, EmulatedDevice("shuffled 1", **{check: True}))
    except KernelError as error:
        words = printed(str(error))
    return {"sizes": WATCHED.sizes, "said": words, "right": not words}


def faults(asked: argparse.Namespace) -> Iterator[Work]:
    """Each planted fault: what every order and sanitizer says of it."""
    for name, fault in FAULTS.items():
        cell = ODD.get(fault.cell, fault.cell)
        yield Work(
            {"fault": name, "cell": fault.cell},
            lambda fault=fault, cell=cell: hashed(
                fault, *texts(cell, fault.case.dtype, fault.case, fault.architecture)
            ),
            lambda fault=fault: _fault(fault),
        )


def _fault(fault: Fault) -> Row:
    words = {check: said(fault, check) for check in dict.fromkeys((*ORDERS, fault.seen))}
    return {"said": words, "right": bool(words[fault.seen])}


def cubins(asked: argparse.Namespace) -> Iterator[Work]:
    """Each cell, architecture, float type, class and number of rows: registers, shared memory, spills.

    Every cell on the first architecture, then one of each kind on the others, then the rest.
    """
    kinds = [cell for cell in KINDS if cell in asked.cells]
    rest = [cell for cell in asked.cells if cell not in kinds]
    groups = [(asked.architectures[:1], asked.cells), (asked.architectures[1:], kinds), (asked.architectures[1:], rest)]
    for architectures, cells in groups:
        for architecture, dtype, cell, width in itertools.product(architectures, asked.floats, cells, WIDTHS):
            for rows in numbers_of_rows(cell):
                keys = {"cell": cell, "architecture": architecture, "dtype": dtype, "rows": rows, "width": width}
                yield Work(
                    keys,
                    lambda keys=keys: hashed(nvrtc.version(), kept.header("device.h"), _launched(**keys)),
                    lambda keys=keys: cubin(**keys),
                )


def numbers_of_rows(cell: str) -> list[int]:
    """How many rows a program of a cell may have, the most first."""
    matrices = kernel(lower(as_cell(cell).graph), torch.float32, EmulatedDevice.architecture).matrices
    return sorted({rows_of(batch, matrices) for batch in (1, 2, 4)}, reverse=True)


def _launched(cell: str, architecture: str, dtype: str, rows: int, width: int) -> Compiled | None:
    """A cell's scans in one class, with so many rows a program; None where no class fits."""
    made = kernel(lower(as_cell(cell).graph), FLOATS[dtype], architecture)
    layout = made.layout(width)
    return None if layout is None else made.compiled(layout, rows)


def cubin(cell: str, architecture: str, dtype: str, rows: int, width: int) -> Row:
    """What a cell's scans take in one class."""
    compiled = _launched(cell, architecture, dtype, rows, width)
    if compiled is None:
        return {"kernels": {}, "right": True}
    usage, layout = nvrtc.compiled(compiled.text, architecture).usage, compiled.layout
    each = {
        name: {"registers": one.registers, "spilled": one.spill_stores + one.spill_loads, "stack": one.stack,
               "shared": compiled.shared[name == "backward"] + one.shared}
        for name, one in usage.items()
    }  # fmt: skip
    taken = {"matrices": layout.matrices, "cluster": layout.cluster, "threads": layout.threads}
    named = NAMED.get((architecture, dtype, rows, width), 0)
    return {**taken, "kernels": each, "right": all(one["spilled"] <= named for one in each.values())}


def steps(asked: argparse.Namespace) -> Iterator[Work]:
    """Each cell, architecture and float type: registers and spills of the kernels that run step by step."""
    for architecture, dtype, cell in itertools.product(asked.architectures, asked.floats, asked.cells):
        keys = {"cell": cell, "architecture": architecture, "dtype": dtype}
        yield Work(
            keys,
            lambda keys=keys: hashed(nvrtc.version(), kept.header("device.h"), _stepwise(**keys)),
            lambda keys=keys: step(**keys),
        )


def _stepwise(cell: str, architecture: str, dtype: str) -> str:
    return kernel(lower(as_cell(cell).graph), FLOATS[dtype], architecture).stepwise_text


def step(cell: str, architecture: str, dtype: str) -> Row:
    """What a cell's kernels take step by step: few registers are ptxas's choice, for more blocks, and may cost a spill."""
    usage = nvrtc.compiled(_stepwise(cell, architecture, dtype), architecture).usage
    each = {
        name: {"registers": one.registers, "spilled": one.spill_stores + one.spill_loads} for name, one in usage.items()
    }
    return {"kernels": each, "right": bool(each)}


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Work]]] = {
    "scans": scans, "checks": checks, "faults": faults, "cubins": cubins, "steps": steps,
}  # fmt: skip
"""By name, in the order in which they are made."""
