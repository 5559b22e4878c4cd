"""Stored trials run again: whether a file of results, perhaps a stranger's, says what its study gives.

What can be computed of a file is checked as it is opened: draws and ids follow from the study, scores from the curves. These
cannot; so some trials, chosen at random, are trained again as the study says: protocol, draws, seed, dtype, backend, device.

On the processor and with the versions that a trial ran with every bit of its scores and curves has to come out again. Elsewhere
rounding differs, and training makes it grow. There the validation score before training has to agree to ``START``, and the best
scores and the curves (in the median over epochs) to ``ELSEWHERE``. A record's curves are rounded; what is compared with them is
rounded alike, in float32.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from lstm_odyssey import backends
from lstm_odyssey.plugins import origins, registry
from lstm_odyssey.plugins.paths import expanded
from lstm_odyssey.reports.contract.netcdf import rounded
from lstm_odyssey.reports.contract.variables import MEASURED
from lstm_odyssey.study.asked.settings import SettingsError
from lstm_odyssey.study.block import Block
from lstm_odyssey.study.plan import refuse_unasked
from lstm_odyssey.study.results import read_study
from lstm_odyssey.study.resume import Seed, seed_of
from lstm_odyssey.study.sample import BITS, CLOSE, DIFFERS, NOT_RUN, Sample, Verified
from lstm_odyssey.study.stored.trials import CURVES, FINISHED, comparable
from lstm_odyssey.tasks.nearest import nearest
from lstm_odyssey.training.environment import elsewhere

if TYPE_CHECKING:
    import xarray

    from lstm_odyssey.training.loop import Population

    Tell = Callable[[Population], None]

START = 1e-3
"""Of the score: how far the validation score before training may be off on another processor or with other versions."""

ELSEWHERE = 0.1
"""The same of a best score, and of a curve in the median over its epochs."""


def verify(
    path: str | Path,
    sample: int = 5,
    *,
    seed: int = 0,
    data: Mapping[str, str] | None = None,
    variants: Sequence[str] = (),
    best: bool = False,
    on_epoch: Callable[[int, int, str, float], None] | None = None,
) -> Sample:
    """Run some trials of a store or of a netCDF file again and compare them with what is stored.

    Args:
        path: a store's folder or a netCDF file.
        sample: how many trials; all that ended, if there are fewer.
        seed: of the choice.
        data: where a task's corpus lies, by task.
        variants: of these cells alone; of all, if there are none.
        best: of the best tenth of each cell by validation alone, which its rank rests on.
        on_epoch: called with (trials done, trials in all, what runs, share of its epochs).

    Raises:
        StoreError, SchemaError: there is no study, or it contradicts itself.
        SettingsError: data or variants has a name that the study has not.
    """
    source = expanded(path)
    dataset = read_study(source)
    study = seed_of(source, dataset)
    refuse_unasked(data or {}, dataset["task"].values.tolist())
    ended = _ended(study, variants)
    if best:
        cells = {(one["task"], one["variant"]) for one in ended}
        ranked = {(task, name): _best(dataset, task, name) for task, name in cells}
        ended = [one for one in ended if one["trial"] in ranked[one["task"], one["variant"]]]
    chosen = _chosen(ended, sample, seed)
    found = []
    for done, record in enumerate(chosen):
        what = f"{record['variant']} on {record['task']}, trial {record['trial']}"

        def tell(population: Population, done: int = done, what: str = what) -> None:
            if on_epoch is not None:
                share = (max(0, population.epoch - 1) + population.part) / population.protocol.epochs
                on_epoch(done, len(chosen), what, share)

        if on_epoch is not None:
            on_epoch(done, len(chosen), what, 0.0)
        found.append(_verified(study, record, (data or {}).get(record["task"]), tell))
    return Sample(found, len(ended))


def _ended(study: Seed, variants: Sequence[str]) -> list[dict[str, Any]]:
    """The trials of these cells, or of all, that can be run again."""
    known = list(study.study["variants"])
    if unknown := [name for name in variants if name not in known]:
        among = nearest(unknown[0], known)
        raise SettingsError(f"--variants: got {', '.join(unknown)}; expected cells of the study: {among}.")
    return [one for one in study.trials if one["status"] in FINISHED and one["variant"] in (variants or known)]


def _best(dataset: xarray.Dataset, task: str, variant: str) -> set[int]:
    """The indices of the trials that a cell's rank rests on."""
    from lstm_odyssey.reports.stats.table import ranking

    one = ranking(dataset, task, variant)
    return set(dataset["trial"].values[one.trial[: one.k]].tolist())


def _chosen(ended: Sequence[dict[str, Any]], sample: int, seed: int) -> list[dict[str, Any]]:
    places = numpy.random.default_rng(seed).permutation(len(ended))[:sample]
    return [ended[place] for place in sorted(places.tolist())]


def _verified(study: Seed, record: dict[str, Any], data: str | None, tell: Tell) -> Verified:
    at = (record["task"], record["variant"], record["trial"])
    index = record["trial"]
    block = Block(study.study, record["task"], record["variant"], index // study.study["block_size"])
    try:
        again = _again(block, index, data, tell)
    except Exception as error:  # noqa: BLE001 - whatever keeps a trial from being run is said, and is no agreement
        return Verified(*at, NOT_RUN, record["best_test"], None, f"{error}" or type(error).__name__)
    other = elsewhere([record["environment"]], study.study["device"]) or record["environment"].get("bits", "")
    verdict, why = compared(record, again, strict=not other)
    if why and other:
        why += f" ({other})"
    return Verified(
        *at, verdict, record["best_test"], again["best_test"], why or other, _note(study.study, record["variant"])
    )


def _note(study: Mapping[str, Any], variant: str) -> str:
    """What of a cell is another here than in the file, its mathematics being the same."""
    facts, said = study["variants"][variant], []
    if list(registry.variant(variant).equations) != list(facts["equations"]):
        said.append("the file writes its equations otherwise than they are read off the text here")
    if where := origins.changed("variant", variant, facts):
        said.append(f"{where}; the mathematics is the same")
    return "; ".join(said)


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


def compared(stored: dict[str, Any], again: dict[str, Any], *, strict: bool) -> tuple[str, str]:
    """The verdict on a trial, and what is unlike in both.

    Args:
        stored, again: the trial's records.
        strict: whether every bit has to be the same.
    """
    there, here = comparable(stored, again), comparable(again, stored)
    curves = {name: _kept(there["curves"].get(name, []), curve) for name, curve in here["curves"].items()}
    here = {**here, "curves": curves}
    if "views" in here:
        here["views"] = {
            name: {**view, "test": _kept(there["views"].get(name, {}).get("test", []), view["test"])}
            for name, view in here["views"].items()
        }
    unlike = list(_unlike(there, here))
    if not unlike:
        return BITS, ""
    if strict:
        return DIFFERS, "; ".join(unlike[:2])
    far = list(_far(there, here))
    return (DIFFERS, "; ".join(far[:2])) if far else (CLOSE, "")


def _kept(known: list[float | None], curve: list[float | None]) -> list[float | None]:
    """A curve, rounded where that is what the file has: so a record keeps it, and a store that took the trial from a record."""
    short = rounded([numpy.nan if value is None else value for value in curve]).tolist()
    pairs = zip_longest(known[: len(curve)], short, curve)
    return [there if there is not None and there == kept else value for there, kept, value in pairs]


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
