"""A wide figure for a narrow window: its columns of panels in strips, one below the other, each beside the axis on the left.

Nothing is drawn twice: a strip is an SVG that shows a part of the figure that stands in the page anyway.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WHOLE = 4.8
"""Inches; up to this width a figure stays legible where a telephone shows it as wide as its window."""

WIDEST = 4.6
"""Inches of a strip."""

EDGE = 4.5
"""Points from a panel's frame to where its ticks end."""

ROOM = 2.5
"""Points that a browser's letters may need beyond ours."""

POINTS = 72


class Window(NamedTuple):
    """A part of a figure in points, y downwards."""

    x: float
    y: float
    width: float
    height: float


def strips(figure: Figure) -> list[list[Window]]:
    """The parts of a figure, from above: in each strip they stand side by side; none where the figure need not be cut.

    The figure must be laid out. Its legends and the label that its panels share below are strips of their own, as wide as
    the others: how wide their letters are is the browser's affair.
    """
    width, height = (float(POINTS * inches) for inches in figure.get_size_inches())
    seen = [axes for axes in figure.axes if axes.axison]
    columns: dict[int, list[Axes]] = {}
    for axes in seen:
        columns.setdefault(round(axes.get_position().x0 * width), []).append(axes)
    if width <= POINTS * WHOLE or len(columns) < 2:
        return []
    frames = sorted(columns)
    labels = [min(_window(axes, figure).x for axes in columns[frame]) for frame in frames]
    above = [_window(one, figure) for one in figure.legends]
    label = figure.get_supxlabel()
    below = [_window(text, figure) for text in figure.texts if label and text.get_text() == label]
    top = max((one.y + one.height for one in above), default=0.0)
    bottom = min((one.y for one in below), default=height)
    axis = Window(0.0, top, frames[0] - EDGE, bottom - top)
    ends = [
        axis.width,
        *(min(frame - EDGE, label - ROOM) for frame, label in zip(frames[1:], labels[1:], strict=True)),
        width,
    ]
    made: list[list[Window]] = [[one] for one in above]
    part = Window(ends[0], top, 0.0, bottom - top)
    for start, end in pairwise(ends):
        if part.width and axis.width + end - part.x > POINTS * WIDEST:
            made.append([axis, part])
            part = part._replace(x=start)
        part = part._replace(width=end - part.x)
    made += [[axis, part], *([one] for one in below)]
    widest = max(sum(part.width for part in strip) for strip in made)
    return [[_centred(strip[0], widest)] if len(strip) == 1 else strip for strip in made]


def _centred(one: Window, width: float) -> Window:
    """A window of another width about the same middle."""
    return one._replace(x=one.x + (one.width - width) / 2, width=width)


def _window(artist: Artist, figure: Figure) -> Window:
    """Where an artist stands, its labels included."""
    box = artist.get_tightbbox() or artist.get_window_extent()
    scale = POINTS / figure.dpi
    return Window(
        box.x0 * scale, POINTS * figure.get_figheight() - box.y1 * scale, box.width * scale, box.height * scale
    )


def written(found: list[list[Window]], content: str) -> str:
    """The strips as SVG elements that show parts of the element whose identifier is ``content``; all are of one scale."""
    widest = max((sum(part.width for part in strip) for strip in found), default=0.0)
    texts = []
    for strip in found:
        inner, left = "", 0.0
        for part in strip:
            box = f'x="{left:.1f}" y="0" width="{part.width:.1f}" height="{part.height:.1f}"'
            view = " ".join(f"{number:.1f}" for number in part)
            inner += f'<svg {box} viewBox="{view}"><use href="#{content}"/></svg>'
            left += part.width
        view = f"0 0 {widest:.1f} {strip[0].height:.1f}"
        texts.append(f'<svg class="strip" aria-hidden="true" viewBox="{view}">{inner}</svg>')
    return "".join(texts)
