"""TIMIT: a made tree in every form that is met, and what every broken one is told."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import lstm_odyssey as lo
from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.tasks.speech import phones, timit, transcripts
from tests.tasks.speech import trees


@pytest.fixture(scope="module")
def upper(tmp_path_factory):
    """A tree in upper case with NIST headers; nobody writes to it."""
    return trees.timit(tmp_path_factory.mktemp("timit") / "TIMIT")


@pytest.fixture
def tree(tmp_path):
    """A tree to be spoiled."""
    return trees.timit(tmp_path / "TIMIT")


def sound(tree):
    return tree / "TRAIN" / "DR1" / "FCJF0" / "SX3.WAV"


def counts(corpus):
    return [len(split) for split in corpus.splits.values()]


def test_a_made_tree_is_read(upper):
    """Two sentences a speaker, SA left out; speakers of the lists alone are tested; other counts than TIMIT's are said."""
    corpus = timit.load(upper)
    assert counts(corpus) == [4, 2, 4] and corpus.input_size == 39 and corpus.labels == phones.TIMIT
    assert corpus.warnings[0] == "train has 4 utterances of 2 speakers; TIMIT has 3696 of 462"
    assert len(corpus.warnings) == 3 and corpus.people == {"train": 2, "valid": 1, "test": 2}
    assert corpus.foldings == {"39 classes": phones.FOLDING} and timit.load(upper).foldings == corpus.foldings
    assert corpus.provenance.startswith("LDC93S1, 10 utterances")


@pytest.mark.parametrize(
    ("case", "kind", "below"), [("lower", "NIST", ""), ("mixed", "WAV", "timit"), ("upper", "WAV", "a/b/TIMIT")]
)
def test_case_header_and_depth_change_nothing(tmp_path, upper, case, kind, below):
    """Lower and mixed case, RIFF in place of NIST under the same name, a folder or two above: the same corpus."""
    trees.timit(tmp_path / below, case, kind)
    assert timit.load(tmp_path).fingerprint == timit.load(upper).fingerprint


def test_of_twins_the_original_is_taken(tree, upper):
    """A RIFF twin beside each NIST file changes nothing, even where it is another sound; alone it is read."""
    for path in sorted(tree.rglob("*.WAV")):
        trees.write_sound(path.with_name(f"{path.name}.wav"), np.zeros(9000, np.int16))
    assert timit.load(tree).fingerprint == timit.load(upper).fingerprint
    for path in sorted(tree.rglob("*.WAV")):
        trees.write_sound(path.with_name(f"{path.name}.wav"), trees.soundfile.read(path, dtype="int16")[0])
        path.unlink()
    assert timit.load(tree).fingerprint == timit.load(upper).fingerprint


def test_a_gap_is_silence_and_labels_follow_the_times(tree):
    """Samples that no line covers are h#; a frame well within a phone has that phone."""
    said = [("h#", 0.1), ("s", 0.2), ("aa", 0.2), ("h#", 0.1)]
    trees.write_sound(sound(tree), trees.samples(said), "NIST")
    sound(tree).with_suffix(".PHN").write_text("1600 4800 s\n6400 8000 aa\n")
    target = next(y for _, y in timit.load(tree).train if len(y) == 58)
    words = [phones.TIMIT[k] for k in target]
    assert (
        words[:8] == ["h#"] * 8
        and words[12:27] == ["s"] * 15
        and words[31:37] == ["h#"] * 6
        and words[42:47] == ["aa"] * 5
    )
    assert words[-8:] == ["h#"] * 8


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("0 800 h#\n400 1600 aa\n1200 1600 b\n", [(0, 800, "h#"), (800, 1600, "aa")]),
        ("0 1600 h#\n400 800 aa\n600 2400 b\n", [(0, 1600, "h#"), (1600, 2400, "b")]),
        ("0 800 h#\n800 800 q\n1600 2400 b\n", [(0, 800, "h#"), (800, 800, "q"), (1600, 2400, "b")]),
    ],
)
def test_what_overlaps_belongs_to_the_earlier_phone(tmp_path, lines, expected):
    """A start is cut to the end of what comes before; what is then empty goes; no sample counts twice."""
    (tmp_path / "x.phn").write_text(lines)
    found = transcripts.phn("timit", tmp_path / "x.phn")
    assert [(round(16_000 * start), round(16_000 * end), phone) for start, end, phone in found] == expected


def test_the_lists_are_of_different_speakers():
    """24 of the core test, 50 of development, none in both, names as the corpus has them, a third of the core women."""
    assert (len(timit.CORE), len(timit.DEVELOPMENT), timit.CORE & timit.DEVELOPMENT) == (24, 50, frozenset())
    assert all(timit.SPEAKER.fullmatch(name) for name in timit.CORE | timit.DEVELOPMENT)
    assert sum(name.startswith("F") for name in timit.CORE) == 8


BAD = {
    "a speaker twice": (
        lambda tree: shutil.copytree(sound(tree).parent, sound(tree).parent.with_name(sound(tree).parent.name.lower())),
        r" and .* both have FCJF0-S.*; expected one folder a speaker",
    ),
    "no phn": (lambda t: sound(t).with_suffix(".PHN").unlink(), r"FCJF0 has no SX3.PHN; expected a sound and a .PHN"),
    "no sound": (lambda t: sound(t).unlink(), r"FCJF0 has only SX3.PHN; expected a sound"),
    "unknown phone": (
        lambda t: sound(t).with_suffix(".PHN").write_text("0 4000 axh\n"),
        r"SX3.PHN has the phone 'axh'; expected one of .*ax-h",
    ),
    "beyond the end": (
        lambda t: sound(t).with_suffix(".PHN").write_text("0 4000 aa\n4000 32000 s\n"),
        r"SX3.PHN ends at 2.000 s, SX3.WAV at 0\.\d+ s; expected the transcript of this sound",
    ),
    "not a number": (
        lambda t: sound(t).with_suffix(".PHN").write_text("0 4000.5 aa\n"),
        r"SX3.PHN has '0 4000.5 aa'; expected lines of start, end \(samples\) and phone",
    ),
    "endless number": (
        lambda t: sound(t).with_suffix(".PHN").write_text(f"0 {'9' * 400} aa\n"),
        "SX3.PHN has '0 9999",
    ),
    "broken link": (
        lambda t: (sound(t).unlink(), sound(t).symlink_to("nowhere")),
        r"SX3.WAV cannot be read \(No such file or directory\). Restore it",
    ),
    "backwards": (lambda t: sound(t).with_suffix(".PHN").write_text("0 400 aa\n900 800 s\n"), "has '900 800 s'"),
    "empty phn": (lambda t: sound(t).with_suffix(".PHN").write_text(""), "SX3.PHN has ''; expected lines"),
    "truncated": (
        lambda t: sound(t).write_bytes(sound(t).read_bytes()[:-1000]),
        r"SX3.WAV is truncated: the header claims \d+ samples, \d+ bytes from byte 1024; the file has \d+ bytes",
    ),
    "header alone": (
        lambda t: sound(t).write_bytes(b"NIST_1A\n   1024\n"),
        "the NIST header is broken .*'sample_count'",
    ),
    "huge header": (
        lambda t: sound(t).write_bytes(
            sound(t).read_bytes().replace(b"sample_count -i ", b"sample_count -i 1099511627776 ")
        ),
        "the NIST header is broken|claims 1099511627776 samples",
    ),
    "compressed": (
        lambda t: sound(t).write_bytes(
            sound(t).read_bytes().replace(b"sample_coding -s3 pcm", b"sample_coding -s26 pcm,embedded-shorten-v2.00")
        ),
        "is compressed .*Convert it with sph2pipe",
    ),
    "another rate": (
        lambda t: trees.write_sound(sound(t), np.zeros(9000, np.int16), rate=8000),
        "SX3.WAV has 8000 samples a second; expected 16000",
    ),
    "no sound at all": (
        lambda t: sound(t).write_bytes(b"\x7fELF"),
        r"SX3.WAV begins with b'\\x7fELF'; expected a sound file",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_clear_error(tree, case):
    """Missing, unknown, beyond the end, truncated, lying, compressed: each error names the file and what to do."""
    spoil, message = BAD[case]
    spoil(tree)
    with pytest.raises(CorpusError, match=message) as error:
        timit.load(tree)
    assert str(error.value).startswith(f"task 'timit': {tree}") and str(error.value).endswith(".")


def test_a_header_of_2_to_the_40_samples_asks_for_no_memory(tree):
    """The claim is compared with the file's size before anything is read."""
    content = sound(tree).read_bytes()
    number = content.partition(b"sample_count -i ")[2].partition(b"\n")[0]
    sound(tree).write_bytes(content.replace(b"-i " + number + b"\n", b"-i 1099511627776\n"))
    with pytest.raises(CorpusError, match="claims 1099511627776 samples, 2199023255552 bytes"):
        timit.load(tree)


def test_nltks_sample_is_named_as_what_it_is(tmp_path):
    """Its folders of region and speaker are recognised, in the folder given or in one below."""
    (tmp_path / "corpora" / "timit" / "dr1-fvmh0").mkdir(parents=True)
    for given in (tmp_path, tmp_path / "corpora" / "timit"):
        with pytest.raises(
            CorpusError, match=r"is NLTK's sample of TIMIT, 160 utterances of 16 speakers; expected .* LDC93S1"
        ):
            timit.load(given)


def test_another_folder_is_one_clear_error(tmp_path, monkeypatch):
    """Nothing given, a file, an empty folder, another corpus's folder, one without the lists' speakers: each is said."""
    with pytest.raises(CorpusError, match=r"task 'timit': no folder given; .*Pass --data timit=PATH .*LDC93S1"):
        timit.load()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CorpusError, match="is not a folder; expected the tree of LDC93S1"):
        timit.load(tmp_path / "file")
    trees.festvox(tmp_path / "voice")
    for folder in ("empty", "voice"):
        (tmp_path / folder).mkdir(exist_ok=True)
        with pytest.raises(
            CorpusError, match=f"{folder} has no folder with TRAIN and TEST; expected the tree of LDC93S1"
        ):
            timit.load(tmp_path / folder)
    monkeypatch.setitem(trees.SPEAKERS, "TEST", ("MRTJ0",))
    with pytest.raises(
        CorpusError, match="no utterance for valid in LDC93S1, .*; expected one or more. Use the whole corpus"
    ):
        timit.load(trees.timit(tmp_path / "few"))


def test_the_task_is_the_papers():
    """61 phones in both directions, frame error, not embedded, not downloaded."""
    task = lo.task("timit")
    assert (task.family, task.objective, task.bidirectional, task.embedded) == ("speech", "frames", True, False)
