"""The figures, drawn from a stored study: box plots as in the paper, and learning curves.

Every function returns a ``matplotlib.figure.Figure`` without touching pyplot's state; ``save`` and ``svg`` write it.
Scores worse than the chance level stand at that level, in figures only (Greff et al. 2017 fit their axes alike).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy
import xarray
from matplotlib.axes import Axes
from matplotlib.cbook import boxplot_stats
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from lstm_odyssey.reports.contract.selection import as_study, refuse_absent
from lstm_odyssey.reports.contract.variables import FINISHED
from lstm_odyssey.reports.plots.axis import look
from lstm_odyssey.reports.plots.style import BARS, BLUE, INK, VERMILLION, blank, save, styled, svg, tag
from lstm_odyssey.reports.stats.table import SCORED, best_fraction, box_values, maximizes, mean_parameters, score

__all__ = ["box_plot", "box_plots", "draw_boxes", "learning_curves", "save", "svg"]

FEW = 20
"""Up to this many trials are drawn as points as well: a box of two trials hides that they are two."""


@styled
def box_plot(
    dataset: xarray.Dataset,
    task: str,
    *,
    best: bool = False,
    order: Sequence[str] | None = None,
    apart: Collection[str] = (),
) -> Figure:
    """One panel: the test scores of every variant on a task, of all finished trials or of the best 10 %.

    Args:
        dataset: a study.
        task: name of the task.
        best: draw the best 10 % by validation only.
        order: the variants from left to right; that of the dataset, if not given.
        apart: variants to draw in blue with thick lines, as those that differ significantly.
    """
    dataset = as_study(dataset, *SCORED, "metric")
    variants = list(order or dataset["variant"].values.tolist())
    refuse_absent(dataset, "task", task)
    refuse_absent(dataset, "variant", *variants)
    figure = blank(max(3.4, 1.2 + 0.42 * len(variants)), 3.3)
    draw_boxes(figure.add_subplot(), dataset, task, variants, best=best, apart=apart)
    return figure


@styled
def box_plots(
    dataset: xarray.Dataset, *, order: Sequence[str] | None = None, apart: Mapping[str, Collection[str]] | None = None
) -> Figure:
    """The paper's figure: one column for each task, all trials above, the best 10 % below."""
    dataset = as_study(dataset, *SCORED, "metric")
    variants = list(order or dataset["variant"].values.tolist())
    refuse_absent(dataset, "variant", *variants)
    tasks = dataset["task"].values.tolist()
    figure = blank(len(tasks) * max(3.4, 1.2 + 0.42 * len(variants)), 6.4)
    for column, task in enumerate(tasks):
        for row, best in enumerate((False, True)):
            axes = figure.add_subplot(2, len(tasks), row * len(tasks) + column + 1)
            draw_boxes(axes, dataset, task, variants, best=best, apart=(apart or {}).get(task, ()))
            words = f"{task}: {'best 10 % by validation' if best else 'all finished trials'}"
            axes.set_title(words, pad=18 if best else None)  # the chance level may stand above the frame
    return figure


def draw_boxes(
    axes: Axes, dataset: xarray.Dataset, task: str, variants: Sequence[str], *, best: bool, apart: Collection[str] = ()
) -> None:
    """Box: quartiles; whiskers: full range; dot: mean; line: median; bars behind: parameters of the best 10 %."""
    part = dataset.sel(task=task)
    chance, units = float(part["chance"]), str(part["units"].item())
    positions = range(1, len(variants) + 1)
    boxes: list[tuple[int, str, dict[str, Any]]] = []
    for position, variant in zip(positions, variants, strict=True):
        values = box_values(dataset, task, variant, best=best)
        if not values.size:
            axes.annotate(
                "no\ntrials", (position, 0.5), xycoords=("data", "axes fraction"), ha="center", color="#777777"
            )
            continue
        (stats,) = boxplot_stats(values, whis=(0, 100), labels=[variant])
        boxes.append((position, variant, stats))
        if values.size <= FEW:
            shift = 0.28 * ((numpy.arange(values.size) * 0.618) % 1 - 0.5)  # the golden ratio spreads without chance
            points = axes.plot(
                position + shift, values, ".", color=INK, markersize=3, alpha=0.45, zorder=5, label="_trials"
            )
            tag(position - 1, "trials", points)
    if boxes:
        _boxes(axes, boxes, apart)
    _chance(axes, chance, [end for _, _, stats in boxes for end in (stats["whislo"], stats["whishi"])], force=not best)
    axes.margins(y=0.09)
    axes.set_xlim(0.4, len(variants) + 0.6)
    axes.set_xticks(list(positions), variants, rotation=40 if len("".join(variants)) > 16 else 0)
    axes.tick_params("x", length=0)
    for label in axes.get_xticklabels():
        label.set(ha="right" if label.get_rotation() else "center", rotation_mode="anchor")
    metric = str(part["metric"].item())
    axes.set_ylabel(f"test {metric}\n({units})" if len(metric) > 22 else f"test {metric} ({units})")
    _bars(axes, dataset, task, variants)


def _chance(axes: Axes, chance: float, ends: Sequence[float], *, force: bool) -> None:
    """The chance level as a line; as words alone, if the line is not forced and would squeeze the boxes."""
    if math.isnan(chance):
        return
    away = min((abs(chance - end) for end in ends), default=0.0)
    if force or away <= max(ends, default=0.0) - min(ends, default=0.0):
        axes.axhline(chance, color=INK, linewidth=0.9, linestyle=(0, (4, 2.5)), label="chance level")
        place, words, across = (1.0, chance), f"chance {score(chance)}", ("axes fraction", "data")
    else:
        place, words, across = (
            (1.0, 1.0),
            f"chance {score(chance)}, beyond the axis",
            ("axes fraction", "axes fraction"),
        )
    axes.annotate(words, place, (-2, 3), xycoords=across, textcoords="offset points", ha="right", fontsize=7.5)


def _boxes(axes: Axes, boxes: list[tuple[int, str, dict[str, Any]]], apart: Collection[str]) -> None:
    drawn = axes.bxp(
        [stats for _, _, stats in boxes],
        positions=[position for position, _, _ in boxes],
        widths=0.5,
        showmeans=True,
        showfliers=False,
        patch_artist=True,
        manage_ticks=False,
        boxprops={"facecolor": (1, 1, 1, 0.75), "edgecolor": INK, "linewidth": 0.9},
        medianprops={"color": VERMILLION, "linewidth": 1.6},
        meanprops={"marker": "o", "markerfacecolor": VERMILLION, "markeredgecolor": "white", "markersize": 5.5},
        whiskerprops={"color": INK, "linewidth": 0.9},
        capprops={"color": INK, "linewidth": 0.9},
    )
    for number, (position, _, _) in enumerate(boxes):
        ends = [drawn[name][2 * number + side] for name in ("whiskers", "caps") for side in (0, 1)]
        tag(position - 1, "box", [drawn[name][number] for name in ("boxes", "medians", "means")] + ends)
    for (_, variant, _), box in zip(boxes, drawn["boxes"], strict=True):
        if variant in apart:
            box.set(edgecolor=BLUE, linewidth=2.2)


def _bars(axes: Axes, dataset: xarray.Dataset, task: str, variants: Sequence[str]) -> None:
    """The mean number of parameters of the best 10 %, on an axis of its own behind the boxes."""
    behind = axes.twinx()
    heights = numpy.array([mean_parameters(dataset, task, variant) for variant in variants])
    known = ~numpy.isnan(heights)
    bars = behind.bar(
        numpy.arange(1, len(variants) + 1)[known], heights[known], width=0.78, color=BARS, label="parameters"
    )
    for place, bar in zip(numpy.flatnonzero(known), bars, strict=True):
        tag(int(place), "bar", [bar])
    behind.set_ylim(0, 2.0 * max([1.0, *heights[known]]))
    behind.yaxis.set_major_formatter(EngFormatter(sep=""))
    behind.yaxis.set_major_locator(MaxNLocator(4))
    behind.set_ylabel("parameters (bars)", color="#777777")
    behind.tick_params("y", labelcolor="#777777", length=0)
    behind.grid(False)
    behind.set_zorder(axes.get_zorder() - 1)
    axes.patch.set_visible(False)


@styled
def learning_curves(dataset: xarray.Dataset, task: str, *, order: Sequence[str] | None = None) -> Figure:
    """Validation score against epochs for the trial of each variant that validation chose; a dot marks its best."""
    dataset = as_study(dataset, *SCORED, "valid")
    refuse_absent(dataset, "task", task)
    refuse_absent(dataset, "variant", *order or ())
    part = dataset.sel(task=task)
    maximize, chance = maximizes(dataset, task), float(part["chance"])
    figure = blank(5.4, 3.4)
    axes = figure.add_subplot()
    ends, scores = [], [] if math.isnan(chance) else [chance]
    for position, variant in enumerate(order or dataset["variant"].values.tolist()):
        one = part.sel(variant=variant)
        chosen = best_fraction(one["best_valid"], numpy.isin(one["status"].values, FINISHED), maximize=maximize)
        if not chosen.size:
            continue
        curve = one["valid"].values[chosen[0]]
        epochs = numpy.flatnonzero(numpy.isfinite(curve))
        if not epochs.size:
            continue
        color, dashes = look(position)
        (line,) = axes.plot(epochs, curve[epochs], color=color, linestyle=dashes, label=variant)
        best = epochs[numpy.argmax(curve[epochs]) if maximize else numpy.argmin(curve[epochs])]
        tag(
            position,
            "curve",
            [line, *axes.plot(best, curve[best], "o", color=line.get_color(), markersize=4, label="_best")],
        )
        ends.append((position, float(epochs[-1]), float(curve[epochs[-1]]), variant, str(line.get_color())))
        scores.extend(curve[epochs[1:]] if epochs.size > 1 else curve[epochs])
    if not math.isnan(chance):
        axes.axhline(chance, color=INK, linewidth=0.9, linestyle=(0, (4, 2.5)), label="chance level")
        axes.annotate(
            f"chance {score(chance)}", (1.0, chance), (-2, 3), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", fontsize=7.5,
        )  # fmt: skip
    if scores:  # what is far worse than chance runs out of the frame
        low, high = min(scores), max(scores)
        if not math.isnan(chance):
            low, high = (max(low, chance), high) if maximize else (low, min(high, chance))
        room = 0.08 * (high - low) or 0.08 * abs(high) or 1.0
        axes.set_ylim(low - room, high + 1.6 * room)
    axes.set_xlabel("epochs trained")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(f"validation score\n({part['units'].item()})")
    _name_lines(axes, ends)
    return figure


def _name_lines(axes: Axes, ends: list[tuple[int, float, float, str, str]]) -> None:
    """Each line's name beside the frame, at the height where it ends as far as names do not overlap."""
    bottom, top = axes.get_ylim()
    right = max([1.0, *(x for _, x, _, _, _ in ends)])
    axes.set_xlim(-0.02 * right, 1.02 * right)
    ends = sorted(ends, key=lambda end: end[2])
    wanted = numpy.clip([(y - bottom) / (top - bottom) for _, _, y, _, _ in ends], 0, 1)
    step = min(0.062, 1 / max(1, len(ends)))
    heights = numpy.maximum.accumulate(wanted - step * numpy.arange(len(ends))) + step * numpy.arange(len(ends))
    limit = 1 - step * numpy.arange(len(ends))[::-1]
    heights = numpy.minimum(heights, limit)
    for (place, x, y, name, color), height in zip(ends, heights, strict=True):
        text = axes.annotate(
            name, (x, float(numpy.clip(y, bottom, top))), (1.035, height), textcoords="axes fraction", va="center",
            color=color, arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.5, "alpha": 0.6, "shrinkA": 0},
            annotation_clip=False,
        )  # fmt: skip
        tag(place, "name", [text])
