"""Tables that are printed: no figure is ever cut, whatever the width and wherever they go."""

import io
import json
import re

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lstm_odyssey.commands import check
from lstm_odyssey.commands.terminal import fitted, tables
from lstm_odyssey.commands.terminal.tables import new_table, results
from lstm_odyssey.reports.contract import schema
from tests import made_studies as made
from tests.conftest import ROOT


class Screen(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self):
        return True


def printed(*parts, file=None, width=80, **options):
    file = io.StringIO() if file is None else file
    fitted.show(Console(file=file, width=width, color_system=None, **options), parts)
    return file.getvalue()


HEADS = ("cell", "trials", "mean", "best", "parameters", "frames/s")
ROWS = (
    ("vanilla", "200/200", "8.65", "8.58", "20,374", "698,324"),
    ("a_cell_of_a_long_name", "9/9", "10.99", "9.10", "1", "2"),
)


def table():
    made = new_table(*HEADS, title="bach: nats/frame", least=("parameters", "frames/s", "best"))
    for row in ROWS:
        made.add_row(Text(row[0]), *row[1:], end_section=True)
    return made


def test_a_file_gets_every_column_whole():
    """However narrow the console of a log file thinks it is, the table is as wide as its figures, colours forced or not."""
    for options in ({}, {"force_terminal": True}):
        text = printed(table(), width=30, **options)
        assert all(value in text for row in ROWS for value in row) and "…" not in text and "No room" not in text
        assert {len(line) for line in text.splitlines()[1:]} == {max(map(len, text.splitlines()))}


@pytest.mark.parametrize("width", range(12, 100, 3))
def test_a_terminal_gets_whole_columns_in_the_order_of_their_worth(width):
    """At every width what is shown is whole, fits, and what is left out is the least and is named, in the table's order."""
    text = printed(table(), file=Screen(), width=width)
    assert "…" not in text
    heads = [head for head in HEADS if re.search(rf"(^|\s){head}(\s|$)", text.split("─")[0])]
    gone = [head for head in HEADS if head not in heads]
    order = ["parameters", "frames/s", "best", "mean"]
    assert sorted(gone) == sorted(order[: len(gone)])
    for row in ROWS:
        assert all(value in text for head, value in zip(HEADS, row, strict=True) if head in heads)
    if gone:
        assert f"No room for {', '.join(gone)} in {width} characters a line:" in " ".join(text.split())
    if len(gone) < len(order):
        assert max(map(len, text.splitlines())) <= width


def test_every_row_keeps_its_own_figures():
    """Of the columns that are left each row has its own, on the right, and sections stay apart."""
    lines = [line.rstrip() for line in printed(table(), file=Screen(), width=50).splitlines()]
    rows = [line for line in lines if line.startswith(("vanilla", "a_cell"))]
    assert [line.split() for line in rows] == [[row[0], row[1], row[2], row[3]] for row in ROWS]
    assert len(set(map(len, rows))) == 1 and lines.index(rows[1]) - lines.index(rows[0]) == 2


def test_all_tables_of_the_package_are_such_tables():
    """No module prints a table of its own: each is made by new_table and printed by show."""
    for path in sorted((ROOT / "suite").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if path.name == "fitted.py":
            continue
        assert not re.search(r"(?<!new_)(?<!FittedTable)\bTable\(", text), path
        assert "console.print(table" not in text and not re.search(r"for part in .*:\n\s+console\.print\(part", text), (
            path
        )


def found(*results_of):
    return [check.Result("task", "bach", promise, "", "", 1.0) for promise in results_of]


def test_the_tables_of_the_commands_fit():
    """A study's, the checks' and the counts' are made in that way."""
    study = schema.build(*made.whole(made.study(variants=("plain", "gated"))))
    parts = [*results(study), *check.tables(found("space", "chance")), *tables.variant_list()]
    shown = [part for part in parts if isinstance(part, Table)]
    assert len(shown) == 3 and all(isinstance(part, fitted.FittedTable) for part in shown)
    heads = [str(column.header) for part in shown for column in part.columns]
    assert {head for part in shown for head in part.least} <= set(heads)


def test_the_terminals_table_has_one_rule_for_mean_and_best():
    """A cell that explodes stands at chance in both columns and leaves the other rows legible; the caption says the rule."""
    facts, trials = made.whole(made.study(variants=("plain", "gated")))
    tame = printed(*results(schema.build(facts, trials)), width=80)
    for trial in trials:
        if trial["variant"] == "gated":
            trial["best_test"] = 267195547528.25
    text = printed(*results(schema.build(facts, trials)), width=80)
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.startswith(("plain", "gated"))}
    assert rows["gated"][8:11] == ["11.00", "11.00", "no"]
    assert float(rows["plain"][9]) <= float(rows["plain"][8])
    wide, usual = (max(map(len, shown.splitlines())) for shown in (text, tame))
    assert wide <= usual + 1 <= 90, "11.00 has a digit more than the head of its column"
    flat = " ".join(text.split())
    assert "what is worse than chance counts as chance" in flat
    assert (
        "in the second digit after the point, now and then in the first, and cells that close may change places" in flat
    )


def test_a_score_has_one_width_whatever_it_is():
    """Where there is no chance level to stand at, a huge score has three digits and eight characters."""
    facts = made.study({"songs": made.MUSIC | {"chance": None}}, ("plain",))
    trials = made.whole(facts)[1]
    for trial in trials:
        trial["best_test"] = 267195547528.25
    text = printed(*results(schema.build(json.loads(json.dumps(facts)), trials)))
    assert re.search(r"plain +6/6 +0 +– +2\.67e\+11 +2\.67e\+11", text)
