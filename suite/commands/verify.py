"""``odyssey verify``: some of a study's trials run again, beside what its file says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstm_odyssey.commands.options import Plugins, pairs
from lstm_odyssey.plugins.paths import USER_PATH


def verify(
    file: Annotated[
        Path, typer.Argument(help="A study's folder, or a netCDF file. (study)", show_default=False, **USER_PATH)
    ] = Path("study"),
    sample: Annotated[int, typer.Option("--sample", help="How many trials are run again.", min=1)] = 5,
    seed: Annotated[int, typer.Option("--seed", help="Of the choice of trials.", min=0)] = 0,
    data: Annotated[list[str] | None, typer.Option(help="TASK=PATH: where a task's corpus lies.")] = None,
    plugin: Plugins = None,
) -> None:
    """Run random trials of a study again and compare: to the bit on the same processor, to a tolerance elsewhere.

    Ends with 1 if a trial differs, or if none could be run.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from lstm_odyssey.commands.terminal.fitted import FittedTable, show
    from lstm_odyssey.reports.contract.wording import counted
    from lstm_odyssey.study import verify as verifying

    console = Console()
    columns = TextColumn("{task.description}"), BarColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("reading", total=float(sample))

        def tell(done: int, count: int, what: str, share: float) -> None:
            progress.update(
                bar, description=f"{done + 1} of {count}: {what}", completed=done + share, total=float(count)
            )

        found = verifying.verify(file, sample, seed=seed, data=pairs(data), on_epoch=tell)
    table = FittedTable(("task", "variant", "trial", "test score, stored", "now", "verdict"))
    for one in found:
        scores = ("–" if value is None else f"{value:.9g}" for value in (one.stored, one.found))
        table.add_row(one.task, one.variant, str(one.trial), *scores, one.verdict)
    told = [f"{one.variant} on {one.task}, trial {one.trial}: {one.verdict}: {one.why}" for one in found if one.why]
    show(console, [table])
    console.print("\n".join(dict.fromkeys(told)), soft_wrap=True, markup=False, highlight=False)
    number = {kind: sum(one.verdict == kind for one in found) for kind in verifying.VERDICTS}
    ran = len(found) - number[verifying.NOT_RUN]
    parts = [f"{count} {kind}" for kind, count in number.items() if count]
    console.print(
        f"{counted(ran, 'trial')} run again of {counted(len(found), 'trial')} chosen: {', '.join(parts) or 'none ended'}. "
        f"Elsewhere than where they ran, scores and curves may be off by {100 * verifying.ELSEWHERE:g} %.",
        soft_wrap=True, highlight=False,
    )  # fmt: skip
    if number[verifying.DIFFERS] or not ran:
        raise SystemExit(1)
