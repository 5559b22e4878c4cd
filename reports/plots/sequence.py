"""One sequence of a corpus as a picture: its features and, where there are labels, what is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lstm_odyssey.reports.plots.style import BLUE, INK, SOFT, blank, styled

LOWEST_KEY = 21
"""The MIDI number of the first of a piano's 88 keys."""


@styled
def sequence(
    features: NDArray[Any],
    target: NDArray[Any],
    labels: Sequence[str] = (),
    *,
    family: str = "",
    objective: str = "frames",
    title: str = "",
) -> Figure:
    """A sequence as one looks at it: keys of a piano, ink on paper, or features as an image with the labels beneath.

    Args:
        features: [T, M].
        target: as the objective has it: a class a frame, labels in order, or the next frames [T, K].
        labels: names of the classes.
        family: ``music`` with 88 components is a piano roll; ``handwriting`` with four (Δx, Δy, time, pen-lift) is ink.
        objective: ``next_frame``, ``frames``, ``ctc`` or one of a whole sequence's label, ``label_...``.
        title: above the picture.
    """
    width = features.shape[1]
    if family == "handwriting" and width == 4:
        figure = blank(10, 2.6)
        axes = figure.add_axes((0.02, 0.04, 0.96, 0.7))
        _ink(axes, features)
    else:
        framewise = objective == "frames"
        figure = blank(10, 3.6)
        axes = figure.add_axes((0.07, 0.32 if framewise else 0.16, 0.91, 0.54 if framewise else 0.66))
        roll = family == "music" and width == 88
        _image(axes, features, keys=roll)
        if framewise:
            below = figure.add_axes((0.07, 0.15, 0.91, 0.1), sharex=axes)
            axes.tick_params("x", labelbottom=False)
            _spans(below, target, labels)
        else:
            axes.set_xlabel("frame")
    named = objective == "ctc" or objective.startswith("label")
    text = "".join(labels[label] for label in target) if named else ""
    figure.set_layout_engine("none")  # the places are given
    figure.text(0.02, 0.95, title, fontsize=10, color=INK, va="top")
    if text:
        figure.text(0.02, 0.85, text, fontsize=10, color=SOFT, va="top", family="monospace", parse_math=False)
    return figure


def _image(axes: Axes, features: NDArray[Any], *, keys: bool) -> None:
    """Features as an image, time from left to right; each feature on its own scale, keys as black and white."""
    shown = features.T
    if not keys:
        low, high = numpy.quantile(shown, [0.01, 0.99], axis=1, keepdims=True)
        shown = numpy.clip((shown - low) / numpy.maximum(high - low, 1e-9), 0, 1)
    first = LOWEST_KEY if keys else 1
    axes.imshow(
        shown, aspect="auto", origin="lower", interpolation="nearest", cmap="Greys" if keys else "viridis",
        extent=(-0.5, shown.shape[1] - 0.5, first - 0.5, first + shown.shape[0] - 0.5),
    )  # fmt: skip
    axes.grid(visible=False)
    axes.set_ylabel("MIDI note" if keys else "feature")
    if keys:
        sounding = first + numpy.flatnonzero(features.any(axis=0))
        if sounding.size:
            axes.set_ylim(sounding[0] - 2.5, sounding[-1] + 2.5)


def runs(classes: NDArray[Any]) -> Iterator[tuple[int, int, int]]:
    """Begin, end and class of every run of equal classes.

    >>> list(runs(numpy.array([4, 4, 1, 1, 1, 4])))
    [(0, 2, 4), (2, 5, 1), (5, 6, 4)]
    """
    cuts = [0, *(numpy.flatnonzero(numpy.diff(classes)) + 1).tolist(), len(classes)]
    for begin, end in pairwise(cuts):
        yield begin, end, int(classes[begin])


def _spans(axes: Axes, classes: NDArray[Any], labels: Sequence[str]) -> None:
    """The runs of equal classes as boxes with their names, where these have room."""
    for number, (begin, end, label) in enumerate(runs(classes)):
        axes.axvspan(begin - 0.5, end - 0.5, color=SOFT if number % 2 else BLUE, alpha=0.25, linewidth=0)
        if end - begin >= 0.007 * len(classes) * max(1, len(labels[label])):
            axes.text((begin + end - 1) / 2, 0.5, labels[label], ha="center", va="center", fontsize=7, clip_on=True)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.set_xlabel("frame")


def _ink(axes: Axes, features: NDArray[Any]) -> None:
    """The way of a pen: Δx and Δy summed up, interrupted after a pen-lift; y grows downwards."""
    way = numpy.cumsum(features[:, :2], axis=0)
    lifted = numpy.flatnonzero(features[:, 3] > 0.5) + 1
    for stroke in numpy.split(way, lifted):
        dot = "." if len(stroke) == 1 else ""
        axes.plot(stroke[:, 0], stroke[:, 1], color=INK, linewidth=1.2, solid_capstyle="round", marker=dot)
    axes.set_aspect("equal", adjustable="datalim")
    axes.invert_yaxis()
    axes.set_axis_off()
