"""What a reader of a figure needs stands in it: no line through a word, no cell without a mark, no column cut."""

from __future__ import annotations

import numpy
import pytest
from matplotlib.text import Annotation

from lstm_odyssey.reports import page
from lstm_odyssey.reports.contract import schema
from lstm_odyssey.reports.fanova.api import fanova
from lstm_odyssey.reports.plots import curves, effects, forest, scores, strips, style
from lstm_odyssey.reports.stats.compare import compare
from tests import made_studies as made

NAMES = ("vanilla", "a_name_of_some_length", "bad")


@pytest.fixture(scope="module")
def searched():
    """A study whose cells are told apart, so that intervals lie on both sides of 0."""
    study = schema.build(*made.searched(dict(zip(NAMES, (0.0, -1.0, 3.0), strict=True)), 60))
    return study, compare(study, replicates=99)


@pytest.mark.parametrize("narrow", [False, True])
def test_the_line_at_zero_crosses_no_word(searched, narrow):
    """Of the forest plot's words none lies on the dashed line or on another word."""
    figure = forest.forest(*searched, "talk", narrow=narrow)
    with style.style(), style.arranged(figure):
        axes = figure.axes[0]
        words = [text.get_window_extent() for text in axes.texts if isinstance(text, Annotation) and text.get_text()]
        lines = [line.get_window_extent() for line in axes.lines if line.get_label() == "_zero"]
    assert len(words) >= 2 * len(NAMES) and len(lines) == (len(NAMES) if narrow else 1)
    assert not any(line.overlaps(word) for line in lines for word in words)
    assert not any(one.overlaps(other) for place, one in enumerate(words) for other in words[:place])


def at_chance():
    """A study of three cells of which one has every score at the chance level."""
    facts, trials = made.searched(dict.fromkeys(NAMES, 0.0), 20)
    chance = facts["tasks"]["talk"]["chance"]
    for one in trials:
        one["curves"] = {**one["curves"], "valid": [chance] * (len(one["curves"]["valid"]) - 1) + [one["best_valid"]]}
        if one["variant"] == "bad":
            one |= {"best_valid": chance, "best_test": chance}
            one["curves"]["valid"] = [chance * 1.5] * len(one["curves"]["valid"])
    return schema.build(facts, trials)


@pytest.mark.parametrize("best", [False, True])
def test_a_cell_at_chance_is_named_in_the_box_plots(best):
    """A cell of which nothing is within the frame says so where its box would be; the others do not."""
    axes = scores.box_plot(at_chance(), "talk", best=best).axes[0]
    told = [(text.xy[0], text.get_text()) for text in axes.texts if isinstance(text, Annotation)]
    assert told == [(NAMES.index("bad"), "no better than chance")]


def test_a_cell_at_chance_is_named_among_the_learning_curves():
    """A panel whose curve is out of the frame is not empty."""
    figure = curves.learning_curves(at_chance(), "talk", order=NAMES)
    told = {axes.get_title(loc="left"): [text.get_text() for text in axes.texts] for axes in figure.axes if axes.axison}
    assert told == {"vanilla": [], "a_name_of_some_length": [], "bad": ["no better\nthan chance"]}


def test_strips_show_every_column_once():
    """A wide figure's strips hold all its columns beside the axis, none too wide; a small figure is not cut."""
    study = schema.build(*made.searched({f"cell{k}": 0.0 for k in range(9)}, 10))
    figure = curves.learning_curves(study, "talk")
    with style.style(), style.arranged(figure):
        found = strips.strips(figure)
    panels = [strip for strip in found if len(strip) == 2]
    assert len(panels) > 1 and len({axis for axis, _ in panels}) == 1
    edges = [(part.x, part.x + part.width) for _, part in panels]
    assert [start for start, _ in edges[1:]] == pytest.approx([end for _, end in edges[:-1]])
    axis = panels[0][0]
    assert (edges[0][0], edges[-1][1]) == pytest.approx((axis.width, 72 * figure.get_figwidth()))
    assert all(sum(part.width for part in strip) <= 72 * strips.WIDEST for strip in panels)
    assert len(found) == len(panels) + 1, "the label that all share"
    text = style.svg(figure, "curves", "f")
    assert text.count('class="strip"') == len(found) and text.count('<use href="#f-whole"/>') == 2 * len(panels) + 1
    assert strips.strips(scores.box_plot(study, "talk")) == []


def test_a_strip_cuts_no_label_in_two():
    """Names and numbers beside the axis lie within the axis's window, those of the first column behind it."""
    facts, trials = made.searched({f"{name}gf": 0.0 for name in ("vanilla", "bad", "of_some_length")}, 60)
    cuts = fanova(schema.build(facts, trials), clip=(1.0, 0.5), points=2, trees=10)
    figure = effects.shares(cuts, "talk")
    with style.style(), style.arranged(figure):
        axis = next(strip[0] for strip in strips.strips(figure) if len(strip) == 2)
        end = axis.width * figure.dpi / strips.POINTS
        figure.draw_without_rendering()
        first = figure.axes[0]
        assert max(label.get_window_extent().x1 for label in first.get_yticklabels()) <= end
        assert min(label.get_window_extent().x0 for label in first.get_xticklabels()) >= end


def test_a_task_without_scores_is_one_line(tmp_path, short_analyses):
    """Nothing is drawn of a task of which no trial has finished: no figure, no table, one sentence."""
    facts, trials = made.whole(made.study({"songs": made.MUSIC, "talk": made.SPEECH}, ("vanilla", "gated"), trials=3))
    study = schema.build(facts, [one for one in trials if one["task"] == "songs"])
    sections = page.render(study).split("<section ")
    talk = next(part for part in sections if "<h2>talk</h2>" in part)
    songs = next(part for part in sections if "<h2>songs</h2>" in part)
    assert "<svg" in songs and "<figure" in songs
    assert "On talk no trial has a score yet." in talk
    assert "<svg" not in talk and "<figure" not in talk and 'class="sortable"' not in talk


def test_whole_numbers_of_trials_are_exact():
    """A number of parameters of six digits is told as it is, wherever a page shows it."""
    from lstm_odyssey.reports.page import trials

    assert trials._plain(numpy.array([233_368.0, 0.123456789, numpy.nan])) == [233_368, 0.12346, None]
