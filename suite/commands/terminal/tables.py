"""What the command line prints: the variants with their equations, the tasks with their licences, a study's results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from lstm_odyssey.commands.terminal.blame import own_part
from lstm_odyssey.commands.terminal.fitted import FittedTable
from lstm_odyssey.plugins.origins import OURS, words

if TYPE_CHECKING:
    import xarray

    from lstm_odyssey.cell import Cell

COUNTED = ((88, 20), (88, 100), (88, 200))
"""(M, N) at which parameters are counted for the list of variants."""

ELSEWHERE = (
    "Another kind of processor rounds otherwise, and training makes much of it: there scores may differ in the second digit "
    "after the point, now and then in the first, and cells that close may change places."
)


def new_table(*columns: str, title: str | None = None, least: Sequence[str] = ()) -> FittedTable:
    """A table of this house: the first column on the left, all others, figures, on the right; see ``FittedTable``."""
    return FittedTable(columns, title, least)


def variant_list() -> Iterator[RenderableType]:
    """The variants by collection, the study's own first: name, aliases, states, equations; then parameters at some sizes.

    A plugin that cannot be loaded is listed with its reason and stops nothing.
    """
    from lstm_odyssey.plugins import registry
    from lstm_odyssey.study.asked.profiles import COLLECTION

    groups: dict[str, list[Cell]] = {}
    broken = []
    for name in registry.variant_names():
        try:
            cell = registry.variant(name)
        except Exception as error:  # noqa: BLE001 - whatever a stranger's package raises is shown, not raised
            broken.append(_unusable(f"{name} of {words(registry.origin('variant', name))}", error))
            continue
        groups.setdefault(cell.collection or "", []).append(cell)
    counts = new_table("variant", *(f"M={m} N={n}" for m, n in COUNTED), title="Parameters of one layer and direction")
    for collection in sorted(groups, key=lambda it: (it != COLLECTION, not it, it)):
        title = f"{collection or 'of no collection'} ({len(groups[collection])})"
        yield Text(f"{title}\n{'─' * len(title)}", style="bold")
        for cell in groups[collection]:
            aliases = f" (also {', '.join(cell.aliases)})" if cell.aliases else ""
            yield Text.assemble(
                (cell.name, "bold"),
                aliases,
                f"  states {' '.join(cell.states)}  [{cell.collection or '-'}]",
                _plugin(cell.origin),
            )
            yield Text("\n".join(f"    {equation}" for equation in cell.equations) + "\n")
            counts.add_row(Text(cell.name), *(f"{cell.count(m, n):,}" for m, n in COUNTED))
        counts.add_section()
    yield from broken
    yield counts
    yield from _broken_files()


def task_list() -> Iterator[RenderableType]:
    """Every task: family, objective, chance level, where the corpus comes from and under which licence."""
    from lstm_odyssey.plugins import registry
    from lstm_odyssey.tasks.names import NAMES

    for name in registry.task_names():
        try:
            task = registry.task(name)
            objective = NAMES[task.objective]
        except Exception as error:  # noqa: BLE001 - as above
            yield _unusable(f"{name} of {words(registry.origin('task', name))}", error)
            continue
        chance = "not declared" if task.chance is None else f"{task.chance:.2f} {objective.units}"
        had = (
            f"downloaded once, or --data {name}=PATH" if task.checksum or task.mirror else f"yours: --data {name}=PATH"
        )
        corpus = "embedded in the package" if task.embedded else had
        yield Text.assemble(
            (name, "bold"),
            f"  {task.family}, {task.objective}: {objective.metric}; chance level {chance}",
            _plugin(task.origin),
        )
        facts = {
            "corpus": corpus,
            "belongs": task.collection and f"to {task.collection}",
            "licence": task.licence,
            "source": task.url,
            "mirror": task.mirror,
            "cite": task.reference,
        }
        yield Text("".join(f"    {fact:8} {value}\n" for fact, value in facts.items() if value))
    yield from _broken_files()


def _plugin(origin: Mapping[str, str]) -> str:
    return "" if origin.get("distribution") == OURS else f"  from {words(origin)}"


def _unusable(subject: str, error: BaseException) -> Text:
    """A plugin that cannot be used: why, and where its own code failed."""
    told = [f"{subject}: not usable: {type(error).__name__}: {error}"]
    if own := own_part(error.__cause__ or error):
        head = ["Traceback (most recent call last):"] if own[0].startswith("  File") and len(own) > 1 else []
        told = [f"{subject}: not usable:", *(f"    {line}" for line in head + own)]
    return Text("\n".join(told) + "\n", style="red")


def _broken_files() -> Iterator[Text]:
    """The files that register nothing because they cannot be loaded."""
    from lstm_odyssey.plugins import registry

    for path, error in registry.broken_files().items():
        yield _unusable(path.name, error)


def results(study: xarray.Dataset) -> Iterator[RenderableType]:
    """A study's table, one for each task, with what it was drawn from; then once in words how to read them."""
    from lstm_odyssey.reports.contract.selection import as_study
    from lstm_odyssey.reports.contract.wording import counted
    from lstm_odyssey.reports.stats.epoch_cost import duration
    from lstm_odyssey.reports.stats.stability import BRIEFLY
    from lstm_odyssey.reports.stats.table import instability, score, summary, whole

    study = as_study(study)
    frame = summary(study)
    known: dict[str, dict[str, Any]] = json.loads(study.attrs["tasks"])
    for task in study["task"].values.tolist():
        facts = study.sel(task=task)
        failed = int(frame.loc[task]["failed"].sum())
        units, chance = str(facts["units"].item()), float(facts["chance"])
        title = f"{task}: {facts['metric'].item()}, {units}; chance level {score(chance)}"
        heads = ("variant", "trials", "div.", "unstable", "best 10 %", "best", "> chance", "params", "s/epoch")
        rows = frame.loc[task].sort_values("mean_test", kind="stable")
        costed = bool(rows["epoch_cost"].notna().any())
        table = new_table(
            *(heads if costed else heads[:-1]),
            title=title,
            least=("params", "> chance", "s/epoch", "best", "trials", "div."),
        )
        for variant, row in rows.iterrows():
            table.add_row(
                Text(str(variant)),
                f"{row['finished']}/{row['trials']}",
                str(row["diverged"]),
                instability(row),
                score(row["mean_test"]),
                score(row["best_test"]),
                "–" if not row["finished"] else "yes" if row["beats_chance"] else "no",
                whole(row["n_parameters"]),
                *([duration(row["epoch_cost"])] if costed else []),
            )
        # one processor is the environment's to tell; several are said where their times stand
        costs = frame.attrs["costs"][task] if frame.attrs["processors"][task] > 1 else ""
        yield Text("".join(f"\n{task}: {warning}" for warning in known[task].get("warnings") or []), style="yellow")
        yield table
        yield from _beside(study, task, [str(name) for name in rows.index])
        if failed:
            yield Text(f"\n{counted(failed, 'trial')} failed; the next run tries again.", style="red")
        yield Text(f"\n{_space(study, task)}{costs and ' '}{costs}\n")
    tasks = study["task"].values.tolist()
    timed = [task for task in tasks if frame.loc[task]["epoch_cost"].notna().any()]
    sizes = [f"{frame.attrs['at'][task]}{f' on {task}' if len(tasks) > 1 else ''}" for task in timed]
    costs = f"; s/epoch: processor time of an epoch's updates at N = {', '.join(sizes)}, fitted on log N over the cell's trials"
    yield Text(
        "Test scores of each trial's best validation epoch; what is worse than chance counts as chance. best 10 %: the mean of "
        "the best tenth of the trials by validation, two at least; best: the best of those, with its number of parameters; "
        "> chance: better than the best constant prediction; div.: diverged; "
        f"unstable: {BRIEFLY}, with its 95 % interval{costs if timed else ''}. {ELSEWHERE}\n"
    )


def _beside(study: xarray.Dataset, task: str, order: Sequence[str]) -> Iterator[RenderableType]:
    """What the same best trials score on what the task names of its test set, where it names anything."""
    from lstm_odyssey.reports.stats.table import score
    from lstm_odyssey.reports.stats.views import views

    frame = views(study, task, order)
    if frame.empty:
        return
    heads = [f"{name} (chance {score(frame.attrs['chance'][name])})" for name in frame.columns]
    units = study["units"].sel(task=task).item()
    table = new_table("variant", *heads, title=f"\n{task}, beside the whole test set, {units}: the best 10 %")
    for cell, row in zip(frame.index, frame.values.tolist(), strict=True):
        table.add_row(Text(str(cell)), *map(score, row))
    yield table


def failures(study: xarray.Dataset) -> list[str]:
    """Why trials failed: each reason once, with how often and where it came first; numbers in it make no other reason."""
    found: dict[str, list[str]] = {}
    told: dict[str, str] = {}
    for task in study["task"].values.tolist():
        for variant in study["variant"].values.tolist():
            part = study.sel(task=task, variant=variant)
            for status, reason in zip(part["status"].values.tolist(), part["reason"].values.tolist(), strict=True):
                if status == "failed":
                    kind = re.sub(r"0x[0-9a-fA-F]+|\d+", "#", reason)
                    told.setdefault(kind, reason)
                    found.setdefault(kind, []).append(f"{variant} on {task}")
    return [f"{len(places)} x, {places[0]}: {told[kind]}" for kind, places in found.items()]


def _space(study: xarray.Dataset, task: str) -> str:
    from lstm_odyssey.reports.contract import draws
    from lstm_odyssey.tasks.distributions import distribution_from_dict

    if told := draws.sentence(study):
        return told
    spaces: dict[str, Any] = json.loads(study.attrs["distributions"])[task]
    drawn = "; ".join(f"{name} {distribution_from_dict(content)}" for name, content in spaces.items())
    for cell, facts in json.loads(study.attrs["variants"]).items():
        for name, content in (facts.get("space") or {}).items():
            drawn += f"; of {cell} {name} {distribution_from_dict(content)}"
    note = json.loads(study.attrs["tasks"])[task].get("space_note", "")
    return f"Drawn from: {drawn}" + (f" ({note})." if note else ".")
