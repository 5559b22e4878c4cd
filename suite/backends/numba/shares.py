"""Scans of one or several networks, their work shared among threads; ``parts`` says why no bit changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from math import ceil

import numpy as np
import torch
from torch import Tensor

from lstm_odyssey.backends.numba import cores
from lstm_odyssey.backends.numba.member import Kernel, Member, Sizes, member
from lstm_odyssey.backends.numba.memory import LONG_SCAN, Block, borrow, give_back
from lstm_odyssey.backends.numba.parts import Ahead, Back, Part, parts, product_parts
from lstm_odyssey.backends.numba.source.blocks import SCAN, SUMMED_ROWS
from lstm_odyssey.backends.numba.source.forward import AHEAD_ROWS

PIECE_FRAMES, PIECE_STEPS = 2048, 32
"""A forward pass without a gradient goes over so many frames at a time, and over no fewer steps: matrices are packed anew in
each piece. What it needs meanwhile stays in the caches."""


def shared(work: float) -> bool:
    """Whether scans of so much work are shared among threads."""
    return cores.threads(work) > 1


def _divided(works: Sequence[float], threads: int) -> list[int]:
    """In how many parts each network goes, so that the threads have about equal work."""
    if threads == 1:
        return [1] * len(works)
    each = sum(works) / threads
    return [max(1, ceil(work / each - 1e-6)) for work in works]


def _run(jobs: list[tuple[float, Callable[[], None]]], threads: int) -> None:
    """The largest first."""
    cores.run([job for _, job in sorted(jobs, key=lambda each: -each[0])], threads)


def ahead(calls: Sequence[tuple[Member, Ahead]]) -> None:
    """Forward passes whose results and memory are kept for backward passes."""
    if len(calls) == 1 and cores.little(calls[0][0].work):
        one, given = calls[0]
        one.forward(given, None if one.blocks == 1 else parts(one.sizes[1], 1)[0])
        return
    works = [float(one.work) for one, _ in calls]
    threads, jobs = cores.threads(sum(works)), list[tuple[float, Callable[[], None]]]()
    for (one, given), count, work in zip(calls, _divided(works, threads), works, strict=True):
        if one.blocks == 1:
            jobs.append((work, partial(one.forward, given)))
        else:
            jobs += [(work / count, partial(one.forward, given, part)) for part in parts(one.sizes[1], count)]
    _run(jobs, threads)


def infer(calls: Sequence[tuple[Kernel, Sizes, Ahead]]) -> None:
    """Forward passes without a backward pass to come: piece by piece of the frames, so that they need memory for one.

    A piece is of whole rounds of the input product, and the last no shorter than a long scan: the bits are those of the whole.
    Of ``kept`` the addresses are not looked at.
    """
    if len(calls) == 1 and calls[0][1][0] * calls[0][1][1] <= PIECE_FRAMES and calls[0][1][1] < 2 * SUMMED_ROWS:
        made, sizes, given = calls[0]
        whole = member(made, sizes)
        if cores.little(whole.work):
            block = borrow(whole.kept_bytes)
            try:
                whole.forward(given._replace(kept=block.address))
            finally:
                give_back(block)
            return
    works = [float(member(made, sizes).work) for made, sizes, _ in calls]
    threads, jobs, held = cores.threads(sum(works)), list[tuple[float, Callable[[], None]]](), list[Block]()
    try:
        for (made, sizes, given), count, work in zip(calls, _divided(works, threads), works, strict=True):
            pieces, kept = _pieces(made, sizes, given), dict[Member, Block]()
            for piece, _ in pieces:
                if piece not in kept:
                    kept[piece] = borrow(piece.kept_bytes)
                    held.append(kept[piece])
            todo = [(piece, of._replace(kept=kept[piece].address)) for piece, of in pieces]
            each = parts(sizes[1], count) if pieces[0][0].blocks > 1 else (None,)
            jobs += [(work / len(each), partial(_in_turn, todo, part)) for part in each]
        _run(jobs, threads)
    finally:
        for block in held:
            give_back(block)


def _in_turn(pieces: Sequence[tuple[Member, Ahead]], part: Part | None) -> None:
    for piece, given in pieces:
        piece.forward(given, part)


def _pieces(made: Kernel, sizes: Sizes, given: Ahead) -> list[tuple[Member, Ahead]]:
    T, B, N, M = sizes
    (a, c), size = made.cuts, made.size
    rounds = 2 * max(2, AHEAD_ROWS // B)
    most = -(-max(PIECE_FRAMES // B, PIECE_STEPS) // rounds) * rounds
    start, pieces = 0, []
    while start < T:
        steps = most if T - start - most >= LONG_SCAN else T - start
        inputs = [value + start * B * M * size for value in given.addresses[:a]]
        addresses = [*inputs, *given.addresses[a:c], *(given.final if start else given.addresses[c:])]
        y = given.y + start * B * N * size
        at = Ahead(addresses, given.active and given.active + start * B, 0, y, given.final)
        pieces.append((member(made, (steps, B, N, M)), at))
        start += steps
    return pieces


def back(calls: Sequence[tuple[Member, Back]]) -> None:
    """Backward passes; of one with several blocks of rows, gradients of vectors are the sums of each, ``gap`` bytes apart."""
    if len(calls) == 1 and calls[0][0].blocks == 1 and cores.little(2 * calls[0][0].work):
        calls[0][0].backward(calls[0][1])
        return
    works = [2.0 * one.work for one, _ in calls]
    threads, held = cores.threads(sum(works)), list[Block]()
    steps, after = list[tuple[float, Callable[[], None]]](), list[tuple[float, Callable[[], None]]]()
    try:
        for (one, given), count, work in zip(calls, _divided(works, threads), works, strict=True):
            rows, gap = one.sizes[1], vector_floats(one) * one.made.size
            if count == 1:
                whole = parts(rows, 1, gap)[0] if one.blocks > 1 else None
                steps.append((work, partial(one.backward, given, whole)))
                continue
            held.append(borrow(one.areas.deltas * one.made.size))
            given = given._replace(deltas=held[-1].address)
            each = parts(rows, count, gap, SCAN)
            steps += [(work / len(each), partial(one.backward, given, part)) for part in each]
            after += [(work / count, partial(one.backward, given, part)) for part in product_parts(rows, count)]
        _run(steps, threads)
        _run(after, threads)
    finally:
        for block in held:
            give_back(block)


def vector_floats(one: Member) -> int:
    """How many numbers its spaces of vectors have."""
    return sum(shape[0] for shape in one.made.shapes(*one.sizes[2:])[: one.made.vector_spaces])


class VectorSums:
    """The gradients of a network's vectors, of each block of rows, until they are summed.

    Args:
        one: of several blocks of rows.
    """

    def __init__(self, one: Member) -> None:
        self.lengths = [shape[0] for shape in one.made.shapes(*one.sizes[2:])[: one.made.vector_spaces]]
        self.size = one.made.size
        self.sums = np.empty((one.blocks, sum(self.lengths)), {4: np.float32, 8: np.float64}[self.size])

    def addresses(self) -> list[int]:
        """Of the first block's sums, for each space."""
        base = self.sums.ctypes.data
        return [base + self.size * start for start in accumulate(self.lengths[:-1], initial=0)] if self.lengths else []

    def total(self, gradients: Sequence[Tensor | None]) -> None:
        """Fill the gradients, the blocks added up in their order."""
        whole, start = self.sums[0], 0
        for block in self.sums[1:]:
            whole += block
        for gradient, length in zip(gradients, self.lengths, strict=True):
            assert gradient is not None  # those of vectors are all computed
            gradient.copy_(torch.from_numpy(whole[start : start + length]))
            start += length
