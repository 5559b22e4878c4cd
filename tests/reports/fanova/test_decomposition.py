"""The arithmetic of the functional ANOVA: to 1e-12 what classical ANOVA, formulas and another library's trees say."""

from itertools import combinations

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.importance._fanova._tree import _FanovaTree
from sklearn.ensemble import RandomForestRegressor

from lstm_odyssey.reports.fanova import effects as decomposition
from lstm_odyssey.reports.fanova import forest
from lstm_odyssey.reports.fanova import remainder as beyond_pairs
from lstm_odyssey.reports.fanova.analysis import View, analyse, view
from lstm_odyssey.reports.fanova.effects import all_pairs, curves, leaves, main_variances, pair_grids, pair_variances
from lstm_odyssey.reports.fanova.forest import Boxes, fit, grow
from lstm_odyssey.reports.fanova.remainder import remainder, total_variances, tree_totals
from lstm_odyssey.reports.fanova.space import Levels, LogUniform, OneMinus, Uniform, axis
from tests.boxes import classical, cut, factorial, grown, of_the_mean, on_grid, own_cells, subset_variances, subsets
from tests.tools.ground_truths import friedman

EXACT = 1e-12

MASSES = {
    "equal": [[1 / 2] * 2, [1 / 3] * 3, [1 / 4] * 4],
    "unequal": [[0.9, 0.1], [0.2, 0.5, 0.3], [0.05, 0.15, 0.6, 0.2]],
    "five factors": [[0.3, 0.7], [0.5, 0.5], [0.2, 0.3, 0.5], [0.6, 0.4], [0.1, 0.2, 0.7]],
}
VIEW = View(numpy.linspace(0.0, 1.0, 11), False)


def singles_and_pairs(made):
    """V_j and V_ij of each tree, and of their mean, from the fast paths."""
    d = len(made.boxes.edges)
    per_tree = [curves(made, j) for j in range(d)]
    effects = [each.mean(axis=0) for each in per_tree]
    mean_pairs = numpy.array([variance for _, variance in pair_grids(made, effects)])
    return (
        main_variances(made.boxes, per_tree), pair_variances(made, all_pairs(d)).T,
        main_variances(made.boxes, effects), mean_pairs,
    )  # fmt: skip


def some_forest(d=4, n=60, trees=8, seed=0, noise=0.3):
    """A forest on made trials whose function has all kinds of effects."""
    generator = numpy.random.default_rng(seed)
    points = generator.random((n, d))
    response = numpy.sin(5 * points[:, 0]) + 3 * points[:, 1] * points[:, 2] * (points[:, 0] > 0.4)
    return fit(cut([Uniform(0, 1)] * d, points), response + noise * generator.normal(size=n), trees=trees, seed=seed)


@pytest.mark.parametrize("masses", MASSES.values(), ids=MASSES)
def test_a_full_factorial_is_classical_anova(masses):
    """Grown to purity on a full factorial of mixed levels, every subset's variance is classical ANOVA's."""
    response, boxes = factorial(masses)
    known = classical(response, masses)
    made = leaves(boxes)
    d = len(masses)
    every = subset_variances(made)
    assert set(every) == set(known)
    assert all(abs(every[subset][0] - value) < EXACT for subset, value in known.items())
    mains, pairs, mean_mains, mean_pairs = singles_and_pairs(made)
    for found in (mains[0], mean_mains):
        assert abs(found - [known[j,] for j in range(d)]).max() < EXACT
    for found in (pairs[0], mean_pairs):
        assert abs(found - [known[pair] for pair in all_pairs(d)]).max() < EXACT
    totals = [sum(value for subset, value in known.items() if j in subset) for j in range(d)]
    assert abs(total_variances(made)[0] - totals).max() < EXACT
    assert abs(made.variances[0] - sum(known.values())) < EXACT


@pytest.mark.parametrize("d", [2, 3, 5])
def test_parity_has_the_d_way_effect_only(d):
    """The parity of d fair bits is one interaction of all d of them: its variance is ¼, and any other part is 0."""
    places = numpy.stack(numpy.meshgrid(*[[0, 1]] * d, indexing="ij"), axis=-1).reshape(-1, d)
    made = leaves(grown(places, places.sum(axis=1) % 2, [numpy.array([0, 0.5, 1.0])] * d))
    every = subset_variances(made)
    assert abs(every.pop(tuple(range(d)))[0] - 0.25) < EXACT
    assert all(abs(value[0]) < EXACT for value in every.values())
    assert abs(singles_and_pairs(made)[0]).max() < EXACT


@given(p=st.floats(0.01, 0.99), q=st.floats(0.01, 0.99), scale=st.floats(-9, 9).filter(lambda x: abs(x) > 0.1))
def test_a_corner(p, q, scale):
    """c 1[u_1 < p] 1[u_2 < q] has V_1 = c² q² p(1-p), V_2 = c² p² q(1-q), V_12 = c² pq(1-p)(1-q)."""
    edges = (numpy.array([0, p, 1.0]), numpy.array([0, q, 1.0]))
    lower, upper = (
        numpy.array([[0, 0], [0, 1], [1, 0]], numpy.int32),
        numpy.array([[1, 1], [1, 2], [2, 2]], numpy.int32),
    )
    made = leaves(Boxes(lower, upper, numpy.array([scale, 0.0, 0.0]), numpy.zeros(3, int), edges, 1))
    mains, pairs, mean_mains, mean_pairs = singles_and_pairs(made)
    known = scale**2 * numpy.array([q**2 * p * (1 - p), p**2 * q * (1 - q), p * q * (1 - p) * (1 - q)])
    for found in (
        [*mains[0], *pairs[0]],
        [*mean_mains, *mean_pairs],
        [v[0] for v in subset_variances(made).values()],
    ):
        assert abs(numpy.array(found) - known).max() < EXACT * scale**2 + 1e-15


@given(seed=st.integers(0, 10**6), d=st.integers(2, 4), n=st.integers(5, 30), trees=st.integers(1, 4))
def test_trees_are_divided_without_remainder(seed, d, n, trees):
    """Of any tree, the variances of all subsets are not negative and sum to that of its leaves; fast paths agree with all."""
    made = leaves(some_forest(d=max(d, 3), n=n, trees=trees, seed=seed).boxes)
    every = subset_variances(made)
    scale = max(1.0, float(made.variances.max()))
    assert min(value.min() for value in every.values()) > -EXACT * scale
    assert abs(sum(every.values()) - made.variances).max() < EXACT * scale
    mains, pairs, _, _ = singles_and_pairs(made)
    for j in range(mains.shape[1]):
        assert abs(mains[:, j] - every[j,]).max() < EXACT * scale
        held = sum(value for subset, value in every.items() if j in subset)
        assert abs(total_variances(made)[:, j] - held).max() < EXACT * scale
    for number, pair in enumerate(all_pairs(mains.shape[1])):
        assert abs(pairs[:, number] - every[pair]).max() < EXACT * scale


def test_the_mean_of_a_forest_by_its_grid():
    """Main effects and pairs of the forest's mean, and every curve, equal classical ANOVA of the mean on the grid of cells."""
    found = some_forest(d=3, n=14, trees=6)
    response, masses = on_grid(found.boxes)
    known = classical(response, masses)
    made = leaves(found.boxes)
    _, _, mains, pairs = singles_and_pairs(made)
    assert abs(mains - [known[j,] for j in range(3)]).max() < EXACT
    assert abs(pairs - [known[pair] for pair in all_pairs(3)]).max() < EXACT
    curve = numpy.einsum("abc,b,c->a", response, masses[1], masses[2])
    assert abs(curves(made, 0).mean(axis=0) + made.means.mean() - curve).max() < EXACT


def test_batches_of_trees_change_nothing(monkeypatch):
    """Pairs per tree are the same whether the grids of all trees are made at once or one after another."""
    made = leaves(some_forest().boxes)
    at_once = pair_variances(made, all_pairs(4))
    monkeypatch.setattr(decomposition, "BATCH", 1)
    assert abs(pair_variances(made, all_pairs(4)) - at_once).max() < EXACT


def test_an_unsplit_hyperparameter_is_exactly_zero():
    """What no tree splits on has exactly the share 0: alone, in every pair, in its total, per tree and of the mean."""
    generator = numpy.random.default_rng(1)
    points = generator.random((80, 3))
    cells = cut([Uniform(0, 1)] * 3, points)
    cells[1] = Levels([0, 1], [0.5, 0.5]).cells(numpy.zeros(80))
    for name in ("forest", "per_tree"):
        found = analyse(cells, points[:, 0] + points[:, 2] ** 2, [VIEW] * 3, decomposition=name, trees=10)
        assert found.main.value[1] == found.total.value[1] == found.pair.value[0] == found.pair.value[2] == 0
        assert found.main.value[0] > 0.1
        assert not found.interaction[0].any()


@pytest.mark.parametrize("decomposition", ["forest", "per_tree"])
def test_a_change_of_axis_with_its_measure_changes_nothing(decomposition):
    """x and exp(x), x and 1 - x: with the CDF that belongs to it, any monotone axis gives the same shares and curves."""
    generator = numpy.random.default_rng(2)
    u = generator.random((70, 3))
    response = numpy.sin(4 * u[:, 0]) + u[:, 1] * u[:, 2]
    plain = [Uniform(0, 1)] * 3
    log, low = LogUniform(1e-6, 1e-2), Uniform(-3, 8)
    momentum = OneMinus(LogUniform(0.01, 1))
    bent = [log, low, momentum]
    moved = numpy.stack([each.quantile(u[:, j]) for j, each in enumerate(bent)], axis=1)
    one, other = (
        analyse(cut(axes, points), response, [VIEW] * 3, decomposition=decomposition, trees=20)
        for axes, points in ((plain, u), (bent, moved))
    )
    for name in ("main", "pair", "order", "total"):
        assert abs(getattr(one, name).value - getattr(other, name).value).max() < EXACT
    for name in ("curve", "joint", "interaction", "variance", "r_squared"):
        assert numpy.abs(numpy.subtract(getattr(one, name), getattr(other, name))).max() < EXACT


def test_log_and_linear_axes_of_one_importance():
    """Two equally important hyperparameters, one drawn log-uniformly, have equal shares: the measure is the draw's."""
    generator = numpy.random.default_rng(3)
    axes = [LogUniform(1e-6, 1e-2), Uniform(0, 1)]
    points = numpy.stack([each.quantile(generator.random(400)) for each in axes], axis=1)
    response = numpy.log10(points[:, 0]) / 4 + points[:, 1]
    found = analyse(cut(axes, points), response, [VIEW] * 2, trees=50).main.value
    assert abs(found[0] - found[1]) < 0.06 and found.sum() > 0.98


@pytest.mark.parametrize("seed", [0, 1])
def test_another_librarys_trees(seed):
    """The same forest through optuna's tree class: variances, main effects, and pairs with what they contain, to 1e-12."""
    generator = numpy.random.default_rng(seed)
    points = generator.random((50, 3))
    response = friedman().function(numpy.concatenate([points, generator.random((50, 2))], axis=1)) / 5
    fitted = RandomForestRegressor(6, random_state=seed).fit(points, response)
    trees = [each.tree_ for each in fitted.estimators_]
    centres, edges = own_cells(trees, 3)
    made = leaves(forest.boxes(trees, centres, edges))
    mains, pairs, _, _ = singles_and_pairs(made)
    for number, tree in enumerate(trees):
        theirs = _FanovaTree(tree, numpy.array([[0.0, 1.0]] * 3))
        scale = theirs.variance
        assert abs(made.variances[number] - scale) < EXACT * scale
        for j in range(3):
            assert abs(mains[number, j] - theirs.get_marginal_variance(numpy.array([j]))) < EXACT * scale
        for place, (i, j) in enumerate(all_pairs(3)):
            ours = mains[number, i] + mains[number, j] + pairs[number, place]
            assert abs(ours - theirs.get_marginal_variance(numpy.array([i, j]))) < EXACT * scale


def test_boxes_are_the_trees():
    """At any point exactly one leaf of each tree holds it, and has the value that the tree predicts."""
    found = some_forest(trees=5)
    cells = numpy.random.default_rng(4).integers(0, [edge.size - 1 for edge in found.boxes.edges], (200, 4))
    held = ((found.boxes.lower <= cells[:, None]) & (cells[:, None] < found.boxes.upper)).all(axis=2)
    for tree, predicted in enumerate(found.predict(cells)):
        inside = held & (found.boxes.tree == tree)
        assert (inside.sum(axis=1) == 1).all()
        assert (inside @ found.boxes.values == predicted).all()


def test_leaves_of_no_mass_are_dropped():
    """A level that cannot be drawn takes no part, though a tree has seen it."""
    response, boxes = factorial([[0.5, 0.0, 0.5], [0.25, 0.75]])
    assert len(boxes.values) == 4
    made = leaves(boxes)
    known = classical(response[[0, 2]], [[0.5, 0.5], [0.25, 0.75]])
    assert abs(made.variances[0] - sum(known.values())) < EXACT


def exact_of_mean(found):
    """Every V_U of the forest's mean, from all pairs of leaves of all trees."""
    return {subset: float(value[0]) for subset, value in subset_variances(of_the_mean(found)).items()}


@pytest.mark.parametrize("seed", range(3))
def test_what_is_sampled_lies_within_its_standard_error(seed):
    """Total variance, orders and totals of the forest's mean lie within four stated standard errors of exact values."""
    generator = numpy.random.default_rng(seed)
    points = generator.random((80, 4))
    response = 4.0 * (points[:, :3] > 0.5).all(axis=1) + points[:, 3] * points[:, 0]
    cells = cut([Uniform(0, 1)] * 4, points)
    settings = {"trees": 5, "seed": seed}
    found = analyse(cells, response, [VIEW] * 4, **settings)
    known = exact_of_mean(fit(cells, response - response.mean(), **settings))
    variance = sum(known.values())
    assert 0 < found.variance_error < 0.05 * variance
    assert abs(found.variance - variance) < 4 * found.variance_error
    orders = [sum(v for u, v in known.items() if min(len(u), 3) == k) / variance for k in (1, 2, 3)]
    assert orders[2] > 0.02, "nothing of the third order to be sampled"
    totals = [sum(v for u, v in known.items() if j in u) / variance for j in range(4)]
    mains = [known[j,] / variance for j in range(4)]
    pairs = [known[pair] / variance for pair in all_pairs(4)]
    for shares, exact in ((found.order, orders), (found.total, totals), (found.main, mains), (found.pair, pairs)):
        assert (abs(shares.value - exact) < 4 * shares.standard_error + EXACT).all()
        assert (shares.standard_error < 0.02).all()
    assert abs(found.order.value.sum() - 1) < EXACT


def test_sampled_totals_of_trees():
    """Where pairs of leaves are too many to count, totals per tree are sampled: within four standard errors of exact ones."""
    found = some_forest(trees=3)
    exact = total_variances(leaves(found.boxes))
    draws = tree_totals(found)
    error = draws.std(axis=0, ddof=1) / len(draws) ** 0.5
    assert (abs(draws.mean(axis=0) - exact) <= 4 * error + EXACT).all() and (error < 0.05 * exact.max()).all()


def test_too_many_leaves_are_sampled(monkeypatch):
    """Beyond what is affordable per-tree totals are sampled, said so with their error, and agree with the exact ones."""
    points = numpy.random.default_rng(11).random((60, 3))
    cells = cut([Uniform(0, 1)] * 3, points)
    exact, sampled = [], []
    for found, most in ((exact, beyond_pairs.MOST_LEAVES), (sampled, 10)):
        monkeypatch.setattr(beyond_pairs, "MOST_LEAVES", most)
        found.append(analyse(cells, points[:, 0] * points[:, 1], [VIEW] * 3, decomposition="per_tree", trees=5))
    assert exact[0].sampled == (False, False) and sampled[0].sampled == (False, True)
    total, error = sampled[0].total.value, sampled[0].total.standard_error
    assert (error[:2] > 0).all() and (abs(total - exact[0].total.value) <= 4 * error + EXACT).all()
    assert not exact[0].total.standard_error.any()


def test_standard_errors_are_honest():
    """Over 60 scramblings of other seeds the sampled variance scatters as its standard error says, and is not biased."""
    generator = numpy.random.default_rng(5)
    points = generator.random((40, 3))
    found = fit(cut([Uniform(0, 1)] * 3, points), (points - 0.5).prod(axis=1), trees=4)
    made = leaves(found.boxes)
    effects = [curves(made, j).mean(axis=0) for j in range(3)]
    grids = [grid for grid, _ in pair_grids(made, effects)]
    draws = [remainder(found, float(made.means.mean()), effects, grids, seed=seed, points=64)[0] for seed in range(60)]
    errors = numpy.array([each.std(ddof=1) / len(each) ** 0.5 for each in draws])
    scaled = (numpy.mean(draws, axis=1) - exact_of_mean(found)[0, 1, 2]) / errors
    assert 0.75 < scaled.std() < 1.4 and abs(scaled.mean()) < 4 / 60**0.5


def test_two_axes_leave_nothing_to_sample():
    """Of two hyperparameters main effects and one pair are all there is: everything is exact and sums to one."""
    points = numpy.random.default_rng(6).random((50, 2))
    found = analyse(cut([Uniform(0, 1)] * 2, points), points[:, 0] * points[:, 1], [VIEW] * 2, trees=10)
    assert found.sampled == (False, False)
    assert abs(found.main.value.sum() + found.pair.value.sum() - 1) < EXACT
    assert found.order.value[2] == 0 and not found.order.standard_error.any() and found.variance_error == 0


def test_a_large_mean_costs_no_digits():
    """Shares do not change when a million is added to the response (its numbers and their mean being exact either way)."""
    points = numpy.random.default_rng(7).random((64, 3))
    response = numpy.round((points[:, 0] + points[:, 1] * points[:, 2]) * 2**12) / 2**12
    low, high = (analyse(cut([Uniform(0, 1)] * 3, points), response + k, [VIEW] * 3, trees=10) for k in (0, 2.0**20))
    assert abs(low.main.value - high.main.value).max() < EXACT
    assert abs(low.variance - high.variance) < EXACT
    assert abs(high.curve - low.curve - 2.0**20).max() < 1e-8


@pytest.mark.parametrize("levels", [False, True])
def test_curves_and_grids_are_means(levels):
    """Over the points, weighted by their masses, curves and joint marginals average to the mean, interactions to zero."""
    generator = numpy.random.default_rng(8)
    points = generator.random((60, 3))
    axes = [Uniform(0, 1), Uniform(0, 1), Uniform(0, 1)]
    if levels:
        axes[1] = Levels([2, 4, 8], [0.2, 0.3, 0.5])
        points[:, 1] = generator.choice([2, 4, 8], 60)
    views = [view(each, 7) for each in axes]
    assert views[1].levels == levels
    found = analyse(cut(axes, points), points[:, 0] * points[:, 1] + points[:, 2], views, trees=10)
    for j, shown in enumerate(views):
        mass = numpy.diff(shown.ends)
        assert abs(found.curve[j, : mass.size] @ mass - found.mean) < EXACT
        assert numpy.isnan(found.curve[j, mass.size :]).all()
    for number, (i, j) in enumerate(all_pairs(3)):
        a, b = numpy.diff(views[i].ends), numpy.diff(views[j].ends)
        grid, joint = (each[number, : a.size, : b.size] for each in (found.interaction, found.joint))
        assert abs(a @ grid).max() < EXACT and abs(grid @ b).max() < EXACT
        assert abs(joint @ b - found.curve[i, : a.size]).max() < EXACT
        assert abs(grid).max() > 1e-3 or 2 in {i, j}


def test_a_factor_has_no_order():
    """Names are split by their means, in whatever order they are listed: the shares are the same, and the curve follows."""
    generator = numpy.random.default_rng(9)
    u, kind = generator.random(120), generator.integers(0, 5, 120)
    response = u + numpy.array([3.0, 0.0, 2.0, 0.5, 3.2])[kind]
    found = []
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1]):
        cell = axis({"kind": "choice", "values": [f"n{k}" for k in order]})
        cells = [Uniform(0, 1).cells(u), cell.cells([f"n{k}" for k in kind])]
        one = analyse(cells, response, [VIEW, view(cell, 2)], nominal=[1], trees=20)
        found.append((one, dict(zip(order, one.curve[1], strict=False))))
    (one, here), (other, there) = found
    assert abs(one.main.value - other.main.value).max() < EXACT
    assert all(abs(here[k] - there[k]) < EXACT for k in range(5))
    assert here[1] < here[3] < here[2] < here[0] and here[2] < here[4]
    assert numpy.allclose([here[k] - here[1] for k in range(5)], [3, 0, 2, 0.5, 3.2], atol=0.3)


def test_many_levels_share_cells():
    """Of a thousand levels neighbours share cells that lie between the trials' levels, and masses are the levels' own."""
    form = {"kind": "even_integer", "distribution": {"kind": "log_uniform", "low": 2, "high": 4000}}
    many = axis(form)
    assert len(many.values) > 1000
    generator = numpy.random.default_rng(12)
    values = many.quantile(generator.random(900))
    cells = many.cells(values)
    numbers = numpy.searchsorted(many.values, values)
    assert cells.edges.size <= 257 and (numpy.diff(cells.edges) > 0).all() and numpy.isin(cells.edges, many.edges).all()
    assert (cells.edges[cells.places] <= many.edges[numbers]).all()
    assert (many.edges[numbers + 1] <= cells.edges[cells.places + 1]).all()
    assert numpy.unique(cells.places).size == cells.edges.size - 1
    few = many.cells(values[:50])
    assert few.edges.size - 1 == numpy.unique(values[:50]).size
    found = analyse(
        [cells, Uniform(0, 1).cells(generator.random(900))], numbers * 1.0, [view(many, 2000), VIEW], trees=5
    )
    assert found.main.value[0] > 0.98 and numpy.isfinite(found.curve[0]).all()


def test_out_of_bag():
    """R² comes from trees that have not seen a trial: near one for a function, about nothing for noise, as scikit-learn's."""
    generator = numpy.random.default_rng(10)
    points = generator.random((200, 2))
    cells = cut([Uniform(0, 1)] * 2, points)
    assert fit(cells, points[:, 0]).r_squared > 0.95
    assert fit(cells, generator.normal(size=200)).r_squared < 0.1
    seen = numpy.stack([each.places for each in cells], axis=1).astype(numpy.float32)
    theirs = RandomForestRegressor(100, oob_score=True, random_state=1).fit(seen, points[:, 0] * points[:, 1])
    assert abs(fit(cells, points[:, 0] * points[:, 1]).r_squared - theirs.oob_score_) < 1e-9


def test_subsets_are_all_there():
    """All subsets but the empty one, small ones first."""
    found = subsets(4)
    assert len(found) == 15 and found[0] == (0,) and found[-1] == (0, 1, 2, 3)
    assert set(found) == {each for size in range(1, 5) for each in combinations(range(4), size)}


@pytest.mark.parametrize("n", [1, 7, 60])
def test_the_forest_is_that_of_scikit_learn(n: int) -> None:
    """Tree by tree what is grown is what RandomForestRegressor grows, on the same bootstrap samples, to the last bit."""
    random = numpy.random.default_rng(n)
    seen = random.integers(0, 9, (n, 3)).astype(numpy.float32)  # ties between trials, and between candidates of a split
    response = random.normal(size=n)
    expected = RandomForestRegressor(11, random_state=5).fit(seen, response)
    trees, samples = grow(seen, response, 11, 5)
    assert len(trees) == len(samples) == 11
    for tree, sample, one, its in zip(trees, samples, expected.estimators_, expected.estimators_samples_, strict=True):
        assert sample.tolist() == its.tolist()
        for part in ("feature", "threshold", "children_left", "children_right", "value", "n_node_samples", "impurity"):
            assert numpy.array_equal(getattr(tree, part), getattr(one.tree_, part)), part
