"""A study's trials together: gathered from its store, consolidated in its netCDF, opened from either."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_odyssey.plugins.paths import expanded
from lstm_odyssey.study.block import Block
from lstm_odyssey.study.stored.locking import study_locked
from lstm_odyssey.study.stored.store import Store, StoreError

if TYPE_CHECKING:
    import xarray


def consolidate(store: Store, say: Callable[[str], None] | None = None) -> xarray.Dataset:
    """Gather all stored trials of a study into one dataset and write it to ``STORE/study.nc``.

    Of several runs of one store the last to end writes last, and all of it.

    Raises:
        StoreError: it cannot be written, or a file of the study is damaged or newer.
    """
    from lstm_odyssey.reports.contract import netcdf

    with study_locked(store, say) as still_held:
        dataset = gather(store)
        still_held()
        try:
            netcdf.save(dataset, store.consolidated)
        except OSError as error:
            raise StoreError(
                f"{store.consolidated}: cannot be written ({error.strerror or error}). Every finished trial is "
                "stored: give it room and permission, and run the study again."
            ) from error
    return dataset


def gather(store: Store) -> xarray.Dataset:
    """All stored trials of a study as one dataset.

    Raises:
        StoreError: there is no study, or a file of it is damaged or newer.
    """
    from lstm_odyssey.reports.contract import schema

    known = {trial["trial_id"]: trial for trial in store.trials()}
    study = store.study()  # after its trials: another run may extend it, and then store a trial, at this moment
    if study is None:
        raise StoreError(
            f"store {store.path}: there is no study; expected study.json. Check the path, or run a study first."
        )
    wanted = _wanted(study)
    for identity, expected in wanted.items():
        trial = known.get(identity, expected)
        for key, value in expected.items():
            if trial[key] != value:
                raise StoreError(
                    f"store {store.path}: {identity}.json is damaged: {key} is {trial[key]!r}; expected {value!r}. Delete it: "
                    "the next run computes that trial again."
                )
    strays = sorted(set(known) - set(wanted))
    if strays:
        raise StoreError(
            f"store {store.path}: trials {', '.join(strays[:3])} do not belong to its study; expected ids that follow from "
            "study.json. The store was mixed with another one: take those files out."
        )
    study.pop("token")  # it tells this store from others, and says nothing of the results
    return schema.build(study, [known[identity] for identity in wanted if identity in known])


def _wanted(study: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The ids of all trials of a study, and what each of them is."""
    size = study["block_size"]
    blocks = (
        Block(study, task, variant, number)
        for task in study["tasks"]
        for variant in study["variants"]
        for number in range(-(-study["trials"] // size))
    )
    return {
        block.trial_id(index): {
            "task": block.task,
            "variant": block.variant,
            "trial": index,
            "hyperparameters": block.hyperparameters(index),
        }
        for block in blocks
        for index in block.reported
    }


def open_study(path: str | Path, *others: str | Path) -> xarray.Dataset:
    """A study as one dataset, dims (task, variant, trial, epoch); or several as one, as far as they can be compared.

    Args:
        path: a store's folder, or a consolidated netCDF file.
        others: further ones: other tasks, other cells, other people's. A cell that two have on one task is two rows, labelled
            by file; see ``lstm_odyssey.reports.contract.combine``.

    Raises:
        StoreError, SchemaError: there is no study, or it is damaged, foreign or newer, or a trial's scores do not follow from
            its own curves, or two cannot be compared; the message says which and what to do.
    """
    if others:
        from lstm_odyssey.reports.contract.combine import combine

        paths = [expanded(each) for each in (path, *others)]
        return combine(dict(zip(labels(paths), map(open_study, paths), strict=True)))
    from lstm_odyssey.reports.contract.agreement import refuse_contradicting

    dataset = read_study(path)
    refuse_contradicting(dataset, f"study {expanded(path)}")
    return dataset


def read_study(path: str | Path) -> xarray.Dataset:
    """What a store or a file holds, whether or not its scores follow from its curves. Raises else as ``open_study``."""
    path = expanded(path)
    if not path.exists():
        raise StoreError(f"study {path}: nothing is there; expected a store's folder or its study.nc. Check the path.")
    if path.is_dir():
        return gather(Store(path))
    from lstm_odyssey.reports.contract import netcdf

    return netcdf.load(path)


def labels(paths: Sequence[Path]) -> list[str]:
    """A short name for each of some stores and files, each once: of a store's ``study.nc`` that of the store.

    >>> labels([Path("jsb/study.nc"), Path("records/mine.nc"), Path("old/jsb")])
    ['jsb', 'mine', 'old/jsb']
    >>> labels([Path("jsb-paper.nc"), Path("jsb-common.nc")])
    ['paper', 'common']
    """
    parts = []
    for path in (path.absolute() for path in paths):
        whole = path.parent if path.name == "study.nc" else path.with_suffix("") if path.suffix == ".nc" else path
        parts.append(whole.parts)
    alike = re.match(r"(.*[-_. ])?", os.path.commonprefix([own[-1] for own in parts]))  # noqa: RUF071 - of letters, no paths
    start = len(alike[0]) if alike and all(len(own[-1]) > len(alike[0]) for own in parts) else 0
    made: list[str] = []
    for own in parts:
        names = [own[-1][start:], *("/".join(own[-length:]) for length in range(2, len(own) + 1))]
        name, number = next((name for name in names if name not in made), names[0]), 2
        while name in made:  # the same path again
            name, number = f"{names[0]} {number}", number + 1
        made.append(name)
    return made
