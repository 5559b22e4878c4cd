"""``study.toml``: the options of ``odyssey run`` in a file.

.. code-block:: toml

    variants = ["vanilla", "cifg"]
    tasks = ["bach"]
    trials = 50
    profile = "standard"

    [protocol]
    patience = 10

    [space]
    learning_rate = {kind = "log_uniform", low = 1e-4, high = 1e-2}

    [data]
    jsb_chorales = "corpora/JSB Chorales.pickle"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from lstm_odyssey.plugins.paths import of_file
from lstm_odyssey.study.asked.settings import Settings, SettingsError
from lstm_odyssey.tasks.nearest import nearest
from lstm_odyssey.training.protocol import refuse_unknown

RUN_OPTIONS = ("store", "workers", "scheduler", "resume_from")
_Kind = tuple[type, str]
_TEXT: _Kind = (str, "a text")
_KINDS: dict[str, _Kind] = {
    **dict.fromkeys(("variants", "tasks", "plugins"), (list, "a list of names")),
    **dict.fromkeys(("protocol", "data", "space"), (dict, "a table")),
    **dict.fromkeys(("trials", "epochs", "seed", "block_size", "workers"), (int, "a whole number")),
}
"""The type of an option, and the same in words; all others are texts."""


def read_config(path: Path) -> dict[str, Any]:
    """The options of a study file: fields of ``Settings``, and ``store workers scheduler resume_from``.

    Paths of data, of plugins, of points and of a study to go on with are taken from the file's own folder. In all paths ``~``
    is a home folder and ``$NAME`` a variable of the environment.

    Raises:
        SettingsError: the file is missing or no TOML, an option is unknown, at whatever level, or has the wrong type.
        PathError: a path with a user there is not, or a variable that is not set.
    """
    content = _parsed(path)
    _refuse_wrong(path, content)
    if "data" in content:
        content["data"] = {task: _beside(path, place) for task, place in content["data"].items()}
    if "plugins" in content:
        content["plugins"] = [_beside(path, place) for place in content["plugins"]]
    for name in ("resume_from", "points"):
        if name in content:
            content[name] = _beside(path, content[name])
    if "store" in content:
        content["store"] = str(of_file(content["store"]))
    return content


def _parsed(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise SettingsError(
            f"{path}: there is no such file; expected a file of options, as `trials = 50`. Check the path."
        )
    try:  # some editors put a mark of the order of bytes at the beginning
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path}: cannot be read as TOML ({error}). Give a file of options, as `trials = 50`."
        ) from error


def _refuse_wrong(path: Path, content: Mapping[str, Any]) -> None:
    """Raise ``SettingsError`` for an option that is unknown or of another type."""
    known = [field.name for field in fields(Settings)] + list(RUN_OPTIONS)
    for name, value in content.items():
        if name not in known:
            raise SettingsError(f"{path}: unknown option '{name}'; expected one of {nearest(name, known)}.")
        expected, words = _KINDS.get(name, _TEXT)
        if not isinstance(value, expected) or isinstance(value, bool):
            raise SettingsError(f"{path}: {name} is {value!r}; expected {words}.")
        if isinstance(value, list) and not all(isinstance(entry, str) for entry in value):
            raise SettingsError(f"{path}: {name} is {value!r}; expected a list of texts.")
    for task, place in content.get("data", {}).items():
        if not isinstance(place, str):
            raise SettingsError(f"{path}: data.{task} is {place!r}; expected a path as a text.")
    try:
        refuse_unknown(content.get("protocol", {}))
    except ValueError as error:
        raise SettingsError(f"{path}: {error}") from None


def _beside(path: Path, place: str) -> str:
    """A path that stands in a file, from the file's own folder."""
    return str(path.parent / of_file(place))
