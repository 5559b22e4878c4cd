"""The forest plot: what each cell scores against the baseline, how sure that is, and what the cell costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy
import xarray
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lstm_odyssey.reports.contract.wording import estimate, estimated_share, form_of
from lstm_odyssey.reports.plots.axis import present
from lstm_odyssey.reports.plots.style import BLUE, INK, SOFT, VERMILLION, blank, styled, tag
from lstm_odyssey.reports.stats.contents import BETTER, OPEN, WORSE
from lstm_odyssey.reports.stats.epoch_cost import duration, parameters_at
from lstm_odyssey.reports.stats.table import whole

LOOKS = {BETTER: BLUE, WORSE: VERMILLION, OPEN: SOFT}
"""The colour of a verdict, in every figure; the baseline is black, dashed where it is a line."""

DASHED = (0, (4, 2.5))
LETTER, GAP = 4.7, 10.0
"""Points of a letter of a column and between two columns: a column is as wide as its longest line."""

NARROW, POINTS = 3.7, 72
"""Inches of the plot for a telephone, and points of an inch."""

LONG = 18
"""From so many letters on a name is written smaller on a telephone."""


UNITS = {"cost": "s", "unstable": "unstable", "parameters": "parameters"}
"""What stands behind a number on a telephone, where columns have no heads."""


class Standing(NamedTuple):
    """One cell's row in words; a cost or size that is not known is empty."""

    difference: str
    cost: str
    unstable: str
    parameters: str


def standing(study: xarray.Dataset, comparison: xarray.Dataset, task: str, variant: str) -> Standing:
    """What the plot writes beside a cell."""
    part = comparison.sel(task=task)
    one, form = part.sel(variant=variant), form_of(part)
    value, size = float(one["difference"]), int(one["epoch_cost_at"])
    cost, count = float(one["epoch_cost"]), parameters_at(study, task, variant, size)
    if one["is_baseline"]:
        difference = "baseline"
    elif math.isnan(value):
        difference = str(one["verdict"].item())
    else:
        low, high = one["difference_corrected_interval"].values.tolist()
        difference = estimate(value, low, high, form)
    unstable = estimated_share(float(one["instability"]), *one["instability_interval"].values.tolist())
    return Standing(
        difference,
        "" if math.isnan(cost) else duration(cost),
        "" if unstable == "–" else unstable,
        "" if math.isnan(count) else whole(count),
    )


@styled
def forest(
    study: xarray.Dataset,
    comparison: xarray.Dataset,
    task: str,
    *,
    order: Sequence[str] | None = None,
    narrow: bool = False,
) -> Figure:
    """Difference of each cell's best tenth to the baseline's: dot, 95 % interval (thick), corrected interval (thin).

    The corrected interval alone is the verdict: blue is better, vermillion worse, grey cannot be told from the baseline. A
    ring is the difference among stable trials, where some are not. Beside it stand seconds an epoch and parameters of
    the network at one N, and the probability that a trial is unstable; a column of which nothing is known is left out.
    ``narrow``, for a telephone: each cell's numbers stand above its interval.
    """
    part, names = comparison.sel(task=task), present(order, comparison)
    rows = [standing(study, comparison, task, name) for name in names]
    units, size = str(part["units"].item()), int(part["epoch_cost_at"])
    heads = {"difference": "difference", "cost": f"s/epoch\nat N = {size}", "unstable": "P(unstable)"}
    heads["parameters"] = f"parameters\nat N = {size}"
    shown = [name for name in Standing._fields if any(getattr(row, name) for row in rows)]
    figure = blank(NARROW, 0.46 * len(names) + 0.75) if narrow else blank(8.2, 0.28 * len(names) + 1.0)
    axes = figure.add_subplot()
    ends = [(place - 0.22, place + 0.45) for place in range(len(names))] if narrow else [(-0.75, len(names) - 0.45)]
    for start, end in ends:  # on a telephone it is interrupted by the lines of text
        axes.plot([0, 0], [start, end], color=INK, linewidth=0.9, linestyle=DASHED, label="_zero", zorder=1)
    widths = {
        field: GAP
        + LETTER * max(len(line) for row in rows for line in (*heads[field].split("\n"), getattr(row, field)))
        for field in shown
    }
    for place, (name, row) in enumerate(zip(names, rows, strict=True)):
        drawn: list[Artist] = [*_interval(axes, part.sel(variant=name), place)]
        if narrow:
            across = ("axes fraction", "data")
            style: dict[str, Any] = {
                "va": "center",
                "weight": "bold",
                "fontsize": 8 if len(name) < LONG else 7,
            }
            drawn.append(axes.annotate(name, (0, place - 0.42), xycoords=across, **style))
            words = _beside(name, [f"{getattr(row, one)} {UNITS[one]}" for one in shown[1:] if getattr(row, one)])
            drawn.append(axes.annotate(words, (1, place - 0.42), xycoords=across, va="center", ha="right", fontsize=7))
        else:
            left = 8.0
            for field in shown:
                left += widths[field]
                drawn.append(_write(axes, left, place, getattr(row, field)))
        tag(place, "row", drawn)
    if not narrow:
        left = 8.0
        for field in shown:
            left += widths[field]
            _write(axes, left, -0.95, heads[field], color=SOFT)
    axes.set_yticks(range(len(names)), [""] * len(names) if narrow else names)
    axes.tick_params("y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(names) - 0.45, -0.75 if narrow else -0.6)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    better = "left" if str(part["direction"].item()) == "minimize" else "right"
    join = "\n" if narrow else "; "
    baseline = str(comparison.attrs["baseline"])
    words = f"best tenth minus that of {baseline}" if not narrow else f"difference to {baseline}"
    axes.set_xlabel(f"{words} ({units}){join}{better} of 0 is better")
    return figure


def _beside(name: str, words: list[str]) -> str:
    """What stands in a line with a name on a telephone: what has no room there is left to the table."""
    while words and LETTER * (1.25 * len(name) + 0.9 * len(" · ".join(words))) > POINTS * NARROW - 2 * GAP:
        words = words[:-1]
    return " · ".join(words)


def _write(axes: Axes, left: float, place: float, text: str, color: str = INK) -> Artist:
    """A number of a column whose right edge is so many points from the frame."""
    return axes.annotate(
        text, (1, place), (left, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="center",
        ha="right", fontsize=8, color=color, annotation_clip=False,
    )  # fmt: skip


def _interval(axes: Axes, one: xarray.Dataset, place: int) -> list[Line2D]:
    """Draw a cell's difference with both of its intervals; returns what was drawn, nothing where there is no difference."""
    value = float(one["difference"])
    if one["is_baseline"]:
        return axes.plot(0, place, "D", color=INK, markersize=4.5, label="_baseline")
    if not numpy.isfinite(value):
        return []
    color = LOOKS.get(str(one["verdict"].item()), SOFT)
    thin, thick = one["difference_corrected_interval"].values, one["difference_interval"].values
    drawn = axes.plot(thin, [place] * 2, "|-", color=color, linewidth=1.0, markersize=6, label="_whisker")
    drawn += axes.plot(thick, [place] * 2, color=color, linewidth=3.2, solid_capstyle="butt", label="_95")
    style: dict[str, Any] = {"color": color, "markeredgecolor": "white", "zorder": 4}
    drawn += axes.plot(value, place, "o", markersize=6, label="_difference", **style)
    if int(one["unstable"]) and numpy.isfinite(stable := float(one["stable_difference"])):
        drawn += axes.plot(
            stable, place, "o", color=color, markersize=5, markerfacecolor="white", label="_stable", zorder=5
        )
    return drawn
