"""docs/benchmarks.md and the README's sentence on speed: every figure is what the committed records give."""

import json
from math import prod

import pytest

from tests.conftest import ROOT
from tests.house.pages import table

PAGE = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
SIZES = (20, 50, 100, 150, 200)
GROUPS = (("no_peepholes", "vanilla", "niaf", "noaf"), ("nig", "nfg", "nog", "cifg"), ("fgr",))


def results(name, date="2026-11-25"):
    """The results of a committed record of benchmarks."""
    path = ROOT / "reports" / "records" / f"bench-{name}-{date}.json"
    return json.loads(path.read_text(encoding="utf-8"))["results"]


@pytest.fixture(scope="module", params=["cell", "cell-forward"])
def ratios(request):
    """Which record, and the function of cell, way and batch that gives its ratios to the compiled layer, size by size."""
    median = {
        (each["variant"], each["hidden_size"], each["batch"], each["way"]): each["seconds"]["median"]
        for each in results(request.param)
    }
    return request.param, lambda cell, way, batch=1: [
        median[cell, size, batch, way] / median[cell, size, batch, "odyssey"] for size in SIZES
    ]


def mean(values):
    """The geometric mean."""
    return prod(values) ** (1 / len(values))


def span(values, digits=2):
    """The least and the greatest as the page writes them, once where they are one."""
    ends = [f"{value:.{digits}f}" for value in (min(values), max(values))]
    return " to ".join(dict.fromkeys(ends))


def flat(text):
    """A text on one line."""
    return " ".join(text.split())


def test_the_layers_ratios_are_those_of_the_record(ratios):
    """The table of a layer forward and backward; forward alone in a sentence; the README's figures for one sequence."""
    record, of = ratios
    if record == "cell-forward":
        spans = [span([mean(of(cell, "lstm")) for cell in group]) for group in GROUPS]
        assert "Forward alone: {}, {} and {} times".format(*spans) in flat(PAGE)
        return
    lines = [
        "| "
        + " | ".join(
            [
                ", ".join(group),
                span([mean(of(cell, "lstm")) for cell in group]),
                *(span([mean(of(cell, way)) for cell in group], 0) for way in ("loop", "compile")),
            ]
        )
        + " |"
        for group in GROUPS
    ]
    assert table(PAGE.split("## Measured")[1].split("\n##")[0])[1:] == lines
    assert f"at batch 32 that cell is {mean(of('no_peepholes', 'lstm', 32)):.2f} times as fast" in flat(PAGE)
    least = [min(min(of(cell, "loop")) for cell in group) for group in ((*GROUPS[0], *GROUPS[1]), GROUPS[2])]
    assert "At no size is a cell less than {:.0f} times as fast as the loop (`fgr` {:.0f})".format(*least) in flat(PAGE)


def single():
    """Of the record of single sequences: N by N, of each cell the ratio to torch's layer and the part of the limit."""
    rows = results("cell", "2026-11-30")
    median = {(each["variant"], each["hidden_size"], each["way"]): each["seconds"]["median"] for each in rows}
    part = {
        (each["variant"], each["hidden_size"]): each["of_limit"]["all"] for each in rows if each["way"] == "odyssey"
    }
    ratio = {key: median[(*key, "lstm")] / median[(*key, "odyssey")] for key in part}
    return ratio, part


def short(values):
    """A span of parts, without the zero before the point."""
    return span(values).replace("0.", ".")


def test_what_is_left_of_the_limit_is_what_the_record_says():
    """Ratio and part of the limit by N, of each group of cells; and the README's sentence, which spans both processors."""
    ratio, part = single()
    lines = [
        f"| {', '.join(group)} | "
        + " | ".join(
            f"{span([ratio[cell, size] for cell in group])} ({short([part[cell, size] for cell in group])})"
            for size in SIZES
        )
        + f" | {span([mean([ratio[cell, size] for size in SIZES]) for cell in group])} |"
        for group in GROUPS
    ]
    assert (
        table(PAGE.split("### A single layer, and what is left of the limit")[1].split("\nWhere a call")[0])[1:]
        == lines
    )


def test_forward_alone_with_many_rows_is_what_its_record_says():
    """Ratio and part of the limit, N by N."""
    rows = results("cell-forward-32", "2026-11-30")
    median = {(each["variant"], each["hidden_size"], each["way"]): each["seconds"]["median"] for each in rows}
    part = {
        (each["variant"], each["hidden_size"]): each["of_limit"]["forward"] for each in rows if each["way"] == "odyssey"
    }
    lines = [
        f"| {cell} | "
        + " | ".join(
            f"{median[cell, size, 'lstm'] / median[cell, size, 'odyssey']:.2f} ({short([part[cell, size]])})"
            for size in SIZES
        )
        + " |"
        for cell in ("no_peepholes", "vanilla", "cifg")
    ]
    assert table(PAGE.split("### Forward alone at batch 32")[1].split("\nWith two threads")[0])[1:] == lines


def test_the_readme_spans_both_processors():
    """Its sentence on speed holds the means of each record within what it says."""
    rows = results("cell")
    median = {
        (each["variant"], each["hidden_size"], each["batch"], each["way"]): each["seconds"]["median"] for each in rows
    }
    ratio, _ = single()
    both = {
        cell: [
            mean([median[cell, size, 1, "lstm"] / median[cell, size, 1, "odyssey"] for size in SIZES]),
            mean([ratio[cell, size] for size in SIZES]),
        ]
        for group in GROUPS
        for cell in group
    }
    eight = [value for cell, values in both.items() if cell != "fgr" for value in values]
    told = f"eight of the nine are {span(eight, 1)} times as fast as `torch.nn.LSTM` on average over N, by cell and processor, "
    assert told + f"`fgr` {span(both['fgr'], 1)} times" in flat(README)


def test_the_figures_of_training_are_those_of_the_records():
    """An update and an epoch beside plain torch, and the part of an update that is Python."""
    steps = {each["variant"]: each for each in results("step")}
    ratio = {name: each["ratio"] for name, each in steps.items()}
    told = (
        f"is {ratio['vanilla']:.1f} times as fast as the same in plain torch, `nig nfg nog cifg` "
        f"{span([ratio[name] for name in GROUPS[1]], 1)} times, `fgr` {ratio['fgr']:.1f}; "
        f"{span([100 * each['python'] for each in steps.values()], 0)} % of it is Python"
    )
    assert told in flat(PAGE)
    (epoch,) = (each["of_plain_torch"] for each in results("epoch") if each["way"] == "vanilla")
    assert f"takes {epoch:.2f} of the time of the same protocol" in flat(PAGE)


def test_the_figures_of_ctc_are_those_of_the_record():
    """Times of both ways, the ratio, the rest of an update and CTC's share, line by line; all lines are there."""
    lines = []
    for row in results("ctc", "2026-11-29"):
        ours, torch, rest = (1e3 * row["seconds"][way]["median"] for way in ("odyssey", "torch", "rest of the step"))
        shown = f"{ours:.2f} | {torch:.2f} | {row['ratio']:.1f} | {rest:.2f} | {100 * row['share']:.0f} %"
        lines.append(f"| {row['frames']} | {row['labels']} | {shown} |")
    assert table(PAGE.split("## CTC\n")[1])[1:] == lines and len(lines) == 5


def test_the_parts_of_an_update_are_those_of_the_record():
    """The table of each task: frames, speed, and the parts in the scans, in the loss and outside the call."""
    rows = results("step-families", "2026-11-29")
    lines = [
        f"| `{each['task']}` | {each['frames']} | {each['frames_per_second']:,.0f} | "
        + " | ".join(f"{100 * max(0, each[part]):.0f} %" for part in ("recurrent", "loss", "python"))
        + " |"
        for each in rows
    ]
    assert {"bach", "festvox_ru_mini", "hershey_mini", "jsb_chorales", "festvox_ru", "unipen"} <= {
        each["task"] for each in rows
    }
    assert {(each["variant"], each["hidden_size"]) for each in rows} == {("vanilla", 100)}
    assert "\n".join(lines) in PAGE
    assert all(each["loss"] < 0.1 * each["recurrent"] for each in rows), "a loss takes as long as the scans"
