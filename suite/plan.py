"""From what a user asks to what a store holds: a new study, or the one that is there, extended."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from lstm_odyssey import origins, registry
from lstm_odyssey.cell import Cell
from lstm_odyssey.environment import environment
from lstm_odyssey.kernels.scan import resolve
from lstm_odyssey.profiles import COLLECTION, HYPERPARAMETERS, PROFILES
from lstm_odyssey.protocol import Protocol
from lstm_odyssey.search import DRAWS
from lstm_odyssey.store import FORMAT, PACKAGE, Store, StoreError
from lstm_odyssey.tasks import objectives

DTYPES = ("float32", "float64")
DEVICES = ("cpu", "cuda")


class SettingsError(ValueError):
    """What was asked for makes no study; the message says subject, got, expected, what to do."""


@dataclass(frozen=True)
class Settings:
    """What a user asks of a study. None means: not said; then the store decides, or the profile, or the default.

    Args:
        variants, tasks: names; by default the paper's nine and the embedded tasks. ``("all",)`` is every one installed.
        trials, epochs: for each variant and task.
        seed: of everything random (1).
        profile: ``smoke``, ``standard`` (default) or ``paper``.
        draws: ``common`` to all variants or ``independent``; the profile's.
        dtype, backend, device: of the computation (float32, auto, cpu).
        block_size: trials in lockstep on a backend that pads.
        keep_weights: ``best`` stores each trial's best weights; ``none`` (default).
        protocol: options of ``Protocol`` beside epochs.
        data: where a task's corpus lies, by task.
        plugins: Python files whose variants and tasks are to be known; every worker runs them.
    """

    variants: Sequence[str] | None = None
    tasks: Sequence[str] | None = None
    trials: int | None = None
    epochs: int | None = None
    seed: int | None = None
    profile: str | None = None
    draws: str | None = None
    dtype: str | None = None
    backend: str | None = None
    device: str | None = None
    block_size: int | None = None
    keep_weights: str | None = None
    protocol: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    plugins: Sequence[str] = ()

    def check(self) -> None:
        """Raise ``SettingsError`` for a value that no study can have."""
        for name in ("trials", "epochs", "block_size"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise SettingsError(f"{_option(name)}: got {value!r}; expected a whole number of at least 1.")
        if self.seed is not None and (isinstance(self.seed, bool) or not isinstance(self.seed, int)):
            raise SettingsError(f"--seed: got {self.seed!r}; expected a whole number.")
        for name, known in (
            ("profile", tuple(PROFILES)),
            ("draws", DRAWS),
            ("dtype", DTYPES),
            ("device", DEVICES),
            ("keep_weights", ("best", "none")),
        ):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise SettingsError(f"{_option(name)}: got {value!r}; expected one of {', '.join(known)}.")
        for name in ("variants", "tasks"):
            value = getattr(self, name)
            if value is not None and len(value) == 0:
                raise SettingsError(f"{_option(name)}: got no name; expected names, as `odyssey {name}` lists them.")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


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
    study = dict(stored) if stored else _new(settings)
    if stored:
        _backend(stored["backend"], stored["device"])
        _refuse_other(store, stored, settings)
        study["trials"] = settings.trials or stored["trials"]
    origins.refuse_absent("variant", settings.variants or study["variants"], study["variants"])
    origins.refuse_absent("task", settings.tasks or study["tasks"], study["tasks"])
    cells = chosen_cells(settings.variants, tuple(study["variants"]))
    tasks = settings.tasks or tuple(study["tasks"]) or embedded_tasks()
    if tuple(tasks) == ("all",):
        tasks = registry.task_names()
    tasks = tuple(dict.fromkeys(tasks))
    unused = sorted(set(settings.data) - set(tasks))
    if unused:
        raise SettingsError(
            f"--data: got a path for {', '.join(unused)}; expected one of the study's tasks: {', '.join(tasks)}."
        )
    for cell in cells.values():
        _extend(store, study, "variants", cell.name, _variant_facts(cell), ("signature",))
    same = ("checksum", "objective", "bidirectional", "direction", "space")
    for name in tasks:
        _extend(store, study, "tasks", name, _task_facts(name, settings.data.get(name), study), same)
    return Plan(study, tuple(cells), tasks, dict(settings.data))


def _new(settings: Settings) -> dict[str, Any]:
    profile_name = settings.profile or "standard"
    profile = PROFILES[profile_name]
    given = replace(Protocol(), epochs=profile.epochs, patience=profile.patience).as_dict()
    protocol = _protocol({**given, **settings.protocol, **({"epochs": settings.epochs} if settings.epochs else {})})
    backend = _backend(settings.backend or "auto", settings.device or "cpu")
    return {
        "format": FORMAT,
        "package": PACKAGE,
        "token": uuid.uuid4().hex,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": 1 if settings.seed is None else settings.seed,
        "draws": settings.draws or profile.draws,
        "profile": profile_name,
        "protocol": protocol.as_dict(),
        "dtype": settings.dtype or "float32",
        "backend": backend,
        "device": settings.device or "cpu",
        "block_size": settings.block_size or profile.block_size,
        "keep_weights": settings.keep_weights or "none",
        "trials": settings.trials or profile.trials,
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


def _refuse_other(store: Store, stored: Mapping[str, Any], settings: Settings) -> None:
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
    _protocol({**stored["protocol"], **settings.protocol})  # an option that no protocol has is no other study
    protocol = {**settings.protocol, "epochs": settings.epochs}
    for name, value, there in (
        *((name, value, stored[name]) for name, value in asked.items()),
        *((name, value, stored["protocol"].get(name)) for name, value in protocol.items()),
    ):
        if value is not None and value != there:
            raise StoreError(
                f"store {store.path}: it holds a study with {name} = {there!r}, and {value!r} was asked for. A store holds "
                f"one study: leave {_option(name) if name in asked or name == 'epochs' else f'{name} of [protocol]'} out to go "
                "on with it, or choose another --store."
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
    return {cell.name: cell for cell in map(registry.variant, asked or stored)}


def embedded_tasks() -> tuple[str, ...]:
    """Names of this package's own tasks whose corpus lies in it. Others are for who names them, as other cells are."""
    ours = [name for name in registry.task_names() if registry.origin("task", name).get("distribution") == origins.OURS]
    return tuple(task.name for task in _usable("task", registry.task, ours) if task.embedded)


def _usable(kind: str, find: Callable[[str], Any], names: Sequence[str]) -> Iterator[Any]:
    """The plugins that can be loaded. One that cannot is a warning where nobody asked for it, and stops nothing."""
    for name in names:
        try:
            yield find(name)
        except Exception as error:  # noqa: BLE001 - tracing runs an author's text, which may raise anything
            warnings.warn(f"{kind} '{name}' is left out: {type(error).__name__}: {error}", stacklevel=2)


def _extend(
    store: Store, study: dict[str, Any], kind: str, name: str, facts: dict[str, Any], keys: Sequence[str]
) -> None:
    """Add a variant or task to the study; one that is there already has to be the same."""
    there = study[kind].get(name)
    for key in keys if there is not None else ():
        if there[key] != facts[key]:
            old, new = (str(value)[:60] if key == "space" else str(value)[:12] for value in (there[key], facts[key]))
            raise StoreError(
                f"store {store.path}: {kind[:-1]} '{name}' has {key} {old} in this study and {new} now; "
                "it has changed, so this is another study. Choose another --store, or bring the old one back."
            )
    study[kind] = {**study[kind], name: there or facts}


def _variant_facts(cell: Cell) -> dict[str, Any]:
    return {
        "signature": cell.signature,
        "equations": list(cell.equations),
        "states": list(cell.states),
        "parameters": {name: list(shape) for name, shape in cell.parameters.items()},
        "origin": cell.origin,
        "collection": cell.collection,
        "reference": cell.reference,
    }


def _task_facts(name: str, path: str | None, study: Mapping[str, Any]) -> dict[str, Any]:
    task = registry.task(name)
    objective = objectives.get(task.objective)
    corpus = registry.load_corpus(name, path)
    narrower = PROFILES[study["profile"]].space
    if set(task.space) != set(HYPERPARAMETERS):
        raise SettingsError(
            f"task '{name}': its space has {', '.join(sorted(task.space))}; expected exactly {', '.join(HYPERPARAMETERS)}, "
            "which are what a training reads. Mend the task's declaration."
        )
    space = {key: narrower.get(key, distribution) for key, distribution in task.space.items()}
    return {
        "checksum": corpus.fingerprint,
        "metric": objective.metric,
        "units": objective.units,
        "direction": objective.direction,
        "chance": float(objective.chance(corpus.train, corpus.test, corpus.labels)),
        "family": task.family,
        "objective": task.objective,
        "bidirectional": task.bidirectional,
        "licence": task.licence,
        "url": task.url,
        "reference": task.reference,
        "origin": task.origin,
        "input_size": corpus.input_size,
        "n_outputs": objective.n_outputs(corpus),
        "provenance": corpus.provenance,
        "warnings": list(corpus.warnings),
        "space": {key: distribution.as_dict() for key, distribution in space.items()},
        "task_space": {key: distribution.as_dict() for key, distribution in task.space.items()},
        "space_note": PROFILES[study["profile"]].note if any(key in task.space for key in narrower) else "",
    }
