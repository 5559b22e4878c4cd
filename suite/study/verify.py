"""Stored trials run again: whether a file of results, perhaps a stranger's, says what its study gives.

What can be computed of a file is checked as it is opened: draws and ids follow from the study. Scores cannot; so some trials,
chosen at random, are trained again as the study says, with its protocol, draws, seed, dtype, backend and device.

On the processor and with the versions that a trial ran with every bit of its scores and curves has to come out again. Elsewhere
rounding differs, and training makes it grow. There the validation score before training has to agree to ``START``, and the best
scores and the curves (in the median over epochs) to ``ELSEWHERE``. A record's curves are rounded; what is compared with them is
rounded alike, in float32.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from lstm_odyssey import backends
from lstm_odyssey.plugins.paths import expanded
from lstm_odyssey.reports.contract.netcdf import rounded
from lstm_odyssey.reports.contract.variables import MEASURED
from lstm_odyssey.study.block import Block
from lstm_odyssey.study.plan import refuse_unasked
from lstm_odyssey.study.results import open_study
from lstm_odyssey.study.resume import Seed, seed_of
from lstm_odyssey.study.stored.trials import CURVES, FINISHED, comparable
from lstm_odyssey.training.environment import elsewhere

if TYPE_CHECKING:
    from lstm_odyssey.training.loop import Population

    Tell = Callable[[Population], None]

START = 1e-3
"""Of the score: how far the validation score before training may be off on another processor or with other versions."""

ELSEWHERE = 0.1
"""The same of a best score, and of a curve in the median over its epochs."""

BITS, CLOSE, DIFFERS, NOT_RUN = VERDICTS = ("the same bits", "within tolerance", "differs", "not run")


@dataclass(frozen=True)
class Verified:
    """What became of one trial.

    Attributes:
        task, variant, trial: which it is.
        verdict: one of ``BITS``, ``CLOSE``, ``DIFFERS``, ``NOT_RUN``; only the first two are agreement.
        stored, found: its best test score in the file and now; None where there is none.
        why: what differs, where it ran, or why it could not be run.
    """

    task: str
    variant: str
    trial: int
    verdict: str
    stored: float | None = None
    found: float | None = None
    why: str = ""


def verify(
    path: str | Path,
    sample: int = 5,
    *,
    seed: int = 0,
    data: Mapping[str, str] | None = None,
    on_epoch: Callable[[int, int, str, float], None] | None = None,
) -> list[Verified]:
    """Run some trials of a store or of a netCDF file again and compare them with what is stored.

    Args:
        path: a store's folder or a netCDF file.
        sample: how many trials; all that ended, if there are fewer.
        seed: of the choice.
        data: where a task's corpus lies, by task.
        on_epoch: called with (trials done, trials in all, what runs, share of its epochs).

    Raises:
        StoreError, SchemaError: there is no study, or it contradicts itself.
        SettingsError: data has a task that the study has not.
    """
    source = expanded(path)
    dataset = open_study(source)
    study = seed_of(source, dataset)
    refuse_unasked(data or {}, dataset["task"].values.tolist())
    short = {name for name in CURVES if dataset[name].dtype == numpy.float32}
    chosen = _chosen(study, sample, seed)
    found = []
    for done, record in enumerate(chosen):
        what = f"{record['variant']} on {record['task']}, trial {record['trial']}"

        def tell(population: Population, done: int = done, what: str = what) -> None:
            if on_epoch is not None:
                share = (max(0, population.epoch - 1) + population.part) / population.protocol.epochs
                on_epoch(done, len(chosen), what, share)

        if on_epoch is not None:
            on_epoch(done, len(chosen), what, 0.0)
        found.append(_verified(study, record, (data or {}).get(record["task"]), short, tell))
    return found


def _chosen(study: Seed, sample: int, seed: int) -> list[dict[str, Any]]:
    ended = [record for record in study.trials if record["status"] in FINISHED]
    places = numpy.random.default_rng(seed).permutation(len(ended))[:sample]
    return [ended[place] for place in sorted(places.tolist())]


def _verified(study: Seed, record: dict[str, Any], data: str | None, short: Collection[str], tell: Tell) -> Verified:
    at = (record["task"], record["variant"], record["trial"])
    index = record["trial"]
    block = Block(study.study, record["task"], record["variant"], index // study.study["block_size"])
    try:
        again = _again(block, index, data, tell)
    except Exception as error:  # noqa: BLE001 - whatever keeps a trial from being run is said, and is no agreement
        return Verified(*at, NOT_RUN, record["best_test"], None, f"{error}" or type(error).__name__)
    other = elsewhere([record["environment"]], study.study["device"]) or record["environment"].get("bits", "")
    verdict, why = compared(record, again, short, strict=not other)
    if why and other:
        why += f" ({other})"
    return Verified(*at, verdict, record["best_test"], again["best_test"], why or other)


def _again(block: Block, index: int, data: str | None, tell: Tell) -> dict[str, Any]:
    """The record of a trial that is trained now.

    Raises:
        Whatever keeps it from being run here: no such backend, device, cell, corpus ...
    """
    import torch

    study = block.study
    if study["backend"] not in backends.BACKENDS:
        raise LookupError(f"backend '{study['backend']}' is not here; the trial ran on it")
    if study["device"].startswith("cuda") and not torch.cuda.is_available():
        raise LookupError(f"device '{study['device']}' is not here; the trial ran on it")
    backends.resolve(study["backend"], study["device"])
    cell, corpus = block.sources(data)
    backends.prepare(study["backend"], cell.graph, getattr(torch, study["dtype"]))
    population = block.train(cell, corpus, [index], on_update=tell)
    member = next(place for place, trial in enumerate(population.trials) if trial.index == index)
    return block.record(index, population.record(member))


def compared(
    stored: dict[str, Any], again: dict[str, Any], short: Collection[str] = (), *, strict: bool
) -> tuple[str, str]:
    """The verdict on a trial, and what is unlike in both.

    Args:
        stored, again: the trial's records.
        short: curves that are stored in float32, as a record keeps them.
        strict: whether every bit has to be the same.
    """
    there, here = comparable(stored, again), comparable(again, stored)
    here = {**here, "curves": {name: _kept(curve, name in short) for name, curve in here["curves"].items()}}
    if "views" in here:
        here["views"] = {
            name: {**view, "test": _kept(view["test"], "test" in short)} for name, view in here["views"].items()
        }
    unlike = list(_unlike(there, here))
    if not unlike:
        return BITS, ""
    if strict:
        return DIFFERS, "; ".join(unlike[:2])
    far = list(_far(there, here))
    return (DIFFERS, "; ".join(far[:2])) if far else (CLOSE, "")


def _kept(curve: list[float | None], short: bool) -> list[float | None]:
    """A curve as the file has it, rounded if it is stored in float32."""
    if not short:
        return curve
    values = rounded([numpy.nan if value is None else value for value in curve])
    return [None if numpy.isnan(value) else float(value) for value in values]


def _unlike(there: dict[str, Any], here: dict[str, Any]) -> Iterator[str]:
    """What is not equal, in words, scores first."""
    for name, value in here.items():
        if name not in ("curves", "views", "format") and there.get(name) != value:
            yield f"{name} {there.get(name)} in the file, {value} now"
    for name, curve in here["curves"].items():
        known = there["curves"].get(name, [])
        if known != curve:
            pairs = enumerate(zip(known, curve, strict=False))
            epoch = next((epoch for epoch, (one, other) in pairs if one != other), min(len(known), len(curve)))
            yield f"{name} from epoch {epoch} on"
    for name, view in here.get("views", {}).items():
        if there["views"].get(name) != view:
            yield f"test score of {name!r}"


def _far(there: dict[str, Any], here: dict[str, Any]) -> Iterator[str]:
    """What differs by more than other rounding explains."""
    if there["status"] != here["status"]:
        yield f"status {there['status']} in the file, {here['status']} now"
    for name in ("best_valid", "best_test", "best_test_per_sequence"):
        apart = _apart(there[name], here[name])
        if apart > ELSEWHERE:
            yield f"{name} {there[name]} in the file, {here[name]} now"
    for name in (name for name in CURVES if name not in MEASURED):
        known, curve = there["curves"][name], here["curves"][name]
        if name == "valid" and known and curve and _apart(known[0], curve[0]) > START:
            yield f"validation before training {known[0]} in the file, {curve[0]} now"
        apart_of = [
            _apart(one, other)
            for one, other in zip(known, curve, strict=False)
            if one is not None and other is not None
        ]
        if apart_of and statistics.median(apart_of) > ELSEWHERE:
            yield f"{name} differs by {100 * statistics.median(apart_of):.1f} % in the median over epochs"


def _apart(one: float | None, other: float | None) -> float:
    """The difference of two scores as a share of the larger; of one that is none, infinite."""
    if one is None or other is None:
        return 0.0 if one is other else float("inf")
    return abs(one - other) / max(abs(one), abs(other), 1e-12)
