"""The figure of pairs: for each two hyperparameters the joint marginal beside the pure interaction."""

from __future__ import annotations

from typing import Any

import numpy
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lstm_odyssey.reports.plots.axis import DIVERGING, Shown, prepare, shown
from lstm_odyssey.reports.plots.style import SOFT, blank, styled


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
        x, y, values.T, cmap=DIVERGING, vmin=-largest, vmax=largest, shading="nearest", rasterized=True
    )
    prepare(axes, first, small=True)
    prepare(axes, second, along="y", small=True)
    axes.grid(False)
    return image
