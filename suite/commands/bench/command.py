"""``odyssey bench cell | epoch | step | ctc | compare | gpu``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lstm_odyssey.commands.bench.ctc import ctc
from lstm_odyssey.commands.bench.gpu import gpu
from lstm_odyssey.commands.bench.options import (
    Clock,
    Device,
    Error,
    Json,
    Variants,
    chosen_cells,
    finish,
    progress,
    timing_options,
)
from lstm_odyssey.commands.options import Commands, Plugins, names, numbers, places_of

bench = typer.Typer(
    cls=Commands,
    help="How fast the cells are, and against what. One thread; all that is compared takes turns in one run.",
    no_args_is_help=True,
)

QUICK_CELL = {"sizes": (20, 50), "batches": (1,), "frames": 40, "seconds": 0.5, "against": ("lstm", "loop", "eager")}

Task = Annotated[str | None, typer.Option(help="A name. (the first that is embedded)")]
Batch = Annotated[int, typer.Option(help="Sequences an update.")]


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

    from lstm_odyssey.bench.timed.cell import Group, Work, contests
    from lstm_odyssey.commands.bench import tables as bench_tables
    from lstm_odyssey.commands.terminal import fitted
    from lstm_odyssey.training.threads import one_thread

    said: dict[str, Any] = {
        "sizes": numbers("--sizes", sizes), "batches": numbers("--batch", batch), "frames": frames, "inputs": inputs,
        "against": names(against), "seconds": seconds,
    }  # fmt: skip
    given = {**(QUICK_CELL if quick else {}), **{name: value for name, value in said.items() if value is not None}}
    work = Work(backward=not forward_only, relative_error=relative_error, clock=clock, device=device, **given)
    cells = chosen_cells(variants)
    groups: list[Group] = []
    interrupted = False
    with one_thread(), progress(len(cells) * len(work.sizes) * len(work.batches)) as (say, advance):
        try:
            for group in contests(cells, work, say):
                groups.append(group)
                advance()
        except KeyboardInterrupt:
            interrupted = True
    console = Console()
    if groups:
        fitted.show(console, bench_tables.cell_tables(groups, work))
        if json is not None:
            bench_tables.write(json, "cell", vars(work), bench_tables.cell_results(groups), interrupted)
    finish(interrupted, json if groups else None)


@bench.command()
@timing_options(seconds=60.0, each="for all of it")
def epoch(
    variants: Variants = None, task: Task = None, *, data: list[str] | None, json: Path | None, **asked: Any
) -> None:
    """Time an epoch of training against the same protocol in plain torch: nn.LSTM, Linear, autograd, a loop of SGD."""
    from rich.console import Console

    from lstm_odyssey.bench.timed.epoch import epochs
    from lstm_odyssey.commands.bench import tables as bench_tables
    from lstm_odyssey.commands.terminal import fitted
    from lstm_odyssey.reports.contract.wording import counted
    from lstm_odyssey.study.plan import default_tasks
    from lstm_odyssey.training.threads import one_thread

    name = task or default_tasks()[0]
    asked["data"] = places_of(data, [name]).get(name)
    cells = chosen_cells(variants)
    with one_thread(), progress(None) as (say, _):
        say(f"epochs of {counted(len(cells), 'variant')} and of plain torch in turn")
        try:
            found = epochs(cells, name, **asked)
        except KeyboardInterrupt:
            finish(True, None)
    console = Console()
    fitted.show(console, bench_tables.epoch_table(found, asked["relative_error"], asked["clock"]))
    if json is not None:
        bench_tables.write(json, "epoch", asked, bench_tables.epoch_results(found), False)
    finish(False, json)


@bench.command()
@timing_options(seconds=10.0, each="for one variant and task")
def step(
    variants: Variants = None,
    tasks: Annotated[
        list[str] | None, typer.Option(help="Names, comma separated. (those that come with the package)")
    ] = None,
    batch: Batch = 1,
    *,
    data: list[str] | None,
    json: Path | None,
    **asked: Any,
) -> None:
    """Time an update of each variant in its phases, and against the same update with torch.nn.LSTM: lo.throughput."""
    from rich.console import Console

    from lstm_odyssey.bench.throughput import Throughput, throughput
    from lstm_odyssey.commands.bench import tables as bench_tables
    from lstm_odyssey.commands.terminal import fitted
    from lstm_odyssey.study.plan import default_tasks

    asked["batch"] = batch
    cells, chosen = chosen_cells(variants), names(tasks) or list(default_tasks())
    paths = places_of(data, chosen)
    found: list[Throughput] = []
    interrupted = False
    with progress(len(cells) * len(chosen)) as (say, advance):
        try:
            for name in chosen:
                for each in cells:
                    say(f"{each.name} on {name}")
                    found.append(throughput(each, name, data=paths.get(name), **asked))
                    advance()
        except KeyboardInterrupt:
            interrupted = True
    console = Console()
    if found:
        fitted.show(console, bench_tables.step_table(found, asked["clock"]))
        if json is not None:
            bench_tables.write(json, "step", asked, bench_tables.step_results(found), interrupted)
    finish(interrupted, json if found else None)


bench.command()(ctc)
bench.command()(gpu)


@bench.command()
@timing_options(seconds=30.0, each="for both", relative_error=0.01, launches=9)
def compare(
    baseline: Annotated[str, typer.Argument(metavar="A", help="VARIANT[@BACKEND][@PYTHON]: what to compare with.")],
    contender: Annotated[str, typer.Argument(metavar="B", help="The same: what the verdict is on.")],
    task: Task = None,
    batch: Batch = 1,
    threshold: Annotated[
        float, typer.Option(help="The part by which the speeds have to differ before they are said to.")
    ] = 0.03,
    launches: Annotated[
        int | None,
        typer.Option(help="How often both are started anew; fewer than 6 give no verdict. (9; with --quick 1)"),
    ] = None,
    fail_on: Annotated[
        list[str] | None, typer.Option(help="Verdicts that end the command with code 1, as slow,ambiguous. (none)")
    ] = None,
    *,
    data: list[str] | None,
    json: Path | None,
    **asked: Any,
) -> None:
    """Is B faster than A? FAST, SLOW, SAME or AMBIGUOUS, with the 95 % interval of the ratio of their speeds.

    Two variants, two backends (vanilla@numba vanilla@eager), or two installed versions of this package, told by their
    interpreter or virtual environment (vanilla vanilla@../other/.venv): each has a process of its own, and they take turns.
    Starting them takes some 20 seconds on top.
    """
    from rich.console import Console

    from lstm_odyssey.bench.timed import compare as comparing
    from lstm_odyssey.commands.bench import tables as bench_tables
    from lstm_odyssey.commands.terminal import fitted
    from lstm_odyssey.study.asked.settings import SettingsError
    from lstm_odyssey.study.plan import default_tasks
    from lstm_odyssey.tasks.nearest import nearest

    failing = [name.upper() for name in names(fail_on) or []]
    unknown = [name.lower() for name in failing if name not in comparing.VERDICTS]
    if unknown:
        known = nearest(unknown[0], [verdict.lower() for verdict in comparing.VERDICTS])
        raise SettingsError(f"--fail-on: got {', '.join(unknown)}; expected some of {known}.")
    name = task or default_tasks()[0]
    asked |= {"batch": batch, "threshold": threshold, "launches": launches, "data": places_of(data, [name]).get(name)}
    with progress(None) as (say, _):
        try:
            found = comparing.compare(baseline, contender, name, on_doing=say, **asked)
        except KeyboardInterrupt:
            finish(True, None)
    console = Console()
    fitted.show(console, bench_tables.comparison(found, name, asked), soft_wrap=True)
    if json is not None:
        said = {"baseline": baseline, "contender": contender, "task": name, **asked}
        bench_tables.write(json, "compare", said, [bench_tables.comparison_result(found)], False)
    finish(False, json)
    if found.verdict in failing:
        raise SystemExit(1)
