"""Whether the scores of a study follow from its own curves: what a score that was changed by hand contradicts.

The best epoch is the one with the least validation score, and its scores, those of the views among them, are those of the
curves there; a trial that diverged before it had one has no score. A trial that ran to the end either reached the limit of
epochs or was without a better score for as many epochs as the protocol's patience. All of it is in the file, so it is asked of
every trial, and no training is needed. Whether the curves themselves are what the study gives only ``odyssey verify`` can
tell.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy
import xarray
from numpy.typing import NDArray

from lstm_odyssey.reports.contract.netcdf import load, rounded
from lstm_odyssey.reports.contract.validation import SchemaError, attribute, error
from lstm_odyssey.reports.contract.variables import FINISHED, TRIAL

DISTRUST = (
    "The file was changed after it was written, or is damaged: open the original. In a store delete the trial's file in "
    "trials/, and run the study again."
)

Array = NDArray[Any]


def read(path: str | os.PathLike[str]) -> xarray.Dataset:
    """A study's file, whose scores follow from its curves. Raises as ``netcdf.load`` and ``refuse_contradicting``."""
    dataset = load(path)
    refuse_contradicting(dataset, f"study {path}")
    return dataset


def refuse_contradicting(dataset: xarray.Dataset, subject: str) -> None:
    """Raise at the first trial whose scores, epochs or length do not follow from its curves and the protocol.

    Args:
        dataset: a valid study.
        subject: how it is called, for the error.

    Raises:
        SchemaError: the variable, the trial and both values are named.
    """
    finished = numpy.isin(dataset["status"].values, FINISHED)
    if not finished.any():
        return
    for name, at, found, expected in _contradictions(dataset, finished):
        dims = dataset[name].dims
        where = ", ".join(f"{dim} '{dataset[dim].values[place]}'" for dim, place in zip(dims, at, strict=True))
        wrong = error(f"variable '{name}' at {where}", found, expected, DISTRUST)
        raise SchemaError(f"{subject}: {wrong}")


def _contradictions(dataset: xarray.Dataset, finished: Array) -> Iterator[tuple[str, tuple[int, ...], str, str]]:
    """Of each rule the first trial that breaks it: the variable, the trial's place, what was found and what follows."""
    protocol, places = attribute(dataset, "protocol"), numpy.argwhere(finished)
    limit, patience = protocol.get("epochs"), protocol.get("patience")
    column = {name: dataset[name].values[finished] for name in ("best_epoch", "epochs", "status")}
    best, last, ended = column["best_epoch"], column["epochs"], column["status"] == "ok"
    size = dataset.sizes["epoch"]
    known = best == best.clip(0, size - 1)  # NaN is none: a trial that diverged before it had a score
    ran = last == last.clip(0, size - 1)

    def first(broken: Array) -> Iterator[tuple[int, tuple[int, ...]]]:
        """The row of the first that is broken [n], or [n, view], and its place in the dataset."""
        for row, *view in numpy.argwhere(broken)[:1].tolist():
            yield row, (*places[row].tolist(), *view)

    def there(curve: str, epoch: Array, sure: Array) -> Array:
        """A curve's score at an epoch of each trial; at the first where there is none."""
        found: Array = dataset[curve].values[finished][
            numpy.arange(len(places)), numpy.where(sure, epoch, 0).astype(int)
        ]
        return found

    for row, at in first(~ran):
        yield "epochs", at, f"{last[row]:g}", f"one of the {size - 1} epochs that its curves have"
    for row, at in first((known & (best > last)) | (~known & (ended | ~numpy.isnan(best)))):
        yield "best_epoch", at, f"{best[row]:g}", f"one of its {last[row]:g} epochs"
    scores = [
        ("best_valid", "valid", best, known),
        ("best_test", "test", best, known),
        ("final_valid", "valid", last, ran),
    ]
    scores += [("best_test_view", "test_view", best, known)] if "best_test_view" in dataset else []
    for score, curve, epoch, sure in scores:
        values, then = dataset[score].values[finished], there(curve, epoch, sure)
        sure = sure.reshape(-1, *[1] * (values.ndim - 1))
        # a store that went on from a record has that record's rounded curves, beside its own
        none = numpy.isnan(then) & numpy.isnan(values) & (score != "best_valid")
        agrees = (then == values) | (then == rounded(values)) | none
        for row, at in first(sure & ~agrees):
            found, expected = values[row][at[len(TRIAL) :]], then[row][at[len(TRIAL) :]]
            said = f"{expected:.9g}, which its curve '{curve}' has at epoch {epoch[row]:g}"
            yield score, at, f"{found:.9g}", said
        for row, at in first(~sure & ~numpy.isnan(values)):
            yield score, at, f"{values[row][at[len(TRIAL) :]]:.9g}", "none, since it has no best epoch"
    sign = numpy.where(dataset["direction"].values == "maximize", -1, 1)[places[:, 0]]
    least = numpy.fmin.reduce(sign[:, None] * dataset["valid"].values[finished], axis=1)
    for row, at in first((known & (least < sign * there("valid", best, known))) | (~known & ~numpy.isnan(least))):
        yield (
            "best_epoch",
            at,
            f"{best[row]:g}",
            f"the epoch of its best validation score, {sign[row] * least[row]:.9g}",
        )
    if isinstance(limit, int) and isinstance(patience, int):
        for row, at in first(
            (last > limit) | (known & (last - best > patience)) | (ended & (last != limit) & (last - best != patience))
        ):
            expected = f"{limit}, the protocol's limit, or {patience} after the best one ({best[row]:g}), its patience"
            yield "epochs", at, f"{last[row]:g}", expected
