"""Figures of a comparison: what a budget of trials or hours buys with each cell, and scores against cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FormatStrFormatter, FuncFormatter, LogLocator, NullLocator

from lstm_odyssey.reports.plots.axis import look, name_cells, present
from lstm_odyssey.reports.plots.style import BLUE, INK, SOFT, blank, styled, tag

UNITS = ((1.0, "hours"), (60.0, "minutes"), (3600.0, "seconds"))
"""Of a time axis: the first in which the longest time is two or more."""


@styled
def expected_best(comparison: xarray.Dataset, task: str, *, order: Sequence[str] | None = None) -> Figure:
    """Expected test score of the best trial by validation after n trials, and after so many hours.

    Drawn with replacement, for a new search; bands: the bootstrap's interval of the expectation, to a tenth of the trials.
    """
    variants = present(order, comparison)
    figure = blank(8.6, 3.5)
    after_trials, after_hours = figure.subplots(1, 2, sharey=True)
    part = comparison.sel(task=task)
    lines: dict[int, Line2D] = {}
    seen: list[float] = []
    for position, variant in enumerate(variants):
        one = part.sel(variant=variant)
        color, dashes = look(position)
        with_replacement = one.sel(replacement="with")
        curves = (
            (
                after_trials,
                one["n_trials"].values,
                with_replacement["expected_best"],
                with_replacement["expected_best_interval"],
            ),
            (after_hours, part["budget"].values, one["expected_by_hours"], one["expected_by_hours_interval"]),
        )
        for axes, budget, curve, interval in curves:
            known = numpy.isfinite(curve.values) & numpy.isfinite(budget)
            if not known.any():
                continue
            x, y = budget[known], curve.values[known]
            low, high = (interval.sel(bound=bound).values[known] for bound in ("lower", "upper"))
            told = numpy.isfinite(low)
            band = axes.fill_between(x[told], low[told], high[told], color=color, alpha=0.10, linewidth=0)
            (line,) = axes.plot(x, y, color=color, linestyle=dashes, label=variant)
            seen.extend(y.tolist())
            tag(position, "trials" if axes is after_trials else "hours", [band, line])
            if axes is after_trials:
                lines[position] = line
    hours = part["budget"].values[numpy.isfinite(part["budget"].values)]
    scale, unit = next(one for one in UNITS if not hours.size or hours.max() * one[0] >= 2 or one is UNITS[-1])
    for axes, label in ((after_trials, "trials of a search"), (after_hours, f"{unit} of one trial after the other")):
        axes.set_xscale("log")
        axes.set_xlabel(label)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    after_hours.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x * scale:.4g}"))
    if hours.size:
        after_hours.xaxis.set_major_locator(FixedLocator(_times(scale * hours, scale)))
    after_trials.xaxis.set_major_locator(FixedLocator([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000]))
    after_trials.set_ylabel(f"expected test score\n({part['units'].item()})")
    if seen:
        room = 0.05 * float(numpy.ptp(seen)) or 0.05 * abs(seen[0]) or 1.0
        after_trials.set_ylim(min(seen) - room, max(seen) + room)
        name_cells(figure, lines)
        if not hours.size:
            after_hours.annotate("times not measured", (0.5, 0.5), xycoords="axes fraction", ha="center", color=SOFT)
    else:
        after_trials.annotate("no scores", (0.5, 0.5), xycoords="axes fraction", ha="center", color=SOFT)
    return figure


def _times(budget: numpy.ndarray[Any, Any], scale: float) -> list[float]:
    """Ticks in hours at powers of ten of the axis's unit; of few decades also twice and five times as much."""
    low, high = numpy.log10([budget.min(), budget.max()])
    decades = range(math.floor(low), math.ceil(high) + 1)
    digits = (1, 2, 5) if high - low < 2 else (1,)
    ticks = [digit * 10.0**decade for decade in decades for digit in digits]
    kept = [tick for tick in ticks if budget.min() <= tick <= budget.max()]
    return [tick / scale for tick in (kept if len(kept) > 1 else [budget.min(), budget.max()])]


@styled
def scores_against_speed(comparison: xarray.Dataset, task: str, *, order: Sequence[str] | None = None) -> Figure:
    """Mean test score of the best 10 % against the cost of an epoch; the line joins what no other cell beats in both.

    Points are circles where a processor was measured, squares where a GPU was.
    """
    variants, part = present(order, comparison), comparison.sel(task=task)
    figure = blank(5.4, 3.5)
    axes = figure.add_subplot()
    speed = part["epoch_cost"].sel(variant=variants).values
    mean = part["mean_test"].sel(variant=variants).values
    interval = part["mean_test_interval"].sel(variant=variants).transpose("variant", "bound").values
    front = part["pareto"].sel(variant=variants).values
    known = numpy.isfinite(speed) & numpy.isfinite(mean)
    if not known.any():
        words = "times not measured" if numpy.isfinite(mean).any() else "no scores"
        axes.annotate(words, (0.5, 0.5), xycoords="axes fraction", ha="center", color=SOFT)
    ranked = [place for place in numpy.argsort(speed) if known[place] and front[place]]
    axes.plot(speed[ranked], mean[ranked], color=BLUE, linewidth=1.1, alpha=0.6, label="Pareto front", zorder=2)
    marker = "s" if str(comparison.attrs.get("device", "")).startswith("cuda") else "o"
    for place in range(len(variants)):
        if not known[place]:
            continue
        color = BLUE if front[place] else SOFT
        style: dict[str, Any] = {"color": color, "markersize": 5.5, "markeredgecolor": "white"}
        lines = axes.plot([speed[place]] * 2, interval[place], color=color, linewidth=0.9, alpha=0.7, label="_interval")
        tag(place, "point", lines + axes.plot(speed[place], mean[place], marker, label="_cell", zorder=4, **style))
    if known.sum() and numpy.nanmax(speed[known]) > 1.5 * numpy.nanmin(speed[known]):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.margins(x=0.12, y=0.1)
    where = f" on {device}" if (device := str(comparison.attrs.get("device", ""))) else ""
    axes.set_xlabel(f"time of an epoch's updates{where} at N = {int(part['epoch_cost_at'])} (s)")
    axes.set_ylabel(f"mean test score of the best 10 %\n({part['units'].item()})")
    figure.draw_without_rendering()  # where the axes lie is known after the layout
    _labels(axes, {p: (float(speed[p]), float(mean[p]), name) for p, name in enumerate(variants) if known[p]})
    return figure


def _labels(axes: Axes, points: dict[int, tuple[float, float, str]]) -> None:
    """Names beside their points where no other name, point or interval lies, as far as there is room; in points of the page."""
    scale = 72 / axes.figure.dpi
    placed = [tuple(float(value) * scale for value in axes.transData.transform((x, y))) for x, y, _ in points.values()]
    taken = [(x - 4, y - 5, x + 4, y + 5) for x, y in placed]
    for (cell, (x, y, name)), (left, bottom) in zip(points.items(), placed, strict=True):
        width = 4.4 * len(name)
        choices = [(side, rise) for rise in (4, -11, 14, -21, 24, -31, 34, 44) for side in (5.0, -5.0 - width)]
        boxes = [(left + side, bottom + rise, left + side + width, bottom + rise + 8) for side, rise in choices]
        best = min(range(len(boxes)), key=lambda place: (sum(_overlap(boxes[place], other) for other in taken), place))
        taken.append(boxes[best])
        text = axes.annotate(name, (x, y), choices[best], textcoords="offset points", fontsize=7.5, color=INK)
        tag(cell, "name", [text])


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
