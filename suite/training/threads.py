"""How torch computes while networks train: with one thread, and without subnormal numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lstm_odyssey.backends.subnormals import flushes


@contextmanager
def one_thread() -> Iterator[None]:
    """One intra-op thread, restored afterwards: sums keep one order, and workers do not fight for cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def without_subnormals() -> Iterator[None]:
    """Numbers below the least normal one are 0 in this thread, restored afterwards; on processors that can.

    A network that explodes has gates shut so far that their gradients are subnormal, and a processor takes a hundred times as
    long for those: an epoch of ``noaf`` with such weights took 2.6 to 3.4 times that of ``vanilla``, and takes as long without.
    """
    import torch

    before = flushes()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
