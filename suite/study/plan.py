"""From what a user asks to what a store holds: a new study, or the one that is there, extended."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from lstm_odyssey.backends import BACKENDS, resolve
from lstm_odyssey.cell import Cell
from lstm_odyssey.plugins import origins, registry
from lstm_odyssey.reports.contract import netcdf
from lstm_odyssey.reports.contract.variables import PACKAGE
from lstm_odyssey.study.asked import points, spaces
from lstm_odyssey.study.asked.described import SAME, task_facts, variant_facts
from lstm_odyssey.study.asked.profiles import COLLECTION, PROFILES
from lstm_odyssey.study.asked.search import FROM_FILE
from lstm_odyssey.study.asked.settings import Settings, SettingsError, option
from lstm_odyssey.study.stored.store import FORMAT, Store, StoreError
from lstm_odyssey.study.stored.trials import least_size
from lstm_odyssey.tasks.nearest import nearest
from lstm_odyssey.training.environment import environment
from lstm_odyssey.training.protocol import Protocol


@dataclass(frozen=True)
class Plan:
    """A study's content as stored, and which part of it is to be run now."""

    study: dict[str, Any]
    variants: tuple[str, ...]
    tasks: tuple[str, ...]
    data: dict[str, str]


def make_plan(store: Store, settings: Settings, begun: Mapping[str, Any] | None = None) -> Plan:
    """What is to be run: a new study as ``settings`` say, or the stored one, extended.

    Args:
        store, settings: where, and what is asked.
        begun: the study to go on with where it does not lie in the store yet.

    Raises:
        SettingsError: a value no study can have.
        StoreError: the store is damaged, foreign or newer, or holds another study; both values are named.
        UnknownNameError, PluginError, TraceError: a variant or task is not to be had.
        CorpusError: a corpus is missing, or not the one it should be.
    """
    settings.check()
    registry.load_plugins(settings.plugins)
    stored = begun or store.study()
    given = points.read(settings.points) if settings.points is not None else None
    study = dict(stored) if stored else _new(settings, given)
    if stored:
        _backend(stored["backend"], stored["device"])
        _refuse_other(store, stored, settings, given)
        study["trials"] = settings.trials or stored["trials"]
    origins.refuse_absent("variant", settings.variants or study["variants"], study["variants"])
    origins.refuse_absent("task", settings.tasks or study["tasks"], study["tasks"])
    named = {place: points.names(study["points"], place) if "points" in study else () for place in points.PLACES}
    known = tuple(study["variants"])
    cells = chosen_cells(settings.variants or (None if known else named["variant"] or None), known)
    tasks = settings.tasks or tuple(study["tasks"]) or named["task"] or default_tasks()
    if tuple(tasks) == ("all",):
        tasks = registry.task_names()
    origins.refuse_twice("task", tasks)
    refuse_unasked(settings.data, tasks)
    for cell in cells.values():
        _extend(store, study, "variants", cell.name, variant_facts(cell, study))
    for name in tasks:
        _extend(store, study, "tasks", name, task_facts(name, settings.data.get(name), study))
    spaces.refuse_strange(study.get("space", {}), study["tasks"], study["variants"])
    spaces.refuse_unfit(study, {**Protocol.from_dict(study["protocol"]).departures(), **settings.protocol})
    if "points" in study:
        _count_points(study, settings)
    _refuse_too_large(study)
    return Plan(study, tuple(cells), tuple(tasks), dict(settings.data))


def _count_points(study: dict[str, Any], settings: Settings) -> None:
    """A study of points has as many trials as a cell has rows, or the first of them."""
    there = points.count(study["points"], study["tasks"], study["variants"])
    study["trials"] = study["trials"] or there
    if study["trials"] > there:
        raise SettingsError(
            f"--trials: got {study['trials']}; expected at most {there}, as {study['points']['file']} has {there} rows for "
            "each variant and task."
        )


def _refuse_too_large(study: Mapping[str, Any]) -> None:
    """Raise if study.nc would be too large to be read back, however early its trials stop."""
    size, largest = least_size(study), netcdf.LARGEST
    if size > largest:
        raise SettingsError(
            f"--trials: {len(study['variants'])} variants x {len(study['tasks'])} tasks x {study['trials']} trials make a "
            f"study.nc of {size / 2**30:.1f} GiB at least; expected {largest / 2**30:.1f} at most. Ask for fewer, or use "
            "several stores."
        )


def _new(settings: Settings, given: points.Points | None) -> dict[str, Any]:
    profile_name = settings.profile or "standard"
    profile = PROFILES[profile_name]
    shape = replace(Protocol(), epochs=profile.epochs, patience=profile.patience).as_dict()
    protocol = _protocol({**shape, **settings.protocol, **({"epochs": settings.epochs} if settings.epochs else {})})
    backend = _backend(settings.backend or "auto", settings.device or "cpu")
    if (settings.draws == FROM_FILE) if given is None else (settings.draws not in (None, FROM_FILE)):
        raise SettingsError(
            f"--draws: got {settings.draws} {'without' if given is None else 'with'} --points; the rows of a file stand in "
            "place of draws. Give one of the two."
        )
    space = spaces.checked(settings.space)
    return {
        "format": FORMAT,
        "package": PACKAGE,
        "token": uuid.uuid4().hex,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": 1 if settings.seed is None else settings.seed,
        "draws": FROM_FILE if given else settings.draws or profile.draws,
        **({"points": given} if given else {}),
        **({"space": space} if space else {}),
        "profile": profile_name,
        "protocol": protocol.as_dict(),
        "dtype": settings.dtype or "float32",
        "backend": backend,
        "device": settings.device or "cpu",
        "block_size": settings.block_size or BACKENDS[backend].block or profile.block_size,
        "keep_weights": settings.keep_weights or "none",
        "trials": settings.trials or (0 if given else profile.trials),
        "tasks": {},
        "variants": {},
        "environment": environment(),
    }


def _backend(name: str, device: str) -> str:
    try:
        return resolve(name, device)
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _protocol(content: Mapping[str, Any]) -> Protocol:
    try:
        return Protocol.from_dict(content)
    except (ValueError, TypeError) as error:
        raise SettingsError(str(error)) from error


def _refuse_other(store: Store, stored: Mapping[str, Any], settings: Settings, given: points.Points | None) -> None:
    """A resume uses what is stored; an explicit other value is another study."""
    if settings.trials is not None and settings.trials < stored["trials"]:
        raise StoreError(
            f"store {store.path}: it holds a study of {stored['trials']} trials, and {settings.trials} were asked for; a study "
            "only grows. Leave --trials out to go on with it, or choose another --store."
        )
    asked: dict[str, Any] = {
        name: getattr(settings, name)
        for name in ("seed", "profile", "draws", "dtype", "device", "block_size", "keep_weights")
    }
    if settings.backend not in (None, "auto"):
        asked["backend"] = settings.backend
    if given and given["sha256"] != stored.get("points", {}).get("sha256"):
        there = f"draws = {stored['draws']!r}"
        if "points" in stored:
            there = f"the points of {stored['points']['file']}, sha256 {stored['points']['sha256'][:12]}"
        here = f"{given['file']}, sha256 {given['sha256'][:12]}, has other points"
        raise _another(store, there, here, "--points")
    space = spaces.checked(settings.space)
    if space and space != stored.get("space", {}):
        raise _another(store, f"space = {stored.get('space', {})}", f"{space} was asked for", "[space]")
    _protocol({**stored["protocol"], **settings.protocol})  # an option that no protocol has is no other study
    protocol = {**settings.protocol, "epochs": settings.epochs}
    for name, value, there in (
        *((name, value, stored[name]) for name, value in asked.items()),
        *((name, value, getattr(Protocol.from_dict(stored["protocol"]), name)) for name, value in protocol.items()),
    ):
        if value is not None and value != there:
            said = option(name) if name in asked or name == "epochs" else f"{name} of [protocol]"
            raise _another(store, f"{name} = {there!r}", f"{value!r} was asked for", said)


def _another(store: Store, there: str, here: str, said: str) -> StoreError:
    """The error for what is asked of a store that holds something else.

    Args:
        store: where.
        there, here: what the stored study has, and what is asked.
        said: the option that asks for it.
    """
    return StoreError(
        f"store {store.path}: it holds a study with {there}, and {here}. A store holds one study: leave {said} out to go on "
        "with it, or choose another --store."
    )


def chosen_cells(asked: Sequence[str] | None, stored: Sequence[str] = ()) -> dict[str, Cell]:
    """By name, the variants asked for, or those stored, or the collection's; ``("all",)`` is every one installed."""
    if asked is not None and tuple(asked) == ("all",):
        asked = registry.variant_names()
    if asked is None and not stored:
        for error in registry.broken_files().values():
            warnings.warn(f"left out: {error}", stacklevel=2)
        everyone = _usable("variant", registry.variant, registry.variant_names())
        return {cell.name: cell for cell in everyone if cell.collection == COLLECTION}
    origins.refuse_twice("variant", asked or stored)
    return {cell.name: cell for cell in map(registry.variant, asked or stored)}


def default_tasks() -> tuple[str, ...]:
    """This package's own tasks of the collection whose corpus lies in it. Others are for who names them, as other cells are."""
    ours = [name for name in registry.task_names() if registry.origin("task", name).get("distribution") == origins.OURS]
    return tuple(task.name for task in _usable("task", registry.task, ours) if _taken(task))


def not_taken(study: Mapping[str, Any], settings: Settings) -> str:
    """What a study that goes on lacks of what a new one would have, in a sentence; empty if nothing, or if tasks are named."""
    lacking = [name for name in default_tasks() if name not in study["tasks"]]
    if settings.tasks or not lacking or not set(study["tasks"]) <= set(default_tasks()):
        return ""
    return (
        f"This study has {', '.join(study['tasks'])} alone. A new one also has {', '.join(lacking)}: name all with --tasks, "
        "or choose another --store."
    )


def _taken(task: registry.NamedTask) -> bool:
    return bool(task.embedded and task.collection == COLLECTION)


def _usable(kind: str, find: Callable[[str], Any], names: Sequence[str]) -> Iterator[Any]:
    """The plugins that can be loaded. One that cannot is a warning where nobody asked for it, and stops nothing."""
    for name in names:
        try:
            yield find(name)
        except Exception as error:  # noqa: BLE001 - tracing runs an author's text, which may raise anything
            warnings.warn(f"{kind} '{name}' is left out: {type(error).__name__}: {error}", stacklevel=2)


def _extend(store: Store, study: dict[str, Any], kind: str, name: str, facts: dict[str, Any]) -> None:
    """Add a variant or task to the study; one that is there already has to be the same."""
    there = study[kind].get(name)
    for key in SAME[kind] if there is not None else ():
        if there[key] != facts[key]:
            old, new = (str(value)[:60] if key == "space" else str(value)[:12] for value in (there[key], facts[key]))
            raise StoreError(
                f"store {store.path}: {kind[:-1]} '{name}' has {key} {old} in this study and {new} now; "
                "it has changed, so this is another study. Choose another --store, or bring the old one back."
            )
    for view, found in ((there or {}).get("views") or {}).items():
        if found["checksum"] != facts.get("views", {}).get(view, found)["checksum"]:
            raise StoreError(
                f"store {store.path}: task '{name}' scores {view!r} beside its test set, which is something else now; it has "
                "changed, so this is another study. Choose another --store, or bring the old one back."
            )
    study[kind] = {**study[kind], name: there or facts}


def refuse_unasked(data: Iterable[str], tasks: Sequence[str]) -> None:
    """Raise `SettingsError` if a path is given for a task that is not asked for."""
    unused = sorted(set(data) - set(tasks))
    if unused:
        among = f"one of the tasks: {nearest(unused[0], list(tasks))}" if tasks else "none, as no task is asked for"
        raise SettingsError(f"--data: got a path for {', '.join(unused)}; expected {among}.")
