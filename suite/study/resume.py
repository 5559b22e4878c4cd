"""A store from a consolidated study: what another machine has finished is taken over, checked, and never run again.

Nothing is believed that can be computed: draws and ids of the file's trials are made anew and have to be the same.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_odyssey import backends
from lstm_odyssey.plugins.paths import expanded
from lstm_odyssey.study.asked.described import SAME
from lstm_odyssey.study.block import Block
from lstm_odyssey.study.stored.store import Store, StoreError
from lstm_odyssey.study.stored.trials import FINISHED, check_study, check_trial
from lstm_odyssey.training.random_streams import canonical

if TYPE_CHECKING:
    import xarray

ONE_STUDY = "seed draws points space profile protocol dtype backend device block_size keep_weights".split()
"""What is the same in all parts of one study; beside it, what both have of variants and tasks."""


@dataclass(frozen=True)
class Seed:
    """A study to go on with.

    Args:
        source: the file or folder it comes from, for errors.
        study: the content of ``study.json``, with a token of its own.
        trials: the content of its trials' files.
    """

    source: Path
    study: dict[str, Any]
    trials: tuple[dict[str, Any], ...]

    def joined(self, store: Store) -> dict[str, Any]:
        """The study that the store holds once this is in it.

        Raises:
            StoreError: the store holds another study; what differs is named with both values.
        """
        there = store.study()
        if there is None:
            return dict(self.study)
        for name in ONE_STUDY:
            self._same(store, name, _value(there, name), _value(self.study, name))
        for kind, keys in SAME.items():
            for name in there[kind].keys() & self.study[kind].keys():
                for key in keys:
                    where = f"{key} of {kind[:-1]} '{name}'"
                    self._same(store, where, there[kind][name][key], self.study[kind][name][key])
        joined = {kind: {**there[kind], **self.study[kind], **there[kind]} for kind in ("tasks", "variants")}
        return {**there, **joined, "trials": max(there["trials"], self.study["trials"])}

    def _same(self, store: Store, name: str, there: Any, here: Any) -> None:
        if there != here:
            raise StoreError(
                f"store {store.path}: it holds a study with {name} = {there!r}, and {self.source} one with {here!r}. A store "
                "holds one study: choose another --store."
            )

    def plant(self, store: Store) -> int:
        """Write the trials that the store lacks; what it has finished itself stands. Returns how many were written."""
        written = 0
        for record in self.trials:
            there = store.read_trial(record["trial_id"])
            if there is None or (there["status"] not in FINISHED and record["status"] in FINISHED):
                store.write_trial(record)
                written += 1
        return written


def _value(study: Mapping[str, Any], name: str) -> Any:
    """What a study says; of points, which like a space of its own not every study has, the hash of their rows."""
    value = study.get(name)
    return f"rows of sha256 {value['sha256'][:12]}" if name == "points" and value is not None else value


def read_seed(path: str | Path) -> Seed:
    """Read a study to go on with from its ``study.nc``, or from its store.

    Raises:
        StoreError, SchemaError: there is no study, or it is damaged, foreign, newer, or contradicts itself; the message names
            the file, what was found in it and what was expected.
    """
    from lstm_odyssey.study.results import read_study

    source = expanded(path)
    return seed_of(source, read_study(source))


def seed_of(source: Path, dataset: xarray.Dataset) -> Seed:
    """The study that a dataset holds; ``source`` is where it was read from. Raises as ``read_seed``."""
    from lstm_odyssey.reports.contract.agreement import refuse_contradicting
    from lstm_odyssey.reports.contract.restore import restore
    from lstm_odyssey.reports.contract.validation import SchemaError

    try:
        study, trials = restore(dataset)
    except SchemaError as wrong:
        raise SchemaError(f"{source}: {wrong}") from None
    study["token"] = uuid.uuid4().hex
    try:
        check_study(study)
        canonical(study)
        for record in trials:
            check_trial(record)
        checked = tuple(_checked(source, study, record) for record in trials)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as wrong:
        raise StoreError(
            f"study {source}: damaged or newer: {wrong}. Write it again from its store: `odyssey run --store STORE`."
        ) from wrong
    refuse_contradicting(dataset, f"study {source}")
    return Seed(source, study, checked)


def _checked(source: Path, study: Mapping[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    """The record with the draw it stands for, once its hyperparameters and its id are found to follow from the study."""
    index = record["trial"]
    block = Block(dict(study), record["task"], record["variant"], index // study["block_size"])
    draw, identity = block.hyperparameters(index), block.trial_id(index)
    if study["backend"] not in backends.BACKENDS and record["trial_id"] == block.trial_id(index, padded=True):
        identity = record["trial_id"]  # of a backend that pads where it is to be had
    there = record["hyperparameters"]
    pairs = {name: (there.get(name), draw.get(name)) for name in {**draw, **there}}
    pairs |= {"trial_id": (record["trial_id"], identity), "seed": (record["seed"], study["seed"])}
    for name, (found, expected) in pairs.items():
        if found != expected:
            raise StoreError(
                f"study {source}: variable '{name}' at task '{block.task}', variant '{block.variant}', trial {index}: found "
                f"{found!r}, expected {expected!r}, which follows from the study. The file was changed after it was written, "
                "or was written where other versions draw otherwise."
            )
    return {**record, "hyperparameters": draw}
