"""The proof of the generated CUDA text that needs no GPU: every cell and size class in every order of threads, and cubins.

The very text a GPU gets is run by the emulated device and compared with the float64 oracle, each member of a population by
itself; sanitizers look for what changes no number; faults are planted and have to be killed; NVRTC says what each class takes.
Run it as

    python -m tests.tools.emulation                 # all of it, into reports/records and docs/gpu-emulation.md
    python -m tests.tools.emulation --quick         # every cell at one N a class, two orders, sm_90: what CI does
    python -m tests.tools.emulation --part cubins --cells vanilla --architectures sm_90

A row that the record has is made again only where the text that it was made of has changed, or with ``--again``. So a run that
was stopped goes on where it was, and after a change of one cell only that cell is run. Rows that the record lacks come first.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from lstm_odyssey.backends import BACKENDS
from lstm_odyssey.backends.cuda import emulation
from lstm_odyssey.backends.cuda.emulation import ORDERS
from lstm_odyssey.backends.cuda.running import nvrtc
from lstm_odyssey.plugins.registry import variant_names
from lstm_odyssey.reports.contract.files import write_text
from tests.emulated_scans import BOUNDS, CLASSES, FLOATS, Case
from tests.tools import emulation_page
from tests.tools.emulation_rows import PARTS, Key, Row, key

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "reports" / "records" / "emulation-2026-11-29.json"
PAGE = ROOT / "docs" / "gpu-emulation.md"

SIZES = BACKENDS["cuda"].sizes
"""The N that the backend's record names: of each class, and one beyond them."""

ARCHITECTURES = ("sm_90", *(name for name in nvrtc.ARCHITECTURES if name != "sm_90"))
"""In the order in which they are worth having."""

BATCHES = (3, 1)
"""Rows of different lengths in one program, and the one that a study's batches have."""

SECONDS = 10.0
"""Between two writings of the record."""


def everything() -> argparse.Namespace:
    """What is asked for when nothing is named."""
    return options().parse_args([])


def lacking(record: Row) -> dict[str, list[str]]:
    """Of each part the rows that a record of everything has and this one has not, by name."""
    asked, found = everything(), {}
    for part, make in PARTS.items():
        known = {key(row): row for row in record.get(part, [])}
        found[part] = [work.name for work in make(asked) if key(work.keys) not in known]
        for row in known.values() if part == "scans" else ():
            missed = [N for N in asked.sizes if str(N) not in row["classes"]]
            missed += [order for order in asked.orders if order not in row["errors"]]
            found[part] += (
                [f"{row['cell']}, {row['dtype']}, {row['batch']}: {', '.join(map(str, missed))}"] if missed else []
            )
    return found


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
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--architectures", nargs="+", choices=nvrtc.ARCHITECTURES, default=list(ARCHITECTURES))
    parser.add_argument("--again", action="store_true", help="make rows again that the record has")
    parser.add_argument("--out", type=Path, default=RECORD)
    parser.add_argument("--page", type=Path, default=PAGE)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the parts; 1 if anything is wrong."""
    asked, console = options().parse_args(arguments), Console()
    if emulation.compiler() is None or nvrtc.missing():
        console.print(f"g++: {emulation.compiler() or 'not found'}; NVRTC: {nvrtc.missing() or 'there'}. Install both.")
        return 1
    parts = asked.part or list(PARTS)
    if asked.quick:
        parts, asked.floats, asked.orders = asked.part or ["scans", "cubins"], ["float32"], ["shuffled 1", "greedy"]
        asked.sizes, asked.architectures, asked.batches = list(CLASSES), ["sm_90"], [3]
    record = {} if asked.quick or not asked.out.exists() else json.loads(asked.out.read_text(encoding="utf-8"))
    rows = {part: {key(row): row for row in record.get(part, [])} for part in parts}
    every = [(part, one) for part in parts for one in PARTS[part](asked)]
    # what the record lacks comes before what may have changed
    every.sort(key=lambda each: key(each[1].keys) in rows[each[0]])
    record, made, wrong, written = {**record, **_about()}, dict.fromkeys(parts, 0), 0, time.monotonic()
    with Progress(console=console) as bar:
        task = bar.add_task("rows", total=len(every))
        try:
            for part, one in every:
                of, known = one.of(), rows[part].get(key(one.keys))
                if asked.again or known is None or known.get("of") != of:
                    known = rows[part][key(one.keys)] = {**one.keys, "of": of, **one.make()}
                    made[part] += 1
                if not known["right"]:
                    wrong += 1
                    bar.console.print(f"WRONG: {part}, {one.name}: {known}", markup=False)
                bar.advance(task)
                if time.monotonic() - written > SECONDS:
                    written = _written(record, rows, asked)
        finally:
            _written(record, rows, asked)
    for part in parts:
        total = sum(each == part for each, _ in every)
        rest = "" if made[part] == total else ", the others stand in the record"
        console.print(f"{part}: {made[part]} of {total} rows made{rest}", markup=False)
    return 1 if wrong else 0


def _written(record: Row, rows: dict[str, dict[Key, Row]], asked: argparse.Namespace) -> float:
    """Put the rows into the record, and it and its page on disk; what time it is then."""
    for part, each in rows.items():
        record[part] = sorted(each.values(), key=lambda row: [*map(str, key(row)[:-1]), row.get("width", 0)])
    if not asked.quick:
        write_text(asked.out, dumped(record))
        write_text(asked.page, emulation_page.page(record, lacking(record)))
    return time.monotonic()


def dumped(record: Row) -> str:
    """As JSON, a line for each row."""
    lines = [
        f" {json.dumps(name)}: "
        + ("[\n" + ",\n".join(f"  {json.dumps(row)}" for row in value) + "\n ]" if name in PARTS else json.dumps(value))
        for name, value in record.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


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
