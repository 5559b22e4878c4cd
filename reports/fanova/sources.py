"""Where other people's searches come from: an optuna study, or a table; read as they are, and nothing of them imported."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import pandas
from numpy import complexfloating

from lstm_odyssey.reports.contract.nearest import nearest
from lstm_odyssey.reports.fanova.cases import FanovaError
from lstm_odyssey.reports.fanova.forms import FormError, form, label, numeric
from lstm_odyssey.reports.fanova.space import AxisError, axis

TAKEN = ("status", "chance", "direction", "units", "best_test", "task", "variant", "trial", "epoch", "view")
"""Names that no parameter may have."""

FAILED = "a number, or NaN where a trial failed. Take out what is none, or set it to NaN"
DRAWN = "a number, as its distribution has them. Convert it, or state choices: distributions={...}"
"""What values and parameters may be, and what to do."""


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
    """A table as a search; the arguments are those of ``searched``. A column whose label is no text goes by its text.

    Raises:
        FanovaError: a column or a distribution is missing, or a value is no number.
    """
    if not isinstance(distributions, Mapping) or not distributions:
        got = f"a {type(distributions).__name__}" if distributions else "no distributions"
        raise FanovaError(f"fanova of a DataFrame: got {got}; expected {{column: distribution}}. Pass distributions=.")
    columns, given = [str(label) for label in table.columns], {str(name): one for name, one in distributions.items()}
    name, names = "value" if value is None else str(value), [str(each) for each in wanted or given]
    if callable(value) or name not in columns:
        got = "a function" if callable(value) else f"no column {name!r}"
        raise FanovaError(
            f"value of a DataFrame: got {got}; expected the column of the results, one of {nearest(name, columns)}. Pass "
            "value='COLUMN'."
        )
    for column in names:
        if column not in columns or column not in given:
            fit = nearest(
                column, [each for each in (columns if column not in columns else given) if each != name], "and"
            )
            lacks = "no such column" if column not in columns else "no distribution of it"
            raise FanovaError(f"parameter {column!r}: got {lacks}; expected some of {fit}. Correct the name.")
        if column == name:
            raise FanovaError(
                f"parameter {column!r}: got the column of the results; expected a parameter. Leave it out of distributions, "
                "or pass value='COLUMN', the column of the results."
            )
    for column in (name, *names):
        if columns.count(column) > 1:
            raise FanovaError(
                f"column {column!r}: got {columns.count(column)} of that name; expected one. Rename or drop the others."
            )
    known = {column: list(table.iloc[:, columns.index(column)]) for column in (name, *names)}
    values = [math.nan if _nothing(each) else number(f"column {name!r}, row {row}", each, FAILED)
              for row, each in zip(table.index, known.pop(name), strict=True)]  # fmt: skip
    known = {column: [None if _nothing(each) else each for each in found] for column, found in known.items()}
    search = Search("table", values, {}, {}, direction == "maximize", {"failed": sum(map(math.isnan, values))})
    return _filled(search, known, {column: [given[column]] for column in known})


def of_optuna(
    study: Any, distributions: Any, value: Any, direction: str | None, wanted: Sequence[str] | None
) -> Search:
    """An optuna study as a search; the arguments are those of ``searched``.

    Raises:
        FanovaError: it has several objectives, or a parameter several distributions.
    """
    count = len(study.directions)
    if value is None and count > 1:
        raise FanovaError(
            f"study '{study.study_name}': got {count} objectives; expected one of them. Pass value=0, or a function of a trial."
        )
    whole = isinstance(value, Integral) and not isinstance(value, bool) and int(value) in range(count)
    if not (value is None or whole or callable(value)):
        raise FanovaError(
            f"value of study '{study.study_name}': got {value!r:.60}; expected the number of an objective, "
            f"{' or '.join(map(str, range(count)))}, or a function of a trial. Pass one."
        )
    _mapped(distributions)
    target: Callable[[Any], Any] = value if callable(value) else lambda trial: trial.values[value or 0]
    if direction is None:
        direction = "minimize" if callable(value) else study.directions[value or 0].name.lower()
    trials = [trial for trial in study.trials if trial.state.name not in ("RUNNING", "WAITING")]
    ends = [trial.state.name for trial in trials]
    subject = "value" if callable(value) else f"study '{study.study_name}'"
    values = [
        number(f"{subject} of trial {trial.number}", target(trial), FAILED) if end == "COMPLETE" else math.nan
        for trial, end in zip(trials, ends, strict=True)
    ]
    lost = sum(end == "COMPLETE" and math.isnan(found) for end, found in zip(ends, values, strict=True))
    counts = {
        "failed": ends.count("FAIL") + lost,
        "pruned": ends.count("PRUNED"),
        "unfinished": len(study.trials) - len(trials),
    }
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    for name in (wanted or ()) if names else ():
        if name not in names:
            raise FanovaError(
                f"study '{study.study_name}': got {name!r}; expected some of {nearest(name, names, 'and')}."
            )
    kept = (wanted or names) if names else ()
    search = Search(study.study_name, values, {}, {}, direction == "maximize", counts, type(study.sampler).__name__)
    given = {
        name: [distributions[name]] if distributions and name in distributions
        else _different([trial.distributions[name] for trial in trials if name in trial.distributions])
        for name in kept
    }  # fmt: skip
    return _filled(search, {name: [trial.params.get(name) for trial in trials] for name in kept}, given)


def number(subject: str, value: Any, expected: str) -> float:
    """A real number as a float; a text that says one counts, and a truth value.

    Raises:
        FanovaError: it is none; a complex number is none either.
    """
    if not isinstance(value, complex | complexfloating) and value is not None:
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
    raise FanovaError(f"{subject}: got {value!r:.60}; expected {expected}.")


def _mapped(distributions: Any) -> None:
    if distributions is not None and not isinstance(distributions, Mapping):
        raise FanovaError(
            f"distributions: got a {type(distributions).__name__}; expected {{name: distribution}}. Pass a dict."
        )


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
        else:
            values = [None if value is None else number(f"parameter '{name}'", value, DRAWN) for value in values]
        search.parameters[name], search.forms[name] = values, stored
    return search


def _nothing(value: Any) -> bool:
    return (
        value is None or value is pandas.NA or value is pandas.NaT or (isinstance(value, float) and math.isnan(value))
    )
