"""One recording of a folder of .npy files, read without pickle: what cannot be one is told with its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lstm_odyssey.tasks.corpus import CorpusError
from lstm_odyssey.tasks.files import locate


def recording(task: str, file: Path) -> NDArray[np.float32]:
    """The features of a file, float32 [T, M], T and M >= 1, finite and C-contiguous, as a `Corpus` takes them.

    Args:
        task: whose error it is if it cannot be read.
        file: as ``numpy.save`` writes it: whole numbers, floats or booleans.

    Errors: `CorpusError`, which names the file.
    """
    try:
        with locate.opened(task, file) as content:
            found = np.load(content, allow_pickle=False)
    except CorpusError:
        raise
    except (ValueError, EOFError):
        raise CorpusError(
            f"task {task!r}: {file} is no .npy file of numbers that can be read. Write it with numpy.save, or leave it out."
        ) from None
    what = f"{found.dtype} of shape {found.shape}" if isinstance(found, np.ndarray) else "several arrays"
    if not isinstance(found, np.ndarray) or found.ndim != 2 or 0 in found.shape or found.dtype.kind not in "biuf":
        raise CorpusError(f"task {task!r}: {file} has {what}; expected numbers [frames, width]. Write it anew.")
    with np.errstate(over="ignore"):
        features = np.ascontiguousarray(found, np.float32)
    if not np.isfinite(features).all():
        raise CorpusError(
            f"task {task!r}: {file} has NaN, infinite or too large values; expected finite ones. Clean it."
        )
    return features
