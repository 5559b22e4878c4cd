"""How figures are made and written: the style sheet, a canvas without pyplot, SVG that can stand in a page."""

from __future__ import annotations

import functools
import html
import io
import os
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import matplotlib
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lstm_odyssey.reports.contract.files import expanded
from lstm_odyssey.reports.plots.strips import strips, written

BLUE, VERMILLION, GREEN, BARS, INK, SOFT = "#0072B2", "#D55E00", "#009E73", "#E6E6E6", "#222222", "#777777"
"""Okabe and Ito's colours, and greys."""

RASTER_DPI = 110
"""Of what is pixels in the figures of a page."""

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def style() -> Iterator[None]:
    """The style sheet of the reports, for the time of a with block."""
    with (
        matplotlib.rc_context(fname=Path(__file__).parent / "odyssey.mplstyle"),
        warnings.catch_warnings(),
    ):
        # A stranger's name may be in a script that the font lacks; its letters become boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """The function run under the style sheet."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        with style():
            return draw(*args, **kwargs)

    return drawn


def blank(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    figure = Figure((width, height))
    FigureCanvasAgg(figure)
    return figure


def tag(place: int, kind: str, artists: Iterable[Artist]) -> None:
    """Mark what belongs to the cell at a place of the order, so that the page's filter finds it.

    Args:
        place: of the cell.
        kind: tells what is marked in one figure apart; letters and digits.
        artists: get ``cellPLACE-KIND-NUMBER`` as their identifier in vector files.
    """
    for number, artist in enumerate(artists):
        artist.set_gid(f"cell{place}-{kind}-{number}")


@contextmanager
def arranged(figure: Figure) -> Iterator[None]:
    """The figure with its layout made, which writing it then leaves: else it is drawn once more, only to be laid out."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
    try:
        yield
    finally:
        if engine is not None:
            figure.set_layout_engine(engine)


@styled
def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure as its suffix says, vector (.svg, .pdf) or .png; the same figure gives the same bytes."""
    target = expanded(path)
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with arranged(figure):
        figure.savefig(target, metadata=dates.get(target.suffix.lower()))
    return target


@styled
def svg(figure: Figure, label: str, prefix: str) -> str:
    """A figure as an SVG element to stand in a page, its identifiers prefixed so that several may stand there.

    A wide figure of several columns is followed by strips of it, which the page shows in its place in a narrow window.

    Args:
        figure: what to draw.
        label: what a screen reader says.
        prefix: start of every identifier; letters, digits and hyphens.
    """
    buffer = io.StringIO()
    with arranged(figure):
        parts = strips(figure)
        figure.savefig(
            buffer, format="svg", dpi=RASTER_DPI, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    text = buffer.getvalue()
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    needed = {*re.findall(r'(?:href="#|url\(#)([^")]+)', text), *re.findall(r'id="(cell[^"]+)"', text)}
    text = re.sub(r"<[^<>]+>", lambda found: _lean(found[0], needed, prefix), re.sub(r">\s+<", "><", text))
    text = re.sub(r'<use [^<>]* style="([^"]*)"/>(?:<use [^<>]* style="\1"/>)+', _grouped, text)
    width = f"max-width: {7.6 * figure.get_figwidth():.1f}rem"
    kind = ' class="whole"' if parts else ""
    text = text.replace("<svg ", f'<svg{kind} role="img" aria-label="{html.escape(label)}" style="{width}" ', 1).strip()
    if not parts:
        return text
    head, inside = text.split(">", 1)
    content = f"{prefix}-whole"
    return f'{head}><g id="{content}">{inside.removesuffix("</svg>")}</g></svg>{written(parts, content)}'


def _grouped(found: re.Match[str]) -> str:
    """Marks of one look, one after another: the look is said once, of a group of them.

    >>> marks = '<use x="1" style="fill:red"/><use x="2" style="fill:red"/>'
    >>> _grouped(re.match(".*(fill:red).*", marks))
    '<g style="fill:red"><use x="1"/><use x="2"/></g>'
    """
    marks = found[0].replace(f' style="{found[1]}"', "")
    return f'<g style="{found[1]}">{marks}</g>'


def _lean(element: str, needed: Collection[str], prefix: str) -> str:
    """An opening tag with half of what matplotlib writes: no rotation by 0, few digits, identifiers that are needed.

    >>> _lean('<g id="a1" x="2.34567" transform="rotate(-0 1 2)" style="fill: none">', (), "f")
    '<g x="2.34" style="fill:none">'
    >>> _lean('<g id="a1">', ["a1"], "f")
    '<g id="f-a1">'
    """
    element = re.sub(r' transform="rotate\(-?0 [^"]*"', "", element)
    element = re.sub(r' (?:d|x|y)="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), element)
    element = re.sub(r' d="[^"]*"', lambda found: _short(found[0]), element)
    element = re.sub(r' style="[^"]*"', lambda found: re.sub(r"([:;]) ", r"\1", found[0]), element)
    element = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in needed else "", element)
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", element)


def _short(path: str) -> str:
    r"""A path on one line; a long line, as a curve is, in tenths of a point, and each but its first place without a letter.

    >>> _short(' d="M 1.234 2 \nL 3.456 4 \n"')
    ' d="M 1.234 2 L 3.456 4 "'
    >>> _short(' d="M 1.26 2 ' + "\nL 3.44 4 " * 8 + '"')
    ' d="M 1.3 2 3.4 4 3.4 4 3.4 4 3.4 4 3.4 4 3.4 4 3.4 4 3.4 4 "'
    """
    path = re.sub(r"\s+", " ", path)
    if not re.fullmatch(r' d="M [-\d. ]+(?:L [-\d. ]+){8,}"', path):
        return path
    return re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.1f}", path).replace(" L ", " ")
