"""The scores of the draws that cells share: what is paired, whose best tenth is marked, and where there is no such figure."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import xarray
from matplotlib.figure import Figure

from lstm_odyssey.reports import page
from lstm_odyssey.reports.contract import schema
from lstm_odyssey.reports.plots.same_draws import LEAST, scatter, sharing
from lstm_odyssey.reports.stats.compare import compare
from tests import made_studies as made
from tests.quick_pages import framed_figures
from tests.reports.contract.test_combine import content, joined

pytestmark = pytest.mark.usefixtures("short_analyses")

CELLS = ["vanilla", "gated", "alike"]


def searched(draws: str = "common", trials: int = 60, direction: str = "minimize") -> xarray.Dataset:
    """Three cells of which the second is worse, one trial of which failed and one of which diverged."""
    levels = {"vanilla": 0.0, "gated": 0.4, "alike": 0.0}
    facts, found = made.searched(levels, trials, shared=0.9, direction=direction)
    facts["draws"] = draws
    for one in found:
        if (one["variant"], one["trial"]) == ("gated", 3):
            one |= {"status": "failed", "best_valid": None, "best_test": None}
        if (one["variant"], one["trial"]) == ("vanilla", 5):
            one |= {"best_test": one["best_test"] + (1e6 if direction == "minimize" else -1e6)}
    return schema.build(facts, found)


def points(figure: Figure, panel: int, label: str) -> set[tuple[float, float]]:
    (line,) = (line for line in figure.axes[panel].lines if line.get_label() == label)
    return set(zip(line.get_xdata().tolist(), line.get_ydata().tolist(), strict=True))


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_point_is_a_draw_and_best_tenths_are_marked(direction: str) -> None:
    """By hand: the scores of trial k of both, chance at worst, without what failed; the best six by validation of either."""
    study = searched(direction=direction)
    figure = scatter(study, compare(study, replicates=9), "talk", order=CELLS)
    part, sign = study.sel(task="talk"), -1 if direction == "maximize" else 1
    chance = float(part["chance"])
    test, valid = (
        {name: part[what].sel(variant=name).values for name in CELLS} for what in ("best_test", "best_valid")
    )
    for panel, name in enumerate(CELLS[1:]):

        def at(trials: Any, name: str = name) -> set[tuple[float, float]]:
            pairs = [[sign * min(sign * test[cell][k], sign * chance) for cell in ("vanilla", name)] for k in trials]
            return {(x, y) for x, y in pairs}

        held = [k for k in range(60) if numpy.isfinite(test[name][k])]
        assert len(held) == (59 if name == "gated" else 60)
        assert points(figure, panel, "_draws") == at(held)
        best = {cell: numpy.argsort(sign * valid[cell])[:6] for cell in CELLS}
        for cell, label in (("vanilla", "_baseline"), (name, name)):
            assert points(figure, panel, label) == at([k for k in best[cell] if k in held]), label
        assert len(points(figure, panel, "_baseline") | points(figure, panel, name)) > 6, "they are not the same draws"
        assert figure.axes[panel].get_title() == "" and figure.axes[panel].get_title(loc="left") == name
        assert str(figure.axes[panel].get_gid()).startswith(f"cell{CELLS.index(name)}-")
        assert figure.axes[panel].get_xlim() == figure.axes[panel].get_ylim(), "the line is the diagonal"
        for axis, places in zip(("x", "y"), zip(*points(figure, panel, name), strict=True), strict=True):
            low, high = getattr(figure.axes[panel], f"get_{axis}lim")()
            assert low < min(places) and max(places) < high, "no best tenth is out of the frame"


def test_a_draw_of_two_seeds_is_two_points() -> None:
    """Each seed's own scores of the draw, and its own best tenth."""
    both = joined(content(trials=30), content(trials=30, seed=2, kind="points"))
    figure = scatter(both, compare(both, "plain", replicates=9), "songs")
    assert len(points(figure, 0, "_draws")) == 60 and len(points(figure, 0, "gated")) == 6


@pytest.mark.parametrize(
    ("study", "baseline"),
    [
        (lambda: searched("independent"), "vanilla"),
        (lambda: searched(trials=LEAST - 1), "vanilla"),
        (searched, None),
        (lambda: schema.build(*content(trials=30, kind="points")), "plain"),
    ],
    ids=["independent", "few", "no baseline", "chosen rows"],
)
def test_where_nothing_is_shared_there_is_no_figure(study: Any, baseline: str | None) -> None:
    """Draws of their own, too few, nothing to compare with, rows that were chosen: no cell, and one sentence if asked."""
    held = study()
    found = compare(held, baseline, replicates=9)
    (task,) = held["task"].values.tolist()
    assert sharing(held, found, task) == []
    with pytest.raises(ValueError, match=f"task '{task}': no cell has {LEAST} draws in common .* --draws common"):
        scatter(held, found, task)


@framed_figures()
def test_the_page_has_it_where_draws_are_common() -> None:
    """Beside the differences, with the meaning of its marks; a page of independent draws says nothing of it."""
    told = "Black rings: the best 10 % of vanilla by validation; green dots: those of the cell."
    common, independent = (page.render(searched(draws, trials=LEAST)) for draws in ("common", "independent"))
    assert told in common and 'aria-label="Scatter: test scores of the same draws on talk"' in common
    for text in (told, "<b>The same draws.</b>", "Scatter: test scores"):
        assert text not in independent
