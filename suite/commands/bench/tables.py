"""What ``odyssey bench`` prints and what it writes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from lstm_odyssey.bench.limit import FORMULA, Limit
from lstm_odyssey.bench.samples import Timing, outside
from lstm_odyssey.bench.throughput import Throughput
from lstm_odyssey.bench.timed.cell import OURS, Group, Work
from lstm_odyssey.bench.timed.compare import Comparison
from lstm_odyssey.bench.timed.epoch import PLAIN, Epochs
from lstm_odyssey.commands.terminal.tables import new_table
from lstm_odyssey.plugins import registry
from lstm_odyssey.reports.contract.files import write_text
from lstm_odyssey.training.facts import processor, versions

FORMAT = 1


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def time(timing: Timing | None, unit: float, phase: str | None = None) -> str:
    """A median in a unit, ~ behind it if it is to be doubted."""
    if timing is None:
        return "–"
    timing = timing.phases.get(phase, timing) if phase else timing
    return f"{timing.median / unit:.2f}{'~' if timing.unstable else ' '}"


def doubts(timings: Sequence[Timing], asked: float) -> str:
    """How many of the medians are to be doubted, as a sentence; empty if none is."""
    doubted = sum(bool(timing.unstable) for timing in timings)
    if not doubted:
        return ""
    return (
        f" {doubted} of {len(timings)} medians (~) are known worse than ±{100 * asked:g} %, or drift. "
        "More --seconds make them better."
    )


def place(device: str, clock: str) -> str:
    """On what, and how, it was measured."""
    return f"{processor(device)}; one thread; {clock} clock; torch {versions()['torch']}"


def cell_tables(groups: Sequence[Group], work: Work) -> Iterator[RenderableType]:
    """A table for each batch and pass: times of this package and of torch's LSTM, and ratios to every other way."""
    passes: dict[str, str | None] = {"forward": "forward"}
    if work.backward:
        passes["forward and backward"] = None
    order = list(dict.fromkeys(group.variant for group in groups))
    limits = [group.limit for group in groups if group.limit is not None]
    for batch in dict.fromkeys(group.batch for group in groups):
        for words, phase in passes.items():
            title = f"{words}, batch {batch}, ms"
            lstm = ("lstm",) if "lstm" in work.against else ()
            beside = (*lstm, "of limit") if limits else lstm
            table = new_table("variant", "N", OURS, *beside, *(f"x {other}" for other in work.against), title=title)
            everything: dict[str, list[float]] = {other: [] for other in work.against}
            for variant in order:
                rows = [group for group in groups if group.variant == variant and group.batch == batch]
                found = {other: [r for g in rows if (r := g.ratio(other, phase)) is not None] for other in work.against}
                for other, ratios in found.items():
                    everything[other] += ratios
                for group in rows:
                    times = [time(group.timings.get(name), 1e-3, phase) for name in (OURS, *lstm)]
                    ratios_shown = [_ratio(group.ratio(other, phase)) for other in work.against]
                    part = [_ratio(group.of_limit(phase))] if limits else []
                    table.add_row(Text(variant), str(group.hidden_size), *times, *part, *ratios_shown)
                if len(rows) > 1:
                    table.add_row(Text(variant), "mean", "", *("" for _ in beside), *_means(found), end_section=True)
            if len(order) > 1:
                table.add_row("all", "mean", "", *("" for _ in beside), *_means(everything))
            yield table
            yield Text("")
    measured = [timing for group in groups for timing in group.timings.values()]
    yield Text(
        f"{place(work.device, work.clock)}; T {work.frames}, M {work.inputs}. "
        "Medians; x: how many times as fast as that way; mean: geometric, over N."
        f"{_other_mathematics(order) if 'lstm' in work.against else ''}{doubts(measured, work.relative_error)}"
    )
    if limits:
        yield Text(
            f"of limit: {FORMULA}, as part of the time. passes and products: 1 and |W| forward, 2 and 3 |W| + |R| with the "
            f"backward pass; |W|, |R|: numbers of the matrices; f: functions of a step. {_rates(limits)}."
        )
    failures = dict.fromkeys(
        f"{group.variant} by {way}: {reason}" for group in groups for way, reason in group.failed.items()
    )
    if failures:
        yield Text("\n".join(f"not measured: {failure}" for failure in failures), style="red")


def _rates(limits: Sequence[Limit]) -> str:
    """From the least to the greatest that was reached, and by what."""
    units = {"stream": ("GB/s", 1e9), "sgemm": ("GFLOP/s", 1e9), "functions": ("G/s", 1e9)}
    said = []
    for part, (unit, scale) in units.items():
        found = sorted(limit.rates[part] / scale for limit in limits)
        by = dict.fromkeys(limit.ways[part].partition(",")[0] for limit in limits)
        span = f"{found[0]:.3g}" if len(found) == 1 else f"{found[0]:.3g} to {found[-1]:.3g}"
        said.append(f"{part} {span} {unit} ({', '.join(by)})")
    return "; ".join(said)


def _other_mathematics(variants: Sequence[str]) -> str:
    """Which cells torch.nn.LSTM does not compute: their ratio to it compares two different cells."""
    cells = [registry.variant(name) for name in variants if name in registry.variant_names()]
    found = [cell.name for cell in cells if "torch.nn.LSTM" not in [limit.of for limit in cell.limits]]
    return f" torch.nn.LSTM has no peepholes, and is another cell than {', '.join(found)}." if found else ""


def _means(found: Mapping[str, Sequence[float]]) -> list[str]:
    return [_ratio(geometric_mean(ratios) if ratios else None) for ratios in found.values()]


def epoch_table(found: Epochs, relative_error: float, clock: str) -> Iterator[RenderableType]:
    """An epoch of each variant and of plain torch, and their quotient."""
    title = f"{found.task}, N = {found.hidden_size}, batch 1: epochs"
    table = new_table("variant", "s", "frames/s", "of plain torch", title=title)
    for name, timing in found.timings.items():
        share = "" if name == PLAIN else f"{found.share(name):.2f}"
        table.add_row(Text(name), time(timing, 1), f"{found.frames / timing.median:,.0f}", share)
    yield table
    yield Text(
        f"\n{place(found.device, clock)}. Medians of epochs in turn, of "
        f"{found.sequences:,} sequences, {found.frames:,} frames; plain torch: nn.LSTM, Linear, autograd and a loop of "
        "SGD, the same protocol; of plain torch: time over its time."
        f"{_other_mathematics([name for name in found.timings if name != PLAIN])}"
        f"{doubts(list(found.timings.values()), relative_error)}"
    )


def step_table(found: Sequence[Throughput], clock: str) -> Iterator[RenderableType]:
    """An update of each variant: speed, phases, ratio to torch's LSTM."""
    head = ("µs/frame", "forward", "backward", "update", "kernel", "loss", "python", "frames/s", "x lstm")
    for task in dict.fromkeys(each.task for each in found):
        rows = [each for each in found if each.task == task]
        title = f"{task}, N = {rows[0].hidden_size}, batch {rows[0].batch}: an update, {rows[0].frames} frames"
        least = ("python", "update", "backward", "forward", "loss", "kernel", "frames/s")
        table = new_table("variant", *head, title=title, least=least)
        for each in rows:
            phases = [f"{1e6 * each.phases[name]:.2f}" if name in each.phases else "–" for name in head[1:4]]
            whole = f"{1e6 * each.seconds_per_frame:.2f}{'~' if each.unstable else ' '}"
            parts = [
                "–" if part is None else f"{max(0.0, part):.0%}" for part in (each.recurrent, each.loss, each.python)
            ]
            table.add_row(
                Text(each.variant), whole, *phases, *parts, f"{each.frames_per_second:,.0f}", _ratio(each.ratio)
            )
        yield table
    yield Text(
        f"\n{place(found[0].device, clock)}. kernel: the part of the time in the cell's scans, both passes of all directions; "
        "loss: in the loss and its gradient; python: outside the compiled call; x lstm: how many times as "
        "fast as nn.LSTM, Linear, autograd and a loop of SGD making the same update in the same run."
        f"{_other_mathematics(list(dict.fromkeys(each.variant for each in found)))}"
    )
    for each in found:
        if each.unstable:
            yield Text(f"{each.variant} on {each.task}: {each.unstable}")


def timing_record(timing: Timing) -> dict[str, Any]:
    """A timing as a record has it, in seconds."""
    return {
        "median": timing.median,
        "interval": list(timing.interval),
        "samples": list(timing.samples),
        "unstable": timing.unstable,
        **({"phases": {name: timing_record(part) for name, part in timing.phases.items()}} if timing.phases else {}),
    }


def cell_results(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """A row for each way of computing each cell at each N and B; times in seconds a pass."""
    return [
        {
            "variant": group.variant,
            "hidden_size": group.hidden_size,
            "batch": group.batch,
            "way": way,
            "seconds": timing_record(timing),
            "ratio": group.ratio(way),
            **(_limits(group) if way == OURS else {}),
        }
        for group in groups
        for way, timing in group.timings.items()
    ] + [
        {"variant": g.variant, "hidden_size": g.hidden_size, "batch": g.batch, "way": way, "failed": reason}
        for g in groups
        for way, reason in g.failed.items()
    ]


def _limits(group: Group) -> dict[str, Any]:
    """What the processor allows, the rates it follows from, and what part of it was reached; nothing where it is not known."""
    if group.limit is None:
        return {}
    phases = {"forward": "forward"} | ({"all": None} if "backward" in group.timings[OURS].phases else {})
    return {"limit": group.limit.record, "of_limit": {name: group.of_limit(phase) for name, phase in phases.items()}}


def epoch_results(found: Epochs) -> list[dict[str, Any]]:
    """A row for each variant and the yardstick; times in seconds an epoch."""
    facts = {"task": found.task, "hidden_size": found.hidden_size, "frames": found.frames}
    return [
        {"way": name, **facts, "seconds": timing_record(timing), "of_plain_torch": found.share(name)}
        for name, timing in found.timings.items()
    ]


def step_results(found: Sequence[Throughput]) -> list[dict[str, Any]]:
    """A row for each variant and task."""
    return [{**asdict(each), "frames_per_second": each.frames_per_second} for each in found]


def comparison(found: Comparison, task: str, asked: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The two, what each of them is, and the verdict."""
    table = new_table("", "backend", "µs/frame", "parameters", title=f"{task}: an update")
    sides = list(zip((found.baseline, found.contender), found.seconds_per_frame, found.facts, strict=True))
    for name, seconds, facts in sides:
        table.add_row(Text(name), facts["backend"], f"{1e6 * seconds:.2f}", f"{facts['parameters']:,}")
    yield table
    homes = {name: (facts["package"], *facts["versions"].items()) for name, _, facts in sides}
    if len(set(homes.values())) > 1:
        for name, (package, *known) in homes.items():
            yield Text(f"{name}: {', '.join(f'{what} {version}' for what, version in known)}, {package}")
    low, high = found.interval
    rounds = sum(map(len, found.ratios))
    what = "95 % interval" if outside(len(found.ratios)) else "all launches"
    yield Text(
        f"\n{found.contender} is {found.verdict}: {found.ratio:.3f} times as fast as {found.baseline}, "
        f"{what} {low:.3f} to {high:.3f}; a difference below {100 * found.threshold:g} % is none.",
        style="bold",
    )
    yield Text(
        f"{place(asked['device'], asked['clock'])}; N {asked['hidden_size']}, batch {asked['batch']}; {rounds} rounds "
        f"of turns, processes started {len(found.ratios)} times."
    )
    if not outside(len(found.ratios)):
        yield Text("Fewer than six launches give no interval, and so no verdict.")
    if found.note:
        yield Text(found.note, style="red")


def comparison_result(found: Comparison) -> dict[str, Any]:
    """Verdict, ratio, interval, and all the ratios of the rounds."""
    return {
        "verdict": found.verdict,
        "ratio": found.ratio,
        "interval": list(found.interval),
        "threshold": found.threshold,
        "launches": list(found.launches.samples),
        "ratios": [list(launch) for launch in found.ratios],
        "note": found.note,
        **{
            which: {"name": name, "seconds_per_frame": seconds, **facts}
            for which, name, seconds, facts in zip(
                ("baseline", "contender"),
                (found.baseline, found.contender),
                found.seconds_per_frame,
                found.facts,
                strict=True,
            )
        },
    }


def write(
    path: Path, benchmark: str, asked: Mapping[str, Any], results: Sequence[Mapping[str, Any]], interrupted: bool
) -> None:
    """Write the record of a benchmark as JSON, whole or not at all."""
    content = {
        "benchmark": benchmark,
        "format": FORMAT,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": processor(asked.get("device", "cpu")),
        "threads": 1,
        "versions": versions(),
        "asked": dict(asked),
        "interrupted": interrupted,
        "results": list(results),
    }
    write_text(path, json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
