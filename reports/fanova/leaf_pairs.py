"""Every subset's variance, exact, from pairs of leaves: V_U without inclusion and exclusion.

With C_j(l, m) = |I_lj ∩ I_mj| - w_lj w_mj, the covariance of two indicators on axis j,

    V_U = Σ_{l,m} y_l y_m Π_{j∈U} C_j(l,m) Π_{j∉U} w_lj w_mj   ≥ 0

    Σ_{U∋i} V_U = V - Σ_{l,m} y_l y_m w_li w_mi Π_{j≠i} |I_lj ∩ I_mj|

and Σ_{|U|=k} V_U is the coefficient of z^k in Σ_{l,m} y_l y_m Π_j (w_lj w_mj + z C_j). The cost grows with the square of the
leaves of one tree: meant for studies of some hundred trials.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, combinations

import numpy

from lstm_odyssey.reports.fanova.effects import Leaves, by_tree
from lstm_odyssey.reports.fanova.space import Floats

Subset = tuple[int, ...]

MOST_PAIRS, MOST_LEAVES = 200_000_000, 1000
"""Pairs of leaves of the same tree, times axes; leaves of one tree. Beyond, totals are sampled."""


def affordable(made: Leaves) -> bool:
    """Whether all pairs of leaves can be looked at: in some seconds, and those of one tree in a fraction of a gigabyte."""
    leaves = numpy.bincount(made.boxes.tree)
    return int((leaves**2).sum()) * len(made.boxes.edges) <= MOST_PAIRS and int(leaves.max()) <= MOST_LEAVES


def subsets(d: int) -> list[Subset]:
    """All non-empty subsets of d axes, small ones first."""
    return list(chain.from_iterable(combinations(range(d), size) for size in range(1, d + 1)))


def subset_variances(made: Leaves) -> dict[Subset, Floats]:
    """V_U of every tree for every subset U of the axes, each an array [T]. O(2^d) times the cost."""
    d = len(made.boxes.edges)
    found = {subset: numpy.zeros(made.boxes.n_trees) for subset in subsets(d)}
    for tree, y, shared, alone in _trees(made):
        covariance = [both - one for both, one in zip(shared, alone, strict=True)]
        for subset, variances in found.items():
            product = numpy.outer(y, y)
            for j in range(d):
                product *= covariance[j] if j in subset else alone[j]
            variances[tree] = product.sum()
    return found


def order_variances(made: Leaves) -> Floats:
    """Σ_{|U|=k} V_U of every tree for k = 1 .. d [T, d]."""
    d = len(made.boxes.edges)
    found = numpy.zeros((made.boxes.n_trees, d))
    for tree, y, shared, alone in _trees(made):
        terms = [numpy.outer(y, y)]  # coefficients of z^0, z^1, ... of the product so far
        for both, one in zip(shared, alone, strict=True):
            covariance = both - one
            lower = [term * one for term in terms] + [numpy.zeros_like(one)]
            terms = [low + (terms[k - 1] * covariance if k else 0.0) for k, low in enumerate(lower)]
        found[tree] = [term.sum() for term in terms[1:]]
    return found


def total_variances(made: Leaves) -> Floats:
    """Σ_{U∋i} V_U of every tree for each axis i: what would be left out without it [T, d]."""
    found = numpy.repeat(made.variances[:, None], len(made.boxes.edges), axis=1)
    for tree, y, shared, alone in _trees(made):
        for i in range(found.shape[1]):
            product = numpy.outer(y, y)
            for j, both in enumerate(shared):
                product *= alone[i] if j == i else both
            found[tree, i] -= product.sum()
    return found * made.split


def shapley_variances(variances: dict[Subset, Floats]) -> Floats:
    """Shapley effects [T, d]: every V_U shared equally among the members of U; they sum to the total variance.

    Source: Owen, "Sobol' indices and Shapley value", SIAM/ASA J. Uncertainty Quantification 2014.
    """
    d = max(map(len, variances))
    return numpy.stack([sum(v / len(u) for u, v in variances.items() if j in u) for j in range(d)], axis=-1)


def _trees(made: Leaves) -> Iterator[tuple[int, Floats, list[Floats], list[Floats]]]:
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
