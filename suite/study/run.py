"""A study: what is missing is submitted, what is stored is gathered."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_odyssey.reports.contract.validation import SchemaError
from lstm_odyssey.study.asked.settings import Settings
from lstm_odyssey.study.block import Block
from lstm_odyssey.study.dispatch import Dispatch
from lstm_odyssey.study.plan import Plan, make_plan, not_taken
from lstm_odyssey.study.results import consolidate
from lstm_odyssey.study.resume import Seed, read_seed
from lstm_odyssey.study.stored.locking import alive, alone, clean, forget, study_locked
from lstm_odyssey.study.stored.store import Store, StoreError
from lstm_odyssey.study.workers.engine import InProcess, silent
from lstm_odyssey.training.random_streams import canonical

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
    say: Callable[[str], None] | None = None,
) -> xarray.Dataset:
    """Run a study to its end, or go on with one.

    Several runs may begin, extend and resume one store at once: the study is all that was asked for, and each block is
    computed by one of them.

    Args:
        path: the store's folder.
        settings: what is asked; by default what the store says.
        engine: gives the executor the blocks are submitted to; by default they run in this process.
        on_start: called once, before the first block, with what there is to do.
        on_block: called after each block, with the number of trials it was missing.
        resume_from: the ``study.nc`` or the store of a study that was begun elsewhere: its trials are stored here first, and
            the study goes on where it stood. Its weights and what is unfinished stay behind.
        on_refresh: called with what is stored so far whenever that is consolidated on the way, every ten minutes.
        say: told in a line what is waited for, as another run of the same store.

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
    store, settings = Store(path), settings or Settings()
    seed = read_seed(resume_from) if resume_from is not None else None
    _planned(store, settings, seed)  # refuses before a folder is made
    with alive(store) as own:
        plan, new = _begun(store, own, settings, seed, say)
        with _taken_back_if_in_vain(store, own, plan.study, new), ExitStack() as held:
            with _consolidated_if_stopped(store, new, say):
                if seed is not None:
                    seed.plant(store)
                todo = pending(store, plan)
                if on_start is not None:
                    on_start(store, plan, todo)
                if todo.blocks:
                    workers = engine(store, plan, todo) if engine is not None else nullcontext(InProcess())
                    ended = _Ended(store, on_block, on_refresh)
                    Dispatch(store, plan, held.enter_context(workers), ended, say or silent).run(todo.blocks)
            return consolidate(store, say)  # before the workers are sent home, which may take long or fail


def _planned(store: Store, settings: Settings, seed: Seed | None) -> Plan:
    """What the study is to be, of what is asked, what is stored and what is taken over."""
    return make_plan(store, settings, seed.joined(store) if seed is not None else None)


def _begun(
    store: Store, own: Path, settings: Settings, seed: Seed | None, say: Callable[[str], None] | None
) -> tuple[Plan, bool]:
    """Begin a study, or extend it, with what killed runs left cleaned away; its plan, and whether it is new."""
    with study_locked(store, say) as still_held:
        # anew: another run may have begun or extended the study meanwhile
        before = store.study()
        plan = _planned(store, settings, seed)
        if say is not None and before is not None and (words := not_taken(before, settings)):
            say(words)
        if alone(store, own):
            clean(store, own)
        if plan.study != before:
            still_held()
            store.write_study(plan.study)
    return plan, before is None


class _Ended:
    """What follows the end of a block: it is told, and now and then the study is consolidated on the way."""

    def __init__(
        self,
        store: Store,
        on_block: Callable[[Block, int], None] | None,
        on_refresh: Callable[[xarray.Dataset], None] | None,
    ) -> None:
        self.store, self.on_block, self.on_refresh = store, on_block, on_refresh
        self.consolidated = time.monotonic()
        self.warned = False

    def __call__(self, block: Block, missing: int) -> None:
        if self.on_block is not None:
            self.on_block(block, missing)
        if time.monotonic() - self.consolidated > REFRESH_SECONDS:
            try:
                dataset = consolidate(self.store)
                if self.on_refresh is not None:
                    self.on_refresh(dataset)
            except Exception as error:  # noqa: BLE001 - the study is worth more; if it lasts, the study's end says so
                if not self.warned:
                    warnings.warn(
                        f"{self.store.consolidated}: not refreshed ({error}); the study goes on.", stacklevel=2
                    )
                self.warned = True
            self.consolidated = time.monotonic()


def _trained(store: Store) -> bool:
    """Whether a store holds anything that took time."""
    return any(store.trials_folder.glob("[!.]*.json")) or store.checkpoints_folder.exists()


@contextmanager
def _consolidated_if_stopped(store: Store, new: bool, say: Callable[[str], None] | None) -> Iterator[None]:
    """Consolidate what is stored when a run stops, unless nothing of a new study is."""
    try:
        yield
    except BaseException as error:
        if not new or _trained(store):
            _consolidate_after(error, store, say)
        raise


def _consolidate_after(stopped: BaseException, store: Store, say: Callable[[str], None] | None) -> None:
    """Consolidate what is stored when a run stops; that this fails is worth less than why it stopped."""
    try:
        consolidate(store, say)
    except (StoreError, SchemaError) as error:
        if not isinstance(stopped, StoreError):  # which will say the same
            warnings.warn(f"store {store.path}: not consolidated ({error}); what is stored is kept.", stacklevel=2)


@contextmanager
def _taken_back_if_in_vain(store: Store, own: Path, begun: dict[str, Any], new: bool) -> Iterator[None]:
    """Free the folder of a new study when its run stops before anything is stored."""
    try:
        yield
    except BaseException:
        if new:
            _take_back(store, own, begun)
        raise


def _take_back(store: Store, own: Path, begun: dict[str, Any]) -> None:
    """Free the folder of a study that a run began in vain, unless another run has joined it; its workers have ended."""
    with suppress(StoreError), study_locked(store):  # a store that cannot be written stays as it is
        if not _trained(store) and store.study() == begun and alone(store, own):
            forget(store)
