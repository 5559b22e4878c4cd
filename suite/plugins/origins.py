"""Where a study's plugins come from, as results say it: in words, beside a trial, and where one is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lstm_odyssey.plugins import registry
from lstm_odyssey.plugins.files import PluginError

OURS = "lstm-odyssey"


def words(origin: Mapping[str, str]) -> str:
    """An origin as a reader sees it: ``light-cells 0.1.0``, ``my_cells.py`` or a module."""
    if "distribution" in origin:
        return f"{origin['distribution']} {origin['version']}"
    return origin.get("file") or origin.get("module", "")


def versions(origins: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The versions of the plugins that a trial ran with, by distribution or file; our own is in every environment."""
    found = {}
    for origin in origins:
        if "file" in origin:
            found[origin["file"]] = f"sha256 {origin['sha256']}"
        elif origin.get("distribution", OURS) != OURS:
            found[origin["distribution"]] = origin["version"]
    return found


class RepeatedNameError(ValueError):
    """A variant or task is asked for twice, which it cannot be in a study."""


def refuse_twice(kind: str, names: Iterable[str]) -> None:
    """Raise ``RepeatedNameError`` if a variant, an alias of it counted, or a task is among the names twice."""
    found: dict[str, str] = {}
    for name in names:
        home = registry.variant(name).name if kind == "variant" else name
        if home in found:
            said = " and ".join(dict.fromkeys((found[home], name)))
            raise RepeatedNameError(
                f"--{kind}s: got '{home}' twice, as {said}; expected each {kind} once. Was another one meant?"
            )
        found[home] = name


def refuse_absent(kind: str, names: Iterable[str], stored: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise ``PluginError`` if a study has a variant or task that is not known here; it says where the study had it from.

    A file that a study names is not run for that: a study may be a stranger's.
    """
    known = registry.variant_names() if kind == "variant" else registry.task_names()
    for name in names:
        if name in known or name not in stored:
            continue
        origin = stored[name].get("origin") or {}
        if how := cure(origin):
            raise PluginError(
                f"{kind} '{name}': the study has it from {words(origin)}, and nothing here registers it. {how}."
            )


def cure(origin: Mapping[str, str]) -> str:
    """How to get what a study has from an origin, without the full stop; empty if that is no file and no distribution."""
    if "file" in origin:
        content = f", as it was when its sha256 was {origin['sha256'][:12]}" if origin.get("sha256") else ""
        return f"Pass that file{content}: --plugin {origin['file']}"
    if "distribution" in origin:
        return f"Install it: pip install {origin['distribution']}=={origin['version']}"
    return ""


def changed(kind: str, name: str, stored: Mapping[str, Any]) -> str:
    """What of a plugin's origin is another here than in a study, in words; empty if nothing is."""
    there, here = stored.get("origin") or {}, registry.origin(kind, name)
    if there == here or not there:
        return ""
    said = [f"{words(one)}{f' of sha256 {sum_[:12]}' if (sum_ := one.get('sha256')) else ''}" for one in (there, here)]
    return f"the study has it from {said[0]}, here it is from {said[1]}"


def another(name: str, signature: str, stored: Mapping[str, Any]) -> str:
    """That a study's variant is another cell here, where each has it from, and how to get the study's, in sentences."""
    where, how = changed("variant", name, stored), cure(stored.get("origin") or {}) or "Bring the old one back"
    return (
        f"variant '{name}': its signature here is {signature[:12]}, the study's {stored['signature'][:12]}: another text, "
        f"constant or start value{f'; {where}' if where else ''}. {how}."
    )
