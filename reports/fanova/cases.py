"""What a functional ANOVA explains: the response of one cell's trials on one task, and the axes of what was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy
import xarray

from lstm_odyssey.reports.contract.validation import hyperparameters, space
from lstm_odyssey.reports.contract.variables import FINISHED, SCORES
from lstm_odyssey.reports.fanova.space import Axis, AxisError, Cells, Floats, axis, nominal
from lstm_odyssey.reports.stats.inference import capped
from lstm_odyssey.reports.stats.table import maximizes

MEASURES = ("seconds", "frames_per_second", "epochs", "best_epoch", "n_parameters")
RESPONSES = (*SCORES, *MEASURES)
"""What can be explained. A score has the chance level as its ceiling; a measure is taken as it stands."""

FACTOR = "variant"
"""The name of the cell where it is a factor among the hyperparameters."""


class FanovaError(ValueError):
    """What was asked for cannot be computed; the message says subject, got, expected, what to do.

    Args:
        finding: subject, got, expected.
        cure: what a caller is to do; a page, whose reader calls nothing, leaves it out.
    """

    def __init__(self, finding: str, cure: str = "") -> None:
        super().__init__(f"{finding} {cure}".strip())
        self.finding = finding


class Case(NamedTuple):
    """One analysis: n trials, d hyperparameters.

    Attributes:
        response: as it is explained, but not clipped [n].
        cells: the axes, cut, with the trials' cells.
        n_diverged, n_ceiling, n_left_out: how many trials diverged, stand at the ceiling, were left out.
        maximize: whether larger responses are better.
    """

    response: Floats
    cells: tuple[Cells, ...]
    n_diverged: int
    n_ceiling: int
    n_left_out: int
    maximize: bool

    def clipped(self, quantile: float) -> tuple[Floats, float]:
        """The response with what is worse than a quantile counted from the best set to it, and that cut-off."""
        if self.maximize:
            cutoff = float(numpy.quantile(self.response, 1 - quantile))
            return numpy.maximum(self.response, cutoff), cutoff
        cutoff = float(numpy.quantile(self.response, quantile))
        return numpy.minimum(self.response, cutoff), cutoff


def drawn(study: xarray.Dataset, task: str, names: Sequence[str] | None = None, variant: str = "") -> dict[str, Axis]:
    """The sampling axes of what is drawn on a task, by name in the order of its space; with what a variant alone has.

    Raises:
        FanovaError: a distribution that no axis can be made of.
    """
    found = {}
    for name, form in space(study, task, *([variant] if variant else [])).items():
        if names is None or name in names:
            try:
                found[name] = axis(form)
            except AxisError as wrong:
                others = [other for other in hyperparameters(study) if other != name]
                cure = f"Leave it out: hyperparameters={others!r}."
                raise FanovaError(f"hyperparameter '{name}' of task '{task}': got {wrong}. {cure}") from None
    return found


def complete(study: xarray.Dataset, tasks: Sequence[str]) -> None:
    """Raise if a hyperparameter that some task drew has a distribution and no values: its effect would be called noise.

    Raises:
        FanovaError: it names the hyperparameter and the task.
    """
    known = hyperparameters(study)
    for task in tasks:
        for name in space(study, task, *study["variant"].values.tolist()):
            if name not in known:
                got = "a variable that is not marked as one" if name in study else "a distribution without values"
                cure = f", or leave it out: hyperparameters={known!r}." if known else "."
                raise FanovaError(
                    f"hyperparameter '{name}' of task '{task}': got {got}; expected what was drawn, as open_study reads it. "
                    f"Analyse the study as it was stored{cure}"
                )


def factor(variants: Sequence[str]) -> Axis:
    """The axis of the cell as a factor: each as likely as any other, in no order."""
    return nominal(variants)


def higher_is_better(study: xarray.Dataset, task: str, response: str) -> bool:
    """Whether larger responses are better: the task's direction for a score; of the measures, the throughput."""
    return maximizes(study, task) if response in SCORES else response == "frames_per_second"


def case(
    study: xarray.Dataset, task: str, variants: Sequence[str], axes: dict[str, Axis], response: str = "best_test"
) -> Case:
    """The trials of one or more variants on a task, as the analysis takes them.

    Finished trials count: those that ran to the end and those that diverged. A score worse than the task's chance level, or
    none because the trial diverged at once, stands at that level. Trials without a response, or without a value of a
    hyperparameter, are left out.

    Args:
        study: the stored study.
        task: its task.
        variants: one, or those that are pooled.
        axes: of the hyperparameters, by name; ``variant`` among them is the factor.
        response: one of ``RESPONSES``.
    """
    part = study.sel(task=task, variant=list(variants))
    status = part["status"].values.ravel()
    finished = numpy.isin(status, FINISHED)
    diverged = status == "diverged"
    values = part[response].values.ravel().astype(float)
    maximize = higher_is_better(study, task, response)
    bound = float(study["chance"].sel(task=task)) if response in SCORES else float("nan")
    at_ceiling = numpy.zeros(values.size, bool)
    if numpy.isfinite(bound):
        lost = diverged & ~numpy.isfinite(values)
        values = numpy.where(lost, bound, values)
        known = numpy.isfinite(values)
        values[known] = capped(values[known], bound, maximize=maximize)
        at_ceiling = values == bound
    columns = {name: _column(part, name, status.size) for name in axes}
    usable = finished & numpy.isfinite(values)
    for column in columns.values():
        usable &= (column != "") if column.dtype.kind == "U" else ~numpy.isnan(column)
    cells = []
    for name, each in axes.items():
        try:
            cells.append(each.cells(columns[name][usable]))
        except AxisError as wrong:
            cure = "The study and its distributions do not fit; write it again from its store."
            raise FanovaError(f"hyperparameter '{name}' of task '{task}': got {wrong}. {cure}") from None
    return Case(
        values[usable],
        tuple(cells),
        int((diverged & usable).sum()),
        int((at_ceiling & usable).sum()),
        int((finished & ~usable).sum()),
        maximize,
    )


def _column(part: xarray.Dataset, name: str, size: int) -> numpy.ndarray[tuple[int], numpy.dtype[numpy.generic]]:
    if name == FACTOR:
        return numpy.repeat(part["variant"].values, size // part.sizes["variant"])
    return part[name].transpose("variant", "trial").values.ravel()
