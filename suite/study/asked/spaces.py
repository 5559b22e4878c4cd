"""Search spaces: what a training can do with a hyperparameter, and a study's own distributions in place of a task's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lstm_odyssey.plugins import registry
from lstm_odyssey.reports.contract.variables import INSTEAD_OF
from lstm_odyssey.study.asked import points
from lstm_odyssey.study.asked.profiles import Profile
from lstm_odyssey.study.asked.settings import SettingsError
from lstm_odyssey.tasks.distributions import Choice, Continuous, Distribution, EvenInteger, distribution_from_dict
from lstm_odyssey.tasks.nearest import nearest
from lstm_odyssey.training.hyperparameters import (
    CONSTANT,
    KNOWN,
    START,
    of_cell,
    trainable,
    unfit_constant,
    unfit_starts,
)

Space = dict[str, Distribution]


def checked(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The ``[space]`` of a study in the form in which it is stored.

    Args:
        asked: distributions as ``Distribution.as_dict`` writes them, by hyperparameter for every task, or by task and
            hyperparameter for one: ``{"momentum": {...}, "bach": {"learning_rate": {...}}}``. The table of a cell has its
            constants, whose ``k.`` may be left out, and starts: ``{"cornn": {"gamma": {...}}}``.

    Raises:
        SettingsError: a name is no hyperparameter, a form is no distribution, or one can draw what no training takes.
    """
    found: dict[str, Any] = {}
    for name, content in _flat(asked).items():
        if trainable(name) is not None:
            found[name] = form_of("space", name, content)
        elif not isinstance(content, Mapping) or "kind" in content:
            raise SettingsError(
                f"space: unknown hyperparameter '{name}'; expected one of {nearest(name, KNOWN)}, or the table of a "
                "task or a cell, [space.TASK]."
            )
        else:
            table = _flat(content)
            if name in registry.variant_names():
                table = {inner if trainable(inner) else f"{CONSTANT}{inner}": form for inner, form in table.items()}
            for inner in table:
                if trainable(inner) is None:
                    raise SettingsError(
                        f"space.{name}: unknown hyperparameter '{inner}'; expected one of {nearest(inner, KNOWN)}."
                    )
            found[name] = {inner: form_of(f"space.{name}", inner, form) for inner, form in table.items()}
    return found


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table in which ``start.b.f`` is one name, which TOML reads as three tables unless it is quoted."""

    def opened(name: str, content: Any) -> dict[str, Any]:
        inner = isinstance(content, Mapping) and bool(content) and "kind" not in content
        if not inner or not f"{name}.".startswith((START, CONSTANT)):
            return {name: content}
        return {key: form for part, held in content.items() for key, form in opened(f"{name}.{part}", held).items()}

    return {key: form for name, content in table.items() for key, form in opened(name, content).items()}


def form_of(where: str, name: str, content: Any) -> dict[str, Any]:
    """A distribution in the form in which it is stored; ``SettingsError`` if it can draw what no training takes."""
    if not isinstance(content, Mapping):
        example = '{kind = "log_uniform", low = 1e-4, high = 1e-2}'
        raise SettingsError(f"{where}: {name} is {content!r}; expected a distribution, as {name} = {example}.")
    try:
        distribution = distribution_from_dict(content)
    except ValueError as error:
        raise SettingsError(f"{where}: {name}: {error}") from None
    takes = trainable(name)
    assert takes is not None
    levels = isinstance(distribution, Choice | EvenInteger)
    for value in ends(distribution):
        if not takes.takes(value) or ((takes.whole or takes.truth) and not levels):
            raise SettingsError(
                f"{where}: {name} is {distribution}, which can be {value:.6g}; a training takes {takes.words}. "
                "Give a distribution within."
            )
    if takes.whole and isinstance(distribution, Choice):
        distribution = Choice(tuple(int(value) for value in distribution.values))  # 64.0 of a file is the size 64
    return distribution.as_dict()


def ends(distribution: Distribution) -> tuple[float, ...]:
    """Values between or among which all draws lie."""
    if isinstance(distribution, Choice):
        return distribution.values
    if isinstance(distribution, EvenInteger):
        return tuple(2 * round(end / 2) for end in distribution.distribution.support)
    return distribution.support if isinstance(distribution, Continuous) else ()


def refuse_strange(asked: Mapping[str, Any], tasks: Iterable[str], variants: Iterable[str]) -> None:
    """Raise ``SettingsError`` if ``[space]`` has a table for something that is no task or cell of the study, or if that of a
    cell has what all cells have.
    """
    known, cells = list(tasks), list(variants)
    for name, content in asked.items():
        if trainable(name) is None and name not in [*known, *cells]:
            raise SettingsError(
                f"space.{name}: neither a hyperparameter nor a task or cell of this study; expected one of "
                f"{nearest(name, [*KNOWN, *known, *cells])}."
            )
        if name in cells and name not in known:
            for inner, form in content.items():
                _refuse_second(asked, cells, name, inner, form)
            for inner in (inner for inner in content if not of_cell(inner)):
                raise SettingsError(
                    f"space.{name}: {inner} is one that all cells have; expected constants of the cell, or start.PARAMETER. "
                    "Write it in [space] or in the table of a task."
                )


def _refuse_second(asked: Mapping[str, Any], cells: Sequence[str], cell: str, name: str, form: Any) -> None:
    """Raise ``SettingsError`` if what a cell's table has is drawn otherwise elsewhere: one name has one distribution."""
    elsewhere = {f"space.{other}": asked.get(other, {}).get(name, form) for other in cells}
    elsewhere |= {"space": asked.get(name, form)}
    for where, other in elsewhere.items():
        if other != form:
            one, two = distribution_from_dict(form), distribution_from_dict(other)
            raise SettingsError(
                f"space.{cell}: {name} is {one}, and {where} has {two}; expected one distribution, as a study has one column "
                f"for {name}. Give both the same, or make two studies."
            )


def refuse_unfit(study: Mapping[str, Any], protocol: Mapping[str, Any]) -> None:
    """Raise ``SettingsError`` if a study's variants or its protocol contradict what is drawn.

    Args:
        study: as it is stored, with the space of each task.
        protocol: the options that were chosen for it.
    """
    drawn: dict[str, str] = {}
    if "points" in study:
        drawn = dict.fromkeys(points.hyperparameters(study["points"]), study["points"]["file"])
    for task, facts in study["tasks"].items() if "points" not in study else ():
        drawn |= dict.fromkeys(facts["space"], f"the space of task '{task}'")
    for name, option in INSTEAD_OF.items():
        if name in drawn and option in protocol:
            raise SettingsError(
                f"protocol: {option} is {protocol[option]!r}, and {drawn[name]} has {name}, which decides the same for each "
                "trial; expected one of them. Leave one out."
            )
    for variant, facts in study["variants"].items():
        for where, name, values in _asked_of(study, variant):
            wrong = unfit_starts([name], facts["parameters"]) or unfit_constant(
                name, values, facts.get("constants", {})
            )
            if wrong:
                raise SettingsError(
                    f"variant '{variant}': {where} holds what it has no place for: {wrong}. Leave one out."
                )


def _asked_of(study: Mapping[str, Any], variant: str) -> Iterator[tuple[str, str, Sequence[Any]]]:
    """Where a variant's hyperparameters come from, their names, and values of each among which all are."""
    if "points" in study:
        rows = [row for task in study["tasks"] for row in points.rows(study["points"], task, variant)]
        for name in dict.fromkeys(name for row in rows for name in row):
            yield study["points"]["file"], name, [row[name] for row in rows if name in row]
        return
    spaces = {f"the space of task '{task}'": facts["space"] for task, facts in study["tasks"].items()}
    spaces[f"[space.{variant}]"] = study["variants"][variant].get("space", {})
    for where, space in spaces.items():
        for name, form in space.items():
            yield where, name, ends(distribution_from_dict(form))


def of_task(
    name: str,
    own: Mapping[str, Distribution],
    profile: Profile,
    asked: Mapping[str, Any],
    narrowed: Mapping[str, Distribution] | None = None,
) -> tuple[Space, str]:
    """The space a study draws from on a task, and a note that says what of it is not the task's own.

    A study's table for the task goes before its table for every task, this before the profile, this before the task.

    Args:
        name: of the task.
        own: the space that the task declares.
        profile: of the study.
        asked: the study's ``[space]``, as ``checked`` gives it.
        narrowed: what the task has in place of the profile's distributions, where the profile has any.
    """
    offered = {**profile.space, **(narrowed or {})} if profile.space else {}
    chosen = {key: form for key, form in asked.items() if trainable(key) is not None} | asked.get(name, {})
    space = {key: offered.get(key, distribution) for key, distribution in own.items()}
    notes = [profile.note] if any(key in own for key in offered if key not in chosen) else []
    space |= {key: distribution_from_dict(form) for key, form in chosen.items()}
    changed = [key for key in space if key in chosen and space[key] != own.get(key)]
    if changed:
        notes.append(f"{', '.join(changed)} as chosen for this study")
    return space, "; ".join(notes)
