"""Small multiples of the draws that two cells share: a point for each, its score in the one against that in the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
import xarray
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lstm_odyssey.reports.contract import draws
from lstm_odyssey.reports.contract.selection import as_study, refuse_absent
from lstm_odyssey.reports.plots.axis import multiples, present
from lstm_odyssey.reports.plots.style import GREEN, INK, SOFT, styled
from lstm_odyssey.reports.stats import searches
from lstm_odyssey.reports.stats.inference import Numbers
from lstm_odyssey.reports.stats.table import SCORED, maximizes, ranking

LEAST = 20
"""Shared draws from which on a figure is drawn: of fewer a best tenth is one draw."""

SHOWN = 0.75
"""Part of the scores, from the best on, that the frame holds beside all best tenths: the worst would press them together."""


def sharing(
    study: xarray.Dataset, comparison: xarray.Dataset, task: str, order: Sequence[str] | None = None
) -> list[str]:
    """The cells that had the baseline's draws on a task, and have enough of them; none where rows were chosen."""
    baseline = str(comparison.attrs["baseline"])
    if not baseline or draws.chosen(study):
        return []
    of = draws.groups(study, task)
    alike = [name for name in present(order, comparison) if name != baseline and of[name] == of[baseline]]
    return [name for name in alike if len(shared(study, task, baseline, name)[0]) >= LEAST]


def shared(study: xarray.Dataset, task: str, one: str, other: str) -> tuple[Numbers, Numbers]:
    """Test scores of the draws that two cells share [n, 2], at chance at worst, and which are of whose best tenth [n, 2]."""
    scores, best = [], []
    for part in draws.by_seed(study):
        sides = [ranking(part, task, name) for name in (one, other)]
        found = searches.pair(*sides, paired=True)
        scores.append(numpy.stack([found.one.test, found.other.test[found.place]], axis=1))
        best.append(numpy.stack([numpy.isin(found.one.trial, side.trial[: side.k]) for side in sides], axis=1))
    return numpy.concatenate(scores), numpy.concatenate(best)


@styled
def scatter(
    study: xarray.Dataset, comparison: xarray.Dataset, task: str, *, order: Sequence[str] | None = None
) -> Figure:
    """The test score of each draw in a cell against that of the same draw in the baseline: a panel for each other cell.

    The best tenths by validation are marked, of the baseline by rings, of the cell by dots; on the line both scores are
    equal. A draw that the two seeds of a study share is two points. The frame has the better three quarters.

    Raises:
        ValueError: no cell shares enough draws with the baseline.
    """
    study = as_study(study, *SCORED)
    refuse_absent(study, "task", task)
    names, baseline = sharing(study, comparison, task, order), str(comparison.attrs["baseline"])
    if not names:
        raise ValueError(
            f"task '{task}': no cell has {LEAST} draws in common with the baseline; expected a study of common draws "
            "with a baseline. Run one with --draws common."
        )
    figure, panels = multiples(names, present(order, comparison), height=1.75, kind="draws")
    sign, kept = (-1 if maximizes(study, task) else 1), []
    for name, axes in panels:
        scores, best = shared(study, task, baseline, name)
        axes.axline((scores[0, 0], scores[0, 0]), slope=1, color=INK, linewidth=0.7, alpha=0.6, label="_equal")
        axes.plot(*scores.T, ".", color=SOFT, markersize=2.6, alpha=0.55, label="_draws")
        ring, dot = scores[best[:, 0]].T, scores[best[:, 1]].T
        axes.plot(*ring, "o", color=INK, markersize=5.5, markerfacecolor="none", label="_baseline")
        axes.plot(*dot, "o", color=GREEN, markersize=2.6, label=name)
        within = numpy.sort(sign * scores, axis=None)[: max(1, int(SHOWN * scores.size))]
        kept.append((within[0], max(within[-1], (sign * scores[best.any(axis=1)]).max(initial=within[-1]))))
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_locator(MaxNLocator(4))
    ends = sign * min(low for low, _ in kept), sign * max(high for _, high in kept)
    room = 0.05 * abs(ends[1] - ends[0]) or 0.05 * abs(ends[0]) or 1.0
    frame = min(ends) - room, max(ends) + room
    figure.axes[0].set(xlim=frame, ylim=frame)  # which all panels share
    units = str(study["units"].sel(task=task).item())
    figure.supxlabel(f"test score of {baseline} ({units})", fontsize=8.5)
    figure.supylabel("of the same draw in the cell", fontsize=8.5)
    return figure
