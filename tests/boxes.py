"""Trees and grids for the tests of the functional ANOVA, and a second, slow way to every variance."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, combinations
from typing import Any

import numpy
from sklearn.tree import DecisionTreeRegressor

from lstm_odyssey.reports.fanova.effects import Leaves, leaves
from lstm_odyssey.reports.fanova.forest import Boxes, Forest, boxes
from lstm_odyssey.reports.fanova.remainder import pairs_of_leaves
from lstm_odyssey.reports.fanova.space import Cells, Levels

Subset = tuple[int, ...]


def factorial(masses: Sequence[Sequence[float]], seed: int = 0) -> tuple[numpy.ndarray[Any, Any], Boxes]:
    """A response on a full factorial, an array with one axis a factor, and the leaves of a tree grown on it to purity."""
    shape = [len(each) for each in masses]
    response = numpy.random.default_rng(seed).normal(3.0, 1.0, shape)
    places = numpy.stack(numpy.meshgrid(*map(numpy.arange, shape), indexing="ij"), axis=-1).reshape(-1, len(shape))
    return response, grown(places, response.ravel(), [Levels(list(range(len(m))), m).edges for m in masses])


def grown(places: Any, response: Any, edges: Sequence[Any], seed: int = 0) -> Boxes:
    """The leaves of a tree grown to purity on trials in these cells."""
    tree = DecisionTreeRegressor(random_state=seed).fit(numpy.asarray(places, numpy.float32), response)
    return boxes([tree.tree_], [numpy.arange(edge.size - 1.0) for edge in edges], edges)


def classical(response: Any, masses: Sequence[Any]) -> dict[Subset, float]:
    """V_U by the textbook: weighted means over the other factors, less the effects of all smaller subsets."""
    d = response.ndim
    weights = [numpy.asarray(each, float) for each in masses]

    def mean(values: Any, away: Sequence[int]) -> Any:
        for j in away:
            shape = [1] * d
            shape[j] = -1
            values = (values * weights[j].reshape(shape)).sum(axis=j, keepdims=True)
        return values

    effects: dict[Subset, Any] = {(): mean(response, range(d))}
    for size in range(1, d + 1):
        for subset in combinations(range(d), size):
            smaller = [each for k in range(size) for each in combinations(subset, k)]
            rest = [j for j in range(d) if j not in subset]
            effects[subset] = mean(response, rest) - sum(effects[each] for each in smaller)
    return {subset: float(mean(effect**2, range(d)).squeeze()) for subset, effect in effects.items() if subset}


def on_grid(made: Boxes, tree: int | None = None) -> tuple[numpy.ndarray[Any, Any], list[numpy.ndarray[Any, Any]]]:
    """The mean of the trees, or one of them, cell by cell, and the cells' masses: for small grids."""
    found = numpy.zeros([edge.size - 1 for edge in made.edges])
    for low, high, value, number in zip(made.lower, made.upper, made.values, made.tree, strict=True):
        if tree is None or number == tree:
            found[tuple(map(slice, low, high))] += value
    return found / (made.n_trees if tree is None else 1), [numpy.diff(edge) for edge in made.edges]


def of_the_mean(forest: Forest) -> Leaves:
    """All leaves of a forest as those of one function, its mean: what ``total_variances`` then says of it is exact."""
    made = leaves(forest.boxes)
    one = forest.boxes._replace(tree=numpy.zeros_like(forest.boxes.tree), n_trees=1)
    centred = made.centred / forest.boxes.n_trees
    weighted = made.weighted / forest.boxes.n_trees
    # Leaves of different trees overlap, so the sums over pairs of leaves that `pairs_of_leaves` takes still hold.
    return Leaves(one, made.means[:1], made.masses, centred, weighted, made.split.any(axis=0, keepdims=True))


def cut(axes: Sequence[Any], points: Any) -> list[Cells]:
    """The cells of trials on their axes."""
    return [axis.cells(points[:, j]) for j, axis in enumerate(axes)]


def subsets(d: int) -> list[Subset]:
    """All non-empty subsets of d axes, small ones first."""
    return list(chain.from_iterable(combinations(range(d), size) for size in range(1, d + 1)))


def subset_variances(made: Leaves) -> dict[Subset, Any]:
    """V_U of every tree for every subset U of the axes, each an array [T], from pairs of leaves.

    With C_j(l, m) = |I_lj ∩ I_mj| - w_lj w_mj it is Σ_{l,m} y_l y_m Π_{j∈U} C_j(l,m) Π_{j∉U} w_lj w_mj.
    """
    d = len(made.boxes.edges)
    found = {subset: numpy.zeros(made.boxes.n_trees) for subset in subsets(d)}
    for tree, y, shared, alone in pairs_of_leaves(made):
        covariance = [both - one for both, one in zip(shared, alone, strict=True)]
        for subset, variances in found.items():
            product = numpy.outer(y, y)
            for j in range(d):
                product *= covariance[j] if j in subset else alone[j]
            variances[tree] = product.sum()
    return found


def own_cells(trees: Sequence[Any], d: int, low: float = 0.0, high: float = 1.0) -> tuple[list[Any], list[Any]]:
    """Centres and edges for trees that were grown on coordinates uniform on [low, high]: cells between all thresholds."""
    feature = numpy.concatenate([tree.feature for tree in trees])
    threshold = numpy.concatenate([tree.threshold for tree in trees])
    ends = [numpy.unique(numpy.concatenate([[low, high], threshold[feature == j]])) for j in range(d)]
    return [(end[:-1] + end[1:]) / 2 for end in ends], [(end - low) / (high - low) for end in ends]
