"""``odyssey verify``: some of a study's trials run again, beside what its file says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstm_odyssey.commands.options import Plugins, names, pairs
from lstm_odyssey.plugins.paths import USER_PATH

if TYPE_CHECKING:
    from lstm_odyssey.study.sample import Sample


def verify(
    file: Annotated[
        Path, typer.Argument(help="A study's folder, or a netCDF file. (study)", show_default=False, **USER_PATH)
    ] = Path("study"),
    sample: Annotated[int, typer.Option("--sample", help="How many trials are run again.", min=1)] = 5,
    seed: Annotated[int, typer.Option("--seed", help="Of the choice of trials.", min=0)] = 0,
    variants: Annotated[
        list[str] | None, typer.Option(help="Of these cells alone; names, with commas between.")
    ] = None,
    best: Annotated[
        bool, typer.Option("--best", help="Of each cell's best tenth by validation alone, which its rank rests on.")
    ] = False,
    data: Annotated[list[str] | None, typer.Option(help="TASK=PATH: where a task's corpus lies.")] = None,
    plugin: Plugins = None,
) -> None:
    """Run random trials of a study again and compare: to the bit on the same processor, to a tolerance elsewhere.

    Ends with 1 if a trial differs, or if none could be run.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from lstm_odyssey.commands.terminal.fitted import FittedTable, show
    from lstm_odyssey.study import sample as samples
    from lstm_odyssey.study import verify as verifying

    console = Console()
    columns = TextColumn("{task.description}"), BarColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("reading", total=float(sample))

        def tell(done: int, count: int, what: str, share: float) -> None:
            progress.update(
                bar, description=f"{done + 1} of {count}: {what}", completed=done + share, total=float(count)
            )

        ran_again = verifying.verify(
            file, sample, seed=seed, data=pairs(data), variants=names(variants) or (), best=best, on_epoch=tell
        )
    found = ran_again.found
    table = FittedTable(("task", "variant", "trial", "test score, stored", "now", "verdict"))
    for one in found:
        scores = ("–" if value is None else f"{value:.9g}" for value in (one.stored, one.found))
        table.add_row(one.task, one.variant, str(one.trial), *scores, one.verdict)
    told = [f"{one.variant} on {one.task}, trial {one.trial}: {one.verdict}: {one.why}" for one in found if one.why]
    told += [f"{one.variant}: {one.note}." for one in found if one.note]
    show(console, [table])
    console.print("\n".join(dict.fromkeys(told)), soft_wrap=True, markup=False, highlight=False)
    for line in summed_up(ran_again):
        console.print(line, soft_wrap=True, highlight=False)
    verdicts = {one.verdict for one in found}
    if samples.DIFFERS in verdicts or verdicts <= {samples.NOT_RUN}:
        raise SystemExit(1)


def summed_up(sample: Sample) -> list[str]:
    """What trials run again show of a file, and what they do not, in sentences."""
    from lstm_odyssey.reports.contract.wording import counted
    from lstm_odyssey.study.sample import DIFFERS, NOT_RUN, VERDICTS
    from lstm_odyssey.study.verify import ELSEWHERE

    number = {kind: sum(one.verdict == kind for one in sample.found) for kind in VERDICTS}
    ran = len(sample.found) - number[NOT_RUN]
    parts = [f"{count} {kind}" for kind, count in number.items() if count]
    of = f"{counted(ran, 'trial')} run again of {counted(len(sample.found), 'trial')} chosen"
    said = [f"{of}: {', '.join(parts) or 'none ended'}."]
    if gained := sample.gained():
        less = sum(one < 0 for one in gained)
        said.append(
            f"Elsewhere than where they ran, scores and curves may be off by {100 * ELSEWHERE:g} %, which is more "
            f"than cells differ by. Test scores in the file are {100 * sum(gained) / len(gained):+.2g} % from those of now on "
            f"average, {less} of {len(gained)} less: rounding goes both ways."
        )
    if ran and not number[DIFFERS] and ran < sample.among:
        said.append(
            f"They were chosen among {sample.among:,}. Had {sample.tenth():,} of those been changed, this choice would have "
            f"missed them with a probability of {100 * sample.missed():.0f} %."
        )
    return said
