"""A study as rows of a file: its draws, its curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lstm_odyssey.commands.options import writing

if TYPE_CHECKING:
    from rich.console import Console


def write_points(store: Path, target: Path, best: int | None, console: Console) -> None:
    """Write a study's draws, or the best of each cell by validation, as a file of points."""
    from lstm_odyssey.reports.contract.files import write_text
    from lstm_odyssey.reports.stats.best_points import best_points
    from lstm_odyssey.study.asked.settings import SettingsError
    from lstm_odyssey.study.results import open_study

    study = open_study(store)
    try:
        points = best_points(study, best)
    except ValueError as error:
        raise SettingsError(f"--format points: {error}") from None
    with writing("--output", target):
        write_text(target, points.to_csv(index=False, lineterminator="\n"))
    console.print(f"Points: {len(points)} rows in {target}", soft_wrap=True)


def write_curves(stores: Sequence[Path], target: Path, console: Console) -> None:
    """Write the curves of all trials, a row an epoch."""
    from lstm_odyssey.reports.contract.files import write_text
    from lstm_odyssey.reports.stats.learning import learning
    from lstm_odyssey.study.results import open_study

    rows = learning(open_study(*stores))
    with writing("--output", target):
        write_text(target, rows.to_csv(index=False, lineterminator="\n"))
    console.print(f"Curves: {len(rows)} rows in {target}", soft_wrap=True)
