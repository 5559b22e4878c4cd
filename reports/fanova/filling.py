"""Results of single analyses written into the one dataset of ``fanova``: its arrays, notes and refit spreads."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy
import xarray

from lstm_odyssey.reports.contract.variables import SCORES, WORDS
from lstm_odyssey.reports.contract.wording import fixed
from lstm_odyssey.reports.fanova import layout
from lstm_odyssey.reports.fanova.analysis import ORDERS, Analysis, Decomposition, View, view
from lstm_odyssey.reports.fanova.cases import FACTOR, Case, higher_is_better
from lstm_odyssey.reports.fanova.effects import all_pairs
from lstm_odyssey.reports.fanova.refits import ENOUGH, Replicates
from lstm_odyssey.reports.fanova.remainder import POINTS, SCRAMBLINGS
from lstm_odyssey.reports.fanova.space import Axis, Floats, Levels

SAMPLED = f"sampled at {SCRAMBLINGS} x {POINTS} scrambled Sobol' points"

Place = tuple[int, ...]


class Filling:
    """The arrays of a result while they are being filled: ``labels`` are its variants, ``axes`` what each has drawn on a task.

    A hyperparameter has one axis on a task, in whichever cells it is drawn.
    """

    def __init__(
        self,
        study: xarray.Dataset,
        response: str,
        tasks: Sequence[str],
        labels: Sequence[str],
        clip: Sequence[float],
        names: Sequence[str],
        axes: Mapping[tuple[str, str], Mapping[str, Axis]],
        points: int,
    ) -> None:
        self.names, self.tasks, self.labels, self.clip = list(names), list(tasks), list(labels), list(clip)
        self.axes, self.search = axes, study.attrs.get("search")
        self.pairs = [(names[i], names[j]) for i, j in all_pairs(len(names))]
        every: dict[str, dict[str, Axis]] = {task: {} for task in tasks}
        for (task, _), found in axes.items():
            every[task] |= found
        views = {(task, name): view(each, points) for task in tasks for name, each in every[task].items()}
        shown = max(each.ends.size - 1 for each in views.values())
        words = [_words(study, name) for name in names]
        self.coordinates = {
            "task": ("task", self.tasks), "variant": ("variant", self.labels), "clip": ("clip", self.clip),
            "hyperparameter": ("hyperparameter", self.names), "order": ("order", ORDERS),
            "point": ("point", numpy.arange(shown)), "other_point": ("other_point", numpy.arange(shown)),
            "quantity": ("quantity", layout.QUANTITIES),
            "pair": ("pair", numpy.array([f"{one}:{two}" for one, two in self.pairs], str)),
            "first": ("pair", numpy.array([one for one, _ in self.pairs], str)),
            "second": ("pair", numpy.array([two for _, two in self.pairs], str)),
            "hyperparameter_name": ("hyperparameter", [name for name, _ in words]),
            "hyperparameter_units": ("hyperparameter", [units for _, units in words]),
        }  # fmt: skip
        sizes = {name: len(numpy.asarray(values)) for name, (_, values) in self.coordinates.items()}
        self.arrays = {each.name: each.empty(sizes) for each in layout.VARIABLES}
        self.units = [_units(study, task, response) for task in tasks]
        for t, task in enumerate(tasks):
            self.arrays["response_units"][t] = self.units[t]
            self.arrays["direction"][t] = "maximize" if higher_is_better(study, task, response) else "minimize"
            if response in SCORES:
                self.arrays["ceiling"][t] = float(study["chance"].sel(task=task))
            for name, axis in every[task].items():
                self._axis((t, self.names.index(name)), axis, views[task, name])

    def _axis(self, at: Place, axis: Axis, shown: View) -> None:
        middle = (shown.ends[:-1] + shown.ends[1:]) / 2
        size = middle.size
        self.arrays["scale"][at] = axis.scale
        self.arrays["probability"][at][:size] = middle
        self.arrays["mass"][at][:size] = numpy.diff(shown.ends)
        self.arrays["position"][at][:size] = axis.quantile(middle)
        if shown.levels and isinstance(axis, Levels):
            self.arrays["level"][at][:size] = [
                str(value).lower() if isinstance(value, bool) else str(value) for value in axis.values
            ]

    def count(self, at: Place, case: Case) -> None:
        """How many trials a case has, and how many of them came to grief."""
        n = case.response.size
        self.arrays["n"][at], self.arrays["n_diverged"][at] = n, case.n_diverged
        if n:
            self.arrays["diverged_share"][at] = case.n_diverged / n
            self.arrays["ceiling_share"][at] = case.n_ceiling / n

    def remark(self, at: Place, note: str, *, warn: bool = True) -> None:
        """Say something of a case in its note, and as a warning."""
        known = self.arrays["note"][at]
        self.arrays["note"][at] = f"{known}; {note}" if known else note
        if warn:
            cell = f"task '{self.tasks[at[0]]}', variant '{self.labels[at[1]]}'"
            subject = f"search '{self.search}'" if self.search else cell
            warnings.warn(f"functional ANOVA of {subject}, clip {self.clip[at[2]]:g}: {note}", stacklevel=4)

    def result(self, at: Place, found: Analysis, case: Case, decomposition: Decomposition) -> None:
        """Write what one analysis found, with what a reader must know of it."""
        where, pairs = self._places(at)
        for name, value in (
            ("mean", found.mean), ("variance", found.variance), ("variance_standard_error", found.variance_error),
            ("r_squared", found.r_squared), ("unexplained", 1 - found.r_squared), ("flagged", found.r_squared < layout.POOR),
        ):  # fmt: skip
            self.arrays[name][at] = value
        told = found.r_squared > 0  # else the forest predicts nothing, and there is nothing to share
        for name, places in (("main", where), ("pair", pairs), ("order", slice(None)), ("total", where)):
            if not told:
                break
            shares = getattr(found, name)
            self.arrays[f"{name}_share"][at][places] = shares.value
            self.arrays[f"{name}_share_standard_error"][at][places] = shares.standard_error
            self.arrays[f"{name}_share_over_trees"][at][places] = shares.over_trees
        size = found.curve.shape[1]
        self.arrays["curve"][at][where, :size] = found.curve
        self.arrays["curve_over_trees"][at][where, :size] = found.curve_over_trees
        self.arrays["joint"][at][pairs, :size, :size] = found.joint
        self.arrays["interaction"][at][pairs, :size, :size] = found.interaction
        best = _best(found.curve, case.maximize)
        self.arrays["optimum"][at][where] = self._positions(at, best)
        self.arrays["optimum_response"][at][where] = numpy.take_along_axis(found.curve, best[:, None], axis=1)[:, 0]
        self.arrays["method"][at] = _methods(found, decomposition)
        if numpy.isnan(found.variance) or found.variance == 0:
            every = "all at the ceiling" if case.n_ceiling == case.response.size else "all responses are the same"
            self.remark(at, f"constant response ({every}): there is no variance to divide")
        elif not told:
            self.remark(
                at, f"R² is {fixed(found.r_squared)}: the forest predicts nothing, there are no shares", warn=False
            )
        elif found.r_squared < layout.POOR:
            self.remark(at, f"R² is {fixed(found.r_squared)}: the shares describe little of the response", warn=False)
        if case.n_left_out:
            self.remark(at, f"{case.n_left_out} finished trials without a response or a value left out", warn=False)

    def no_spread(self, at: Place, case: Case, replicates: int) -> None:
        """Why a case has no refit spread, until it has one."""
        why = f"n = {case.response.size}; {ENOUGH} are needed"
        if case.response.size >= ENOUGH:
            why = "constant response" if replicates else "none was asked for"
        self.arrays["refit_spread"][at] = f"no refit spread ({why})"

    def bounds(self, at: Place, again: Replicates, case: Case, level: float) -> None:
        """Write percentiles of what the refits said, where there are shares."""
        where, pairs = self._places(at)
        tails = (1 - level) / 2, (1 + level) / 2
        size = again.curve.shape[2]
        best = numpy.stack([_best(curve, case.maximize) for curve in again.curve])
        optima = numpy.stack([self._positions(at, one) for one in best])
        axes = list(self.axes[self.tasks[at[0]], self.labels[at[1]]].values())
        optima[:, [axis.nominal for axis in axes]] = numpy.nan  # numbers of names have no order
        told = self.arrays["r_squared"][at] > 0
        for end, tail in zip(("low", "high"), tails, strict=True):
            for name, places in (("main", where), ("pair", pairs), ("order", slice(None)), ("total", where)):
                if told:
                    self.arrays[f"{name}_share_{end}"][at][places] = numpy.quantile(getattr(again, name), tail, axis=0)
            self.arrays[f"curve_{end}"][at][where, :size] = numpy.quantile(again.curve, tail, axis=0)
            self.arrays[f"optimum_{end}"][at][where] = numpy.quantile(optima, tail, axis=0, method="nearest")
        text = f"refit spread: the middle {100 * level:.4g} % of {len(again.main)} forests of bootstrap samples of the trials"
        if len(again.main) * tails[0] < 1:
            text += ", too few for this level: about the least and the largest of them"
        self.arrays["refit_spread"][at] = text

    def dataset(self, attributes: Mapping[str, str | int | float]) -> xarray.Dataset:
        """The result."""
        return layout.dataset(self.arrays, self.coordinates, self.units, attributes)

    def _places(self, at: Place) -> tuple[list[int], list[int]]:
        """Where the hyperparameters and the pairs of a case stand among all."""
        found = list(self.axes[self.tasks[at[0]], self.labels[at[1]]])
        where = [self.names.index(name) for name in found]
        return where, [self.pairs.index((found[i], found[j])) for i, j in all_pairs(len(found))]

    def _positions(self, at: Place, best: numpy.ndarray[Any, Any]) -> Floats:
        where, _ = self._places(at)
        found: Floats = self.arrays["position"][at[0], where, best]
        return found


def _best(curves: Floats, maximize: bool) -> numpy.ndarray[Any, Any]:
    """The best point of each curve [d]."""
    worst = -numpy.inf if maximize else numpy.inf
    known = numpy.where(numpy.isnan(curves), worst, curves)
    return numpy.asarray(known.argmax(axis=1) if maximize else known.argmin(axis=1))


def _methods(found: Analysis, decomposition: Decomposition) -> list[str]:
    """What is said of each of ``layout.QUANTITIES``."""
    sampled, totals_sampled = found.sampled
    if decomposition == "per_tree":
        total = SAMPLED if totals_sampled else "exact: pairs of leaves"
        return ["exact", "exact", "exact", "exact", total, "exact"]
    if not sampled:
        return ["exact"] * len(layout.QUANTITIES)
    rest = f"exact main effects and pairs + remainder {SAMPLED}"
    exact = f"exact variance; its divisor: {rest}"
    return [rest, exact, exact, rest, rest, "exact"]


def _words(study: xarray.Dataset, name: str) -> tuple[str, str]:
    """Long name and units of a hyperparameter."""
    if name == FACTOR:
        return "cell", ""
    known = WORDS.get(name, (name, ""))
    attributes = study[name].attrs
    return str(attributes.get("long_name", known[0])), str(attributes.get("units", known[1]))


def _units(study: xarray.Dataset, task: str, response: str) -> str:
    if response in SCORES:
        return str(study["units"].sel(task=task).item())
    return str(study[response].attrs.get("units", "1"))
