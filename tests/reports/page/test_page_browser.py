"""The page as a reader meets it, in headless Chromium: it loads, sorts, filters, prints, and fits a phone."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from lstm_odyssey.reports import page
from lstm_odyssey.reports.contract import schema
from lstm_odyssey.reports.page.analyses import analyse
from tests import browser
from tests import made_studies as made

pytestmark = pytest.mark.usefixtures("short_analyses")

PROGRAM = browser.found()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason=f"no browser: none of {', '.join(browser.NAMES)} is installed")

CELLS = ("vanilla", "gated", "<script>alert('x')</script>")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Browser]:
    """A browser with the page of a study of two tasks and three cells, one of which has a name that is markup."""
    folder = tmp_path_factory.mktemp("browser")
    study, trials = made.whole(made.study({"songs": made.MUSIC, "talk": made.SPEECH}, CELLS, trials=12))
    for one in trials:
        one["n_parameters"] = dict(zip(CELLS, (9_000, 12_000, 800), strict=True))[one["variant"]]
        if (one["task"], one["variant"]) == ("talk", "gated"):
            one |= {"status": "failed", "best_test": None, "best_valid": None}
        elif one["status"] == "ok":  # scores that a forest of few trials can tell, so that there are shares to show
            score = study["tasks"][one["task"]]["chance"] * (0.5 + 50 * one["hyperparameters"]["learning_rate"])
            one |= {"best_valid": score, "best_test": score}
    built = schema.build(study, trials)
    path = page.write(built, folder / "report.html", analyses=analyse(built, quick=True, few=True))
    assert PROGRAM is not None
    with browser.Browser(PROGRAM, folder / "profile") as opened:
        opened.open(path)
        yield opened


def first_column(reader: browser.Browser, table: int) -> list[str]:
    script = (
        f"[...document.querySelectorAll('table.sortable')[{table}].tBodies[0].rows].map(r => r.cells[0].textContent)"
    )
    names: list[str] = reader.run(script)
    return names


def head(column: int, table: int = 0) -> str:
    return f"document.querySelectorAll('table.sortable')[{table}].tHead.rows[0].cells[{column}]"


def test_page_loads_without_a_complaint(reader: browser.Browser) -> None:
    """No error, no warning, nothing fetched that fails; a name that is markup ran nothing and is on the page as text."""
    assert reader.complaints == []
    assert reader.run("document.querySelectorAll('script').length") == 4
    assert CELLS[2] in first_column(reader, 0)


def test_complaints_are_heard(reader: browser.Browser) -> None:
    """The check above can fail: an error on the console and an exception are both recorded."""
    before = list(reader.complaints)
    reader.run("console.error('made'); setTimeout(() => { throw new Error('thrown') }, 0); 1")
    reader.run("new Promise(done => setTimeout(done, 50)) && 1")
    reader.run("1")
    said = "".join(reader.complaints)
    reader.complaints[:] = before
    assert "made" in said
    assert "thrown" in said


@pytest.mark.parametrize("column", [0, 1, 6])
def test_tables_sort(reader: browser.Browser, column: int) -> None:
    """A click sorts upwards, another downwards, by the value and not by the text; aria-sort says so."""
    keys = f"[...document.querySelector('table.sortable').tBodies[0].rows].map(r => r.cells[{column}].dataset.key)"
    found = {}
    for direction in ("ascending", "descending"):
        reader.run(f"{head(column)}.querySelector('button').click()")
        assert reader.run(f"{head(column)}.getAttribute('aria-sort')") == direction
        found[direction] = reader.run(keys)
        assert reader.run("document.querySelector('table.sortable').querySelectorAll('[aria-sort]').length") == 1
    values = found["ascending"] if column == 0 else [float(value) for value in found["ascending"]]
    assert len(set(values)) == len(CELLS)
    if column:
        assert values == sorted(values)
    assert found["descending"] == found["ascending"][::-1]


def test_rows_without_a_value_stand_last(reader: browser.Browser) -> None:
    """A cell without a score is below the others whichever way the table is sorted."""
    table = reader.run("[...document.querySelectorAll('table.sortable')].findIndex(t => t.closest('[data-task=talk]'))")
    for _ in range(2):
        reader.run(f"{head(1, table)}.querySelector('button').click()")
        assert first_column(reader, table)[-1] == "gated"


def test_tables_sort_by_keyboard(reader: browser.Browser) -> None:
    """A head can be reached with the tabulator and pressed with Enter."""
    reader.run(f"{head(2)}.querySelector('button').focus()")
    reader.press("Tab")
    assert reader.run(f"document.activeElement === {head(3)}.querySelector('button')")
    reader.press("Enter")
    assert reader.run(f"{head(3)}.getAttribute('aria-sort')") == "ascending"


def box(name: str, value: str) -> str:
    return f"[...document.querySelectorAll('#filters input[name={name}]')].find(b => b.value === {value!r})"


def test_filters_hide_a_cell_everywhere(reader: browser.Browser) -> None:
    """An unticked cell leaves the tables, its own figures, and its marks in the figures of all; ticked, it is back."""
    visible = "[...document.querySelectorAll('main [data-variant=gated]')].filter(p => p.checkVisibility()).length"
    marks = "[...document.querySelectorAll(\"svg [id*='-cell1-']\")].filter(p => p.style.display !== 'none').length"
    before = reader.run(visible), reader.run(marks)
    assert min(before) > 5
    reader.run(f"{box('variant', 'gated')}.focus()")
    reader.press(" ")
    assert (reader.run(visible), reader.run(marks)) == (0, 0)
    assert reader.run("document.getElementById('shown').textContent") == "2 of 3 cells shown"
    others = "[...document.querySelectorAll('main [data-variant=vanilla]')].filter(p => p.checkVisibility()).length"
    assert reader.run(others) > 5
    reader.run("document.querySelector('#filters button[data-tick=all]').click()")
    assert (reader.run(visible), reader.run(marks)) == before


def test_filters_hide_a_task(reader: browser.Browser) -> None:
    """The section of an unticked task is gone, that of the other stays."""
    shown = (
        "[...document.querySelectorAll('section[data-task]')].filter(p => p.checkVisibility()).map(p => p.dataset.task)"
    )
    assert reader.run(shown) == ["songs", "talk"]
    reader.run(f"{box('task', 'songs')}.click()")
    assert reader.run(shown) == ["talk"]
    reader.run(f"{box('task', 'songs')}.click()")
    assert reader.run(shown) == ["songs", "talk"]


ROWS = "[...document.querySelectorAll('[data-trials=songs] tbody tr')]"
COUNT = "document.getElementById('trials-count').textContent"


def test_trials_sort_and_filter(reader: browser.Browser) -> None:
    """The table of all trials sorts by value in both directions, and shows the rows that hold the words of the filter."""
    assert reader.run(COUNT) == "36 of 36 trials"
    place = reader.run(
        "[...document.querySelectorAll('[data-trials=songs] th')].findIndex(h => h.textContent === 'learning rate')"
    )
    for sign in (1, -1):
        reader.run(f"document.querySelectorAll('[data-trials=songs] th')[{place}].querySelector('button').click()")
        values = [float(text) for text in reader.run(f"{ROWS}.map(r => r.cells[{place}].textContent)")]
        assert len(values) == 36 and [sign * value for value in values] == sorted(sign * value for value in values)
    typed = "f = document.getElementById('trials-filter'); f.value = '{}'; f.dispatchEvent(new Event('input')); 1"
    reader.run(typed.format("gated"))
    assert set(reader.run(f"{ROWS}.map(r => r.cells[0].textContent)")) == {"gated"}
    assert reader.run(COUNT) == "12 of 36 trials"
    reader.run(typed.format(""))


def test_a_row_shows_its_learning_curve(reader: browser.Browser) -> None:
    """Pointing at a row draws the curve of its trial, whose values can be read by hovering."""
    reader.run(f"{ROWS}[7].dispatchEvent(new MouseEvent('mouseover', {{bubbles: true}})); 1")
    cell, trial = reader.run(f"[0, 1].map(c => {ROWS}[7].cells[c].textContent)")
    assert reader.run("document.getElementById('trials-curve').dataset.trial") == f"{cell}, trial {trial}"
    series = "echarts.getInstanceByDom(document.getElementById('trials-curve')).getOption().series[0].data"
    curve = reader.run(series)
    assert len(curve) == 40 and curve[0][0] == 0 and curve[-1][0] > 0


def test_labels_of_an_axis_do_not_lie_on_each_other(reader: browser.Browser) -> None:
    """Both ends of an axis have their label; what is nearer to one than a line of text has none."""
    script = """(() => {
        const axes = echarts.getInstanceByDom(document.getElementById('trials-parallel')).getOption().parallelAxis;
        const columns = JSON.parse(document.getElementById('trials-data').textContent).tasks.songs.columns;
        const known = columns.find(column => column.name === 'test').values.filter(value => value !== null);
        const low = Math.min(...known), high = Math.max(...known), label = axes.find(axis => axis.name === 'test').axisLabel;
        return [0, 0.03, 0.5, 0.97, 1].map(part => label.formatter(low + part * (high - low)) !== '');
    })()"""
    assert reader.run(script) == [True, False, True, False, True]


def test_an_axis_is_brushed_with_the_mouse(reader: browser.Browser) -> None:
    """Dragging along an axis leaves the trials within in the table; a click lets them go."""
    reader.run("document.getElementById('trials-parallel').scrollIntoView({block: 'center', behavior: 'instant'}) || 1")
    frame = "document.getElementById('trials-parallel').getBoundingClientRect()"
    left, top, width, height = reader.run(f"(r => [r.left, r.top, r.width, r.height])({frame})")
    x, end = left + 60 + (width - 120) / 6, top + height - 32

    def mouse(kind: str, y: float) -> None:
        reader.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    for kind, rise in (
        ("mouseMoved", 90),
        ("mousePressed", 90),
        ("mouseMoved", 60),
        ("mouseMoved", 0),
        ("mouseReleased", 0),
    ):
        mouse(kind, end - rise)
    wait = "new Promise(done => setTimeout(done, 200))"
    reader.call("Runtime.evaluate", expression=wait, awaitPromise=True)
    sizes = [float(text) for text in reader.run(f"{ROWS}.map(r => r.cells[2].textContent)")]
    assert 0 < len(sizes) < 36 and reader.run(COUNT) == f"{len(sizes)} of 36 trials"
    every = "JSON.parse(document.getElementById('trials-data').textContent).tasks.songs.columns[2].values"
    within = [size for size in reader.run(every) if min(sizes) <= size <= max(sizes)]
    assert max(sizes) < 36 and sorted(within) == sorted(sizes), "those of the lower part of the axis, and all of them"
    for kind in ("mousePressed", "mouseReleased"):
        mouse(kind, end - 180)
    reader.call("Runtime.evaluate", expression=wait, awaitPromise=True)
    assert reader.run(COUNT) == "36 of 36 trials"


@pytest.mark.parametrize("width", [390, 800, 1280])
def test_no_table_is_cut_off(reader: browser.Browser, width: int) -> None:
    """On a telephone and on a desk every table fits where it stands, and the forest plot is the one for it."""
    reader.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
    cut = "[...document.querySelectorAll('.scroll')].filter(s => s.checkVisibility() && s.scrollWidth > s.clientWidth + 1)"
    assert reader.run(f"{cut}.map(s => s.textContent.slice(0, 60))") == []
    broken = "[...document.querySelectorAll('.scroll:not(.stacked) .sortable td')].filter(d => d.checkVisibility())"
    tops = "(d => { r = document.createRange(); r.selectNodeContents(d); return [...r.getClientRects()].map(b => b.top) })(d)"
    lines = f"{broken}.filter(d => new Set({tops}).size > 1).map(d => d.textContent)"
    assert reader.run(lines) == [], "a number that is broken into two lines"
    assert reader.run(f"{broken}.length") > 0 or width < 600
    seen = "['wide', 'narrow'].map(n => !!document.querySelector('.forest .' + n)?.checkVisibility())"
    assert reader.run(seen) == [width > 600, width < 600]
    reader.call("Emulation.clearDeviceMetricsOverride")
    assert reader.complaints == []


@pytest.mark.parametrize("width", [390, 1200])
def test_page_fits_the_window(reader: browser.Browser, width: int) -> None:
    """Nothing makes the page wider than a phone or a desk: what is wide scrolls within itself; something is drawn."""
    reader.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
    assert reader.run("document.documentElement.scrollWidth") <= width
    picture = reader.call("Page.captureScreenshot", format="png")["data"]
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    assert image.width == width
    assert len(image.getcolors(2**24) or []) > 50
    reader.call("Emulation.clearDeviceMetricsOverride")


@pytest.mark.parametrize("width", [400, 800])
def test_figures_fit_and_can_be_read(reader: browser.Browser, width: int) -> None:
    """On a telephone a wide figure stands in strips, none of it beyond the window, no letter smaller than nine pixels."""
    reader.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
    drawn = "[...document.querySelectorAll('figure svg')].filter(s => s.checkVisibility() && s.clientWidth > 50)"
    beyond = f"{drawn}.filter(s => s.getBoundingClientRect().right > innerWidth + 1).map(s => s.outerHTML.slice(0, 90))"
    assert reader.run(beyond) == []
    strips, whole = (f"{drawn}.filter(s => s.classList.contains('{kind}')).length" for kind in ("strip", "whole"))
    assert (reader.run(strips) > 3, reader.run(whole) > 3) == (width < 600, width > 600)
    small = f"{drawn}.flatMap(s => [...s.querySelectorAll('text')].map(t => t.getBoundingClientRect().height))"
    assert [height for height in reader.run(small) if 0 < height < 9] == []
    reader.call("Emulation.clearDeviceMetricsOverride")


def test_the_verdict_stands_beside_its_interval(reader: browser.Browser) -> None:
    """On a desk the column on which the verdict rests stands beside it, in view without scrolling."""
    reader.call("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
    table = (
        "[...document.querySelectorAll('table.sortable')].find(t => t.caption.textContent.startsWith('Differences'))"
    )
    heads = reader.run(f"[...{table}.tHead.rows[0].cells].map(h => h.textContent)")
    place = heads.index("verdict")
    assert heads[place - 1] == "corrected" and len(set(heads)) == len(heads)
    right = reader.run(f"{table}.tHead.rows[0].cells[{place}].getBoundingClientRect().right")
    assert right <= reader.run(f"{table}.parentElement.getBoundingClientRect().right") <= 1280
    reader.call("Emulation.clearDeviceMetricsOverride")


def test_captions_are_whole_on_a_phone(reader: browser.Browser) -> None:
    """The caption of a table that scrolls is broken into lines within the window, wherever the table stands."""
    reader.call("Emulation.setDeviceMetricsOverride", width=400, height=800, deviceScaleFactor=1, mobile=True)
    captions = "[...document.querySelectorAll('.scroll caption span')].filter(c => c.checkVisibility())"
    ends = f"{captions}.map(c => [c.getBoundingClientRect().left, c.getBoundingClientRect().right])"
    for scrolled in (0, 150):
        reader.run(f"document.querySelectorAll('.scroll').forEach(s => s.scrollLeft = {scrolled}) || 1")
        found = reader.run(ends)
        assert len(found) > 3
        assert all(left >= 0 and right <= 400 for left, right in found), found
    reader.call("Emulation.clearDeviceMetricsOverride")


def test_page_prints_with_everything_open(reader: browser.Browser) -> None:
    """On paper the folded figures of every cell are open and the filters are away; afterwards all is as before."""
    counted = "opened = document.querySelectorAll('details:not([open])').length + 1"
    reader.run(f"window.opened = 0; addEventListener('beforeprint', () => {{ {counted} }}); 1")
    folded = reader.run("document.querySelectorAll('details:not([open])').length")
    assert folded > 0
    printed = base64.b64decode(reader.call("Page.printToPDF")["data"])
    assert printed.startswith(b"%PDF")
    assert reader.run("opened") == 1
    assert reader.run("document.querySelectorAll('details:not([open])').length") == folded
    reader.call("Emulation.setEmulatedMedia", media="print")
    assert not reader.run("document.getElementById('filters').checkVisibility()")
    reader.call("Emulation.setEmulatedMedia", media="")


def test_page_is_whole_without_scripts(tmp_path: Path) -> None:
    """Where scripts are off, filters and buttons are not shown and nothing is hidden."""
    study = made.whole(made.study(variants=CELLS[:2], trials=2))
    path = page.write(schema.build(*study), tmp_path / "report.html")
    assert PROGRAM is not None
    with browser.Browser(PROGRAM, tmp_path / "profile") as opened:
        opened.call("Emulation.setScriptExecutionDisabled", value=True)
        opened.open(path)
        opened.call("DOM.enable")
        root = opened.call("DOM.getDocument")["root"]["nodeId"]
        for selector, expected in (("#filters[hidden]", 1), ("thead button", 0), ("main [hidden]", 0)):
            assert len(opened.call("DOM.querySelectorAll", nodeId=root, selector=selector)["nodeIds"]) == expected
