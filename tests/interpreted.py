"""The text of a compiled loss of sequences, run as plain Python: a wrong one is tried out without compiling it.

Addresses are those of numpy's arrays; a vector is an array of the text's own width.
"""

from __future__ import annotations

import ctypes

import numpy as np

from lstm_odyssey.backends.numba.source import ctc
from lstm_odyssey.backends.processor import vector_bytes

WIDTH = vector_bytes() // 8


def _line(address, kind=ctypes.c_double, count=WIDTH):
    return np.ctypeslib.as_array((kind * count).from_address(int(address)))


def _load(address, keep):
    count = int(keep.sum())
    return np.concatenate([_line(address, count=count), np.zeros(WIDTH - count)]) if count else np.zeros(WIDTH)


def _store(address, value, keep):
    if count := int(keep.sum()):
        _line(address, count=count)[:] = value[:count]


def _write(address, value):
    _line(address, count=1)[0] = value


def _write_entry(table, number, value):
    _line(table + 8 * number, ctypes.c_int64, 1)[0] = value


WORDS = {
    "SIZE": 8, "inf": np.inf, "nan": np.nan, "njit": lambda **_: lambda function: function, "load8": _load, "widened": _load,
    "store": _store, "narrowed": _store, "first8": lambda count: np.arange(WIDTH) < count,
    "fill8": lambda value: np.full(WIDTH, value), "only": np.where, "total": np.sum, "greatest": np.fmax.reduce,
    "maximum8": np.maximum, "exp8": np.exp, "exponential": np.exp, "logarithm": np.log, "read": lambda at: _line(at)[0],
    "read8": lambda at: _line(at)[0], "write": _write, "write8": _write, "write_entry": _write_entry,
    "entry": lambda table, number: int(_line(table + 8 * number, ctypes.c_int64, 1)[0]),
}  # fmt: skip


def sequence_loss(text, logits, labels):
    """Loss and gradient of one sequence: logits [T, K] in float64, labels counted from 1."""
    scope = dict(WORDS)
    exec(compile(text, "a loss", "exec"), scope)
    T, K = logits.shape
    logits, labels = np.ascontiguousarray(logits), np.array([*labels, 0], np.int64)
    gradient, memory = np.full((T, K), 7.0), np.full(ctc.memory(T, len(labels), K), np.nan)
    with np.errstate(all="ignore"):
        loss = scope["sequence_loss"](
            logits.ctypes.data, labels.ctypes.data, len(labels), T, K, 8 * K, gradient.ctypes.data, memory.ctypes.data
        )
    return float(loss), gradient
