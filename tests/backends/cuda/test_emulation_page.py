"""docs/gpu-emulation.md is what the committed record gives, and the record says that all of it is right."""

import json

import pytest

from lstm_odyssey.backends import BACKENDS
from lstm_odyssey.plugins.registry import variant_names
from tests.planted_faults import FAULTS
from tests.tools import emulation, emulation_page


@pytest.fixture(scope="module")
def record():
    """The committed one."""
    return json.loads(emulation.RECORD.read_text(encoding="utf-8"))


def test_the_page_is_the_records(record):
    """Written by ``make emulation``, not by hand."""
    assert emulation.PAGE.read_text(encoding="utf-8") == emulation_page.page(record)


def test_all_of_it_is_right(record):
    """Every cell in every order at each N that the backend names; nothing spills, every fault is killed."""
    assert all(row["right"] for part in emulation.PARTS for row in record[part])
    found = {row["cell"]: row for row in record["scans"] if row["dtype"] == "float32"}
    assert set(found) == set(variant_names()) and {row["fault"] for row in record["faults"]} == set(FAULTS)
    for row in found.values():
        assert tuple(row["errors"]) == emulation.ORDERS
        assert {int(N) for N in row["classes"]} == set(BACKENDS["cuda"].sizes)
    sm_90 = {row["cell"] for row in record["cubins"] if row["architecture"] == "sm_90"}
    assert sm_90 == set(variant_names())


def test_the_record_names_no_machine(record):
    """No path and no address."""
    text = json.dumps(record)
    assert "0x" not in text and "/tmp" not in text and "/home" not in text and ".cpp" not in text


def test_the_tool_says_what_is_wrong(monkeypatch, tmp_path, capsys):
    """One wrong row is printed and the exit code is 1; a later call keeps the rows that it does not make again."""
    rows = iter([{"cell": "a", "right": True}, {"cell": "b", "right": False}, {"cell": "b", "right": True}])
    out, page = tmp_path / "record.json", tmp_path / "page.md"
    monkeypatch.setattr(emulation.emulation, "compiler", lambda: "true")
    monkeypatch.setattr(emulation.nvrtc, "missing", lambda: "")
    monkeypatch.setattr(emulation.nvrtc, "version", lambda: (13, 0))
    monkeypatch.setattr(emulation.emulation_page, "page", lambda record: "page\n")
    monkeypatch.setattr(emulation, "cubins", lambda asked: [(cell, lambda: next(rows)) for cell in asked.cells])
    call = ["--part", "cubins", "--out", str(out), "--page", str(page), "--cells"]
    assert emulation.main([*call, "a", "b"]) == 1
    assert "WRONG: cubins, b" in capsys.readouterr().out
    assert emulation.main([*call, "b"]) == 0
    assert json.loads(out.read_text(encoding="utf-8"))["cubins"] == [
        {"cell": "a", "right": True},
        {"cell": "b", "right": True},
    ]
    monkeypatch.setattr(emulation.nvrtc, "missing", lambda: "no NVRTC")
    assert emulation.main(call[:2]) == 1 and "no NVRTC" in capsys.readouterr().out
