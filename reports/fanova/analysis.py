"""One functional ANOVA on arrays: a forest is fitted, its variance divided, its marginals averaged onto display points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy

from lstm_odyssey.reports.fanova.effects import (
    Leaves,
    all_pairs,
    curves,
    leaves,
    main_variances,
    pair_grids,
    pair_variances,
)
from lstm_odyssey.reports.fanova.forest import Forest, fit
from lstm_odyssey.reports.fanova.remainder import (
    POINTS,
    SCRAMBLINGS,
    affordable,
    remainder,
    total_variances,
    tree_totals,
)
from lstm_odyssey.reports.fanova.space import MOST_CELLS, Axis, Cells, Floats, Levels

Decomposition = Literal["forest", "per_tree"]
DECOMPOSITIONS: tuple[Decomposition, ...] = ("forest", "per_tree")

ORDERS = (1, 2, 3)


class Shares(NamedTuple):
    """Shares of the variance, their standard errors (0 if exact), and their standard deviations over trees."""

    value: Floats
    standard_error: Floats
    over_trees: Floats


class Analysis(NamedTuple):
    """What is known of one case; d hyperparameters in P points each.

    Attributes:
        mean, variance, variance_error: of the function that was decomposed; per tree, means over trees.
        r_squared: out-of-bag R².
        main, total: [d]; pair: [d (d - 1) / 2]; order: [3].
        curve, curve_over_trees: the marginals [d, P].
        joint, interaction: of the pairs [d (d - 1) / 2, P, P].
        sampled: whether anything but the totals was sampled, and whether the totals were.
    """

    mean: float
    variance: float
    variance_error: float
    r_squared: float
    main: Shares
    pair: Shares
    order: Shares
    total: Shares
    curve: Floats
    curve_over_trees: Floats
    joint: Floats
    interaction: Floats
    sampled: tuple[bool, bool]


class View(NamedTuple):
    """The display points of an axis: level by level, or cells of equal probability.

    Attributes:
        ends: ends of the points' cells on the probability axis [P + 1].
        levels: whether they are the levels, one point each.
    """

    ends: Floats
    levels: bool

    def of(self, edges: Floats, ranks: numpy.ndarray[tuple[int], numpy.dtype[numpy.intp]]) -> Floats:
        """The matrix that averages a function on the forest's cells over the points' cells [P, K]."""
        if self.levels:
            return numpy.eye(ranks.size)[ranks]
        low, high = numpy.maximum.outer(self.ends[:-1], edges[:-1]), numpy.minimum.outer(self.ends[1:], edges[1:])
        return numpy.asarray(numpy.maximum(high - low, 0.0) / numpy.diff(self.ends)[:, None])


def view(axis: Axis, points: int) -> View:
    """How an axis is shown in at most so many points; names are always shown level by level."""
    if isinstance(axis, Levels) and (axis.nominal or axis.edges.size - 1 <= min(points, MOST_CELLS)):
        return View(axis.edges, True)
    return View(numpy.linspace(0.0, 1.0, points + 1), False)


def analyse(
    cells: Sequence[Cells],
    response: Floats,
    views: Sequence[View],
    *,
    nominal: Sequence[int] = (),
    decomposition: Decomposition = "forest",
    trees: int = 100,
    seed: int = 1,
    scramblings: int = SCRAMBLINGS,
    points: int = POINTS,
    over_trees: bool = True,
) -> Analysis:
    """Fit a forest to a response [n] over d axes and decompose it.

    Args:
        cells: the axes, cut, with the trials' cells.
        response: finite values.
        views: the display points of the axes.
        nominal: numbers of the axes without order.
        decomposition: of the forest's mean, or of each tree with the shares' mean over trees.
        trees, seed: of the forest.
        scramblings, points: of what is sampled.
        over_trees: whether the standard deviations over trees are wanted.
    """
    centre = float(response.mean())
    constant = bool(numpy.ptp(response) == 0)
    # centred first, so that a large mean costs no digits of the variance
    centred = numpy.zeros(response.size) if constant else response - centre
    forest = fit(cells, centred, nominal=nominal, trees=trees, seed=seed)
    made = leaves(forest.boxes)
    d, edges = len(cells), forest.boxes.edges
    per_tree = [curves(made, j) for j in range(d)]
    effects = [curve.mean(axis=0) for curve in per_tree]
    pairs = list(pair_grids(made, effects))
    matrices = [each.of(edge, rank) for each, edge, rank in zip(views, edges, forest.ranks, strict=True)]
    mean = float(made.means.mean())

    shown, band = _marginals(per_tree, matrices, made.means)
    interaction, joint = _grids(pairs, matrices, shown, mean)

    if decomposition == "per_tree" or over_trees:
        tree_shares, tree_sampled = _per_tree(forest, made, per_tree, scramblings, points, seed)
    if decomposition == "per_tree":
        shares, sampled = tree_shares, (False, tree_sampled)
        variance, error = float(made.variances.mean()), 0.0
    else:
        sampled = (d > 2, d > 2)  # of two axes, main effects and their interaction are all there is
        rest, rest_totals = numpy.zeros(1), numpy.zeros((1, d))
        if d > 2:
            grids = [grid for grid, _ in pairs]
            rest, rest_totals = remainder(
                forest, mean, effects, grids, scramblings=scramblings, points=points, seed=seed
            )
        pair = numpy.array([variance for _, variance in pairs])
        shares, variance, error = _forest(main_variances(forest.boxes, effects), pair, rest, rest_totals)
        if over_trees:
            shares = [each._replace(over_trees=tree.over_trees) for each, tree in zip(shares, tree_shares, strict=True)]
    if constant:
        shares = [Shares(*numpy.full((3, each.value.size), numpy.nan)) for each in shares]
    main_share, pair_share, order_share, total_share = shares
    return Analysis(
        mean + centre, variance, error, forest.r_squared, main_share, pair_share, order_share, total_share,
        shown + centre, band, joint + centre, interaction, sampled,
    )  # fmt: skip


def _marginals(per_tree: Sequence[Floats], matrices: Sequence[Floats], means: Floats) -> tuple[Floats, Floats]:
    """The forest's marginals at the points of each axis and their standard deviation over trees [d, P]."""
    size = max(len(matrix) for matrix in matrices)
    shown, band = numpy.full((2, len(matrices), size), numpy.nan)
    for j, matrix in enumerate(matrices):
        trees_shown = per_tree[j] @ matrix.T + means[:, None]
        shown[j, : len(matrix)] = trees_shown.mean(axis=0)
        band[j, : len(matrix)] = trees_shown.std(axis=0)
    return shown, band


def _grids(
    pairs: Sequence[tuple[Floats, float]], matrices: Sequence[Floats], shown: Floats, mean: float
) -> tuple[Floats, Floats]:
    """Pure interactions and joint marginals at the points of each pair of axes [pairs, P, P]."""
    size = shown.shape[1]
    interaction, joint = numpy.full((2, len(pairs), size, size), numpy.nan)
    for number, ((i, j), (grid, _)) in enumerate(zip(all_pairs(len(matrices)), pairs, strict=True)):
        a, b = matrices[i], matrices[j]
        interaction[number, : len(a), : len(b)] = a @ grid @ b.T
        joint[number] = interaction[number] + shown[i][:, None] + shown[j][None, :] - mean
    return interaction, joint


def _forest(mains: Floats, pair: Floats, rest: Floats, rest_totals: Floats) -> tuple[list[Shares], float, float]:
    """Shares of main effects, pairs, orders and totals from exact variances and a sampled remainder [R], [R, d]."""
    exact = mains.sum() + pair.sum()
    variances = exact + rest  # one estimate for each scrambling
    totals = mains + rest_totals
    for (i, j), value in zip(all_pairs(mains.size), pair, strict=True):
        totals[:, [i, j]] += value
    orders = numpy.stack(
        [numpy.broadcast_to(mains.sum(), rest.shape), numpy.broadcast_to(pair.sum(), rest.shape), rest], 1
    )
    found = []
    with numpy.errstate(invalid="ignore", divide="ignore"):
        for part in (numpy.tile(mains, (rest.size, 1)), numpy.tile(pair, (rest.size, 1)), orders, totals):
            value = part.mean(axis=0) / variances.mean()
            # of a ratio of two means over scramblings, linearised
            error = _error((part - value * variances[:, None]) / variances.mean())
            found.append(Shares(value, error, numpy.full(value.shape, numpy.nan)))
    return found, float(variances.mean()), float(_error(variances[:, None])[0])


def _error(samples: Floats) -> Floats:
    """Standard error of the mean over the first axis; none of a single one, which is exact here."""
    if len(samples) == 1:
        return numpy.zeros(samples.shape[1:])
    return numpy.asarray(samples.std(axis=0, ddof=1) / len(samples) ** 0.5)


def _per_tree(
    forest: Forest, made: Leaves, per_tree: list[Floats], scramblings: int, points: int, seed: int
) -> tuple[list[Shares], bool]:
    """Mean and standard deviation over trees of each tree's shares; whether the totals were sampled."""
    variances = made.variances
    mains = main_variances(forest.boxes, per_tree)
    pair = pair_variances(made, all_pairs(len(per_tree))).T
    orders = numpy.stack([mains.sum(axis=1), pair.sum(axis=1), numpy.zeros(variances.size)], axis=1)
    if len(per_tree) > 2:
        orders[:, 2] = variances - orders[:, 0] - orders[:, 1]
    sampled = not affordable(made)
    options = {"scramblings": scramblings, "points": points, "seed": seed}
    draws = tree_totals(forest, **options) if sampled else total_variances(made)[None]
    grown = variances > 0
    if not grown.any():
        return [Shares(*numpy.full((3, part.shape[1]), numpy.nan)) for part in (mains, pair, orders, mains)], sampled
    found = []
    for part in (mains, pair, orders):
        shares = part[grown] / variances[grown, None]
        found.append(Shares(shares.mean(axis=0), numpy.zeros(part.shape[1]), shares.std(axis=0)))
    totals = draws[:, grown] / variances[grown, None]
    found.append(Shares(totals.mean(axis=(0, 1)), _error(totals.mean(axis=1)), totals.mean(axis=0).std(axis=0)))
    return found, sampled
