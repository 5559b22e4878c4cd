"""Where other people's searches come from: an optuna study, or a table; read as they are, and nothing of them imported."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas

from lstm_odyssey.reports.contract.nearest import nearest
from lstm_odyssey.reports.fanova.cases import FanovaError
from lstm_odyssey.reports.fanova.forms import FormError, form, label, numeric
from lstm_odyssey.reports.fanova.space import AxisError, axis

TAKEN = ("status", "chance", "direction", "units", "best_test", "task", "variant", "trial", "epoch", "view")
"""Names that no parameter may have."""


@dataclass
class Search:
    """A search.

    Attributes:
        name: what it is called.
        values: of the trials, NaN where there is none [n].
        parameters: by name, what each trial had, None where it had none.
        forms: by name, the distribution in the stored form.
        maximize: whether larger values are better.
        counts: trials left out, by why.
        sampler: what chose the points, empty where it is not known.
        constant: parameters of one value.
    """

    name: str
    values: list[float]
    parameters: dict[str, list[Any]]
    forms: dict[str, dict[str, Any]]
    maximize: bool
    counts: dict[str, int]
    sampler: str = ""
    constant: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def of_table(
    table: pandas.DataFrame, distributions: Any, value: Any, direction: str | None, wanted: Sequence[str] | None
) -> Search:
    """A table as a search; the arguments are those of ``searched``.

    Raises:
        FanovaError: a column or a distribution is missing.
    """
    if not distributions:
        raise FanovaError(
            "fanova of a DataFrame: got no distributions; expected {column: distribution}. Pass distributions=."
        )
    name = "value" if value is None else value
    for column in (name, *(wanted or distributions)):
        if column not in table.columns or (column != name and column not in distributions):
            fit = nearest(column, list(map(str, table.columns)), "and")
            raise FanovaError(
                f"fanova of a DataFrame: got the column {column!r}; expected some of {fit}, with a distribution."
            )
    values = pandas.to_numeric(table[name], errors="coerce").astype(float).tolist()
    known = {column: [None if _nothing(each) else each for each in table[column]] for column in wanted or distributions}
    search = Search("table", values, {}, {}, direction == "maximize", {"failed": sum(map(math.isnan, values))})
    return _filled(search, known, {column: [distributions[column]] for column in known})


def of_optuna(
    study: Any, distributions: Any, value: Any, direction: str | None, wanted: Sequence[str] | None
) -> Search:
    """An optuna study as a search; the arguments are those of ``searched``.

    Raises:
        FanovaError: it has several objectives, or a parameter several distributions.
    """
    several = len(study.directions) > 1
    if value is None and several:
        raise FanovaError(
            f"study '{study.study_name}': got {len(study.directions)} objectives; expected one of them. Pass value=0, or a "
            "function of a trial."
        )
    target: Callable[[Any], Any] = value if callable(value) else lambda trial: trial.values[value or 0]
    if direction is None:
        direction = "minimize" if callable(value) else study.directions[value or 0].name.lower()
    trials = [trial for trial in study.trials if trial.state.name not in ("RUNNING", "WAITING")]
    ends = [trial.state.name for trial in trials]
    values = [float(target(trial)) if end == "COMPLETE" else math.nan for trial, end in zip(trials, ends, strict=True)]
    counts = {
        "failed": ends.count("FAIL"),
        "pruned": ends.count("PRUNED"),
        "unfinished": len(study.trials) - len(trials),
    }
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    for name in wanted or ():
        if name not in names:
            raise FanovaError(
                f"study '{study.study_name}': got {name!r}; expected some of {nearest(name, names, 'and')}."
            )
    kept = wanted or names
    search = Search(study.study_name, values, {}, {}, direction == "maximize", counts, type(study.sampler).__name__)
    given = {
        name: [distributions[name]] if distributions and name in distributions
        else _different([trial.distributions[name] for trial in trials if name in trial.distributions])
        for name in kept
    }  # fmt: skip
    return _filled(search, {name: [trial.params.get(name) for trial in trials] for name in kept}, given)


def _different(values: list[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _filled(search: Search, known: Mapping[str, list[Any]], given: Mapping[str, list[Any]]) -> Search:
    """The search with its parameters, each with the one distribution it was drawn from."""
    for name, values in known.items():
        if name in TAKEN:
            raise FanovaError(f"parameter '{name}': got a name that is taken; expected another. Rename it.")
        if len(given[name]) > 1:
            found = ", ".join(map(str, given[name][:3]))
            raise FanovaError(
                f"parameter '{name}': got {len(given[name])} distributions ({found}); expected one. Leave it out with "
                "hyperparameters=[...], or state the one of which its values are draws: distributions={...}."
            )
        try:
            stored = form(given[name][0])
            if stored is None:
                search.constant.append(name)
                continue
            axis(stored)
        except (FormError, AxisError) as wrong:
            raise FanovaError(f"parameter '{name}': got {wrong}.") from None
        choices = stored.get("values")
        if choices is not None and not numeric(choices):
            values = [None if value is None and "None" not in choices else label(value) for value in values]
        search.parameters[name], search.forms[name] = values, stored
    return search


def _nothing(value: Any) -> bool:
    return value is None or value is pandas.NA or (isinstance(value, float) and math.isnan(value))
