"""Options of the command line that hold several values."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def names(values: Iterable[str] | None) -> list[str] | None:
    """Names given as repeated options, or several in one, separated by commas."""
    if values is None:
        return None
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


def numbers(option: str, values: Iterable[str] | None) -> list[int] | None:
    """Whole numbers, given like names.

    Raises:
        SettingsError: one is no whole number.
    """
    from lstm_odyssey.plan import SettingsError

    found = names(values)
    if found is None:
        return None
    for value in found:
        if not value.isdecimal():
            raise SettingsError(f"{option}: got {value!r}; expected whole numbers, separated by commas.")
    return [int(value) for value in found]


def pairs(values: Iterable[str] | None) -> dict[str, str]:
    """``TASK=PATH`` given once or more, by task; paths absolute.

    Raises:
        SettingsError: a value is not of this form.
    """
    from lstm_odyssey.plan import SettingsError

    found = {}
    for value in values or []:
        task, sign, path = value.partition("=")
        if not sign or not task or not path:
            raise SettingsError(f"--data: got {value!r}; expected TASK=PATH, as --data my_task=corpus.pickle.")
        found[task] = str(Path(path).absolute())
    return found
