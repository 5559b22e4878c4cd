"""What an epoch costs and how large a network is at one N: what can be compared between cells, whatever sizes trials drew.

For each task one regression of the processor time of an epoch's updates on the number of units, over all its trials:

    log s = a_cell + b_cell·l + c_cell·l² + g_processor,   l = log(N / at)

by least squares. A cell has a curve of its own, the processors are common to all cells, so that trials of a study that
moved from one machine to another still make one cost. What is given is exp(a_cell) on the processor for which most cells
can be told (of these, the one that ran most trials), and the cell's residual; where the trials do not tell (a cell that ran
on another processor alone), nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy
import xarray
from numpy.typing import ArrayLike, NDArray

from lstm_odyssey.reports.contract.selection import as_study
from lstm_odyssey.reports.contract.validation import attribute

AT = 100
"""The number of units that a cost is given at, where a task's sizes reach it."""

DEGREE = 2
CELL_COSTS = ("epoch_cost", "epoch_cost_error", "epoch_cost_freedom", "epoch_cost_residual")
"""What ``epoch_costs`` says of a cell on a task."""

SEPARATOR = "; "
"""Between the names in ``epoch_cost_processors``."""

ENOUGH = 5
"""Fewer trials of a cell make no curve of three coefficients with a residual."""


def fitted(
    seconds: ArrayLike, sizes: ArrayLike, cells: ArrayLike, processors: ArrayLike, *, at: float, count: int
) -> dict[str, Any]:
    """The regression above on arrays, a trial each [n]; what is not a positive finite number of seconds is left out.

    Args:
        seconds: of an epoch.
        sizes: N.
        cells: 0 .. count - 1.
        processors: a label each.
        at: the N that costs are given at.
        count: how many cells.

    Returns:
        ``seconds`` [count]: at ``at`` on ``processor``, NaN where it cannot be told. ``error`` [count]: the standard error of
        its logarithm. ``freedom`` [count]: the degrees of freedom of that error. ``residual`` [count]: the standard deviation
        of log s about the curve, n less the cell's coefficients in its denominator. ``trials`` [count]: used.
    """
    times, widths = numpy.asarray(seconds, float), numpy.asarray(sizes, float)
    of, ran = numpy.asarray(cells), numpy.asarray(processors)
    with numpy.errstate(invalid="ignore"):
        used = numpy.isfinite(times) & (times > 0) & (widths > 0)
    trials = numpy.bincount(of[used], minlength=count)
    used &= trials[of] >= ENOUGH
    if not used.any():
        empty = numpy.full(count, math.nan)
        nothing = dict.fromkeys(("seconds", "error", "freedom", "residual"), empty)
        return nothing | {"trials": trials, "processor": ""}
    logs, widths, of, ran = numpy.log(times[used]), numpy.log(widths[used] / at), of[used], ran[used]
    labels, machines, often = numpy.unique(ran, return_inverse=True, return_counts=True)
    curves = [widths[of == cell][:, None] ** numpy.arange(DEGREE + 1) for cell in range(count)]
    if labels.size == 1:  # each cell by itself, so that its cost has the same bits whatever cells stand beside it
        costs, rest = numpy.full((1, count), math.nan), numpy.zeros_like(logs)
        weights = numpy.zeros((1, count, logs.size))
        for cell, curve in enumerate(curves):
            if len(curve):
                solution, *_ = numpy.linalg.lstsq(curve, logs[of == cell])
                rest[of == cell], weight = logs[of == cell] - curve @ solution, numpy.linalg.pinv(curve)[0]
                weights[0, cell, of == cell] = weight
                # else the sizes do not tell the curve at this N
                if numpy.allclose(weight @ curve, numpy.eye(1, DEGREE + 1)):
                    costs[0, cell] = math.exp(solution[0])
        chosen = 0
    else:
        costs, rest, told, weights = _across(logs, widths, of, machines, count, labels.size)
        chosen = max(range(labels.size), key=lambda machine: (told[machine].sum(), often[machine]))
    squares = numpy.bincount(of, rest**2, minlength=count)
    taken = numpy.array([numpy.linalg.matrix_rank(curve) if len(curve) else 0 for curve in curves])
    free = numpy.bincount(of, minlength=count) - taken
    with numpy.errstate(invalid="ignore", divide="ignore"):
        residual = numpy.where(free > 0, numpy.sqrt(squares / free), math.nan)
    parts = numpy.stack([numpy.where(of == cell, weights[chosen] ** 2, 0).sum(axis=1) for cell in range(count)], axis=1)
    # [count, count]: what each cell's scatter adds to a variance
    parts = numpy.where(parts > 0, parts * residual**2, 0)
    known = ~numpy.isnan(costs[chosen])
    return {
        "seconds": costs[chosen],
        "error": numpy.where(known, numpy.sqrt(parts.sum(axis=1)), math.nan),
        "freedom": numpy.where(known, freedom(parts, free), math.nan),
        "residual": residual, "trials": trials, "processor": labels[chosen],
    }  # fmt: skip


def freedom(variances: ArrayLike, freedoms: ArrayLike) -> NDArray[Any]:
    """The degrees of freedom of a sum of independent estimated variances, over the last axis: Satterthwaite's.

    (Σ v)² / Σ v²/ν (F. E. Satterthwaite, Biometrics Bulletin 2, 1946): Welch's for the difference of two means. A part that
    is 0 takes none; NaN where all are 0.

    >>> float(freedom([0.2], [7])), float(freedom([1, 1], [2, 2])), float(freedom([1, 0], [2, 0]))
    (7.0, 4.0, 2.0)
    """
    parts, each = numpy.broadcast_arrays(numpy.asarray(variances, float), numpy.asarray(freedoms, float))
    with numpy.errstate(invalid="ignore", divide="ignore"):
        found: NDArray[Any] = parts.sum(-1) ** 2 / numpy.where(parts > 0, parts**2 / each, 0).sum(-1)
    return found


def _across(
    logs: NDArray[Any], widths: NDArray[Any], of: NDArray[Any], machines: NDArray[Any], count: int, processors: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Costs [processors, count], residuals [n], which costs can be told, and each trial's weight in their logarithms."""
    columns = [(of == cell) * widths**power for cell in range(count) for power in range(DEGREE + 1)]
    # every processor has a column: cells and processors are known up to a constant, which a cost on a processor is free of
    columns += [machines == machine for machine in range(processors)]
    design = numpy.stack(columns, axis=1).astype(float)
    left, values, right = numpy.linalg.svd(design, full_matrices=False)
    kept = values > values[0] * 1e-10
    right = right[kept]
    inverse = right.T @ (left[:, kept] / values[kept]).T
    solution, weights = inverse @ logs, numpy.empty((processors, count, logs.size))
    costs, told = numpy.full((processors, count), math.nan), numpy.zeros((processors, count), bool)
    for machine in range(processors):
        asked = numpy.zeros((count, design.shape[1]))
        asked[numpy.arange(count), numpy.arange(count) * (DEGREE + 1)] = 1
        asked[:, count * (DEGREE + 1) + machine] = 1
        told[machine] = numpy.linalg.norm(asked - asked @ right.T @ right, axis=1) < 1e-6
        costs[machine] = numpy.where(told[machine], numpy.exp(asked @ solution), math.nan)
        weights[machine] = asked @ inverse
    return costs, logs - design @ solution, told, weights


def reference_size(space: Any) -> int:
    """The N that costs are given at: 100 where the distribution of sizes reaches it, else the middle of its bounds.

    >>> reference_size({"kind": "even_integer", "of": {"kind": "log_uniform", "low": 20, "high": 45}})
    30
    """
    form = space
    while isinstance(form, dict) and not {"low", "high"} <= set(form):
        form = next((value for value in form.values() if isinstance(value, dict)), None)
    if form is None or form["low"] <= AT <= form["high"]:
        return AT
    return round(math.sqrt(form["low"] * form["high"]))


def parameters_at(study: xarray.Dataset, task: str, variant: str, size: int) -> float:
    """Parameters of the whole network with N = ``size``: the cell in each direction, and the output layer.

    Trials have sizes of their own; at one N cells can be compared. NaN where the study does not tell shapes or sizes.
    """
    cell = attribute(study, "variants").get(variant, {}).get("parameters")
    facts = attribute(study, "tasks").get(task, {})
    known = {"N": size, "M": facts.get("input_size")}
    if not cell or known["M"] is None or facts.get("n_outputs") is None:
        return math.nan
    directions = 2 if facts.get("bidirectional") else 1
    try:
        weights = sum(math.prod(int(known.get(dim, dim)) for dim in shape) for shape in cell.values())
    except (TypeError, ValueError):  # a plugin may call a dimension what it likes
        return math.nan
    return float(directions * weights + int(facts["n_outputs"]) * (directions * size + 1))


def processors(study: xarray.Dataset, *, timed: bool = True) -> list[str]:
    """The processors that a study's trials ran on, most trials first; ``timed``: those of trials with a time alone."""
    names = _names(study)
    ran = numpy.isfinite(study["training_seconds"].values) if timed else names != ""
    labels, often = numpy.unique(names[ran], return_counts=True)
    return [str(label) for label in labels[numpy.argsort(-often, kind="stable")]]


def _names(study: xarray.Dataset) -> NDArray[Any]:
    known = [str(environment.get("cpu", "")) for environment in attribute(study, "environments")]
    names: NDArray[Any] = numpy.array([*known, ""], object)[study["environment"].values]
    return names


def epoch_costs(study: xarray.Dataset, *, at: int | None = None) -> xarray.Dataset:
    """Processor time of an epoch's updates at one N for each task and cell.

    Args:
        study: a valid one, or a selection of one.
        at: the number of units; by default ``reference_size`` of each task's space.

    Returns:
        ``epoch_cost`` [task, variant] in seconds, ``epoch_cost_error`` and ``epoch_cost_residual`` (relative),
        ``epoch_cost_freedom`` and ``epoch_cost_trials``, missing where no times were measured; ``epoch_cost_at``,
        ``epoch_cost_processor``, ``epoch_cost_processors`` [task].

    Raises:
        ValueError: ``at`` is not above 0.
    """
    if at is not None and not at > 0:
        raise ValueError(f"at is {at!r}; expected a number of units above 0.")
    study = as_study(study, "training_seconds", "epochs", "hidden_size", "environment")
    tasks, variants = study["task"].values.tolist(), study["variant"].values.tolist()
    spaces = attribute(study, "distributions")
    sizes = [reference_size(spaces[task].get("hidden_size")) if at is None else at for task in tasks]
    names = _names(study)
    with numpy.errstate(invalid="ignore", divide="ignore"):
        seconds = study["training_seconds"].values / study["epochs"].values
    cells = numpy.broadcast_to(numpy.arange(len(variants))[:, None], seconds.shape[1:])
    found = [
        fitted(
            seconds[place].ravel(), study["hidden_size"].values[place].ravel(), cells.ravel(), names[place].ravel(),
            at=sizes[place], count=len(variants),
        )
        for place in range(len(tasks))
    ]  # fmt: skip
    variables: dict[str, Any] = {
        name: (("task", "variant"), numpy.stack([one[key] for one in found]), {"long_name": words, "units": units})
        for name, key, words, units in (
            ("epoch_cost", "seconds", "processor time of an epoch's updates at N = epoch_cost_at", "s"),
            ("epoch_cost_error", "error", "standard error of log epoch_cost, of the fit", "1"),
            ("epoch_cost_freedom", "freedom", "degrees of freedom of epoch_cost_error", "1"),
            ("epoch_cost_residual", "residual", "standard deviation of log time about the fit on log N", "1"),
            ("epoch_cost_trials", "trials", "trials whose times were fitted", "1"),
        )
    }
    ran = [SEPARATOR.join(processors(study.sel(task=task))) for task in tasks]
    variables |= {
        "epoch_cost_at": ("task", sizes, {"long_name": "number of units that costs are given at", "units": "1"}),
        "epoch_cost_processor": ("task", [str(one["processor"]) for one in found], {"long_name": "of these times"}),
        "epoch_cost_processors": ("task", ran, {"long_name": "all that measured trials ran on"}),
    }
    return xarray.Dataset(variables, {"task": study["task"], "variant": study["variant"]})


def duration(seconds: float) -> str:
    """A time in seconds as it is shown: three digits, zeros at the end too, or a dash.

    >>> duration(0.123456), duration(0.17), duration(12.3456), duration(1234.5), duration(math.nan)
    ('0.123', '0.170', '12.3', '1,234', '–')
    """
    if math.isnan(seconds):
        return "–"
    return f"{seconds:#.3g}".removesuffix(".") if seconds < 999.5 else f"{seconds:,.0f}"


def counted(costs: xarray.Dataset, task: str) -> int:
    """How many processors the trials of a task ran on whose times were measured."""
    names = str(costs["epoch_cost_processors"].sel(task=task).item())
    return len(names.split(SEPARATOR)) if names else 0


def said(costs: xarray.Dataset, task: str) -> str:
    """Where a task's costs come from, in a sentence; empty where none were measured."""
    own, names = (str(costs[f"epoch_cost_{name}"].sel(task=task).item()) for name in ("processor", "processors"))
    if not own:
        return ""
    if (number := counted(costs, task)) == 1:
        return f"Times are of {own}."
    return (
        f"The trials ran on {number} processors ({', '.join(names.split(SEPARATOR))}). "
        f"Times are given for {own}: one factor a processor, common to all cells, was fitted."
    )
