"""The figure of pairs: where two hyperparameters interact, their joint marginal beside the pure interaction."""

from __future__ import annotations

import numpy
import xarray
from matplotlib.figure import Figure

from lstm_odyssey.reports.plots.axis import DIVERGING, prepare, shown
from lstm_odyssey.reports.plots.style import blank, styled

LEAST = 0.01
"""Share of the variance from which on a pair is worth a panel."""


def interacting(effects: xarray.Dataset, task: str, variant: str) -> list[int]:
    """The places of the pairs whose interaction takes more than ``LEAST`` of the variance."""
    shares = effects["pair_share"].sel(task=task, variant=variant).isel(clip=0).values
    return [int(place) for place in numpy.flatnonzero(shares > LEAST)]


@styled
def pairs(effects: xarray.Dataset, task: str, variant: str) -> Figure | None:
    """For each pair that interacts the joint marginal beside the pure interaction, one colour scale centred on 0.

    The joint marginal is drawn as its distance from the mean. None: no pair interacts by more than 1 %.
    """
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
            (right, part["interaction"].values[place][size], f"pure interaction ({share:.1%})"),
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
