"""docs/gpu-emulation.md is what the committed record gives, and the record says that all of it is right."""

import json
from types import SimpleNamespace

import pytest

from lstm_odyssey.backends import BACKENDS
from lstm_odyssey.backends.cuda.classes import ARCHITECTURES, REGISTERS, REGISTERS_OF_THREAD, WIDTHS
from lstm_odyssey.backends.cuda.emulation import ORDERS
from lstm_odyssey.backends.cuda.running import nvrtc
from lstm_odyssey.plugins.registry import as_cell, variant_names
from tests.emulated_scans import fits
from tests.planted_faults import FAULTS
from tests.tools import emulation, emulation_page
from tests.tools.emulation_rows import NAMED, PARTS, Work


def matrices(name):
    """How many recurrent ones a cell has."""
    return sum(shape == ("N", "N") for shape in as_cell(name).parameters.values())


@pytest.fixture(scope="module")
def record():
    """The committed one."""
    return json.loads(emulation.RECORD.read_text(encoding="utf-8"))


def test_the_page_is_the_records(record):
    """Written by ``make emulation``, not by hand."""
    assert emulation.PAGE.read_text(encoding="utf-8") == emulation_page.page(record, emulation.lacking(record))


def test_all_of_it_is_right(record):
    """Every row: no error beyond its bound, nothing that a sanitizer found, nothing spilled in a class, every fault killed."""
    assert all(row["right"] for part in PARTS for row in record[part])


def test_the_record_covers_everything(record):
    """Every cell in both floats, at each N of the backend's record in each order, with 3 rows and with 1; every cell sanitized;
    every fault; a cubin of every cell, class, float, architecture and number of rows. ``make emulation`` adds what lacks.
    """
    assert emulation.lacking(record) == {part: [] for part in PARTS}


def test_everything_is_every_cell_and_class():
    """What an empty record lacks, counted by hand."""
    cells, floats = len(variant_names()), 2
    counts = {part: len(names) for part, names in emulation.lacking({}).items()}
    rows = sum({0: 1, 13: 1}.get(matrices(name), 3) for name in variant_names())  # 1, 2 and 4 with up to four matrices
    cubins = rows * floats * len(nvrtc.ARCHITECTURES) * len(WIDTHS)
    assert counts == {"scans": cells * floats * 2, "checks": cells + 4, "faults": len(FAULTS), "cubins": cubins,
                      "steps": cells * floats * len(nvrtc.ARCHITECTURES)}  # fmt: skip
    assert set(nvrtc.ARCHITECTURES) == {"sm_80", "sm_86", "sm_90", "sm_100", "sm_120"}
    asked = emulation.everything()
    assert tuple(asked.sizes) == BACKENDS["cuda"].sizes and tuple(asked.orders) == ORDERS
    for cell, dtype in (("vanilla", "float32"), ("gru", "float64")):
        classes = {fits(cell, N, dtype).width for N in asked.sizes if fits(cell, N, dtype)}
        assert classes == {width for width in WIDTHS if fits(cell, width, dtype)}


def test_what_lacks_is_named(record):
    """A cell, an N, an order and a class that are taken out; the page says that it is not whole, and what lacks."""
    short = json.loads(json.dumps(record))
    short["cubins"] = [row for row in short["cubins"] if row["architecture"] != "sm_86"]
    row = short["scans"][0]
    row["errors"].pop("greedy")
    for each in (row["classes"], *row["errors"].values()):
        each.pop("200")
    lacking = emulation.lacking(short)
    assert f"{row['cell']}, {row['dtype']}, {row['batch']}: 200, greedy" in lacking["scans"]
    assert {name.split(", ")[1] for name in lacking["cubins"]} >= {"sm_86"} and "greedy" not in str(lacking["checks"])
    page = emulation_page.page(short, lacking)
    assert "**Not all of it is here.**" in page and "\n* cubins: " in page and "### sm_86" not in page
    whole = emulation_page.page(record, {part: [] for part in PARTS})
    assert f"Here is all of it: {len(record['scans']):,} rows of scans, " in whole


def test_every_cubin_keeps_the_limits_of_its_architecture(record):
    """Registers of a block, granted by four warps, and its shared memory; a spill has a column."""
    for row in record["cubins"]:
        limits = ARCHITECTURES[row["architecture"]]
        for one in row["kernels"].values():
            assert one["registers"] <= REGISTERS_OF_THREAD and one["shared"] <= limits.shared
            assert -(-row["threads"] // 128) * 128 * -(-one["registers"] // 8) * 8 <= REGISTERS
            named = NAMED.get((row["architecture"], row["dtype"], row["rows"], row["width"]), 0)
            assert one["spilled"] <= named and row["cluster"] in ((1, 2, 4, 8) if limits.clusters else (1,))
    spilled = json.loads(json.dumps(record))
    row = next(
        row for row in spilled["cubins"]
        if row["kernels"] and row["architecture"] == emulation_page.WHOLE and row["rows"] == 4
    )  # fmt: skip
    row["kernels"]["forward"]["spilled"], row["right"] = 12, False
    page = emulation_page.page(spilled, {})
    there = sum(any(one["spilled"] for one in each["kernels"].values()) for each in record["cubins"])
    assert f" {there + 1} spill registers" in page and page.count("| 12 / 0 |") == 2
    row["kernels"], row["right"] = {}, True
    spilled["steps"] = [{"cell": "nog", "architecture": "sm_90", "dtype": "float32", "right": True, "kernels": {
        "step1": {"registers": 80, "spilled": 8}, "back0": {"registers": 40, "spilled": 0},
    }}]  # fmt: skip
    page = emulation_page.page(spilled, {})
    assert "Of 2 kernels of 1 texts 1 spill, 8 bytes at the most" in page
    assert "| nog | sm_90 | float32 | step1 | 80 | 8 |" in page


def test_the_record_names_no_machine(record):
    """No path and no address."""
    text = json.dumps(record)
    assert "0x" not in text and "/tmp" not in text and "/home" not in text and ".cpp" not in text


@pytest.fixture
def tool(monkeypatch, tmp_path):
    """The tool with a part of its own: rows as told, of texts as told; what it made, and where its record is."""
    made, rights, texts = [], {"a": True, "b": True}, {"a": "1", "b": "1"}

    def cubins(asked):
        for cell in asked.cells:
            yield Work(
                {"cell": cell},
                lambda cell=cell: texts[cell],
                lambda cell=cell: made.append(cell) or {"right": rights[cell]},
            )

    monkeypatch.setattr(emulation.emulation, "compiler", lambda: "true")
    monkeypatch.setattr(emulation.nvrtc, "missing", lambda: "")
    monkeypatch.setattr(emulation.nvrtc, "version", lambda: (13, 0))
    monkeypatch.setattr(emulation.emulation_page, "page", lambda record, lacking: "page\n")
    monkeypatch.setitem(PARTS, "cubins", cubins)
    out = tmp_path / "record.json"
    call = ["--part", "cubins", "--out", str(out), "--page", str(tmp_path / "page.md"), "--cells"]
    return SimpleNamespace(made=made, rights=rights, texts=texts, out=out, call=call)


def test_the_tool_says_what_is_wrong(tool, capsys):
    """One wrong row is printed and the exit code is 1, also where it stands in the record."""
    tool.rights["b"] = False
    assert emulation.main([*tool.call, "a", "b"]) == 1 == emulation.main([*tool.call, "a", "b"])
    assert capsys.readouterr().out.count("WRONG: cubins, b: {") == 2
    assert tool.made == ["a", "b"]


def test_a_row_is_made_once(tool):
    """A later call makes what lacks first, then what is made of another text; ``--again`` makes all of it."""
    assert emulation.main([*tool.call, "b"]) == 0
    tool.texts["b"] = "2"
    assert emulation.main([*tool.call, "b", "a"]) == 0 and tool.made == ["b", "a", "b"]
    assert emulation.main([*tool.call, "b", "a"]) == 0 and tool.made == ["b", "a", "b"]
    assert emulation.main(["--again", *tool.call, "a"]) == 0 and tool.made == ["b", "a", "b", "a"]
    rows = json.loads(tool.out.read_text(encoding="utf-8"))["cubins"]
    assert rows == [{"cell": "a", "of": "1", "right": True}, {"cell": "b", "of": "2", "right": True}]


def test_what_was_made_before_a_stop_is_kept(tool, monkeypatch):
    """Each row reaches the disk, and the next call goes on behind it."""
    monkeypatch.setattr(emulation, "SECONDS", 0.0)

    def stopped():
        assert [row["cell"] for row in json.loads(tool.out.read_text(encoding="utf-8"))["cubins"]] == ["a"]
        raise KeyboardInterrupt

    parts = PARTS["cubins"]

    def cubins(asked):
        first, second, *_ = parts(asked)
        yield first
        yield Work(second.keys, second.of, stopped)

    monkeypatch.setitem(PARTS, "cubins", cubins)
    with pytest.raises(KeyboardInterrupt):
        emulation.main([*tool.call, "a", "b"])
    monkeypatch.setitem(PARTS, "cubins", parts)
    assert emulation.main([*tool.call, "a", "b"]) == 0 and tool.made == ["a", "b"]


@pytest.mark.parametrize("quick", [[], ["--quick"]])
def test_without_a_compiler_or_nvrtc_it_fails(tool, quick, monkeypatch, capsys):
    """CI's form too: it says which is missing, ends with 1 and writes nothing."""
    monkeypatch.setattr(emulation.emulation, "compiler", lambda: None)
    assert emulation.main([*quick, *tool.call[:-1]]) == 1
    assert "g++: not found; NVRTC: there. Install both." in capsys.readouterr().out
    monkeypatch.setattr(emulation.emulation, "compiler", lambda: "/usr/bin/g++")
    monkeypatch.setattr(emulation.nvrtc, "missing", lambda: "no NVRTC")
    assert emulation.main([*quick, *tool.call[:-1]]) == 1
    assert "g++: /usr/bin/g++; NVRTC: no NVRTC" in capsys.readouterr().out and not tool.out.exists() and not tool.made
