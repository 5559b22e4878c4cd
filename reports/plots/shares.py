"""Figures of shares of the variance: stacked bars, and importance against the cut-off of the response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
import xarray
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from lstm_odyssey.reports.contract.wording import fixed
from lstm_odyssey.reports.plots.axis import look, present, shown
from lstm_odyssey.reports.plots.style import INK, SOFT, VERMILLION, blank, styled, tag

CLEAR = 0.07
"""Shares from here on have their number written into the bar."""


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
                known = float(part["r_squared"].sel(variant=variant))
                few = f"not analysed (n = {int(part['n'].sel(variant=variant))})"
                words = f"nothing predicted (R² {fixed(known)})" if known <= 0 else few
                axes.annotate(words, (0.5, row), ha="center", va="center", color=SOFT)
                continue
            drawn = _bar(axes, row, values, len(names))
            known, flagged = (part[name].sel(variant=variant).item() for name in ("r_squared", "flagged"))
            words, color = (f"R² {fixed(known)} !", VERMILLION) if flagged else (f"R² {fixed(known)}", INK)
            drawn.append(axes.annotate(words, (1.015, row), va="center", fontsize=7.5, color=color))
            tag(row, f"bar{clips.index(clip)}", drawn)
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
    _legend(figure, handles, labels)
    return figure


def _legend(figure: Figure, handles: list[Any], labels: list[str]) -> None:
    """A legend in one or more lines above the panels."""
    columns = min(len(labels), max(2, int(figure.get_figwidth() // 1.2)))
    figure.legend(
        handles, labels, loc="outside upper center", ncols=columns, frameon=False, fontsize=7.5, columnspacing=1.2,
        handlelength=1.4,
    )  # fmt: skip


def _look(place: int, mains: int) -> dict[str, Any]:
    """Main effects in the colours of the sheet, interactions in greys."""
    if place < mains:
        return {"color": look(place)[0], "alpha": 0.85}
    return {"facecolor": "#9A9A9A" if place == mains else "#D8D8D8"}


def _bar(axes: Axes, row: int, values: list[float], mains: int) -> list[Artist]:
    """Draw the shares of one cell; returns what was drawn."""
    left, drawn = 0.0, list[Artist]()
    for place, value in enumerate(values):
        drawn += axes.barh(row, value, left=left, height=0.72, **_look(place, mains))
        if value >= CLEAR:
            color = INK if place > mains else "white"
            where = left + value / 2, row
            drawn.append(axes.annotate(f"{value:.0%}", where, ha="center", va="center", fontsize=7.5, color=color))
        left += value
    return drawn


@styled
def cutoffs(effects: xarray.Dataset, task: str, *, order: Sequence[str] | None = None) -> Figure:
    """Importance against the cut-off: main effects and interactions for each quantile at which the response was clipped.

    Points where R² is poor are hollow.
    """
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
        tag(place, "panel", [axes])
        part = effects.sel(task=task, variant=variants[place])
        quantile = effects["clip"].values
        interactions = part["order_share"].transpose("clip", "order").values[:, 1:].sum(axis=1)
        curves = [part["main_share"].sel(hyperparameter=name).values for name in names] + [interactions]
        poor, lines = part["flagged"].values.astype(bool), []
        for number, curve in enumerate(curves):
            color, dashes = (look(number)[0], "-") if number < len(names) else (SOFT, "--")
            lines += axes.plot(quantile, curve, linestyle=dashes, color=color)
            axes.plot(quantile[~poor], curve[~poor], ".", color=color, label="_known")
            axes.plot(
                quantile[poor], curve[poor], "o", markersize=4, color=color, markerfacecolor="white", label="_poor"
            )
        axes.set_title(variants[place], fontsize=8)
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.xaxis.set_major_formatter(PercentFormatter(1))
    figure.supxlabel("the response is clipped at this quantile (100 %: raw)", fontsize=8.5)
    figure.supylabel("share of the variance", fontsize=8.5)
    hollow = Line2D([], [], linestyle="none", marker="o", markersize=4, color=SOFT, markerfacecolor="white")
    bound = f"hollow: R² below {effects.attrs['flagged_below']:g}"
    _legend(figure, [*lines, hollow], [*labels, "interactions", bound])
    return figure
