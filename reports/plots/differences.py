"""Figures of differences to the baseline: one forest plot a task, and the scores of the draws that two cells share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
import xarray
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lstm_odyssey.reports.contract.variables import FINISHED
from lstm_odyssey.reports.contract.wording import open_text
from lstm_odyssey.reports.plots.axis import present
from lstm_odyssey.reports.plots.style import BLUE, INK, SOFT, VERMILLION, blank, styled, tag
from lstm_odyssey.reports.stats.contents import BETTER, FEW, OPEN, WORSE
from lstm_odyssey.reports.stats.table import best_fraction, ceiling, maximizes

PANELS = 4
"""Panels of the scatter side by side."""


@styled
def forest(comparison: xarray.Dataset, task: str, *, order: Sequence[str] | None = None) -> Figure:
    """Differences of the best tenths to the baseline's: dot, 95 % interval (thick), corrected interval (whisker), verdict.

    The whisker alone is the verdict: it leaves out 0 or it does not. A ring is the difference among stable trials, where some
    are not.
    """
    part, baseline = comparison.sel(task=task), str(comparison.attrs["baseline"])
    everyone = present(order, comparison)
    names = [name for name in everyone if name != baseline]
    units = str(part["units"].item())
    figure = blank(7.4, 0.34 * len(names) + 0.95)
    axes = figure.add_subplot()
    axes.axvline(0, color=INK, linewidth=0.9, linestyle=(0, (4, 2.5)))
    for row, name in enumerate(names):
        one = part.sel(variant=name)
        verdict, value = str(one["verdict"].item()), float(one["difference"])
        if not numpy.isfinite(value):
            tag(everyone.index(name), "verdict", [_beside(axes, row, verdict)])
            continue
        color = {BETTER: BLUE, WORSE: VERMILLION}.get(verdict, SOFT)
        whisker, thick = one["difference_corrected_interval"].values, one["difference_interval"].values
        drawn = axes.plot(whisker, [row] * 2, "|-", color=color, linewidth=1.0, markersize=6, label="_whisker")
        drawn += axes.plot(thick, [row] * 2, color=color, linewidth=3.2, solid_capstyle="butt", label="_95")
        drawn += axes.plot(
            value, row, "o", color=color, markersize=5.5, markeredgecolor="white", label="_difference", zorder=4
        )
        if int(one["unstable"]) and numpy.isfinite(stable := float(one["stable_difference"])):
            drawn += axes.plot(
                stable, row, "o", color=color, markersize=5, markerfacecolor="white", label="_stable", zorder=5
            )
        words = {OPEN: f"open: {open_text([float(one['differs_by_less_than'])], units)}", FEW: FEW}.get(
            verdict, verdict
        )
        tag(everyone.index(name), "row", [*drawn, _beside(axes, row, words)])
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    better = "left" if str(part["direction"].item()) == "minimize" else "right"
    axes.set_xlabel(f"mean of the best 10 % less that of {baseline} ({units}); {better} of 0 is better")
    return figure


def _beside(axes, row: int, words: str):  # type: ignore[no-untyped-def]
    return axes.annotate(words, (1.015, row), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=INK)


@styled
def scatter(
    study: xarray.Dataset, comparison: xarray.Dataset, task: str, *, order: Sequence[str] | None = None
) -> Figure:
    """The test score of each draw in a cell against that of the same draw in the baseline, the best tenth of either marked.

    For studies whose draws are common to all cells.
    """
    baseline = str(comparison.attrs["baseline"])
    everyone = present(order, comparison)
    names = [name for name in everyone if name != baseline]
    columns = min(PANELS, len(names))
    rows = -(-len(names) // columns)
    figure = blank(2.15 * columns + 0.6, 2.05 * rows + 0.7)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    base, base_best = _scores(study, task, baseline)
    for place, axes in enumerate(grid.ravel()):
        if place >= len(names):
            axes.set_axis_off()
            continue
        score, best = _scores(study, task, names[place])
        known = numpy.isfinite(score) & numpy.isfinite(base)
        ends = numpy.array([*score[known], *base[known]]) if known.any() else numpy.array([0.0, 1.0])
        axes.plot(
            [ends.min(), ends.max()], [ends.min(), ends.max()], color=INK, linewidth=0.7, alpha=0.6, label="_equal"
        )
        axes.plot(base[known], score[known], ".", color=SOFT, markersize=2.6, alpha=0.55, label="_draws")
        for chosen, color, size in ((base_best, BLUE, 6.0), (best, VERMILLION, 3.2)):
            held = known & numpy.isin(numpy.arange(known.size), chosen)
            axes.plot(base[held], score[held], "o", color=color, markersize=size, markerfacecolor="none", label="_best")
        axes.set_title(names[place], fontsize=8)
        tag(everyone.index(names[place]), "scatter", [axes])
    units = str(study["units"].sel(task=task).item())
    figure.supxlabel(f"test score of {baseline} ({units}); blue: its best 10 %", fontsize=8.5)
    figure.supylabel("the same draw in the cell\nvermillion: its best 10 %", fontsize=8.5)
    return figure


def _scores(study: xarray.Dataset, task: str, variant: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Test scores of a cell's finished trials, worse than chance as chance, and the places of its best tenth."""
    part, maximize = study.sel(task=task, variant=variant), maximizes(study, task)
    finished = numpy.isin(part["status"].values, FINISHED)
    score = numpy.where(finished, part["best_test"].values.astype(float), numpy.nan)
    if numpy.isfinite(chance := float(part["chance"])):
        score[finished] = ceiling(score[finished], chance, maximize=maximize)
    return score, best_fraction(part["best_valid"].values, finished, maximize=maximize)
