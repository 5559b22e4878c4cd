"""``unipen_lines.npz``: the lines of UNIPEN's text category in one file, as the format's own reader finds them.

Arrays over all points (``dx``, ``dy``), strokes (``stroke_len``) and lines (``points``, ``n_strokes``, ``label``,
``writer``, ``points_per_second``, ``split``). Only pens that are down; dy points up. The file is read by `npz`, so
without pickle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.tasks.files import locate, npz
from lstm_odyssey.tasks.handwriting.unipen_format import Text

MAX_BYTES = 2**30
"""All arrays together may not be larger than this."""
FIELDS = {
    "dx": "i1", "dy": "i1", "stroke_len": "i1", "points": "i1", "n_strokes": "i1", "points_per_second": "f1", "label": "U1",
    "writer": "U1", "split": "U1",
}  # fmt: skip
"""The arrays, with kind and number of dimensions, as `npz.arrays` wants them."""
COUNTS = {"points": "dx", "n_strokes": "stroke_len", "stroke_len": "dx"}
"""Arrays that count the entries of another one."""


def texts(task: str, file: Path) -> Iterator[tuple[str, Text]]:
    """Split and text of every line, in the file's order.

    Errors: `CorpusError` if it is another file, or if its arrays do not fit each other.
    """
    where = f"task {task!r}: {file}"
    found = npz.arrays(where, locate.read(task, file), FIELDS, MAX_BYTES)
    _check(where, found)
    points = np.cumsum(found["points"], dtype=np.int64)
    strokes = np.cumsum(found["n_strokes"], dtype=np.int64)
    for index in range(len(points)):
        last, part = points[index], slice(points[index] - found["points"][index], points[index])
        lengths = found["stroke_len"][strokes[index] - found["n_strokes"][index] : strokes[index]]
        if lengths.sum() != last - part.start or lengths.min() < 1:
            raise CorpusError(f"{where}: line {index} has strokes of {lengths.sum()} points. Get the original file.")
        place = np.cumsum(np.stack([found["dx"][part], found["dy"][part]], 1), axis=0, dtype=np.float64)
        yield (
            str(found["split"][index]),
            Text(
                f"{where}[{index}]",
                str(found["writer"][index]),
                str(found["label"][index]),
                float(found["points_per_second"][index]),
                np.split(place, np.cumsum(lengths)[:-1]),
            ),
        )


def _within(counts: NDArray[Any], most: int) -> bool:
    """Whether all are from 1 to ``most``: sums of them cannot overflow then."""
    return bool(len(counts) and counts.min() >= 1 and counts.max() <= most)


def _check(where: str, found: Mapping[str, NDArray[Any]]) -> None:
    """Raise `CorpusError` unless lines, strokes and points add up."""
    lines = {len(found[name]) for name in ("points", "n_strokes", "points_per_second", "label", "writer", "split")}
    sums = (
        len(lines) == 1
        and min(lines) > 0
        and all(_within(found[counts], len(found[of])) for counts, of in COUNTS.items())
        and found["points"].sum(dtype=np.int64) == len(found["dx"]) == len(found["dy"])
        and found["n_strokes"].sum(dtype=np.int64) == len(found["stroke_len"])
    )
    if not sums:
        raise CorpusError(f"{where}: lines, strokes and points do not add up. Get the original file.")
    if not set(np.unique(found["split"])) <= {"train", "valid", "test"}:
        raise CorpusError(
            f"{where}: splits {sorted(set(found['split'].tolist()))[:5]}; expected train, valid and test."
        )
    if not (np.isfinite(found["points_per_second"]) & (found["points_per_second"] >= 1)).all():
        raise CorpusError(f"{where}: points_per_second has values below 1. Get the original file.")
