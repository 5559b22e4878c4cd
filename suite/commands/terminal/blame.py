"""An author's part of a traceback: where a plugin's own code failed, without the way that led there."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from traceback import StackSummary, TracebackException

ROOMS = ("lstm_odyssey", "lstm_odyssey.tasks", "lstm_odyssey.reports", "lstm_odyssey.variants")
GATES = ("plugins/registry.py", "plugins/files.py")
"""Modules of this package that call what an author wrote: what stands below them in a traceback is the author's."""


def own_part(error: BaseException, *, gated: bool = True) -> list[str]:
    """The lines of a traceback that are of an author's code, with file and line, and the exception with its notes.

    Args:
        error: what was raised.
        gated: count only what was called by way of the registry; otherwise whatever is not of this package.

    Returns:
        The lines, without the one that begins every traceback; none if nothing of it is an author's.
    """
    homes = [Path(place) for room in ROOMS for place in _places(room)]
    told = TracebackException.from_exception(error)
    frames = list(told.stack)
    gates = {str(homes[0] / name) for name in GATES}
    passed = [number for number, frame in enumerate(frames) if frame.filename in gates]
    if gated or passed:
        frames = frames[passed[-1] + 1 :] if passed else []
    own = [frame for frame in frames if not _ours(frame.filename, homes)]
    if not own and not (isinstance(error, SyntaxError) and passed):  # which has its line and place without any frame
        return []
    told.stack = StackSummary.from_list(own)
    lines = [line for part in told.format(chain=False) for line in part.splitlines()]
    return lines[1:] if own else lines


def _places(room: str) -> list[str]:
    spec = find_spec(room)
    return [] if spec is None else list(spec.submodule_search_locations or [])


def _ours(filename: str, homes: list[Path]) -> bool:
    made = filename.startswith("<")  # what dataclasses write, and the import system
    return made or "importlib" in filename or any(Path(filename).is_relative_to(home) for home in homes)
