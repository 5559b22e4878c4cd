"""Several studies as one: other tasks, other cells, other people's files, as far as they can be compared at all.

Every study is restored to what its store held, which checks it, and one study is built of all. A cell keeps its name unless two
files have it on one task, or have other equations of that name: then each is a row of its own, with its file in brackets.

Which cells had the same draws is found by ``same_draws``, and trials of the same draw get the same index.

*Two seeds*: files of the same cells with the same draws and other seeds make one row. Order and noise come from the seed, so
trial k of seed j has the index j·n + k, and ``compare`` takes the mean of what each seed gives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import xarray

from lstm_odyssey.reports.contract.draws import ALL, plugins
from lstm_odyssey.reports.contract.restore import restore
from lstm_odyssey.reports.contract.same_draws import CURE, File, Group, Record, grouped
from lstm_odyssey.reports.contract.schema import build
from lstm_odyssey.reports.contract.selection import as_study
from lstm_odyssey.reports.contract.validation import SchemaError, attribute, error, validate
from lstm_odyssey.reports.contract.variables import MEASURED, PACKAGE, TEXT_ATTRIBUTES
from lstm_odyssey.reports.contract.wording import counted, listed

TASK_FACTS = ("checksum", "objective", "bidirectional", "metric", "units", "direction", "space")
"""What two files must say alike of a task for a comparison to be one."""


def refuse_unlike(
    subject: str,
    study: Mapping[str, Any],
    other: Mapping[str, Any],
    cure: str,
    base: str = "",
    /,
    **alike: Sequence[str],
) -> None:
    """Raise ``SchemaError`` unless both have one protocol and, of what both have, the same facts.

    Args:
        subject: how the other is called.
        study, other: contents of ``study.json``.
        cure: what to do.
        base: how the study is called, where not everybody knows.
        alike: of ``tasks`` and ``variants``, which facts must be alike beside the protocol.
    """
    facts = [("protocol", study["protocol"], other["protocol"])]
    for kind, keys in alike.items():
        shared = [name for name in other[kind] if name in study[kind]]
        facts += [
            (f"{key} of '{name}'", study[kind][name].get(key), other[kind][name].get(key))
            for name in shared
            for key in keys
        ]
    for what, expected, found in facts:
        if found == expected:
            continue
        if isinstance(found, dict) and isinstance(expected, dict):  # only what differs of them
            names = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
            expected, found = ({name: each.get(name) for name in names} for each in (expected, found))
        as_there = f", as study '{base}' has" if base else ""
        raise error(f"{subject}, {what}", f"{found}"[:200], f"{expected}"[:200] + as_there, cure)


def combine(studies: Mapping[str, xarray.Dataset]) -> xarray.Dataset:
    """One study of several, by the labels of their files.

    Times are left out of a task whose trials lie in several files and ran on more than one processor. The attribute ``more``
    says under ``combined``: ``files``, with what ran each; ``cells``, by row the cell's own name; ``draws``, by task and row
    the name of its draws; ``planned``, by task and row how many trials its files have or will have; ``trials_of_a_seed``;
    ``processors``, by task where there are several; ``sentence``.

    Args:
        studies: two or more, each as ``open_study`` gives it.

    Raises:
        SchemaError: one is no study or contradicts itself; protocols, or a task's corpus, objective or search space
            differ; some trials were drawn and others chosen.
    """
    files = [_opened(label, study) for label, study in studies.items()]
    first = files[0]
    for other in files[1:]:
        refuse_unlike(f"study '{other.label}'", first.study, other.study, CURE, first.label)
        for before in files[: files.index(other)]:
            refuse_unlike(f"study '{other.label}'", before.study, other.study, CURE, before.label, tasks=TASK_FACTS)
    _refuse_two_measures(files)
    groups = grouped(files)
    each = 1 + max([0, *(number for group in groups for number in group.numbers)])
    each = max(each, *(file.study["trials"] for file in files))
    names = _names(files)
    processors = {task: _processors(files, task) for task in _tasks(files)}
    several = {task: found for task, found in processors.items() if len(found) > 1}
    trials = list(_trials(files, groups, names, each, several))
    spoken: dict[str, dict[str, str]] = {task: {} for task in _tasks(files)}
    for group in groups:
        mine = list(dict.fromkeys(names[file.label, cell] for file, cell in group.cells))
        of_all = {names[key] for key in names if group.task in _of(files, key[0]).study["tasks"]}
        spoken[group.task] |= dict.fromkeys(mine, ALL if set(mine) == of_all else mine[0])
    seeds = 1 + max(file.seed_number for file in files)
    study = _joined(files, names) | {"trials": seeds * each}
    if not all(group.points for group in groups):
        study |= {"draws": "common" if all(set(each.values()) == {ALL} for each in spoken.values()) else "independent"}
        study.pop("points", None)
    study["combined"] = {
        "files": [_facts(file) for file in files], "cells": {row: cell for (_, cell), row in names.items()},
        "draws": spoken, "planned": _planned(files, names), "trials_of_a_seed": each, "processors": several,
        "sentence": _sentence(files, seeds, several),
    }  # fmt: skip
    dataset = build(study, trials)
    for name in MEASURED if several else ():
        dataset[name].attrs["comment"] = f"left out on {listed(several)}: the files ran on several processors"
    return dataset


def _refuse_two_measures(files: list[File]) -> None:
    """Raise ``SchemaError`` if cells of two files have a hyperparameter of their own in common and drew it otherwise."""
    known: dict[str, Any] = {}
    for file in files:
        for cell, facts in file.study["variants"].items():
            for name, form in (facts.get("space") or {}).items():
                if known.setdefault(name, form) != form:
                    raise error(
                        f"study '{file.label}', {name} of '{cell}'", f"{form}"[:200], f"{known[name]}"[:200], CURE
                    )


def _opened(label: str, dataset: xarray.Dataset) -> File:
    try:
        dataset = as_study(dataset)
        validate(dataset)
        if "combined" in attribute(dataset, "more"):
            raise error("study", "several studies in one", "a single one", "Pass the files that it was made of.")
        return File(label, *restore(dataset))
    except SchemaError as wrong:
        raise SchemaError(f"study '{label}': {wrong}") from None


def _tasks(files: Iterable[File]) -> list[str]:
    return list(dict.fromkeys(task for file in files for task in file.study["tasks"]))


def _of(files: Iterable[File], label: str) -> File:
    return next(file for file in files if file.label == label)


def _names(files: list[File]) -> dict[tuple[str, str], str]:
    """What each cell of each file is called: its name, or with its file's label where that is not enough.

    Seeds of the same draws make one row of every cell they have, or none: then each file's are rows of their own.
    """
    signatures: dict[str, set[str]] = {}
    places: Counter[tuple[str, str, int]] = Counter()
    for file in files:
        for name, facts in file.study["variants"].items():
            signatures.setdefault(name, set()).add(str(facts.get("signature")))
            places.update((task, name, file.seed_number) for task in file.study["tasks"])
    twice = {name for (_, name, _), number in places.items() if number > 1}
    twice |= {name for name, known in signatures.items() if len(known) > 1}
    if twice and any(file.seed_number for file in files):
        for file in files:
            file.seed_number = 0
        return _names(files)
    return {
        (file.label, name): f"{name} ({file.label})" if name in twice else name
        for file in files
        for name in file.study["variants"]
    }


def _processors(files: list[File], task: str) -> list[str]:
    """The processors of a task whose trials lie in several files; none where they lie in one, which knows its own."""
    ran = {
        file.label: {str(trial["environment"].get("cpu", "")) for trial in file.trials if trial["task"] == task}
        for file in files
    }
    ran = {label: found for label, found in ran.items() if found}
    return sorted(set().union(*ran.values())) if len(ran) > 1 else []


def _trials(
    files: list[File], groups: list[Group], names: Mapping[tuple[str, str], str], each: int, several: Mapping[str, Any]
) -> Iterator[Record]:
    """All trials under their new names and indices, each identifier once."""
    known = Counter(trial["trial_id"] for file in files for trial in file.trials)
    places = {
        (file.label, group.task, cell): group.numbered(file, cell) for group in groups for file, cell in group.cells
    }
    for file in files:
        for trial in file.trials:
            number = places[file.label, trial["task"], trial["variant"]][trial["trial"]]
            made = trial | {"variant": names[file.label, trial["variant"]], "trial": file.seed_number * each + number}
            if known[trial["trial_id"]] > 1:
                made["trial_id"] = f"{trial['trial_id']}@{file.label}"
            if trial["task"] in several:
                made |= {name: None for name in MEASURED if name in made and name != "environment"}
                made["curves"] = {
                    name: [None] * len(curve) if name in MEASURED else curve for name, curve in trial["curves"].items()
                }
            yield made


def _joined(files: list[File], names: Mapping[tuple[str, str], str]) -> Record:
    """The content of ``study.json`` of them all: what is said otherwise by several is listed."""
    made = dict(files[0].study)
    for name in TEXT_ATTRIBUTES:
        made[name] = ", ".join(dict.fromkeys(str(file.study.get(name) or "") for file in files))
    made["package"] = files[0].study["package"]
    made["tasks"] = {name: facts for file in reversed(files) for name, facts in file.study["tasks"].items()}
    made["tasks"] = {name: _where(files, name) | made["tasks"][name] for name in _tasks(files)}
    made["variants"] = {}
    for file in files:
        for name, facts in file.study["variants"].items():
            made["variants"].setdefault(names[file.label, name], facts)
    return made


def _where(files: list[File], task: str) -> Record:
    """Whether the package carries a task's corpus, as any file says: older ones do not."""
    every = (file.study["tasks"].get(task, {}) for file in files)
    return next(({"embedded": facts["embedded"]} for facts in every if "embedded" in facts), {})


def _facts(file: File) -> Record:
    """What ran a file."""
    kept = ("seed", "draws", "profile", "backend", "device", "dtype", "trials", "block_size", "keep_weights", "space")
    facts = {name: file.study[name] for name in kept if file.study.get(name) is not None}
    points = file.study["points"]["file"] if file.from_points and file.study.get("points") else None
    return {
        "label": file.label,
        "tasks": list(file.study["tasks"]),
        "variants": list(file.study["variants"]),
        **facts,
        **plugins(file.study),
    } | ({"points": points} if points else {})


def _planned(files: list[File], names: Mapping[tuple[str, str], str]) -> dict[str, dict[str, int]]:
    """By task and row, the trials of all files that have it."""
    made: dict[str, dict[str, int]] = {}
    for file in files:
        for task in file.study["tasks"]:
            for cell in file.study["variants"]:
                rows, row = made.setdefault(task, {}), names[file.label, cell]
                rows[row] = rows.get(row, 0) + file.study["trials"]
    return made


def _sources(file: File) -> list[str]:
    """The versions of this package, each with the hash of its source, that a file's trials ran with."""
    ran = [trial["environment"] for trial in file.trials]
    return list(dict.fromkeys(f"{one.get(PACKAGE, 'not said')} ({one.get('source', 'no source')})" for one in ran))


def _sentence(files: list[File], seeds: int, several: Mapping[str, list[str]]) -> str:
    """What a reader has to know of several files in one report."""
    seen = [f"{file.label} (seed {file.study['seed']}, {counted(len(file.trials), 'trial')})" for file in files]
    said = f"From {counted(len(files), 'file')}: {listed(seen)}."
    if seeds > 1:
        said += (
            f" {seeds} seeds of the same draws: a difference is the mean of what each seed gives, in the interval the draws "
            "are drawn anew for all seeds together. What a seed does to all trials of a cell is in the mean, not in the "
            "interval."
        )
    sources = {file.label: _sources(file) for file in files}
    if len({source for found in sources.values() for source in found}) > 1:
        each = [f"{label} {listed(found) or 'not said'}" for label, found in sources.items()]
        said += f" They did not run with one version and source of {PACKAGE}: {'; '.join(each)}."
    for task, found in several.items():
        said += f" The files ran on {len(found)} processors on {task}, so there are no times ({listed(found)})."
    return said
