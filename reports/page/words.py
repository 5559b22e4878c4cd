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
from lstm_odyssey.reports.contract.wording import count, listed
from lstm_odyssey.reports.page.importance import importance_text
from lstm_odyssey.reports.page.sentences import comparison_text
from lstm_odyssey.reports.stats.table import ENOUGH, maximizes, score

__all__ = [
    "caption", "commands", "comparison_text", "count", "distribution", "equation", "flat", "importance_text",
    "listed", "parameters", "summary_text", "task_text",
]  # fmt: skip


def summary_text(dataset: xarray.Dataset, table: pandas.DataFrame) -> list[str]:
    """The study in a few sentences, one list entry for each paragraph: first the whole, then each task."""
    tasks, variants = (dataset[dim].values.tolist() for dim in ("task", "variant"))
    status = dataset["status"].values.ravel().tolist()
    numbers = {name: status.count(name) for name in ("ok", "diverged", "failed", "missing")}
    where = " cell and task" if len(tasks) > 1 else " cell"
    cells = f"{count(len(variants), 'cell')} on {listed(tasks)}"
    text = f"{count(len(status), 'trial').capitalize()} of {cells}, {dataset.sizes['trial']} for each{where}: "
    ends = {"ok": "ran to the end", "diverged": "diverged", "failed": "failed", "missing": "not run yet"}
    text += listed(f"{numbers[name]:,} {words}" for name, words in ends.items() if numbers[name]) + "."
    if collapsed := int(table["unstable"].sum()):
        text += f" {collapsed:,} of these {'is' if collapsed == 1 else 'are'} unstable."
    if numbers["missing"]:
        text += " The numbers below are not final."
    text = f"{text} {draws.sentence(dataset)}".strip()
    paragraphs = [text, *(task_text(dataset, table, task) for task in tasks)]
    largest = int(table["selected"].max())
    if largest < ENOUGH:
        paragraphs.append(
            f"The best 10 % of a cell's trials are at most {count(largest)} here: too few trials for inference. "
            "Differences between cells are what was seen, not what can be concluded."
        )
    return paragraphs


def task_text(dataset: xarray.Dataset, table: pandas.DataFrame, task: str) -> str:
    """What the best tenths of a task score, without a winner, and who does not beat the chance level."""
    rows = table.loc[task]
    sign = -1 if maximizes(dataset, task) else 1
    means = sorted((mean for mean in rows["mean_test"].tolist() if not math.isnan(mean)), key=lambda mean: sign * mean)
    units, chance = str(dataset["units"].sel(task=task).item()), float(dataset["chance"].sel(task=task))
    if not means:
        return f"On {task} no trial has a score yet."
    ends = list(dict.fromkeys(score(mean) for mean in (means[0], means[-1])))
    span = f"all {ends[0]}" if len(ends) == 1 else f"{ends[0]} to {ends[1]}"
    whose = "the best 10 % of each cell's trials score" if len(means) > 1 else "the best 10 % of the trials score"
    text = f"On {task} {whose} {span if len(means) > 1 else ends[0]} {units} on the test set, on average"
    text += "" if math.isnan(chance) else f"; the best constant prediction scores {score(chance)}"
    if math.isnan(chance):
        return text + "."
    behind = [str(name) for name in rows.index[~rows["beats_chance"].astype(bool)]]
    if not behind:
        who = {1: "It beats", 2: "Both beat"}.get(len(rows), f"All {count(len(rows))} beat")
        return f"{text}. {who} the chance level."
    return f"{text}. The best trial of {listed(behind)} does not beat the chance level."


def caption(dataset: xarray.Dataset, table: pandas.DataFrame, task: str) -> str:
    """What a figure of a task rests on: trials, seed, corpus, draws, chance level."""
    rows, facts = table.loc[task], dataset.sel(task=task)
    finished, selected = ((int(rows[name].min()), int(rows[name].max())) for name in ("finished", "selected"))
    parts = [
        f"n = {_span(finished)} finished trials for each cell",
        f"best 10 % by validation: {_span(selected)}",
        f"seed {dataset.attrs['seed']}",
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
    others = {name: value for name, value in space.items() if name != "kind"}
    return kind.replace("_", " ") + (f" {json.dumps(others, ensure_ascii=False)}" if others else "")


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
    """The two commands that run the study again and report it; its protocol and its own space come in a study.toml.

    Rows in place of draws come in a file of the name that they had.
    """
    attributes, more = dataset.attrs, attribute(dataset, "more")
    protocol = dict(attribute(dataset, "protocol"))
    epochs, rows = protocol.pop("epochs", None), draws.points(dataset)
    options = {
        "profile": attributes["profile"],
        "tasks": ",".join(dataset["task"].values.tolist()),
        "variants": ",".join(dataset["variant"].values.tolist()),
        "trials": dataset.sizes["trial"],
        "epochs": epochs,
        "seed": attributes["seed"],
        "draws": attributes["draws"] if rows is None else None,
        "points": None if rows is None else rows["file"],
        "backend": attributes["backend"],
        "device": attributes["device"],
        "dtype": attributes["dtype"],
        "block-size": more.get("block_size"),
        "keep-weights": more.get("keep_weights"),
    }
    words = [f"--{name} {shlex.quote(str(value))}" for name, value in options.items() if value not in ("", None)]
    tables = {name: table for name, table in (("protocol", protocol), ("space", more.get("space"))) if table}
    lines = [line for name, table in tables.items() for line in (f"[{name}]", *map(_line, table, table.values()))]
    file = [f"printf '%s\\n' {' '.join(map(shlex.quote, lines))} > study.toml"] if lines else []
    study = "study.toml " if lines else ""
    return [*file, f"odyssey run {study}{' '.join(words)} --store STORE", "odyssey report STORE"]


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


def _span(ends: tuple[int, int]) -> str:
    return str(ends[0]) if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
