"""The figure of shares of the variance: stacked bars of the raw response, and beside them of clipped ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
import xarray
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
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
    columns = min(len(labels), max(2, int(figure.get_figwidth() // 1.2)))
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
            drawn.append(axes.annotate(f"{value:.0%}", where, ha="center", va="center", fontsize=7.5, color=color))
        left += value
    return drawn
