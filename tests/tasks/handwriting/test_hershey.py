"""The synthetic hand: the same lines everywhere, of the promised form, and said to be synthetic."""

from __future__ import annotations

import gzip
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import xarray
from markupsafe import escape

import lstm_odyssey as lo
from lstm_odyssey.commands.terminal import tables
from lstm_odyssey.reports import page
from lstm_odyssey.reports.contract import schema
from lstm_odyssey.reports.page import export
from lstm_odyssey.reports.page.analyses import analyse
from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.tasks.files import cache
from lstm_odyssey.tasks.files.cache import SPLITS
from lstm_odyssey.tasks.handwriting import build_hershey, hershey, hershey_hand, ink
from lstm_odyssey.tasks.handwriting.hershey_text import ORDER, Draws, signs, text
from tests import made_studies as made
from tests.corpora import ROOT

NAMES = ("hershey", "hershey_mini")
FINGERPRINTS = {
    "hershey": "89c21693863019e696efec199a0952e68ba874a74c159ef9dbdc950dec24ba4f",
    "hershey_mini": "4e40ab2f951d8e3c9d83f9dcd294ce7d39badbb16a9770b5711053b6dd92c180",
}
HELD = ["0x1.c0f5b462f4d11p-1", "0x1.cf59437235c03p-1"]
BOTH = [pytest.param("hershey", marks=pytest.mark.long), "hershey_mini"]


@pytest.fixture(scope="module")
def mini() -> dict[str, list[ink.Line]]:
    """The 90 lines of hershey_mini."""
    return hershey.lines(hershey.WRITERS["hershey_mini"])


@pytest.mark.parametrize("name", BOTH)
def test_the_lines_are_the_same_on_every_machine(name: str) -> None:
    """The corpus has the fingerprint it had where it was made."""
    assert lo.task(name).load().fingerprint == FINGERPRINTS[name]


def test_the_lines_are_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second load of hershey reads the cache, with the first one's people and warnings; drawn anew they are the same."""
    monkeypatch.setattr(cache, "folder", lambda: tmp_path / "features")
    monkeypatch.setitem(hershey.WRITERS, "hershey", hershey.WRITERS["hershey_mini"])
    drawn = lo.task("hershey").load()
    assert len(list((tmp_path / "features").iterdir())) == 1
    with monkeypatch.context() as patch:
        patch.setattr(hershey, "lines", lambda _: pytest.fail("drawn again"))
        kept = lo.task("hershey").load()
    assert kept.fingerprint == drawn.fingerprint == lo.task("hershey_mini").load().fingerprint
    assert (kept.people, kept.warnings, kept.provenance) == (drawn.people, drawn.warnings, drawn.provenance)
    monkeypatch.setattr(hershey, "SEED", hershey.SEED + 1)
    assert lo.task("hershey").load().fingerprint != drawn.fingerprint


@pytest.mark.parametrize("name", BOTH)
def test_the_corpus_is_the_one_of_its_docstring(name: str) -> None:
    """Counts of lines, all 81 characters in training, fewest and most of a line, 250 frames a line, each text once, lifts."""
    said = re.search(r"IAM-OnDB, (\d+) to (\d+) a line \(``hershey_mini``: (\d+) to (\d+)\)", hershey.__doc__ or "")
    assert said is not None
    expected = [int(said[place]) for place in {"hershey": (1, 2), "hershey_mini": (3, 4)}[name]]
    lines = hershey.lines(hershey.WRITERS[name])
    counts = {"hershey": [2400, 400, 400], "hershey_mini": [60, 15, 15]}[name]
    assert [len(lines[split]) for split in SPLITS] == counts
    assert set("".join(line.text for line in lines["train"])) == set(ink.CHARACTERS)
    every = [line for split in lines.values() for line in split]
    lengths = [len(line.text) for line in every]
    assert [min(lengths), max(lengths)] == expected and min(lengths) >= 20
    assert min(len(line.features) for line in every) >= 250
    assert len({line.text for line in every}) == len(every)
    assert all(line.features[-1, 3] == 1 and line.features[0, :2].tolist() == [0, 0] for line in every)
    assert all(len(line.features) >= ink.needed(line.text) for line in every)


def test_hershey_mini_is_a_part_of_hershey(mini: dict[str, list[ink.Line]]) -> None:
    """The first writers of each split write the same lines, however many there are."""
    few = hershey.lines({"train": 2, "valid": 1, "test": 1})
    for split, lines in few.items():
        for line, other in zip(lines, mini[split], strict=False):
            assert (line.name, line.text) == (other.name, other.text)
            assert np.array_equal(line.features, other.features)
    for split, writers in hershey.WRITERS["hershey_mini"].items():
        assert writers < hershey.WRITERS["hershey"][split]


def test_writers_have_hands_of_their_own(mini: dict[str, list[ink.Line]]) -> None:
    """No two writers of the 18 share slant, size and speed; both fonts are in use; two lines of one writer differ."""
    fonts = hershey.fonts()
    hands = [
        hershey_hand.Hand.drawn(Draws(hershey.SEED, place, writer), fonts)
        for place, split in enumerate(SPLITS)
        for writer in range(hershey.WRITERS["hershey_mini"][split])
    ]
    assert len({(hand.slant, hand.size, hand.step) for hand in hands}) == len(hands) == 18
    assert len({id(hand.font) for hand in hands}) == 2
    same = [hershey_hand.line("line", "one and the same text", hands[0], Draws(seed)) for seed in (1, 2, 1)]
    assert np.array_equal(same[0].features, same[2].features)
    assert same[0].features.shape != same[1].features.shape or not np.array_equal(same[0].features, same[1].features)


def test_a_hand_without_noise_draws_the_glyph() -> None:
    """An L upright, without wobble and drift, is a way down and one to the right, of the glyph's size."""
    font = hershey.fonts()["print"]
    hand = hershey_hand.Hand(font, 0.0, 1.0, 1.0, 0.0, 0.5, 0.0, 0.0, 0.0)
    place = np.cumsum(hershey_hand.line("line", "L", hand, Draws(1)).features[:, :2], axis=0)
    height, width = np.ptp(place[:, 1]), np.ptp(place[:, 0])
    assert abs(height - 21 * hershey_hand.UNITS) < 0.25 * 21 * hershey_hand.UNITS
    assert abs(width - 12 * hershey_hand.UNITS) < 0.25 * 21 * hershey_hand.UNITS
    assert place[-1, 1] == max(place[:, 1]) or place[-1, 1] > 0.8 * place[:, 1].max()  # y grows downwards


def test_random_numbers_are_made_of_bits_that_stay() -> None:
    """The first numbers of a stream are held, so that a generator that changes is seen; moments are those promised."""
    draws = Draws(20171028, 3)
    assert [float(value).hex() for value in draws.uniform(2)] == HELD
    uniform, bell = Draws(1).uniform(20_000), Draws(2).bell(20_000)
    assert uniform.min() >= 0 and uniform.max() < 1 and abs(uniform.mean() - 0.5) < 0.01
    assert abs(bell.mean()) < 0.03 and abs(bell.std() - 1) < 0.03
    counts = np.bincount([Draws(3, seed).below(3) for seed in range(600)])
    assert len(counts) == 3 and counts.min() > 150


def test_signs_show_every_character() -> None:
    """The order holds each character but the space once, and sixteen signs in a row show all of them."""
    assert sorted(ORDER) == sorted(set(ink.CHARACTERS) - {" "})
    assert set("".join(map(signs, range(5, 21)))) == set(ORDER)


def test_texts_use_the_81_characters_only() -> None:
    """Words, names and numbers of many lines hold no other character, no double space and none at an end."""
    for number in range(300):
        written = text(Draws(9, number), number)
        assert set(written) <= set(ink.CHARACTERS) and len(written) >= 22
        assert written == " ".join(written.split())


def test_a_path_is_refused(tmp_path: Path) -> None:
    """There is nothing to read: a given file would otherwise be passed over without a word."""
    for name in NAMES:
        with pytest.raises(CorpusError, match=f"task '{name}': .* was given, and its lines are drawn, not read. Leave"):
            lo.task(name).load(tmp_path)


def test_a_damaged_glyph_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other glyphs would be another corpus under the same name."""
    damaged = tmp_path / hershey.FILE.name
    damaged.write_bytes(hershey.FILE.read_bytes()[:-1])
    monkeypatch.setattr(hershey, "FILE", damaged)
    with pytest.raises(CorpusError, match=f"sha256 [0-9a-f]{{64}}; expected {hershey.CHECKSUM}"):
        hershey.load()


def test_the_embedded_glyphs_are_those_of_the_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The build script makes the embedded file again from Hershey-Fonts, and prints its usage without an argument."""
    assert build_hershey.main([]) == 2 and "build_hershey OUT" in capsys.readouterr().err
    assert build_hershey.main([str(tmp_path / "out.json.gz")]) == 0
    assert "162 glyphs: equal to the embedded file" in capsys.readouterr().out
    assert gzip.decompress((tmp_path / "out.json.gz").read_bytes()) == gzip.decompress(hershey.FILE.read_bytes())


@pytest.fixture(scope="module")
def stored() -> xarray.Dataset:
    """A made study of hershey_mini and of another task, with the warnings of both."""
    facts = made.PEN | {"warnings": list(lo.task("hershey_mini").load().warnings)}
    study = made.study({"songs": made.MUSIC | {"warnings": []}, "hershey_mini": facts}, trials=2)
    return schema.build(study, [made.trial(study, *place) for place in made.places(study)])


def test_a_report_says_synthetic_in_every_form(stored: xarray.Dataset) -> None:
    """Page and Markdown below the task's heading, the csv in each row of it; not of another task."""
    found = analyse(stored, quick=True)
    text = export.markdown(stored, found)
    assert f"## hershey_mini\n\n{hershey.SYNTHETIC}\n\n" in text and text.count(hershey.SYNTHETIC) == 1
    rows = export.numbers(stored, found)["warnings"]
    assert set(rows.loc["hershey_mini"]) == {hershey.SYNTHETIC} and set(rows.loc["songs"]) == {""}
    assert "\nhershey_mini,plain," in (csv := export.numbers(stored, found).to_csv())
    assert all(hershey.SYNTHETIC in line for line in csv.splitlines() if line.startswith("hershey_mini"))
    assert f'<p class="warning">{escape(hershey.SYNTHETIC)}</p>' in page.render(stored, analyses=found)


def test_the_commands_for_data_say_synthetic_beside_its_name(odyssey, tmp_path: Path) -> None:
    """The list in the row, the picture in its title, and what is fetched and checked; a real corpus has its name alone."""
    code, output, _ = odyssey("data", "list")
    rows = {line.split()[0]: line for line in output.partition("\n\n")[0].splitlines()}
    assert code == 0 and all(f"{name} (synthetic)" in rows[name] for name in NAMES) and "(" not in rows["bach"]
    for command in ("fetch", "check"):
        assert "hershey_mini (synthetic)" in odyssey("data", command, "hershey_mini")[1]
    for name, title in (("hershey_mini", "hershey_mini (synthetic), train[0]"), ("bach", "bach, train[0]")):
        assert odyssey("data", "show", name, "-o", tmp_path / f"{name}.svg")[0] == 0
        assert f"<!-- {title} -->" in (tmp_path / f"{name}.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "page_of", ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
)
def test_a_page_says_synthetic_where_its_name_first_stands(page_of: str) -> None:
    """In that paragraph or before it."""
    paragraphs = (ROOT / page_of).read_text(encoding="utf-8").split("\n\n")
    first = next((place for place, text in enumerate(paragraphs) if re.search(r"\bhershey(_mini)?\b", text)), None)
    assert first is None or "synthetic" in "".join(paragraphs[: first + 1])


def test_it_says_synthetic_wherever_its_name_is_printed(odyssey, stored: xarray.Dataset) -> None:
    """In the list of tasks, in the provenance and as a warning, which tables and pages print."""
    corpus = lo.task("hershey_mini").load()
    assert corpus.provenance.startswith("synthetic: 90 lines")
    assert any(warning.startswith("synthetic") for warning in corpus.warnings)
    code, output, _ = odyssey("tasks")
    parts = [part for part in output.split("\n\n") if part.startswith("hershey")]
    assert code == 0 and len(parts) == 2 and all("licence  synthetic" in part for part in parts)
    told = [str(part) for part in tables.results(stored)]
    assert f"\nhershey_mini: {hershey.SYNTHETIC}" in told


def test_the_tasks_are_what_they_declare() -> None:
    """CTC in both directions; the small one is a default task, the large one is for who names it; both pickle."""
    large, small = hershey.task, hershey.mini
    for task in (large, small):
        assert (task.objective, task.family, task.bidirectional, task.embedded) == ("ctc", "handwriting", True, True)
        assert pickle.loads(pickle.dumps(task)) == task
    assert (large.collection, small.collection) == ("open-corpora", "odyssey-2017")


def test_the_glyphs_carry_their_notice() -> None:
    """Source, licence and changes lie beside the file, and the repository's NOTICE names them with the acknowledgements."""
    notice = hershey.FILE.with_name("hershey_glyphs.NOTICE").read_text(encoding="utf-8")
    assert all(word in notice for word in ("Source", "Licence", "Changed", "James Hurt", "synthetic", "apshu"))
    top = (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert all(word in top for word in ("hershey_glyphs.json.gz", "hershey_glyphs.NOTICE", "James Hurt"))
