"""Losses of a compiled training step: an objective's loss and its gradient, as source in vectors of the CPU.

One that is a sum over frames is a function ``frame_loss(logits, targets, frame, gradient, outputs)`` of addresses: from
those of the frame's logits and of all targets to the frame's loss, its gradient written to ``gradient``. One of a whole
sequence is ``sequence_loss(logits, labels, longest, frames, outputs, line, gradient, memory)``, of addresses of the sequence's
first frame, of its labels, ``longest`` at most and 0 behind the last, and of memory; ``line`` bytes lie between two frames. The
words a text may use are those of ``source.training``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lstm_odyssey.backends.numba.source import ctc


class Loss(NamedTuple):
    """A loss's text, and for one of whole sequences the float64 numbers it needs: of T frames, ``longest``, K outputs."""

    text: str
    memory: Callable[[int, int, int], int] | None = None


_FRAMES = """
@njit(forceinline=True, error_model="numpy")
def frame_loss(logits, targets, frame, gradient, outputs):
    tops = load(logits, first(outputs))
    tops = only(first(outputs), tops, -inf)
    for k in range(LANES, outputs, LANES):
        keep = first(outputs - k)
        tops = maximum(tops, only(keep, load(logits + k * SIZE, keep), -inf))
    top = greatest(tops)
    sums = fill(0.0)
    for k in range(0, outputs, LANES):
        keep, at = first(outputs - k), k * SIZE
        e = exp(load(logits + at, keep) - top)
        store(gradient + at, e, keep)
        sums = sums + only(keep, e, 0.0)
    whole = total(sums)
    for k in range(0, outputs, LANES):
        keep, at = first(outputs - k), k * SIZE
        store(gradient + at, load(gradient + at, keep) / whole, keep)
    at = entry(targets, frame) * SIZE
    write(gradient + at, read(gradient + at) - 1)
    return logarithm(whole) + top - read(logits + at)
"""

_LABEL = """
@njit(forceinline=True, error_model="numpy")
def weight(t, frames):
    return {weight}


@njit(error_model="numpy")
def sequence_loss(logits, labels, longest, frames, outputs, line, gradient, memory):
    pooled, slope = memory, memory + outputs * SIZE
    for k in range(0, outputs, LANES):
        keep, at = first(outputs - k), k * SIZE
        sums = fill(0.0)
        for t in range(frames):
            w = weight(t, frames)
            if w != 0.0:
                sums = sums + load(logits + t * line + at, keep) * w
        store(pooled + at, sums, keep)
    loss = frame_loss(pooled, labels, 0, slope, outputs)
    for t in range(frames):
        w = weight(t, frames)
        for k in range(0, outputs, LANES):
            keep, at = first(outputs - k), k * SIZE
            store(gradient + t * line + at, load(slope + at, keep) * w if w != 0.0 else fill(0.0), keep)
    return loss
"""


def _label(weight: str) -> Loss:
    """One label a sequence, from outputs that are pooled with a weight for each frame."""
    return Loss(_FRAMES + "\n" + _LABEL.format(weight=weight), lambda frames, longest, outputs: 2 * outputs)


LOSSES: dict[str, Loss] = {
    "frames": Loss(_FRAMES),
    "next_frame": Loss("""
@njit(forceinline=True, error_model="numpy")
def frame_loss(logits, targets, frame, gradient, outputs):
    targets += frame * outputs * SIZE
    sums = fill(0.0)
    for k in range(0, outputs, LANES):
        keep, at = first(outputs - k), k * SIZE
        l, x = load(logits + at, keep), load(targets + at, keep)
        u = exp(-absolute(l))
        r = reciprocal(1.0 + u)
        store(gradient + at, pick(fill(0.0), l, u * r, r) - x, keep)
        sums = sums + only(keep, relu(l) + log1p(u) - x * l, 0.0)
    return total(sums)
"""),
    "ctc": Loss(ctc.TEXT, ctc.memory),
    "label_last": _label("1.0 if t == frames - 1 else 0.0"),
    "label_ends": _label("(0.5 if t == 0 else 0.0) + (0.5 if t == frames - 1 else 0.0)"),
    "label_mean": _label("1.0 / frames"),
}
"""By the objective's name. One that is not here computes its loss and gradient itself, between the halves of a step."""
