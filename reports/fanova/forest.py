"""Random forests on sampling axes, and their leaves as boxes: arrays, from which all variances follow without a tree.

A tree partitions the cells of the axes (``space.Cells``) into boxes, one a leaf, and is constant on each. The boxes of all
trees of a forest are read level by level off the concatenated arrays of scikit-learn's trees.

The forest is a ``RandomForestRegressor`` grown to purity on bootstrap samples with every hyperparameter a candidate of every
split, as in Hutter, Hoos and Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter Importance" (ICML 2014), so
that shares per tree can be compared with published ones; its bootstrap gives the out-of-bag R². On Friedman's first function,
Sobol's g, Ishigami's and one shaped like a learning-rate curve, with and without noise, the main effects of its mean had a
root-mean-square error of .067 at 200 trials and .028 at 1000. Extra-trees had .086 and .044 (.073 and .035 without bootstrap,
but then no R² out of the bag); leaves of two or three trials changed nothing or did harm. It sees the number of the
cell in place of the coordinate: as the cuts lie between trials, no trial could tell the difference, and every edge of every
leaf is one of at most 256 per axis. That makes pairs of the forest's mean exact where the cuts of free thresholds would not
fit in memory. A factor without order has its levels ordered by their mean response first, so that its splits are intervals
too (Wright and König, "Splitting on categorical predictors in random forests", PeerJ 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from lstm_odyssey.reports.fanova.space import Cells, Floats, Wholes


class Boxes(NamedTuple):
    """The leaves of some trees as boxes of cells.

    Attributes:
        lower, upper: first cell, and the first beyond, on each axis [L, d].
        values: response of the leaf [L].
        tree: number of the tree it belongs to [L].
        edges: ends of the cells on each probability axis, d arrays [K_j + 1].
        n_trees: number of trees.
    """

    lower: NDArray[numpy.int32]
    upper: NDArray[numpy.int32]
    values: Floats
    tree: Wholes
    edges: tuple[Floats, ...]
    n_trees: int

    @property
    def masses(self) -> Floats:
        """Probability of each leaf's interval on each axis [L, d]."""
        return numpy.stack(
            [edges[self.upper[:, j]] - edges[self.lower[:, j]] for j, edges in enumerate(self.edges)], axis=1
        )


class Forest(NamedTuple):
    """A fitted forest.

    Attributes:
        trees: scikit-learn's ``tree_`` objects; they see the numbers of cells, as float32.
        boxes: their leaves.
        ranks: for each axis, where cell k of the axis stands among the forest's cells [K_j]: the same number, unless the
            axis is nominal.
        r_squared: out-of-bag R² [NaN if no trial was ever out of the bag, or the response is constant].
    """

    trees: tuple[Any, ...]
    boxes: Boxes
    ranks: tuple[Wholes, ...]
    r_squared: float

    def predict(self, cells: Wholes) -> Floats:
        """Response of every tree at points given by the forest's cells [N, d]: [trees, N]."""
        seen = numpy.ascontiguousarray(cells, dtype=numpy.float32)
        return numpy.stack([tree.predict(seen)[:, 0] for tree in self.trees])


def fit(
    cells: Sequence[Cells], response: Floats, *, nominal: Sequence[int] = (), trees: int = 100, seed: int = 1
) -> Forest:
    """Fit a forest.

    Args:
        cells: the axes, cut, with the cells of the n trials.
        response: what is explained [n], finite.
        nominal: numbers of the axes without order.
        trees: how many.
        seed: of the trees' bootstrap samples and ties.
    """
    ranks = tuple(
        _ranks(axis, response) if j in nominal else numpy.arange(axis.edges.size - 1) for j, axis in enumerate(cells)
    )
    seen = numpy.stack([rank[axis.places] for rank, axis in zip(ranks, cells, strict=True)], axis=1)
    inputs: NDArray[numpy.float32] = seen.astype(numpy.float32)
    grown, samples = grow(inputs, response, trees, seed)
    edges = tuple(_reordered(axis.edges, rank) for rank, axis in zip(ranks, cells, strict=True))
    centres = [numpy.arange(edge.size - 1.0) for edge in edges]
    return Forest(grown, boxes(grown, centres, edges), ranks, _out_of_bag(grown, samples, inputs, response))


def grow(seen: NDArray[numpy.float32], response: Floats, trees: int, seed: int) -> tuple[tuple[Any, ...], list[Wholes]]:
    """The trees of ``RandomForestRegressor(trees, random_state=seed).fit(seen, response)`` and their bootstrap samples.

    Bit for bit the same trees, as a test compares; but what that class does for each tree beside growing it (it clones a
    template and checks parameters and input) takes longer than the growing, at some hundred trials.
    """
    from sklearn import config_context
    from sklearn.tree import DecisionTreeRegressor
    from sklearn.utils import check_random_state

    random, stream, n = check_random_state(seed), check_random_state(seed), response.size
    tree = DecisionTreeRegressor(random_state=stream)
    grown, samples = [], []
    with config_context(assume_finite=True, skip_parameter_validation=True):
        for own in [random.randint(numpy.iinfo(numpy.int32).max) for _ in range(trees)]:
            stream.seed(own)
            sample = stream.randint(0, n, n)
            weights = numpy.bincount(sample, minlength=n).astype(float)
            stream.seed(own)  # as there: a tree's ties are drawn from the start of the stream of its sample
            grown.append(tree.fit(seen, response[:, None], weights, check_input=False).tree_)
            samples.append(sample)
    return tuple(grown), samples


def boxes(trees: Sequence[Any], centres: Sequence[Floats], edges: Sequence[Floats]) -> Boxes:
    """The leaves of scikit-learn's trees as boxes; leaves of no mass are dropped.

    Args:
        trees: ``tree_`` objects.
        centres: for each axis, the coordinate at which the trees see each cell, ascending [K_j].
        edges: for each axis, the ends of the cells on the probability axis [K_j + 1].
    """
    counts = numpy.array([tree.node_count for tree in trees])
    first = numpy.concatenate([[0], numpy.cumsum(counts)[:-1]])
    offset = numpy.repeat(first, counts)
    left = numpy.concatenate([tree.children_left for tree in trees]) + offset
    right = numpy.concatenate([tree.children_right for tree in trees]) + offset
    feature = numpy.concatenate([tree.feature for tree in trees])
    threshold = numpy.concatenate([tree.threshold for tree in trees])
    value = numpy.concatenate([tree.value[:, 0, 0] for tree in trees])
    cut = numpy.zeros(feature.size, numpy.int32)  # cells to the left of a node's split: x <= threshold
    for j, centre in enumerate(centres):
        split = feature == j
        cut[split] = numpy.searchsorted(centre, threshold[split], side="right")

    sizes = numpy.array([edge.size - 1 for edge in edges], numpy.int32)
    nodes, number = first, numpy.arange(len(trees))
    lower, upper = numpy.zeros((len(trees), sizes.size), numpy.int32), numpy.tile(sizes, (len(trees), 1))
    found = []
    while nodes.size:
        leaf = feature[nodes] < 0
        found.append((lower[leaf], upper[leaf], value[nodes[leaf]], number[leaf]))
        nodes, number, lower, upper = nodes[~leaf], number[~leaf], lower[~leaf], upper[~leaf]
        rows, split, at = numpy.arange(nodes.size), feature[nodes], cut[nodes]
        right_lower, left_upper = lower.copy(), upper.copy()
        left_upper[rows, split] = numpy.minimum(upper[rows, split], at)
        right_lower[rows, split] = numpy.maximum(lower[rows, split], at)
        lower, upper = numpy.concatenate([lower, right_lower]), numpy.concatenate([left_upper, upper])
        nodes, number = numpy.concatenate([left[nodes], right[nodes]]), numpy.tile(number, 2)

    lows, highs, values, numbers = (numpy.concatenate(part) for part in zip(*found, strict=True))
    all_boxes = Boxes(lows, highs, values, numbers, tuple(edges), len(trees))
    kept = numpy.flatnonzero((all_boxes.masses > 0).all(axis=1))
    return all_boxes._replace(**{name: getattr(all_boxes, name)[kept] for name in ("lower", "upper", "values", "tree")})


def _ranks(axis: Cells, response: Floats) -> Wholes:
    """The place of each level when ordered by mean response; a level without trials stands where the mean is."""
    count = numpy.bincount(axis.places, minlength=axis.edges.size - 1)
    total = numpy.bincount(axis.places, response, axis.edges.size - 1)
    means = numpy.where(count > 0, total / numpy.maximum(count, 1), response.mean())
    ranks = numpy.empty(count.size, numpy.intp)
    ranks[numpy.argsort(means, kind="stable")] = numpy.arange(count.size)
    return ranks


def _reordered(edges: Floats, ranks: Wholes) -> Floats:
    if (ranks == numpy.arange(ranks.size)).all():
        return edges
    masses = numpy.empty(ranks.size)
    masses[ranks] = numpy.diff(edges)
    ends = numpy.concatenate([[0.0], numpy.cumsum(masses)])
    ends[-1] = 1.0
    return ends


def _out_of_bag(trees: Sequence[Any], samples: Sequence[Wholes], seen: Any, response: Floats) -> float:
    """R² of predictions by the trees that have not seen a trial; trials that every tree has seen do not count."""
    total, count = numpy.zeros(response.size), numpy.zeros(response.size)
    for tree, sample in zip(trees, samples, strict=True):
        out = numpy.ones(response.size, bool)
        out[sample] = False
        total[out] += tree.predict(seen[out])[:, 0] if out.any() else 0.0
        count[out] += 1
    known = count > 0
    if not known.any() or numpy.ptp(response[known]) == 0:
        return float("nan")
    residual = response[known] - total[known] / count[known]
    spread = response[known] - response[known].mean()
    return float(1 - residual @ residual / (spread @ spread))
