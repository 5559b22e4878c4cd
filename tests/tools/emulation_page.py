"""docs/gpu-emulation.md, written from the record of ``tests.tools.emulation``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lstm_odyssey.backends.cuda.emulation import ORDERS

Record = dict[str, Any]

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

## Scans

Outputs, final states and all gradients, T = {T}, {B} rows of different lengths. Each figure is the largest difference from
the oracle, as part of the largest number of its tensor: the worst of all orders. Bounds: float32 {float32:.0e}, float64
{float64:.0e}; with means in a cell eight times what eager is off by, where that is more. *steps* marks an N that has no size
class and runs step by step.
"""


def page(record: Record) -> str:
    """The page of a record."""
    case = record["case"]
    head = _HEAD.format(**record, **{k: case[k] for k in "TB"}, **case["bounds"])
    return "\n".join([head, *_scans(record), *_checks(record), *_faults(record), *_cubins(record)]).rstrip() + "\n"


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [names, ["---"] * len(names), *rows]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def _scans(record: Record) -> list[str]:
    rows = sorted(record.get("scans", []), key=lambda row: (row["dtype"], row["cell"]))
    sizes = sorted({int(N) for row in rows for N in row["classes"]})

    def figure(row: Record, N: int) -> str:
        worst = [each[str(N)] for each in row["errors"].values() if str(N) in each]
        steps = "" if row["classes"].get(str(N)) else " steps"
        return f"{max(worst):.0e}{steps}" if worst else ""

    lines = _table(
        ["cell", "float", *(f"N = {N}" for N in sizes)],
        [[row["cell"], row["dtype"], *(figure(row, N) for N in sizes)] for row in rows],
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
    rows = record.get("checks", [])
    about = (
        "AddressSanitizer with UndefinedBehaviorSanitizer, and ThreadSanitizer, to which a thread block's "
        "threads are threads."
    )
    lines = ["## Sanitizers", "", about, ""]
    return lines + _table(
        ["cell", "check", "N", "found"],
        [
            [row["cell"], row["check"], ", ".join(map(str, row["sizes"])), _short(row["said"]) or "nothing"]
            for row in rows
        ],
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
    spilled = [row for row in rows if not row["right"]]
    cells: dict[str, set[str]] = {}
    for row in rows:
        cells.setdefault(row["architecture"], set()).add(row["cell"])
    about = "What ptxas says of both scans, as forward / backward; shared memory in bytes of a thread block."
    lines = ["## Cubins", "", f"{about} Of {len(rows)} texts {len(spilled)} spill registers.", ""]
    lines += [*(f"* {name}: {', '.join(sorted(own))}" for name, own in cells.items()), ""]
    if spilled:
        lines += ["Bytes that are spilled:", ""]
        lines += _table(["cell", "class", "forward", "backward"], [
            [row["cell"], _class(row), *(str(row["kernels"][name]["spilled"]) for name in ("forward", "backward"))]
            for row in spilled
        ])  # fmt: skip

    def both(row: Record, what: str) -> str:
        return " / ".join(str(row["kernels"][name][what]) for name in ("forward", "backward"))

    return lines + _table(
        ["cell", "class", "matrices", "cluster", "threads", "rows", "registers", "shared memory"],
        [[row["cell"], _class(row), *(str(row[key]) for key in ("matrices", "cluster", "threads", "rows")),
          both(row, "registers"), both(row, "shared")] if row["kernels"] else
         [row["cell"], _class(row), "", "", "", "", "steps", ""] for row in rows],
    )  # fmt: skip


def _class(row: Record) -> str:
    return f"{row['architecture']}, {row['dtype']}, N <= {row['width']}"
