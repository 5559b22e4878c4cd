"""The sampling axis of a hyperparameter in a figure, the looks that figures share, and small multiples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy
import xarray
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import NDArray

from lstm_odyssey.reports.contract.wording import named
from lstm_odyssey.reports.fanova.layout import restored
from lstm_odyssey.reports.fanova.space import ABSENT
from lstm_odyssey.reports.plots.style import BLUE, VERMILLION, blank, tag

Numbers = NDArray[numpy.float64]

DIVERGING = LinearSegmentedColormap.from_list("odyssey", [BLUE, "#8FC3E2", "#F7F7F7", "#F0B48A", VERMILLION])
"""From below the mean to above it; blue and vermillion are told apart by colour-blind readers."""

LOG, MIRRORED = "log", "log of 1 - x"
COLUMNS = 4
"""Small multiples side by side."""


class Shown(NamedTuple):
    """A hyperparameter of a task as a figure shows it: on an axis where what was drawn is spread uniformly.

    Attributes:
        name: in the study.
        number: its place among the result's hyperparameters.
        scale: as in ``lstm_odyssey.reports.fanova.layout``.
        at: where its points stand, as probabilities of the distribution it was drawn from [P].
        positions: the points' values [P].
        levels: the points' names; empty where they are numbers.
        label: for the axis.
    """

    name: str
    number: int
    scale: str
    at: Numbers
    positions: Numbers
    levels: list[str]
    label: str

    def place(self, value: float) -> float:
        """Where a value stands on the axis."""
        there = numpy.isfinite(self.positions)
        return float(numpy.interp(value, self.positions[there], self.at[there]))

    def ticks(self) -> tuple[list[float], list[str]]:
        """Both ends of the axis and its middle, or the levels, with their names."""
        if self.levels or self.at.size < 2:
            return self.at.tolist(), self.levels or [_tick(value, self.scale) for value in self.positions]
        there = numpy.isfinite(self.positions)
        if not there.all():  # on its low part the hyperparameter is absent
            names = [ABSENT, *(_tick(value, self.scale) for value in self.positions[there][[0, -1]])]
            return [0.0, float(self.at[there][0]), 1.0], names
        stretched = _stretch(self.positions, self.scale)
        line = numpy.polynomial.Polynomial.fit(self.at, stretched, 1 if self.scale else 0)
        middle = float(numpy.interp(0.5, self.at, stretched))
        values = [_back(value, self.scale) for value in (float(line(0.0)), middle, float(line(1.0)))]
        if self.scale == "linear":
            room = 10.0 ** (math.floor(math.log10(abs(values[2] - values[0]) or 1)) - 1)
            values = [round(value / room) * room + 0.0 for value in values]
        return [0.0, 0.5, 1.0], [_tick(value, self.scale) for value in values]


def _stretch(values: Numbers, scale: str) -> Numbers:
    return numpy.log(values) if scale == LOG else numpy.log(1 - values) if scale == MIRRORED else values


def _back(value: float, scale: str) -> float:
    return math.exp(value) if scale == LOG else 1 - math.exp(value) if scale == MIRRORED else value


def _tick(value: float, scale: str) -> str:
    """A value as an axis names it: two digits, powers of ten as such; figures parse no mathematics, as names may hold anything.

    >>> _tick(1e-6, LOG), _tick(198.7, LOG), _tick(0.9899, MIRRORED), _tick(0.00023, LOG)
    ('10⁻⁶', '200', '0.99', '2.3·10⁻⁴')
    """
    value = round(value, 3) + 0.0 if scale == MIRRORED else float(f"{value:.2g}")
    text = f"{value:g}"
    if scale != LOG or 1e-3 < value < 1e5:
        return text
    mantissa, exponent = f"{value:.1e}".split("e")
    power = "10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return power if mantissa == "1.0" else f"{float(mantissa):g}·{power}"


def only(effects: xarray.Dataset, task: str | None, variant: str | None) -> tuple[xarray.Dataset, str, str]:
    """A result with its dimensions, and its task and cell; not given, the first: of somebody's search there is one."""
    effects = restored(effects)
    return effects, task or str(effects["task"].values[0]), variant or str(effects["variant"].values[0])


def shown(effects: xarray.Dataset, task: str) -> list[Shown]:
    """The hyperparameters that a task draws, in the order of its search space."""
    part = effects.sel(task=task)
    found = []
    for index, name in enumerate(effects["hyperparameter"].values.tolist()):
        scale = str(part["scale"].values[index])
        if not scale:
            continue
        at = part["probability"].values[index]
        known = numpy.isfinite(at)
        levels = [] if scale in (LOG, MIRRORED, "linear") else part["level"].values[index][known].tolist()
        positions = part["position"].values[index][known] if not levels else numpy.arange(len(levels), dtype=float)
        found.append(Shown(name, index, scale, at[known], positions, levels, named(name)))
    return found


def prepare(axes: Axes, one: Shown, *, along: str = "x", label: bool = True) -> None:
    """Ticks and label of an axis."""
    axis = axes.xaxis if along == "x" else axes.yaxis
    if label:
        axis.set_label_text(one.label)
    places, names = one.ticks()
    axis.set_minor_locator(NullLocator())
    axis.set_major_locator(FixedLocator(places))
    axis.set_ticklabels(names)
    (axes.set_xlim if along == "x" else axes.set_ylim)(0, 1)
    if along == "x" and one.levels and len("".join(one.levels)) > 16:
        axes.tick_params("x", rotation=40)
    elif not one.levels:  # the names of both ends stay within the panel
        sides = ("left", "center", "right") if along == "x" else ("bottom", "center", "top")
        for text, side in zip(axis.get_ticklabels(), sides, strict=False):
            text.set(**{"ha" if along == "x" else "va": side})


def multiples(
    names: Sequence[str], everyone: Sequence[str], *, height: float = 1.5, kind: str = "panel"
) -> tuple[Figure, Iterator[tuple[str, Axes]]]:
    """A figure of one small panel for each name, and the names with their panels; scales are shared.

    Args:
        names: what gets a panel.
        everyone: all cells in their order, by which the page's filter knows a panel.
        height: of a panel in inches.
        kind: tells the marks of one figure apart.
    """
    columns = max(1, min(COLUMNS, len(names)))
    rows = max(1, -(-len(names) // columns))
    figure = blank(1.85 * columns + 0.8, height * rows + 0.6)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes in grid[len(names) :]:
        axes.set_axis_off()
    for place, axes in enumerate(grid[: len(names)]):
        axes.set_title(names[place], fontsize=8)
        axes.tick_params(labelsize=7.5, labelbottom=place + columns >= len(names))
        tag(list(everyone).index(names[place]), kind, [axes])
    return figure, zip(names, grid, strict=False)


def look(position: int) -> str:
    """The colour at a position, alike only every nine; under the style sheet."""
    colors: list[Any] = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
    return str(colors[position % len(colors)])


def present(order: Sequence[str] | None, dataset: xarray.Dataset) -> list[str]:
    """The variants of a result in an order that may name others too."""
    held = dataset["variant"].values.tolist()
    return [name for name in order if name in held] if order is not None else held
