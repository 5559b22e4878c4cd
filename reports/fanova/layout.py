"""What the dataset of a functional ANOVA holds, as data: every variable with its dimensions, meaning and units.

``fanova`` builds its result by these lists, so the layout that figures and the page are written against stands here.

Dimensions
    ``task``, ``variant``
        those that were asked for; of a pooled analysis the one label ``all``.
    ``clip``
        quantile at which responses were clipped: 1 is the raw response, 0.75 says that the worst quarter counts as no
        worse than the response at that quantile.
    ``hyperparameter``
        names in the order of the search space; of a pooled analysis ``variant`` is the last of them.
    ``pair``
        ``"first:second"`` for all pairs of hyperparameters; the coordinates ``first`` and ``second`` hold both names.
    ``order``
        1 main effects, 2 interactions of two, 3 interactions of three *or more*.
    ``point``, ``other_point``
        places on the sampling axis of a hyperparameter (of a pair's first, of its second): cells of equal probability,
        or the levels of a hyperparameter that has no more of them than there are points.
    ``quantity``
        what ``method`` speaks of: variance, main, pair, order, total, curve.

A share ``<name>_share`` (main, pair, order, total) has beside it ``<name>_share_standard_error``, ``_low``, ``_high`` and
``_over_trees``. ``_low`` and ``_high`` are the refit spread: percentiles of what forests of bootstrap samples of the trials
gave. It is no interval of the true share (``SPREAD_SAYS``). No variable has the name of a dimension.

A number that does not exist is NaN: a hyperparameter that a task does not draw, a point beyond the last level, a
spread that was not computed, the shares of a forest that predicts nothing (R² of 0 or less), everything of a case that
cannot be analysed (``note`` says why).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy
import xarray

from lstm_odyssey.reports.contract.variables import Variable

CASE = ("task", "variant")
CLIPPED = (*CASE, "clip")
EFFECT = (*CLIPPED, "hyperparameter")
PAIR = (*CLIPPED, "pair")
ORDER = (*CLIPPED, "order")
CURVE = (*EFFECT, "point")
GRID = (*PAIR, "point", "other_point")
AXIS = ("task", "hyperparameter")
PLACE = (*AXIS, "point")

POOR = 0.3
"""Below this R² a case is flagged."""

POOLED = "all"
"""The label of ``variant`` where all of them were analysed together."""

FOREST_BIAS = {"learning_rate": 4.0, "input_noise": -2.5}
"""Points by which forests of 200 trials miss true shares, in the mean, on a surface like the JSB Chorales record's, whose
size and momentum have 1 % or less: ``tests.tools.calibration`` measures it again."""

SPREAD_SAYS = (
    "It is no interval. Every forest is biased, on a surface like the JSB record's by about "
    f"{FOREST_BIAS['learning_rate']:+g} points on the learning rate and {FOREST_BIAS['input_noise']:+g} on the input noise. "
    "Refits share the bias, and correcting for it does not help."
).replace("-", "\N{MINUS SIGN}")

QUANTITIES = ("variance", "main", "pair", "order", "total", "curve")

RESPONSE = "units of the response"
SQUARED = "square of the units of the response"
NATURAL = "units of the hyperparameter"

COORDINATES = {
    "task": "corpus bound to one objective",
    "variant": f"recurrent cell; '{POOLED}': all of them together, with the cell as a factor",
    "clip": "quantile at which the response was clipped; 1: not clipped",
    "hyperparameter": "what was drawn",
    "pair": "two hyperparameters, first:second",
    "order": "how many hyperparameters interact; 3: three or more",
    "point": "place on the sampling axis, counted from its low end",
    "other_point": "place on the sampling axis of a pair's second hyperparameter",
    "quantity": "what the method was used for",
}


def _effect(name: str, dims: tuple[str, ...], words: str) -> tuple[Variable, ...]:
    """A share of the variance with everything that is known about its error."""
    return (
        Variable(name, "number", dims, words, "1"),
        Variable(
            f"{name}_standard_error", "number", dims, f"standard error of its computation, 0 if exact: {words}", "1"
        ),
        Variable(f"{name}_low", "number", dims, f"lower end of the refit spread, no interval: {words}", "1"),
        Variable(f"{name}_high", "number", dims, f"upper end of the refit spread, no interval: {words}", "1"),
        Variable(
            f"{name}_over_trees", "number", dims, f"standard deviation over trees, no standard error: {words}", "1"
        ),
    )


VARIABLES = (
    Variable("n", "whole", CASE, "finished trials with a response: what was analysed", "1"),
    Variable("n_diverged", "whole", CASE, "how many of them diverged", "1"),
    Variable("diverged_share", "number", CASE, "probability of divergence, as observed", "1"),
    Variable("ceiling_share", "number", CASE, "share of the trials scored at the ceiling: diverged or not better", "1"),
    Variable("ceiling", "number", ("task",), "response of what is worse than chance: the chance level", RESPONSE),
    Variable("response_units", "text", ("task",), "units of the response"),
    Variable("direction", "text", ("task",), "which responses are better"),
    Variable("cutoff", "number", CLIPPED, "response at which it was clipped; unclipped, the worst response", RESPONSE),
    Variable("mean", "number", CLIPPED, "mean of the decomposed function", RESPONSE),
    Variable("variance", "number", CLIPPED, "variance of the decomposed function; per tree, mean over trees", SQUARED),
    Variable("variance_standard_error", "number", CLIPPED, "standard error of its computation, 0 if exact", SQUARED),
    Variable("r_squared", "number", CLIPPED, "out-of-bag R²: predictable share of the response's variance", "1"),
    Variable("unexplained", "number", CLIPPED, "1 - R²: the shares are shares of the rest", "1"),
    Variable("flagged", "flag", CLIPPED, f"R² is below {POOR:g}: the shares describe little of the response", "1"),
    Variable("note", "text", CLIPPED, "what a reader must know of this case; empty if nothing"),
    Variable("refit_spread", "text", CLIPPED, "how the refit spread was made, or why there is none"),
    Variable("method", "text", (*CLIPPED, "quantity"), "how a quantity was computed: exact, or by sampling"),
    *_effect("main_share", EFFECT, "share of the variance due to one hyperparameter alone"),
    *_effect("pair_share", PAIR, "share of the variance due to the pure interaction of two hyperparameters"),
    *_effect("order_share", ORDER, "share of the variance by how many hyperparameters interact"),
    *_effect("total_share", EFFECT, "share of the variance in which a hyperparameter takes part, alone or interacting"),
    Variable("curve", "number", CURVE, "marginal: mean response over all other hyperparameters", RESPONSE),
    Variable("curve_over_trees", "number", CURVE, "standard deviation of the marginal over trees: the band", RESPONSE),
    Variable("curve_low", "number", CURVE, "lower end of the marginal's refit spread", RESPONSE),
    Variable("curve_high", "number", CURVE, "upper end of the marginal's refit spread", RESPONSE),
    Variable("optimum", "number", EFFECT, "where the marginal is best; a level without value: its number", NATURAL),
    Variable("optimum_low", "number", EFFECT, "lower end of the optimum's refit spread", NATURAL),
    Variable("optimum_high", "number", EFFECT, "upper end of the optimum's refit spread", NATURAL),
    Variable("optimum_response", "number", EFFECT, "the marginal at its best", RESPONSE),
    Variable("joint", "number", GRID, "joint marginal: mean response over all but two hyperparameters", RESPONSE),
    Variable("interaction", "number", GRID, "pure interaction: joint marginal - both marginals + mean", RESPONSE),
    Variable("probability", "number", PLACE, "middle of the point's cell on the sampling axis", "1"),
    Variable("mass", "number", PLACE, "probability of the point's cell: the weight in every mean", "1"),
    Variable("position", "number", PLACE, "the hyperparameter in the middle of the cell; without value, its number", NATURAL),
    Variable("level", "text", PLACE, "the level's name, where a hyperparameter is shown level by level"),
    Variable("scale", "text", AXIS, "axis on which it was drawn: linear, log, log of 1 - x, levels; empty: not drawn"),
)  # fmt: skip


def restored(effects: xarray.Dataset) -> xarray.Dataset:
    """A result of a search, which has no dimensions ``task`` and ``variant``, as one of a study; any other as it is."""
    for dim in CASE:
        if dim not in effects.dims:
            grown = {each.name: effects[each.name].expand_dims(dim) for each in VARIABLES if dim in each.dims}
            effects = effects.drop_vars(dim).assign(grown).assign_coords({dim: [effects[dim].item()]})
    return effects.transpose(*CASE, ...)


def dataset(
    arrays: Mapping[str, numpy.ndarray[Any, Any]],
    coordinates: Mapping[str, Any],
    units: Sequence[str],
    attributes: Mapping[str, str | int | float],
) -> xarray.Dataset:
    """The result of filled arrays; what a number is measured in follows from the units of the responses."""
    shared = units[0] if len(set(units)) == 1 else "by task: response_units"
    spoken = {RESPONSE: shared, SQUARED: f"({shared})^2", NATURAL: "by hyperparameter: hyperparameter_units"}
    coords = {
        name: (dim, numpy.asarray(labels), {"long_name": COORDINATES.get(name, name.replace("_", " "))})
        for name, (dim, labels) in coordinates.items()
    }
    return xarray.Dataset({each.name: each.filled(arrays[each.name], spoken) for each in VARIABLES}, coords, attributes)
