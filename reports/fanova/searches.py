"""Other people's searches as what ``fanova`` takes: an optuna study, or a table of parameters and values.

Shares assume that parameters were drawn at random, one independently of another, from the stated distributions. What a search
says of its sampler is told, and each parameter's values are held to its distribution.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy
import pandas
import xarray

from lstm_odyssey.reports.contract.nearest import nearest
from lstm_odyssey.reports.contract.validation import error
from lstm_odyssey.reports.contract.variables import DIRECTIONS, PACKAGE, TRIAL
from lstm_odyssey.reports.fanova.cases import FanovaError
from lstm_odyssey.reports.fanova.forms import numeric
from lstm_odyssey.reports.fanova.sources import Search, of_optuna, of_table
from lstm_odyssey.reports.fanova.space import ABSENT, Axis, AxisError, Continuous, WithAbsent, axis

VARIANT = "search"
"""The one label of ``variant``."""

AT_RANDOM = ("RandomSampler", "QMCSampler")
"""optuna's samplers whose points are spread as the distributions say."""

UNLIKELY = 1e-3
"""Below this probability, divided among the parameters, values are said not to be spread as stated."""


def searched(
    given: Any,
    *,
    distributions: Mapping[str, Any] | None,
    value: Any,
    direction: str | None,
    absent: str,
    failed: float | None,
    names: str | Sequence[str] | None,
) -> Search:
    """What a search holds; the arguments are those of ``fanova``, ``names`` its hyperparameters.

    Raises:
        SchemaError: it is neither a study nor a search.
        FanovaError: it is a search that cannot be analysed; the message says why.
    """
    if not isinstance(absent, str) or absent not in ("refuse", "level"):
        raise FanovaError(f"absent: got {absent!r:.60}; expected 'refuse' or 'level'.")
    if direction is not None and (not isinstance(direction, str) or direction not in DIRECTIONS):
        raise FanovaError(f"direction: got {direction!r:.60}; expected one of {nearest(direction, DIRECTIONS)}.")
    is_number = isinstance(failed, Real) and not isinstance(failed, bool)
    if failed is not None and not (is_number and math.isfinite(failed)):
        raise FanovaError(f"failed: got {failed!r:.60}; expected a number, the value at which failed trials stand.")
    if names is not None and not isinstance(names, Iterable):
        raise FanovaError(f"hyperparameters: got {names!r:.60}; expected names. Write them as a list of texts.")
    wanted = [names] if isinstance(names, str) else names if names is None else list(names)
    if isinstance(given, pandas.DataFrame):
        search = of_table(given, distributions, value, direction, wanted)
    elif type(given).__module__.partition(".")[0] == "optuna" and hasattr(given, "trials"):
        search = of_optuna(given, distributions, value, direction, wanted)
    else:
        cure = "Open a stored study with lo.open_study; put trials into a study by optuna's add_trials."
        expected = "a stored study, a study of optuna or a pandas.DataFrame with distributions"
        raise error("study", f"{type(given).__name__} {repr(given).splitlines()[0]:.40}", expected, cure)
    if not search.values:
        raise FanovaError(f"search '{search.name}': got no trials; expected some that have ended. Run it first.")
    if not search.parameters:
        raise FanovaError(f"search '{search.name}': got no parameter of more than one value; expected one or more.")
    search.counts["infinite"] = sum(map(math.isinf, search.values))
    _complete(search, absent)
    _spread(search)
    return search


def _complete(search: Search, absent: str) -> None:
    """A parameter that only some finished trials have is refused, or its absence is a level of its own."""
    finished = [math.isfinite(value) for value in search.values]
    total, lacking = sum(finished), {}
    for name, values in search.parameters.items():
        without = sum(end and value is None for end, value in zip(finished, values, strict=True))
        if without:
            lacking[name] = without
    if lacking and absent == "refuse":
        told = ", ".join(f"'{name}' in {total - without} of {total} trials" for name, without in lacking.items())
        raise FanovaError(
            f"search '{search.name}': got parameters that only some trials have ({told}); expected all in each. Pass "
            "absent='level' to take having none as a level of its own, or leave them out with hyperparameters=[...]."
        )
    for name, without in lacking.items():
        inner = search.forms[name]
        if without == total:
            raise FanovaError(f"parameter '{name}': got no finished trial that has it; expected some. Leave it out.")
        search.forms[name] = {"kind": "absent", "share": without / total, "distribution": inner}
        search.remarks.append(
            f"'{name}' is absent from {without} of {total} trials: its own level of that probability, as if drawn on its own"
        )


def _spread(search: Search) -> None:
    """Say, and warn, what was not drawn as the shares assume."""
    from scipy.stats import kstwo

    off = []
    for name, stored in search.forms.items():
        column = _column(search, name)[numpy.isfinite(search.values)]
        if not column.size:
            continue
        try:
            own = axis(stored)
            distance, (there, continuous) = own.distance(column), _within(own, column)
        except AxisError as wrong:
            raise FanovaError(f"parameter '{name}': got {wrong}; expected values of its distribution.") from None
        constant = continuous and there.size > 1 and numpy.ptp(there) == 0  # of probability 0, however few they are
        if constant or kstwo.sf(distance, there.size) < UNLIKELY / len(search.forms):
            off.append(f"'{name}'")
    said = []
    if search.sampler and search.sampler not in AT_RANDOM:
        said.append(
            f"the sampler of search '{search.name}' is {search.sampler}, which chooses points by what it has seen"
        )
    if off:
        said.append(f"the values of {', '.join(off)} are not spread as the stated distributions")
    if said:
        text = (
            "; ".join(said)
            + ": shares are still of the whole stated space, most of which the forest has seen little of"
        )
        search.remarks.append(text)
        warnings.warn(f"functional ANOVA: {text}", stacklevel=5)


def _within(given: Axis, values: numpy.ndarray[Any, Any]) -> tuple[numpy.ndarray[Any, Any], bool]:
    """The values that trials have, and whether they have a density; none lies beyond it: it would be taken for its end."""
    inner = given.inner if isinstance(given, WithAbsent) else given
    there = values[numpy.isfinite(values)] if values.dtype.kind == "f" else values
    if not isinstance(inner, Continuous):
        return there, False
    low, high = inner.quantile([0.0, 1.0])
    outside = there[(there < low - 1e-9 * abs(low)) | (there > high + 1e-9 * abs(high))]
    if outside.size:
        raise AxisError(f"{outside[0]:g}, which lies outside [{low:g}, {high:g}]")
    return there, True


def refuse_of_a_study(**given: Any) -> None:
    """Raise at an option of a study that is given, and not as it is by default, with a search."""
    for name, (value, usual) in given.items():
        if value is not usual and not (isinstance(value, str) and value == usual):
            raise FanovaError(
                f"fanova of a search: got {name}={value!r:.40}; expected none, as a search has one response and no tasks or "
                f"variants. Leave {name} out{'; value= says what is explained' if name == 'response' else ''}."
            )


def too_few(search: Search, most: int, fewest: int) -> FanovaError:
    """What is raised where fewer trials than ``fewest`` have a value."""
    left = ", ".join(f"{count} {why}" for why, count in search.counts.items() if count)
    got = f"{most} trials with a value among {len(search.values)}{f' ({left})' if left else ''}"
    return FanovaError(
        f"search '{search.name}': got {got}; expected {fewest} or more.",
        "Run more, or pass failed=, the value at which failed trials are to stand, or fewest=.",
    )


def as_study(search: Search, failed: float | None) -> xarray.Dataset:
    """The search as a study of one task and one cell, for ``fanova`` alone.

    With ``failed``, trials that did not finish, and values beyond it, stand at that value.
    """
    values = numpy.array(search.values)
    lost = "failed" if failed is None else "diverged"
    status = numpy.where(numpy.isfinite(values), "ok", lost).astype(object)
    variables: dict[str, Any] = {
        "status": (TRIAL, status[None, None]),
        "best_test": (TRIAL, values[None, None]),
        "chance": ("task", [math.nan if failed is None else failed]),
        "direction": ("task", ["maximize" if search.maximize else "minimize"]),
        "units": ("task", ["1"]),
    }
    for name in search.forms:
        words = {"role": "hyperparameter", "long_name": name, "units": "1"}
        variables[name] = (TRIAL, _column(search, name)[None, None], words)
    attributes = {
        "package": PACKAGE, "draws": "independent", "more": "{}", "search": search.name,
        "tasks": json.dumps({search.name: {}}), "variants": json.dumps({VARIANT: {}}),
        "distributions": json.dumps({search.name: search.forms}),
    }  # fmt: skip
    coordinates = {"task": [search.name], "variant": [VARIANT], "trial": numpy.arange(values.size), "epoch": [0]}
    return xarray.Dataset(variables, coordinates, attributes)


def told(search: Search, found: xarray.Dataset, value: Any) -> xarray.Dataset:
    """The result of a search: without the dimensions of studies, with what was left out and what must be known."""
    found = found.isel(task=0, variant=0)
    counts = {why: count for why, count in search.counts.items() if count}
    stand = found["n_diverged"].item()
    remarks = [f"{', '.join(f'{count} {why}' for why, count in counts.items())} trials"] if counts else []
    if remarks:
        remarks[0] += (
            f": {stand} stand at {found['ceiling'].item():g}, the others are left out" if stand else " left out"
        )
    remarks += search.remarks
    if search.constant:
        remarks.append(f"one value alone: {', '.join(search.constant)}")
    notes = ["; ".join(part for part in (str(note), *remarks) if part) for note in found["note"].values]
    found["note"] = (found["note"].dims, numpy.array(notes, str), found["note"].attrs)
    every = {f"n_{why}": count for why, count in search.counts.items()}
    name = value if isinstance(value, str) else "value"
    return found.assign_attrs({**every, "sampler": search.sampler, "response": name})


def _column(search: Search, name: str) -> numpy.ndarray[Any, Any]:
    """A parameter's values as an array: numbers, or names; ``ABSENT`` where a trial has none."""
    values, stored = search.parameters[name], search.forms[name]
    names = stored.get("distribution", stored).get("values")
    if names is not None and not numeric(names):
        return numpy.array([ABSENT if value is None else value for value in values], str)
    return numpy.array([-math.inf if value is None else float(value) for value in values])
