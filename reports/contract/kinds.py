"""Arguments of a wrong kind: one sentence, in the words of the rest of the package.

Standard library only. ``tasks/kinds.py`` is the same for tasks and the harness; a test holds the two together.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any


def _truth(value: Any) -> bool:
    return isinstance(value, bool) or type(value).__name__ == "bool"  # numpy's too


KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "a text": (lambda value: isinstance(value, str), "Write it in quotes."),
    "a path": (lambda value: isinstance(value, str) or _is_path(value), "Give a text or a pathlib.Path."),
    "a mapping": (lambda value: isinstance(value, Mapping), "Write it as {name: value}."),
    "names": (
        lambda value: isinstance(value, Iterable) and not isinstance(value, str | bytes) and _texts(value),
        "Write them as a list of texts.",
    ),
    "True or False": (_truth, "Give one of the two."),
    "a whole number": (lambda value: isinstance(value, Integral) and not _truth(value), "Give one, without a point."),
    "a number": (lambda value: isinstance(value, Real) and not _truth(value), "Give one."),
    "a function": (callable, "Pass it itself, without a call."),
}
"""What an argument may be, in words, with whether a value is and what to do."""


def _is_path(value: Any) -> bool:
    return isinstance(value, os.PathLike) and isinstance(os.fspath(value), str)


def _texts(values: Iterable[Any]) -> bool:
    try:
        return all(isinstance(value, str) for value in values)
    except TypeError:  # an array or tensor without a dimension
        return False


def refuse_kind(subject: str, kind: str, raised: type[Exception] = TypeError, /, **given: Any) -> None:
    """Raise for the first argument that is not of a kind: subject, got, expected, what to do.

    Args:
        subject: whose arguments they are.
        kind: one of ``KINDS``.
        raised: the class of the error, of one text.
        given: arguments by name.

    >>> refuse_kind("run", "a whole number", trials=3)
    >>> refuse_kind("run", "a whole number", trials="3")
    Traceback (most recent call last):
    TypeError: run: trials is '3'; expected a whole number. Give one, without a point.
    """
    fits, cure = KINDS[kind]
    for name, value in given.items():
        if not fits(value):
            text = repr(value)
            got = text if len(text) <= 60 and "\n" not in text else f"a {type(value).__name__}"
            raise raised(f"{subject}: {name} is {got}; expected {kind}. {cure}")
