"""Reads an .npz file of a stranger: no pickles, no archive that unpacks to more than it may, no header that lies."""

from __future__ import annotations

import io
import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_odyssey.tasks.declare import CorpusError

UNPARSED = (ValueError, SyntaxError, TypeError, EOFError, tokenize.TokenError, RecursionError, MemoryError)
"""What numpy raises at a header that is none; Python's parser says MemoryError where one nests too deeply."""


def arrays(where: str, data: bytes, fields: Mapping[str, str], max_bytes: int) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz.

    Args:
        where: the beginning of every error, as ``task 'mine': FILE``.
        data: the file's bytes.
        fields: name -> what it must be: the letters of numpy's kinds it may have and its number of dimensions, as ``"iu1"``.
        max_bytes: all arrays together may not be larger.

    Errors: `CorpusError` for anything else than such a file.

    Example:
        >>> file = io.BytesIO()
        >>> np.savez(file, length=np.arange(3))
        >>> arrays("here", file.getvalue(), {"length": "iu1"}, 1000)["length"].tolist()
        [0, 1, 2]
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: info for info in archive.infolist()}
            lacking = [name for name in fields if f"{name}.npy" not in members]
            if lacking:
                raise CorpusError(
                    f"{where} lacks {', '.join(lacking)}; expected {', '.join(fields)}. Use the original file."
                )
            total = sum(members[f"{name}.npy"].file_size for name in fields)
            if total > max_bytes:
                raise CorpusError(
                    f"{where} unpacks to {total} bytes; expected at most {max_bytes}. Use the original file."
                )
            return {name: _array(where, name, archive.read(members[f"{name}.npy"]), fields[name]) for name in fields}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise CorpusError(
            f"{where} is no .npz file ({type(error).__name__}: {error}). Use the original file."
        ) from None


def _array(where: str, name: str, content: bytes, expected: str) -> NDArray[Any]:
    kinds, n_dimensions = expected[:-1], int(expected[-1])
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in readers:
            raise ValueError(f"format {version}")
        shape, _, dtype = readers[version](file)
        if dtype.hasobject or dtype.kind not in kinds or len(shape) != n_dimensions:
            raise CorpusError(
                f"{where}: {name} is {dtype} of shape {shape}; expected kind {' or '.join(kinds)} and {n_dimensions} "
                "dimensions. Use the original file."
            )
        claimed = math.prod(shape) * dtype.itemsize
        if claimed != len(content) - file.tell():
            raise CorpusError(
                f"{where}: {name} claims {claimed} bytes and has {len(content) - file.tell()}. Use the original file."
            )
        file.seek(0)
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    except UNPARSED as error:
        if isinstance(error, CorpusError):
            raise
        raise CorpusError(
            f"{where}: {name} is no array ({type(error).__name__}: {error}). Use the original file."
        ) from None
