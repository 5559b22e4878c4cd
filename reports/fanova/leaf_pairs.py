"""Total variances, exact, from pairs of leaves:

    Σ_{U∋i} V_U = V - Σ_{l,m} y_l y_m w_li w_mi Π_{j≠i} |I_lj ∩ I_mj|

The cost grows with the square of the leaves of one tree: meant for studies of some hundred trials.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy

from lstm_odyssey.reports.fanova.effects import Leaves, by_tree
from lstm_odyssey.reports.fanova.space import Floats

MOST_PAIRS, MOST_LEAVES = 200_000_000, 1000
"""Pairs of leaves of the same tree, times axes; leaves of one tree. Beyond, totals are sampled."""


def affordable(made: Leaves) -> bool:
    """Whether all pairs of leaves can be looked at: in some seconds, and those of one tree in a fraction of a gigabyte."""
    leaves = numpy.bincount(made.boxes.tree)
    return int((leaves**2).sum()) * len(made.boxes.edges) <= MOST_PAIRS and int(leaves.max()) <= MOST_LEAVES


def total_variances(made: Leaves) -> Floats:
    """Σ_{U∋i} V_U of every tree for each axis i: what would be left out without it [T, d]."""
    found = numpy.repeat(made.variances[:, None], len(made.boxes.edges), axis=1)
    for tree, y, shared, alone in pairs_of_leaves(made):
        for i in range(found.shape[1]):
            product = numpy.outer(y, y)
            for j, both in enumerate(shared):
                product *= alone[i] if j == i else both
            found[tree, i] -= product.sum()
    return found * made.split


def pairs_of_leaves(made: Leaves) -> Iterator[tuple[int, Floats, list[Floats], list[Floats]]]:
    """For each tree: its number, its centred values [L], and for each axis |I_l ∩ I_m| and w_l w_m [L, L]."""
    boxes = made.boxes
    order, ends = by_tree(boxes)
    for tree in range(boxes.n_trees):
        part = order[ends[tree] : ends[tree + 1]]
        shared, alone = [], []
        for j, edges in enumerate(boxes.edges):
            low, high, mass = edges[boxes.lower[part, j]], edges[boxes.upper[part, j]], made.masses[part, j]
            both = numpy.minimum.outer(high, high) - numpy.maximum.outer(low, low)
            shared.append(numpy.maximum(both, 0.0))
            alone.append(numpy.multiply.outer(mass, mass))
        yield tree, made.centred[part], shared, alone
