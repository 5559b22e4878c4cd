"""How an error names what is wrong: an option as a key of the file where its value stands, not as one that nobody typed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

_MENDABLE = (ValueError, TypeError, LookupError, OSError, RuntimeError)


def mendable(error: Exception) -> bool:
    """Whether an error is one of this package's own, whose message tells what to do."""
    return isinstance(error, _MENDABLE) and type(error).__module__.startswith("lstm_odyssey.")


@contextmanager
def blamed(path: Path | None, names: Collection[str]) -> Iterator[None]:
    """Errors within name a file and its key where they would name an option, if the file is where its value stands.

    Args:
        path: the study file; None: there is none.
        names: the options that the file gives and the command line does not.
    """
    try:
        yield
    except Exception as error:
        if path is not None and mendable(error):
            error.args = (in_file(str(error), path, names),)  # it stays the error that it is, of its class
        raise


def in_file(text: str, path: Path, names: Collection[str]) -> str:
    """A message whose options are keys of a file. What stands between backquotes is to be typed, and stays.

    >>> in_file("--trials: got 0; expected at least 1.", Path("study.toml"), ["trials"])
    'study.toml: trials: got 0; expected at least 1.'
    >>> in_file("--device cuda: none is here. Leave --device out, or use --workers 0.", Path("s.toml"), ["device"])
    's.toml: device = cuda: none is here. Leave device of s.toml out, or use --workers 0.'
    >>> in_file("Choose another --store, or go on with it: `odyssey run --store STORE`.", Path("s.toml"), ["store"])
    'Choose another store of s.toml, or go on with it: `odyssey run --store STORE`.'
    """

    def key(found: re.Match[str]) -> str:
        name, value = (found["name"] or "").replace("-", "_"), found["value"]
        if name not in names or "=" in (value or ""):
            return found[0]
        if found.start() == 0:
            return f"{path}: {name} = {value}" if value else f"{path}: {name}"
        return (
            f"{name} = {value} in {path}"
            if value and not value.isalpha()
            else f"{name} of {path} {value or ''}".rstrip()
        )

    if re.match(rf"({'|'.join(['space', 'protocol', *names])})[ .:]", text):
        text = f"{path}: {text}"
    return re.sub(r"`[^`]*`|(?<![\w-])--(?P<name>[a-z][a-z-]*)(?: (?P<value>[\w:./=-]*[\w=]))?", key, text)
