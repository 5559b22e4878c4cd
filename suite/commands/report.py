"""``odyssey report``: a study's page, its figures, its numbers; written once, or again whenever the study changes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstm_odyssey.commands.options import read_record, writing
from lstm_odyssey.commands.rows import write_curves, write_points
from lstm_odyssey.plugins.paths import USER_PATH
from lstm_odyssey.tasks.nearest import nearest

if TYPE_CHECKING:
    import xarray
    from rich.console import Console

FORMATS = ("html", "md", "csv", "nc", "record", "points", "curves")
REFITS = 200
"""Of the trials' bootstrap samples, for the spread of the variance shares."""

WAIT_SECONDS = 2.0
"""How often ``--watch`` looks whether the study changed."""


def report(
    stores: Annotated[
        list[Path] | None,
        typer.Argument(
            help="A study's folder, or its study.nc; several make one report: other tasks, other cells. (study)",
            show_default=False,
            **USER_PATH,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write. (report.FORMAT beside the study)", **USER_PATH),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--format",
            help="html: the page; md: its tables; csv: a row a cell; nc: what was computed; record: the study, small; points: "
            "its draws, for odyssey run --points; curves: a row an epoch, as csv.",
        ),
    ] = "html",
    best: Annotated[
        int | None,
        typer.Option(
            "--best", help="With --format points: so many of each cell by validation, with its best score. (all)"
        ),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option("--figures", help="Also write every figure here, as .svg and .png.", **USER_PATH)
    ] = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="The cell the others are compared with. (the paper's, if there)")
    ] = None,
    refits: Annotated[
        int | None,
        typer.Option("--refits", help=f"Refits for the spread of the variance shares; 0: none. ({REFITS})"),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out what takes long: refits, cut-offs.")] = False,
    small_forests: Annotated[
        bool,
        typer.Option("--small-forests", help="Also divide the variance of cells with fewer than 50 finished trials."),
    ] = False,
    reruns: Annotated[
        list[Path] | None,
        typer.Option("--reruns", help="A study of this one's best draws with another seed; repeatable."),
    ] = None,
    gpu_record: Annotated[
        Path | None,
        typer.Option("--gpu-record", help="A record of python -m lstm_odyssey.bench.gpu: its frames/s.", **USER_PATH),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Write it again, in quick form, whenever the study changes; Ctrl-C ends.")
    ] = False,
) -> None:
    """Write a study's page, or one of several studies: one HTML file with its tables, figures and analyses."""
    from rich.console import Console

    from lstm_odyssey.study.asked.settings import SettingsError

    if kind not in FORMATS:
        raise SettingsError(f"--format: got {kind!r}; expected one of {nearest(kind, FORMATS)}.")
    if refits is not None and refits < 0:
        raise SettingsError(f"--refits: got {refits}; expected 0 (no refits) or more.")
    for name, given in (("--quick", quick), ("--watch", watch)):
        if given and refits:
            raise SettingsError(
                f"--refits: got {refits} with {name}; expected 0, as the quick form has no refits. Leave out one of the two."
            )
    if best is not None and kind != "points":
        raise SettingsError(f"--best: got {best} with --format {kind}; expected it with --format points. Leave it out.")
    places = stores or [Path("study")]
    store = places[0]
    several = len(places) > 1
    folder = Path() if several else store if store.is_dir() else store.parent
    console = Console()
    if several and (kind in ("points", "record") or watch):
        option = "--watch" if watch else f"--format {kind}"
        raise SettingsError(f"{option}: got {len(places)} studies; expected one. Name one store or file.")
    if kind == "points":
        write_points(store, output or folder / "points.csv", best, console)
        return
    if kind == "curves":
        write_curves(places, output or folder / "curves.csv", console)
        return
    target = output or folder / ("record.nc" if kind == "record" else f"report.{kind}")
    quick = quick or watch
    replicates = 0 if quick else REFITS if refits is None else refits
    options: dict[str, Any] = {"baseline": baseline, "quick": quick, "replicates": replicates, "few": small_forests}
    options |= {"reruns": reruns or [], "gpu": None if gpu_record is None else read_record(gpu_record)}
    if gpu_record is not None and kind not in ("html", "md"):
        raise SettingsError(f"--gpu-record: got --format {kind}; expected html or md, which show it. Leave one out.")
    if not watch:
        options["cache"] = cache_folder(store)
        write_report(places, target, kind, figures, console, **options)
        return
    try:
        for _ in changes(store):
            write_report(places, target, kind, figures, console, live=True, **options)
    except KeyboardInterrupt:
        console.print("Stopped watching.")


def write_report(
    stores: Sequence[Path], target: Path, kind: str, figures: Path | None, console: Console, *, live: bool = False,
    **options: Any,
) -> None:  # fmt: skip
    """Read a study, or several as one, analyse it, and write what was asked for."""
    from lstm_odyssey.reports import page
    from lstm_odyssey.reports.contract import netcdf
    from lstm_odyssey.reports.page import export
    from lstm_odyssey.reports.page.analyses import analyse, save
    from lstm_odyssey.study.asked.settings import SettingsError
    from lstm_odyssey.study.results import open_study

    study = open_study(*stores)
    held, baseline = study["variant"].values.tolist(), options["baseline"]
    if baseline is not None and baseline not in held:
        raise SettingsError(f"--baseline: got {baseline!r}; expected a cell of the study: {nearest(baseline, held)}.")
    if target.is_dir():
        raise SettingsError(
            f"--output: got {target}, a folder; expected a file. Name one in it, as {target / f'report.{kind}'}."
        )
    with writing("--output", target):
        made_folder(target.parent, console)
    if figures is not None:
        with writing("--figures", figures):
            made_folder(figures, console)
    if kind == "record":
        with writing("--output", target):
            console.print(f"Record: {netcdf.save(netcdf.record(study), target)}", soft_wrap=True)
        return
    again, gpu = [open_study(place) for place in options.pop("reruns", [])], options.pop("gpu", None)
    reruns = study.odyssey.reruns(again) if again else None  # before what takes minutes: it refuses other studies
    with _progress(console) as progress:
        found = analyse(study, jobs=-1, progress=progress, **options)._replace(reruns=reruns)
    with writing("--output", target):
        if kind == "html":
            page.write(study, target, analyses=found, live=live, gpu=gpu)
        elif kind == "nc":
            save(found, target)
        else:
            export.write(study, found, target, kind, gpu)
    console.print(f"Report: {target}", soft_wrap=True)
    if figures is not None:
        with writing("--figures", figures):
            count = len(export.save_figures(study, found, figures))
        console.print(f"Figures: {count} files in {figures}", soft_wrap=True)


def made_folder(folder: Path, console: Console) -> None:
    """Make a folder that is not there, before minutes are spent on what goes into it, and say so."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        console.print(f"Folder made: {folder}", soft_wrap=True)


def cache_folder(store: Path) -> Path:
    """Where refits are kept: in the store, or for a file in the user's cache."""
    from lstm_odyssey.backends.numba import cache

    return (store if store.is_dir() else cache.folder()) / "fanova"


def refresher(store: Path) -> Callable[[xarray.Dataset], None]:
    """What a run does now and then: the page in its quick form, so that one can look on. A failure is said, once."""
    failed: list[Exception] = []

    def refresh(study: xarray.Dataset) -> None:
        from lstm_odyssey.reports import page

        if failed:
            return
        try:
            page.write(study, store / "report.html", live=True)
        except Exception as error:  # noqa: BLE001  # the study matters more than its page, which its end writes again
            failed.append(error)
            warnings.warn(f"page {store / 'report.html'}: not written ({error}); the study goes on.", stacklevel=2)

    return refresh


def conclude_page(store: Path, say: Callable[[str], None]) -> None:
    """Write the page of a study that has ended, or of this run's part of it: of several runs one writes for all.

    Raises:
        SettingsError: the page cannot be written; the results are.
    """
    from lstm_odyssey.reports import page
    from lstm_odyssey.reports.contract import netcdf
    from lstm_odyssey.study.stored.locking import claimed
    from lstm_odyssey.study.stored.store import Store

    results, shown = store / "study.nc", None
    while (now := _state(results)) != shown:  # another run may end while the page is written
        with claimed(Store(store), "page", 0.0) as ours:
            if not ours:
                say("Another run of this store writes its page at this moment, with these results.")
                return
            with writing("--store", store):
                page.write(netcdf.load(results), store / "report.html")
            shown = now


def changes(store: Path) -> Iterator[None]:
    """Yield once at the start and then whenever the study's files have changed, for ever."""
    before: object = None
    while True:
        now = _state(store)
        if now != before:
            before = now
            yield
        time.sleep(WAIT_SECONDS)


def _state(store: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of the files a study consists of."""
    files = [store]
    if store.is_dir():
        files = [store / "study.json", *sorted((store / "trials").glob("*.json"))]
    found = []
    for file in files:
        try:
            facts = file.stat()
        except FileNotFoundError:  # replaced just now
            continue
        found.append((file.name, facts.st_size, facts.st_mtime_ns))
    return tuple(found)


@contextmanager
def _progress(console: Console) -> Iterator[Any]:
    """A bar for the refits, which take minutes; nothing where there are none."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as shown:
        bars: dict[str, Any] = {}

        def step(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = shown.add_task(what, total=total)
            shown.update(bars[what], completed=done)

        yield step
