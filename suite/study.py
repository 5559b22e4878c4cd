"""A study: what is missing is submitted, what is stored is gathered."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, as_completed
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_odyssey import registry
from lstm_odyssey.block import Block, run_block
from lstm_odyssey.paths import expanded
from lstm_odyssey.plan import Plan, Settings, make_plan
from lstm_odyssey.seeding import read_seed
from lstm_odyssey.store import Store, StoreError
from lstm_odyssey.streams import canonical

if TYPE_CHECKING:
    import xarray

REFRESH_SECONDS = 600.0
"""While a study runs its netCDF is written anew about as often, so that a kill leaves one that is nearly complete."""


@dataclass(frozen=True)
class Pending:
    """What is left to do: blocks in the order they are run, how many trials of them are missing, and where others ran."""

    blocks: tuple[tuple[Block, int], ...]
    trials: int
    stored: int
    environments: tuple[dict[str, str], ...] = ()


def pending(store: Store, plan: Plan) -> Pending:
    """Blocks with something missing, in rounds: the first block of every variant, then the second, and so on."""
    size, trials = plan.study["block_size"], plan.study["trials"]
    found: list[tuple[Block, int]] = []
    environments: dict[str, dict[str, str]] = {}
    total = 0
    for number in range(-(-trials // size)):
        for task in plan.tasks:
            for variant in plan.variants:
                block = Block(plan.study, task, variant, number)
                total += len(block.reported)
                finished = block.finished(store)
                missing = len(block.reported) - len(finished)
                for trial in finished.values():
                    environments[canonical(trial["environment"])] = trial["environment"]
                if missing:
                    found.append((block, missing))
    left = sum(missing for _, missing in found)
    return Pending(tuple(found), left, total - left, tuple(environments.values()))


def run(
    path: str | Path,
    settings: Settings | None = None,
    engine: Callable[[Store, Plan, Pending], AbstractContextManager[Executor]] | None = None,
    on_start: Callable[[Store, Plan, Pending], None] | None = None,
    on_block: Callable[[Block, int], None] | None = None,
    resume_from: str | Path | None = None,
    on_refresh: Callable[[xarray.Dataset], None] | None = None,
) -> xarray.Dataset:
    """Run a study to its end, or go on with one.

    Args:
        path: the store's folder.
        settings: what is asked; by default what the store says.
        engine: gives the executor the blocks are submitted to; by default they run in this process.
        on_start: called once, before the first block, with what there is to do.
        on_block: called after each block, with the number of trials it was missing.
        resume_from: the ``study.nc`` or the store of a study that was begun elsewhere: its trials are stored here first, and
            the study goes on where it stood. Its weights and what is unfinished stay behind.
        on_refresh: called with what is stored so far whenever that is consolidated on the way, every ten minutes.

    Returns:
        The consolidated study, as it lies in ``STORE/study.nc``.

    Raises:
        SettingsError, StoreError, CorpusError, UnknownNameError, EngineError: see ``make_plan`` and ``engine``.
        SchemaError: ``resume_from`` is damaged, foreign or newer, or contradicts itself.

    Example:
        >>> import lstm_odyssey as lo
        >>> settings = lo.Settings(variants=["nog"], tasks=["bach"], trials=2, epochs=1, profile="smoke", block_size=2)
        >>> study = lo.run("study", settings)  # doctest: +SKIP
    """
    store = Store(path)
    seed = read_seed(resume_from) if resume_from is not None else None
    plan = make_plan(store, settings or Settings(), seed.joined(store) if seed is not None else None)
    new = not store.study_file.exists()
    store.write_study(plan.study)
    store.clean()
    if seed is not None:
        seed.plant(store)
    todo = pending(store, plan)
    if on_start is not None:
        on_start(store, plan, todo)
    try:
        if todo.blocks:
            from lstm_odyssey.engine import InProcess

            with engine(store, plan, todo) if engine is not None else InProcess() as executor:
                _submit(store, plan, todo, executor, on_block, on_refresh)
    except BaseException:
        if new and not any(store.trials()) and not store.checkpoints_folder.exists():
            store.forget()  # nothing was trained: the folder is not bound to what was asked this time
        else:
            consolidate(store)
        raise
    return consolidate(store)


def _files(block: Block) -> list[str]:
    """The plugin files a worker needs for a block."""
    paths = (registry.file_of("variant", block.variant), registry.file_of("task", block.task))
    return list(dict.fromkeys(str(path) for path in paths if path is not None))


def _submit(
    store: Store,
    plan: Plan,
    todo: Pending,
    executor: Executor,
    on_block: Callable[[Block, int], None] | None,
    on_refresh: Callable[[xarray.Dataset], None] | None,
) -> None:
    waiting: dict[Future[Any], tuple[Block, int]] = {}
    consolidated = time.monotonic()

    def done(block: Block, missing: int, future: Future[Any]) -> None:
        error = future.exception()
        if error is not None and type(error).__name__ in ("KilledWorker", "BrokenProcessPool"):
            for index in block.missing(store):
                store.write_trial(block.failed(index, f"its worker died again and again: {error}"))
        elif error is not None:
            raise error
        if on_block is not None:
            on_block(block, missing)
        nonlocal consolidated
        if time.monotonic() - consolidated > REFRESH_SECONDS:
            with suppress(StoreError, OSError):  # if it lasts, the end of the study says so
                dataset = consolidate(store)
                if on_refresh is not None:
                    on_refresh(dataset)
            consolidated = time.monotonic()

    for block, missing in todo.blocks:
        spec = {
            "store": str(store.path),
            "token": plan.study["token"],
            "task": block.task,
            "variant": block.variant,
            "number": block.number,
            "data": plan.data.get(block.task),
            "plugins": _files(block),
        }
        future = executor.submit(run_block, spec)
        if future.done():  # an executor that runs at once
            done(block, missing, future)
        else:
            waiting[future] = (block, missing)
    try:
        for future in as_completed(waiting):
            done(*waiting[future], future)
    except BaseException:
        for future in waiting:
            future.cancel()
        raise


def consolidate(store: Store) -> xarray.Dataset:
    """Gather all stored trials of a study into one dataset and write it to ``STORE/study.nc``."""
    from lstm_odyssey.reports import netcdf

    dataset = gather(store)
    netcdf.save(dataset, store.consolidated)
    return dataset


def gather(store: Store) -> xarray.Dataset:
    """All stored trials of a study as one dataset.

    Raises:
        StoreError: there is no study, or a file of it is damaged or newer.
    """
    from lstm_odyssey.reports import schema

    study = store.study()
    if study is None:
        raise StoreError(
            f"store {store.path}: there is no study; expected study.json. Check the path, or run a study first."
        )
    known = {trial["trial_id"]: trial for trial in store.trials()}
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


def open_study(path: str | Path) -> xarray.Dataset:
    """A study as one dataset, dims (task, variant, trial, epoch).

    Args:
        path: a store's folder, or a consolidated netCDF file.

    Raises:
        StoreError, SchemaError: there is no study, or it is damaged, foreign or newer; the message says which and what to do.
    """
    path = expanded(path)
    if not path.exists():
        raise StoreError(f"study {path}: nothing is there; expected a store's folder or its study.nc. Check the path.")
    if path.is_dir():
        return gather(Store(path))
    from lstm_odyssey.reports import netcdf

    return netcdf.load(path)
