"""What the commands of ``odyssey bench`` have in common: options, the names they take, the bar, the end."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstm_odyssey.commands.options import Plugins, names
from lstm_odyssey.plugins.paths import USER_PATH

if TYPE_CHECKING:
    from lstm_odyssey.cell import Cell

QUICK = {"seconds": 1.0, "launches": 1}
"""What ``--quick`` stands for, unless said; starting a process takes longer than a second."""

Variants = Annotated[list[str] | None, typer.Argument(help="Names; 'all' for every one. (the paper's nine)")]
Clock = Annotated[str, typer.Option(help="wall, or cpu: the thread's own time, for a machine that others use too.")]
Error = Annotated[float, typer.Option(help="Stop when what is measured is known to ± this part, at 95 %.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the full record here.", **USER_PATH)]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Backend = Annotated[str, typer.Option(help="auto, numba or eager.")]
Dtype = Annotated[str, typer.Option(help="float32 or float64.")]
Data = Annotated[list[str] | None, typer.Option(help="TASK=PATH: where a task's corpus lies.")]
HiddenSize = Annotated[int, typer.Option(help="N.")]


def _of_a_training(
    *,
    hidden_size: HiddenSize = 100,
    seconds: Annotated[float | None, typer.Option(help="At most.")] = None,
    relative_error: Error = 0.02,
    clock: Clock = "wall",
    device: Device = "cpu",
    backend: Backend = "auto",
    dtype: Dtype = "float32",
    data: Data = None,
    json: Json = None,
    quick: Annotated[bool, typer.Option("--quick", help="A second for each: does it run?")] = False,
    plugin: Plugins = None,
) -> None:
    """The options of a command that times training; only its signature is read."""


def timing_options(
    seconds: float, each: str, *, relative_error: float = 0.02, **usual: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of everything that times training.

    The command names its own options as positional parameters, and has ``data``, ``json`` and ``**asked`` behind a ``*``. It
    gets in ``asked`` what ``lo.throughput`` takes, ``hidden_size relative_error clock device backend dtype seconds``, and
    beside it the values of ``--data`` as they were given.

    Args:
        seconds, relative_error: unless said. each: what for, in the words of the help: "for one variant and task".
        usual: what options of the command's own are that are None unless said.
    """

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        own = [
            parameter
            for parameter in inspect.signature(command, eval_str=True).parameters.values()
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        ]
        shared = dict(inspect.signature(_of_a_training, eval_str=True).parameters)
        help_of_seconds = typer.Option(help=f"At most, {each}. ({seconds:g})")
        shared["relative_error"] = shared["relative_error"].replace(default=relative_error)
        shared["seconds"] = shared["seconds"].replace(annotation=Annotated[float | None, help_of_seconds])

        @wraps(command)
        def called(*, quick: bool, plugin: list[str] | None, **asked: Any) -> None:  # plugins are loaded by then
            for name, value in {"seconds": seconds, **usual}.items():
                if asked[name] is None:
                    asked[name] = QUICK.get(name, value) if quick else value
            command(**asked)

        keyword_only = [parameter.replace(kind=parameter.KEYWORD_ONLY) for parameter in (*own, *shared.values())]
        called.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]  # what typer reads
        return called

    return with_options


def chosen_cells(variants: list[str] | None) -> list[Cell]:
    """The cells named, several in one value separated by commas; none named: the paper's nine."""
    from lstm_odyssey.study import plan

    return list(plan.chosen_cells(names(variants) or None).values())


@contextmanager
def progress(total: int | None) -> Iterator[tuple[Any, Any]]:
    """A bar on the error output, where that is a terminal: functions that say what is being done, and that one is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    count = [BarColumn(), MofNCompleteColumn()] if total is not None else []
    columns = [SpinnerColumn(), *count, TextColumn("{task.description}", markup=False), TimeElapsedColumn()]
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda words: bar.update(task, description=words), lambda: bar.advance(task)


def finish(interrupted: bool, json: Path | None) -> None:
    """Say where the record is; a command that was stopped ends with code 130."""
    from rich.console import Console

    if json is not None:
        Console().print(f"Record: {json}", soft_wrap=True, markup=False, highlight=False)
    if interrupted:
        Console().print("Stopped; what stands above was measured.")
        raise SystemExit(130)
