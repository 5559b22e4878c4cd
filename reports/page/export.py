"""What the page says in other forms: Markdown, a table of numbers, figures as files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas
import xarray
from matplotlib.figure import Figure

from lstm_odyssey.reports import paper
from lstm_odyssey.reports.contract import draws, wording
from lstm_odyssey.reports.contract.files import expanded, write_text
from lstm_odyssey.reports.contract.selection import as_study
from lstm_odyssey.reports.contract.validation import attribute
from lstm_odyssey.reports.contract.variables import FINISHED
from lstm_odyssey.reports.page import paper_order, summary_texts, tables
from lstm_odyssey.reports.page.analyses import Analyses
from lstm_odyssey.reports.page.beside import beside
from lstm_odyssey.reports.page.on_a_gpu import on_a_gpu
from lstm_odyssey.reports.page.section import differing, drawn, drawn_of_cell
from lstm_odyssey.reports.page.tables import Grid
from lstm_odyssey.reports.plots import scores
from lstm_odyssey.reports.plots.axis import shown
from lstm_odyssey.reports.stats.contents import BOUND, CELL
from lstm_odyssey.reports.stats.table import summary


def write(
    study: xarray.Dataset,
    analyses: Analyses,
    path: str | os.PathLike[str],
    kind: str,
    gpu: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``md`` or ``csv``, whole or not at all."""
    text = markdown(study, analyses, gpu) if kind == "md" else numbers(study, analyses).to_csv(lineterminator="\n")
    target = expanded(path)
    write_text(target, text)
    return target


def markdown(study: xarray.Dataset, analyses: Analyses, gpu: Mapping[str, Any] | None = None) -> str:
    """The page's summary and tables as Markdown, legible in a terminal too; ``gpu`` is a record of a GPU."""
    study = as_study(study)
    order = paper_order(study)
    table = summary(study, order)
    claims = paper.rows(study, analyses.comparison, analyses.per_tree, analyses.reruns)
    blocks = ["\n\n".join(_plain(text) for text in summary_texts(study, table, analyses))]
    warnings = _warnings(study)
    for task in study["task"].values.tolist():
        blocks += [f"## {_plain(task)}", *map(_plain, warnings[task])]
        made = [
            tables.results(study, table, analyses.comparison, task, analyses.reruns),
            beside(study, task, order),
            tables.differences(analyses.comparison, task, order),
            tables.importance(analyses, task, order),
        ]
        blocks += [_table(grid) for grid in made if grid is not None]
        if mine := [row for row in claims if row.task == task]:
            blocks.append(f"The paper says, we find\n\n{paper.markdown(mine)}")
    speeds = None if gpu is None else on_a_gpu(gpu, list(dict.fromkeys(draws.cell_of(study, row) for row in order)))
    if speeds is not None:
        blocks += ["## On a GPU", _table(speeds)]
    if analyses.refused:
        blocks.append(_plain(analyses.refused))
    return "\n\n".join(blocks) + "\n"


def _warnings(study: xarray.Dataset) -> dict[str, list[str]]:
    """By task what a reader of its results must know."""
    return {task: facts.get("warnings") or [] for task, facts in attribute(study, "tasks").items()}


def _table(grid: Grid) -> str:
    lines = [
        [name for name, _ in grid.heads],
        *([row.variant, *(cell.text for cell in row.cells)] for row in grid.rows),
    ]
    return f"{_plain(grid.caption)}\n\n{wording.markdown([[_plain(text) for text in line] for line in lines])}"


def _plain(text: str) -> str:
    """A stranger's text in Markdown: no markup, no cell of its own, no line of its own."""
    return re.sub(r"\s+", " ", str(text)).replace("|", "\\|").replace("<", "&lt;")


def numbers(study: xarray.Dataset, analyses: Analyses) -> pandas.DataFrame:
    """One row for each task and cell: all of the comparison but its curves, R², the shares, the corpus's warnings."""
    study, comparison = as_study(study), analyses.comparison
    order = paper_order(study)
    columns: dict[str, xarray.DataArray] = {}
    for name, variable in comparison.data_vars.items():
        if variable.dims == CELL:
            columns[str(name)] = variable
        elif variable.dims == BOUND:
            columns |= {f"{name}_{bound}": variable.sel(bound=bound) for bound in ("lower", "upper")}
    if analyses.effects is not None:
        effects = analyses.effects.isel(clip=0)
        columns["r_squared"] = effects["r_squared"]
        names = dict.fromkeys(one.name for task in effects["task"].values for one in shown(effects, str(task)))
        for name in names:
            shares = {end: effects[f"main_share{end}"].sel(hyperparameter=name) for end in ("", "_low", "_high")}
            columns |= {f"main_share{end}.{name}": part for end, part in shares.items()}
        columns["interactions_of_two"], columns["interactions_of_three_and_more"] = (
            effects["order_share"].sel(order=number) for number in (2, 3)
        )
    index = pandas.MultiIndex.from_product([study["task"].values.tolist(), order], names=CELL)
    values = {name: part.sel(variant=order).transpose(*CELL).values.ravel() for name, part in columns.items()}
    warnings = _warnings(study)
    return pandas.DataFrame(values, index=index).assign(warnings=["; ".join(warnings[task]) for task, _ in index])


def save_figures(study: xarray.Dataset, analyses: Analyses, folder: str | os.PathLike[str]) -> list[Path]:
    """Write every figure as vector (.svg) and pixels (.png); returns the files.

    Names are ``TASK-FIGURE`` and ``TASK-CELL-FIGURE``, their parts freed of what a file system may not like.
    """
    study = as_study(study)
    order = paper_order(study)
    tasks = study["task"].values.tolist()
    folder = expanded(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    apart = {task: differing(analyses.comparison, task) for task in tasks}
    _save({"boxes": scores.box_plots(study, order=order, apart=apart)}, folder, ["all-tasks"], written)
    for place, task in enumerate(tasks):
        if not study["status"].sel(task=task).isin(FINISHED).any():
            continue  # no trial of it has a score: there is nothing to draw
        _save(drawn(study, analyses, task, order), folder, [_file(task, place)], written)
        for number, variant in enumerate(order):
            _save(
                drawn_of_cell(analyses, task, variant, order),
                folder,
                [_file(task, place), _file(variant, number)],
                written,
            )
    return written


def _save(made: dict[str, Figure], folder: str | os.PathLike[str], parts: Sequence[str], written: list[Path]) -> None:
    for name, figure in made.items():
        stem = "-".join([*parts, name])
        written += [scores.save(figure, Path(folder) / f"{stem}.{suffix}") for suffix in ("svg", "png")]


def _file(name: str, place: int) -> str:
    """A name as part of a file's name; what is not plain is replaced and told apart by its place."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", name)[:40].strip("-")
    return plain if plain == name else f"{plain or 'name'}.{place}"
