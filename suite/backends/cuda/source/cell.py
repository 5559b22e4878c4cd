"""The text of a cell's scans in one size class, and of the matrix products around them."""

from __future__ import annotations

from lstm_odyssey.backends.cuda.classes import SizeClass
from lstm_odyssey.backends.cuda.source.backward import Backward
from lstm_odyssey.backends.cuda.source.blocks import prelude
from lstm_odyssey.backends.cuda.source.forward import Forward
from lstm_odyssey.backends.plan import Plan


def source(plan: Plan, layout: SizeClass, rows: int) -> str:
    """The kernels ``forward`` and ``backward``."""
    head = f'#include "device.h"\n\n// cell {plan.graph.name or "?"}, {layout.name}\n{prelude(layout, rows)}'
    return "\n\n".join([head, Forward(plan, layout, rows).text(), Backward(plan, layout, rows).text()]) + "\n"
