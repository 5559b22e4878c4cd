"""Figures of marginals: score and training time against each hyperparameter, for one cell and for all.

Drawn from the datasets of ``lstm_odyssey.reports.fanova.api``, on the axes on which the hyperparameters were drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lstm_odyssey.reports.contract.selection import as_study
from lstm_odyssey.reports.contract.variables import FINISHED
from lstm_odyssey.reports.contract.wording import fixed
from lstm_odyssey.reports.plots.axis import Shown, look, name_cells, prepare, present, shown
from lstm_odyssey.reports.plots.style import BLUE, GREEN, INK, SOFT, VERMILLION, blank, styled, tag
from lstm_odyssey.reports.stats.table import ceiling, maximizes

RASTER = 60
"""More points than these are drawn as pixels in a vector figure."""


@styled
def marginals(
    study: xarray.Dataset, effects: xarray.Dataset, times: xarray.Dataset | None, task: str, variant: str
) -> Figure:
    """The paper's marginals of one cell: score above, training time below, against each hyperparameter.

    Line: mean over all other hyperparameters; band: standard deviation over trees; dotted: refit spread, where there
    is one; points and rug: the trials; dot and black line: the best place and its refit spread. Each row names its own R².

    Args:
        study: gives the trials.
        effects: the functional ANOVA of the score.
        times: that of the training time, if there is one.
        task, variant: which cell.
    """
    study = as_study(study)
    axes_shown = shown(effects, task)
    rows = 1 if times is None else 2
    figure = blank(2.35 * max(1, len(axes_shown)) + 0.5, 2.2 * rows + 0.35)
    grid = figure.subplots(rows, max(1, len(axes_shown)), squeeze=False, sharex="col", sharey="row")
    for row, (result, color) in enumerate(((effects, BLUE), (times, GREEN))[:rows]):
        assert result is not None
        part = result.sel(task=task, variant=variant).isel(clip=0)
        values = _responses(study, task, variant, result)
        for axes, one in zip(grid[row], axes_shown, strict=False):
            _marginal(axes, one, part, study.sel(task=task, variant=variant), values, color)
            prepare(axes, one, label=row == rows - 1, small=True)
        _explained(grid[row, -1], part)
        units = str(result["response_units"].sel(task=task).item())
        grid[row, 0].set_ylabel(f"test score ({units})" if row == 0 else f"training time ({units})")
        grid[row, 0].yaxis.set_major_locator(MaxNLocator(5))
        _frame(grid[row, 0], part["curve"].values, part["curve_over_trees"].values, values)
    return figure


def _explained(axes: Axes, part: xarray.Dataset) -> None:
    """R² of one row over its last panel, marked where it is poor; nothing where nothing was analysed."""
    known, flagged = (part[name].item() for name in ("r_squared", "flagged"))
    if math.isfinite(known):
        axes.annotate(
            f"R² {fixed(known)} !" if flagged else f"R² {fixed(known)}", (1, 1), (0, 3), xycoords="axes fraction",
            textcoords="offset points", ha="right", fontsize=7.5, color=VERMILLION if flagged else INK,
        )  # fmt: skip


def _responses(study: xarray.Dataset, task: str, variant: str, result: xarray.Dataset) -> numpy.ndarray[Any, Any]:
    """The response of every trial as the analysis took it; NaN where a trial has none."""
    part, response = study.sel(task=task, variant=variant), str(result.attrs["response"])
    values = part[response].values.astype(float)
    chance = float(result["ceiling"].sel(task=task))
    if math.isfinite(chance):
        values = ceiling(values, chance, maximize=maximizes(study, task))
    return numpy.where(numpy.isin(part["status"].values, FINISHED), values, numpy.nan)


def _marginal(
    axes: Axes, one: Shown, part: xarray.Dataset, trials: xarray.Dataset, values: numpy.ndarray[Any, Any], color: str
) -> None:
    at = one.place(one.positions)
    drawn = trials[one.name].values
    if one.levels:
        number = {name: float(place) for place, name in enumerate(one.levels)}
        where = numpy.array([number.get(str(value), math.nan) for value in drawn])
    else:
        where = one.place(drawn.astype(float))
    raster = where.size > RASTER
    if raster:
        axes.set_rasterization_zorder(1.5)
    axes.plot(where, values, ".", color=SOFT, markersize=2.6, alpha=0.45, label="_trials", zorder=1)
    axes.plot(where, numpy.zeros(where.size), "|", color=SOFT, markersize=5, markeredgewidth=0.5, alpha=0.6,
              transform=axes.get_xaxis_transform(), label="_rug", clip_on=False, zorder=1)  # fmt: skip
    known = slice(0, at.size)
    curve, band = part["curve"].values[one.number, known], part["curve_over_trees"].values[one.number, known]
    if not numpy.isfinite(curve).any():
        axes.annotate("not analysed", (0.5, 0.5), xycoords="axes fraction", ha="center", color=SOFT)
        return
    if one.levels:
        axes.errorbar(at, curve, band, fmt="o", color=color, markersize=4, label="marginal")
        return
    axes.fill_between(at, curve - band, curve + band, color=color, alpha=0.22, linewidth=0, label="_band", zorder=3)
    axes.plot(at, curve, color=color, label="marginal", zorder=4)
    for end in ("curve_low", "curve_high"):
        axes.plot(at, part[end].values[one.number, known], color=color, linewidth=0.8, linestyle=":", label="_refits")
    best, height = (float(part[name].values[one.number]) for name in ("optimum", "optimum_response"))
    ends = numpy.array([float(part[name].values[one.number]) for name in ("optimum_low", "optimum_high")])
    if numpy.isfinite(ends).all():
        axes.plot(one.place(ends), [height, height], color=INK, linewidth=1.2, label="_optimum refits", zorder=5)
    axes.plot(one.place(numpy.array([best])), [height], "o", color=INK, markersize=4, label="_optimum", zorder=5)


def _frame(axes: Axes, curve: Any, band: Any, values: Any) -> None:
    """Limits by the curves and the trials; single trials that are far beyond all others leave the frame."""
    finite = values[numpy.isfinite(values)]
    seen = numpy.concatenate(
        [(curve - band).ravel(), (curve + band).ravel(), numpy.quantile(finite, [0, 0.98])] if finite.size else [[]]
    )
    seen = seen[numpy.isfinite(seen)]
    if seen.size and numpy.ptp(seen) > 0:
        room = 0.06 * float(numpy.ptp(seen))
        axes.set_ylim(float(seen.min()) - room, float(seen.max()) + room)


@styled
def overview(effects: xarray.Dataset, task: str, *, order: Sequence[str] | None = None) -> Figure:
    """The marginals of all cells in one figure, one panel for each hyperparameter."""
    variants, axes_shown = present(order, effects), shown(effects, task)
    figure = blank(2.35 * max(1, len(axes_shown)) + 1.6, 2.9)
    grid = figure.subplots(1, max(1, len(axes_shown)), squeeze=False, sharey=True)[0]
    lines: dict[int, Line2D] = {}
    for axes, one in zip(grid, axes_shown, strict=False):
        lines = {}
        for position, variant in enumerate(variants):
            curve = (
                effects["curve"].sel(task=task, variant=variant).isel(clip=0).values[one.number, : one.positions.size]
            )
            color, dashes = look(position)
            style: dict[str, Any] = {"linestyle": "none", "marker": "o"} if one.levels else {"linestyle": dashes}
            if numpy.isfinite(curve).any():
                (line,) = axes.plot(one.place(one.positions), curve, color=color, label=variant, **style)
                tag(position, f"marginal{one.number}", [line])
                lines[position] = line
        prepare(axes, one, small=True)
    grid[0].set_ylabel(f"marginal test score ({effects['response_units'].sel(task=task).item()})")
    if lines:
        name_cells(figure, lines)
    return figure
