"""The functional ANOVA of forests in probability coordinates: main effects and pairs, exact, from the boxes of the leaves.

Leaf l is a box with the masses w_lj and the value y_l, centred on the mean of its tree. With I_lj its interval on axis j the
part of a tree that depends on the axes U alone, averaged over the others, is

    g_U(u) = Σ_l y_l Π_{j∈U} 1[u_j ∈ I_lj] Π_{j∉U} w_lj

and the pure effect f_U is g_U less all f_W, W ⊊ U; V_U = ∫ f_U². Sums of indicators of intervals are cumulative sums of what
is added where an interval begins and taken away where it ends, so the marginals of all trees cost one ``bincount`` and one
``cumsum``, O(L + cells). The lower effects are subtracted in the grid and nothing is clipped at 0. That of the forest's mean
is linear: the mean over trees of each tree's f_U.

Source: Hutter, Hoos, Leyton-Brown, ICML 2014; Hooker, KDD 2004. Variances here are ``V``, not shares.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from lstm_odyssey.reports.fanova.forest import Boxes
from lstm_odyssey.reports.fanova.space import Floats, Wholes

BATCH = 500_000
"""Cells of a batch of trees' grids: what is worked on at a time stays in the processor's cache, about."""


class Leaves(NamedTuple):
    """Boxes made ready: zero-mean values, masses, and for each axis what is left when it is not averaged over.

    Attributes:
        boxes: the leaves.
        means: mean of every tree [T].
        masses: w [L, d].
        centred: y - mean of its tree [L].
        weighted: y Π_j w_j [L].
        split: whether a tree splits on an axis [T, d]: where it does not, every effect is exactly 0.
    """

    boxes: Boxes
    means: Floats
    masses: Floats
    centred: Floats
    weighted: Floats
    split: NDArray[numpy.bool_]

    @property
    def variances(self) -> Floats:
        """Total variance of every tree [T], exact."""
        found: Floats = numpy.bincount(self.boxes.tree, self.weighted * self.centred, self.boxes.n_trees).astype(
            float, copy=False
        )
        return found


def leaves(boxes: Boxes) -> Leaves:
    """Centre the values and multiply the masses, once for all effects."""
    masses = boxes.masses
    volume = masses.prod(axis=1)
    sums, whole = (numpy.bincount(boxes.tree, each, boxes.n_trees) for each in (volume * boxes.values, volume))
    means: Floats = sums / whole
    centred = boxes.values - means[boxes.tree]
    cut = (boxes.lower > 0) | (boxes.upper < numpy.array([edges.size - 1 for edges in boxes.edges]))
    split = numpy.zeros((boxes.n_trees, masses.shape[1]), bool)
    rows, axes = numpy.nonzero(cut)
    split[boxes.tree[rows], axes] = True
    return Leaves(boxes, means, masses, centred, volume * centred, split)


def curves(made: Leaves, j: int) -> Floats:
    """The main effect f_j of every tree on the cells of axis j, mean 0 [T, K_j]."""
    boxes = made.boxes
    width = boxes.edges[j].size
    weights = made.weighted / made.masses[:, j]
    start = boxes.tree * width
    steps = numpy.bincount(start + boxes.lower[:, j], weights, boxes.n_trees * width)
    steps -= numpy.bincount(start + boxes.upper[:, j], weights, boxes.n_trees * width)
    return steps.reshape(boxes.n_trees, width).cumsum(axis=1)[:, :-1] * made.split[:, j, None]


def interaction(made: Leaves, i: int, j: int, effects: tuple[Floats, Floats]) -> Floats:
    """The pure interaction f_ij of the forest's mean on the cells of both axes [K_i, K_j]; ``effects``: its f_i and f_j."""
    boxes = made.boxes
    shape = boxes.edges[i].size, boxes.edges[j].size
    if not (made.split[:, i] & made.split[:, j]).any():
        return numpy.zeros((shape[0] - 1, shape[1] - 1))
    weights = made.weighted / (made.masses[:, i] * made.masses[:, j] * boxes.n_trees)
    corner = (boxes.lower[:, i], boxes.upper[:, i]), (boxes.lower[:, j], boxes.upper[:, j])
    return _grid(weights, corner, shape) - effects[0][:, None] - effects[1][None, :]


def pair_variances(made: Leaves, pairs: list[tuple[int, int]]) -> Floats:
    """V_ij of every tree for each pair [pairs, T], on the cells between the tree's own cuts."""
    boxes = made.boxes
    own = [_own(boxes, j) for j in range(len(boxes.edges))]
    order, ends = by_tree(boxes)
    found = numpy.zeros((len(pairs), boxes.n_trees))
    for number, (i, j) in enumerate(pairs):
        (lower_i, upper_i, masses_i), (lower_j, upper_j, masses_j) = own[i], own[j]
        size = (masses_i.shape[1] + 1) * (masses_j.shape[1] + 1)
        step = max(1, BATCH // size)
        weights = made.weighted / (made.masses[:, i] * made.masses[:, j])
        for first in range(0, boxes.n_trees, step):
            last = min(first + step, boxes.n_trees)
            part = order[ends[first] : ends[last]]
            corner = (lower_i[part], upper_i[part]), (lower_j[part], upper_j[part])
            shape = (last - first, masses_i.shape[1] + 1, masses_j.shape[1] + 1)
            joint = _grid(weights[part], corner, shape, boxes.tree[part] - first)
            a, b = masses_i[first:last], masses_j[first:last]
            joint -= numpy.matmul(joint, b[:, :, None])
            joint -= numpy.matmul(a[:, None, :], joint)
            joint *= joint
            found[number, first:last] = numpy.matmul(a[:, None, :], numpy.matmul(joint, b[:, :, None]))[:, 0, 0]
        found[number] *= made.split[:, i] & made.split[:, j]
    return found


def by_tree(boxes: Boxes) -> tuple[Wholes, Wholes]:
    """The leaves in the order of their trees [L], and where each tree's begin and end in it [T + 1]."""
    order = numpy.argsort(boxes.tree, kind="stable")
    return order, numpy.searchsorted(boxes.tree[order], numpy.arange(boxes.n_trees + 1))


def _own(boxes: Boxes, j: int) -> tuple[Any, Any, Floats]:
    """Each leaf's interval counted in the cells between its own tree's cuts, and those cells' masses [T, most cells]."""
    width = boxes.edges[j].size
    used = numpy.zeros((boxes.n_trees, width), bool)
    used[boxes.tree, boxes.lower[:, j]] = True
    used[boxes.tree, boxes.upper[:, j]] = True
    place = used.cumsum(axis=1) - 1
    tree, cut = numpy.nonzero(used)
    ends = numpy.ones((boxes.n_trees, int(place.max()) + 1))
    ends[tree, place[tree, cut]] = boxes.edges[j][cut]
    masses = numpy.diff(ends, axis=1)
    return place[boxes.tree, boxes.lower[:, j]], place[boxes.tree, boxes.upper[:, j]], masses


def _grid(weights: Floats, corners: Any, shape: tuple[int, ...], tree: Any = None) -> Floats:
    """Sum of weights over the cells of boxes: [.., K_i, K_j] for a shape of [.., K_i + 1, K_j + 1] edges."""
    (lower_i, upper_i), (lower_j, upper_j) = corners
    width = shape[-1]
    base = 0 if tree is None else tree * (shape[-2] * width)
    low, high = base + lower_i * width, base + upper_i * width
    places = numpy.concatenate([low + lower_j, high + upper_j, low + upper_j, high + lower_j])
    signed = numpy.concatenate([weights, weights, -weights, -weights])
    steps: Floats = numpy.bincount(places, signed, int(numpy.prod(shape))).astype(float, copy=False).reshape(shape)
    numpy.cumsum(steps, axis=-1, out=steps)
    for k in range(1, shape[-2]):  # whole rows at a time: twice as fast as cumsum along this axis
        steps[..., k, :] += steps[..., k - 1, :]
    return steps[..., :-1, :-1]


def all_pairs(d: int) -> list[tuple[int, int]]:
    """All pairs of d axes, the first before the second."""
    return list(combinations(range(d), 2))


def main_variances(boxes: Boxes, effects: list[Floats]) -> Floats:
    """V_j for main effects [.., K_j] of each axis: [.., d]."""
    return numpy.stack([effect**2 @ numpy.diff(edge) for effect, edge in zip(effects, boxes.edges, strict=True)], -1)


def pair_grids(made: Leaves, effects: list[Floats]) -> Iterator[tuple[Floats, float]]:
    """For all pairs in their order: f_ij of the forest's mean [K_i, K_j] and its variance V_ij."""
    masses = [numpy.diff(edge) for edge in made.boxes.edges]
    for i, j in all_pairs(len(masses)):
        grid = interaction(made, i, j, (effects[i], effects[j]))
        yield grid, float(masses[i] @ grid**2 @ masses[j])
