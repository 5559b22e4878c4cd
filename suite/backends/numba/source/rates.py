"""Source of loops that find out how fast this processor is at what a scan is made of."""

from __future__ import annotations

from lstm_odyssey.backends.processor import vector_bytes

_SOURCE = '''
from numba import cfunc, types

from lstm_odyssey.backends.numba.vectors.calls import call, entry
from lstm_odyssey.backends.numba.vectors.functions import FUNCTIONS
from lstm_odyssey.backends.numba.vectors.types import first{size} as first, load{size} as load, store

SIZE, LANES, BYTES = {size}, {lanes}, {bytes}
tanh = FUNCTIONS[SIZE].tanh


@cfunc(types.void(types.intp), {options})
def stream(table):
    """A packed matrix [steps, columns] times one vector, again and again, to and fro if ``swing`` is 1."""
    product, repeats, zeros, a, b, c, steps, columns, swing = {stream}
    for turn in range(repeats):
        call(product, (zeros, 0, a, 0, SIZE, b, 0, c, 0, 1, steps, columns, turn % 2 * swing))


@cfunc(types.void(types.intp), {options})
def functions(table):
    """tanh of whole vectors of numbers, again and again."""
    x, y, count, repeats = {functions}
    for turn in range(repeats):
        for n in range(0, count, LANES):
            store(y + n * SIZE, tanh(load(x + n * SIZE, first(LANES))), first(LANES))
'''


def source(size: int, options: str) -> str:
    """The module's text for floats of ``size`` bytes."""
    entries = {count: ", ".join(f"entry(table, {k})" for k in range(count)) for count in (4, 9)}
    return _SOURCE.format(
        size=size,
        lanes=vector_bytes() // size,
        bytes=vector_bytes(),
        options=options,
        stream=entries[9],
        functions=entries[4],
    )
