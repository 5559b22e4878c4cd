"""UNIPEN: its own format, archives of it, ``unipen_lines.npz``, and what bad and hostile files are told."""

from __future__ import annotations

import io
import os
import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_odyssey.tasks.declare import Corpus, CorpusError
from lstm_odyssey.tasks.files import archives, locate
from lstm_odyssey.tasks.handwriting import unipen, unipen_format, unipen_lines
from tests.corpora import real_file

NPZ = "unipen_lines.npz"
EXCERPT = "unipen_r01_v07_excerpt.tar.xz"
HEADER = ".VERSION 1.0\n.COORD X Y T\n.POINTS_PER_SECOND 100\n"


@pytest.fixture(autouse=True)
def _no_data_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ODYSSEY_DATA", raising=False)


def component(kind: str, start: int, points: int = 41) -> str:
    """A block of points on a wave, every one with a third column."""
    rows = [f"{start + 2 * k} {300 + (k * (start + 7)) % 40} {k}" for k in range(points)]
    return "\n".join([f".{kind}", *rows]) + "\n"


def tree(root: Path, segments: str | None = None, ink_text: str | None = None) -> Path:
    """A small corpus: three writers of one contributor, of whom one is a test writer and one of validation.

    Each file's numbering runs on across two includes, with an empty component, which has no number, and a pen-up, which has.
    """
    for writer in ("SV3771", "JL4096", "ra0112"):
        data, include = root / "data" / "8" / "cec", root / "include" / "cec"
        for folder in (data, include / "data"):
            folder.mkdir(parents=True, exist_ok=True)
        (include / "cec.doc").write_text(HEADER)
        first = component("PEN_DOWN", 10) + ".PEN_UP\n.DT 30\n" + component("PEN_UP", 95, 5)
        second = component("PEN_DOWN", 110) + component("PEN_DOWN", 220) + component("PEN_DOWN", 330)
        (include / "data" / f"{writer}-a.dat").write_text(f".WRITER_ID {writer}\n.COMMENT no\n more\n{first}")
        (include / "data" / f"{writer}-b.dat").write_text(second if ink_text is None else ink_text)
        (data / f"{writer}.dat").write_text(
            f".VERSION 1.0\n.INCLUDE cec/cec.doc\n.INCLUDE cec/data/{writer}-a.dat\n.INCLUDE cec/data/{writer}-b.dat\n"
            + (
                segments
                or '.SEGMENT TEXT 0-2 ? "hello {w}"\n.SEGMENT TEXT 0,2-3 OK "a \\"b\\" c"\n.SEGMENT WORD 0 ? "no"\n'
                '.SEGMENT TEXT 3-4:7 ? "one two"\n.SEGMENT TEXT 4 BAD "bad one"\n.SEGMENT TEXT 2 ? "ab"\n'
                '.SEGMENT TEXT 2-4 ? "caf\xe9!"\n.SEGMENT TEXT 1 ? "only up"\n.SEGMENT TEXT 4 ?\n'
            ).replace("{w}", writer),
            encoding="latin-1",
        )
    return root


def texts(corpus: Corpus, split: str) -> list[str]:
    return ["".join(corpus.labels[index] for index in target) for _, target in corpus.splits[split]]


def test_a_made_corpus_is_read_right(tmp_path: Path) -> None:
    """Segments, escapes, numbering across includes, empty and lifted components, quality, splits by writer, warnings."""
    corpus = unipen.load(tree(tmp_path))
    assert texts(corpus, "valid") == ["hello SV3771", 'a "b" c', "one two"]
    assert texts(corpus, "test")[0] == "hello JL4096" and texts(corpus, "train")[0] == "hello ra0112"
    lifts = [int(features[:, 3].sum()) for features, _ in corpus.train]
    assert lifts == [2, 3, 2]  # components 0 and 2; 0, 2 and 3; 3 and 4: component 1 is a lifted pen's
    assert [len(features) for features, _ in corpus.train] == [42, 63, 42]  # 41 points at 100 a second are 21 at 50
    assert corpus.warnings[0].startswith("3/3/3 lines; unipen_lines.npz has 8,821/1,511/1,604")
    assert "3 lines with other characters than the 95 were left out, first" in corpus.warnings[1]
    assert len(corpus.labels) == 95 and corpus.input_size == 4


def test_a_line_has_the_writer_and_the_rate_of_its_own_ink(tmp_path: Path) -> None:
    """Not those that the file names last; a line of two writers or of two rates is left out, and counted."""
    later = ".WRITER_ID JL4096\n" + component("PEN_DOWN", 9) + ".POINTS_PER_SECOND 200\n" + component("PEN_DOWN", 12)
    lines = {"0": "first", "3": "second", "4": "third", "0,2-3": "two writers", "3-4": "two rates", "0-1,2": "one"}
    segments = "".join(f'.SEGMENT TEXT {numbers} ? "{label}"\n' for numbers, label in lines.items())
    corpus = unipen.load(tree(tmp_path, segments, component("PEN_DOWN", 3) + later))
    assert texts(corpus, "train") == texts(corpus, "valid") == ["first", "one"]
    assert texts(corpus, "test") == [
        "first", "second", "third", "two writers", "one", "second", "third", "second", "third"
    ]  # fmt: skip
    assert [len(features) for features, _ in corpus.test[:3]] == [21, 21, 11]  # 41 points at 100 and at 200 a second
    told = "5 lines of two writers or two rates were left out, first task 'unipen': data/8/cec/JL4096.dat#3-4"
    assert corpus.warnings[-1] == told


def test_a_writer_who_is_named_after_the_ink_is_the_files(tmp_path: Path) -> None:
    """Ink that comes before any name is of the first writer named."""
    root = tree(tmp_path)
    for file in root.glob("include/cec/data/*-a.dat"):
        name, _, rest = file.read_text().partition("\n")
        file.write_text(rest)
        with file.with_name(file.name.replace("-a", "-b")).open("a") as later:
            later.write(f"{name}\n.WRITER_ID somebody\n")
    assert texts(unipen.load(root), "valid") == ["hello SV3771", 'a "b" c', "one two"]


def test_a_line_is_resampled_and_scaled() -> None:
    """From 100, 60 and 50 points a second a straight stroke has a point each 20 ms, scaled by its height, y turned."""
    for rate, points in ((100, 21), (60, 13), (50, 11)):
        stroke = np.stack([np.arange(points), 2.0 * np.arange(points)], 1) / rate
        line = unipen.line(unipen_format.Text("line", "c/w", "text", rate, [1000 * stroke]))
        assert line.features[:, 2].tolist() == [20 * k for k in range(11)]
        assert line.features[:, 3].tolist() == [0] * 10 + [1]
        place = np.cumsum(line.features[:, :2], axis=0)
        assert np.abs(place - np.linspace([0, 0], [500, -1000], 11)).max() <= 1


def test_no_point_lies_between_two_strokes() -> None:
    """Resampling does not lead from one stroke to the next, however short they are."""
    strokes = [np.array([[0.0, 0.0]]), np.array([[900.0, 50.0], [901.0, 60.0]]), np.array([[5.0, 100.0]] * 7)]
    line = unipen.line(unipen_format.Text("line", "c/w", "text", 66.0, strokes))
    place = np.cumsum(line.features[:, :2], axis=0)[:, 0] / 10
    assert set(np.rint(place).tolist()) <= {0.0, 900.0, 901.0, 5.0}
    assert line.features[:, 3].sum() == 3


def test_a_wide_flat_line_is_scaled_by_its_width() -> None:
    """A dash has no height to divide by."""
    line = unipen.line(unipen_format.Text("line", "c/w", "---", 50.0, [np.array([[0.0, 0.0], [500.0, 0.0]])]))
    assert line.features[1, :2].tolist() == [10_000, 0]


@pytest.mark.parametrize("kind", ["tar", "tar.xz", "zip"])
def test_an_archive_is_read_as_its_folder(tmp_path: Path, kind: str) -> None:
    """Also with a folder above the corpus's own."""
    root, archive = tree(tmp_path / "train_r01_v07"), tmp_path / f"unipen.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for file in sorted(root.rglob("*")):
                packed.write(file, file.relative_to(tmp_path))
    else:
        with tarfile.open(archive, "w:xz" if kind.endswith("xz") else "w") as packed:
            packed.add(root, root.name)
    assert unipen.load(archive).fingerprint == unipen.load(root).fingerprint == unipen.load(tmp_path).fingerprint


def head(root: Path, text: str) -> None:
    """The small corpus with another head of every ink."""
    tree(root).joinpath("include/cec/cec.doc").write_text(text)


BAD = {
    "no rate": (lambda root: head(root, ".COORD X Y\n"), "before .POINTS_PER_SECOND"),
    "wrong rate": (
        lambda root: head(root, ".POINTS_PER_SECOND fast\n"), "'fast' in cec.doc; expected a number from 1 to 10000"
    ),
    "no columns": (lambda root: head(root, ".COORD P T\n"), "expected columns X and Y"),
    "no number": (lambda root: tree(root, ink_text=".PEN_DOWN\n1 x 3\n"), "JL4096-b.dat has a point that is no number"),
    "a short point": (lambda root: tree(root, ink_text=".PEN_DOWN\n1 2 3\n4 5\n"), r"has the point \['4', '5'\]; expected 3"),
    "infinite": (lambda root: tree(root, ink_text=".PEN_DOWN\n1 inf 3\n"), "a point beyond 1e9 in size"),
    "missing include": (lambda root: tree(root).joinpath("include/cec/cec.doc").unlink(), "'cec/cec.doc' is missing from"),
    "beyond the end": (lambda root: tree(root, '.SEGMENT TEXT 2-9 ? "abc"\n'), "components 2 to 9 of 5; expected numbers"),
    "backwards": (lambda root: tree(root, '.SEGMENT TEXT 3-2 ? "abc"\n'), "components 3 to 2 of 5"),
    "a component twice": (lambda root: tree(root, '.SEGMENT TEXT 0-2,1 ? "abc"\n'), "component 1 occurs twice"),
    "one text many times": (lambda root: tree(root, '.SEGMENT TEXT 0-4 ? "abc"\n' * 9), "the same ink more than 8 times"),
    "no range": (lambda root: tree(root, '.SEGMENT TEXT 1-2-3 ? "abc"\n'), "'1-2-3' is no range"),
    "no lines": (lambda root: tree(root, ".COMMENT none\n"), "train has no line that can be read"),
    "no files": (lambda root: [file.unlink() for file in tree(root).glob("data/8/*/*.dat")], "has no file"),
    "empty folder": (lambda root: None, r"has nothing; expected UNIPEN's folders data/8/ and include/. Pass"),
    "another corpus": (lambda root: (root / "lineStrokes").mkdir(), "has lineStrokes; expected UNIPEN's folders"),
    "itself": (lambda root: head(root, ".INCLUDE cec/cec.doc\n"), "does it include itself"),
    "leaving by ..": (
        lambda root: head(root, ".INCLUDE ../data/8/cec/SV3771.dat\n"),
        r"\.INCLUDE '\.\./data/8/cec/SV3771\.dat' leaves the folder include/.* may be hostile",
    ),
    "leaving by /": (lambda root: head(root, ".INCLUDE /etc/passwd\n"), "leaves the folder include/"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_corpus_is_one_clear_error(tmp_path: Path, name: str) -> None:
    """Each fault is told with the file, what was found and what to do."""
    make, message = BAD[name]
    make(tmp_path)
    with pytest.raises(CorpusError, match=f"task 'unipen': .*{message}"):
        unipen.load(tmp_path)


def test_a_link_that_leaves_the_corpus_is_refused(tmp_path: Path) -> None:
    """A file of data/ or include/ that is a link to somewhere else is not read."""
    outside = tmp_path / "outside.dat"
    outside.write_text(HEADER + component("PEN_DOWN", 1))
    root = tree(tmp_path / "corpus")
    for place in ("data/8/cec/SV3771.dat", "include/cec/cec.doc"):
        kept = (root / place).read_bytes()
        (root / place).unlink()
        (root / place).symlink_to(outside)
        with pytest.raises(
            CorpusError, match=r"(is a link that leaves the corpus|leaves the folder include/).* hostile"
        ):
            unipen.load(root)
        (root / place).unlink()
        (root / place).write_bytes(kept)
    unipen.load(root)


def test_a_file_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing larger than the bound is read."""
    monkeypatch.setattr(unipen_format, "MAX_BYTES", 20)
    with pytest.raises(CorpusError, match=r"have \d+ bytes, at JL4096\.dat; expected at most 20"):
        unipen.load(tree(tmp_path))


@pytest.mark.parametrize(
    ("bound", "value", "message"),
    [
        ("MAX_INCLUDES", 500, r"JL4096\.dat includes more than 500 files, at \d\.doc; expected at most 500"),
        ("MAX_BYTES", 5000, r"JL4096\.dat and what it includes have \d+ bytes, at \d\.doc; expected at most 5000"),
    ],
)
def test_an_include_bomb_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, value: int, message: str
) -> None:
    """Files that include the next one ten times each would be read a million times; the first bound ends it at once."""
    monkeypatch.setattr(unipen_format, bound, value)
    read: list[Path] = []
    statements = unipen_format._statements

    def counted(where: str, file: Path, *rest: Any) -> Any:
        read.append(file)
        return statements(where, file, *rest)

    monkeypatch.setattr(unipen_format, "_statements", counted)
    root = tree(tmp_path)
    head(root, ".INCLUDE 1.doc\n" + HEADER)
    for level in range(1, 6):
        (root / "include" / f"{level}.doc").write_text(10 * f".INCLUDE {level + 1}.doc\n")
    (root / "include" / "6.doc").write_text(".COMMENT nothing\n")
    with pytest.raises(CorpusError, match=f"task 'unipen': .*{message}"):
        unipen.load(root)
    assert len(read) < 510


def tar_with(file: Path, **fields: Any) -> Path:
    member = tarfile.TarInfo(fields.pop("name", "data/8/x.dat"))
    for key, value in fields.items():
        setattr(member, key, value)
    with tarfile.open(file, "w") as packed:
        packed.addfile(member, io.BytesIO(bytes(member.size)))
    return file


def zip_with(file: Path, name: str, mode: int = 0o100644) -> Path:
    member = zipfile.ZipInfo(name)
    member.external_attr = mode << 16
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr(member, "/etc/passwd")
    return file


HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "tar ..": (
        lambda file: tar_with(file, name="../../evil"),
        r"'../../evil', which is outside the archive's root.* hostile",
    ),
    "tar /": (lambda file: tar_with(file, name="/tmp/evil"), "outside the archive's root"),
    "tar symbolic link": (lambda file: tar_with(file, type=tarfile.SYMTYPE, linkname="/etc"), "no regular file"),
    "tar hard link": (lambda file: tar_with(file, type=tarfile.LNKTYPE, linkname="../x"), "no regular file"),
    "tar device": (lambda file: tar_with(file, type=tarfile.CHRTYPE), "no regular file"),
    "zip ..": (lambda file: zip_with(file, "a/../../evil"), "outside the archive's root"),
    "zip backslash": (lambda file: zip_with(file, "..\\evil"), "outside the archive's root"),
    "zip link": (lambda file: zip_with(file, "data", 0o120777), "'data', which is a link"),
    "too large": (lambda file: tar_with(file, size=2000), "unpacks to more than the corpus has"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Members outside the archive's folder, links, devices and bombs are named, and nothing is left behind."""
    make, message = HOSTILE[name]
    monkeypatch.setattr(archives, "MAX_BYTES", 1000)
    (tmp_path / "inner").mkdir()
    archive = make(tmp_path / "inner" / "unipen.tar")
    with pytest.raises(CorpusError, match=f"task 'unipen': .*{message}"):
        unipen.load(archive)
    assert [file.name for file in tmp_path.rglob("*")] == ["inner", "unipen.tar"]


def test_an_archive_of_something_else_is_named(tmp_path: Path) -> None:
    """The error names the user's file and not the folder it was unpacked into."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "readme").write_text("x")
    archive = tmp_path / "other.tar"
    with tarfile.open(archive, "w") as packed:
        packed.add(tmp_path / "other", "other")
    with pytest.raises(CorpusError, match="has other; expected UNIPEN's folders") as error:
        unipen.load(archive)
    assert f"{archive} has" in str(error.value) and "lstm-odyssey-" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"neither", b"PK\x03\x04 broken", b"\xfd7zXZ\x00 broken"])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    """Nothing, a text, broken archives: one error."""
    (tmp_path / "unipen.tar.xz").write_bytes(content)
    with pytest.raises(CorpusError, match=r"task 'unipen': .*(is no archive that can be read|is damaged)"):
        unipen.load(tmp_path / "unipen.tar.xz")


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
@pytest.mark.parametrize("kept", [15, 60, 0.5])
def test_a_truncated_archive_is_one_clear_error(tmp_path: Path, kind: str, kept: float) -> None:
    """Cut off within its header, its first block or in the middle: one error that names the file."""
    file = tmp_path / f"unipen.tar.{kind}"
    with tarfile.open(file, f"w:{kind}") as packed:  # type: ignore[call-overload]  # a mode made here
        packed.add(tree(tmp_path / "corpus"), "corpus")
    content = file.read_bytes()
    file.write_bytes(content[: int(kept if kept > 1 else kept * len(content))])
    with pytest.raises(CorpusError, match=rf"task 'unipen': .*unipen\.tar\.{kind} (cannot be unpacked|is no archive)"):
        unipen.load(file)


def test_without_a_path_it_says_where_the_corpus_is() -> None:
    """It is not downloaded: the error names the address and how to hand it in."""
    told = f"Pass --data unipen=PATH or set ODYSSEY_DATA; the corpus is at {unipen.URL}"
    with pytest.raises(CorpusError, match=re.escape(told)):
        unipen.load()


# unipen_lines.npz


def arrays() -> dict[str, Any]:
    """Six lines of two strokes each, of the form of unipen_lines.npz."""
    generator = np.random.default_rng(3)
    return {
        "dx": generator.integers(-9, 9, 6 * 60).astype(np.int16),
        "dy": generator.integers(-9, 9, 6 * 60).astype(np.int16),
        "points": np.full(6, 60, np.int32),
        "n_strokes": np.full(6, 2, np.int32),
        "stroke_len": np.tile(np.array([40, 20], np.int32), 6),
        "label": np.array(["one two", "three", "four five", "four six", "one two", "seven-eight"]),
        "writer": np.array(["c/a", "c/a", "c/b", "c/c", "c/c", "c/c"]),
        "points_per_second": np.full(6, 100, np.float32),
        "split": np.array(["train", "train", "valid", "test", "test", "test"]),
    }


def saved(file: Path, **changes: Any) -> Path:
    np.savez(
        file, allow_pickle=True, **{key: value for key, value in (arrays() | changes).items() if value is not None}
    )
    return file


def test_the_file_of_lines_is_read(tmp_path: Path) -> None:
    """Strokes, labels and splits as they stand; texts of test that training lacks, of two words and more, are found."""
    corpus = unipen.load(saved(tmp_path / NPZ))
    assert texts(corpus, "test") == ["four six", "one two", "seven-eight"] and texts(corpus, "train") == [
        "one two",
        "three",
    ]
    assert all(features[:, 3].sum() == 2 and len(features) == 30 for features, _ in corpus.train)
    assert corpus.subsets == {"unseen text": (0, 2)}


OVERFLOWING = (("points", 240, [60, 60]), ("n_strokes", 8, [2, 2]))
"""Counts whose sum is right only because it wraps."""
DAMAGED: dict[str, tuple[dict[str, Any], str]] = {
    "objects": (
        {"label": np.array([Path("x")] * 6, dtype=object)},
        "label is object of shape .*; expected no objects",
    ),
    "missing": ({"dy": None}, "lacks dy; expected dx, dy, stroke_len"),
    "two axes": ({"dx": np.zeros((2, 3), np.int16)}, "dx is int16 of shape (2, 3); expected kind i and 1 dimensions"),
    "floats": ({"points": np.ones(6)}, "points is float64"),
    "sums": ({"points": np.full(6, 61, np.int32)}, "lines, strokes and points do not add up"),
    "negative": ({"points": np.array([120, 0, 60, 60, 60, 60], np.int32)}, "do not add up"),
    "sums that overflow": (
        {name: np.array([2**62] * 3 + [2**62 + last] + ones, np.int64) for name, last, ones in OVERFLOWING},
        "do not add up",
    ),
    "lengths that overflow": (
        {"stroke_len": np.array([2**62, 2**62, 2**62, 2**62 + 120] + [40, 20] * 4, np.int64)},
        "do not add up",
    ),
    "strokes": ({"stroke_len": np.array([40, 30] + [40, 20] * 5, np.int32)}, "line 0 has strokes of 70 points"),
    "split": ({"split": np.array(["tran"] * 6)}, r"splits \['tran'\]; expected train, valid and test"),
    "rate": ({"points_per_second": np.full(6, np.nan, np.float32)}, "points_per_second has values below 1"),
    "unknown character": (
        {"label": np.array(["one", "caf\xe9", "b b", "c c", "d d", "e e"])},
        r"train|\[1\]: the text 'café'",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_of_lines_is_refused(tmp_path: Path, name: str) -> None:
    """Objects, absent arrays, other kinds, sums that do not hold: the array and the fault are named."""
    changes, message = DAMAGED[name]
    expected = message if "|" in message or "[" in message or ".*" in message else re.escape(message)
    with pytest.raises(CorpusError, match=expected):
        unipen.load(saved(tmp_path / NPZ, **changes))


def test_a_header_that_claims_too_much_allocates_nothing(tmp_path: Path) -> None:
    """2^40 numbers in a file of a few bytes are refused by the bytes that are there."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<i2", "fortran_order": False, "shape": (2**40,)})
    file = saved(tmp_path / NPZ, dx=None)
    with zipfile.ZipFile(file, "a") as packed:
        packed.writestr("dx.npy", header.getvalue())
    with pytest.raises(CorpusError, match="dx claims 2199023255552 bytes and has 0"):
        unipen.load(file)


@pytest.mark.parametrize("text", ["{", "'''", "{'descr': '<i2', 'shape': (3,)", "(" * 5000, "-" * 9000 + "1"])
def test_a_header_that_cannot_be_parsed_is_refused(tmp_path: Path, text: str) -> None:
    """Open brackets and quotes, and text that nests too deeply for the parser: one error that names the array."""
    header = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()
    file = saved(tmp_path / NPZ, dx=None)
    with zipfile.ZipFile(file, "a") as packed:
        packed.writestr("dx.npy", header)
    with pytest.raises(CorpusError, match=r"unipen_lines.npz: dx is no array \(\w+Error: .*\)\. Use the original file"):
        unipen.load(file)


def test_a_bomb_of_arrays_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays of more bytes than the bound are refused before they are unpacked."""
    monkeypatch.setattr(unipen_lines, "MAX_BYTES", 1000)
    with pytest.raises(CorpusError, match=r"unpacks to \d+ bytes; expected at most 1000"):
        unipen.load(saved(tmp_path / NPZ))


def test_another_file_is_no_file_of_lines(tmp_path: Path) -> None:
    """A text, and a .npz of which half is missing."""
    (tmp_path / "a.npz").write_bytes(b"no zip")
    (tmp_path / "b.npz").write_bytes(saved(tmp_path / NPZ).read_bytes()[:500])
    for name in ("a.npz", "b.npz"):
        with pytest.raises(CorpusError, match=r"is no \.npz file"):
            unipen.load(tmp_path / name)


def test_what_was_read_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second load reads the cache, with the writers, subsets and scales of the first; another file is read itself."""
    path = saved(tmp_path / NPZ)
    first = unipen.load(path)
    read = unipen._read
    monkeypatch.setattr(unipen, "_read", lambda _: pytest.fail("read again"))
    again = unipen.load(path)
    assert again.fingerprint == first.fingerprint and again.recorded is not None and first.recorded is not None
    assert all(np.array_equal(one, other) for one, other in zip(again.recorded, first.recorded, strict=True))
    assert (again.people, again.subsets, again.warnings) == (first.people, first.subsets, first.warnings)
    assert first.people["train"] > 0 and first.subsets
    monkeypatch.setattr(unipen, "_read", read)
    os.utime(path, ns=(10**18, 10**18))
    assert unipen.load(path).fingerprint == first.fingerprint
    assert len(list((locate.cache_folder() / "features").iterdir())) == 2


# the real files


@pytest.mark.long
def test_the_real_lines_are_the_corpus_of_the_docstring() -> None:
    """8,821/1,511/1,604 lines, no warning, the declared chance level, 566 lines of unseen text."""
    from lstm_odyssey.tasks.objectives import get

    corpus = unipen.load(real_file(NPZ))
    assert {split: len(pairs) for split, pairs in corpus.splits.items()} == unipen.LINES
    assert corpus.warnings == () and len(corpus.subsets["unseen text"]) == 566
    assert round(get("ctc").chance(corpus.train, corpus.test, corpus.labels), 4) == unipen.task.chance
    known = set(texts(corpus, "train"))
    assert round(100 * np.mean([text in known for text in texts(corpus, "test")])) == 61


@pytest.mark.parametrize(
    ("contributors", "counts"),
    [(("cec",), (604, 31)), pytest.param(("cec", "hpb", "lex"), (4138, 31), marks=pytest.mark.long)],
    ids=["cec", "all"],
)
def test_the_real_format_gives_the_lines_of_the_file(contributors: tuple[str, ...], counts: tuple[int, int]) -> None:
    """Every line of unipen_lines.npz is found in UNIPEN's own format, bit for bit, and 31 more."""
    npz, excerpt = real_file(NPZ), real_file(EXCERPT)
    mixed: list[str] = []
    with archives.unpacked("unipen", excerpt) as folder:
        for place in (folder / "data" / "8").iterdir():
            if place.name not in contributors:
                shutil.rmtree(place)
        found = list(unipen._chosen(unipen_format.texts("unipen", folder, mixed), []))
    read: dict[tuple[str, str, str], list[Any]] = {}
    for split, text in found:
        read.setdefault((split, text.writer, text.label), []).append(unipen.line(text).features)
    matched = 0
    for split, text in unipen_lines.texts("unipen", npz):
        if text.writer.split("/")[0] in contributors:
            candidates, mine = read[split, text.writer, text.label], unipen.line(text).features
            candidates.pop(next(index for index, other in enumerate(candidates) if np.array_equal(mine, other)))
            matched += 1
    assert (len(found), len(found) - matched) == counts and not mixed
