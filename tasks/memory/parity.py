"""Parity: has 1 come an even or an odd number of times?

    q_t = q_{t-1} xor symbol_t        two symbols, two states; asked at every frame
    score = frame error, %, the mean of that on 40 and on 256 frames (see ``machine``)

The least that has to be remembered for ever: one bit, which every 1 turns. 500 sequences of 2 to 40 frames for training.
Cells whose state only decays towards zero, as linear ones with gates between 0 and 1, cannot do it at every length.

Source: as in Grazzi et al., ICLR 2025 (arXiv 2411.12537). The sequences are computed when they are loaded.
"""

from __future__ import annotations

from os import PathLike

from lstm_odyssey.tasks.declare import PAPER_SPACE, Corpus, Task
from lstm_odyssey.tasks.files import locate
from lstm_odyssey.tasks.memory import machine

TABLE = ((0, 1), (1, 0))
"""The state after a symbol: ``TABLE[symbol][state]``."""


def load(path: str | PathLike[str] | None = None) -> Corpus:
    """The sequences, computed now.

    Errors: `CorpusError` if a path is given: there is nothing to read.
    """
    locate.refuse("parity", path, "its sequences are computed")
    return machine.corpus(TABLE, ("even", "odd"), seed=1, train=500)


task = Task(
    load,
    objective="frames",
    family="memory",
    space=PAPER_SPACE,
    licence="computed, nobody's",
    embedded=True,
    collection="state-tracking",
    chance=49.707,
    reference=(
        'R. Grazzi, J. Siems, A. Zela, J. K. H. Franke, F. Hutter, M. Pontil, "Unlocking State-Tracking in Linear RNNs Through '
        'Negative Eigenvalues", ICLR 2025; arXiv 2411.12537'
    ),
)
