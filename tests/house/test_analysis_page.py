"""docs/analysis.md: the shares it shows are what the command finds, the times it shows keep what is promised."""

import functools
import math
import re

import pytest

import lstm_odyssey as lo
from tests.benchmarks import test_analysis_speed as speed
from tests.conftest import ROOT
from tests.house.pages import table
from tests.tools import beside_optuna, ground_truths

PAGE = (ROOT / "docs" / "analysis.md").read_text(encoding="utf-8")


def recovered(text, found, functions):
    """Hold the rows of the excerpt that are about these functions to a table of true and recovered shares."""
    known = {(row["function"], row["effect"]): row for row in found.to_dict("records")}
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(text)[1:]]
    assert {function for function, *_ in shown} >= set(functions)
    for function, effect, *figures in shown:
        if function in functions:
            row = known[function, effect]
            assert figures == [f"{abs(row[f'{name} %']):.1f}" for name in ("true", "forest", "per_tree")], (
                function,
                effect,
            )
    return sum(function in functions for function, *_ in shown)


def test_the_ground_truths_of_one_function_are_recovered():
    """The rows of the excerpt about the smallest function are what the command finds."""
    text = PAGE.split("recovers known shares")[1]
    assert recovered(text, ground_truths.table(["Ishigami"]), ["Ishigami"]) >= 2


@pytest.mark.long
def test_the_ground_truths_are_recovered(capsys, monkeypatch):
    """The excerpt of true and recovered shares, and the errors below it, are what the command prints."""
    text = PAGE.split("recovers known shares")[1]
    # the command asks for one of them again
    monkeypatch.setattr(ground_truths, "table", functools.cache(ground_truths.table))
    assert recovered(text, ground_truths.table(n=1000, seed=0, noise=0.0), ground_truths.TRUTHS) >= 8
    printed = []
    for noise in ("0", "1"):
        ground_truths.main(["--noise", noise])
        printed += re.findall(r"points: forest ([\d.]+), per_tree ([\d.]+)", capsys.readouterr().out)
    (plain, noisy), flat = printed, " ".join(text.split())
    assert (
        f"root-mean-square error over all effects of the five functions is {plain[0]} points of the forest's mean"
        in flat
    )
    assert f"and {plain[1]} tree by tree; with as much noise as signal (`--noise 1`) {noisy[0]} and {noisy[1]}" in flat


def beside():
    """The rows of the table beside optuna: true, ours and optuna's shares by name, and the seconds of both."""
    text = PAGE.split("## Somebody else's search")[1].split("## How fast it is")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(text)[1:]]
    return text, {row[0].split(" (")[0]: row[1:] for row in rows}


def test_a_search_beside_optuna():
    """The true shares and ours are what the command finds, the ratio of times is theirs to ours."""
    text, rows = beside()
    *_, ours, theirs = rows.pop("seconds")
    (ratio,) = map(float, re.findall(r"is ([\d.]+) times as fast", text))
    assert abs(float(theirs) / float(ours) - ratio) < 0.1 * ratio
    found = beside_optuna.shares(lo.fanova(beside_optuna.search(200), clip=1, trees=64))
    truth = beside_optuna.truth()
    assert list(rows) == list(truth)
    for name, (true, mine, _) in rows.items():
        assert (true, mine) == (f"{100 * truth[name]:.1f}", f"{100 * found[name]:.1f}")


@pytest.mark.long
def test_the_search_beside_optuna_is_what_the_command_prints(capsys):
    """Its shares, optuna's among them, are the page's; it says how many times as fast."""
    _, rows = beside()
    beside_optuna.main(["--rounds", "1"])
    printed = capsys.readouterr().out
    for name, shown in rows.items():
        assert name == "seconds" or f"| {name} | {' | '.join(shown)} |" in printed
    assert re.search(r"is [\d.]+ times as fast", printed)


def test_the_speed_is_what_is_promised():
    """The times shown keep the bounds of the timed tests, and the ratios follow from them."""
    text = PAGE.split("## How fast it is")[1].split("recovers known shares")[0]
    times = {}
    for head, *figures in ([cell.strip() for cell in line.strip("|").split("|")] for line in table(text)[1:]):
        times[head] = [float(figure) if figure else math.nan for figure in figures]
    keys = {
        "main_effects": "main effects, after the fit",
        "pairs": "all pairs of the forest's mean",
        "pairs_per_tree": "all pairs of every tree",
    }
    for place, bounds in enumerate((speed.ONE_CELL_BOUNDS, speed.EVERYTHING_BOUNDS)):
        for what, bound in bounds.items():
            (head,) = (head for head in times if keys[what] in head and "after the fit" in head)
            assert times[head][place] < bound
    fitted, theirs = (
        times[head][0] for head in ("fit, main effects, all pairs of the mean", "optuna 5.0, fit, main effects")
    )
    (left_out, included) = map(int, re.findall(r"(\d+) times", text))
    assert left_out >= speed.TIMES
    assert included == round(theirs / fitted)
