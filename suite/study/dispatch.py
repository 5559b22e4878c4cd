"""A study's blocks on their way through an executor: what ran, what another run computes, what died and who is to blame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import Any

from lstm_odyssey.plugins import registry
from lstm_odyssey.reports.contract.wording import counted
from lstm_odyssey.study.block import Block
from lstm_odyssey.study.plan import Plan
from lstm_odyssey.study.stored.locking import LEASE_SECONDS, claimed
from lstm_odyssey.study.stored.store import Store
from lstm_odyssey.study.workers.watched import EngineError, LostResultError
from lstm_odyssey.study.workers.work import CLAIMED, run_block
from lstm_odyssey.training.environment import environment

LOOK_SECONDS = 15.0
"""How often the store is looked at while no future ends."""
OTHERS_SECONDS = 1.5 * LEASE_SECONDS
"""How long a worker waits for a block that another run computes: enough to see that its lease has lapsed."""
BLAMED = "its worker died, and died again when it ran nothing else"
DIED = ("KilledWorker", "BrokenProcessPool")

Missing = tuple[Block, int]


class Dispatch:
    """Runs what is left of a study.

    A worker that dies may have been running several blocks, or have had some waiting in it. So none is blamed for it: they
    are run again when all else is done, one at a time with nothing beside it, and one whose worker dies then too has failed.

    Args:
        store, plan: the study.
        executor: anything with ``submit`` and futures.
        on_end: called when a block has ended, with the number of trials it was missing.
        say: told in a line what is waited for.
    """

    def __init__(
        self,
        store: Store,
        plan: Plan,
        executor: Executor,
        on_end: Callable[[Block, int], None],
        say: Callable[[str], None],
    ) -> None:
        self.store, self.plan, self.executor, self.on_end, self.say = store, plan, executor, on_end, say
        self.waiting: dict[Future[Any], Missing] = {}
        self.others: list[Missing] = []
        self.suspects: list[Missing] = []
        self.names: dict[str, set[str]] = {}

    def run(self, blocks: tuple[Missing, ...]) -> None:
        """Submit all blocks and return when each has ended.

        Raises:
            StoreError, CorpusError, PluginError: what a worker raises, see ``run_block``.
            EngineError: the executor is gone.
        """
        try:
            self._round(list(blocks), 0.0)
            while self.others:
                others, self.others = self.others, []
                self.say(
                    f"{counted(len(others), 'block')} computed by another run of this store: waiting for it to end."
                )
                self._round(others, OTHERS_SECONDS)
            for suspect in self.suspects:
                self._alone(suspect)
        except BaseException:
            for future in self.waiting:
                future.cancel()
            raise

    def _round(self, blocks: list[Missing], patience: float) -> None:
        for block, missing in blocks:
            future = self._submit(block, patience)
            if future.done():  # an executor that runs at once
                self._settle(block, missing, future, self.suspects)
            else:
                self.waiting[future] = (block, missing)
        for future, (block, missing) in self._ended():
            self._settle(block, missing, future, self.suspects)

    def _submit(self, block: Block, patience: float) -> Future[Any]:
        spec = {
            "store": str(self.store.path),
            "token": self.plan.study["token"],
            "task": block.task,
            "variant": block.variant,
            "number": block.number,
            "trials": self.plan.study["trials"],
            "data": self.plan.data.get(block.task),
            "plugins": _files(block),
            "patience": patience,
            "source": environment()["source"],
        }
        try:
            return self.executor.submit(run_block, spec)
        except Exception as error:
            if type(error).__name__ not in DIED:
                raise
            raise EngineError(
                f"the workers died and take no more work ({error}). What they stored is kept: run the study again."
            ) from error

    def _ended(self) -> Iterator[tuple[Future[Any], Missing]]:
        """Futures as they end. One that does not, though its trials have been stored for a while, counts as ended."""
        stored: set[Future[Any]] = set()
        while self.waiting:
            ended, _ = wait(self.waiting, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
            if not ended:
                now = {future for future, (block, _) in self.waiting.items() if self._stored(block)}
                ended, stored = now & stored, now
            for future in ended:
                future.cancel()  # does nothing to one that is done
                yield future, self.waiting.pop(future)

    def _stored(self, block: Block) -> bool:
        """Whether all of a block's trials have ended; the files are read only where all of them are there."""
        if block.name not in self.names:
            self.names[block.name] = {block.trial_id(index) for index in block.reported}
        there = all(self.store.trial_file(name).exists() for name in self.names[block.name])
        return there and not block.missing(self.store)

    def _settle(self, block: Block, missing: int, future: Future[Any], suspects: list[Missing]) -> None:
        """What became of a block: it ended, or another run has it, or it is a suspect, or its error is the study's."""
        gone = "the executor gave a block up; expected it to run it. Run the study again."
        error = EngineError(gone) if future.cancelled() else future.exception()
        if error is not None and not self._stored(block):
            if type(error).__name__ not in DIED and not isinstance(error, LostResultError):
                raise error
            suspects.append((block, missing))
        elif error is None and future.result() == CLAIMED:
            self.others.append((block, missing))
        else:
            self.on_end(block, missing)

    def _alone(self, suspect: Missing) -> None:
        """Run a block by itself; if its worker dies again, its trials have failed."""
        block, missing = suspect
        again: list[Missing] = []
        self.others = [suspect]
        while self.others:  # its dead worker's lease may have to lapse first
            self.others = []
            self.waiting = {self._submit(block, OTHERS_SECONDS): suspect}
            for future, _ in self._ended():
                self._settle(block, missing, future, again)
        if not again:
            return
        with claimed(self.store, f"block-{block.name}", OTHERS_SECONDS) as ours:
            if ours:  # else another run has it now, and will say what became of it
                for index in block.missing(self.store):
                    self.store.write_trial(block.failed(index, BLAMED))
                self.store.end_block(block.name)
        self.on_end(block, missing)


def _files(block: Block) -> list[str]:
    """The plugin files a worker needs for a block."""
    paths = (registry.file_of("variant", block.variant), registry.file_of("task", block.task))
    return list(dict.fromkeys(str(path) for path in paths if path is not None))
