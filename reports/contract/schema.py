"""The contract of stored results: one ``xarray.Dataset`` with dimensions (task, variant, trial, epoch).

``build`` makes it from the store's JSON, ``validate`` names what is wrong, ``save`` and ``load`` keep it as netCDF-4
bit for bit. What the dataset holds is listed in ``lstm_odyssey.reports.contract.variables``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy
import pandas
import xarray

from lstm_odyssey.reports.contract.netcdf import load, save
from lstm_odyssey.reports.contract.selection import as_study
from lstm_odyssey.reports.contract.validation import (
    SchemaError,
    attribute,
    error,
    hyperparameters,
    refuse_newer,
    validate,
)
from lstm_odyssey.reports.contract.variables import (
    BOOLEAN,
    COORDINATES,
    CURVE,
    PACKAGE,
    SCORE,
    TASK,
    TEXT_ATTRIBUTES,
    TIMED_ATTRIBUTES,
    TRIAL,
    VARIABLES,
    VIEWS,
    WHOLE,
    WORDS,
    Variable,
)

__all__ = [
    "SchemaError", "attribute", "build", "frame", "hyperparameters", "load", "save", "validate", "without_times",
]  # fmt: skip

Place = tuple[str, str, int]


def build(study: Mapping[str, Any], trials: Iterable[Mapping[str, Any]]) -> xarray.Dataset:
    """The dataset of a study and its trials as the store wrote them; the order of the trials does not matter.

    Args:
        study: what ``study.json`` holds.
        trials: what the files of the trials hold; a trial that is not among them is ``missing`` in the dataset.
    """
    for name in ("format", "seed", "tasks", "variants"):
        _field(study, name, "study.json")
    refuse_newer(study["format"], "study.json")
    placed = _place(study, trials)
    tasks, variants = list(study["tasks"]), list(study["variants"])
    indices = 1 + max([int(study.get("trials") or 0) - 1, 0, *(place[2] for place in placed)])
    epochs = max([1, *(len(curve or ()) for trial in placed.values() for curve in _every_curve(trial))])
    sizes = {"task": len(tasks), "variant": len(variants), "trial": indices, "epoch": epochs}
    views = _views(study, placed.values())
    sizes |= {"view": len(views)} if views else {}
    viewed = VIEWS if views else ()

    environments = sorted({_canonical(trial.get("environment") or {}) for trial in placed.values()})
    drawn = _hyperparameters(study, placed.values())
    arrays = {stored.name: stored.empty(sizes) for stored in (*VARIABLES, *viewed, *drawn)}
    arrays["status"][:], arrays["seed"][:] = "missing", study["seed"]
    for stored in (stored for stored in VARIABLES if stored.dims == TASK):
        arrays[stored.name][:] = [_value(facts.get(stored.name), stored.kind) for facts in study["tasks"].values()]

    for (task, variant, index), trial in placed.items():
        cell = tasks.index(task), variants.index(variant), index
        for stored in (stored for stored in VARIABLES if stored.dims != TASK):
            if stored.dims == CURVE:
                curve = [_value(value, "number") for value in _curves(trial).get(stored.name) or ()]
                arrays[stored.name][cell][: len(curve)] = curve
            elif stored.name == "environment":
                arrays["environment"][cell] = environments.index(_canonical(trial.get("environment") or {}))
            else:
                arrays[stored.name][cell] = _value(trial.get(stored.name), stored.kind)
        for name, view in (trial.get("views") or {}).items() if views else ():
            if name in views:
                arrays["best_test_view"][*cell, views.index(name)] = _value(view["best_test"], "number")
                arrays["test_view"][*cell, : len(view["test"]), views.index(name)] = [
                    _value(value, "number") for value in view["test"]
                ]
        for stored in drawn:
            arrays[stored.name][cell] = _value(trial["hyperparameters"].get(stored.name), stored.kind)

    units, direction = (
        _common(facts.get(name) for facts in study["tasks"].values()) for name in ("units", "direction")
    )
    everything = (*VARIABLES, *viewed, *drawn)
    variables = {stored.name: stored.filled(arrays[stored.name], {SCORE: units}) for stored in everything}
    for stored in (*VARIABLES, *viewed):
        if stored.units == SCORE:
            variables[stored.name][2]["direction"] = direction
    for stored in drawn:
        attributes = variables[stored.name][2]
        attributes["role"] = "hyperparameter"
        if values := _kind(trial["hyperparameters"].get(stored.name) for trial in placed.values()):
            attributes["values"] = values
    labels = {"task": numpy.array(tasks, str), "variant": numpy.array(variants, str)}
    labels |= {dim: numpy.arange(sizes[dim], dtype=numpy.int64) for dim in ("trial", "epoch")}
    labels |= {"view": numpy.array(views, str)} if views else {}
    coordinates = {dim: (dim, values, {"long_name": COORDINATES[dim]}) for dim, values in labels.items()}
    dataset = xarray.Dataset(variables, coordinates, _globals(study, environments))
    validate(dataset)
    return dataset


def frame(dataset: xarray.Dataset) -> pandas.DataFrame:
    """One row for each trial that was run, without the curves."""
    dataset = as_study(dataset)
    names = [name for name, variable in dataset.data_vars.items() if variable.dims == TRIAL]
    rows = dataset[names].to_dataframe(dim_order=list(TRIAL)).reset_index()
    return rows[rows["status"] != "missing"].reset_index(drop=True)


def without_times(dataset: xarray.Dataset) -> xarray.Dataset:
    """The dataset without what a clock or the machine decided, so that two runs can be compared bit for bit."""
    kept = dataset.drop_vars([stored.name for stored in VARIABLES if stored.timed])
    kept.attrs = {name: value for name, value in kept.attrs.items() if name not in TIMED_ATTRIBUTES}
    return kept


def _place(study: Mapping[str, Any], trials: Iterable[Mapping[str, Any]]) -> dict[Place, Mapping[str, Any]]:
    """The trials by task, variant and index, each at most once and each of this study."""
    placed: dict[Place, Mapping[str, Any]] = {}
    for trial in trials:
        subject = f"trial {trial.get('trial_id')!r}"
        for name in ("format", "trial_id", "task", "variant", "trial", "seed", "hyperparameters", "status"):
            _field(trial, name, subject)
        refuse_newer(trial["format"], subject)
        for dim, known in (("task", study["tasks"]), ("variant", study["variants"])):
            if trial[dim] not in known:
                raise error(subject, f"{dim} {trial[dim]!r}", f"one of {', '.join(known)}", "Is it of another study?")
        place = str(trial["task"]), str(trial["variant"]), int(trial["trial"])
        if place in placed or place[2] < 0:
            raise error(subject, f"{place} twice" if place in placed else f"{place}", "each trial once, counted from 0")
        placed[place] = trial
    return dict(sorted(placed.items()))


def _field(facts: Mapping[str, Any], name: str, subject: str) -> None:
    if facts.get(name) is None:
        raise error(subject, f"no '{name}'", f"a field '{name}'", "The file is damaged or not of this package.")


def _hyperparameters(study: Mapping[str, Any], trials: Iterable[Mapping[str, Any]]) -> list[Variable]:
    """The variables that were drawn: those of the tasks' spaces in their order, then cells' own and what only trials know."""
    trials = list(trials)
    names = [
        name for kind in ("tasks", "variants") for facts in study[kind].values() for name in facts.get("space") or ()
    ]
    names += sorted({name for trial in trials for name in trial["hyperparameters"]})
    taken = {stored.name for stored in (*VARIABLES, *VIEWS)} | set(COORDINATES)
    stored = []
    for name in dict.fromkeys(names):
        if name in taken:
            raise error(f"hyperparameter '{name}'", "a name that a stored variable has", "another name", "Rename it.")
        textual = any(isinstance(trial["hyperparameters"].get(name), str) for trial in trials)
        short = name.removeprefix("k.")
        words = f"constant {short} of the cell" if short != name else name
        long_name, units = WORDS.get(name, (words.replace("_", " "), "1"))
        stored.append(Variable(name, "text" if textual else "number", TRIAL, long_name, "" if textual else units))
    return stored


def _views(study: Mapping[str, Any], trials: Iterable[Mapping[str, Any]]) -> list[str]:
    """The views of which a trial has a number: those the tasks tell of in their order, then what only trials know."""
    found = {
        str(name)
        for trial in trials
        for name, view in (trial.get("views") or {}).items()
        if any(value is not None for value in (view["best_test"], *view["test"]))
    }
    told = [name for facts in study["tasks"].values() for name in facts.get("views") or ()]
    return [name for name in dict.fromkeys((*told, *sorted(found))) if name in found]


def _kind(values: Iterable[Any]) -> str:
    """What a variable that was drawn holds, where it is no plain number: a file has floats for all, some of them missing."""
    kinds = {type(value) for value in values if value is not None}
    return {frozenset({bool}): BOOLEAN, frozenset({int}): WHOLE}.get(frozenset(kinds), "")


def _curves(trial: Mapping[str, Any]) -> Mapping[str, Any]:
    return trial.get("curves") or {}


def _every_curve(trial: Mapping[str, Any]) -> Iterable[Any]:
    """Each list over epochs that a trial wrote: its curves, and its test scores in each view."""
    return [*_curves(trial).values(), *(view["test"] for view in (trial.get("views") or {}).values())]


def _value(value: Any, kind: str) -> Any:
    """A value of JSON as the array holds it; a text is freed of what HDF5 cannot keep: NUL and lone surrogates."""
    if kind == "text":
        return _text(value)
    if kind == "whole":
        return int(value)
    return math.nan if value is None else float(value)


def _text(value: Any) -> str:
    return (
        ("" if value is None else str(value))
        .replace("\0", "\N{REPLACEMENT CHARACTER}")
        .encode("utf-8", "replace")
        .decode("utf-8")
    )


def _common(values: Iterable[Any]) -> str:
    found = {_text(value) for value in values}
    return found.pop() if len(found) == 1 else "by task"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _globals(study: Mapping[str, Any], environments: list[str]) -> dict[str, Any]:
    held = {
        "protocol": study.get("protocol") or {},
        "distributions": {task: facts.get("space") or {} for task, facts in study["tasks"].items()},
        "tasks": {task: {k: v for k, v in facts.items() if k != "space"} for task, facts in study["tasks"].items()},
        "variants": study["variants"],
        "environment": study.get("environment") or {},
        "environments": [json.loads(environment) for environment in environments],
    }
    known = {"format", "seed", *TEXT_ATTRIBUTES, *held}
    held["more"] = {name: value for name, value in study.items() if name not in known}
    attributes: dict[str, Any] = {"title": f"study of {PACKAGE}", "format": int(study["format"])}
    attributes |= {"seed": int(study["seed"])}
    attributes |= {name: _text(study.get(name)) for name in TEXT_ATTRIBUTES}
    attributes["package"] = PACKAGE
    return attributes | {name: json.dumps(value) for name, value in held.items()}
