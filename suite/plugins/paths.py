"""Paths as a user writes them: ``~`` is a home folder wherever a path comes in, in a file as on the command line.

A shell expands it before a command sees it, but not in ``--store=~/x``, in a file of options, in a variable or in Python.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from lstm_odyssey.tasks.kinds import refuse_kind


class PathError(LookupError):
    """A path cannot be what it says; the message says subject, got, expected, what to do."""


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with ``~`` or ``~user`` at its start replaced by the home folder.

    Raises:
        PathError: there is no such user, or no home folder.
    """
    refuse_kind("file or folder", "a path", path=path)
    text = os.path.expanduser(path)  # noqa: PTH111 - a Path forgets the ./ of a folder that is really called ~x
    if text.startswith("~"):
        start = Path(text).parts[0]
        raise PathError(
            f"path {text!r}: {start} is nobody's home folder here; expected ~ or ~USER of a user there is. Write the folder in "
            f"full, or ./{start} for one of that name."
        )
    return Path(text)


def of_file(text: str) -> Path:
    """A path in a file of options: ``$NAME`` and ``${NAME}`` are variables of the environment there, as in a shell.

    Raises:
        PathError: a variable is not set, or as above. A folder called ``$NAME`` is never made.
    """
    unset = [name for name in re.findall(r"\$\{?([A-Za-z_]\w*)", text) if name not in os.environ]
    if unset:
        raise PathError(
            f"path {text!r}: the variable {unset[0]} is not set; expected a value. Set it, or write the path."
        )
    return expanded(os.path.expandvars(text))


USER_PATH: dict[str, Any] = {"parser": expanded, "metavar": "PATH"}
"""What makes a path of an option or argument of ``odyssey``: ``typer.Option(help=..., **USER_PATH)``."""
