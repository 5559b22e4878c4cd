"""What a dataset must be to count as a study: ``validate`` and the error it raises."""

from __future__ import annotations

import json
from typing import Any

import numpy
import xarray

from lstm_odyssey.reports.contract.variables import (
    DIMENSIONS,
    DIRECTIONS,
    FORMAT,
    FROM_FILE,
    JSON_ATTRIBUTES,
    PACKAGE,
    STATUSES,
    TEXT_ATTRIBUTES,
    TRIAL,
    VARIABLES,
    VIEWS,
    WHOLE_ATTRIBUTES,
    Variable,
)


class SchemaError(ValueError):
    """A stored study is not what the schema says; the message names the part, what was expected and what was found."""


def error(subject: str, found: str, expected: str, cure: str = "Write the study again from its store.") -> SchemaError:
    """The one form of every error of the schema: subject, found, expected, what to do."""
    return SchemaError(f"{subject}: found {found}, expected {expected}. {cure}")


def refuse_newer(found: Any, subject: str) -> None:
    """Raise if a format number is not one that this package can read."""
    try:
        number = int(found)
    except (TypeError, ValueError):
        raise error(subject, f"format {found!r}", f"format {FORMAT}") from None
    if number != FORMAT:
        cure = f"It was written by a newer package: update {PACKAGE}." if number > FORMAT else "Write the study again."
        raise error(subject, f"format {number}", f"format {FORMAT}", cure)


def refuse_other(given: Any) -> None:
    """Raise ``SchemaError`` at anything but a dataset, as a path or a table."""
    if not isinstance(given, xarray.Dataset):
        cure = "Open the study with open_study and pass what it returns."
        raise error("study", f"{type(given).__name__} {given!r:.60}", "an xarray.Dataset", cure)


def refuse_foreign(given: Any) -> None:
    """Raise ``SchemaError`` at anything but a dataset of this package."""
    refuse_other(given)
    if given.attrs.get("package") != PACKAGE:
        raise error("attribute 'package'", repr(given.attrs.get("package")), repr(PACKAGE), "Is it a study?")


def validate(dataset: xarray.Dataset) -> None:
    """Raise ``SchemaError`` at the first part of the dataset that is not as the schema says."""
    refuse_foreign(dataset)
    for name in (*WHOLE_ATTRIBUTES, *TEXT_ATTRIBUTES, *JSON_ATTRIBUTES):
        kind = int | numpy.integer if name in WHOLE_ATTRIBUTES else str
        if not isinstance(dataset.attrs.get(name), kind):
            expected = "a whole number" if name in WHOLE_ATTRIBUTES else "a text"
            raise error(f"attribute '{name}'", repr(dataset.attrs.get(name)), expected)
        if name in JSON_ATTRIBUTES:
            attribute(dataset, name)
    refuse_newer(dataset.attrs["format"], "attribute 'format'")
    viewed = any(stored.name in dataset.data_vars for stored in VIEWS) or "view" in dataset.dims
    for dim in (*DIMENSIONS, "view") if viewed else DIMENSIONS:
        if dim not in dataset.dims or dim not in dataset.coords:
            raise error(f"dimension '{dim}'", f"{sorted(map(str, dataset.dims))}", "a dimension with a coordinate")
        if dataset.sizes[dim] == 0 or not dataset.indexes[dim].is_unique:
            raise error(f"dimension '{dim}'", f"{dataset[dim].values.tolist()}", "one or more labels, each once")
    _described(dataset)
    cells = dataset["variant"].values.tolist()
    names = (name for task in dataset["task"].values.tolist() for name in space(dataset, task, *cells))
    drawn = dict.fromkeys([*hyperparameters(dataset), *names])
    kinds = {"number": "f", "whole": "iu", "text": "U"}
    for stored in (*VARIABLES, *(VIEWS if viewed else ()), *(Variable(name, "number", TRIAL, name) for name in drawn)):
        if stored.name not in dataset.data_vars:
            raise error(f"variable '{stored.name}'", "no such variable", f"dimensions {stored.dims}")
        variable = dataset[stored.name]
        if variable.dims != stored.dims:
            raise error(f"variable '{stored.name}'", f"dimensions {variable.dims}", f"dimensions {stored.dims}")
        if variable.dtype.kind not in kinds[stored.kind] + "U" * (stored.name in drawn):
            raise error(f"variable '{stored.name}'", f"dtype {variable.dtype}", f"a {stored.kind}")
        if variable.dtype.kind != "U" and "units" not in variable.attrs:
            raise error(f"variable '{stored.name}'", "no attribute 'units'", "units, '1' for a pure number")
    _measured(dataset, list(drawn))
    for name, allowed in (("status", STATUSES), ("direction", DIRECTIONS)):
        foreign = sorted(set(dataset[name].values.ravel().tolist()) - set(allowed))
        if foreign:
            raise error(f"variable '{name}'", repr(foreign[0]), f"one of {', '.join(allowed)}")
    ended = dataset["status"].values != "missing"
    identifiers = dataset["trial_id"].values[ended].tolist()
    if "" in identifiers or len(set(identifiers)) < len(identifiers):
        found = "an empty one" if "" in identifiers else "one that occurs twice"
        raise error("variable 'trial_id'", found, "one identifier for each trial that was run")
    machines = attribute(dataset, "environments")
    count, places = len(machines) if isinstance(machines, list) else 0, dataset["environment"].values[ended]
    if (beyond := places[(places < -1) | (places >= count)]).size:
        raise error(
            "variable 'environment'", str(beyond[0]), f"the place of one of {count} environments, or -1 for none"
        )
    bare = (dataset["status"].values == "ok") & ~numpy.isfinite(dataset["best_valid"].values)
    if bare.any():
        task, variant, trial = (dataset[dim].values[i[0]] for dim, i in zip(TRIAL, numpy.nonzero(bare), strict=True))
        place = f"variable 'best_valid' at task '{task}', variant '{variant}', trial {trial}"
        raise error(place, "no finite score", "one, since the status is 'ok'")


def _described(dataset: xarray.Dataset) -> None:
    """Each task and each cell has its facts, and each task its distributions."""
    for name, dim in (("tasks", "task"), ("distributions", "task"), ("variants", "variant")):
        facts = attribute(dataset, name)
        for label in dataset[dim].values.tolist():
            found = facts.get(label) if isinstance(facts, dict) else facts
            if not isinstance(found, dict):
                raise error(f"attribute '{name}' for {dim} '{label}'", repr(found)[:60], "a JSON object")
    for task in dataset["task"].values.tolist():
        for name, form in space(dataset, task, *dataset["variant"].values.tolist()).items():
            if not isinstance(form, dict) or not isinstance(form.get("kind"), str):
                raise error(
                    f"distribution of '{name}' on task '{task}'", repr(form)[:60], "an object that says its 'kind'"
                )


def _measured(dataset: xarray.Dataset, drawn: list[str]) -> None:
    """Each value that was drawn has the distribution it was drawn from: it is the measure of every analysis."""
    if str(dataset.attrs.get("draws")) == FROM_FILE:
        return  # rows of a file have no distribution, and no analysis takes them for draws
    for task in dataset["task"].values.tolist():
        common = space(dataset, task)
        for name in (name for name in drawn if name not in common):
            without = [v for v in dataset["variant"].values.tolist() if name not in space(dataset, task, v)]
            values = dataset[name].sel(task=task, variant=without).values
            known = values[values != ""] if values.dtype.kind == "U" else values[~numpy.isnan(values)]
            if known.size:
                place = f"variable '{name}' on task '{task}'"
                raise error(place, f"{known[0]!s} and no distribution", "the distribution it was drawn from")


def space(dataset: xarray.Dataset, task: str, *variants: str) -> dict[str, Any]:
    """The distributions that all cells are drawn from on a task, and those that only some of these cells have."""
    found = dict(attribute(dataset, "distributions").get(task, {}))
    for variant in variants:
        own = attribute(dataset, "variants").get(variant, {}).get("space", {})
        if not isinstance(own, dict):
            raise error(f"space of variant '{variant}'", repr(own)[:60], "a JSON object")
        found |= own
    return found


def attribute(dataset: xarray.Dataset, name: str) -> Any:
    """What an attribute that holds JSON says."""
    try:
        return json.loads(dataset.attrs[name])
    except (KeyError, TypeError, ValueError):
        raise error(f"attribute '{name}'", repr(dataset.attrs.get(name))[:60], "a JSON text") from None


def hyperparameters(dataset: xarray.Dataset) -> list[str]:
    """Names of the variables that were drawn, in the order of the search space."""
    return [str(name) for name, value in dataset.data_vars.items() if value.attrs.get("role") == "hyperparameter"]
