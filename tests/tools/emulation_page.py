"""docs/gpu-emulation.md, written from the record of ``tests.tools.emulation``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lstm_odyssey.backends.cuda.emulation import ORDERS
from tests.emulated_scans import ROUNDINGS

Record = dict[str, Any]
WHOLE = "sm_90"
"""The architecture that has a line for each class; the others have one for each cell."""
MOST = 8
"""Rows lacking of a part that are named."""

_HEAD = """\
# The CUDA text without a GPU

The CUDA C++ that a cell's scans become is proved on a CPU: g++ compiles the very text a GPU gets, threads are fibers, and the
answer is compared with the float64 oracle. A GPU runs threads in no order that may be relied on, so each case runs in five
orders; *greedy* lets a warp run as far as it can. `make emulation` writes this page and
`reports/records/emulation-2026-11-29.json`, which has every figure.

A layer runs so too, with any cell, one's own included:

```python
import torch, lstm_odyssey as lo
from lstm_odyssey.backends.cuda.emulation import EmulatedDevice, compiler
from lstm_odyssey.backends.cuda.scan import emulated

layer = lo.RNN("cifg", 3, 5, backend="cuda")
if compiler() is not None:  # g++, or what $CXX names
    with emulated(EmulatedDevice("greedy")):
        y, state = layer(torch.randn(4, 2, 3))
```

Figures of {date}: {compiler}; NVRTC {nvrtc}. What a GPU takes for a step is not among them: nothing here was run on one.

{covered}

## Scans

Outputs, final states and all gradients, T = {T}, batches of {B} rows of different lengths and of 1. Each figure is the largest
difference from the oracle, as part of the largest number of its tensor: the worst of all orders. Bounds: float32
{float32:.0e}, float64 {float64:.0e}. In a cell with means a gradient may be all but 0 beside the terms that it is a sum of,
as that by the scale of what is normalised: such a tensor may be off by {roundings} roundings of the largest number of all
gradients, if that is more. *steps* marks an N that has no size class and runs step by step.
"""


def page(record: Record, lacking: dict[str, list[str]]) -> str:
    """The page of a record that lacks these rows."""
    case = record["case"]
    words = {"covered": _covered(record, lacking), "roundings": ROUNDINGS}
    head = _HEAD.format(**record, **{k: case[k] for k in "TB"}, **case["bounds"], **words)
    return (
        "\n".join(
            [head, *_scans(record), *_checks(record), *_faults(record), *_cubins(record), *_steps(record)]
        ).rstrip()
        + "\n"
    )


def _covered(record: Record, lacking: dict[str, list[str]]) -> str:
    """How much of everything is there, in words, and what is not."""
    parts = {part: (len(record.get(part, [])), left) for part, left in lacking.items()}
    counts = ", ".join(f"{there:,} rows of {part}" for part, (there, _) in parts.items())
    if not any(left for _, left in parts.values()):
        return f"Here is all of it: {counts}."
    lines = [f"**Not all of it is here.** There are {counts}; `make emulation` makes those that lack:", ""]
    for part, (_, left) in parts.items():
        more = f" and {len(left) - MOST} others" if len(left) > MOST else ""
        lines += [f"* {part}: {'; '.join(left[:MOST])}{more}"] if left else []
    return "\n".join(lines)


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [names, ["---"] * len(names), *rows]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def _scans(record: Record) -> list[str]:
    rows = record.get("scans", [])
    sizes = sorted({int(N) for row in rows for N in row["classes"]})
    batches: dict[tuple[str, str], list[Record]] = {}
    for row in rows:
        batches.setdefault((row["dtype"], row["cell"]), []).append(row)

    def figure(of: Sequence[Record], N: int) -> str:
        worst = [each[str(N)] for row in of for each in row["errors"].values() if str(N) in each]
        steps = "" if of[0]["classes"].get(str(N)) else " steps"
        return f"{max(worst):.0e}{steps}" if worst else ""

    lines = _table(
        ["cell", "float", *(f"N = {N}" for N in sizes)],
        [[cell, dtype, *(figure(of, N) for N in sizes)] for (dtype, cell), of in sorted(batches.items())],
    )
    lines += ["The worst of all cells, by the width of the class and the order:", ""]
    found: dict[tuple[str, int], dict[str, float]] = {}
    for row in rows:
        for order, each in row["errors"].items():
            for N, error in each.items():
                of = found.setdefault((row["dtype"], row["classes"][N]), {})
                of[order] = max(of.get(order, 0.0), error)
    return lines + _table(
        ["float", "class", *ORDERS],
        [[dtype, f"N <= {width}" if width else "steps", *(f"{each[o]:.1e}" if o in each else "" for o in ORDERS)]
         for (dtype, width), each in sorted(found.items(), key=lambda item: (item[0][0], item[0][1] or 999))],
    )  # fmt: skip


def _checks(record: Record) -> list[str]:
    about = (
        "AddressSanitizer with UndefinedBehaviorSanitizer, and ThreadSanitizer, to which a thread block's "
        "threads are threads."
    )
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in record.get("checks", []):
        case = row["check"], ", ".join(map(str, row["sizes"])), _short(row["said"]) or "nothing"
        found.setdefault(case, []).append(row["cell"])
    lines = ["## Sanitizers", "", about, ""]
    return lines + _table(
        ["check", "cells", "N", "found"],
        [[check, ", ".join(cells), sizes, said] for (check, sizes, said), cells in found.items()],
    )


def _faults(record: Record) -> list[str]:
    about = "Each is planted in the generated text and has to be killed. What the first that finds it printed:"
    lines = ["## Planted faults", "", about, ""]
    rows = []
    for row in record.get("faults", []):
        killers = [check for check, words in row["said"].items() if words]
        first = _short(row["said"][killers[0]]) if killers else "nothing"
        rows.append([row["fault"], row["cell"], ", ".join(killers) or "**none**", first])
    return lines + _table(["fault", "cell", "killed by", "printed"], rows)


def _short(words: str) -> str:
    line = " ".join(words.split())
    return (line[:160] + " ..." if len(line) > 160 else line).replace("|", "/")


def _cubins(record: Record) -> list[str]:
    rows = record.get("cubins", [])
    spilled = [row for row in rows if any(one["spilled"] for one in row["kernels"].values())]
    about = (
        "What ptxas says of both scans, as forward / backward: registers of a thread, bytes of it that are spilled, bytes of "
        "shared memory of a thread block. The tables are of programs with the most rows that a cell may have; those with fewer "
        "are in the record."
    )
    count = sum(bool(row["kernels"]) for row in rows)
    lines = ["## Cubins", "", f"{about} Of {count:,} texts {len(spilled)} spill registers.", ""]
    if spilled:
        lines += ["Where:", ""]
        lines += _table(
            ["cell", "architecture", "float", "class", "rows", "spilled"],
            [
                [
                    row["cell"],
                    row["architecture"],
                    row["dtype"],
                    f"N <= {row['width']}",
                    str(row["rows"]),
                    _both(row, "spilled"),
                ]
                for row in spilled
            ],
        )
    most: dict[str, int] = {}
    for row in rows:
        most[row["cell"]] = max(most.get(row["cell"], 0), row["rows"])
    rows = [row for row in rows if row["rows"] == most[row["cell"]]]
    whole = [row for row in rows if row["architecture"] == WHOLE]
    lines += [f"### {WHOLE}", ""]
    lines += _table(
        ["cell", "float", "class", "matrices", "cluster", "threads", "rows", "registers", "spilled", "shared memory"],
        [[row["cell"], row["dtype"], f"N <= {row['width']}",
          *(str(row[key]) for key in ("matrices", "cluster", "threads", "rows")),
          *(_both(row, what) for what in ("registers", "spilled", "shared"))] if row["kernels"] else
         [row["cell"], row["dtype"], f"N <= {row['width']}", *[""] * 4, "steps", "", ""] for row in whole],
    )  # fmt: skip
    for architecture in dict.fromkeys(row["architecture"] for row in rows if row["architecture"] != WHOLE):
        lines += [
            f"### {architecture}",
            "",
            "Registers in each class; the most spilled bytes and shared memory.",
            "",
        ]
        lines += _by_cell([row for row in rows if row["architecture"] == architecture])
    return lines


def _steps(record: Record) -> list[str]:
    """What the kernels that run step by step take: a line for each kernel that spills."""
    rows = record.get("steps", [])
    spilled = [
        [row["cell"], row["architecture"], row["dtype"], name, str(one["registers"]), str(one["spilled"])]
        for row in rows
        for name, one in row["kernels"].items()
        if one["spilled"]
    ]
    kernels, most = sum(len(row["kernels"]) for row in rows), max((int(line[-1]) for line in spilled), default=0)
    about = (
        "Kernels of a scan step by step keep no matrix, and ptxas gives them few registers for the sake of more blocks. "
        f"Of {kernels:,} kernels of {len(rows):,} texts {len(spilled):,} spill, {most} bytes at the most, loads and stores "
        "together."
    )
    names = ["cell", "architecture", "float", "kernel", "registers", "spilled"]
    return ["## Cubins, step by step", "", about, "", *(_table(names, spilled) if spilled else [])]


def _by_cell(rows: Sequence[Record]) -> list[str]:
    """A line for each cell and float type of one architecture."""
    widths = sorted({row["width"] for row in rows})
    found: dict[tuple[str, str], dict[int, Record]] = {}
    for row in rows:
        found.setdefault((row["cell"], row["dtype"]), {})[row["width"]] = row

    def most(each: dict[int, Record], what: str) -> str:
        return str(max((one[what] for row in each.values() for one in row["kernels"].values()), default=""))

    def figure(row: Record | None) -> str:
        return "" if row is None else _both(row, "registers") if row["kernels"] else "steps"

    return _table(
        ["cell", "float", *(f"N <= {width}" for width in widths), "spilled", "shared memory"],
        [[cell, dtype, *(figure(each.get(width)) for width in widths), most(each, "spilled"), most(each, "shared")]
         for (cell, dtype), each in found.items()],
    )  # fmt: skip


def _both(row: Record, what: str) -> str:
    return " / ".join(str(row["kernels"][name][what]) for name in ("forward", "backward"))
