"""The ``odyssey`` command."""

from __future__ import annotations

import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from lstm_odyssey.commands.bench.command import bench
from lstm_odyssey.commands.check import check
from lstm_odyssey.commands.data import corpora
from lstm_odyssey.commands.export import export
from lstm_odyssey.commands.new import new
from lstm_odyssey.commands.options import Commands, ListedPlugins, Plugins, joined, names, pairs
from lstm_odyssey.commands.report import refresher, report
from lstm_odyssey.commands.terminal.blame import own_part
from lstm_odyssey.commands.terminal.output import steady_output
from lstm_odyssey.commands.terminal.stopping import stopping
from lstm_odyssey.commands.terminal.told import blamed, mendable
from lstm_odyssey.commands.verify import verify
from lstm_odyssey.plugins.paths import USER_PATH

app = typer.Typer(
    cls=Commands,
    help="Which recurrent cell, on which task, at which cost?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"lstm-odyssey {version('lstm-odyssey')}")
        raise typer.Exit


@app.callback()
def _about(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=_tell_version)
    ] = False,
) -> None:
    """What stands before every command."""


app.add_typer(bench, name="bench")
app.add_typer(corpora, name="data")
app.add_typer(new, name="new")
app.add_typer(export, name="export")


@app.command()
def run(
    config: Annotated[
        Path | None, typer.Argument(help="A study.toml with these options; the command line beats it.", **USER_PATH)
    ] = None,
    variants: Annotated[
        list[str] | None,
        typer.Option(help="Names, with commas or spaces between; 'all' for every one. (the paper's nine)"),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option(help="Names, with commas or spaces between. (the paper's, where the package has the corpus)"),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Random-search trials for each variant and task. (profile)")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs at most. (profile)")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random. (1)")] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="How large the study is. smoke: 3 trials of 16 epochs in a narrowed space, minutes; standard: 24 of 30; "
            "paper: its protocol, 200 of 150 epochs and draws of each variant's own, hours. (standard)"
        ),
    ] = None,
    draws: Annotated[str | None, typer.Option(help="common to all variants, or independent. (profile)")] = None,
    points: Annotated[
        Path | None,
        typer.Option(help="A CSV file whose rows are the trials' hyperparameters, in place of draws.", **USER_PATH),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes; 0 runs in this one. (one a core)")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a dask scheduler that exists.")] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu; cuda: every GPU there is, a worker each; cuda:1: that one. (cpu)")
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="What computes. numba: each cell compiled for the CPU; cuda: compiled for the GPU, a block's trials at once; "
            "eager: torch's operations, on any device; auto: compiled where it can be. (auto)"
        ),
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="float32 or float64. (float32)")] = None,
    block_size: Annotated[
        int | None, typer.Option(help="Trials that a backend may compute together. (profile)")
    ] = None,
    keep_weights: Annotated[
        str | None, typer.Option(help="best stores each trial's best weights; none. (none)")
    ] = None,
    data: Annotated[list[str] | None, typer.Option(help="TASK=PATH: where a task's corpus lies.")] = None,
    store: Annotated[Path | None, typer.Option(help="The study's folder. (study)", **USER_PATH)] = None,
    resume_from: Annotated[
        Path | None,
        typer.Option(help="A study.nc, or a store, to take over: the study goes on in --store.", **USER_PATH),
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Run a study, or go on with one: what is stored is never run again."""
    from lstm_odyssey.study.asked.config import read_config

    options = read_config(config) if config is not None else {}
    said: dict[str, Any] = {
        "variants": names(variants), "tasks": names(tasks), "trials": trials, "epochs": epochs, "seed": seed,
        "profile": profile, "draws": draws, "points": points and str(points), "workers": workers,
        "scheduler": scheduler, "device": device, "backend": backend, "dtype": dtype, "block_size": block_size,
        "keep_weights": keep_weights, "store": store, "resume_from": resume_from, "plugins": plugin or None,
    }  # fmt: skip
    said = {name: value for name, value in said.items() if value is not None}
    with blamed(config, set(options) - set(said) - ({"data"} if data else set())):
        _run({**options, **said, "data": {**options.get("data", {}), **pairs(data)}})


def _run(options: dict[str, Any]) -> None:
    """Run what the command line and its file ask for."""
    from rich.console import Console

    from lstm_odyssey.study.asked.settings import Settings, SettingsError
    from lstm_odyssey.study.progress import StudyProgress
    from lstm_odyssey.study.run import run as run_study
    from lstm_odyssey.study.workers.engine import default_workers, engine

    place = Path(options.pop("store", "study"))
    count, address = options.pop("workers", None), options.pop("scheduler", None)
    source = options.pop("resume_from", None)
    if count is not None and count < 0:
        raise SettingsError(f"--workers: got {count}; expected 0 (in this process) or more.")
    asked, chosen = str(options.get("device") or ""), list[str]()
    if asked.startswith("cuda"):
        options["device"] = "cuda"
        if address is None:
            chosen = _gpus(asked)  # once: what it sets for this process changes what is seen
    progress = StudyProgress(console := Console())

    def workers_for(store: Any, plan: Any, todo: Any) -> Any:
        number, gpus = count, []
        if plan.study["device"] == "cuda" and address is None:  # that of a study that is gone on with, too
            gpus = chosen or _gpus("cuda")
        if number is None:
            number = min(len(gpus), max(1, len(todo.blocks))) if gpus else default_workers(len(todo.blocks))
        told = {"GPU": 1} if plan.study["device"] == "cuda" else {}
        return engine(
            number, address, str(store.path), plan.study["token"], say=progress.say, gpus=gpus, resources=told
        )

    try:
        with progress:
            study = run_study(
                place,
                Settings(**options),
                workers_for,
                progress.start,
                progress.block_done,
                source,
                refresher(place),
                progress.say,
            )
        _conclude(console, study, place)
    except KeyboardInterrupt as stopped:
        command = ["odyssey", "run", "--store", str(place)]
        command += [f"--resume-from={source}"] if source is not None else []
        command += [f"--data={name}={path}" for name, path in options["data"].items()]
        command += [f"--plugin={path}" for path in options.get("plugins", ())]
        _stop(console, place, shlex.join(command))
        raise SystemExit(getattr(stopped, "code", 130)) from None


def _stop(console: Any, place: Path, command: str) -> None:
    """Say what is kept of a study that was stopped, and by which command it goes on; then write its page."""
    kept = (place / "study.json").exists()  # a study of which nothing had finished is taken back
    told = f"Nothing finished is lost: go on with `{command}`." if kept else "Nothing had finished, so nothing is kept."
    console.print(f"Stopped. {told}", highlight=False, soft_wrap=True)
    if (place / "study.nc").exists():
        from lstm_odyssey.study.results import open_study

        console.print("Writing the page; stop again to leave it.")
        refresher(place)(open_study(place / "study.nc"))


def _conclude(console: Any, study: Any, place: Path) -> None:
    """The page first: what is printed may get lost, or be read by nobody."""
    from lstm_odyssey.commands.report import conclude_page
    from lstm_odyssey.commands.terminal.fitted import show
    from lstm_odyssey.commands.terminal.tables import failures, results

    try:
        with console.status("writing the page") if console.is_terminal else nullcontext():
            conclude_page(place, lambda text: console.print(text, soft_wrap=True, markup=False, highlight=False))
    finally:
        show(console, results(study))
        console.print(f"Results: {place / 'study.nc'}\nReport:  {place / 'report.html'}", soft_wrap=True)
        reasons = failures(study)
        if reasons:
            console.print("\n".join(f"failed: {reason}" for reason in reasons), soft_wrap=True, markup=False)
    if reasons:
        raise SystemExit(1)


def _gpus(device: str) -> list[str]:
    """The GPUs to take; with one alone this process sees no other either.

    torch counts them without starting CUDA, which would read the variable once and for all.
    """
    import os

    import torch

    from lstm_odyssey.study.workers.gpus import VISIBLE, chosen

    found = chosen(device, torch.cuda.device_count())
    if len(found) == 1:
        os.environ[VISIBLE] = found[0]  # before torch makes a context
    return found


app.command()(report)


@app.command()
def variants(plugin: ListedPlugins = None) -> None:
    """List the variants: their equations and how many parameters they have."""
    from rich.console import Console

    from lstm_odyssey.commands.terminal.fitted import show
    from lstm_odyssey.commands.terminal.tables import variant_list

    show(Console(), variant_list(), soft_wrap=True)


@app.command()
def tasks(plugin: ListedPlugins = None) -> None:
    """List the tasks: what they ask, their corpora and licences."""
    from rich.console import Console

    from lstm_odyssey.commands.terminal.fitted import show
    from lstm_odyssey.commands.terminal.tables import task_list

    show(Console(), task_list(), soft_wrap=True)


app.command()(check)
app.command()(verify)


def _fail(error: Exception) -> NoReturn:
    print(f"odyssey: {error}", file=sys.stderr)
    raise SystemExit(2)


def main() -> None:
    """The command's entry point: an error a user can mend is one line, a plugin's own is its part of the traceback.

    Any other keeps its traceback.
    """
    with steady_output(), stopping() as signals:
        try:
            app(args=joined(sys.argv[1:]))
        except KeyboardInterrupt:
            raise SystemExit(signals.code or 130) from None
        except SystemExit as ended:
            if ended.code == 130 and signals.code is not None:  # of the command line's own, which knows one signal only
                raise SystemExit(signals.code) from None
            raise
        except Exception as error:
            if mendable(error):
                _fail(error)
            own = own_part(error)
            if not own:
                raise
            print("odyssey: a plugin's own code failed:", *own, sep="\n", file=sys.stderr)
            raise SystemExit(2) from None


if __name__ == "__main__":
    main()
