"""``odyssey data``: corpora listed, fetched, counted and drawn."""

import dataclasses
import hashlib
import re

import numpy
import pytest
from matplotlib.image import imread

from lstm_odyssey.commands import data as command
from lstm_odyssey.plugins import registry
from lstm_odyssey.reports.plots.sequence import sequence
from lstm_odyssey.tasks.files import locate, transfer
from tests.corpora import CORPORA, made_task
from tests.small import chorales


def test_every_corpus_is_listed_with_where_it_is(odyssey, tmp_path, monkeypatch):
    """Licence, size, source; at hand is the package, $ODYSSEY_DATA, the cache, or no."""
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ODYSSEY_DATA", raising=False)
    code, found, _ = odyssey("data", "list")
    assert code == 0 and "bach" in found and "in the package" in found
    sizes = {line.split()[0]: line for line in found.splitlines() if line.strip()}
    for name, size in (
        ("bach", " 41 kB "), ("hershey_mini", " 5 kB "), ("festvox_ru_mini", " 725 kB "), ("jsb_chorales", " 2.1 MB "),
        ("festvox_ru", " 178.7 MB "), ("librispeech_mfa", " 683.0 MB "), ("parity", " computed "), ("timit", " – "),
    ):  # fmt: skip
        assert size in sizes[name], name
    assert max(len(line) for line in found.split("\n\n")[0].splitlines()) <= 80, (
        "a table of numbers, addresses below it"
    )
    assert all(f"{name}: " in found for name in registry.task_names())
    task = registry.task("jsb_chorales")
    assert command.place(task) == ""
    locate.cache_folder().mkdir(parents=True)
    (locate.cache_folder() / task.file).write_bytes(b"")
    assert command.place(task) == str(locate.cache_folder() / task.file)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "jsb_chorales.pickle").write_bytes(b"")
    monkeypatch.setenv("ODYSSEY_DATA", str(tmp_path / "data"))
    assert command.place(task) == str(tmp_path / "data" / "jsb_chorales.pickle")
    (tmp_path / "data" / "timit.tar").write_bytes(bytes(1234))
    assert (command.size(task), command.size(registry.task("timit"))) == ("0 B", "1 kB")


def test_check_counts_and_says_what_deviates(odyssey, tmp_path):
    """Sequences and frames of each split are those of the file; another file than the embedded one is a deviation."""
    file = chorales(tmp_path)
    code, found, _ = odyssey("data", "check", "bach", "--data", f"bach={file}")
    corpus = registry.load_corpus("bach", str(file))
    for split in corpus.splits.values():
        assert f"{len(split)}" in found and f"{sum(len(x) for x, _ in split)}" in found
    assert corpus.fingerprint in found
    assert ("note: " in found) is bool(corpus.warnings) and code == 0


@pytest.mark.parametrize("command", ["check", "show"])
def test_a_path_for_another_task_is_one_error(odyssey, command):
    """A misspelt name in --data is told, not passed over."""
    code, _, error = odyssey("data", command, "bach", "--data", "bech=corpus.gz")
    assert code == 2 and "got a path for bech; expected one of the tasks: bach." in error and error.count("\n") == 1


def test_fetch_leaves_what_is_at_hand(odyssey):
    """The embedded corpus is not fetched; a task that there is none of is one error."""
    assert odyssey("data", "fetch", "bach") == (0, "bach: in the package\n", "")
    code, _, error = odyssey("data", "fetch", "bech")
    assert code == 2 and "bech" in error and error.count("\n") == 1


PLUGIN = """
import lstm_odyssey as lo
from lstm_odyssey.tasks import PAPER_SPACE, Download


def load(path=None):
    raise AssertionError("parsed")


def made(**given):
    return lo.Task(load, objective="frames", family="made", space=PAPER_SPACE, licence="made up", url="http://x/a", **given)


one = made(file="a.bin", size=5, checksum="{checksum}")
two = made(downloads=(Download("b.bin", "http://x/b", "{checksum}"), Download("c.bin", "http://x/c")))
"""


def test_fetch_downloads_and_checks_without_parsing(odyssey, tmp_path, monkeypatch):
    """Each file of a task comes once, its sha256 is held or recorded; one that is damaged comes again; no loader is called."""
    content, asked = b"bytes", []
    checksum = hashlib.sha256(content).hexdigest()
    (tmp_path / "made.py").write_text(PLUGIN.replace("{checksum}", checksum))
    monkeypatch.delenv("ODYSSEY_DATA", raising=False)
    monkeypatch.setattr(locate, "cache_folder", lambda: tmp_path / "cache")

    def fetch(url, path, checksum, max_bytes):
        asked.append((url, max_bytes))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return hashlib.sha256(content).hexdigest()

    monkeypatch.setenv("ODYSSEY_OFFLINE", "0")
    monkeypatch.setattr(transfer, "fetch", fetch)
    given = ("data", "fetch", "one,two", "--plugin", tmp_path / "made.py")
    code, found, error = odyssey(*given)
    lines = [
        f"one: {tmp_path / 'cache' / 'a.bin'}, 5 B, its sha256 holds",
        f"two: {tmp_path / 'cache' / 'b.bin'}, 5 B, its sha256 holds",
        f"two: {tmp_path / 'cache' / 'c.bin'}, 5 B, sha256 {checksum}, as it was first downloaded",
    ]
    assert (code, error, found.splitlines()) == (0, "", lines)
    assert asked == [("http://x/a", 5), ("http://x/b", locate.MAX_BYTES), ("http://x/c", locate.MAX_BYTES)]
    assert odyssey(*given)[1].splitlines() == lines and len(asked) == 3
    (tmp_path / "cache" / "b.bin").write_bytes(b"other")
    assert odyssey(*given)[1].splitlines() == lines and asked[3:] == [("http://x/b", locate.MAX_BYTES)]


def test_check_counts_people_and_parts_of_the_test(odyssey):
    """Speakers or writers of each split where a corpus has them, and a row for each subset of test."""
    corpus = dataclasses.replace(
        CORPORA["frames"](), subsets={"two": (0, 3)}, people={"train": 4, "valid": 2, "test": 1}
    )
    rows = {row[0]: row[1:] for row in command._counts(corpus)}
    frames = sum(len(corpus.test[k][0]) for k in (0, 3))
    assert [rows[split][-1] for split in corpus.splits] == ["4", "2", "1"]
    assert rows["test, two"][:2] == ("2", str(frames)) and rows["test, two"][-2:] == (str(frames), "–")
    code, found, _ = odyssey("data", "check", "festvox_ru_mini")
    assert code == 0 and "speakers" in found and re.search(r"^train +.* 1$", found, re.MULTILINE)


def test_show_says_which_part_of_the_test_a_sequence_is_of(odyssey, tmp_path):
    """A sequence of a subset has its name."""
    code, found, _ = odyssey("data", "show", "parity", "--split", "test", "--index", "70", "-o", tmp_path / "x.png")
    assert (code, found) == (0, f"test[70] is of: 256 frames\n{tmp_path / 'x.png'}\n")


def test_show_draws_a_png(odyssey, tmp_path):
    """A picture with ink on it; a split or a sequence that is not there is named, with what is."""
    path = tmp_path / "one.png"
    assert odyssey("data", "show", "bach", "--index", "2", "-o", str(path)) == (0, f"{path}\n", "")
    image = imread(path)
    assert min(image.shape[:2]) > 100 and image[..., :3].std() > 0.05
    for option, value, message in (
        ("--split", "trian", "--split: got 'trian'; expected one of train"),
        ("--index", "9000", "--index: got 9000; expected 0 to"),
        (
            "-o",
            str(tmp_path / "nowhere" / "x.png"),
            "--output: got .*nowhere.x.png; expected a place that can be written",
        ),
        ("-o", str(tmp_path / "x.xyz"), "--output: got .*x.xyz; expected a name that ends in .png, .svg, .pdf"),
    ):
        code, _, error = odyssey("data", "show", "bach", option, value)
        assert code == 2 and re.search(message, error) and error.count("\n") == 1


def lines(figure):
    return [line for axes in figure.axes for line in axes.get_lines()]


def test_ink_is_drawn_stroke_by_stroke():
    """Points are sums of the steps; a stroke ends where the pen is lifted; the text stands above."""
    steps = numpy.array([[0, 0, 0, 0], [1, 2, 0, 1], [3, 0, 0, 0], [1, -1, 0, 0], [0, 4, 0, 1]], numpy.float32)
    figure = sequence(steps, numpy.array([1, 0]), ("a", "b"), family="handwriting", objective="ctc", title="x")
    strokes = [line.get_xydata().tolist() for line in lines(figure) if len(line.get_xydata())]
    assert strokes == [[[0, 0], [1, 2]], [[4, 2], [5, 1], [5, 5]]]
    assert [text.get_text() for text in figure.texts] == ["x", "ba"]
    assert figure.axes[0].yaxis_inverted()


def test_classes_stand_beneath_their_frames():
    """Each run of a class is named once; a piano roll has keys as its axis."""
    features, target = (
        numpy.random.default_rng(1).normal(size=(6, 3)).astype(numpy.float32),
        numpy.array([2, 2, 0, 0, 0, 2]),
    )
    figure = sequence(features, target, ("aa", "b", "sil"), objective="frames")
    assert [text.get_text() for text in figure.axes[1].texts] == ["sil", "aa", "sil"]
    (piece, following) = registry.load_corpus("bach", None).train[0]
    roll = sequence(piece, following, family="music", objective="next_frame")
    assert roll.axes[0].get_ylabel() == "MIDI note"
    low, high = roll.axes[0].get_ylim()
    assert 21 <= low < high <= 110


@pytest.mark.parametrize("objective", list(CORPORA))
def test_any_corpus_can_be_drawn(objective):
    """A plugin's corpus of whatever family and width has a picture."""
    corpus = made_task(objective).load(None) if objective == "next_frame" else CORPORA[objective]()
    features, target = corpus.train[0]
    figure = sequence(features, target, corpus.labels, family="made", objective=objective)
    assert figure.axes
    if objective.startswith("label"):
        assert corpus.labels[target[0]] in [text.get_text() for text in figure.texts]
