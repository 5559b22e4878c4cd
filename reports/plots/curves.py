"""Small multiples, one panel a cell: learning curves, and what a search of n draws gains on the baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy
import xarray
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lstm_odyssey.reports.contract.selection import as_study, refuse_absent
from lstm_odyssey.reports.contract.wording import form_of
from lstm_odyssey.reports.plots.axis import multiples, present
from lstm_odyssey.reports.plots.forest import DASHED, LOOKS
from lstm_odyssey.reports.plots.style import INK, SOFT, VERMILLION, styled
from lstm_odyssey.reports.stats.contents import NOTHING
from lstm_odyssey.reports.stats.table import SCORED, maximizes, ranking

PLAIN = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.9}
"""Behind words in a panel, so that no line runs through them."""


@styled
def learning_curves(
    dataset: xarray.Dataset,
    task: str,
    *,
    order: Sequence[str] | None = None,
    baseline: str | None = None,
    apart: Mapping[str, str] | None = None,
) -> Figure:
    """Validation score against epochs for the trial that validation chose: a panel for each cell, the baseline's curve dashed.

    ``apart`` has verdicts, as ``scores.box_plot``. A dot marks the best epoch. What is worse than the chance
    level runs out of the frame.
    """
    dataset = as_study(dataset, *SCORED, "valid")
    refuse_absent(dataset, "task", task)
    names = list(order or dataset["variant"].values.tolist())
    refuse_absent(dataset, "variant", *names)
    part, maximize = dataset.sel(task=task), maximizes(dataset, task)
    curves = {name: _chosen(dataset, task, name) for name in part["variant"].values.tolist()}
    shown = [name for name in names if name != baseline] or names
    figure, panels = multiples(shown, names)
    seen: list[float] = []
    drawn = []
    for name, axes in panels:
        if baseline in curves and name != baseline:
            axes.plot(*curves[baseline], color=INK, linewidth=0.9, linestyle=DASHED, label="_baseline")
        epochs, curve = curves[name]
        if not epochs.size:
            axes.annotate(NOTHING, (0.5, 0.5), xycoords="axes fraction", ha="center", color=SOFT)
            continue
        color = LOOKS.get((apart or {}).get(name, ""), INK)
        axes.plot(epochs, curve, color=color, label=name)
        best = numpy.argmax(curve) if maximize else numpy.argmin(curve)
        axes.plot(epochs[best], curve[best], "o", color=color, markersize=3.5, label="_best")
        seen += curve[min(1, curve.size - 1) :].tolist()
        drawn.append((axes, curve))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    if seen and baseline in curves:
        seen += curves[baseline][1][1:].tolist()
    if seen:
        low, high, chance = min(seen), max(seen), float(part["chance"])
        if not math.isnan(chance):
            low, high = (max(low, chance), high) if maximize else (low, min(high, chance))
        room = 0.08 * abs(high - low) or 0.08 * abs(high) or 1.0
        figure.axes[0].set_ylim(min(low, high) - room, max(low, high) + room)
        for axes, curve in drawn:
            bottom, top = axes.get_ylim()
            if not ((curve >= bottom) & (curve <= top)).any():
                axes.annotate("no better\nthan chance", (0.5, 0.5), xycoords="axes fraction", ha="center", va="center",
                              fontsize=7.5, color=VERMILLION, bbox=PLAIN)  # fmt: skip
    _label(figure, "epochs trained", f"validation score ({part['units'].item()})")
    return figure


def _chosen(study: xarray.Dataset, task: str, variant: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Epochs and validation scores of the trial that validation chose of a cell."""
    chosen = ranking(study, task, variant)
    curve = study["valid"].sel(task=task, variant=variant).values[chosen.trial[0]] if chosen.k else numpy.empty(0)
    epochs = numpy.flatnonzero(numpy.isfinite(curve))
    return epochs, curve[epochs]


@styled
def expected_best(comparison: xarray.Dataset, task: str, *, order: Sequence[str] | None = None) -> Figure:
    """Expected test score of the trial that validation chooses among n draws, less the baseline's: a panel for each other cell.

    The band is the bootstrap's interval, the colour the verdict; the baseline is dashed. Given up to a tenth of
    the trials: beyond, the interval would be too narrow.
    """
    everyone, baseline = present(order, comparison), str(comparison.attrs["baseline"])
    names = [name for name in everyone if name != baseline]
    part = comparison.sel(task=task)
    form = form_of(part)
    figure, panels = multiples(names, everyone)
    draws, ends = part["best_of"].values, []
    for name, axes in panels:
        curve = part["best_of_difference"].sel(variant=name).values
        band = part["best_of_difference_interval"].sel(variant=name)
        low, high = (band.sel(bound=bound).values for bound in ("lower", "upper"))
        axes.axhline(0, color=INK, linewidth=0.9, linestyle=DASHED, label="_baseline")
        known = numpy.isfinite(curve)
        if not known.any():
            axes.annotate(str(part["verdict"].sel(variant=name).item()), (0.5, 0.5), xycoords="axes fraction",
                          ha="center", color=SOFT)  # fmt: skip
            continue
        color = LOOKS.get(str(part["verdict"].sel(variant=name).item()), INK)
        axes.fill_between(draws[known], low[known], high[known], color=color, alpha=0.18, linewidth=0, label="_band")
        axes.plot(draws[known], curve[known], ".-" if known.sum() == 1 else "-", color=color, label=name)
        ends.append((axes, float(curve[known][-1]), int(draws[known][-1])))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    for axes, last, number in ends:  # above or below, where the curve is not
        height, place = (0.04, "bottom") if last > numpy.mean(axes.get_ylim()) else (0.96, "top")
        axes.annotate(f"{form(last)} at {number}", (0.97, height), xycoords="axes fraction", ha="right", va=place,
                      fontsize=7.5, color=INK, bbox=PLAIN)  # fmt: skip
    _label(figure, "draws of a search", f"minus {baseline} ({part['units'].item()})")
    return figure


def _label(figure: Figure, across: str, up: str) -> None:
    figure.supxlabel(across, fontsize=8.5)
    figure.supylabel(up, fontsize=8.5)
