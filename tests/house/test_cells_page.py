"""docs/cells.md and docs/plugins.md: the cells, counts and ops they show are those of the package."""

import re

import lstm_odyssey as lo
from lstm_odyssey.cell.ops import OPS
from tests.conftest import ROOT
from tests.house.pages import blocks, table

PAGE = (ROOT / "docs" / "cells.md").read_text(encoding="utf-8")
PLUGINS = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
PAPERS = [name for name in lo.variant_names() if lo.variant(name).collection == "odyssey-2017"]


def test_the_cell_shown_is_the_one_of_the_package():
    """The vanilla cell shown has the signature of the one that is registered."""
    space = {}
    exec(next(block for block in blocks(PAGE, "python") if "def vanilla" in block), space)
    assert lo.as_cell(space["vanilla"]).signature == lo.variant("vanilla").signature


def test_the_papers_nine_are_shown():
    """The first table has the paper's nine cells; the program that prints equations, whose output is held, has them too."""
    names = re.findall(r"^\| `(\w+)`", PAGE.split("## The paper's nine")[1].split("\n## ")[0], flags=re.MULTILINE)
    assert set(names) == set(PAPERS) and len(names) == 9
    (program,) = (block for block in blocks(PAGE, "python") if ".equations" in block)
    assert re.findall(r'"(\w+)"', program) == names


def test_the_ops_shown_are_those_of_a_text():
    """The list of ops has every op that a text may use and no other, by name or by its sign."""
    shown = " ".join(line.split("|")[1] for line in table(PLUGINS.split("### Ops")[1].split("###")[0])[1:])
    words = set(re.findall(r"\b(\w{2,})\(", shown)) - {"abs"}
    signs = {sign for sign in ("a + b", "a - b", "a * b", "a / b", "-a") if f"`{sign}`" in shown}
    allowed = {name: op for name, op in OPS.items() if op.in_text}
    made = {"rms"}  # of others
    assert (
        words - made == {name for name in allowed if name not in ("add", "sub", "mul", "div", "neg")} and made < words
    )
    assert len(signs) == len(allowed) - len(words - made) and "`W.g @ x`" in shown


def test_the_counts_are_those_of_the_cells():
    """Each formula of the second table is the cell's number of parameters, and no further variant is left out."""
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]+) \|$", PAGE.split("## Seventeen more")[1], flags=re.MULTILINE)[:17]
    assert {name for name, _ in rows} == {
        name for name in lo.variant_names() if lo.variant(name).collection == "beyond-2024"
    }
    for name, formula in rows:
        terms = formula.replace("N²", "N**2").replace("MN", "(M * N)")
        python = re.sub(r"(?<![*\d])(\d+)(?=[(MN])", r"\1 * ", terms)
        assert lo.variant(name).count(M=5, N=7) == eval(python, {"M": 5, "N": 7}), (name, python)
