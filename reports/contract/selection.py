"""A selection of a study is a study: what every function that takes one makes of what it is given.

``study.sel(task="bach")`` has no dimension ``task`` left, ``study.isel(trial=[5, 2])`` another order, and the attributes of
either still tell of all that there was. ``as_study`` is the one place where this is mended, or said.
"""

from __future__ import annotations

import json
from typing import Any

import numpy
import xarray

from lstm_odyssey.reports.contract.nearest import nearest
from lstm_odyssey.reports.contract.validation import attribute, error, refuse_foreign
from lstm_odyssey.reports.contract.variables import DIMENSIONS, TRIAL, VARIABLES, VIEWS

DIMS = {stored.name: stored.dims for stored in (*VARIABLES, *VIEWS)}

LABELLED = {"tasks": "task", "distributions": "task", "variants": "variant"}
"""The attributes that tell of each label of a dimension, and which."""

COUNTERS = ("trial", "epoch")
"""Dimensions whose labels count, so that their order is their own."""


def as_study(given: Any, *needed: str) -> xarray.Dataset:
    """The study that a dataset is: the dataset itself, or the selection of one with its dimensions, order and facts restored.

    * A dimension that a selection by one label took away is there again, with that label.
    * Variables have their dimensions in the schema's order, trials and epochs stand in their own order.
    * The attributes tell of the tasks and cells that are left.

    Args:
        given: a study, or what ``sel``, ``isel``, ``transpose`` or ``sortby`` made of it.
        needed: variables that the caller reads.

    Raises:
        SchemaError: it is no dataset, or no study; a dimension or a variable is gone for good; nothing is selected, or one
            label twice.
    """
    refuse_foreign(given)
    study: xarray.Dataset = given
    viewed = "view" in study.coords or any(stored.name in study.data_vars for stored in VIEWS)
    for dim in (*DIMENSIONS, "view") if viewed else DIMENSIONS:
        study = _with_dimension(study, dim)
        labels = study[dim].values
        if labels.size == 0 or not study.indexes[dim].is_unique:
            found = "no label" if labels.size == 0 else f"{', '.join(map(str, labels[:5]))}, one of them twice"
            raise error(f"dimension '{dim}'", found, "one or more labels, each once", "Select others.")
        if dim in COUNTERS and not study.indexes[dim].is_monotonic_increasing:
            study = study.sortby(dim)
    for name in needed:
        if name not in study.data_vars:
            cure = "Pass the study as open_study gives it, or a selection that keeps this variable."
            raise error(f"variable '{name}'", "no such variable", "one of a study", cure)
    if any(set(study[name].dims) == set(dims) and study[name].dims != dims for name, dims in _dims(study).items()):
        study = study.transpose(*DIMENSIONS, ...)
    return _with_facts(_with_views(study) if viewed else study)


def _with_views(study: xarray.Dataset) -> xarray.Dataset:
    """The dataset without the views of which it has no number, as those of a task that was not selected."""
    held = [stored.name for stored in VIEWS if stored.name in study.data_vars]
    known = {
        label
        for name in held
        for label in study["view"].values[
            study[name].notnull().any([d for d in study[name].dims if d != "view"]).values
        ]
    }
    if not known:
        return study.drop_vars(held).drop_vars("view")
    kept = [label for label in study["view"].values.tolist() if label in known]
    return study if len(kept) == study.sizes["view"] else study.sel(view=kept)


def refuse_absent(study: xarray.Dataset, dim: str, *names: str) -> None:
    """Raise ValueError at a task or cell that is not in the study; the message names the nearest."""
    labels = study[dim].values.tolist()
    for name in names:
        if name not in labels:
            raise ValueError(
                f"{dim} '{name}': not in the study; expected some of {nearest(name, labels, 'and')}. Leave it out."
            )


def _dims(study: xarray.Dataset) -> dict[str, tuple[str, ...]]:
    """The dimensions that the variables of a study have, whatever they have now."""
    found = {}
    for name, variable in study.data_vars.items():
        drawn = variable.attrs.get("role") == "hyperparameter"
        found[str(name)] = DIMS.get(str(name), TRIAL if drawn else tuple(map(str, variable.dims)))
    return found


def _with_dimension(study: xarray.Dataset, dim: str) -> xarray.Dataset:
    """The dataset with a dimension that it may have lost to a selection by one label."""
    if dim in study.dims and dim in study.indexes:
        return study
    if dim in study.dims or dim not in study.coords or study[dim].ndim:
        found = "labels on another dimension" if dim in study.coords and study[dim].ndim else "no labels"
        cure = f"Select without drop=True, as study.sel({dim}=[...]), and undo stack and swap_dims."
        raise error(f"dimension '{dim}'", found, "the dimension, or the one label that was selected", cure)
    label, known = study[dim], _dims(study)
    study = study.drop_vars(dim)
    grown = {name: study[name].expand_dims(dim) for name, dims in known.items() if dim in dims}
    labels = numpy.array([label.item()])
    return study.assign(grown).assign_coords({dim: (dim, labels, label.attrs)})


def _with_facts(study: xarray.Dataset) -> xarray.Dataset:
    """The dataset whose attributes tell of its own tasks, cells and trials alone, in their order."""
    told: dict[str, Any] = {}
    for name, dim in LABELLED.items():
        facts, labels = attribute(study, name), study[dim].values.tolist()
        if isinstance(facts, dict) and list(facts) != labels and set(labels) <= set(facts):
            told[name] = {label: facts[label] for label in labels}
    trials, more = study["trial"].values.tolist(), attribute(study, "more")
    count = more.get("trials") if isinstance(more, dict) else None
    if isinstance(count, int) and count != len(trials) and trials == list(range(len(trials))):
        told["more"] = more | {"trials": len(trials)}  # the first so many: the same study, asked for less
    if not told:
        return study
    return study.assign_attrs({name: json.dumps(value) for name, value in told.items()})
