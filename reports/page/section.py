"""Everything the page says of one task: tables, figures, captions, notes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import pandas
import xarray
from markupsafe import Markup
from matplotlib.figure import Figure

from lstm_odyssey.reports import paper
from lstm_odyssey.reports.contract.schema import attribute
from lstm_odyssey.reports.contract.wording import fixed, percent, span
from lstm_odyssey.reports.fanova.cases import FACTOR
from lstm_odyssey.reports.fanova.layout import SPREAD_SAYS
from lstm_odyssey.reports.page import advice, tables, words
from lstm_odyssey.reports.page.analyses import GOOD, Analyses
from lstm_odyssey.reports.page.beside import beside
from lstm_odyssey.reports.page.importance import analysed, limit_text, spread
from lstm_odyssey.reports.plots import curves, effects, forest, same_draws, scores
from lstm_odyssey.reports.plots.axis import present
from lstm_odyssey.reports.stats.contents import BETTER, CHOSEN, FEW, OPEN, WORSE
from lstm_odyssey.reports.stats.table import score

FACTS = ("family", "objective", "input_size", "n_outputs", "bidirectional", "licence", "url", "provenance", "checksum")
PAIRS_FROM = 20
"""Pairs are drawn from so many finished trials on: of fewer they show noise, and nine cells of them take long."""

CALLED = {"n_outputs": "outputs", "input_size": "inputs"}


def drawn(dataset: xarray.Dataset, analyses: Analyses, task: str, order: Sequence[str]) -> dict[str, Figure]:
    """The figures of a task that show all cells, by name."""
    comparison = analyses.comparison
    apart, baseline = differing(comparison, task), str(comparison.attrs["baseline"]) or None
    made = {
        "all": scores.box_plot(dataset, task, order=order, apart=apart),
        "best": scores.box_plot(dataset, task, best=True, order=order, apart=apart),
        "curves": curves.learning_curves(dataset, task, order=order, baseline=baseline, apart=apart),
    }
    if compared(comparison):
        made["forest"] = forest.forest(dataset, comparison, task, order=order)
        made["narrow"] = forest.forest(dataset, comparison, task, order=order, narrow=True)
        draws = int(comparison["best_of_difference"].sel(task=task).notnull().any("variant").sum())
        if draws > 1:  # one makes no curve
            made["expected"] = curves.expected_best(comparison, task, order=order)
        if same_draws.sharing(dataset, comparison, task, order):
            made["draws"] = same_draws.scatter(dataset, comparison, task, order=order)
    if analyses.effects is not None and analyses.cuts is not None and analysed(analyses.effects, task):
        made["shares"] = effects.shares(analyses.cuts.sel(clip=[1.0, GOOD]), task, order=order)
    return made


def drawn_of_cell(analyses: Analyses, task: str, variant: str, order: Sequence[str]) -> dict[str, Figure]:
    """The figures of one cell on a task: marginals, and the pairs that interact; none where it could not be analysed."""
    if analyses.effects is None:
        return {}
    part = analyses.effects.sel(task=task, variant=variant).isel(clip=0)
    if not part["main_share"].notnull().any():
        return {}
    made = {"marginals": effects.marginals(analyses.effects, analyses.times, task, variant, order=order)}
    if int(part["n"]) >= PAIRS_FROM and (figure := effects.pairs(analyses.effects, task, variant)) is not None:
        made["pairs"] = figure
    return made


def compared(comparison: xarray.Dataset) -> bool:
    """Whether there is a baseline, and a cell beside it."""
    return bool(comparison.attrs["baseline"]) and comparison.sizes["variant"] > 1


def differing(comparison: xarray.Dataset, task: str) -> dict[str, str]:
    """The cells that were judged against the baseline, with the verdict."""
    part = comparison.sel(task=task)
    verdicts = zip(part["variant"].values.tolist(), part["verdict"].values.tolist(), strict=True)
    return {name: verdict for name, verdict in verdicts if verdict in (BETTER, WORSE, OPEN)}


def _together(analyses: Analyses, task: str) -> str:
    """What the cell as a factor takes of the variance over all cells; empty where that was not analysed."""
    if analyses.pooled is None or not analysed(analyses.pooled, task):
        return ""
    part = analyses.pooled.sel(task=task, hyperparameter=FACTOR).isel(variant=0, clip=0)
    return f"which cell it is takes {percent([float(part['main_share'])])} by itself (R² {fixed(float(part['r_squared']))})"


LABELS = {
    "forest": "Forest plot: differences to the baseline on {}",
    "narrow": "Forest plot for narrow windows: differences to the baseline on {}",
    "all": "Box plot: test scores of all finished trials on {}",
    "best": "Box plot: test scores of the best 10 % of the trials on {}",
    "curves": "Learning curves of the best trial of each cell on {}",
    "expected": "Expected best test score against draws, less the baseline's, on {}",
    "draws": "Scatter: test scores of the same draws on {}",
    "shares": "Stacked bars: shares of the variance on {}",
    "marginals": "Marginals of test score and training time of {} on {}",
    "pairs": "Joint marginals and pure interactions of {} on {}",
}


def section(
    dataset: xarray.Dataset, table: pandas.DataFrame, analyses: Analyses, task: str, place: int, order: Sequence[str]
) -> dict[str, Any]:
    """What the template of a task is filled with."""
    part, comparison = dataset.sel(task=task), analyses.comparison
    chance = float(part["chance"])
    scored = bool(table.loc[task]["finished"].any())
    made = drawn(dataset, analyses, task, order) if scored else {}
    facts = attribute(dataset, "tasks")[task]
    return {
        "name": task,
        "anchor": f"task-{place}",
        "chance_known": not math.isnan(chance),
        "advice": advice.advice(dataset, comparison, task, order),
        "scores": scored,
        "points": advice.points(dataset, task, order),
        "scored": words.task_text(dataset, table, task),
        "at_chance": scores.at_chance(dataset, task, order),
        "results": tables.varying(tables.results(dataset, table, comparison, task, analyses.reruns)),
        "beside": beside(dataset, task, order),
        "differences": tables.varying(tables.differences(comparison, task, order)),
        "importance": tables.varying(tables.importance(analyses, task, order)),
        "paper": [
            row for row in paper.rows(dataset, comparison, analyses.per_tree, analyses.reruns) if row.task == task
        ],
        "figures": {key: _svg(made[key], LABELS[key].format(task), f"f{place}{key}") for key in made},
        "cells": [_cell(analyses, task, name, place, number, order) for number, name in enumerate(order)],
        "judged": bool((verdicts := comparison["verdict"].sel(task=task)).isin([BETTER, WORSE, OPEN]).any()),
        "limit": limit_text(dataset, task, analyses.cuts),
        "rows_chosen": bool((verdicts == CHOSEN).any()),
        "too_few": bool((verdicts == FEW).any()),
        "costs": table.attrs["costs"][task],
        "apart": differing(comparison, task),
        "caption": words.caption(dataset, table, task),
        "analysed": _analysed(analyses, task, analyses.effects),
        "analysed_pair": _analysed(
            analyses, task, None if analyses.cuts is None else analyses.cuts.sel(clip=[1.0, GOOD])
        ),
        "spread_says": SPREAD_SAYS,
        "refits": _refits(analyses, task, order),
        "notes": _notes(analyses, task, order),
        "refused": analyses.refused,
        "pooled": _together(analyses, task),
        "facts": words.flat(
            {CALLED.get(name, name): facts[name] for name in FACTS if facts.get(name) not in (None, "")}
        ),
        "warnings": facts.get("warnings") or [],
    }


def _svg(figure: Figure, label: str, prefix: str) -> Markup:
    return Markup(scores.svg(figure, label, prefix))


def _cell(analyses: Analyses, task: str, variant: str, place: int, number: int, order: Sequence[str]) -> dict[str, Any]:
    made = drawn_of_cell(analyses, task, variant, order)
    figures = {key: _svg(made[key], LABELS[key].format(variant, task), f"f{place}{key}{number}") for key in made}
    of_score = of_time = ""
    if made and analyses.effects is not None:
        part = analyses.effects.sel(task=task, variant=variant).isel(clip=0)
        of_score = f"n = {int(part['n'])}; score {_r_squared(part)}"
        if analyses.times is not None:
            of_time = f"time {_r_squared(analyses.times.sel(task=task, variant=variant).isel(clip=0))}"
    said = "; ".join(filter(None, (of_score, of_time)))
    return {"name": variant, "figures": figures, "score": of_score, "words": said}


def _r_squared(part: xarray.Dataset) -> str:
    """R² of one analysis, called poor where it is."""
    known = float(part["r_squared"])
    if math.isnan(known):
        return "not analysed"
    return f"R² {fixed(known)}" + (": poor" if bool(part["flagged"]) else "")


def _analysed(analyses: Analyses, task: str, result: xarray.Dataset | None) -> str:
    """What a functional ANOVA rests on, for its captions: trials, R² over the cells at each of its cut-offs, seeds."""
    if result is None:
        return ""
    part = result.sel(task=task).isel(clip=0)
    parts = [f"n = {span(part['n'].values.tolist())} finished trials for each cell"]
    if spans := [spread(result.sel(task=task, clip=clip)) for clip in result["clip"].values]:
        named = zip(result["clip"].values.tolist(), spans, strict=True)
        told = [f"{said} at {100 * clip:.0f} %" if len(spans) > 1 else said for clip, said in named if said]
        parts += [f"out-of-bag R² of the score over the cells {words.listed(told)}"] if told else []
    parts += [f"{result.attrs['trees']} trees, their seed {result.attrs['seed']}", "axes as drawn"]
    parts += [f"{analyses.comparison.attrs['draws']} draws", f"corpus {task}"]
    ceiling = float(part["ceiling"])
    if not math.isnan(ceiling):
        whose = span(part["ceiling_share"].values.tolist(), lambda share: f"{100 * share:.0f}")
        parts.append(
            f"diverged trials and scores worse than chance count as {score(ceiling)} ({whose} % of the trials)"
        )
    return "; ".join(parts) + "."


def _refits(analyses: Analyses, task: str, order: Sequence[str]) -> str:
    """How the refit spread of the shares was made, or why there is none, each wording once with its cells."""
    if analyses.effects is None:
        return ""
    part = analyses.effects.sel(task=task).isel(clip=0)
    cells: dict[str, list[str]] = {}
    for name in present(order, analyses.effects):
        if said := str(part["refit_spread"].sel(variant=name).item()):
            cells.setdefault(said, []).append(name)
    everywhere = len(cells) == 1
    texts = [said if everywhere else f"{words.listed(names)}: {said}" for said, names in cells.items()]
    return "".join(f"{text[0].upper() if everywhere else text[0]}{text[1:]}. " for text in texts).strip()


def _notes(analyses: Analyses, task: str, order: Sequence[str]) -> list[str]:
    """What a reader must know of single analyses: constant responses, too few trials, little explained."""
    if analyses.effects is None:
        return []
    part = analyses.effects.sel(task=task).isel(clip=0)
    said: dict[str, list[tuple[str, str, int]]] = {}  # by what is alike of their notes, cells
    for name in present(order, analyses.effects):
        one = part.sel(variant=name)
        note = str(one["note"].item())
        if bool(one["flagged"]) and "R²" not in note:
            poor = f"R² = {fixed(float(one['r_squared']))} is below {analyses.effects.attrs['flagged_below']:g}"
            note = f"{note}; {poor}" if note else poor
            note += ": the shares describe little of the response"
        if collapsed := _collapsed(analyses, task, name, float(one["ceiling_share"])):
            note = f"{note}; {collapsed}" if note else collapsed
        if note:
            alike = re.sub(r"n = \d+; ", "", note)
            said.setdefault(alike if alike != note else f"{name}: {note}", []).append((name, note, int(one["n"])))
    texts = []
    for note, cells in said.items():
        names = [name if len(cells) == 1 else f"{name} (n = {n})" for name, _, n in cells]
        texts.append(f"{words.listed(names)}: {cells[0][1] if len(cells) == 1 else note}.")
    named = [name for name in present(order, part) if part["main_share"].sel(variant=name).notnull().any()]
    return texts + ([] if analyses.times is None else _notes_of_times(analyses.times.sel(task=task), named))


def _collapsed(analyses: Analyses, task: str, name: str, at_ceiling: float) -> str:
    """What the ceiling does to the forest of a cell with unstable trials."""
    one = analyses.comparison.sel(task=task, variant=name)
    if not int(one["unstable"]):
        return ""
    return (
        f"{int(one['unstable'])} of {int(one['finished'])} trials are unstable, and {100 * at_ceiling:.0f} % of the scores "
        "stand at the chance level, their ceiling: its forest and shares tell which draws score anything, more than how well"
    )


def _notes_of_times(times: xarray.Dataset, order: Sequence[str]) -> list[str]:
    """The same of the training times, whose marginals are drawn: what is poor in one sentence, as it is often all cells."""
    part = times.isel(clip=0)
    names = present(order, times)
    poor = [name for name in names if bool(part["flagged"].sel(variant=name))]
    texts = []
    if poor:
        texts.append(
            f"Training time of {words.listed(poor)}: R² {spread(part.sel(variant=poor))}, below "
            f"{times.attrs['flagged_below']:g}: the marginals describe little of the time."
        )
    others = ((name, str(part["note"].sel(variant=name).item())) for name in names if name not in poor)
    return texts + [f"Training time of {name}: {note}." for name, note in others if note]
