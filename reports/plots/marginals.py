"""The figure of marginals: score and training time of one cell against each hyperparameter, the other cells in grey.

Drawn from the datasets of ``lstm_odyssey.reports.fanova.api``, on the axes on which the hyperparameters were drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lstm_odyssey.reports.contract.wording import fixed
from lstm_odyssey.reports.plots.axis import Shown, prepare, present, shown
from lstm_odyssey.reports.plots.curves import GREY
from lstm_odyssey.reports.plots.style import BLUE, GREEN, INK, SOFT, VERMILLION, blank, styled, tag


@styled
def marginals(
    effects: xarray.Dataset,
    times: xarray.Dataset | None,
    task: str,
    variant: str,
    *,
    order: Sequence[str] | None = None,
) -> Figure:
    """The paper's marginals of one cell, score above and training time below; the other cells' are grey.

    Line: mean over all other hyperparameters; band: standard deviation over trees; dotted: refit spread, where there
    is one; dot and black line: the best place and its refit spread. Each row names its own R².

    Args:
        effects: the functional ANOVA of the score.
        times: that of the training time, if there is one.
        task, variant: which cell.
        order: all cells in their order, by which the page's filter knows a line.
    """
    across = shown(effects, task)
    rows = [(effects, BLUE, "test score")] + ([] if times is None else [(times, GREEN, "training time")])
    figure = blank(2.0 * max(1, len(across)) + 0.6, 1.75 * len(rows) + 0.4)
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
        grid[row, 0].set_ylabel(f"{words}\n({result['response_units'].sel(task=task).item()})")
        grid[row, 0].yaxis.set_major_locator(MaxNLocator(5))
    return figure


def _explained(axes: Axes, part: xarray.Dataset) -> None:
    """R² of one row over its last panel, marked where it is poor; nothing where nothing was analysed."""
    known, flagged = (part[name].item() for name in ("r_squared", "flagged"))
    if math.isfinite(known):
        words, color = (f"R² {fixed(known)} !", VERMILLION) if flagged else (f"R² {fixed(known)}", INK)
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
