"""Losses of a compiled training step: an objective's loss and gradient of one frame, as source in vectors of the CPU.

Each is a function ``frame_loss(logits, targets, frame, gradient, outputs)`` of addresses: from those of the frame's logits and
of all targets to the frame's loss, its gradient written to ``gradient``. The words it may use are those of ``source.training``.
"""

from __future__ import annotations

LOSSES: dict[str, str] = {
    "frames": """
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
""",
    "next_frame": """
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
""",
}
"""By the objective's name. One that is not here computes its loss and gradient itself, between the halves of a step."""
