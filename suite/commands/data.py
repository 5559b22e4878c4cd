"""``odyssey data``: the corpora of the tasks: which there are, where they come from, what is in them, how they look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstm_odyssey.commands.options import Commands, ListedPlugins, Plugins, names, places_of, writing
from lstm_odyssey.plugins.paths import USER_PATH

if TYPE_CHECKING:
    from lstm_odyssey.plugins.registry import NamedTask
    from lstm_odyssey.tasks.declare import Corpus

corpora = typer.Typer(
    cls=Commands, no_args_is_help=True, help="The corpora of the tasks: list them, fetch, check and show them."
)

Chosen = Annotated[str, typer.Argument(help="Tasks, separated by commas.", metavar="TASKS", show_default=False)]
Places = Annotated[list[str] | None, typer.Option("--data", help="TASK=PATH: where a task's corpus lies.")]

FORMATS = (".png", ".svg", ".pdf")
"""What a drawing's name may end in."""

PEOPLE = {"speech": "speakers", "handwriting": "writers"}
"""What the people of a family's corpora do."""


def place(task: NamedTask) -> str:
    """Where a task's corpus lies on this machine, without reading it; empty if it is not at hand.

    Raises:
        CorpusError: ``$ODYSSEY_DATA`` is no folder, or holds two that fit.
    """
    from lstm_odyssey.tasks.files import locate

    if task.embedded:
        return "in the package"
    given = locate.locate(task.name)
    if given is not None:
        return str(given)
    files = [locate.cache_folder() / each.file for each in task.declaration.fetched]
    if files and all(file.exists() for file in files):
        return str(files[0] if len(files) == 1 else files[0].parent)
    return ""


def size(task: NamedTask) -> str:
    """How large a task's corpus is: the embedded file, what is downloaded, or the file that was given."""
    from lstm_odyssey.tasks.files import locate

    given = None if task.embedded else locate.locate(task.name)
    if given is not None and given.is_file():
        return in_bytes(given.stat().st_size)
    if task.size is not None:
        return in_bytes(task.size)
    return "computed" if task.embedded else "–"


def in_bytes(count: int) -> str:
    """A number of bytes in words.

    >>> [in_bytes(count) for count in (812, 41_000, 2_051_809, 178_728_512)]
    ['812 B', '41 kB', '2.1 MB', '178.7 MB']
    """
    return f"{count} B" if count < 1000 else f"{count / 1e3:.0f} kB" if count < 1e6 else f"{count / 1e6:,.1f} MB"


@corpora.command("list")
def list_(plugin: ListedPlugins = None) -> None:
    """Every task's corpus: licence, source, size, and whether it is at hand."""
    from rich.console import Console

    from lstm_odyssey.commands.terminal.fitted import FittedTable, show
    from lstm_odyssey.plugins import registry
    from lstm_odyssey.tasks.corpus import called

    table = FittedTable(("task", "family", "size", "at hand"))
    sources = []
    for name in registry.task_names():
        try:
            task = registry.task(name)
        except registry.PluginError as error:
            table.add_row(name, "–", "–", "cannot be loaded")
            sources.append(f"{name}: {error}")
            continue
        there = place(task)
        table.add_row(
            called(name, task.licence),
            task.family,
            size(task),
            there if there == "in the package" else "yes" if there else "no",
        )
        told = (task.licence, task.url, there if there != "in the package" else "")
        sources.append(f"{name}: " + "; ".join(filter(None, told)))
    console = Console()
    show(console, [table])
    for line in ("", *sources):  # each on a line of its own, whatever its length: an address is not broken
        console.print(line, soft_wrap=True, markup=False, highlight=False)


@corpora.command()
def fetch(tasks: Chosen, plugin: Plugins = None) -> None:
    """Download what may be had freely, and check it; a file that is there and whole is not fetched again. Nothing is parsed."""
    from lstm_odyssey.plugins import registry
    from lstm_odyssey.tasks.corpus import called
    from lstm_odyssey.tasks.files import locate

    for name in names([tasks]) or []:
        task = registry.task(name)
        shown = called(name, task.licence)
        wanted = () if task.embedded or locate.locate(name) is not None else task.declaration.fetched
        for each in wanted:
            file = locate.fetch(name, each)
            said = (
                "its sha256 holds" if each.checksum else f"sha256 {locate.recorded(file)}, as it was first downloaded"
            )
            typer.echo(f"{shown}: {file}, {in_bytes(file.stat().st_size)}, {said}")
        if not wanted:
            there = place(task)
            if not there:
                registry.load_corpus(name, None)  # it downloads in a way of its own, or says what is to be given
            typer.echo(f"{shown}: {there or 'read'}")


@corpora.command()
def check(tasks: Chosen, places: Places = None, plugin: Plugins = None) -> None:
    """Read corpora and say what is in them: sequences, frames, lengths, labels, and what deviates from the usual."""
    from rich.console import Console

    from lstm_odyssey.commands.terminal.fitted import FittedTable, show
    from lstm_odyssey.plugins import registry
    from lstm_odyssey.tasks.corpus import called

    chosen = names([tasks]) or []
    given = places_of(places, chosen)
    for name in chosen:
        corpus = registry.load_corpus(name, given.get(name))
        people = [PEOPLE.get(registry.task(name).family, "people")] if corpus.people else []
        heads = ("split", "sequences", "frames", "shortest", "longest", "labels", *people)
        table = FittedTable(heads, called(name, corpus.provenance))
        for row in _counts(corpus):
            table.add_row(*row)
        show(Console(), [table])
        typer.echo(f"{corpus.provenance}\nsha256 of the corpus as it is trained on: {corpus.fingerprint}")
        for warning in corpus.warnings:
            typer.echo(f"note: {warning}")


def _counts(corpus: Corpus) -> Iterator[tuple[str, ...]]:
    """A row for each split: its name, sequences, frames, shortest and longest in frames, labels in its targets, people.

    The subsets of test stand after it.
    """
    parts = {name: (split, corpus.people.get(name)) for name, split in corpus.splits.items()}
    parts |= {f"test, {name}": (tuple(corpus.test[k] for k in at), None) for name, at in corpus.subsets.items()}
    for name, (split, people) in parts.items():
        lengths = [len(features) for features, _ in split]
        labels = sum(len(target) for _, target in split) if corpus.labels else None
        numbers = (len(split), sum(lengths), min(lengths), max(lengths), labels)
        told = (*numbers, people) if corpus.people else numbers
        yield name, *("–" if number is None else f"{number:,}" for number in told)


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
    from lstm_odyssey.study.asked.settings import SettingsError
    from lstm_odyssey.tasks.corpus import called
    from lstm_odyssey.tasks.nearest import nearest

    path = expanded(output or Path(f"{task}-{split}-{index}.png"))
    if path.suffix not in FORMATS:
        raise SettingsError(f"--output: got {path}; expected a name that ends in {', '.join(FORMATS)}.")
    named = registry.task(task)
    corpus = registry.load_corpus(task, places_of(places, [task]).get(task))
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
        title=f"{called(task, corpus.provenance)}, {split}[{index}]",
    )
    if split == "test" and (within := [name for name, found in corpus.subsets.items() if index in found]):
        typer.echo(f"test[{index}] is of: {', '.join(within)}")
    with writing("--output", path):
        drawn.savefig(path, dpi=150)
    typer.echo(path)
