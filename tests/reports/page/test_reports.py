"""What the reports make of stored results: the table, the figures, the page."""

from __future__ import annotations

import copy
import functools
import html
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy
import pytest
import xarray
from hypothesis import HealthCheck, given, settings
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch

from lstm_odyssey.reports import page
from lstm_odyssey.reports.contract import schema
from lstm_odyssey.reports.page import words
from lstm_odyssey.reports.plots import curves
from lstm_odyssey.reports.plots import scores as figures
from lstm_odyssey.reports.plots.forest import LOOKS
from lstm_odyssey.reports.stats import table
from tests import made_studies as made
from tests.quick_pages import framed_figures

pytestmark = pytest.mark.usefixtures("short_analyses")


def whole(**given: Any) -> xarray.Dataset:
    return schema.build(*made.whole(made.study(**given)))


def test_reports_need_no_torch() -> None:
    """Every module of reports/ is imported without torch and without the rest of the suite."""
    modules = [
        f"lstm_odyssey.reports.{name}"
        for name in ["contract.schema", "stats.table", "plots.scores", "page", "page.words", "contract.netcdf"]
    ]
    code = f"""
import sys
for name in {modules}:
    __import__(name)
loaded = [name for name in sys.modules if name.split('.')[0] == 'torch' or name.startswith('lstm_odyssey.')]
print([name for name in loaded if not name.startswith('lstm_odyssey.reports')], 'matplotlib.pyplot' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False"


# The table, by hand: 21 finished trials have a best 10 % of three.
VALID = [5.0, 4.0, 3.0, 2.0, 1.0] + [9.0] * 16
TEST = [7.0, 7.0, 3.5, 1.5, 2.5] + [9.0] * 16


def row(**given: Any) -> dict[str, Any]:
    n = len(given.get("best_valid", VALID))
    arrays: dict[str, Any] = {"status": ["ok"] * n, "best_valid": VALID, "best_test": TEST}
    arrays |= {"n_parameters": list(range(100, 100 + n)), "chance": 4.0}
    arrays |= {"unstable": [False] * n}
    return table.summarise(**(arrays | given))


def test_table_by_hand() -> None:
    """Three of 21 trials are chosen by validation; their test scores are 2.5, 1.5 and 3.5."""
    found = row()
    assert found["selected"] == 3
    assert found["mean_test"] == pytest.approx(2.5)
    assert (found["best_test"], found["best_trial"], found["n_parameters"]) == (1.5, 3, 103.0)
    assert found["chosen_test"] == 2.5
    assert found["mean_parameters"] == pytest.approx(103.0)
    assert found["beats_chance"]
    assert not row(chance=1.5)["beats_chance"], "as good as chance is not better"
    assert not row(chance=math.nan)["beats_chance"]


def test_table_where_more_is_better() -> None:
    """With an accuracy the largest scores are chosen and chance is a floor."""
    found = row(best_valid=[0.1, 0.9, 0.5], best_test=[0.1, 0.8, 0.7], chance=0.65, maximize=True)
    assert (found["best_test"], found["mean_test"], found["beats_chance"]) == (0.8, pytest.approx(0.75), True)
    found = row(best_valid=[0.1, 0.9, 0.5], best_test=[0.1, 0.8, 0.7], chance=0.75, maximize=True)
    assert found["mean_test"] == pytest.approx((0.8 + 0.75) / 2)


def test_selection_never_sees_the_test_set() -> None:
    """Which trials are the best 10 % depends on validation alone."""
    assert row()["selected"] == row(best_test=TEST[::-1])["selected"]
    assert row(best_test=TEST[::-1], chance=20.0)["mean_test"] == pytest.approx(9.0)


def test_worse_than_chance_counts_as_chance() -> None:
    """Means, the best score and the trial that validation chose stand at the chance level at worst: one rule for all."""
    found = row(best_test=[66.0] * 21, chance=11.0)
    assert (found["mean_test"], found["chosen_test"], found["best_test"]) == (11.0, 11.0, 11.0)
    assert not found["beats_chance"]


@pytest.mark.parametrize("maximize", [False, True])
def test_a_mean_is_never_better_than_the_best_of_it(maximize: bool) -> None:
    """An exploding trial among the best 10 % leaves the mean on the worse side of the best, whichever side that is."""
    for test in ([12.0, 2.7e11, 14.0], [2.94, 12.0, 14.0], [math.nan, 2.7e11, 2.5e11]):
        sign = -1 if maximize else 1
        scores = [sign * value for value in test]
        found = row(
            status=["ok"] * 3, best_valid=scores, best_test=scores, n_parameters=[1.0] * 3,
            chance=sign * 11.0, maximize=maximize,
        )  # fmt: skip
        assert sign * found["best_test"] <= sign * found["mean_test"] <= 11.0


def test_statuses_are_counted() -> None:
    """A diverged trial keeps its score and counts as finished; failed and missing ones do neither."""
    status = ["ok", "diverged", "failed", "missing"]
    scores = [3.0, 2.0, math.nan, math.nan]
    found = row(status=status, best_valid=scores, best_test=scores)
    counted = ("trials", "finished", "diverged", "failed", "missing", "selected", "best_trial")
    assert [found[name] for name in counted] == [4, 2, 1, 1, 1, 2, 1]


def test_nothing_finished() -> None:
    """Without a finished trial the row has counts and no scores."""
    found = row(status=["missing"] * 2, best_valid=[math.nan] * 2, best_test=[math.nan] * 2)
    assert (found["finished"], found["selected"], found["best_trial"], found["beats_chance"]) == (0, 0, -1, False)
    assert math.isnan(found["mean_test"])


def test_summary_says_what_it_holds() -> None:
    """One row for each task and variant in the order asked for, units and the meaning of each column attached."""
    dataset = whole(tasks={"songs": made.MUSIC, "talk": made.SPEECH})
    found = table.summary(dataset, order=["gated", "plain"])
    assert found.index.tolist() == [(t, v) for t in ("songs", "talk") for v in ("gated", "plain")]
    assert found.attrs["units"] == {"songs": "nats/frame", "talk": "%"}
    assert set(found.columns) == set(found.attrs["columns"])
    assert found.loc[("songs", "plain"), "finished"] == 6


def axes_of(figure: Figure) -> Any:
    return figure.axes[0]


def boxes(figure: Figure) -> list[PathPatch]:
    return [patch for patch in axes_of(figure).patches if isinstance(patch, PathPatch)]


@pytest.mark.parametrize("best", [False, True])
def test_box_plot_shows_the_data(best: bool) -> None:
    """Read back from the axes: quartiles, median, mean, full range and the ceiling at chance."""
    dataset = whole(trials=30)
    figure = figures.box_plot(dataset, "songs", best=best)
    lines = axes_of(figure).lines
    for position, variant in enumerate(["plain", "gated"], start=1):
        values = table.box_values(dataset, "songs", variant, best=best)
        assert len(values) == (3 if best else 30)
        assert values.max() <= 11.0
        height = boxes(figure)[position - 1].get_path().get_extents()
        assert [height.y0, height.y1] == pytest.approx(numpy.quantile(values, [0.25, 0.75]))
        here = [line for line in lines if numpy.mean(line.get_xdata()) == pytest.approx(position - 1)]
        flat = [float(line.get_ydata()[0]) for line in here if len(set(line.get_ydata())) == 1]
        for expected in (numpy.median(values), values.mean(), values.min(), values.max()):
            assert any(drawn == pytest.approx(expected) for drawn in flat), expected
    labels = [label.get_text() for label in axes_of(figure).get_xticklabels()]
    assert labels == ["plain", "gated"]
    assert "nats/frame" in axes_of(figure).get_ylabel()
    low, high = axes_of(figure).get_ylim()
    ends = [end for box in boxes(figure) for end in box.get_path().get_extents().intervaly]
    assert low < min(ends) and max(ends) < high, "boxes are whole, whatever leaves the frame"
    if not best:
        assert max(table.box_values(dataset, "songs", "gated")) == 11.0, "no trial reaches the ceiling"


def test_what_stands_at_chance_is_counted() -> None:
    """Trials at the chance level or worse are counted in words."""
    study, trials = made.whole(made.study(trials=20))
    for one in trials:
        if one["variant"] == "gated" and one["trial"] < 3:
            one["best_test"] = 40.0
    dataset = schema.build(study, trials)
    counts = [int((table.box_values(dataset, "songs", name) == 11.0).sum()) for name in ("plain", "gated")]
    assert counts[1] >= 3
    said = [f"{count} of {name}" for name, count in zip(("plain", "gated"), counts, strict=True) if count]
    text = figures.at_chance(dataset, "songs", ["plain", "gated"])
    assert text.startswith(f"At the chance level (11.00) or worse: of all finished trials {' and '.join(said)}")
    assert figures.at_chance(schema.build(made.study(), []), "songs", ["plain", "gated"]) == ""


def test_bars_are_the_parameters_of_the_best() -> None:
    """The bars behind are as high as the mean number of parameters of the best 10 %."""
    dataset = whole(trials=30)
    bars = figures.box_plot(dataset, "songs").axes[1].patches
    expected = table.summary(dataset).loc["songs"]["mean_parameters"].tolist()
    assert [bar.get_height() for bar in bars] == pytest.approx(expected)


def test_variants_that_differ_stand_apart() -> None:
    """A variant that was judged has a thicker edge, and its learning curve is of the colour that the forest plot has for it."""
    edges = set()
    for verdict in ("better", "worse", "open"):
        plain, gated = boxes(figures.box_plot(whole(), "songs", apart={"gated": verdict}))
        assert gated.get_linewidth() > plain.get_linewidth()
        assert gated.get_edgecolor() == to_rgba(LOOKS[verdict]) != plain.get_edgecolor()
        edges.add(gated.get_edgecolor())
        figure = curves.learning_curves(whole(), "songs", baseline="plain", apart={"gated": verdict})
        (line,) = (line for axes in figure.axes for line in axes.lines if line.get_label() == "gated")
        assert line.get_color() == LOOKS[verdict]
    assert len(edges) == 3


def test_learning_curves_show_the_chosen_trial() -> None:
    """The line of a variant is the validation curve of the trial with the best validation score."""
    dataset = whole()
    figure = curves.learning_curves(dataset, "songs")
    for axes, variant in zip(figure.axes, ("plain", "gated"), strict=True):
        (line,) = (line for line in axes.lines if line.get_label() == variant)
        part = dataset.sel(task="songs", variant=variant)
        expected = part["valid"].values[numpy.argmin(part["best_valid"].values)]
        assert line.get_ydata().tolist() == expected.tolist()


LARGE = ("many variants", "three tasks")
"""Of the odd studies: 27 cells, or the figures of three tasks, take a quarter of a minute to draw. Two tasks stand below."""


@functools.cache
def odd() -> dict[str, xarray.Dataset]:
    """Studies at the edges of what there can be."""
    study, one = made.study(trials=2), made.study(variants=("only",), trials=1)
    without = copy.deepcopy(study)
    without["tasks"]["songs"]["chance"] = None
    strange = made.study(variants=("<script>alert(1)</script>", "$x_$ & 中文"), trials=2)
    many = made.study(variants=tuple(f"cell_{i}" for i in range(27)), trials=1)
    return {
        "one trial": schema.build(*made.whole(one)),
        "all diverged": schema.build(study, [made.diverged(study, *place) for place in made.places(study)]),
        "all failed": schema.build(study, [made.failed(study, *place) for place in made.places(study)]),
        "all missing": schema.build(study, []),
        "one variant missing": schema.build(study, [made.trial(study, "songs", "plain", 0)]),
        "no chance level": schema.build(without, [made.trial(study, *place) for place in made.places(study)]),
        "strange names": schema.build(*made.whole(strange)),
        "many variants": schema.build(*made.whole(many)),
        "three tasks": whole(tasks={"songs": made.MUSIC, "talk": made.SPEECH, "pen": made.PEN}),
    }


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if name in LARGE else []) for name in odd()]
)
def test_odd_studies_are_drawn_and_rendered(name: str, tmp_path: Path) -> None:
    """No study, however odd, warns or breaks a figure or the page; the vector files are well-formed."""
    dataset = odd()[name]
    figure = figures.box_plots(dataset)
    for suffix in ("svg", "png"):
        assert figures.save(figure, tmp_path / f"boxes.{suffix}").stat().st_size > 1000
    ElementTree.parse(tmp_path / "boxes.svg")
    text = page.render(dataset)
    assert text.count("<figure") == 2 * scored(dataset), "fewer than fifty trials: no functional ANOVA"
    assert ("expected 50 or more" in text) == bool(scored(dataset))
    assert text.count("no trial has a score yet") == dataset.sizes["task"] - scored(dataset)
    text = text.replace((page.TEMPLATES / "echarts.min.js").read_text(encoding="utf-8"), "")
    assert not re.search(r"\bnan\b", re.sub('base64,[^"]*', "", text).replace("loss is nan", ""))


def scored(dataset: xarray.Dataset) -> int:
    """The number of tasks of which some trial has finished: of the others there is one line."""
    return int(dataset["status"].isin(["ok", "diverged"]).any(["variant", "trial"]).sum())


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(made.studies())
def test_any_study_renders(study: made.Made) -> None:
    """A page has a row for each variant and task with scores, and one more where a part of the test set was scored."""
    dataset = schema.build(*study)
    text = page.render(dataset)
    rows = text.count('<th scope="row" class="sticky"')
    viewed = dataset["best_test_view"].notnull().any(["variant", "trial", "view"]) if "view" in dataset.dims else [0]
    assert rows == dataset.sizes["variant"] * (scored(dataset) + int(sum(viewed)))


class Elements(HTMLParser):
    """The elements of a page with their attributes, and what was left open."""

    VOID = frozenset(["meta", "link", "br", "img", "input", "hr"])

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag


def test_page_is_self_contained_and_well_formed() -> None:
    """Nothing is loaded from anywhere, every element is closed, identifiers occur once, links find their ends."""
    text = page.render(whole(tasks={"songs": made.MUSIC, "talk": made.SPEECH}, trials=12))
    text = text.replace((page.TEMPLATES / "echarts.min.js").read_text(encoding="utf-8"), "")
    page_elements = Elements(text)
    assert page_elements.open == []
    identifiers = [attributes["id"] for _, attributes in page_elements.found if "id" in attributes]
    assert len(identifiers) == len(set(identifiers)) > 10
    for tag, attributes in page_elements.found:
        for name in ("src", "href", "xlink:href", "data", "action", "poster", "srcset"):
            target = attributes.get(name)
            if target is None or (tag, target) == ("link", "data:,"):
                continue
            if tag == "image" and target.startswith("data:image/png;base64,"):
                continue
            if target.startswith("#"):
                assert target[1:] in identifiers, target
            else:
                assert tag == "a", f"<{tag} {name}={target}> loads something"
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= set(identifiers)
    drawn = {name for name in identifiers if re.match(r"f\d+[a-z]", name)}
    idle = drawn - {*re.findall(r"(?:url\(|href=\")#([^\")]*)", text)}
    assert all("-cell" in name for name in idle), "identifiers that nothing refers to were a fifth of every figure"


@framed_figures()
def test_of_several_tasks_marks_are_explained_once() -> None:
    """What dots and lines mean stands under the last forest plot; hyperparameters are folded, so that the next task is near."""
    cells = ("vanilla", "gated")
    one, two = (
        page.render(schema.build(*made.whole(made.study(tasks, cells, trials=2))))
        for tasks in ({"songs": made.MUSIC}, {"songs": made.MUSIC, "talk": made.SPEECH})
    )
    for text, tasks in ((one, 1), (two, 2)):
        assert text.count("Dot: difference of the mean test score") == 1
        assert text.count('<figure class="forest">') == text.count('<details class="points"') == tasks
        assert ('<details class="points" open>' in text) == (tasks == 1)


@framed_figures()
def test_page_escapes_strangers_texts() -> None:
    """Names, reasons, metrics and warnings of strangers come out as text, a link to a script is no link."""
    bad = "<script>alert('x')</script>"
    study = made.study({bad: made.MUSIC | {"metric": bad, "units": bad, "warnings": [bad]}}, (bad, "b"), trials=2)
    study["tasks"][bad] |= {"url": "javascript:alert(1)", "provenance": bad, "checksum": bad}
    study["variants"][bad] |= {"equations": [f"y_t = {bad}"], "reference": bad, "origin": {"distribution": bad}}
    study["protocol"][bad] = study["environment"][bad] = bad
    study["profile"] = study["draws"] = study["backend"] = bad
    study["tasks"][bad]["space"][bad] = {"kind": bad, "low": 0, "high": 1}
    trials = [made.trial(study, *place, status="diverged", reason=bad) for place in made.places(study)]
    text = page.render(schema.build(study, trials))
    tags = [tag for tag, _ in Elements(text).found]
    scripts = [part.split("</script>")[0].strip() for part in text.split("<script>")[1:]]
    ours = [(page.TEMPLATES / f"{name}.js").read_text().strip() for name in ("echarts.min", "page", "trials")]
    assert scripts == ours and tags.count("script") == 4, "the library, ours, and data that nothing runs"
    assert html.escape(bad, quote=False).split("alert")[0] in text
    assert 'href="javascript' not in text


@framed_figures()
def test_page_says_what_the_numbers_say() -> None:
    """The summary tells what the best tenths score, who does not beat chance, that trials are too few; it names no winner."""
    study = made.study(variants=("plain", "gated", "wild"), trials=3)
    trials = [made.trial(study, *place) for place in made.places(study) if place[1] != "wild"]
    trials += [made.diverged(study, *place) for place in made.places(study) if place[1] == "wild"]
    for one in trials:
        level = {"plain": 8.0, "gated": 9.0, "wild": 66.0}[one["variant"]]
        one |= {"best_valid": level, "best_test": level}
    dataset = schema.build(study, trials)
    text = " ".join(words.summary_text(dataset, table.summary(dataset)))
    assert "Nine trials of three cells on songs, 3 for each cell: 6 ran to the end and 3 diverged." in text
    assert "On songs the best 10 % of each cell's trials score 8.00 to 11.00 nats/frame on the test set" in text
    assert "scores 11.00. The best trial of wild does not beat" in text and "best mean" not in text
    assert "too few trials for inference" in text
    rendered = page.render(dataset)
    assert "n = 3 finished trials for each cell; best 10 % by validation: 2; seed 1; independent draws" in rendered
    assert "3 diverged" in rendered
    assert "loss is nan" in rendered
    assert "give the same numbers on the same kind of processor" in rendered
    assert "netCDF file holds every trial" in rendered and "odyssey report STORE --format nc" in rendered


def test_enough_trials_are_not_called_too_few() -> None:
    """With ten trials in the best 10 % the warning is gone."""
    dataset = whole(trials=100, epochs=1)
    assert "too few" not in " ".join(words.summary_text(dataset, table.summary(dataset)))


def test_page_names_a_narrowed_space() -> None:
    """Where the study's distribution is not the task's own, the page prints both."""
    study = made.study(trials=1)
    own = copy.deepcopy(made.SPACE)
    own["learning_rate"] = {"kind": "log_uniform", "low": 1e-6, "high": 0.01}
    study["tasks"]["songs"]["task_space"] = own
    text = page.render(schema.build(study, []))
    assert (
        "log-uniform on [0.002, 0.01] (narrowed by the profile; the task&#39;s own: log-uniform on [1e-06, 0.01])"
        in text
    )
    assert text.count("narrowed by the profile") == 1


def test_page_is_deterministic_and_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same study gives the same page; a page that cannot be written leaves the old one and nothing else."""
    dataset = whole()
    path = page.write(dataset, tmp_path / "report.html")
    assert path.read_text(encoding="utf-8") == page.render(dataset)

    def broken(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="disk full"):
        page.write(whole(trials=1), path)
    assert path.read_text(encoding="utf-8") == page.render(dataset)
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_figures_are_deterministic(tmp_path: Path) -> None:
    """The same study gives the same vector file."""
    dataset = whole()
    one, two = (figures.save(figures.box_plots(dataset), tmp_path / n).read_bytes() for n in ("a.svg", "b.svg"))
    assert one == two
