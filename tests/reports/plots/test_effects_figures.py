"""Figures of comparisons and of the functional ANOVA: what is drawn is what was computed."""

from __future__ import annotations

import itertools
import re
import warnings
from typing import Any

import numpy
import pytest
import xarray
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from lstm_odyssey.reports import page
from lstm_odyssey.reports.contract import schema
from lstm_odyssey.reports.contract.wording import percent
from lstm_odyssey.reports.page import analyses, section, tables
from lstm_odyssey.reports.plots import curves
from lstm_odyssey.reports.plots import effects as figures
from lstm_odyssey.reports.plots.axis import shown
from lstm_odyssey.reports.plots.forest import LOOKS
from lstm_odyssey.reports.plots.style import INK
from lstm_odyssey.reports.stats import table
from tests import made_studies as made
from tests.quick_pages import TREES, framed_figures

pytestmark = pytest.mark.usefixtures("short_analyses")

CELLS = ("vanilla", "gated", "wild")


@pytest.fixture(scope="module")
def study() -> xarray.Dataset:
    """A study whose scores depend on the learning rate alone, but for the cell whose score is constant."""
    kept = []
    plan, trials = made.whole(made.study(variants=CELLS, trials=24))
    for one in trials:
        value = 4 + 1000 * one["hyperparameters"]["learning_rate"] / 2
        kept.append(one | {"status": "ok", "diverged_epoch": None, "best_valid": value, "best_test": value})
        if one["variant"] == "wild":
            kept[-1] |= {"best_valid": 9.0, "best_test": 9.0}
    return schema.build(plan, kept)


@pytest.fixture(scope="module")
def found(study: xarray.Dataset) -> analyses.Analyses:
    return analyses.analyse(study, few=True)


def lines(figure: Figure, label: str, axes: int = 0) -> list[Any]:
    return [line for line in figure.axes[axes].lines if line.get_label() == label]


def test_marginals_show_curve_others_and_optimum(found: analyses.Analyses) -> None:
    """Each panel holds the cell's curve on the drawn axis, the others in grey, and the best place; time stands below."""
    assert found.effects is not None
    figure = figures.marginals(found.effects, found.times, "songs", "gated")
    across = shown(found.effects, "songs")
    assert len(figure.axes) == 2 * len(across)
    part = found.effects.sel(task="songs", variant="gated").isel(clip=0)
    for place, one in enumerate(across):
        (curve,) = lines(figure, "marginal", place)
        expected = part["curve"].sel(hyperparameter=one.name).values
        assert curve.get_ydata() == pytest.approx(expected[numpy.isfinite(expected)])
        assert curve.get_xdata().tolist() == one.at.tolist(), "drawn uniformly, spread uniformly"
        other = next(line for line in lines(figure, "_other", place) if numpy.isfinite(line.get_ydata()).any())
        expected = found.effects["curve"].sel(task="songs", variant="vanilla", hyperparameter=one.name).isel(clip=0)
        assert other.get_ydata() == pytest.approx(expected.values[: one.at.size]) and other.get_color() == figures.GREY
    rate = [one.name for one in across].index("learning_rate")
    (best,) = lines(figure, "_optimum", rate)
    place = across[rate].place(float(part["optimum"].sel(hyperparameter="learning_rate")))
    assert best.get_xdata()[0] == pytest.approx(place)
    assert "nats/frame" in figure.axes[0].get_ylabel()
    assert "(s)" in figure.axes[len(across)].get_ylabel()


def test_shares_are_stacked_to_one(found: analyses.Analyses) -> None:
    """The widths of a cell's bar are its shares and add up to 1; a cell without analysis says so."""
    assert found.effects is not None
    figure = figures.shares(found.effects, "songs", order=CELLS)
    (axes,) = figure.axes
    for row, variant in enumerate(CELLS[:2]):
        bars = [bar for bar in axes.patches if bar.get_y() == pytest.approx(row - 0.36) and bar.get_height() < 0.75]
        part = found.effects.sel(task="songs", variant=variant).isel(clip=0)
        expected = [*part["main_share"].values, *part["order_share"].values[1:]]
        assert [bar.get_width() for bar in bars] == pytest.approx(expected)
        assert sum(bar.get_width() for bar in bars) == pytest.approx(1, abs=1e-9)
    assert "not analysed (n = 24)" in [text.get_text() for text in axes.texts]


def test_pairs_have_one_scale_centred_on_nought(found: analyses.Analyses) -> None:
    """Joint marginal and pure interaction of the pairs above 1 % share a colour scale centred on 0; others are left out."""
    assert found.effects is not None
    effects = found.effects.copy(deep=True)
    assert effects["pair"].size == 6
    effects["pair_share"].loc[{"variant": "gated"}] = 0.009
    assert figures.pairs(effects, "songs", "gated") is None
    effects["pair_share"].loc[{"variant": "vanilla"}] = numpy.array([0.02, 0.009, 0.0, 0.0, 0.3, 0.01])
    figure = figures.pairs(effects, "songs", "vanilla")
    assert figure is not None
    meshes = [mesh for axes in figure.axes[:-1] for mesh in axes.collections if mesh.get_rasterized()]
    part = effects.sel(task="songs", variant="vanilla").isel(clip=0)
    assert len(meshes) == 4
    assert {(mesh.norm.vmin, mesh.norm.vmax) for mesh in meshes} == {(-meshes[0].norm.vmax, meshes[0].norm.vmax)}
    joint = part["joint"] - part["mean"]
    assert meshes[0].norm.vmax == pytest.approx(float(numpy.nanmax(numpy.abs(joint.values[[0, 4]]))))
    grids = [grid.values[place] for place in (0, 4) for grid in (joint, part["interaction"])]
    for mesh, grid in zip(meshes, grids, strict=True):
        shown_values = numpy.ma.getdata(mesh.get_array()).ravel()
        assert numpy.sort(shown_values) == pytest.approx(numpy.sort(grid[numpy.isfinite(grid)]))


def test_cut_offs_take_over_the_raw_response(study: xarray.Dataset, found: analyses.Analyses) -> None:
    """What stands at every cut-off is what a functional ANOVA of all of them gives; the raw response is analysed once."""
    assert found.cuts is not None and found.cuts["clip"].values.tolist() == [1.0, analyses.GOOD]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        whole = study.odyssey.fanova(clip=(1.0, analyses.GOOD), points=2, trees=TREES)
    xarray.testing.assert_identical(found.cuts, whole[list(found.cuts)])
    assert {"main_share", "main_share_low", "r_squared", "note", "probability"} <= set(found.cuts)


@pytest.fixture(scope="module")
def untimely(study: xarray.Dataset) -> tuple[xarray.Dataset, analyses.Analyses]:
    """The study of predictable scores, its training times drawn at random."""
    untimely = study.copy(deep=True)
    untimely["seconds"][:] = numpy.random.default_rng(1).uniform(5, 20, untimely["seconds"].shape)
    return untimely, analyses.analyse(untimely, few=True)


@pytest.mark.long
def test_poor_times_are_flagged(untimely: tuple[xarray.Dataset, analyses.Analyses]) -> None:
    """Where the scores are predictable and the times are not, each row names its own R² and the page warns of the times."""
    study, found = untimely
    assert found.effects is not None and found.times is not None
    score, time = (one["r_squared"].sel(variant="gated").item() for one in (found.effects, found.times))
    assert score > 0.6 and time < 0.3
    told = section.section(study, table.summary(study), found, "songs", 0, list(CELLS))
    gated = next(cell for cell in told["cells"] if cell["name"] == "gated")
    minus = f"{time:.2f}".replace("-", "−")
    assert gated["words"] == f"n = 24; score R² {score:.2f}; time R² {minus}: poor"
    figure = figures.marginals(found.effects, found.times, "songs", "gated")
    columns = len(figure.axes) // 2
    written = [axes.get_title(loc="right") for axes in figure.axes]
    assert f"R² {score:.2f}" in written[:columns] and f"R² {minus} !" in written[columns:]
    (warning,) = (note for note in told["notes"] if note.startswith("Training time"))
    assert warning.startswith("Training time of vanilla and gated: R² ") and "below 0.3" in warning
    assert f"score R² {score:.2f}; time R² {minus}: poor" in page.render(study, analyses=found)


def test_expected_best_is_a_difference() -> None:
    """Each other cell has a panel with its curve and band of differences to the baseline, which is the dashed line at 0."""
    study = schema.build(*made.searched({"vanilla": 0.0, "gated": 1.0, "alike": 0.0}, 60))
    comparison = analyses.compare(study, "vanilla", replicates=49)
    figure = curves.expected_best(comparison, "talk")
    for axes, name in zip(range(2), ["gated", "alike"], strict=True):
        (line,) = lines(figure, name, axes)
        expected = comparison["best_of_difference"].sel(task="talk", variant=name).values
        assert line.get_ydata() == pytest.approx(expected) and line.get_xdata().tolist() == [1, 2, 3, 4, 5, 6]
        (dashed,) = lines(figure, "_baseline", axes)
        assert set(dashed.get_ydata()) == {0} and dashed.get_color() == INK and dashed.get_linestyle() == "--"
        assert line.get_color() == LOOKS.get(comparison["verdict"].sel(task="talk", variant=name).item(), INK)


def test_what_belongs_to_a_cell_is_marked(study: xarray.Dataset, found: analyses.Analyses) -> None:
    """In every figure each cell has marks of its own, in that of differences all but the baseline; no mark occurs twice."""
    scores = section.drawn(study, found, "songs", list(CELLS))
    assert len(scores) > 2
    for name, figure in scores.items():
        marked = {id(artist): artist for artist in figure.findobj(lambda artist: artist.get_gid() is not None)}
        marks = [str(artist.get_gid()) for artist in marked.values()]
        places = {mark.split("-")[0] for mark in marks}
        assert ({"cell1", "cell2"} if name in ("expected", "curves") else {"cell0", "cell1"}) <= places, name
        assert len(set(marks)) == len(marks), name


@framed_figures()
def test_page_of_bad_studies_says_what_is_wrong(study: xarray.Dataset, found: analyses.Analyses) -> None:
    """A constant response, all trials diverged, too few trials, little explained: each is said on the page."""
    text = page.render(study, analyses=found)
    assert "wild: constant response" in text
    alone = made.study(variants=CELLS[:2], trials=12)
    lost = schema.build(alone, [made.diverged(alone, *place) for place in made.places(alone)])
    diverged = page.render(lost, analyses=analyses.analyse(lost, few=True))
    assert "vanilla: constant response (all at the ceiling)" in diverged
    for figure in ("Shares of the variance on", "Mean prediction over all other"):
        assert figure not in diverged, "an empty figure"
    assert "Training time of" not in diverged, "no marginals of it are drawn"
    assert "Shares of the variance on" in text
    ten = page.render(schema.build(*made.whole(made.study(variants=CELLS[:2], trials=10))))
    assert "Learning curves." in ten and "Expected best." not in ten, "one draw makes no curve"
    few = page.render(schema.build(*made.whole(made.study(variants=CELLS[:2], trials=4))))
    assert "expected 50 or more of a cell." in few and "pooled" not in few
    assert "A verdict asks" not in few and "No cell is judged: there are too few trials" in few
    plan, trials = made.whole(made.study(variants=CELLS[:2], trials=40))
    random = numpy.random.default_rng(1)
    noise = [one | {"best_test": float(random.uniform(5, 9))} for one in trials if one["status"] == "ok"]
    noisy = schema.build(plan, noise)
    nothing = page.render(noisy, analyses=analyses.analyse(noisy, few=True))
    assert re.search(r"vanilla: R² is −0\.\d\d: the forest predicts nothing, there are no shares", nothing)
    assert "Shares of the variance on" not in nothing
    assert found.effects is not None
    poor = found._replace(effects=found.effects.copy(deep=True))
    assert poor.effects is not None
    poor.effects["r_squared"].values[:], poor.effects["flagged"].values[:] = 0.1, True
    grid = tables.importance(poor, "songs", CELLS)
    assert grid is not None and "0.10 (poor)" in [cell.text for cell in grid.rows[0].cells]


@framed_figures()
def test_page_sets_the_paper_beside_what_was_found() -> None:
    """On a task of the paper its claims stand with what was found, in the order of its figures; elsewhere they do not."""
    cells = ("mine", "noaf", "cifg", "vanilla")
    dataset = schema.build(*made.whole(made.study({"jsb_chorales": made.MUSIC, "songs": made.MUSIC}, cells, trials=2)))
    text = page.render(dataset)
    assert text.count("The paper says, we find") == 1
    assert text.index(">cifg against vanilla<") < text.index(">noaf against vanilla<")
    assert "8.38 nats/frame, niaf" in text
    rows = [text.index(f'class="sticky" data-key="{name}"') for name in ("vanilla", "cifg", "noaf", "mine")]
    assert rows == sorted(rows)


@pytest.mark.parametrize(("tasks", "cells"), [pytest.param(1, 9, marks=pytest.mark.long), (3, 2), (1, 1)])
def test_figures_of_any_size(tasks: int, cells: int) -> None:
    """Nine cells on one task, two on three and one cell on one task are drawn without a warning."""
    kinds = {"songs": made.MUSIC, "talk": made.SPEECH, "pen": made.PEN}
    names = [*page.ORDER][:cells]
    plan, trials = made.whole(made.study(dict(list(kinds.items())[:tasks]), tuple(names), trials=10, epochs=3))
    dataset = schema.build(plan, trials)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made_of = analyses.analyse(dataset, few=True)
        for task in dataset["task"].values.tolist():
            made_all = section.drawn(dataset, made_of, task, names)
            for name, figure in (made_all | section.drawn_of_cell(made_of, task, names[0], names)).items():
                figure.draw_without_rendering()
                axes_are_legible(figure, f"{task}: {name}", least=2 if name in ("marginals", "pairs") else 1)


def test_axes_name_both_ends(found: analyses.Analyses) -> None:
    """Axes name both of their ends: of 200 trials of the paper's space as of a narrow one."""
    assert found.effects is not None
    plan = made.study(variants=CELLS[:1], trials=24)
    space = plan["tasks"]["songs"]["space"]
    space["hidden_size"]["distribution"] |= {"low": 20, "high": 200}
    space["learning_rate"] |= {"low": 1e-6, "high": 1e-2}
    effects = analyses.analyse(schema.build(*made.whole(plan)), few=True).effects
    assert effects is not None
    for result, size, rate in (
        (found.effects, ("20", "48"), ("0.002", "0.01")),
        (effects, ("20", "200"), ("10⁻⁶", "0.01")),
    ):
        ends = {one.label: one.ticks() for one in shown(result, "songs")}
        expected = {"N": size, "learning rate": rate, "momentum": ("0", "0.99"), "input noise": ("0", "1")}
        assert {label: (names[0], names[-1]) for label, (_, names) in ends.items()} == expected
        assert {(places[0], places[-1]) for places, _ in ends.values()} == {(0.0, 1.0)}


def visible(axis: Axis) -> list[tuple[str, Bbox]]:
    """The labels of an axis that are drawn, with where they stand."""
    low, high = sorted(axis.get_view_interval())
    ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high and tick.label1.get_visible()]
    return [(tick.label1.get_text(), tick.label1.get_window_extent()) for tick in ticks if tick.label1.get_text()]


def axes_are_legible(figure: Figure, name: str, least: int) -> None:
    """Every axis that has labels has two or more, and none of them overlaps its neighbour; slanted names are left out."""
    for axes in figure.axes:
        for along, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
            labels = visible(axis)
            if not labels or not axes.axison or axis.get_major_ticks()[0].label1.get_rotation():
                continue
            assert len(labels) >= least, (name, along, labels)
            spans = sorted(getattr(box, f"interval{along}").tolist() for _, box in labels)
            for one, other in itertools.pairwise(spans):
                assert one[1] <= other[0] + 0.5, (name, along, [text for text, _ in labels])


@pytest.mark.long
def test_all_cells_together(study: xarray.Dataset, found: analyses.Analyses) -> None:
    """The whole form adds a row for the forest of all cells, the cell being a factor; the quick form does not."""
    whole = analyses.analyse(study, quick=False, few=True)
    expected = study.odyssey.fanova(pooled=True, clip=1.0, points=2, trees=TREES).isel(task=0, variant=0, clip=0)
    grid = tables.importance(whole, "songs", CELLS)
    assert grid is not None
    assert [row.variant for row in grid.rows] == [*CELLS, "all cells together"]
    heads = [name for name, _ in grid.heads[1:]]
    together = dict(zip(heads, grid.rows[-1].cells, strict=True))
    assert together["n"].key == 72
    assert together["R²"].key == pytest.approx(float(expected["r_squared"]))
    share = float(expected["main_share"].sel(hyperparameter="variant"))
    assert together["which cell"].key == pytest.approx(share) and share > 0.1
    rate = float(expected["main_share"].sel(hyperparameter="learning_rate"))
    assert together["learning rate"].key == pytest.approx(rate)
    assert grid.rows[0].cells[heads.index("which cell")].key is None
    text = page.render(study, analyses=whole)
    assert text.count("all cells together") >= 2 and f"which cell it is takes {percent([share])} by itself" in text
    quick = page.render(study, analyses=found)
    assert "all cells together" not in quick and "which cell" not in quick
