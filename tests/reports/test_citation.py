"""The references of a study: of just what was run, each once, and something to go by where an author gave none."""

import pytest
import xarray

import lstm_odyssey as lo
from lstm_odyssey.reports.citation import PAPER, references, software
from lstm_odyssey.reports.contract import schema
from tests.corpora import ROOT
from tests.made_studies import study, trial


def made(variants=("plain", "gated", "light", "idle"), run=("plain", "gated", "light"), **facts):
    """A study in which some variants were run; ``facts`` replaces what is said of one."""
    content = study(variants=variants, trials=1)
    for name, said in facts.items():
        kind = "tasks" if name in content["tasks"] else "variants"
        content[kind][name] = {**content[kind][name], **said}
    return schema.build(content, [trial(content, "songs", name, 0) for name in run])


def test_only_what_was_run_is_cited_and_each_reference_once():
    """Variants of one source share a line, one that was only asked for has none, and the paper is always there."""
    dataset = made(light={"reference": "A. Author, Light\n   cells, 2030"}, idle={"reference": "N. Obody, never run"})
    assert references(dataset) == {
        PAPER: ["protocol and search"],
        "Greff et al., LSTM: A Search Space Odyssey, 2017": ["variant plain", "variant gated"],
        "A. Author, Light cells, 2030": ["variant light"],
        "made up; https://example.org/corpus": ["task songs"],
    }


def test_the_papers_cells_share_its_line():
    """A variant whose reference is the paper's own adds no second line."""
    dataset = made(light={"reference": lo.variant("vanilla").reference})
    assert references(dataset)[PAPER] == ["protocol and search", "variant light"]


@pytest.mark.parametrize(
    ("origin", "told"),
    [
        ({"distribution": "light-cells", "version": "0.3"}, "light-cells 0.3"),
        ({"file": "mine.py", "sha256": "ab"}, "mine.py"),
        ({"module": "mine"}, "mine"),
        (None, "nowhere"),
    ],
)
def test_a_variant_without_a_reference_is_told_with_its_origin(origin, told):
    """Nobody's name is made up: the plugin's distribution, file or module stands there."""
    dataset = made(light={"reference": None, "origin": origin})
    assert references(dataset)[f"no reference given, from {told}"] == ["variant light"]


def test_a_corpus_without_a_reference_is_told_with_its_provenance_and_address():
    """The address is not said twice where the provenance has it."""
    address = "https://example.org/corpus"
    dataset = made(songs={"provenance": f"songs.zip of {address}", "url": address})
    assert references(dataset)[f"songs.zip of {address}"] == ["task songs"]
    dataset = made(songs={"reference": "S. Inger, Songs, 1999"})
    assert references(dataset)["S. Inger, Songs, 1999"] == ["task songs"]


def test_the_software_is_named_with_the_versions_of_trials():
    """This package first, then every plugin's distribution or file that a trial ran with."""
    content = study(variants=("plain", "light"), trials=1)
    content["variants"]["light"]["origin"] = {"distribution": "light-cells", "version": "0.3"}
    ran = {"lstm-odyssey": "0.1.0", "light-cells": "0.3", "numpy": "2.4"}
    dataset = schema.build(content, [trial(content, "songs", "light", 0, environment=ran)])
    assert software(dataset) == ["lstm-odyssey 0.1.0", "light-cells 0.3"]


def test_a_citation_is_printed(capsys):
    """Each reference, what is owed to it on the line below, and the software at the end."""
    lo.citation(made(light={"reference": "A. Author, Light cells, 2030"}))
    output = capsys.readouterr().out
    assert "A. Author, Light cells, 2030\n    for variant light\n" in output
    assert output.startswith(f"{PAPER}\n    for protocol and search\n") and "idle" not in output


@pytest.mark.parametrize("subject", ["vanilla", None, xarray.Dataset()])
def test_what_is_no_study_cannot_be_cited(subject):
    """A name, nothing, an empty dataset: what it got, and how to get a study."""
    with pytest.raises(TypeError, match=r"citation: got .*; expected a study\. Open it: lo\.open_study"):
        lo.citation(subject)


def test_a_record_of_an_older_version_is_cited(capsys):
    """The paper's study on JSB Chorales was written before tasks had references: its corpus is told by its provenance."""
    lo.citation(lo.open_study(ROOT / "reports" / "records" / "jsb-chorales-paper.nc"))
    output = capsys.readouterr().out
    assert "for protocol and search, variant cifg" in output and "    for task jsb_chorales\n" in output
    assert "Computed with lstm-odyssey 0.1.0" in output


def test_every_variant_and_task_of_ours_has_a_reference():
    """What this package brings can be cited."""
    assert all(lo.variant(name).reference for name in lo.variant_names())
    assert all(lo.task(name).reference for name in lo.task_names())
