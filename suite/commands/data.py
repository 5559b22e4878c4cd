"""``odyssey data``: the corpora of the tasks: which there are, where they come from, what is in them, how they look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstm_odyssey.commands.options import ListedPlugins, Plugins, names, pairs, writing
from lstm_odyssey.plugins.paths import USER_PATH

if TYPE_CHECKING:
    from lstm_odyssey.plugins.registry import NamedTask
    from lstm_odyssey.tasks.declare import Corpus

corpora = typer.Typer(no_args_is_help=True, help="The corpora of the tasks: list them, fetch, check and show them.")

Chosen = Annotated[str, typer.Argument(help="Tasks, separated by commas.", metavar="TASKS", show_default=False)]
Places = Annotated[list[str] | None, typer.Option("--data", help="TASK=PATH: where a task's corpus lies.")]

MEGABYTE = 1e6


def place(task: NamedTask) -> str:
    """Where a task's corpus lies on this machine, without reading it; empty if it is not at hand.

    Raises:
        CorpusError: ``$ODYSSEY_DATA`` is no folder, or holds two that fit.
    """
    from lstm_odyssey.tasks import locate

    if task.embedded:
        return "in the package"
    given = locate.locate(task.name)
    if given is not None:
        return str(given)
    if task.file is not None and (locate.cache_folder() / task.file).exists():
        return str(locate.cache_folder() / task.file)
    return ""


@corpora.command("list")
def list_(plugin: ListedPlugins = None) -> None:
    """Every task's corpus: licence, source, size, and whether it is at hand."""
    from rich.console import Console

    from lstm_odyssey.commands.fitted import FittedTable, show
    from lstm_odyssey.plugins import registry

    table = FittedTable(("task", "family", "size", "licence", "at hand", "source"), None, ("task", "at hand"))
    for name in registry.task_names():
        try:
            task = registry.task(name)
        except registry.PluginError as error:
            table.add_row(name, "–", "–", "–", "cannot be loaded", str(error))
            continue
        size = "–" if task.size is None else f"{task.size / MEGABYTE:,.1f} MB"
        table.add_row(name, task.family, size, task.licence, place(task) or "no", task.url or "–")
    show(Console(), [table])


@corpora.command()
def fetch(tasks: Chosen, plugin: Plugins = None) -> None:
    """Download what may be had freely, check it and keep it; what is at hand is not fetched again."""
    from lstm_odyssey.plugins import registry

    for name in names([tasks]) or []:
        task = registry.task(name)
        there = place(task)
        if not there:
            registry.load_corpus(name, None)
            there = place(task) or "read"
        typer.echo(f"{name}: {there}")


@corpora.command()
def check(tasks: Chosen, places: Places = None, plugin: Plugins = None) -> None:
    """Read corpora and say what is in them: sequences, frames, lengths, labels, and what deviates from the usual."""
    from rich.console import Console

    from lstm_odyssey.commands.fitted import FittedTable, show
    from lstm_odyssey.plugins import registry

    given = pairs(places)
    for name in names([tasks]) or []:
        corpus = registry.load_corpus(name, given.get(name))
        table = FittedTable(("split", "sequences", "frames", "shortest", "longest", "labels"), name)
        for row in _counts(corpus):
            table.add_row(*row)
        show(Console(), [table])
        typer.echo(f"{corpus.provenance}\nsha256 of the corpus as it is trained on: {corpus.fingerprint}")
        for warning in corpus.warnings:
            typer.echo(f"note: {warning}")


def _counts(corpus: Corpus) -> Iterator[tuple[str, ...]]:
    """A row for each split: its name, sequences, frames, shortest and longest in frames, and labels in its targets."""
    for name, split in corpus.splits.items():
        lengths = [len(features) for features, _ in split]
        labels = sum(len(target) for _, target in split) if corpus.labels else None
        numbers = (len(split), sum(lengths), min(lengths), max(lengths))
        yield name, *(f"{number:,}" for number in numbers), "–" if labels is None else f"{labels:,}"


@corpora.command("show")
def show_(
    task: Annotated[str, typer.Argument(help="A task.")],
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "train",
    index: Annotated[int, typer.Option(help="Which sequence, counted from 0.", min=0)] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The PNG. (TASK-SPLIT-INDEX.png)", **USER_PATH)
    ] = None,
    places: Places = None,
    plugin: Plugins = None,
) -> None:
    """Draw one sequence with its labels: a piano roll, features with phones, ink with its text."""
    from lstm_odyssey.plugins import registry
    from lstm_odyssey.plugins.paths import expanded
    from lstm_odyssey.reports.plots.sequence import sequence
    from lstm_odyssey.study.plan import SettingsError
    from lstm_odyssey.tasks.nearest import nearest

    named = registry.task(task)
    corpus = registry.load_corpus(task, pairs(places).get(task))
    if split not in corpus.splits:
        raise SettingsError(f"--split: got {split!r}; expected one of {nearest(split, list(corpus.splits))}.")
    if index >= len(corpus.splits[split]):
        raise SettingsError(
            f"--index: got {index}; expected 0 to {len(corpus.splits[split]) - 1}, as {split} of '{task}' has "
            f"{len(corpus.splits[split])} sequences."
        )
    features, target = corpus.splits[split][index]
    drawn: Any = sequence(
        features if corpus.recorded is None else features * corpus.recorded[1] + corpus.recorded[0],
        target,
        corpus.labels,
        family=named.family,
        objective=named.objective,
        title=f"{task}, {split}[{index}]",
    )
    path = expanded(output or Path(f"{task}-{split}-{index}.png"))
    with writing("--output", path):
        drawn.savefig(path, dpi=150)
    typer.echo(path)
