"""Reads a .npy file of a stranger, as one recording of a folder is: no pickles, no header that lies."""

from __future__ import annotations

import math
import os
import tokenize
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lstm_odyssey.tasks.corpus import CorpusError
from lstm_odyssey.tasks.files import locate

UNPARSED = (
    ValueError, SyntaxError, TypeError, EOFError, OverflowError, tokenize.TokenError, RecursionError, MemoryError,
)  # fmt: skip
"""What numpy raises at a header that is none; Python's parser says MemoryError where one nests too deeply."""


class UnreadableError(ValueError):
    """Why bytes are no array, as the end of a sentence: 'claims 8 bytes and has 4'."""


def array(file: IO[bytes], size: int) -> NDArray[Any]:
    """The array of a .npy file, read straight into its place.

    No more memory is taken than ``size`` says: the caller knows it of a file, and bounds what an archive claims.

    Args:
        file: at its beginning; of a zip archive, it can go back there.
        size: its bytes.

    Errors: `UnreadableError` for anything else than what ``numpy.save`` writes of numbers, texts or dates.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> np.save(file, np.arange(3))
        >>> size = file.tell()
        >>> _ = file.seek(0)
        >>> array(file, size).tolist()
        [0, 1, 2]
    """
    try:
        version = np.lib.format.read_magic(file)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in readers:
            raise ValueError(f"format {version}")
        shape, _, dtype = readers[version](file)
        if dtype.hasobject:
            raise UnreadableError(f"is {dtype} of shape {shape}; expected no objects of Python")
        claimed, held = math.prod(shape) * dtype.itemsize, size - file.tell()
        if claimed != held:
            raise UnreadableError(f"claims {claimed} bytes and has {held}")
        file.seek(0)
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    except UnreadableError:
        raise
    except UNPARSED as error:
        raise UnreadableError(f"is no array ({type(error).__name__}: {error})") from None


def recording(task: str, file: Path) -> NDArray[np.float32]:
    """The features of a file, float32 [T, M], T and M >= 1, finite and C-contiguous, as a `Corpus` takes them.

    Args:
        task: whose error it is if it cannot be read.
        file: as ``numpy.save`` writes it: whole numbers, floats or booleans.

    Errors: `CorpusError`, which names the file.
    """
    try:
        with locate.opened(task, file) as content:
            found = array(content, os.fstat(content.fileno()).st_size)
    except UnreadableError as error:
        raise CorpusError(
            f"task {task!r}: {file} is no .npy file of numbers that can be read: it {error}. "
            "Write it with numpy.save, or leave it out."
        ) from None
    if found.ndim != 2 or 0 in found.shape or found.dtype.kind not in "biuf":
        raise CorpusError(
            f"task {task!r}: {file} has {found.dtype} of shape {found.shape}; expected numbers [frames, width]. Write it anew."
        )
    with np.errstate(over="ignore"):
        features = np.ascontiguousarray(found, np.float32)
    if not np.isfinite(features).all():
        raise CorpusError(
            f"task {task!r}: {file} has NaN, infinite or too large values; expected finite ones. Clean it."
        )
    return features
