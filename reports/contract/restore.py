"""The way back from a dataset to what a store holds: ``restore`` undoes ``schema.build``, or says what does not fit."""

from __future__ import annotations

import math
from typing import Any

import numpy
import xarray

from lstm_odyssey.reports.contract.schema import build
from lstm_odyssey.reports.contract.validation import SchemaError, attribute, error, hyperparameters
from lstm_odyssey.reports.contract.variables import (
    BOOLEAN,
    CURVE,
    JSON_ATTRIBUTES,
    PACKAGE,
    TEXT_ATTRIBUTES,
    TRIAL,
    VARIABLES,
    VIEWS,
    WHOLE,
    WHOLE_ATTRIBUTES,
)

Made = tuple[dict[str, Any], list[dict[str, Any]]]

DISTRUST = "The file was changed after it was written, or is not to be trusted."


def restore(dataset: xarray.Dataset) -> Made:
    """The study and its trials from which ``build`` makes this very dataset.

    A study restored this way is one that ``build`` turns into the same values again, so what contradicts itself (a
    checksum that the attributes give otherwise, a seed that differs from the study's) does not get through.

    Args:
        dataset: a valid one, as ``schema.load`` or ``schema.build`` give it.

    Returns:
        The content of ``study.json`` without its token, and that of the trials' files in the order of the dataset.

    Raises:
        SchemaError: a value cannot be, or does not follow from the rest; the variable and both values are named.
    """
    study = _study(dataset)
    values = {str(name): variable.values for name, variable in dataset.variables.items()}
    environments = attribute(dataset, "environments")
    drawn = {name: dataset[name].attrs.get("values", "") for name in hyperparameters(dataset)}
    ended = zip(*(axis.tolist() for axis in numpy.nonzero(values["status"] != "missing")), strict=True)
    trials = [_trial(values, drawn, environments, study["format"], cell) for cell in ended]
    try:
        again = build(study, trials)
    except SchemaError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as wrong:
        raise error(
            "attributes 'tasks' and 'variants'", f"what makes no study ({wrong})", "a study", DISTRUST
        ) from wrong
    _compare(dataset, again)
    return study, trials


def _study(dataset: xarray.Dataset) -> dict[str, Any]:
    held = {name: attribute(dataset, name) for name in JSON_ATTRIBUTES}
    for name in ("protocol", "distributions", "tasks", "variants", "environment", "more"):
        if not isinstance(held[name], dict):
            raise error(f"attribute '{name}'", repr(held[name])[:60], "a JSON object", DISTRUST)
    for name in ("distributions", "tasks", "variants"):
        for key, value in held[name].items():
            if not isinstance(value, dict):
                raise error(f"attribute '{name}' of '{key}'", repr(value)[:60], "a JSON object", DISTRUST)
    study: dict[str, Any] = {"format": int(dataset.attrs["format"]), "package": PACKAGE}
    study |= {name: dataset.attrs[name] for name in TEXT_ATTRIBUTES} | held["more"]
    study |= {"seed": int(dataset.attrs["seed"]), "protocol": held["protocol"], "environment": held["environment"]}
    spaces = held["distributions"]
    study["tasks"] = {name: facts | {"space": spaces.get(name, {})} for name, facts in held["tasks"].items()}
    study["variants"] = held["variants"]
    trials = study.get("trials")
    if not isinstance(trials, int) or isinstance(trials, bool) or trials < 1:
        raise error("attribute 'more'", f"trials = {trials!r}", "a whole number of at least 1", DISTRUST)
    labels: dict[str, list[Any]] = {"task": list(study["tasks"]), "variant": list(study["variants"])}
    for dim, expected in labels.items():
        if dataset[dim].values.tolist() != expected:
            raise error(f"dimension '{dim}'", f"{dataset[dim].values.tolist()}"[:60], f"{expected}"[:60], DISTRUST)
    if dataset.sizes["trial"] != trials:
        raise error("dimension 'trial'", f"{dataset.sizes['trial']} trials", f"{trials}", DISTRUST)
    return study


def _trial(
    values: dict[str, Any], drawn: dict[str, str], environments: Any, written: int, cell: tuple[int, ...]
) -> dict[str, Any]:
    """What the file of one trial holds."""
    task, variant, index = (values[dim][at].item() for dim, at in zip(TRIAL, cell, strict=True))
    where = f"at task '{task}', variant '{variant}', trial {index}"
    record: dict[str, Any] = {"format": written, "task": task, "variant": variant, "trial": index}
    for stored in (stored for stored in VARIABLES if stored.dims == TRIAL):
        value = values[stored.name][cell].item()
        if stored.kind == "number":
            value = _number(value, stored.name, where)
        if stored.whole and value is not None:
            if value != int(value):
                raise error(f"variable '{stored.name}' {where}", str(value), "a whole number", DISTRUST)
            value = int(value)
        record[stored.name] = value
    count = len(environments) if isinstance(environments, list) else 0
    place = record["environment"]
    if not 0 <= place < count or not isinstance(environments[place], dict):
        raise error(
            f"variable 'environment' {where}", str(place), f"the place of one of {count} environments", DISTRUST
        )
    record["environment"] = environments[place]
    draws = {name: values[name][cell].item() for name in drawn}
    record["hyperparameters"] = {
        name: _drawn(value, drawn[name])
        for name, value in draws.items()
        if value != "" and (isinstance(value, str) or not math.isnan(value))
    }
    curves = {stored.name: values[stored.name][cell] for stored in VARIABLES if stored.dims == CURVE}
    # a trial's curves end with its last epoch: the one in which it diverged has perhaps no number but its time
    length = 1 + max(int(numpy.flatnonzero(~numpy.isnan(curve)).max(initial=-1)) for curve in curves.values())
    length = max(length, 1 + min(record["epochs"], values["epoch"].size - 1) if record["epochs"] is not None else 0)
    record["curves"] = {
        name: [_number(value, name, where) for value in curve[:length].tolist()] for name, curve in curves.items()
    }
    views = {}
    for place, name in enumerate(values["view"].tolist() if "view" in values else ()):
        best, curve = (values[stored.name][*cell, ..., place] for stored in VIEWS)
        if not numpy.isnan([best, *curve]).all():
            scored = [_number(value, f"test_view of '{name}'", where) for value in curve[:length].tolist()]
            views[name] = {"best_test": _number(best.item(), f"best_test_view of '{name}'", where), "test": scored}
    return {**record, "views": views} if views else record


def _drawn(value: Any, kind: str) -> Any:
    """A hyperparameter as it was drawn; one that its kind cannot be stays a number, which the study's draws contradict."""
    if kind == BOOLEAN and value in (0, 1):
        return bool(value)
    return int(value) if kind == WHOLE and value % 1 == 0 else value


def _number(value: float, name: str, where: str) -> float | None:
    if math.isinf(value):
        raise error(f"variable '{name}' {where}", str(value), "a finite number, or none", DISTRUST)
    return None if math.isnan(value) else value


def _compare(dataset: xarray.Dataset, again: xarray.Dataset) -> None:
    """Raise unless both hold the same values; how variables are described in words may differ from version to version."""
    for name in sorted(set(map(str, dataset.variables)) ^ set(map(str, again.variables))):
        found = "a variable" if name in dataset.variables else "no such variable"
        other = "no such variable in a study" if name in dataset.variables else "one, as its trials have it"
        raise error(f"variable '{name}'", found, other, DISTRUST)
    for label, variable in again.variables.items():
        name = str(label)
        there = dataset[name]
        if there.shape != variable.shape:
            raise error(f"variable '{name}'", f"shape {there.shape}", f"shape {variable.shape}", DISTRUST)
        text = "U" in (there.dtype.kind, variable.dtype.kind)
        unequal = there.values != variable.values
        if not text:
            unequal &= ~(numpy.isnan(there.values) & numpy.isnan(variable.values))
        if numpy.any(unequal):
            at = tuple(int(index[0]) for index in numpy.nonzero(unequal))
            where = ", ".join(f"{dim} '{again[dim].values[i]}'" for dim, i in zip(variable.dims, at, strict=True))
            raise error(
                f"variable '{name}' at {where}",
                repr(there.values[at].item()),
                repr(variable.values[at].item()),
                DISTRUST,
            )
    for name in (*WHOLE_ATTRIBUTES, *TEXT_ATTRIBUTES):
        if dataset.attrs[name] != again.attrs[name]:
            raise error(f"attribute '{name}'", repr(dataset.attrs[name]), repr(again.attrs[name]), DISTRUST)
    for name in JSON_ATTRIBUTES:
        if attribute(dataset, name) != attribute(again, name):
            raise error(f"attribute '{name}'", dataset.attrs[name][:60], again.attrs[name][:60], DISTRUST)
