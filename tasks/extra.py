"""Packages that only some corpora need: the extra ``[corpora]``, imported where a file of theirs is read."""

from __future__ import annotations

from importlib import import_module, metadata
from typing import Any

from lstm_odyssey.tasks.declare import CorpusError

DISTRIBUTIONS = {"kaldi_native_fbank": "kaldi-native-fbank", "soundfile": "soundfile", "defusedxml": "defusedxml"}
"""Import name -> distribution of the extra ``[corpora]``."""


def _lacking(task: str, name: str, reason: str) -> CorpusError:
    return CorpusError(
        f"task {task!r}: it needs the package {DISTRIBUTIONS.get(name, name)}, {reason}. "
        'Run pip install "lstm-odyssey[corpora]".'
    )


def package(task: str, name: str) -> Any:
    """The module ``name``, imported.

    Errors: `CorpusError` that names the extra, if it is not installed or does not load.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise _lacking(task, name, "which is not installed") from None
    except (ImportError, OSError) as error:  # soundfile raises OSError where it finds no libsndfile
        raise _lacking(task, name, f"which does not load ({type(error).__name__}: {error})") from None


def version(task: str, name: str) -> str:
    """The version of a package that is installed, without importing it. Errors: as `package`."""
    try:
        return metadata.version(DISTRIBUTIONS.get(name, name))
    except metadata.PackageNotFoundError:
        raise _lacking(task, name, "which is not installed") from None
