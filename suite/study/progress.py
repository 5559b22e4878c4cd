"""What a running study shows: trials done, the best so far, time left. It reads the store, so it works with any engine."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable
from datetime import timedelta
from types import TracebackType

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from lstm_odyssey.reports.contract.wording import counted
from lstm_odyssey.reports.stats.table import score
from lstm_odyssey.study.block import Block
from lstm_odyssey.study.plan import Plan
from lstm_odyssey.study.run import Pending
from lstm_odyssey.study.stored.store import Store
from lstm_odyssey.training.environment import elsewhere


def time_left(elapsed: float, done: float, left: float) -> str:
    """How long what is left takes at the mean speed so far, as hours, minutes and seconds.

    The mean of all that was done, since trials take from seconds to hours and the speed of the last moments says little.
    Before a hundredth of a trial is done there is none.

    Args:
        elapsed: seconds.
        done, left: trials, parts of them included.

    Example:
        >>> time_left(60, 1.5, 90), time_left(5, 0, 90)
        ('1:00:00', '-:--:--')
    """
    if done < 0.01:
        return "-:--:--"
    return str(timedelta(seconds=round(elapsed * max(0.0, left) / done)))


class Bar(Progress):
    """A bar with a line of words below it, which a narrow terminal breaks: beside it figures would be cut."""

    words = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.words:
            yield Text(f"  {self.words}")


class StudyProgress:
    """A progress bar fed by the store's words of progress; a context manager.

    Where the output is no terminal, one line a block stands for the bar.

    Args:
        console: where to show it.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar = Bar(
            SpinnerColumn(),
            TextColumn("trials"),
            BarColumn(30),
            TextColumn("{task.fields[finished]}/{task.total:.0f}"),
            TimeElapsedColumn(),
            TextColumn("left {task.fields[left]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.task: TaskID | None = None
        self.best: dict[str, tuple[float, str]] = {}  # by task: the best validation score, and the cell that has it
        self.units: dict[str, str] = {}
        self.blocks: dict[str, tuple[Block, int]] = {}
        self.done = 0
        self.shown = 0.0
        self.doing = ""
        self.total = 0
        self.begun = (0.0, 0.0)  # when the work of this run began, and what was done then

    def __enter__(self) -> StudyProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop.set()
        if self.task is not None:
            if error is None:
                self._show(self.done)
            self.bar.stop()  # of a study that was stopped the bar stays where it was: what is done of a trial is kept

    def start(self, store: Store, plan: Plan, todo: Pending) -> None:
        """Begin to show; the callback ``on_start`` of a study."""
        kept = f", {todo.stored} of them stored already" if todo.stored else ""
        total = todo.trials + todo.stored
        self.console.print(
            f"{counted(total, 'trial')}{kept}: {counted(len(plan.variants), 'variant')} x {', '.join(plan.tasks)} x "
            f"{counted(plan.study['trials'], 'trial')} of "
            f"{counted(plan.study['protocol']['epochs'], 'epoch')} at most, {plan.study['backend']} on {plan.study['device']}"
        )
        other = elsewhere(todo.environments, plan.study["device"]) if todo.blocks else ""
        if other:
            words = f"warning: stored trials ran elsewhere, so new ones are rounded otherwise ({other})."
            self.console.print(words, markup=False, soft_wrap=True)
        self.store = store
        self.units = {name: facts["units"] for name, facts in plan.study["tasks"].items()}
        self.blocks = {block.name: (block, missing) for block, missing in todo.blocks}
        for trial in store.trials() if todo.stored else ():
            self._better(trial["task"], trial["variant"], trial["best_valid"])
        self.done = todo.stored
        self.total, self.begun = total, (time.monotonic(), todo.stored)
        self.task = self.bar.add_task(
            "trials", total=total, completed=todo.stored, finished=todo.stored, left="-:--:--"
        )
        self.bar.words = self._words()
        self.bar.start()
        threading.Thread(target=self._watch, daemon=True).start()

    def say(self, text: str) -> None:
        """Show a line: what is waited for."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def block_done(self, block: Block, missing: int) -> None:
        """A block is finished; the callback ``on_block`` of a study."""
        for index in block.reported:
            trial = self.store.read_trial(block.trial_id(index))
            if trial is not None:
                self._better(block.task, block.variant, trial["best_valid"])
        with self.lock:
            self.blocks.pop(block.name, None)
            self.done += missing
        self.doing = ""
        self._show(self.done)
        if not self.console.is_terminal:
            words = f"  {self.done} done: {block.variant} on {block.task}, {counted(missing, 'trial')}; {self._words()}"
            self.console.print(words, markup=False, soft_wrap=True)

    def _better(self, task: str, variant: str, value: float | None) -> None:
        if task in self.units and value is not None and value < self.best.get(task, (math.inf, ""))[0]:
            self.best[task] = value, variant

    def _words(self) -> str:
        """The best validation score on each task and whose it is: of the trials of all cells, the stored ones among them."""
        words = [
            f"best validation on {task} {score(value)} {self.units[task]} ({variant})"
            for task, (value, variant) in self.best.items()
        ]
        return ", ".join(words if not self.doing else [*words, self.doing])

    def _show(self, done: float) -> None:
        if self.task is not None:
            since, before = self.begun
            left = time_left(time.monotonic() - since, done - before, self.total - done)
            self.shown = max(self.shown, done)  # a word of progress may be older than the one before
            self.bar.words = self._words()
            self.bar.update(self.task, completed=self.shown, finished=self.done, left=left)

    def _watch(self) -> None:
        while not self.stop.wait(0.5):
            words = self.store.progress()
            part = 0.0
            self.doing = next((word["doing"] for word in words.values() if word["doing"]), "")
            with self.lock:
                for name, word in words.items():
                    if name in self.blocks:
                        block, missing = self.blocks[name]
                        self._better(block.task, block.variant, word["best"])
                        part += missing * word["epoch"] / max(1, word["epochs"])
                done = self.done
            self._show(min(done + part, done + sum(missing for _, missing in self.blocks.values())))
