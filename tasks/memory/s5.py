"""S5: in which order are five things after swaps and turns?

    q_t = symbol_t ∘ q_{t-1}        symbols: swap the first two, turn all five; states: the 120 orders
    score = frame error, %, the mean of that on 40 and on 256 frames (see ``machine``)

The two generate the symmetric group on five things, the smallest whose word problem is as hard as any that a recurrence of
fixed size can do (NC1). 2,000 sequences of 2 to 40 frames for training. Cells that are linear in their state with a
diagonal matrix, however deep, cannot do it at every length.

Source: Merrill, Petty, Sabharwal, ICML 2024 (arXiv 2404.08819). Departure: two symbols in place of all 120, so that 240
steps are to be learnt and not 14,400. The sequences are computed when they are loaded.
"""

from __future__ import annotations

from itertools import permutations
from os import PathLike

from lstm_odyssey.tasks.declare import PAPER_SPACE, Corpus, Task
from lstm_odyssey.tasks.files import locate
from lstm_odyssey.tasks.memory import machine

ORDERS = tuple("".join(order) for order in permutations("abcde"))
"""The states; the first is the order at the beginning."""
SYMBOLS = ((1, 0, 2, 3, 4), (1, 2, 3, 4, 0))
"""Which place each of the five places takes its thing from."""


def table() -> tuple[tuple[int, ...], ...]:
    """The state after a symbol, ``table()[symbol][state]``."""
    index = {order: place for place, order in enumerate(ORDERS)}
    return tuple(tuple(index["".join(order[k] for k in symbol)] for order in ORDERS) for symbol in SYMBOLS)


def load(path: str | PathLike[str] | None = None) -> Corpus:
    """The sequences, computed now.

    Errors: `CorpusError` if a path is given: there is nothing to read.
    """
    locate.refuse("s5", path, "its sequences are computed")
    return machine.corpus(table(), ORDERS, seed=5, train=2000)


task = Task(
    load,
    objective="frames",
    family="memory",
    space=PAPER_SPACE,
    licence="computed, nobody's",
    embedded=True,
    collection="state-tracking",
    chance=97.5391,
    reference=(
        'W. Merrill, J. Petty, A. Sabharwal, "The Illusion of State in State-Space Models", ICML 2024; arXiv 2404.08819'
    ),
)
