"""What is beyond main effects and pairs: the remainder of a forest's mean, by sampling, and the total variances of its trees.

The remainder r = F - mean - Σ f_i - Σ f_ij is orthogonal to all that was subtracted. So the total variance is the exact
part plus E[r²], and the part of a hyperparameter's total index beyond its main effect and its pairs is, after Jansen,
½ E[(r(u) - r(u'))²], where u' is u with that one coordinate drawn again. Both are means over scrambled Sobol' points; the
standard error is that of the mean over independent scramblings. r being what is left of a good approximation, it is small.

The total variances of single trees are exact where the pairs of their leaves can be counted, in some hundred trials,

    Σ_{U∋i} V_U = V - Σ_{l,m} y_l y_m w_li w_mi Π_{j≠i} |I_lj ∩ I_mj|

and sampled at the same points where they are too many.

Source: Jansen, Computer Physics Communications 1999; Owen, "Scrambled net variance", Annals of Statistics 1997.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy

from lstm_odyssey.reports.fanova.effects import Leaves, all_pairs, by_tree
from lstm_odyssey.reports.fanova.forest import Forest
from lstm_odyssey.reports.fanova.space import Floats, Wholes

SCRAMBLINGS, POINTS = 16, 512
"""Independent scramblings, and points of each: 8192 in all."""

MOST_PAIRS, MOST_LEAVES = 200_000_000, 1000
"""Pairs of leaves of the same tree, times axes; leaves of one tree. Beyond, totals are sampled."""


def remainder(
    forest: Forest,
    mean: float,
    effects: list[Floats],
    grids: list[Floats],
    *,
    scramblings: int = SCRAMBLINGS,
    points: int = POINTS,
    seed: int = 1,
) -> tuple[Floats, Floats]:
    """Sample the remainder of a forest's mean.

    Args:
        forest: the forest.
        mean: of its mean function.
        effects: f_i on the cells of each axis.
        grids: f_ij on the cells of both axes, in the order of ``all_pairs``.
        scramblings, points: how many; points is a power of two.
        seed: of the scramblings.

    Returns:
        Of each scrambling E[r²] [R], and the remainder's part of every total index, as a variance [R, d].
    """
    d = len(effects)
    base, moved = _points(forest, scramblings, points, seed)

    def rest(cells: Wholes) -> Floats:
        left = forest.predict(cells).mean(axis=0) - mean
        for j, effect in enumerate(effects):
            left -= effect[cells[:, j]]
        for (i, j), grid in zip(all_pairs(d), grids, strict=True):
            left -= grid[cells[:, i], cells[:, j]]
        return numpy.asarray(left.reshape(scramblings, points))

    here = rest(base)
    totals = [((here - rest(_replaced(base, moved, i))) ** 2).mean(axis=1) / 2 for i in range(d)]
    return (here**2).mean(axis=1), numpy.stack(totals, axis=1)


def tree_totals(forest: Forest, *, scramblings: int = SCRAMBLINGS, points: int = POINTS, seed: int = 1) -> Floats:
    """Σ_{U∋i} V_U of every tree, sampled: where the pairs of leaves are too many to be counted [R, T, d]."""
    base, moved = _points(forest, scramblings, points, seed)
    d = base.shape[1]
    here = forest.predict(base)
    found = [(here - forest.predict(_replaced(base, moved, i))) ** 2 / 2 for i in range(d)]
    means = [each.reshape(len(here), scramblings, points).mean(axis=2).T for each in found]
    return numpy.stack(means, axis=-1)


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


def _points(forest: Forest, scramblings: int, points: int, seed: int) -> tuple[Wholes, Wholes]:
    """Two sets of points, as the forest's cells, that are independent of each other [R N, d]."""
    from scipy.stats import qmc

    edges = forest.boxes.edges
    d = len(edges)
    generators = numpy.random.default_rng([seed, 0x5EED]).spawn(scramblings)
    drawn = numpy.concatenate([qmc.Sobol(2 * d, rng=each).random(points) for each in generators])
    cells = [numpy.searchsorted(edge[1:-1], drawn[:, [j, d + j]], side="right") for j, edge in enumerate(edges)]
    both = numpy.stack(cells, axis=-1)
    return both[:, 0], both[:, 1]


def _replaced(base: Wholes, moved: Wholes, i: int) -> Wholes:
    other = base.copy()
    other[:, i] = moved[:, i]
    return other
