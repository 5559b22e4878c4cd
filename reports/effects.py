"""Figures of a functional ANOVA: marginals of error and time, shares of the variance, pairs, importance by cut-off.

All are drawn from the datasets of ``lstm_odyssey.reports.fanova``, on the axes on which the hyperparameters were drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from lstm_odyssey.reports.axis import Shown, look, prepare, present, shown
from lstm_odyssey.reports.drawing import BLUE, GREEN, INK, SOFT, VERMILLION, blank, styled
from lstm_odyssey.reports.table import ceiling, maximizes
from lstm_odyssey.reports.variables import FINISHED

RASTER = 60
"""More points than these are drawn as pixels in a vector figure."""

CLEAR = 0.07
"""Shares from here on have their number written into the bar."""


@styled
def marginals(
    study: xarray.Dataset, effects: xarray.Dataset, times: xarray.Dataset | None, task: str, variant: str
) -> Figure:
    """The paper's marginals of one cell: score above, training time below, against each hyperparameter.

    Line: mean over all other hyperparameters; band: standard deviation over trees; dotted: bootstrap interval, where there
    is one; points and rug: the trials; dot: the best place.

    Args:
        study: gives the trials.
        effects: the functional ANOVA of the score.
        times: that of the training time, if there is one.
        task, variant: which cell.
    """
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
        units = str(result["response_units"].sel(task=task).item())
        grid[row, 0].set_ylabel(f"test score ({units})" if row == 0 else f"training time ({units})")
        grid[row, 0].yaxis.set_major_locator(MaxNLocator(5))
        _frame(grid[row, 0], part["curve"].values, part["curve_over_trees"].values, values)
    return figure


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
    curve, band = part["curve"].values[one.index, known], part["curve_over_trees"].values[one.index, known]
    if not numpy.isfinite(curve).any():
        axes.annotate("not analysed", (0.5, 0.5), xycoords="axes fraction", ha="center", color=SOFT)
        return
    if one.levels:
        axes.errorbar(at, curve, band, fmt="o", color=color, markersize=4, label="marginal")
        return
    axes.fill_between(at, curve - band, curve + band, color=color, alpha=0.22, linewidth=0, label="_band", zorder=3)
    axes.plot(at, curve, color=color, label="marginal", zorder=4)
    for end in ("curve_low", "curve_high"):
        axes.plot(at, part[end].values[one.index, known], color=color, linewidth=0.8, linestyle=":", label="_interval")
    best, height = (float(part[name].values[one.index]) for name in ("optimum", "optimum_response"))
    ends = numpy.array([float(part[name].values[one.index]) for name in ("optimum_low", "optimum_high")])
    if numpy.isfinite(ends).all():
        axes.plot(one.place(ends), [height, height], color=INK, linewidth=1.2, label="_optimum interval", zorder=5)
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
    lines = []
    for axes, one in zip(grid, axes_shown, strict=False):
        lines = []
        for position, variant in enumerate(variants):
            curve = (
                effects["curve"].sel(task=task, variant=variant).isel(clip=0).values[one.index, : one.positions.size]
            )
            color, dashes = look(position)
            style: dict[str, Any] = {"linestyle": "none", "marker": "o"} if one.levels else {"linestyle": dashes}
            if numpy.isfinite(curve).any():
                lines += axes.plot(one.place(one.positions), curve, color=color, label=variant, **style)
        prepare(axes, one, small=True)
    grid[0].set_ylabel(f"marginal test score ({effects['response_units'].sel(task=task).item()})")
    if lines:
        figure.legend(handles=lines, loc="outside right center", frameon=False, handlelength=2.4, fontsize=8)
    return figure


@styled
def shares(effects: xarray.Dataset, task: str, *, order: Sequence[str] | None = None) -> Figure:
    """Shares of the predictable variance as stacked bars: the raw response, and beside it clipped ones.

    Bars in place of the paper's pies: nine cells stand one below the other and can be compared.
    """
    variants, clips = present(order, effects), effects["clip"].values.tolist()
    names = [one.name for one in shown(effects, task)]
    figure = blank(3.6 * len(clips) + 1.3, 0.95 + 0.27 * len(variants))
    grid = figure.subplots(1, len(clips), squeeze=False, sharey=True)[0]
    for axes, clip in zip(grid, clips, strict=True):
        part = effects.sel(task=task, clip=clip)
        main = part["main_share"].sel(hyperparameter=names).transpose("variant", "hyperparameter")
        orders = part["order_share"].transpose("variant", ...)
        for row, variant in enumerate(variants):
            values = [*main.sel(variant=variant).values.tolist(), *orders.sel(variant=variant).values[1:].tolist()]
            if not numpy.isfinite(values).all():
                axes.annotate(
                    f"not analysed (n = {int(part['n'].sel(variant=variant))})",
                    (0.5, row),
                    ha="center",
                    va="center",
                    color=SOFT,
                )
                continue
            _bar(axes, row, values, len(names))
            r_squared, flagged = (
                float(part["r_squared"].sel(variant=variant)),
                bool(part["flagged"].sel(variant=variant)),
            )
            words = f"R² {r_squared:.2f}" + (" !" if flagged else "")
            axes.annotate(
                words,
                (1.015, row),
                va="center",
                fontsize=7.5,
                color=VERMILLION if flagged else INK,
                annotation_clip=False,
            )
        axes.set_xlim(0, 1.14)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.set_ylim(len(variants) - 0.4, -0.6)
        axes.set_yticks(range(len(variants)), variants)
        axes.tick_params("y", length=0)
        axes.grid(False)
        axes.set_title("raw response" if clip == 1 else f"clipped at the {100 * clip:g} % quantile", fontsize=8.5)
        axes.set_xlabel("share of the predictable variance")
    handles = [grid[0].barh(0, 0, **_look(place, len(names))) for place in range(len(names) + 2)]
    labels = [one.label for one in shown(effects, task)] + ["interactions of two", "of three and more"]
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=len(labels),
        frameon=False,
        fontsize=7.5,
        columnspacing=1.2,
        handlelength=1.2,
    )
    return figure


def _look(place: int, mains: int) -> dict[str, Any]:
    """Main effects in the colours of the sheet, interactions in greys."""
    if place < mains:
        return {"color": look(place)[0], "alpha": 0.85}
    return {"facecolor": "#9A9A9A" if place == mains else "#D8D8D8"}


def _bar(axes: Axes, row: int, values: list[float], mains: int) -> None:
    left = 0.0
    for place, value in enumerate(values):
        axes.barh(row, value, left=left, height=0.72, **_look(place, mains))
        if value >= CLEAR:
            color = INK if place > mains else "white"
            axes.annotate(f"{value:.0%}", (left + value / 2, row), ha="center", va="center", fontsize=7.5, color=color)
        left += value


@styled
def cutoffs(effects: xarray.Dataset, task: str, *, order: Sequence[str] | None = None) -> Figure:
    """Importance against the cut-off: main effects and interactions for each quantile at which the response was clipped."""
    variants, names = present(order, effects), [one.name for one in shown(effects, task)]
    labels = [one.label for one in shown(effects, task)]
    columns = min(len(variants), 5)
    rows = -(-len(variants) // columns)
    figure = blank(max(4.2, 1.75 * columns + 0.4), 1.55 * rows + 0.75)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    lines: list[Any] = []
    for place, axes in enumerate(grid.ravel()):
        if place >= len(variants):
            axes.set_axis_off()
            continue
        part = effects.sel(task=task, variant=variants[place])
        quantile = effects["clip"].values
        lines = []
        for number, name in enumerate(names):
            lines += axes.plot(
                quantile, part["main_share"].sel(hyperparameter=name).values, ".-", color=look(number)[0]
            )
        interactions = part["order_share"].transpose("clip", "order").values[:, 1:].sum(axis=1)
        lines += axes.plot(quantile, interactions, ".--", color=SOFT)
        axes.set_title(variants[place], fontsize=8)
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.xaxis.set_major_formatter(PercentFormatter(1))
    figure.supxlabel("the response is clipped at this quantile (100 %: raw)", fontsize=8.5)
    figure.supylabel("share of the variance", fontsize=8.5)
    figure.legend(
        lines,
        [*labels, "interactions"],
        loc="outside upper center",
        ncols=len(lines),
        frameon=False,
        fontsize=7.5,
        columnspacing=1.2,
    )
    return figure


@styled
def pairs(effects: xarray.Dataset, task: str, variant: str) -> Figure:
    """For each pair of hyperparameters the joint marginal beside the pure interaction, one colour scale centred on 0.

    The joint marginal is drawn as its distance from the mean.
    """
    by_name = {one.name: one for one in shown(effects, task)}
    part = effects.sel(task=task, variant=variant).isel(clip=0)
    couples = [
        place
        for place in range(part.sizes["pair"])
        if {str(part["first"].values[place]), str(part["second"].values[place])} <= set(by_name)
    ]
    columns = 1 if len(couples) < 2 else 2
    rows = max(1, -(-len(couples) // columns))
    figure = blank(4.3 * columns + 0.6, 1.95 * rows + 0.1)
    if not couples or not numpy.isfinite(part["joint"].values).any():
        figure.text(0.5, 0.5, "not analysed", ha="center", color=SOFT)
        return figure
    grid = figure.subplots(rows, 2 * columns, squeeze=False)
    mean = float(part["mean"])
    largest = float(numpy.nanmax(numpy.abs(part["joint"].values[couples] - mean))) or 1.0
    image = None
    for number in range(rows * columns):
        left, right = grid[number // columns, 2 * (number % columns) : 2 * (number % columns) + 2]
        if number >= len(couples):
            left.set_axis_off()
            right.set_axis_off()
            continue
        place = couples[number]
        first, second = by_name[str(part["first"].values[place])], by_name[str(part["second"].values[place])]
        size = slice(0, first.positions.size), slice(0, second.positions.size)
        share = float(part["pair_share"].values[place])
        for axes, values, words in (
            (left, part["joint"].values[place][size] - mean, "joint marginal"),
            (right, part["interaction"].values[place][size], f"pure interaction ({share:.1%})"),
        ):
            image = _heat(axes, first, second, values, largest)
            axes.set_title(words, fontsize=8, fontweight="normal")
        right.set_ylabel("")
        right.tick_params("y", labelleft=False)
    assert image is not None
    bar = figure.colorbar(image, ax=list(grid[:, -1]), shrink=0.7, aspect=32)
    bar.set_label(f"less the mean {mean:.4g} ({effects['response_units'].sel(task=task).item()})")
    bar.outline.set_visible(False)
    return figure


def _heat(axes: Axes, first: Shown, second: Shown, values: Any, largest: float) -> Any:
    x, y = first.place(first.positions), second.place(second.positions)
    image = axes.pcolormesh(
        x, y, values.T, cmap=_map(), vmin=-largest, vmax=largest, shading="nearest", rasterized=True
    )
    prepare(axes, first, small=True)
    prepare(axes, second, along="y", small=True)
    axes.grid(False)
    return image


def _map() -> Any:
    from lstm_odyssey.reports.axis import DIVERGING

    return DIVERGING
