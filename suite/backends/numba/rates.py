"""What compiled kernels reach by themselves: the stream of a matrix, a matrix product, functions. See ``bench.limit``."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lstm_odyssey.backends.numba.cache import module
from lstm_odyssey.backends.numba.source import products, rates
from lstm_odyssey.backends.processor import vector_bytes

OPTIONS = 'nopython=True, error_model="numpy", cache={cached}'
SIZE = 4

Numbers = np.ndarray[Any, Any]


def _numbers(count: int) -> Numbers:
    """So many float32 numbers that begin where a vector may, none of them 0 or small."""
    room = np.ones(count + vector_bytes() // SIZE, np.float32)
    start = -room.ctypes.data % vector_bytes() // SIZE
    return room[start : start + count]


def _padded(columns: int) -> int:
    lanes = vector_bytes() // SIZE
    return -(-columns // lanes) * lanes


def _called(function: Any, entries: Sequence[int], *held: Numbers) -> Callable[[], None]:
    """A call with a table of entries; it keeps alive what they are addresses of."""
    table, run = array("q", entries), function.ctypes
    address = table.buffer_info()[0]

    def call(_: Any = (table, held)) -> None:
        run(address)

    return call


def _module() -> Any:
    return module(rates.source(SIZE, OPTIONS), "rates4")


def _products() -> Any:
    return module(products.source(SIZE, OPTIONS), "products4")


def stream(lines: int, columns: int, repeats: int, swing: bool) -> Callable[[], None]:
    """A matrix [lines, columns] read so many times, each time to be multiplied by a vector."""
    zeros, a, b, c = (
        _numbers(count) for count in (_padded(columns), lines, lines * _padded(columns), _padded(columns))
    )
    zeros[:] = 0
    entries = [
        _products().product.address,
        repeats,
        *(each.ctypes.data for each in (zeros, a, b, c)),
        lines,
        columns,
        swing,
    ]
    return _called(_module().stream, entries, zeros, a, b, c)


def multiply(size: int) -> Callable[[], None]:
    """Two matrices [size, size] multiplied; one of them is packed, as it is in a scan."""
    zeros, a, b, c = (
        _numbers(count) for count in (_padded(size), size * size, size * _padded(size), size * _padded(size))
    )
    zeros[:] = 0
    run = ctypes.CFUNCTYPE(None, *[ctypes.c_ssize_t] * 13)(_products().product.address)
    arguments = (zeros.ctypes.data, 0, a.ctypes.data, size * SIZE, SIZE, b.ctypes.data, 0, c.ctypes.data, size * SIZE, size,
                 size, size, 0)  # fmt: skip

    def call(_: Any = (zeros, a, b, c)) -> None:
        run(*arguments)

    return call


def functions(count: int, repeats: int) -> Callable[[], None]:
    """tanh of so many numbers, so many times."""
    x, y = (_numbers(_padded(count)) for _ in range(2))
    return _called(_module().functions, [x.ctypes.data, y.ctypes.data, count, repeats], x, y)
