"""``odyssey check NAME``: the conformance kit on the command line, every promise with its result."""

from __future__ import annotations

import json as json_module
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstm_odyssey.commands.bench.options import progress
from lstm_odyssey.commands.options import Plugins, names, places_of
from lstm_odyssey.commands.terminal.blame import own_part
from lstm_odyssey.plugins.paths import USER_PATH
from lstm_odyssey.tasks.nearest import nearest

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Result:
    """How one promise of one plugin was kept.

    Attributes:
        kind, name: ``variant`` or ``task``, and which.
        promise: the name of the check.
        backend: on which it was asked for; empty where no backend takes part.
        message: what is broken; empty if the promise is kept.
        seconds: how long the check took.
        not_asked: why it could not be asked for; then it is neither kept nor broken.
    """

    kind: str
    name: str
    promise: str
    backend: str
    message: str
    seconds: float
    not_asked: str = ""

    @property
    def ok(self) -> bool:
        return not self.message and not self.not_asked


@dataclass(frozen=True)
class Planned:
    """One promise of one plugin that is to be checked."""

    kind: str
    name: str
    promise: str
    backend: str
    check: Callable[[Any], None]
    not_asked: str = ""

    def run(self) -> Result:
        """Whatever is raised is a broken promise: the kit's own words, or a plugin's exception with its type and place."""
        if self.not_asked:
            return Result(self.kind, self.name, self.promise, self.backend, "", 0.0, self.not_asked)
        begun = time.perf_counter()
        message = ""
        try:
            self.check(self.name)
        except AssertionError as error:
            message = str(error)
        except Exception as error:  # noqa: BLE001 - a plugin's code may raise anything, and the other promises are asked all the same
            message = "\n".join([f"{self.name}: {type(error).__name__}: {error}", *_place(error)])
        return Result(self.kind, self.name, self.promise, self.backend, message, time.perf_counter() - begun)


def plan(
    asked: Sequence[str], backends: Sequence[str] | None, data: Iterable[str] | None = None, device: str = "cpu"
) -> list[Planned]:
    """All promises of the variants and tasks of these names, whose corpora lie at TASK=PATH; those of variants on a device.

    Raises:
        UnknownNameError: a name is neither a variant nor a task.
        SettingsError: no name is given, a backend is none or does not run on the device, the device is not there, or there
            is a path for a task that is not asked for.
    """
    from lstm_odyssey.plugins import registry
    from lstm_odyssey.study.asked.settings import SettingsError

    if not asked:
        raise SettingsError(
            "check: got no name; expected a variant or a task, as `odyssey variants` and `tasks` list them."
        )
    asks = _asked_of_cells(backends, device)
    found: list[Planned] = []
    tasks = [name for name in asked if name in registry.task_names()]
    places = places_of(data, tasks)
    for name in dict.fromkeys(asked):
        if name in tasks:
            found += _of_task(name, places.get(name))
        if name not in tasks or name in registry.variant_names():
            found += _of_variant(name, asks)
    return found


def _asked_of_cells(backends: Sequence[str] | None, device: str) -> list[tuple[str, Callable[..., None]]]:
    """Every promise of a cell on every backend."""
    import torch

    from lstm_odyssey.backends import BACKENDS
    from lstm_odyssey.conformance.kit import checks
    from lstm_odyssey.study.asked.settings import SettingsError

    for backend in backends or ():
        if backend not in BACKENDS:
            raise SettingsError(f"--backend: got {backend!r}; expected one of {nearest(backend, sorted(BACKENDS))}.")
    try:
        torch.empty(0, device=device)
        return list(checks(backends, device))
    except ValueError as wrong:
        raise SettingsError(f"--backend: {wrong}") from wrong
    except (RuntimeError, AssertionError) as missing:
        raise SettingsError(
            f"--device: got {device!r} ({str(missing).splitlines()[0]}); expected a device torch has here, as cpu or cuda."
        ) from missing


def _of_task(name: str, path: str | None) -> Iterator[Planned]:
    """The promises of a task; where its corpus cannot be loaded those that need none, and why."""
    from lstm_odyssey.conformance.tasks import check_corpus, check_space, task_checks

    error = _load_error(name, path)
    for promise, ask in task_checks(path):
        if error is None or ask.func is check_space:
            yield Planned("task", name, promise, "", ask)
        elif ask.func is check_corpus:
            yield Planned("task", name, promise, "", partial(_fail, error))
        else:
            yield Planned("task", name, promise, "", ask, not_asked="no corpus")


def _of_variant(name: str, asks: Iterable[tuple[str, Callable[..., None]]]) -> Iterator[Planned]:
    """The promises of a variant; of one whose text cannot be read this alone, and why."""
    from lstm_odyssey.conformance.placed import shown
    from lstm_odyssey.plugins import registry

    try:
        home = registry.variant(name).name
    except registry.UnknownNameError:
        known = (*registry.variant_names(), *registry.task_names())
        raise registry.UnknownNameError(
            f"check: '{name}' is neither a variant nor a task; expected one of {nearest(name, known)}. `odyssey variants` "
            "and `odyssey tasks` show all; a plugin's package has to be installed, or its file given with --plugin."
        ) from None
    except Exception as error:  # noqa: BLE001 - whatever an author's text raises is its result, and the others are asked
        yield Planned("variant", name, "text", "", partial(_fail, error))
        return
    for label, each in asks:
        backend = shown(getattr(each, "keywords", {}).get("backend", ""))
        yield Planned("variant", home, label.removesuffix(f"-{backend}"), backend, each)


def _load_error(name: str, path: str | None) -> Exception | None:
    """Why a task's corpus cannot be loaded. It is tried once: a download that fails takes its time."""
    from lstm_odyssey.plugins import registry

    try:
        registry.corpus_of(registry.task(name), path)  # as it is: whether it can be trained on is one of the promises
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the result of the promise of a corpus
        return error
    return None


def _fail(error: Exception, task: Any) -> None:
    raise error


def _place(error: Exception) -> list[str]:
    """Where an exception was raised in an author's code; nothing for an error of ours, which says what to do."""
    if type(error).__module__.startswith("lstm_odyssey."):
        return []
    return [line for line in own_part(error, gated=False) if line.startswith("  ")]


def tables(results: Sequence[Result]) -> Iterator[Table]:
    """One table for each plugin: promise, backend, result."""
    from rich.text import Text

    from lstm_odyssey.commands.terminal.tables import new_table
    from lstm_odyssey.plugins.origins import words
    from lstm_odyssey.plugins.registry import origin

    for kind, name in dict.fromkeys((result.kind, result.name) for result in results):
        title = f"{kind} {name}, from {words(origin(kind, name))}"
        table = new_table("promise", "backend", "result", "seconds", title=title, least=("seconds", "backend"))
        for result in results:
            if (result.kind, result.name) == (kind, name):
                verdict = Text("ok", style="green") if result.ok else Text("FAILED", style="bold red")
                if result.not_asked:
                    verdict = Text(f"not asked, {result.not_asked}", style="yellow")
                table.add_row(result.promise, result.backend, verdict, f"{result.seconds:.2f}")
        yield table


def check(
    name: Annotated[list[str], typer.Argument(help="A variant or a task; several may be given.", show_default=False)],
    backend: Annotated[
        list[str] | None, typer.Option(help="Ask on this backend; may be repeated. (all there are)")
    ] = None,
    device: Annotated[
        str, typer.Option(help="Where variants' layers lie, as torch writes it: cpu, cuda, cuda:1.")
    ] = "cpu",
    data: Annotated[list[str] | None, typer.Option(help="TASK=PATH: where a task's corpus lies.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the full record here.", **USER_PATH)] = None,
    plugin: Plugins = None,
) -> None:
    """Hold a variant or a task to every promise of the conformance kit; exit code 1 if one is broken."""
    from rich.console import Console

    from lstm_odyssey.commands.terminal.fitted import show

    console = Console()
    planned = plan(names(name) or [], names(backend) or None, data, device)
    results = []
    interrupted = False
    with progress(len(planned)) as (say, advance):
        try:
            for each in planned:
                say(f"{each.name}: {each.promise} {each.backend}")
                results.append(each.run())
                advance()
        except KeyboardInterrupt:
            interrupted = True
    for table in tables(results):
        show(console, [table, ""])
    broken = [result for result in results if result.message]
    kept = sum(result.ok for result in results)
    for message in dict.fromkeys(result.message for result in broken):
        which = [f"{each.promise} on {each.backend}".removesuffix(" on ") for each in broken if each.message == message]
        console.print(f"FAILED {', '.join(which)}\n{message}\n", markup=False, highlight=False, soft_wrap=True)
    left = sum(bool(result.not_asked) for result in results)
    console.print(f"{kept} of {len(planned)} promises kept" + (f", {left} not asked" if left else ""), highlight=False)
    if json is not None:
        _write(json, results)
        console.print(f"Record: {json}", soft_wrap=True, markup=False, highlight=False)
    if interrupted:
        console.print("Stopped; what stands above was checked.")
        raise SystemExit(130)
    if broken:
        raise SystemExit(1)


def _write(path: Path, results: Sequence[Result]) -> None:
    from lstm_odyssey.plugins.registry import origin
    from lstm_odyssey.reports.contract.files import write_text
    from lstm_odyssey.training.environment import environment

    content = {
        "format": 1,
        "environment": environment(),
        "origins": {result.name: origin(result.kind, result.name) for result in results},
        "ok": all(result.ok for result in results),
        "results": [{**asdict(result), "ok": result.ok} for result in results],
    }
    write_text(path, json_module.dumps(content, indent=1, ensure_ascii=False) + "\n")
