"""The cells as this Python reads them: ``python -m tests.tools.pythons``. Needs neither torch nor an installed package.

A cell is traced from its bytecode and a frame's locals, which differ between versions of Python; its signature is part of
every trial's id. So the line that this prints must be the same under each of them, but for the version.
"""

import hashlib
import importlib
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def digest() -> tuple[int, str]:
    """How many cells there are, and a hash of their names, signatures and equations."""
    from lstm_odyssey.cell import Cell

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    points = project["entry-points"]["lstm_odyssey.variants"]
    read = hashlib.sha256()
    for name, target in sorted(points.items()):
        module, _, attribute = target.partition(":")
        cell = Cell(name=name, variant=getattr(importlib.import_module(module), attribute))
        read.update(f"{name} {cell.signature} {list(cell.equations)}\n".encode())
    return len(points), read.hexdigest()


def main() -> None:
    """Read the tree as the package it is mapped to."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder, "lstm_odyssey")
        package.mkdir()
        for there in [*(ROOT / "suite").iterdir(), *(ROOT / name for name in ("variants", "tasks", "reports"))]:
            (package / there.name).symlink_to(there)
        sys.path.insert(0, folder)
        count, read = digest()
    print(f"{count} cells, {read[:16]}, Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
