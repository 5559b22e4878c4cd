"""``odyssey bench cell | epoch | step``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstm_odyssey.options import Plugins, names, numbers, pairs

if TYPE_CHECKING:
    from lstm_odyssey.cell import Cell

bench = typer.Typer(
    help="How fast the cells are, and against what. One thread; all that is compared takes turns in one run.",
    no_args_is_help=True,
)

QUICK_CELL = {"sizes": (20, 50), "batches": (1,), "frames": 40, "seconds": 0.5, "against": ("lstm", "loop", "eager")}
QUICK_SECONDS = 1.0

Variants = Annotated[list[str] | None, typer.Argument(help="Names; 'all' for every one. (the paper's nine)")]
Clock = Annotated[str, typer.Option(help="wall, or cpu: the thread's own time, for a machine that others use too.")]
Error = Annotated[float, typer.Option(help="Stop when the medians are known to ± this part, at 95 %.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the full record here.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Backend = Annotated[str, typer.Option(help="auto, numba or eager.")]
Dtype = Annotated[str, typer.Option(help="float32 or float64.")]
Data = Annotated[list[str] | None, typer.Option(help="TASK=PATH: where a task's corpus lies.")]
HiddenSize = Annotated[int, typer.Option(help="N.")]


@bench.command()
def cell(
    variants: Variants = None,
    sizes: Annotated[list[str] | None, typer.Option(help="N, comma separated. (20,50,100,150,200)")] = None,
    batch: Annotated[list[str] | None, typer.Option(help="B, comma separated. (1,32)")] = None,
    frames: Annotated[int | None, typer.Option(help="T. (304)")] = None,
    inputs: Annotated[int | None, typer.Option(help="M. (39)")] = None,
    against: Annotated[
        list[str] | None, typer.Option(help="Of lstm, loop, eager, compile; comma separated. (all of them)")
    ] = None,
    forward_only: Annotated[
        bool, typer.Option("--forward-only", help="No backward pass, nothing kept for one.")
    ] = False,
    seconds: Annotated[float | None, typer.Option(help="At most, for one variant, N and B. (5)")] = None,
    relative_error: Error = 0.02,
    clock: Clock = "wall",
    device: Device = "cpu",
    json: Json = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Two sizes, short sequences, no compiler: does it run?")
    ] = False,
    plugin: Plugins = None,
) -> None:
    """Time a layer of each variant against torch.nn.LSTM and other ways to compute the same cell.

    All nine, at every size, take half an hour: torch.compile compiles each step anew, and the loops are slow.
    """
    from rich.console import Console

    from lstm_odyssey.bench import show
    from lstm_odyssey.bench.cell import Group, Work, contests
    from lstm_odyssey.threads import one_thread

    said: dict[str, Any] = {
        "sizes": numbers("--sizes", sizes), "batches": numbers("--batch", batch), "frames": frames, "inputs": inputs,
        "against": names(against), "seconds": seconds,
    }  # fmt: skip
    given = {**(QUICK_CELL if quick else {}), **{name: value for name, value in said.items() if value is not None}}
    work = Work(backward=not forward_only, relative_error=relative_error, clock=clock, device=device, **given)
    cells = _cells(variants)
    groups: list[Group] = []
    interrupted = False
    with one_thread(), _progress(len(cells) * len(work.sizes) * len(work.batches)) as (say, advance):
        try:
            for group in contests(cells, work, say):
                groups.append(group)
                advance()
        except KeyboardInterrupt:
            interrupted = True
    console = Console()
    if groups:
        for part in show.cell_tables(groups, work):
            console.print(part)
        if json is not None:
            show.write(json, "cell", vars(work), show.cell_results(groups), interrupted)
    _end(interrupted, json if groups else None)


@bench.command()
def epoch(
    variants: Variants = None,
    task: Annotated[str | None, typer.Option(help="A name. (the first that is embedded)")] = None,
    hidden_size: HiddenSize = 100,
    seconds: Annotated[float | None, typer.Option(help="At most, for all of it. (60)")] = None,
    relative_error: Error = 0.02,
    clock: Clock = "wall",
    device: Device = "cpu",
    backend: Backend = "auto",
    dtype: Dtype = "float32",
    data: Data = None,
    json: Json = None,
    quick: Annotated[bool, typer.Option("--quick", help="A second: does it run?")] = False,
    plugin: Plugins = None,
) -> None:
    """Time an epoch of training against the same protocol in plain torch: nn.LSTM, Linear, autograd, a loop of SGD."""
    from rich.console import Console

    from lstm_odyssey.bench import show
    from lstm_odyssey.bench.epoch import epochs
    from lstm_odyssey.plan import embedded_tasks
    from lstm_odyssey.threads import one_thread

    name = task or embedded_tasks()[0]
    asked: dict[str, Any] = {
        "hidden_size": hidden_size, "relative_error": relative_error, "clock": clock, "device": device, "backend": backend,
        "dtype": dtype, "data": _data(data, [name]).get(name), "seconds": _seconds(seconds, quick, 60.0),
    }  # fmt: skip
    cells = _cells(variants)
    with one_thread(), _progress(None) as (say, _):
        say(f"epochs of {len(cells)} variants and of plain torch in turn")
        try:
            found = epochs(cells, name, **asked)
        except KeyboardInterrupt:
            _end(True, None)
    console = Console()
    for part in show.epoch_table(found, relative_error, clock):
        console.print(part)
    if json is not None:
        show.write(json, "epoch", asked, show.epoch_results(found), False)
    _end(False, json)


@bench.command()
def step(
    variants: Variants = None,
    tasks: Annotated[list[str] | None, typer.Option(help="Names, comma separated. (the embedded ones)")] = None,
    hidden_size: HiddenSize = 100,
    batch: Annotated[int, typer.Option(help="Sequences an update.")] = 1,
    seconds: Annotated[float | None, typer.Option(help="At most, for one variant and task. (10)")] = None,
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
    """Time an update of each variant in its phases, and against the same update with torch.nn.LSTM: lo.throughput."""
    from rich.console import Console

    from lstm_odyssey.bench import show
    from lstm_odyssey.plan import embedded_tasks
    from lstm_odyssey.timing import Throughput, throughput

    asked: dict[str, Any] = {
        "hidden_size": hidden_size, "batch": batch, "relative_error": relative_error, "clock": clock, "device": device,
        "backend": backend, "dtype": dtype, "seconds": _seconds(seconds, quick, 10.0),
    }  # fmt: skip
    cells, chosen = _cells(variants), names(tasks) or list(embedded_tasks())
    places = _data(data, chosen)
    found: list[Throughput] = []
    interrupted = False
    with _progress(len(cells) * len(chosen)) as (say, advance):
        try:
            for name in chosen:
                for each in cells:
                    say(f"{each.name} on {name}")
                    found.append(throughput(each, name, data=places.get(name), **asked))
                    advance()
        except KeyboardInterrupt:
            interrupted = True
    console = Console()
    if found:
        for part in show.step_table(found, clock):
            console.print(part)
        if json is not None:
            show.write(json, "step", asked, show.step_results(found), interrupted)
    _end(interrupted, json if found else None)


def _seconds(said: float | None, quick: bool, usual: float) -> float:
    return said if said is not None else QUICK_SECONDS if quick else usual


def _cells(variants: list[str] | None) -> list[Cell]:
    from lstm_odyssey.plan import chosen_cells

    return list(chosen_cells(names(variants) or None).values())


def _data(data: list[str] | None, tasks: list[str]) -> dict[str, str]:
    from lstm_odyssey.plan import SettingsError

    places = pairs(data)
    unused = sorted(set(places) - set(tasks))
    if unused:
        raise SettingsError(
            f"--data: got a path for {', '.join(unused)}; expected one of the tasks: {', '.join(tasks)}."
        )
    return places


@contextmanager
def _progress(total: int | None) -> Iterator[tuple[Any, Any]]:
    """A bar on the error output, where that is a terminal: functions that say what is being done, and that one is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    count = [BarColumn(), MofNCompleteColumn()] if total is not None else []
    columns = [SpinnerColumn(), *count, TextColumn("{task.description}", markup=False), TimeElapsedColumn()]
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda words: bar.update(task, description=words), lambda: bar.advance(task)


def _end(interrupted: bool, json: Path | None) -> None:
    from rich.console import Console

    if json is not None:
        Console().print(f"Record: {json}", soft_wrap=True, markup=False, highlight=False)
    if interrupted:
        Console().print("Stopped; what stands above was measured.")
        raise SystemExit(130)
