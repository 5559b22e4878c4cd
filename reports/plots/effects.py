"""The figures of a functional ANOVA: marginals, pairs that interact, shares of the variance.

Drawn from the datasets of ``lstm_odyssey.reports.fanova.api``, on the axes on which the hyperparameters were drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy
import xarray
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lstm_odyssey.reports.contract.variables import SCORES
from lstm_odyssey.reports.contract.wording import fixed
from lstm_odyssey.reports.plots.axis import DIVERGING, Shown, look, only, prepare, present, shown
from lstm_odyssey.reports.plots.strips import EDGE
from lstm_odyssey.reports.plots.style import GREEN, INK, SOFT, VERMILLION, blank, styled, tag

GREY = "#B8B8B8"
"""The other cells."""

LEAST = 0.01
"""Share of the variance from which on a pair is worth a panel."""

CLEAR = 0.07
"""Shares from here on have their number written into the bar."""


@styled
def marginals(
    effects: xarray.Dataset,
    times: xarray.Dataset | None = None,
    task: str | None = None,
    variant: str | None = None,
    *,
    order: Sequence[str] | None = None,
) -> Figure:
    """The paper's marginals of one cell, score above and training time below; the other cells' are grey.

    Line: mean over all other hyperparameters; band: standard deviation over trees; dotted: refit spread, where there
    is one; dot and black line: the best place and its refit spread. Each row names its own R². ``order`` has all cells,
    by which the page's filter knows a line. Task and cell may be left out of somebody's search.
    """
    effects, task, variant = only(effects, task, variant)
    across = shown(effects, task)
    explained = "test score" if effects.attrs["response"] in SCORES else effects.attrs["response"]
    rows = [(effects, GREEN, explained)] + ([] if times is None else [(times, GREEN, "training time")])
    figure = blank(1.85 * max(1, len(across)) + 0.7, 1.75 * len(rows) + 0.4)
    grid = figure.subplots(len(rows), max(1, len(across)), squeeze=False, sharex="col", sharey="row")
    names = present(order, effects)
    for row, (result, color, words) in enumerate(rows):
        part = result.sel(task=task).isel(clip=0)
        for axes, one in zip(grid[row], across, strict=False):
            for place, name in enumerate(names):
                if name != variant:
                    curve = part["curve"].sel(variant=name).values[one.number, : one.at.size]
                    style = {"color": GREY, "linewidth": 0.8, "label": "_other", "zorder": 1}
                    tag(place, f"{row}other{one.number}", axes.plot(one.at, curve, **style))
            _marginal(axes, one, part.sel(variant=variant), color)
            prepare(axes, one, label=row == len(rows) - 1)
        _explained(grid[row, -1], part.sel(variant=variant))
        units = result["response_units"].sel(task=task).item()
        grid[row, 0].set_ylabel(words if units == "1" else f"{words}\n({units})")
        grid[row, 0].yaxis.set_major_locator(MaxNLocator(5))
    return figure


def _explained(axes: Axes, part: xarray.Dataset) -> None:
    """R² of one row over its last panel, marked where it is poor; nothing where nothing was analysed."""
    if math.isfinite(float(part["r_squared"])):
        words, color = _r_squared(part)
        axes.set_title(words, loc="right", fontsize=7.5, fontweight="normal", color=color, pad=3)


def _marginal(axes: Axes, one: Shown, part: xarray.Dataset, color: str) -> None:
    known = slice(0, one.at.size)
    curve, band = part["curve"].values[one.number, known], part["curve_over_trees"].values[one.number, known]
    if not numpy.isfinite(curve).any():
        axes.annotate("not analysed", (0.5, 0.5), xycoords="axes fraction", ha="center", color=SOFT)
        return
    if one.levels:
        axes.errorbar(one.at, curve, band, fmt="o", color=color, markersize=4, label="marginal")
        return
    axes.fill_between(one.at, curve - band, curve + band, color=color, alpha=0.22, linewidth=0, label="_band", zorder=3)
    axes.plot(one.at, curve, color=color, label="marginal", zorder=4)
    for end in ("curve_low", "curve_high"):
        if numpy.isfinite(part[end].values[one.number, known]).any():
            axes.plot(
                one.at, part[end].values[one.number, known], color=color, linewidth=0.8, linestyle=":", label="_refits"
            )
    best, low, high, height = (
        float(part[name].values[one.number]) for name in ("optimum", "optimum_low", "optimum_high", "optimum_response")
    )
    if math.isfinite(low):
        ends = [one.place(low), one.place(high)]
        axes.plot(ends, [height] * 2, color=INK, linewidth=1.2, label="_optimum refits", zorder=5)
    axes.plot(one.place(best), height, "o", color=INK, markersize=4, label="_optimum", zorder=5)


def interacting(effects: xarray.Dataset, task: str, variant: str) -> list[int]:
    """The places of the pairs whose interaction takes more than ``LEAST`` of the variance."""
    taken = effects["pair_share"].sel(task=task, variant=variant).isel(clip=0).values
    return numpy.flatnonzero(taken > LEAST).tolist()


@styled
def pairs(effects: xarray.Dataset, task: str | None = None, variant: str | None = None) -> Figure | None:
    """For each pair that interacts the joint marginal beside the pure interaction, one colour scale centred on 0.

    The joint marginal is drawn as its distance from the mean. None: no pair interacts by more than 1 %.
    """
    effects, task, variant = only(effects, task, variant)
    couples = interacting(effects, task, variant)
    if not couples:
        return None
    by_name = {one.name: one for one in shown(effects, task)}
    part = effects.sel(task=task, variant=variant).isel(clip=0)
    columns = min(2, len(couples))
    rows = -(-len(couples) // columns)
    figure = blank(4.0 * columns + 0.8, 1.85 * rows + 0.1)
    grid = figure.subplots(rows, 2 * columns, squeeze=False)
    mean = float(part["mean"])
    largest = float(numpy.nanmax(numpy.abs(part["joint"].values[couples] - mean))) or 1.0
    for axes in grid.ravel()[2 * len(couples) :]:
        axes.set_axis_off()
    for place, (left, right) in zip(couples, grid.reshape(-1, 2), strict=False):
        first, second = by_name[str(part["first"].values[place])], by_name[str(part["second"].values[place])]
        size = slice(0, first.at.size), slice(0, second.at.size)
        share = float(part["pair_share"].values[place])
        for axes, values, words in (
            (left, part["joint"].values[place][size] - mean, "joint marginal"),
            (right, part["interaction"].values[place][size], f"pure interaction ({100 * share:.1f} %)"),
        ):
            image = axes.pcolormesh(
                first.at, second.at, values.T, cmap=DIVERGING, vmin=-largest, vmax=largest, shading="nearest",
                rasterized=True,
            )  # fmt: skip
            prepare(axes, first)
            prepare(axes, second, along="y", label=axes is left)
            axes.grid(False)
            axes.set_title(words, fontsize=8, fontweight="normal")
        right.tick_params("y", labelleft=False)
    bar = figure.colorbar(image, ax=list(grid[:, -1]), shrink=0.8, aspect=24)
    bar.set_label(f"less the mean {mean:.4g}\n({effects['response_units'].sel(task=task).item()})")
    bar.outline.set_visible(False)
    return figure


@styled
def shares(effects: xarray.Dataset, task: str | None = None, *, order: Sequence[str] | None = None) -> Figure:
    """Shares of the predictable variance as stacked bars: the raw response, and beside it clipped ones.

    Bars in place of the paper's pies: nine cells stand one below the other and can be compared.
    """
    effects, task, _ = only(effects, task, None)
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
                known = float(part["r_squared"].sel(variant=variant))
                few = f"not analysed (n = {int(part['n'].sel(variant=variant))})"
                words = f"nothing predicted (R² {fixed(known)})" if known <= 0 else few
                axes.annotate(words, (0.5, row), ha="center", va="center", color=SOFT)
                continue
            drawn = _bar(axes, row, values, len(names))
            words, color = _r_squared(part.sel(variant=variant))
            drawn.append(axes.annotate(words, (1.015, row), va="center", fontsize=7.5, color=color))
            tag(row, f"bar{clips.index(clip)}", drawn)
        axes.set_xlim(0, 1.14)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
        axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        axes.set_ylim(len(variants) - 0.4, -0.6)
        axes.set_yticks(range(len(variants)), variants)
        axes.tick_params("y", length=0, pad=EDGE)
        axes.get_xticklabels()[0].set_ha("left")  # a strip of the figure has the axis from elsewhere
        axes.grid(False)
        axes.set_title("raw response" if clip == 1 else f"clipped at the {100 * clip:g} % quantile", fontsize=8.5)
        axes.set_xlabel("share of the predictable variance")
    handles = [grid[0].barh(0, 0, **_look(place, len(names))) for place in range(len(names) + 2)]
    labels = [one.label for one in shown(effects, task)] + ["interactions of two", "of three and more"]
    columns = min(len(labels), max(2, int(figure.get_figwidth() // 2.2)))
    figure.legend(
        handles, labels, loc="outside upper center", ncols=columns, frameon=False, fontsize=7.5, columnspacing=1.2,
        handlelength=1.4,
    )  # fmt: skip
    return figure


def _look(place: int, mains: int) -> dict[str, Any]:
    """Main effects in the colours of the sheet, interactions in greys."""
    if place < mains:
        return {"color": look(place), "alpha": 0.85}
    return {"facecolor": "#9A9A9A" if place == mains else "#D8D8D8"}


def _bar(axes: Axes, row: int, values: list[float], mains: int) -> list[Artist]:
    """Draw the shares of one cell; returns what was drawn."""
    left, drawn = 0.0, list[Artist]()
    for place, value in enumerate(values):
        drawn += axes.barh(row, value, left=left, height=0.72, **_look(place, mains))
        if value >= CLEAR:
            color = INK if place > mains else "white"
            where = left + value / 2, row
            drawn.append(
                axes.annotate(f"{100 * value:.0f} %", where, ha="center", va="center", fontsize=7.5, color=color)
            )
        left += value
    return drawn


def _r_squared(part: xarray.Dataset) -> tuple[str, str]:
    """R² of one analysis with its colour; a poor one is marked."""
    words = f"R² {fixed(float(part['r_squared']))}"
    return (f"{words} !", VERMILLION) if part["flagged"].item() else (words, INK)
