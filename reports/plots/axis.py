"""The sampling axis of a hyperparameter in a figure: scale, ticks, label; and the looks that figures share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy
import xarray
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from lstm_odyssey.reports.plots.style import BLUE, VERMILLION, tag
from lstm_odyssey.reports.plots.ticks import ticked

Numbers = NDArray[numpy.float64]

DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1)))
"""After all colours of the sheet the lines change their dashes."""

DIVERGING = LinearSegmentedColormap.from_list("odyssey", [BLUE, "#8FC3E2", "#F7F7F7", "#F0B48A", VERMILLION])
"""From below the mean to above it; blue and vermillion are told apart by colour-blind readers."""

SHORT = {"hidden_size": "blocks", "input_noise": "input noise std"}
"""Shorter names than the stored ones, where a label has little room."""

LOG, MIRRORED = "log", "log of 1 - x"


class Shown(NamedTuple):
    """A hyperparameter of a task as a figure shows it.

    Attributes:
        name: in the study.
        number: its place among the result's hyperparameters.
        scale: as in ``lstm_odyssey.reports.fanova.layout``.
        positions: the points' values, where levels have none their numbers [P].
        levels: the points' names; empty where the axis has a scale.
        label: for the axis, with its unit.
    """

    name: str
    number: int
    scale: str
    positions: Numbers
    levels: list[str]
    label: str

    def place(self, values: Numbers) -> Numbers:
        """Values where the axis draws them: 1 - x on the mirrored logarithmic axis, themselves elsewhere."""
        return 1 - values if self.scale == MIRRORED else values


def shown(effects: xarray.Dataset, task: str) -> list[Shown]:
    """The hyperparameters that a task draws, in the order of its search space."""
    part = effects.sel(task=task)
    found = []
    for index, name in enumerate(effects["hyperparameter"].values.tolist()):
        scale = str(part["scale"].values[index])
        if not scale:
            continue
        known = numpy.isfinite(part["probability"].values[index])
        levels = [str(level) for level in part["level"].values[index][known]]
        positions = part["position"].values[index][known]
        numbered = scale in (LOG, MIRRORED, "linear")
        words = SHORT.get(name, str(effects["hyperparameter_name"].values[index]))
        units = str(effects["hyperparameter_units"].values[index])
        label = f"{words} ({units})" if units not in ("", "1") else words
        names = [] if numbered else levels
        found.append(
            Shown(name, index, scale, positions if numbered else numpy.arange(len(levels), dtype=float), names, label)
        )
    return found


def prepare(axes: Axes, one: Shown, *, along: str = "x", label: bool = True, small: bool = False) -> None:
    """Scale, ticks and label of an axis, so that what was drawn uniformly is spread uniformly."""
    axis: Axis = axes.xaxis if along == "x" else axes.yaxis
    set_scale = axes.set_xscale if along == "x" else axes.set_yscale
    if label:
        axis.set_label_text(one.label)
    if one.levels:
        axis.set_major_locator(FixedLocator(range(len(one.levels))))
        axis.set_major_formatter(FuncFormatter(lambda x, _: one.levels[int(x)] if 0 <= x < len(one.levels) else ""))
        if along == "x" and len("".join(one.levels)) > 16:
            axes.tick_params("x", rotation=40)
        return
    logarithmic = one.scale in (LOG, MIRRORED)
    if logarithmic:
        set_scale("log")
    ticks, as_powers = ticked(one.place(one.positions), logarithmic=logarithmic, small=small)
    axis.set_minor_locator(NullLocator())
    axis.set_major_locator(FixedLocator(ticks))
    if as_powers:
        axis.set_major_formatter(FuncFormatter(lambda x, _: power(x)))
    else:
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{1 - x if one.scale == MIRRORED else x:.4g}"))
    low, high = axis.get_view_interval()  # widened by a hair, where the last tick stands on its end
    set_limits = axes.set_xlim if along == "x" else axes.set_ylim
    set_limits(min([low, *ticks]), max([high, *ticks]))
    if one.scale == MIRRORED:
        axis.set_inverted(True)


def power(value: float) -> str:
    """A power of ten as text; figures parse no mathematics, as names may hold anything.

    >>> power(1e-6), power(100.0)
    ('10⁻⁶', '10²')
    """
    digits = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return f"10{str(round(math.log10(value))).translate(digits)}" if value > 0 else ""


def look(position: int) -> tuple[str, Any]:
    """Colour and dashes of the line at a position, alike only every 27 lines; under the style sheet."""
    colors = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
    return str(colors[position % len(colors)]), DASHES[position // len(colors) % len(DASHES)]


def name_cells(figure: Figure, lines: Mapping[int, Line2D]) -> None:
    """A legend at the right, one entry for each cell by its place."""
    legend = figure.legend(
        handles=list(lines.values()), loc="outside right center", frameon=False, handlelength=2.4, fontsize=8
    )
    for place, handle, text in zip(lines, legend.legend_handles, legend.get_texts(), strict=True):
        tag(place, "legend", [artist for artist in (handle, text) if artist is not None])


def present(order: Sequence[str] | None, dataset: xarray.Dataset) -> list[str]:
    """The variants of a result in an order that may name others too."""
    held = dataset["variant"].values.tolist()
    return [name for name in order if name in held] if order is not None else held
