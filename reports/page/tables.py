"""The tables of the page as data: heads, cells with the text that is shown and the value that is sorted by."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy
import pandas
import xarray

from lstm_odyssey.reports.contract.wording import estimate, estimated_share, fixed, form_of, interval, open_text, signed
from lstm_odyssey.reports.fanova.cases import FACTOR
from lstm_odyssey.reports.page.analyses import Analyses
from lstm_odyssey.reports.page.importance import analysed
from lstm_odyssey.reports.plots.axis import present, shown
from lstm_odyssey.reports.stats.contents import BETTER, OPEN, WORSE
from lstm_odyssey.reports.stats.epoch_cost import duration
from lstm_odyssey.reports.stats.searches import DRAWS
from lstm_odyssey.reports.stats.stability import BRIEFLY
from lstm_odyssey.reports.stats.table import instability, maximizes, score, whole

TOGETHER = "all cells together"
"""The row of the analysis that has the cell as a factor."""


LOOKS = {BETTER: "better", WORSE: "no"}
"""Classes of a verdict: the colours that it has in the figures."""


class Cell(NamedTuple):
    """One cell.

    Attributes:
        text: what is shown.
        key: what rows are sorted by, a number or a text; None stands last in either direction.
        look: a class of the style sheet.
    """

    text: str
    key: float | str | None
    look: str = ""


class Row(NamedTuple):
    """The cells of one variant; ``leads`` marks what a verdict calls better than the baseline."""

    variant: str
    cells: list[Cell]
    leads: bool = False


class Grid(NamedTuple):
    """A table; each head is a name and what it means, empty where the name says it. The first stands over the variants."""

    caption: str
    heads: list[tuple[str, str]]
    rows: list[Row]


ALWAYS = ("corrected", "verdict")
"""Columns that stand even where they say the same of every cell: a verdict stands beside its interval."""


def varying(grid: Grid | None) -> Grid | None:
    """The table without the columns that say the same of every cell; its caption says what that is."""
    if grid is None or len(grid.rows) < 2:
        return grid
    columns = list(zip(*(row.cells for row in grid.rows), strict=True))
    heads = [name for name, _ in grid.heads[1:]]
    kept = [
        place for place, cells in enumerate(columns) if heads[place] in ALWAYS or len({cell.text for cell in cells}) > 1
    ]
    same = [
        f"{grid.heads[1 + place][0]} {cells[0].text}"
        for place, cells in enumerate(columns)
        if place not in kept and cells[0].text != "–"
    ]
    caption = f"{grid.caption} The same for all: {'; '.join(same)}." if same else grid.caption
    rows = [row._replace(cells=[row.cells[place] for place in kept]) for row in grid.rows]
    return Grid(caption, [grid.heads[0], *(grid.heads[1 + place] for place in kept)], rows)


def number(value: float, text: str | None = None, look: str = "") -> Cell:
    """A number as it is shown, a dash where there is none."""
    if not math.isfinite(value):
        return Cell("–", None, "zero")
    return Cell(score(value) if text is None else text, value, look)


def results(
    dataset: xarray.Dataset,
    table: pandas.DataFrame,
    comparison: xarray.Dataset,
    task: str,
    again: xarray.Dataset | None = None,
) -> Grid:
    """What each cell scores, costs, and how its trials ended; ``again``: what its best draw scores with fresh seeds."""
    rows, chance = table.loc[task], float(dataset["chance"].sel(task=task))
    better = "larger" if maximizes(dataset, task) else "smaller"
    facts = dataset.sel(task=task)
    caption = f"Test {facts['metric'].item()}, {facts['units'].item()}; {better} is better"
    caption += "." if math.isnan(chance) else f"; chance level {score(chance)}."
    made = []
    for name, row in rows.iterrows():
        one = comparison.sel(task=task, variant=name)
        low, high = one["mean_test_interval"].values.tolist()
        beats = Cell("–", None) if math.isnan(chance) or not row["selected"] else (
            Cell("yes", 1, "yes") if row["beats_chance"] else Cell("no", 0, "no")
        )  # fmt: skip
        failed = Cell(str(row["failed"]), float(row["failed"]), "" if row["failed"] else "zero")
        cells = [
            number(row["mean_test"], look="main"),
            number(low, interval(low, high, score)),
            number(row["best_test"]),
            number(row["chosen_test"]),
            beats,
            number(row["n_parameters"], whole(row["n_parameters"])),
            number(row["epoch_cost"], f"{duration(row['epoch_cost'])} ± {100 * row['epoch_cost_residual']:.0f} %"),
            Cell(f"{row['finished']} of {row['trials']}", float(row["finished"])),
            _divergence(row, one),
            number(row["instability"], instability(row), "no" if row["unstable"] else "zero"),
            failed,
        ]
        if again is not None:
            cells.insert(3, _again(again, task, str(name), int(row["best_trial"])))
        made.append(Row(str(name), cells, one["verdict"].item() == BETTER))
    heads = [
        ("cell", ""), ("mean of best 10 %", "chosen by validation, scored on the test set"),
        ("95 % interval", "bootstrap that selects the best 10 % anew in every replicate"),
        ("best of these", "picked by the test score itself, and so flatters"),
        ("first by validation", "test score of the one trial that is best by validation"), ("beats chance", ""),
        ("parameters", "of the best trial"),
        (f"s/epoch at N = {table.attrs['at'][task]}", "processor time of an epoch's updates, from a fit; ± spread of a trial"),
        ("finished", ""),
        ("diverged", "with the exact 95 % interval of the probability"),
        ("unstable", f"{BRIEFLY}; with the exact 95 % interval"), ("failed", ""),
    ]  # fmt: skip
    if again is not None:
        heads.insert(
            4, ("with fresh seeds, ± sd", "mean of the best draw trained again ± standard deviation of the seed")
        )
    return Grid(caption, heads, made)


def _again(again: xarray.Dataset, task: str, name: str, trial: int) -> Cell:
    """What a trial's draw scores on average with fresh seeds, and the seed's standard deviation."""
    if name not in again["variant"].values or task not in again["task"].values:
        return Cell("–", None, "zero")
    part = again.sel(task=task, variant=name)
    means, spread = part["mean"].values[part["trial"].values == trial], float(part["seed_deviation"])
    if not means.size or not math.isfinite(means[0]):
        return Cell("–", None, "zero")
    return number(float(means[0]), f"{score(float(means[0]))} ± {spread:.2g}")


def differences(comparison: xarray.Dataset, task: str, order: Sequence[str]) -> Grid | None:
    """Every cell against the baseline; None where there is none, or nothing else."""
    baseline = str(comparison.attrs["baseline"])
    others = [name for name in present(order, comparison) if name != baseline]
    if not baseline or not others:
        return None
    made = []
    unsteady = bool(comparison["unstable"].sel(task=task).sum())
    small = comparison["best_of_difference"].sel(task=task, variant=others).notnull().any("variant")
    most = int(comparison["best_of"].values[small.values].max()) if small.any() else 0
    searched = bool(comparison["better_in_search"].sel(task=task).notnull().any())
    form = form_of(comparison.sel(task=task))
    for name in others:
        one = comparison.sel(task=task, variant=name)
        value = {key: one[key].item() for key in ("difference", "hedges_g", "cliffs_delta", "verdict_welch")}
        cells = [
            number(value["difference"], form(value["difference"]), "main"),
            _span(one["difference_corrected_interval"], form),
            _verdict(one, form),
        ]
        if unsteady:
            cells.append(number(float(one["stable_difference"]), form(float(one["stable_difference"]))))
        if most:
            best = one.sel(best_of=most)
            cells.append(_effect(float(best["best_of_difference"]), best["best_of_difference_interval"], form))
        if searched:
            cells.append(_effect(float(one["better_in_search"]), one["better_in_search_interval"], fixed))
        cells += [
            _p(float(one["welch_p"]), LOOKS.get(value["verdict_welch"], "")),
            number(value["hedges_g"], signed(value["hedges_g"])),
            number(value["cliffs_delta"], signed(value["cliffs_delta"])),
        ]
        made.append(Row(name, cells, one["verdict"].item() == BETTER))
    units = str(comparison["units"].sel(task=task).item())
    heads = [
        ("cell", ""), (f"minus {baseline}", f"difference of the means of the best 10 %, in {units}"),
        ("corrected", "95 % joint bootstrap, each best tenth selected anew, Bonferroni over the judged cells: the verdict"),
        ("verdict", "by the corrected interval"),
    ]  # fmt: skip
    heads += [("stable only", "the difference without unstable trials; not tested")] if unsteady else []
    heads += [(f"best of {most}", f"difference after {most} draws, the best by validation kept, 95 %")] if most else []
    heads += [(f"P(better), {DRAWS} draws", f"in searches of {DRAWS} draws, 95 %")] if searched else []
    heads += [
        ("Welch p", "the paper's test, uncorrected; coloured where it finds a difference at 5 %"),
        ("Hedges g", ""), ("Cliff's δ", ""),
    ]  # fmt: skip
    return Grid(f"Differences to {baseline} of the mean test score of the best 10 %, in {units}.", heads, made)


def _verdict(one: xarray.Dataset, form: Callable[[float], str]) -> Cell:
    """The verdict; where it is open, how much room it leaves."""
    verdict = str(one["verdict"].item())
    within = float(one["differs_by_less_than"])
    text = f"open: {open_text([within], form)}" if verdict == OPEN and math.isfinite(within) else verdict
    return Cell(text, verdict, LOOKS.get(verdict, ""))


def _span(ends: xarray.DataArray, form: Callable[[float], str]) -> Cell:
    low, high = ends.values.tolist()
    return number(low, interval(low, high, form))


def _effect(value: float, ends: xarray.DataArray, form: Callable[[float], str]) -> Cell:
    """A number with its interval, where it has one."""
    low, high = ends.values.tolist()
    return number(value, estimate(value, low, high, form))


def _p(value: float, look: str) -> Cell:
    return number(value, "<\N{NO-BREAK SPACE}0.001" if value < 0.001 else f"{value:.3f}", look)


def _divergence(row: pandas.Series, one: xarray.Dataset) -> Cell:
    """How many trials diverged, with the exact interval of the probability."""
    low, high = one["divergence_interval"].values.tolist()
    said = (
        f" ({interval(100 * low, 100 * high, lambda end: f'{end:.1f}')} %)"
        if row["diverged"] and math.isfinite(low)
        else ""
    )
    return Cell(f"{row['diverged']}{said}", float(row["diverged"]), "" if row["diverged"] else "zero")


def importance(analyses: Analyses, task: str, order: Sequence[str]) -> Grid | None:
    """Shares of the variance of each cell, their error, R² and the number of trials; None where no cell was analysed."""
    effects = analyses.effects
    if effects is None or not analysed(effects, task):
        return None
    axes = shown(effects, task)
    parts = [(name, effects.sel(task=task, variant=name).isel(clip=0)) for name in present(order, effects)]
    pooled = analyses.pooled
    if pooled is not None:
        parts.append((TOGETHER, pooled.sel(task=task).isel(variant=0, clip=0)))
    made = []
    for name, part in parts:
        r_squared, poor = float(part["r_squared"]), bool(part["flagged"])
        cells = [number(float(part["n"]), f"{int(part['n'])}")]
        cells.append(number(r_squared, fixed(r_squared) + (" (poor)" if poor else ""), "no" if poor else ""))
        held = part["hyperparameter"].values.tolist()
        cells += [_share(part, "main_share", held.index(one.name)) for one in axes]
        cells += [_share(part, "order_share", place) for place in (1, 2)]
        if pooled is not None:
            cells.append(_share(part, "main_share", held.index(FACTOR)) if FACTOR in held else Cell("–", None, "zero"))
        made.append(Row(name, cells))
    heads = [
        ("cell", ""),
        ("n", "finished trials with a response"),
        ("R²", "out of the bag: what of the variance is predictable"),
    ]
    heads += [(one.label, f"main effect of {one.label}") for one in axes]
    heads += [("pairs", "all interactions of two"), ("three and more", "all higher interactions")]
    if pooled is not None:
        heads.append(("which cell", f"main effect of the cell, where it is a factor: {TOGETHER}"))
    return Grid("Shares of the predictable variance of the test score; the raw response.", heads, made)


def _share(part: xarray.Dataset, name: str, place: int) -> Cell:
    """A share with its refit spread, or with the standard error of its computation where that is not 0."""
    value, error, low, high = (
        float(part[f"{name}{end}"].values[place]) for end in ("", "_standard_error", "_low", "_high")
    )
    text = estimated_share(value, low, high, 1)
    if not math.isfinite(low) and numpy.isfinite(error) and error > 0.0005:
        text += f" ± {100 * error:.1f} %"
    return number(value, text)
