"""What the numbers of a study say, in words: the summary, captions, distributions, equations."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pandas
import xarray
from markupsafe import Markup, escape

from lstm_odyssey.reports.contract import draws
from lstm_odyssey.reports.contract.schema import attribute
from lstm_odyssey.reports.contract.validation import hyperparameters
from lstm_odyssey.reports.contract.variables import INSTEAD_OF
from lstm_odyssey.reports.contract.wording import count, listed, span
from lstm_odyssey.reports.page.importance import importance_text
from lstm_odyssey.reports.page.sentences import comparison_text
from lstm_odyssey.reports.page.uneven import uneven_text
from lstm_odyssey.reports.stats.inference import ENOUGH
from lstm_odyssey.reports.stats.table import maximizes, score

__all__ = [
    "caption", "cells", "commands", "comparison_text", "corpora_text", "count", "distribution", "equation", "flat",
    "importance_text", "lacks", "listed", "parameters", "summary_text", "task_text", "unbroken",
]  # fmt: skip


OPTIONS = (
    "profile", "tasks", "variants", "trials", "epochs", "seed", "draws", "points", "backend", "device", "dtype",
    "block-size", "keep-weights",
)  # fmt: skip
"""Of ``odyssey run``, in the order of a command."""


def summary_text(dataset: xarray.Dataset, table: pandas.DataFrame) -> list[str]:
    """The study in a few sentences, one list entry for each paragraph: first the whole, then each task."""
    tasks = dataset["task"].values.tolist()
    status = dataset["status"].values.ravel().tolist()
    numbers = {name: status.count(name) for name in ("ok", "diverged", "failed")}
    numbers["missing"] = int(table["missing"].sum())
    rows = dataset["variant"].values.tolist()
    kinds = ["cell", *(["task"] if len(tasks) > 1 else [])]
    kinds += ["file"] if len({draws.cell_of(dataset, row) for row in rows}) < len(rows) else []
    each = [int(trials) for trials in table["trials"] if trials]
    text = f"{count(int(table['trials'].sum()), 'trial').capitalize()} of {cells(dataset)} on {listed(tasks)}, "
    text += f"{span(each)} for each {listed(kinds)}: "
    ends = {"ok": "ran to the end", "diverged": "diverged", "failed": "failed", "missing": "not run yet"}
    text += listed(f"{numbers[name]:,} {words}" for name, words in ends.items() if numbers[name]) + "."
    if collapsed := int(table["unstable"].sum()):
        which = "those that ran" if numbers["missing"] else "these"
        text += f" {collapsed:,} of {which} {'is' if collapsed == 1 else 'are'} unstable."
    if numbers["missing"]:
        text += " The numbers below are not final."
    if lacking := lacks(dataset):
        text += f" No file has {lacking}."
    text = f"{text} {draws.sentence(dataset)}".strip()
    paragraphs = [text, *(task_text(dataset, table, task) for task in tasks)]
    largest = int(table["selected"].max())
    if largest < ENOUGH:
        paragraphs.append(
            f"The best 10 % of a cell's trials are at most {count(largest)} here: too few trials for inference. "
            "Differences between cells are what was seen, not what can be concluded."
        )
    return paragraphs


def cells(dataset: xarray.Dataset) -> str:
    """How many cells there are, whatever the number of files that each is in.

    Cells of one name with other equations count apart, as rows do.
    """
    facts = attribute(dataset, "variants")
    found = {
        (draws.cell_of(dataset, row), str(facts.get(row, {}).get("signature")))
        for row in dataset["variant"].values.tolist()
    }
    return count(len(found), "cell")


def lacks(dataset: xarray.Dataset) -> str:
    """Which cells no file has on a task; empty where every cell is on every task."""
    tasks, rows = (dataset[dim].values.tolist() for dim in ("task", "variant"))
    if draws.combined(dataset) is None:
        return ""
    absent = {task: [row for row in rows if not draws.planned(dataset, task, row)] for task in tasks}
    return (
        listed(f"{listed(names)} on {task}" for task, names in absent.items() if names) if any(absent.values()) else ""
    )


def task_text(dataset: xarray.Dataset, table: pandas.DataFrame, task: str) -> str:
    """What the best tenths of a task score, without a winner, who does not beat chance, and who has too few trials."""
    rows = table.loc[task]
    sign = -1 if maximizes(dataset, task) else 1
    means = sorted((mean for mean in rows["mean_test"].tolist() if not math.isnan(mean)), key=lambda mean: sign * mean)
    units, chance = str(dataset["units"].sel(task=task).item()), float(dataset["chance"].sel(task=task))
    if not means:
        return f"On {task} no trial has a score yet."
    ends = list(dict.fromkeys(score(mean) for mean in (means[0], means[-1])))
    every = f"all {ends[0]}" if len(ends) == 1 else f"{ends[0]} to {ends[1]}"
    whose = "the best 10 % of each cell's trials score" if len(means) > 1 else "the best 10 % of the trials score"
    text = f"On {task} {whose} {every if len(means) > 1 else ends[0]} {units} on the test set, on average"
    text += "" if math.isnan(chance) else f"; the best constant prediction scores {score(chance)}"
    if math.isnan(chance):
        return text + "."
    scored = rows[rows["mean_test"].notna()]
    behind = [str(name) for name in scored.index[~scored["beats_chance"].astype(bool)]]
    if behind:
        text = f"{text}. The best trial of {listed(behind)} does not beat the chance level"
    else:
        who = {1: "It beats", 2: "Both beat"}.get(len(scored), f"All {count(len(scored))} beat")
        text = f"{text}. {who} the chance level"
    unscored = [str(name) for name in rows.index.difference(scored.index, sort=False)]
    if unscored:
        text = f"{text}. {listed(unscored)} {'has' if len(unscored) == 1 else 'have'} no score yet"
    return f"{text}. {uneven_text(dataset, table, task)}".strip()


def caption(dataset: xarray.Dataset, table: pandas.DataFrame, task: str) -> str:
    """What a figure of a task rests on: trials, seed, corpus, draws, chance level."""
    rows, facts = table.loc[task], dataset.sel(task=task)
    parts = [
        f"n = {span(rows['finished'])} finished trials for each cell",
        f"best 10 % by validation: {span(rows['selected'])}",
        draws.seeds(dataset),
        draws.named(dataset),
        f"corpus {task}, checksum {str(facts['checksum'].item())[:12] or 'unknown'}",
    ]
    if not math.isnan(float(facts["chance"])):
        parts.append(f"chance level {score(float(facts['chance']))} {facts['units'].item()}")
    return "; ".join(parts) + "."


def distribution(space: Mapping[str, Any]) -> str:
    """A distribution of the search space in words.

    >>> distribution({"kind": "one_minus", "distribution": {"kind": "log_uniform", "low": 0.01, "high": 1}})
    '1 − u, u log-uniform on [0.01, 1]'
    """
    kind = str(space.get("kind", "?"))
    inner = space.get("distribution")
    if isinstance(inner, Mapping):
        how = {"even_integer": "even integer 2 · round(u/2)", "one_minus": "1 − u", "integer": "round(u)"}
        return f"{how.get(kind, kind.replace('_', ' '))}, u {distribution(inner)}"
    if {"low", "high"} <= set(space):
        return f"{kind.replace('_', '-')} on [{space['low']:g}, {space['high']:g}]"
    if kind == "choice":
        return "one of " + ", ".join(json.dumps(value) for value in space.get("values", ()))
    others = {name: value for name, value in space.items() if name != "kind"}
    return kind.replace("_", " ") + (f" {json.dumps(others, ensure_ascii=False)}" if others else "")


def unbroken(text: str) -> str:
    """A head of which a number and its sign stay on one line.

    >>> unbroken("mean of best 10 %") == "mean of best 10\N{NO-BREAK SPACE}%"
    True
    """
    return re.sub(r" (?=%|= )|(?<==) ", "\N{NO-BREAK SPACE}", text)


def equation(text: str) -> Markup:
    """One equation typeset: variables in italics, what follows an underscore as an index, breaks before + - = only.

    >>> str(equation("z_t = tanh(W_z x_t)")).replace("\N{NO-BREAK SPACE}", " ")
    '<i>z</i><sub>t</sub> = tanh(<i>W</i><sub>z</sub> <i>x</i><sub>t</sub>)'
    """
    text = re.sub(r" (?![-+=])", "\N{NO-BREAK SPACE}", text)
    typeset, end = Markup(), 0
    for found in re.finditer(r"([^\W\d_]+\d*)(?:_(?:\{([^}]*)\}|(\w+)))?(?=(\()?)", text):
        typeset += escape(text[end : found.start()].replace("-", "−"))
        name, braced, plain, call = found.groups()
        upright = call or len(name) > 1
        typeset += escape(name) if upright else Markup("<i>{}</i>").format(name)
        if index := braced or plain:
            typeset += Markup("<sub>{}</sub>").format(index.replace("-", "−"))
        end = found.end()
    return typeset + escape(text[end:].replace("-", "−"))


def parameters(shapes: Mapping[str, Sequence[str]]) -> str:
    """The parameters of a cell, gathered by kind.

    >>> parameters({"W.z": ["N", "M"], "W.o": ["N", "M"], "b.z": ["N"]})
    'W [N, M]: z o;  b [N]: z'
    """
    kinds: dict[str, list[str]] = {}
    for name, shape in shapes.items():
        kind, _, gate = name.partition(".")
        kinds.setdefault(f"{kind} [{', '.join(map(str, shape))}]", []).append(gate.rstrip("_"))
    return ";  ".join(f"{kind}: {' '.join(gates)}" for kind, gates in kinds.items())


def flat(facts: Any, prefix: str = "") -> dict[str, str]:
    """Nested facts as one table of texts."""
    if not isinstance(facts, Mapping):
        words = {None: "none", True: "yes", False: "no"}
        plain = facts is None or isinstance(facts, bool)
        return {
            prefix: words[facts] if plain else ", ".join(map(str, facts)) if isinstance(facts, list) else str(facts)
        }
    table: dict[str, str] = {}
    for name, value in facts.items():
        table |= flat(value, f"{prefix}.{name}" if prefix else str(name).replace("_", " "))
    return table


def commands(dataset: xarray.Dataset) -> list[str]:
    """The commands that run a study, or those of several files, again and report it.

    The protocol and a space of one's own come in a study.toml, a corpus that the package does not carry from a PATH. Rows in
    place of draws come in a file of the name that they had, and so do cells and tasks that a file registered.
    """
    protocol, runs = dict(attribute(dataset, "protocol")), draws.runs(dataset)
    epochs = protocol.pop("epochs", None)
    for name, option in INSTEAD_OF.items():
        if name in hyperparameters(dataset):  # each trial has its own, and the study's is refused
            protocol.pop(option, None)
    made, stores, packages = [], [], list[str]()
    for run in runs:
        store, file = (f"{name}-{run['label']}" if len(runs) > 1 else name for name in ("STORE", "study"))
        tables = {name: table for name, table in (("protocol", protocol), ("space", run.get("space"))) if table}
        lines = [line for name, table in tables.items() for line in (f"[{name}]", *map(_line, table, table.values()))]
        settings = shlex.quote(f"{file}.toml")
        if lines:
            made.append(f"printf '%s\\n' {' '.join(map(shlex.quote, lines))} > {settings}")
        stores.append(shlex.quote(store))
        packages += run.get("packages") or []
        given = [f"--data {shlex.quote(f'{task}=PATH')}" for task in run["tasks"] if embedded(dataset, task) is False]
        options = [*_options(run, epochs), *given, "--store", stores[-1]]
        made.append(" ".join(["odyssey run", *([settings] if lines else []), *options]))
    if packages:
        made.insert(0, f"pip install {' '.join(map(shlex.quote, dict.fromkeys(packages)))}")
    return [*made, f"odyssey report {' '.join(stores)}{'' if len(stores) == 1 else ' -o report.html'}"]


def embedded(dataset: xarray.Dataset, task: str) -> bool | None:
    """Whether a task's trials read the corpus that the package carries; None of a file that does not say."""
    found = attribute(dataset, "tasks").get(task, {}).get("embedded")
    return found if isinstance(found, bool) else None


def corpora_text(dataset: xarray.Dataset) -> str:
    """Where the corpora of the commands come from; empty where the package carries all."""
    said = {task: embedded(dataset, task) for task in dataset["task"].values.tolist()}
    given, unknown = ([task for task, found in said.items() if found is kind] for kind in (False, None))
    texts = []
    if given:
        which = f"{'a corpus' if len(given) == 1 else 'corpora'} that the package does not carry: {listed(given)}"
        texts.append(f"PATH is the file or folder of {which}. Without --data a corpus that may be downloaded is.")
    if unknown:
        texts.append(
            f"The file does not say whether the package carries the corpus of {listed(unknown)}: if not, add --data TASK=PATH."
        )
    return " ".join(texts)


def _options(run: Mapping[str, Any], epochs: int | None) -> list[str]:
    """The options of ``odyssey run`` for what ran a file."""
    options = {name: run.get(name.replace("-", "_")) for name in OPTIONS} | {"epochs": epochs}
    options |= {name: ",".join(run[name]) for name in ("tasks", "variants")}
    if options["points"]:
        options["draws"] = None
    given = [f"--{name} {shlex.quote(str(value))}" for name, value in options.items() if value not in ("", None)]
    return [*given, *(f"--plugin {shlex.quote(file)}" for file in run.get("plugins") or ())]


def _line(name: str, value: Any) -> str:
    """One line of a TOML table."""
    return f"{_key(name)} = {_toml(value)}"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def _toml(value: Any) -> str:
    """A value of JSON in TOML: they differ in tables only."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(_line(name, inner) for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
