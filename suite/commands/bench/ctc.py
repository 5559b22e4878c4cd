"""``odyssey bench ctc``: the loss of the compiled step beside torch's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import geometric_mean
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstm_odyssey.commands.bench.options import Clock, Error, HiddenSize, Json, chosen_cells, finish, progress
from lstm_odyssey.commands.options import Plugins, names

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lstm_odyssey.bench.timed.ctc import Lines

QUICK = {"lines": ["170:20"], "seconds": 0.5}


def ctc(
    lines: Annotated[
        list[str] | None, typer.Option(help="T:U, comma separated. (170:20,334:22,334:30,500:30,700:30)")
    ] = None,
    variant: Annotated[
        str | None, typer.Option(help="Of the network beside it. (the first of the paper's nine)")
    ] = None,
    hidden_size: HiddenSize = 100,
    seconds: Annotated[float | None, typer.Option(help="At most, for each line. (10)")] = None,
    relative_error: Error = 0.02,
    clock: Clock = "wall",
    json: Json = None,
    quick: Annotated[bool, typer.Option("--quick", help="One short line: does it run?")] = False,
    plugin: Plugins = None,
) -> None:
    """Time CTC's loss and gradient against log_softmax, ctc_loss and backward in torch, and beside the rest of an update."""
    from rich.console import Console

    from lstm_odyssey.bench.timed import ctc as bench_ctc
    from lstm_odyssey.commands.bench import tables as bench_tables
    from lstm_odyssey.commands.terminal import fitted
    from lstm_odyssey.training.threads import one_thread, without_subnormals

    said = {"lines": names(lines), "seconds": seconds}
    given: dict[str, Any] = {"lines": None, "seconds": 10.0} | (QUICK if quick else {})
    given |= {name: value for name, value in said.items() if value}
    chosen = _sizes(given["lines"]) if given["lines"] else bench_ctc.LINES
    cell = chosen_cells([variant] if variant else None)[0]
    options = {
        "hidden_size": hidden_size, "seconds": given["seconds"], "relative_error": relative_error, "clock": clock,
    }  # fmt: skip
    asked = {"variant": cell.name, **options}
    found: list[Lines] = []
    interrupted = False
    with one_thread(), without_subnormals(), progress(len(chosen)) as (say, advance):
        try:
            for frames, labels in chosen:
                say(f"T {frames}, U {labels}")
                found.append(bench_ctc.line(cell, frames, labels, **options))
                advance()
        except KeyboardInterrupt:
            interrupted = True
    if found:
        fitted.show(Console(), table(found, asked))
        if json is not None:
            bench_tables.write(json, "ctc", asked, results(found), interrupted)
    finish(interrupted, json if found else None)


def _sizes(lines: Sequence[str]) -> list[tuple[int, int]]:
    """T and U of each line.

    Raises:
        SettingsError: one of them is no pair of whole numbers.
    """
    from lstm_odyssey.study.asked.settings import SettingsError

    pairs = [tuple(each.split(":")) for each in lines]
    for each, pair in zip(lines, pairs, strict=True):
        if len(pair) != 2 or not all(part.isdecimal() for part in pair):
            raise SettingsError(f"--lines: got {each!r}; expected frames and labels, as 334:22.")
    return [(int(frames), int(labels)) for frames, labels in pairs]


def table(found: Sequence[Lines], asked: dict[str, Any]) -> Iterator[RenderableType]:
    """Times of both, the ratio, and the share of an update."""
    from rich.text import Text

    from lstm_odyssey.bench.timed.ctc import OURS, OUTPUTS, REST, TORCH
    from lstm_odyssey.commands.bench.tables import doubts, place, time
    from lstm_odyssey.commands.terminal.tables import new_table

    shown = new_table("T", "U", f"{OURS}, ms", f"{TORCH}, ms", "x torch", f"{REST}, ms", "share", title="CTC, a line")
    for line in found:
        times = [time(line.timings[name], 1e-3) for name in (OURS, TORCH)]
        rest = time(line.timings[REST], 1e-3)
        shown.add_row(str(line.frames), str(line.labels), *times, f"{line.ratio:.1f}", rest, f"{100 * line.share:.0f}%")
    yield shown
    mean = geometric_mean([line.ratio for line in found])
    yield Text(
        f"{OUTPUTS} outputs; the rest is of {asked['variant']} at N {asked['hidden_size']} in two directions; {mean:.1f} times "
        f"as fast as torch, geometric mean. {place('cpu', asked['clock'])}."
        + doubts([timing for line in found for timing in line.timings.values()], asked["relative_error"])
    )


def results(found: Sequence[Lines]) -> list[dict[str, Any]]:
    """A row for each line; times in seconds."""
    from lstm_odyssey.commands.bench.tables import timing_record

    return [
        {
            "frames": line.frames, "labels": line.labels, "ratio": line.ratio, "share": line.share,
            "seconds": {name: timing_record(timing) for name, timing in line.timings.items()},
        }
        for line in found
    ]  # fmt: skip
