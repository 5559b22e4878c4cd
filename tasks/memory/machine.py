"""A corpus of a machine: random symbols in, its state after each of them out.

    q_t = table[symbol_t, q_{t-1}],  q_0 = 0        features: symbol_t, one column a symbol; target: q_t

Training has sequences of 2 to 40 frames, validation of 40. The test split holds two lengths, 64 sequences of 40 frames and
10 of 256, so that each has 2,560 frames: the frame error on it is the mean of the two errors, which stand beside it (the
corpus's ``subsets``). A net that has learnt the table is as good at 256 as at 40; one that has learnt words of at most 40
symbols is not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_odyssey.tasks.declare import Corpus, Pair, Split

LONGEST, BEYOND = 40, 256
VALID, TEST = 64, {LONGEST: 64, BEYOND: 10}
SCORED = (
    f"the test score is the mean of two: the error on {TEST[LONGEST]} sequences of {LONGEST} frames, as long as the longest in "
    f"training, and on {TEST[BEYOND]} of {BEYOND}"
)


def symbols(key: Sequence[int], count: int, frames: int, kinds: int) -> NDArray[np.int64]:
    """Symbols 0 to kinds - 1 at random, [count, frames]; the same on every machine, from the raw bits of a PCG64."""
    bits: NDArray[np.uint64] = np.random.PCG64(list(key)).random_raw(count * frames)
    return ((bits >> np.uint64(32)) * np.uint64(kinds) >> np.uint64(32)).astype(np.int64).reshape(count, frames)


def states(table: ArrayLike, word: NDArray[np.int64]) -> NDArray[np.int64]:
    """The state after each symbol of each sequence, [count, frames].

    Example:
        >>> states([[0, 1], [1, 0]], np.array([[1, 1, 0, 1]]))
        array([[1, 0, 0, 1]])
    """
    step, found = np.asarray(table), np.zeros_like(word)
    state = np.zeros(len(word), np.int64)
    for t in range(word.shape[1]):
        state = step[word[:, t], state]
        found[:, t] = state
    return found


def corpus(table: ArrayLike, labels: Sequence[str], seed: int, train: int) -> Corpus:
    """The corpus of a table [symbols, states] with ``train`` sequences for training."""
    kinds = len(np.asarray(table))
    shown = np.eye(kinds, dtype=np.float32)

    def drawn(split: int, count: int, frames: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        word = symbols((seed, split, frames), count, frames, kinds)
        return word, states(table, word)

    def whole(split: int, count: int, frames: int) -> list[Pair]:
        return [(shown[word], state) for word, state in zip(*drawn(split, count, frames), strict=True)]

    lengths = 2 + symbols((seed, 0, 0), train, 1, LONGEST - 1)[:, 0]
    words, after = drawn(0, train, LONGEST)
    training: Split = tuple((shown[words[k, :T]], after[k, :T].copy()) for k, T in enumerate(lengths.tolist()))
    test = [pair for frames, count in TEST.items() for pair in whole(2, count, frames)]
    alike = {
        f"{frames} frames": tuple(index for index, (features, _) in enumerate(test) if len(features) == frames)
        for frames in TEST
    }
    return Corpus(
        training, tuple(whole(1, VALID, LONGEST)), tuple(test), tuple(labels), (SCORED,), f"computed, seed {seed}",
        subsets=alike,
    )  # fmt: skip
