"""One self-contained page for one study: words, tables, figures, and everything needed to run it again."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy
import pandas
import xarray
from markupsafe import Markup

from lstm_odyssey.reports.contract import draws
from lstm_odyssey.reports.contract.files import expanded, write_text
from lstm_odyssey.reports.contract.schema import attribute, hyperparameters
from lstm_odyssey.reports.contract.selection import as_study
from lstm_odyssey.reports.contract.variables import BOOLEAN, WORDS
from lstm_odyssey.reports.contract.wording import named
from lstm_odyssey.reports.page import provenance, trials, words
from lstm_odyssey.reports.page.analyses import Analyses, analyse
from lstm_odyssey.reports.page.on_a_gpu import on_a_gpu
from lstm_odyssey.reports.page.section import section as task_section
from lstm_odyssey.reports.paper.claims import BASELINE, CELLS
from lstm_odyssey.reports.stats.contents import BETTER, OPEN, WORSE
from lstm_odyssey.reports.stats.epoch_cost import processors
from lstm_odyssey.reports.stats.table import score, summary

ORDER = (BASELINE, *CELLS)
"""The order of the paper's figures; its first cell is the one the others are compared with."""

TEMPLATES = Path(__file__).parent / "templates"


def render(
    dataset: xarray.Dataset,
    order: Sequence[str] | None = None,
    analyses: Analyses | None = None,
    *,
    live: bool = False,
    gpu: Mapping[str, Any] | None = None,
) -> str:
    """The page as HTML; names and reasons, which are strangers' texts, come out escaped.

    Args:
        dataset: a study, whole or still running.
        order: the variants in the order of the tables and figures; by default the paper's.
        analyses: what was computed of it; by default ``analyse`` in its quick form.
        live: whether the page asks the browser to load it again every minute while trials are missing.
        gpu: a record of ``python -m lstm_odyssey.bench.gpu``, for a table of how fast the cells are there.
    """
    dataset = as_study(dataset)
    order = list(order or paper_order(dataset))
    analyses = analyses or analyse(dataset)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"score": score, "equation": words.equation, "unbroken": words.unbroken}
    table = summary(dataset, order)
    tasks = dataset["task"].values.tolist()
    return environment.get_template("page.html.j2").render(
        style=_asset("page.css"),
        script=_asset("page.js"),
        library=_asset("echarts.min.js"),
        explorer=_asset("trials.js"),
        data=Markup(trials.packed(dataset, order)),
        trials=[_trials(dataset, task, order) for task in tasks],
        live=live and bool((dataset["status"] == "missing").any()),
        attributes=dataset.attrs,
        title=f"{words.cells(dataset).capitalize()} on {words.listed(tasks)}",
        seeds=draws.seeds(dataset),
        explained=draws.explained(dataset),
        summary=words.summary_text(dataset, table)[0],
        judged=words.comparison_text(analyses.comparison),
        effects=[] if analyses.effects is None else words.importance_text(analyses.effects),
        tasks=[task_section(dataset, table, analyses, task, place, order) for place, task in enumerate(tasks)],
        variants=order,
        baseline=str(analyses.comparison.attrs["baseline"]),
        space=_space(dataset),
        notes=sorted(
            {str(facts["space_note"]) for facts in attribute(dataset, "tasks").values() if facts.get("space_note")}
        ),
        gpu=None if gpu is None else on_a_gpu(gpu, list(dict.fromkeys(draws.cell_of(dataset, row) for row in order))),
        cells=_cells(dataset, order),
        references=_references(dataset, order),
        protocol=words.flat(attribute(dataset, "protocol")),
        environment=_environment(dataset),
        reasons=_reasons(dataset),
        commands=words.commands(dataset),
        corpora=words.corpora_text(dataset),
        version=attribute(dataset, "environment").get("lstm-odyssey", ""),
    )


def _trials(dataset: xarray.Dataset, task: str, order: Sequence[str]) -> dict[str, Any]:
    """The best trials of a task, as the table that is there without the script."""
    heads, rows = trials.best_rows(dataset, task, order)
    return {"task": task, "units": str(dataset["units"].sel(task=task).item()), "heads": heads, "rows": rows}


def _asset(name: str) -> Markup:
    """The style sheet or the script as it stands: our own text, which goes into the page unescaped."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def summary_texts(dataset: xarray.Dataset, table: pandas.DataFrame, analyses: Analyses) -> list[str]:
    """The page in words: the study, who differs from the baseline, what the scores depend on."""
    texts = words.summary_text(dataset, table)
    if numpy.isin(analyses.comparison["verdict"].values, [BETTER, WORSE, OPEN]).any():
        texts += words.comparison_text(analyses.comparison)
    return texts + ([] if analyses.effects is None else words.importance_text(analyses.effects))


def paper_order(study: xarray.Dataset) -> list[str]:
    """The paper's nine in the order of its figures, the baseline first; others after them, in their own order.

    Rows of one cell from several files stand together.
    """
    rows = study["variant"].values.tolist()
    of = {row: draws.cell_of(study, row) for row in rows}
    own = list(dict.fromkeys(of.values()))
    return sorted(rows, key=lambda row: (ORDER.index(of[row]) if of[row] in ORDER else len(ORDER), own.index(of[row])))


def write(
    dataset: xarray.Dataset,
    path: str | os.PathLike[str],
    order: Sequence[str] | None = None,
    analyses: Analyses | None = None,
    *,
    live: bool = False,
    gpu: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page, whole or not at all: a browser that reloads never sees half of it."""
    target = expanded(path)
    write_text(target, render(dataset, order, analyses, live=live, gpu=gpu))
    return target


def _space(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    """One row for each hyperparameter: what it is, its distribution on each task, the range that was drawn."""
    spaces, facts = attribute(dataset, "distributions"), attribute(dataset, "tasks")
    chosen = attribute(dataset, "more").get("space") or {}
    rows = []
    for name in hyperparameters(dataset):
        said: dict[str, list[str]] = {}
        for task, space in spaces.items():
            if name not in space:
                continue
            text = words.distribution(space[name])
            own = (facts[task].get("task_space") or space).get(name)
            if own is not None and own != space[name]:
                whose = (
                    "chosen for this study" if name in {**chosen, **chosen.get(task, {})} else "narrowed by the profile"
                )
                text += f" ({whose}; the task's own: {words.distribution(own)})"
            said.setdefault(text, []).append(task)
        drawn = _range(dataset[name])
        texts = [text if len(said) == 1 else f"{words.listed(tasks)}: {text}" for text, tasks in said.items()]
        for cell, about in attribute(dataset, "variants").items():
            if name in (about.get("space") or {}):
                texts.append(f"of {cell} alone: {words.distribution(about['space'][name])}")
        rows.append({"name": name, "meaning": _meaning(dataset, name), "texts": texts or ["not in the space"]})
        rows[-1]["drawn"] = drawn
    return rows


def _range(drawn: xarray.DataArray) -> str:
    """The values that were drawn, in words: the least and the greatest, or yes and no; a dash where there is none."""
    values = drawn.values
    if values.dtype.kind != "f" or numpy.isnan(values).all():
        return "–"
    ends = [numpy.nanmin(values), numpy.nanmax(values)]
    if drawn.attrs.get("values") == BOOLEAN:
        return " and ".join(dict.fromkeys("yes" if end else "no" for end in ends))
    return " to ".join(dict.fromkeys(f"{end:.3g}" for end in ends))


def _meaning(dataset: xarray.Dataset, name: str) -> str:
    """A hyperparameter as the page calls it, with its long name where that says more."""
    short, long = named(name), WORDS.get(name, (str(dataset[name].attrs["long_name"]),))[0]
    return short if short == long else f"{short}: {long}"


def _cells(dataset: xarray.Dataset, order: Sequence[str]) -> list[dict[str, Any]]:
    """The equations of each cell; what differs from the first one is marked, what is gone is named."""
    facts = attribute(dataset, "variants")
    first = facts.get(order[0], {}).get("equations") or []
    references, cells = _references(dataset, order), []
    alike: dict[tuple[str, str], list[str]] = {}  # rows of one cell from several files
    for row in order:
        alike.setdefault((draws.cell_of(dataset, row), str(facts.get(row, {}).get("signature"))), []).append(row)
    for name, *more in alike.values():
        told = facts.get(name, {})
        lines = told.get("equations") or []
        left = {line.partition(" = ")[0] for line in lines}
        cells.append(
            {
                "name": words.listed([name, *more]),
                "rows": [name, *more],
                "equations": [{"text": line, "new": line not in first} for line in lines],
                "gone": [line.partition(" = ")[0] for line in first if line.partition(" = ")[0] not in left],
                "parameters": words.parameters(told.get("parameters") or {}),
                "states": ", ".join(told.get("states") or []),
                "declared": provenance.declared(told),
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
    told: dict[str, Any] = {"environments of the trials": len(machines)} if len(machines) > 1 else {}
    if len(names := processors(dataset, timed=False)) > 1:  # of a study without times as well: scores hang on them too
        told["processors of the trials"] = names
    began = words.flat(stored | attribute(dataset, "environment") | told)
    return began | {name: text for name, text in provenance.environments(dataset).items() if name != "cpu"}


def _reasons(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    """Why trials diverged or failed, and how often."""
    bad = numpy.isin(dataset["status"].values, ("diverged", "failed"))
    told = zip(dataset["status"].values[bad].tolist(), dataset["reason"].values[bad].tolist(), strict=True)
    found = Counter((status, reason or "no reason stored") for status, reason in told)
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return [{"status": status, "reason": reason, "count": number} for (status, reason), number in ranked]
