"""The synthetic hand: a writer's way of drawing Hershey's glyphs.

A glyph is a few polylines on a grid, 21 units from the cap line to the base line, y downwards. A writer has a font (print
or script), a slant, a size, a width, a distance of letters, a speed, a wobble and a drift of the baseline; noise of each
letter's size and place, of the path and of the points is a line's. Where the pen is at 100 points a second:

    s(u) = L ((1 - k) u + k u² (3 - 2u))      way along a stroke of length L; u from 0 to 1, slower at both ends

Only +, -, *, / and square roots take part, and the points are rounded to a tablet's whole numbers: the same lines on
every machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm_odyssey.tasks.handwriting import ink
from lstm_odyssey.tasks.handwriting.hershey_text import Draws

PERIOD = 10
"""Milliseconds from a point to the next."""
UNITS = 8
"""A tablet's units in one of a glyph's, at size 1."""
BASE = 9
"""Where the base line is in a glyph."""
KNOTS = 12.0
"""The path's wobble changes its direction every so many glyph units."""


@dataclass(frozen=True, eq=False)
class Glyph:
    """A character's polylines: ``points`` float64 [n, 2] from the left side on, how many each stroke has, the width."""

    points: NDArray[np.float64]
    lengths: tuple[int, ...]
    width: float


Font = Mapping[str, Glyph]


@dataclass(frozen=True)
class Hand:
    """What is a writer's own; lengths in glyph units."""

    font: Font
    slant: float
    size: float
    stretch: float
    gap: float
    step: float
    ease: float
    wobble: float
    drift: float

    @classmethod
    def drawn(cls, draws: Draws, fonts: Mapping[str, Font]) -> Hand:
        """A writer at random."""
        return cls(
            font=fonts[draws.pick(sorted(fonts))],
            slant=draws.between(-0.1, 0.5),
            size=draws.between(0.7, 1.3),
            stretch=draws.between(0.85, 1.2),
            gap=draws.between(-1.0, 2.5),
            step=draws.between(1.6, 2.4),
            ease=draws.between(0.0, 0.6),
            wobble=draws.between(0.1, 0.7),
            drift=draws.between(-0.04, 0.04),
        )


def polylines(text: str, hand: Hand, draws: Draws) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The corners of a line's strokes, [n, 2], and how many each stroke has; letters of uneven size and place."""
    wide, high, up, apart = draws.bell(4 * len(text)).reshape(4, len(text))
    glyphs = [hand.font[character] for character in text]
    widths = np.array([glyph.width for glyph in glyphs])
    advance = widths * hand.stretch + hand.gap + 0.4 * apart
    left = np.cumsum(advance) - advance
    columns = np.stack([left, hand.stretch * (1 + 0.05 * wide), 0.5 * up, 1 + 0.05 * high])
    left, wide, up, high = np.repeat(columns, [len(glyph.points) for glyph in glyphs], axis=1)
    x, y = np.concatenate([glyph.points for glyph in glyphs]).T
    lengths = np.array([length for glyph in glyphs for length in glyph.lengths])
    return np.stack([left + x * wide, (y - BASE) * high + up], 1), lengths


def line(where: str, text: str, hand: Hand, draws: Draws) -> ink.Line:
    """A text as ``hand`` writes it: its features."""
    corners, counts = polylines(text, hand, draws)
    first = np.cumsum(counts) - counts
    last = first + counts - 1
    ways = np.sqrt((np.diff(corners, axis=0) ** 2).sum(1))
    ways[last[:-1]] += 1  # the way of a lifted pen, which is not 0 where a stroke begins where the last one ended
    along = np.concatenate([[0.0], np.cumsum(ways)])
    stroke = along[last] - along[first]
    step = hand.step * draws.between(0.95, 1.05)
    points = np.maximum((stroke / step).astype(np.int64) + 1, 2)
    ends = np.cumsum(points)
    within = np.arange(ends[-1]) - np.repeat(ends - points, points)
    u = within / np.repeat(points - 1, points)
    eased = (1 - hand.ease) * u + hand.ease * (u * u * (3 - 2 * u))
    s = np.repeat(along[first], points) + np.repeat(stroke, points) * eased

    knots = np.arange(int(along[-1] / KNOTS) + 2) * KNOTS
    wobble = hand.wobble * draws.bell(2 * len(knots)).reshape(2, len(knots))
    jitter = 0.12 * (draws.uniform(2 * len(s)).reshape(2, len(s)) - 0.5)
    x, y = (np.interp(s, along, corners[:, axis]) + np.interp(s, knots, wobble[axis]) + jitter[axis] for axis in (0, 1))
    drift = hand.drift + 0.01 * float(draws.bell(1)[0])
    slant = hand.slant + 0.03 * float(draws.bell(1)[0])
    placed = np.stack([x - slant * y, y + drift * x], 1) * (hand.size * UNITS)

    tablet = np.concatenate([np.rint(placed).astype(np.int64), (within * PERIOD)[:, None]], 1)
    kept = (ends.repeat(points) - 1 - np.arange(ends[-1])) % 2 == 0  # as `ink.every_second`
    return ink.Line(where, ink.features(where, tablet[kept], (points + 1) // 2, np.zeros(len(points), np.int64)), text)
