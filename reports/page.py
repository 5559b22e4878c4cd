"""One self-contained page for one study: words, tables, figures, and everything needed to run it again."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy
import pandas
import xarray
from markupsafe import Markup

from lstm_odyssey.reports import figures, words
from lstm_odyssey.reports.files import write_text
from lstm_odyssey.reports.schema import attribute, hyperparameters
from lstm_odyssey.reports.table import maximizes, score, summary, whole

BASELINE = "vanilla"
"""The cell that the others are compared with, as the paper does."""


def render(dataset: xarray.Dataset, order: Sequence[str] | None = None) -> str:
    """The page as HTML; names and reasons, which are strangers' texts, come out escaped.

    Args:
        dataset: a study, whole or still running.
        order: the variants in the order of the tables and figures; by default the baseline first.
    """
    order = list(order or _baseline_first(dataset["variant"].values.tolist()))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"score": score, "whole": whole, "equation": words.equation}
    table = summary(dataset, order)
    return environment.get_template("page.html.j2").render(
        attributes=dataset.attrs,
        title=f"{words.count(len(order), 'cell').capitalize()} on {words.listed(dataset['task'].values.tolist())}",
        summary=words.summary_text(dataset, table),
        tasks=[_task(dataset, table, task, position, order) for position, task in enumerate(dataset["task"].values)],
        space=_space(dataset),
        notes=sorted(
            {str(facts["space_note"]) for facts in attribute(dataset, "tasks").values() if facts.get("space_note")}
        ),
        cells=_cells(dataset, order),
        references=_references(dataset, order),
        protocol=words.flat(attribute(dataset, "protocol")),
        environment=_environment(dataset),
        reasons=_reasons(dataset),
        commands=words.commands(dataset),
        version=attribute(dataset, "environment").get("lstm-odyssey", ""),
    )


def _baseline_first(variants: list[str]) -> list[str]:
    """The variant the others are compared with stands first, if it is there; the rest keep their order."""
    return sorted(variants, key=lambda name: name != BASELINE)


def write(dataset: xarray.Dataset, path: str | os.PathLike[str], order: Sequence[str] | None = None) -> Path:
    """Write the page, whole or not at all: a browser that reloads never sees half of it."""
    target = Path(path)
    write_text(target, render(dataset, order))
    return target


def _task(
    dataset: xarray.Dataset, table: pandas.DataFrame, task: str, position: int, order: Sequence[str]
) -> dict[str, Any]:
    """Everything the page says of one task."""
    part, rows = dataset.sel(task=task), table.loc[task]
    chance = float(part["chance"])
    means = rows["mean_test"].dropna()
    leader = None if means.empty else means.idxmax() if maximizes(dataset, task) else means.idxmin()
    labels = {
        "all": f"Box plot: test scores of all finished trials on {task}",
        "best": f"Box plot: test scores of the best 10 % of the trials on {task}",
        "curves": f"Learning curves of the best trial of each cell on {task}",
    }
    drawn = {
        "all": figures.box_plot(dataset, task, order=order),
        "best": figures.box_plot(dataset, task, best=True, order=order),
        "curves": figures.learning_curves(dataset, task, order=order),
    }
    return {
        "name": task,
        "anchor": f"task-{position}",
        "metric": str(part["metric"].item()),
        "units": str(part["units"].item()),
        "better": "larger" if maximizes(dataset, task) else "smaller",
        "chance": chance,
        "chance_known": not math.isnan(chance),
        "rows": [{"variant": name, "leads": name == leader, **row.to_dict()} for name, row in rows.iterrows()],
        "figures": {key: Markup(figures.svg(drawn[key], labels[key], f"f{position}{key}")) for key in drawn},
        "caption": words.caption(dataset, table, task),
        "facts": _facts(attribute(dataset, "tasks")[task]),
        "warnings": attribute(dataset, "tasks")[task].get("warnings") or [],
    }


def _facts(facts: dict[str, Any]) -> dict[str, str]:
    """What is told of a corpus beside its scores."""
    names = (
        "family",
        "objective",
        "input_size",
        "n_outputs",
        "bidirectional",
        "licence",
        "url",
        "provenance",
        "checksum",
    )
    called = {"n_outputs": "outputs", "input_size": "inputs"}
    return words.flat({called.get(name, name): facts[name] for name in names if facts.get(name) not in (None, "")})


def _space(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    """One row for each hyperparameter: what it is, its distribution on each task, the range that was drawn."""
    spaces, facts = attribute(dataset, "distributions"), attribute(dataset, "tasks")
    rows = []
    for name in hyperparameters(dataset):
        said: dict[str, list[str]] = {}
        for task, space in spaces.items():
            if name not in space:
                continue
            text = words.distribution(space[name])
            own = (facts[task].get("task_space") or space).get(name)
            if own is not None and own != space[name]:
                text += f" (narrowed by the profile; the task's own: {words.distribution(own)})"
            said.setdefault(text, []).append(task)
        values = dataset[name].values
        drawn = "–"
        if values.dtype.kind == "f" and not numpy.isnan(values).all():
            drawn = f"{numpy.nanmin(values):.3g} to {numpy.nanmax(values):.3g}"
        texts = [text if len(said) == 1 else f"{words.listed(tasks)}: {text}" for text, tasks in said.items()]
        rows.append({"name": name, "meaning": dataset[name].attrs["long_name"], "texts": texts or ["not in the space"]})
        rows[-1]["drawn"] = drawn
    return rows


def _cells(dataset: xarray.Dataset, order: Sequence[str]) -> list[dict[str, Any]]:
    """The equations of each cell; what differs from the first one is marked, what is gone is named."""
    facts = attribute(dataset, "variants")
    first = facts.get(order[0], {}).get("equations") or []
    references, cells = _references(dataset, order), []
    for name in order:
        told = facts.get(name, {})
        lines = told.get("equations") or []
        left = {line.partition(" = ")[0] for line in lines}
        cells.append(
            {
                "name": name,
                "equations": [{"text": line, "new": line not in first} for line in lines],
                "gone": [line.partition(" = ")[0] for line in first if line.partition(" = ")[0] not in left],
                "parameters": words.parameters(told.get("parameters") or {}),
                "states": ", ".join(told.get("states") or []),
                "signature": str(told.get("signature") or "")[:12],
                "origin": " ".join(map(str, (told.get("origin") or {}).values())),
                "reference": references.index(told["reference"]) + 1 if told.get("reference") else None,
            }
        )
    return cells


def _references(dataset: xarray.Dataset, order: Sequence[str]) -> list[str]:
    """Where the cells come from, each source once."""
    facts = attribute(dataset, "variants")
    return list(dict.fromkeys(facts[name]["reference"] for name in order if facts.get(name, {}).get("reference")))


def _environment(dataset: xarray.Dataset) -> dict[str, str]:
    stored = {name: dataset.attrs[name] for name in ("device", "backend", "dtype") if dataset.attrs[name]}
    machines = attribute(dataset, "environments")
    told = {"environments of the trials": len(machines)} if len(machines) > 1 else {}
    return words.flat(stored | attribute(dataset, "environment") | told)


def _reasons(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    """Why trials diverged or failed, and how often."""
    bad = numpy.isin(dataset["status"].values, ("diverged", "failed"))
    found: dict[tuple[str, str], int] = {}
    for status, reason in zip(dataset["status"].values[bad], dataset["reason"].values[bad], strict=True):
        key = str(status), str(reason) or "no reason stored"
        found[key] = found.get(key, 0) + 1
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return [{"status": status, "reason": reason, "count": number} for (status, reason), number in ranked]
