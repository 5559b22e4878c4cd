"""Reads an .npz file of a stranger: no pickles, no archive that unpacks to more than it may, no header that lies."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.tasks.files import npy


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
        >>> import numpy as np
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
            return {
                name: _array(where, name, archive, members[f"{name}.npy"], expected)
                for name, expected in fields.items()
            }
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise CorpusError(
            f"{where} is no .npz file ({type(error).__name__}: {error}). Use the original file."
        ) from None


def _array(where: str, name: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo, expected: str) -> NDArray[Any]:
    kinds, n_dimensions = expected[:-1], int(expected[-1])
    try:
        with archive.open(member) as file:
            found = npy.array(file, member.file_size)
    except npy.UnreadableError as error:
        raise CorpusError(f"{where}: {name} {error}. Use the original file.") from None
    if found.dtype.kind not in kinds or found.ndim != n_dimensions:
        raise CorpusError(
            f"{where}: {name} is {found.dtype} of shape {found.shape}; expected kind {' or '.join(kinds)} and {n_dimensions} "
            "dimensions. Use the original file."
        )
    return found
