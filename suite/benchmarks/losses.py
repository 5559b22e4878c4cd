"""CTC's loss and gradient: their time over that of the same in plain torch, and their share of a training step.

Medians of calls that take turns in one process, on made-up lines of T frames and U labels; less is better.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

# Not by its name in the package, which would be the list of the commit that is installed.
steps: Any = import_module(f"{__package__}.steps")
names: Any = import_module(f"{__package__}.names")

LINES = ((170, 20), (700, 30))
SECONDS = 3.0


@cache
def line(frames: int, labels: int) -> Any:
    """What the package's own benchmark found on a line."""
    registry, threads = names.module("plugins.registry"), names.module("training.threads")
    with threads.one_thread(), threads.without_subnormals():
        return names.module("bench.timed.ctc").line(
            registry.variant(steps.VARIANTS[0]), frames, labels, seconds=SECONDS
        )


def _tracked(frames: int, labels: int, what: str, value: Callable[[Any], float]) -> Callable[[], float]:
    def track() -> float:
        names.needed("bench.timed.ctc")
        return value(line(frames, labels))

    marks: Any = track
    marks.benchmark_name, marks.version, marks.unit = f"losses.track_ctc_{what}_t{frames}_u{labels}", "1", "times"
    return track


for _frames, _labels in LINES:
    globals()[f"track_over_torch_{_frames}"] = _tracked(_frames, _labels, "over_torch", lambda found: 1 / found.ratio)
    globals()[f"track_share_{_frames}"] = _tracked(_frames, _labels, "share_of_step", lambda found: found.share)
