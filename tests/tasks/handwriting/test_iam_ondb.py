"""IAM-OnDB: a made folder of its form is read right; what bad and hostile files are told."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_odyssey as lo
from lstm_odyssey.tasks import extra
from lstm_odyssey.tasks.declare import Corpus, CorpusError
from lstm_odyssey.tasks.handwriting import iam_ondb, ink

TEXTS = {
    "a01-020x": ["By Trevor Williams.", "A MOVE to stop", "Mr. Gaitskell"],
    "b02-001": ['(2) "It\'s" & more', "#3 + 4 [5]"],
    "c03-002z": ["one line only"],
    "d04-003z": ["the last one!", "is it? yes"],
    "a08-551z": ["%%%%%%%", "%%%"],
}
SPLITS = {
    "trainset": ["a01-020x", "a08-551z"],
    "testset_v": ["b02-001"],
    "testset_t": ["c03-002z"],
    "testset_f": ["d04-003z"],
}


@pytest.fixture(autouse=True)
def _no_data_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ODYSSEY_DATA", raising=False)


def xml(strokes: list[list[tuple[float, float, float]]], head: str = "") -> str:
    """A line's file as the corpus has it."""
    body = "".join(
        f'<Stroke colour="black" start_time="{stroke[0][2]}" end_time="{stroke[-1][2]}">\n'
        + "".join(f'<Point x="{x}" y="{y}" time="{t}"/>\n' for x, y, t in stroke)
        + "</Stroke>\n"
        for stroke in strokes
    )
    return (
        f'<?xml version="1.0" encoding="ISO-8859-1"?>\n{head}<WhiteboardCaptureSession>\n<WhiteboardDescription>'
        f'<SensorLocation corner="top_left"/></WhiteboardDescription>\n<StrokeSet>\n{body}</StrokeSet>\n'
        "</WhiteboardCaptureSession>\n"
    )


def drawn(seed: int) -> list[list[tuple[float, float, float]]]:
    """Nine strokes of 5 to 9 points, a hundredth of a second apart."""
    generator = np.random.default_rng(seed)
    start, found = 700.0, []
    for _ in range(9):
        count = int(generator.integers(5, 10))
        places = generator.integers(900, 4000, (count, 2)).tolist()
        found.append([(x, y, round(start + 0.01 * k, 2)) for k, (x, y) in enumerate(places)])
        start += 1.17
    return found


def tree(root: Path, above: bool = False) -> Path:
    """A small corpus, with or without the folders that its archives are unpacked into."""
    lines, texts, lists = (
        root / (f"{name}-all/{name}" if above else name) if name != "task1" else root / name if above else root
        for name in ("lineStrokes", "ascii", "task1")
    )
    for number, (form, written) in enumerate(TEXTS.items()):
        inner = f"{form[:3]}/{form[:7]}"
        for folder in (lines / inner, texts / inner, lists):
            folder.mkdir(parents=True, exist_ok=True)
        text = "OCR:\n\nnot this\n\n\nCSR:\n\n" + "\n".join(written) + "\n"
        (texts / inner / f"{form}.txt").write_text(text, encoding="latin-1")
        for line in range(1, len(written) + 1):
            content = xml(drawn(10 * number + line))
            (lines / inner / f"{form}-{line:02}.xml").write_text(content, encoding="latin-1")
    for name, listed in SPLITS.items():
        (lists / f"{name}.txt").write_text("\n".join(listed) + "\n")
    return root


def texts(corpus: Corpus, split: str) -> list[str]:
    return ["".join(corpus.labels[index] for index in target) for _, target in corpus.splits[split]]


@pytest.mark.parametrize("above", [False, True])
def test_a_made_corpus_is_read_right(tmp_path: Path, above: bool) -> None:
    """Lists, the joined validation, a form without a letter, a08-551z left out, both places of the folders, warnings."""
    corpus = iam_ondb.load(tree(tmp_path, above))
    assert texts(corpus, "train") == TEXTS["a01-020x"]
    assert texts(corpus, "valid") == TEXTS["b02-001"] + TEXTS["c03-002z"]
    assert texts(corpus, "test") == TEXTS["d04-003z"]
    assert corpus.labels == ink.CHARACTERS and corpus.input_size == 4
    assert corpus.warnings == (
        "2/1/1/1 forms; the corpus has 775/192/216/544",
        "3/3/2 lines; the corpus has 5,355/2,956/3,859",
    )


def test_a_line_has_the_features_of_its_points(tmp_path: Path) -> None:
    """Every second point counted from a stroke's last; milliseconds since its first; 1 at its last."""
    file = tmp_path / "line.xml"
    strokes = [[(10, 20, 1.0), (11, 21, 1.01), (13, 24, 1.02)], [(50, 8, 2.5), (40, 9, 2.52)]]
    file.write_text(xml(strokes))
    root = tree(tmp_path / "corpus")
    (root / "lineStrokes/a01/a01-020/a01-020x-02.xml").write_text(xml([[*stroke] * 4 for stroke in strokes]))
    found = iam_ondb.strokes(file)
    kept = ink.every_second(found)
    features = ink.features("line", np.concatenate(kept), [len(each) for each in kept], [1000, 2500])
    assert features.tolist() == [[0, 0, 0, 0], [3, 4, 20, 1], [27, -15, 20, 1]]
    places = {"lineStrokes": root / "lineStrokes", "ascii": root / "ascii"}
    line = list(iam_ondb._lines(places, "a01-020x", iam_ondb._files(places, "a01-020x"), []))[1]
    assert line.text == "A MOVE to stop" and line.features.shape == (6 + 4, 4) and line.features[:, 3].sum() == 2


def test_a_missing_line_is_a_warning(tmp_path: Path) -> None:
    """A line's file that is not there takes no other line's text; a form without any is told."""
    root = tree(tmp_path)
    (root / "lineStrokes/a01/a01-020/a01-020x-02.xml").unlink()
    (root / "lineStrokes/c03/c03-002/c03-002z-01.xml").unlink()
    corpus = iam_ondb.load(root)
    assert texts(corpus, "train") == [TEXTS["a01-020x"][0], TEXTS["a01-020x"][2]]
    assert corpus.warnings[0] == "1 forms of the lists have no file in lineStrokes, first c03-002z"
    assert "2/2/2 lines; the corpus has" in corpus.warnings[2]


@pytest.mark.parametrize(
    ("written", "kept", "count", "first"),
    [
        ("By\n", ["By"], 2, "a01-020x-02.xml"),
        ("By\n\nMr\n", ["By", "Mr"], 1, "a01-020x-02.xml"),
        ("By\n   \nMr\nand more\n\n", ["By", "Mr"], 1, "a01-020x-02.xml"),
    ],
    ids=["too few lines", "an empty line", "blanks, and too many lines"],
)
def test_strokes_without_a_text_are_a_warning(
    tmp_path: Path, written: str, kept: list[str], count: int, first: str
) -> None:
    """They are left out and counted; every other line keeps its own text, and its form is not said to be without a file."""
    write(TEXT, f"CSR:\n\n{written}")(tree(tmp_path))
    corpus = iam_ondb.load(tmp_path)
    assert texts(corpus, "train") == kept
    assert corpus.warnings == (
        f"{count} files of strokes have no text in their form's transcript and were left out, first {first}",
        "2/1/1/1 forms; the corpus has 775/192/216/544",
        f"{len(kept)}/3/2 lines; the corpus has 5,355/2,956/3,859",
    )


def test_a_form_of_which_no_line_has_a_text_is_no_form_without_files(tmp_path: Path) -> None:
    """Its strokes are there: only these are counted."""
    write("ascii/b02/b02-001/b02-001.txt", "CSR:\n\n")(tree(tmp_path))
    corpus = iam_ondb.load(tmp_path)
    assert texts(corpus, "valid") == TEXTS["c03-002z"]
    assert corpus.warnings[0].startswith("2 files of strokes have no text") and "lineStrokes" not in "".join(
        corpus.warnings
    )


def test_lines_too_short_for_ctc_are_counted(tmp_path: Path) -> None:
    """They are left out with a warning."""
    root = tree(tmp_path)
    (root / "lineStrokes/a01/a01-020/a01-020x-02.xml").write_text(xml([[(1, 2, 3.0)] * 9]))
    corpus = iam_ondb.load(root)
    assert len(corpus.train) == 2
    assert corpus.warnings[-1] == "lines with fewer points than their text needs were left out: 1 of train"


WRITERS = {"a01-020x": "10001", "b02-001": "10002", "c03-002z": "10002", "d04-003z": "10003"}


def original(root: Path, form: str, writer: str | None, head: str = "") -> None:
    """A form as the recording system has it, with its writer unless there is none."""
    place = root / form[:3] / form[:7]
    place.mkdir(parents=True, exist_ok=True)
    general = "" if writer is None else f'<General><Form id="{form}" writerID="{writer}"/></General>'
    content = xml(drawn(1), head).replace("<WhiteboardDescription>", f"{general}<WhiteboardDescription>", 1)
    (place / f"strokes{form[7:]}.xml").write_text(content, encoding="latin-1")


@pytest.mark.parametrize("told", ["forms.txt", "original", "both"])
def test_writers_are_counted_from_what_the_corpus_says(tmp_path: Path, told: str, odyssey: Any) -> None:
    """From the list of all forms, from the forms themselves, or some from either; the command shows them."""
    root = tree(tmp_path / "iam", above=True)
    listed = WRITERS if told == "forms.txt" else dict([*WRITERS.items()][:2])
    if told != "original":
        lines = [f"{form} {writer}" for form, writer in listed.items()]
        (root / "forms.txt").write_text("\n".join(["# form writer", *lines, "z99-999z 10009"]) + "\n")
    if told != "forms.txt":
        for form, writer in WRITERS.items():
            known = None if told == "both" and form in listed else writer
            original(root / "original-xml-part" / "original", form, known)
    corpus = iam_ondb.load(root)
    assert corpus.people == {"train": 1, "valid": 1, "test": 1} and len(corpus.warnings) == 2
    code, output, _ = odyssey("data", "check", "iam_ondb", "--data", f"iam_ondb={root}")
    assert code == 0 and "writers" in output


def test_writers_that_are_not_all_known_are_not_counted(tmp_path: Path) -> None:
    """A form without a writer is told; the features are what they were without any of this."""
    plain = iam_ondb.load(tree(tmp_path))
    original(tmp_path / "original", "a01-020x", "10001")
    original(tmp_path / "original", "b02-001", None)
    corpus = iam_ondb.load(tmp_path)
    assert corpus.people == {} == plain.people and corpus.fingerprint == plain.fingerprint
    assert corpus.warnings[0] == "3 forms of the lists have no writer, first b02-001: writers are not counted"


LINE = "lineStrokes/a01/a01-020/a01-020x-02.xml"
TEXT = "ascii/a01/a01-020/a01-020x.txt"
FAR = [(0, 0, 1.0), (5, 5, 1.1), (2**21, 0, 1.2)]
LAUGHS = '<!DOCTYPE x [<!ENTITY a "haha"><!ENTITY b "&a;&a;&a;&a;">]>\n'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>\n'


def write(place: str, content: str) -> Callable[[Path], Any]:
    return lambda root: (root / place).write_text(content, encoding="latin-1")


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "broken": (write(LINE, xml(drawn(1))[:-40]), f"{LINE} is no XML that can be read .* Get the file again"),
    "no XML": (write(LINE, "hello"), "is no XML that can be read"),
    "not numeric": (write(LINE, xml([[("x1", 2, 3.0)]])), r"the point \{'x': 'x1'.* is not numeric; expected numbers x, y and"),
    "no time": (write(LINE, xml(drawn(1)).replace('time="70', 'tame="70')), "is not numeric"),
    "infinite": (write(LINE, xml([[("inf", 2, 3.0)]])), "a point is beyond 1e9"),
    "no strokes": (write(LINE, xml([])), "has no stroke with a point"),
    "entities": (write(LINE, xml(drawn(1), LAUGHS)), r"declares entities \(EntitiesForbidden\).* may be hostile"),
    "outside": (write(LINE, xml(drawn(1), OUTSIDE)), "declares entities .* may be hostile"),
    "unknown": (
        write(TEXT, "CSR:\n\nBy\nA 50% M\nMr\n"),
        f"{TEXT}, line 2: the text 'A 50% M' has '%'; expected only the 81 characters .* Correct the transcript",
    ),
    "no CSR": (write(TEXT, "OCR:\n\nBy\n"), f"{TEXT} has no line CSR:; expected the text after it"),
    "apart": (write(LINE, xml([FAR] * 9)), f"{LINE}: two points are .* units or .* get it again"),
    "no text at all": (write(TEXT, "CSR:\n\n"), "train has no line that can be read"),
    "no text": (lambda root: (root / TEXT).unlink(), f"{TEXT} cannot be read"),
    "no list": (lambda root: (root / "testset_t.txt").unlink(), r"has no testset_t\.txt; expected the folders"),
    "no ascii": (lambda root: (root / "ascii").rename(root / "other"), "has no ascii; expected"),
    "no form": (write("trainset.txt", "../../etc\n"), r"trainset\.txt: '\.\./\.\./etc' is no form; expected a name"),
    "twice": (write("testset_f.txt", "a01-020x\n"), r"form a01-020x is in trainset\.txt and in testset_f\.txt; expected once"),
    "twice in a list": (write("trainset.txt", "a01-020x\na01-020x\n"), r"a01-020x is twice in trainset\.txt; expected once"),
    "a folder": (lambda root: ((root / LINE).unlink(), (root / LINE).mkdir()), f"{LINE} cannot be read \\([^']*$"),
    "a broken original": (
        lambda root: (original(root / "original", "a01-020x", "1"), write("original/a01/a01-020/strokesx.xml", "hm")(root)),
        r"original/a01/a01-020/strokesx\.xml is no XML that can be read",
    ),
    "entities in an original": (
        lambda root: original(root / "original", "a01-020x", "1", LAUGHS), "strokesx.xml declares entities .* may be hostile",
    ),
    "no test": (write("testset_f.txt", ""), "test has no line that can be read"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_corpus_is_one_clear_error(tmp_path: Path, name: str) -> None:
    """Each fault is told with the file, what was found and what to do; entities are never expanded."""
    spoil, message = BAD[name]
    spoil(tree(tmp_path))
    with pytest.raises(CorpusError, match=f"task 'iam_ondb': .*{message}"):
        iam_ondb.load(tmp_path)


def test_an_empty_folder_and_a_file_are_no_corpus(tmp_path: Path) -> None:
    """All that is missing is named at once; a file is not unpacked."""
    with pytest.raises(
        CorpusError, match=r"has no lineStrokes, ascii, trainset\.txt, .*testset_f\.txt; expected .* Unpack"
    ):
        iam_ondb.load(tmp_path)
    (tmp_path / "iam.tar").write_bytes(b"")
    with pytest.raises(CorpusError, match="is not a folder; expected the unpacked corpus"):
        iam_ondb.load(tmp_path / "iam.tar")


def test_a_file_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing larger than the bound is read."""
    monkeypatch.setattr(iam_ondb, "MAX_BYTES", 100)
    with pytest.raises(CorpusError, match="is larger than 100 bytes; it is not the corpus"):
        iam_ondb.load(tree(tmp_path))


def test_without_a_path_it_says_where_the_corpus_is() -> None:
    """The error names the licence, the address and how to hand it in."""
    told = f"Pass --data iam_ondb=PATH or set ODYSSEY_DATA; the corpus is at {iam_ondb.URL}"
    with pytest.raises(CorpusError, match=re.escape(told)):
        iam_ondb.load()


def test_without_defusedxml_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is asked for only here, and named with the extra that brings it."""
    real = importlib.import_module

    def absent(name: str) -> Any:
        if name.startswith("defusedxml"):
            raise ModuleNotFoundError(name)
        return real(name)

    monkeypatch.setattr(extra, "import_module", absent)
    with pytest.raises(CorpusError, match=re.escape('Run pip install "lstm-odyssey[corpora]".')):
        iam_ondb.load(tree(tmp_path))


def test_the_handwriting_tasks_are_listed(odyssey) -> None:
    """What is not in the package says how it is given, and under which licence it is."""
    code, output, _ = odyssey("tasks")
    assert code == 0 and "yours: --data iam_ondb=PATH" in output and "yours: --data unipen=PATH" in output
    for name in ("iam_ondb", "unipen"):
        task = lo.task(name)
        assert (task.family, task.objective, task.bidirectional, task.embedded) == ("handwriting", "ctc", True, False)
