"""Tasks: one file a corpus, bound to one objective. Knows no cell, no model and no trainer.

``declare`` holds what a task and its corpus are, ``distributions`` its search space, ``files`` where its files lie and how they
are read, ``objectives`` the three losses. Importing a task needs numpy only; scipy, torch, pooch and rapidfuzz are imported
where they are first used.

What a task of your own needs is imported from here, each name when it is first used::

    from lstm_odyssey.tasks import PAPER_SPACE, Corpus, CorpusError, Task, locate, missing, read, recording
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lstm_odyssey.tasks.declare import PAPER_SPACE as PAPER_SPACE
    from lstm_odyssey.tasks.declare import Choice as Choice
    from lstm_odyssey.tasks.declare import Corpus as Corpus
    from lstm_odyssey.tasks.declare import CorpusError as CorpusError
    from lstm_odyssey.tasks.declare import Download as Download
    from lstm_odyssey.tasks.declare import EvenInteger as EvenInteger
    from lstm_odyssey.tasks.declare import LogUniform as LogUniform
    from lstm_odyssey.tasks.declare import OneMinus as OneMinus
    from lstm_odyssey.tasks.declare import Task as Task
    from lstm_odyssey.tasks.declare import Uniform as Uniform
    from lstm_odyssey.tasks.files.locate import locate as locate
    from lstm_odyssey.tasks.files.locate import missing as missing
    from lstm_odyssey.tasks.files.locate import read as read
    from lstm_odyssey.tasks.files.npy import recording as recording

_HOMES = {
    "PAPER_SPACE": "declare",
    "Choice": "declare",
    "Corpus": "declare",
    "CorpusError": "declare",
    "Download": "declare",
    "EvenInteger": "declare",
    "LogUniform": "declare",
    "OneMinus": "declare",
    "Task": "declare",
    "Uniform": "declare",
    "locate": "files.locate",
    "missing": "files.locate",
    "read": "files.locate",
    "recording": "files.npy",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - the names are made by __getattr__


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lstm_odyssey.tasks' has no attribute {name!r}")
    return getattr(importlib.import_module(f"lstm_odyssey.tasks.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
