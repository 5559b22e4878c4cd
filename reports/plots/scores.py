"""Box plots of the test scores, as in the paper.

Every function returns a ``matplotlib.figure.Figure`` without touching pyplot's state; ``save`` and ``svg`` write it.
Scores worse than the chance level stand at that level, in figures only (Greff et al. 2017 fit their axes alike).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy
import xarray
from matplotlib.axes import Axes
from matplotlib.cbook import boxplot_stats
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from lstm_odyssey.reports.contract.selection import as_study, refuse_absent
from lstm_odyssey.reports.contract.wording import listed
from lstm_odyssey.reports.plots.forest import LOOKS
from lstm_odyssey.reports.plots.style import BARS, INK, SOFT, VERMILLION, blank, save, styled, svg, tag
from lstm_odyssey.reports.stats.table import SCORED, box_values, mean_parameters, score

__all__ = ["at_chance", "box_plot", "box_plots", "draw_boxes", "save", "svg"]

FEW = 20
"""Up to this many trials are drawn as points as well: a box of two trials hides that they are two."""

WIDTH = 0.34
"""Inches of a box plot for each cell."""

SINGLY = 12
"""Up to so many cells a caption has a number for each."""


@styled
def box_plot(
    dataset: xarray.Dataset,
    task: str,
    *,
    best: bool = False,
    order: Sequence[str] | None = None,
    apart: Mapping[str, str] | None = None,
) -> Figure:
    """One panel: the test scores of every variant on a task, of all finished trials or of the best 10 %.

    Args:
        dataset: a study.
        task: name of the task.
        best: draw the best 10 % by validation only.
        order: the variants from left to right; that of the dataset, if not given.
        apart: the verdicts on the best 10 %, drawn with thick lines: 'better' in blue, 'worse' in orange, 'open' in grey.
    """
    dataset = as_study(dataset, *SCORED, "metric")
    variants = list(order or dataset["variant"].values.tolist())
    refuse_absent(dataset, "task", task)
    refuse_absent(dataset, "variant", *variants)
    figure = blank(max(3.4, 1.1 + WIDTH * len(variants)), 3.3)
    draw_boxes(figure.add_subplot(), dataset, task, variants, best=best, apart=apart)
    return figure


@styled
def box_plots(
    dataset: xarray.Dataset, *, order: Sequence[str] | None = None, apart: Mapping[str, Mapping[str, str]] | None = None
) -> Figure:
    """The paper's figure: one column for each task, all trials above, the best 10 % below."""
    dataset = as_study(dataset, *SCORED, "metric")
    variants = list(order or dataset["variant"].values.tolist())
    refuse_absent(dataset, "variant", *variants)
    tasks = dataset["task"].values.tolist()
    figure = blank(len(tasks) * max(3.4, 1.1 + WIDTH * len(variants)), 6.4)
    grid = figure.subplots(2, len(tasks), squeeze=False)
    for task, column in zip(tasks, grid.T, strict=True):
        for axes, best in zip(column, (False, True), strict=True):
            draw_boxes(axes, dataset, task, variants, best=best, apart=(apart or {}).get(task))
            axes.set_title(f"{task}: {'best 10 % by validation' if best else 'all finished trials'}")
    return figure


def draw_boxes(
    axes: Axes,
    dataset: xarray.Dataset,
    task: str,
    variants: Sequence[str],
    *,
    best: bool,
    apart: Mapping[str, str] | None = None,
) -> None:
    """Box: quartiles; whiskers: full range; dot: mean; line: median; bars behind: parameters of the best 10 %.

    The frame ends a little beyond the boxes: whiskers to the chance level would press them flat.
    """
    part = dataset.sel(task=task)
    spans: dict[int, list[float]] = {}
    for place, variant in enumerate(variants):
        values = box_values(dataset, task, variant, best=best)
        if not values.size:
            axes.annotate("no\ntrials", (place, 0.5), xycoords=("data", "axes fraction"), ha="center", color=SOFT)
            continue
        verdict = (apart or {}).get(variant, "")
        edge = {"color": LOOKS[verdict], "linewidth": 2.2} if verdict else {"color": INK, "linewidth": 0.9}
        drawn = axes.bxp(
            boxplot_stats(values, whis=(0, 100)), positions=[place], widths=0.5, showmeans=True, showfliers=False,
            patch_artist=True, manage_ticks=False,
            boxprops={"facecolor": (1, 1, 1, 0.75), "edgecolor": edge["color"], "linewidth": edge["linewidth"]},
            medianprops={"color": INK, "linewidth": 1.6},
            meanprops={"marker": "o", "markerfacecolor": INK, "markeredgecolor": "white", "markersize": 5.5},
            whiskerprops={"color": INK, "linewidth": 0.9}, capprops={"color": INK, "linewidth": 0.9},
        )  # fmt: skip
        tag(place, "box", [artist for artists in drawn.values() for artist in artists])
        if values.size <= FEW:
            shift = 0.28 * ((numpy.arange(values.size) * 0.618) % 1 - 0.5)  # the golden ratio spreads without chance
            style: dict[str, Any] = {"color": INK, "markersize": 3, "alpha": 0.45, "zorder": 5, "label": "_trials"}
            tag(place, "trials", axes.plot(place + shift, values, ".", **style))
        spans[place] = [values.min(), *numpy.quantile(values, [0.25, 0.75]), values.max()]
    maximize = str(part["direction"].item()) == "maximize"
    _frame(axes, numpy.array(list(spans.values())), float(part["chance"]), maximize=maximize)
    _outside(axes, spans, maximize=maximize)
    slanted = len("".join(variants)) > 16
    axes.set_xticks(range(len(variants)), variants, rotation=40 if slanted else 0,
                    ha="right" if slanted else "center", rotation_mode="anchor")  # fmt: skip
    axes.set_xlim(-0.6, len(variants) - 0.4)
    axes.tick_params("x", length=0)
    metric, units = str(part["metric"].item()), str(part["units"].item())
    axes.set_ylabel(f"test {metric}\n({units})" if len(metric) > 22 else f"test {metric} ({units})")
    _bars(axes, [mean_parameters(dataset, task, variant) for variant in variants])


def _frame(axes: Axes, spans: numpy.ndarray, chance: float, *, maximize: bool) -> None:
    """From the best score to the worse end of the boxes, those that reach the chance level left out, if others do not."""
    if not spans.size:
        return
    ends = -spans[:, ::-1] if maximize else spans
    boxes = ends[:, 2]
    away = boxes[boxes < (-chance if maximize else chance) - 1e-9 * abs(chance)]
    low, high = float(ends.min()), float((away if away.size else boxes).max())
    room = 0.12 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = low - room, min(high + room, max(float(ends.max()) + 0.35 * room, high))
    axes.set_ylim(*((-high, -low) if maximize else (low, high)))


def _outside(axes: Axes, spans: Mapping[int, Sequence[float]], *, maximize: bool) -> None:
    """Name, where its box would be, each cell of which nothing is within the frame: its scores are at chance, or near it."""
    low, high = axes.get_ylim()
    for place, (least, _, _, most) in spans.items():
        if most < low or least > high:
            side: dict[str, Any] = {"va": "bottom", "xytext": (0, 3)} if maximize else {"va": "top", "xytext": (0, -3)}
            words = axes.annotate("no better than chance", (place, 0 if maximize else 1), textcoords="offset points",
                                  xycoords=("data", "axes fraction"), ha="center", rotation=90, fontsize=7.5,
                                  color=VERMILLION, **side)  # fmt: skip
            tag(place, "outside", [words])


def _bars(axes: Axes, heights: Sequence[float]) -> None:
    """The mean number of parameters of the best 10 %, on an axis of its own behind the boxes."""
    behind = axes.twinx()
    known = [place for place, height in enumerate(heights) if numpy.isfinite(height)]
    bars = behind.bar(known, [heights[place] for place in known], width=0.78, color=BARS, label="parameters")
    for place, bar in zip(known, bars, strict=True):
        tag(place, "bar", [bar])
    behind.set_ylim(0, 2.0 * max([1.0, *(heights[place] for place in known)]))
    behind.yaxis.set_major_formatter(EngFormatter(sep=""))
    behind.yaxis.set_major_locator(MaxNLocator(4))
    behind.set_ylabel("parameters (bars)", color=SOFT)
    behind.tick_params("y", labelcolor=SOFT, length=0)
    behind.grid(False)
    behind.set_zorder(axes.get_zorder() - 1)
    axes.patch.set_visible(False)


def at_chance(dataset: xarray.Dataset, task: str, order: Sequence[str]) -> str:
    """How many trials of which cell score no better than chance, in words; empty where none does or chance is unknown."""
    chance = float(dataset["chance"].sel(task=task))
    parts = []
    for best, words in ((False, "all finished trials"), (True, "the best 10 %")):
        counts = {name: int((box_values(dataset, task, name, best=best) == chance).sum()) for name in order}
        if not any(counts.values()):
            continue
        if len(counts) > SINGLY:
            few, many = (end(counts, key=lambda name: counts[name]) for end in (min, max))
            parts.append(f"of {words} {counts[few]} ({few}) to {counts[many]} ({many})")
        else:
            parts.append(f"of {words} " + listed(f"{count} of {name}" for name, count in counts.items() if count))
    return f"At the chance level ({score(chance)}) or worse: {'; '.join(parts)}." if parts else ""
