"""LibriSpeech with forced-aligned phones: a made tree, its archives, and what every broken one is told."""

from __future__ import annotations

import hashlib
import io
import stat
import zipfile

import numpy as np
import pytest

import lstm_odyssey as lo
from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.tasks.files import archives, locate
from lstm_odyssey.tasks.speech import librispeech_mfa, phones
from tests.tasks.speech import trees


@pytest.fixture
def tree(tmp_path):
    """A made corpus to be spoiled."""
    return trees.librispeech(tmp_path / "made")


def counts(corpus):
    return [len(split) for split in corpus.splits.values()]


def of(tree):
    return tree / "dev-clean" / "84" / "1" / "84-1-0000.flac"


def test_a_made_tree_is_read(tree):
    """Seven speakers: split by the hash of their numbers; 39 phones without stress, and one silence; the count is said."""
    corpus = librispeech_mfa.load(tree)
    assert counts(corpus) == [10, 2, 2] and corpus.labels == phones.ARPABET and corpus.input_size == 39
    assert corpus.warnings == ("14 utterances of 7 speakers; expected 5323 of 80",) and sum(corpus.people.values()) == 7
    used = {corpus.labels[k] for split in corpus.splits.values() for _, y in split for k in y}
    assert used == {"AH", "S", "IY", "ER", "sil"}


def test_alignments_may_lie_apart_and_other_parts_are_not_looked_at(tmp_path, tree):
    """Sound and alignments in two trees are the same corpus; train-clean-360 beside them takes no time and no part."""
    trees.librispeech(tmp_path / "apart", apart=True)
    (tmp_path / "apart" / "LibriSpeech" / "train-clean-360" / "dev-clean").mkdir(parents=True)
    (tmp_path / "apart" / "LibriSpeech" / "train-clean-360" / "dev-clean" / "1-1-1.flac").write_bytes(b"")
    assert librispeech_mfa.load(tmp_path / "apart").fingerprint == librispeech_mfa.load(tree).fingerprint


def test_unknown_words_are_cut_out(tree):
    """No frame of spn is in a sequence, nor is a rest of under ten frames; what is around is there, under its own labels."""
    said = [("sil", 0.3), ("AH1", 0.3), ("spn", 0.2), ("S", 0.05), ("spn", 0.1), ("IY0", 0.4)]
    trees.write_sound(of(tree), trees.samples(said), "FLAC")
    of(tree).with_suffix(".TextGrid").write_text(trees.grid(said))
    before = librispeech_mfa.find(tree)
    targets = [y for _, y in librispeech_mfa.prepare(*before).pieces()]
    words = [[phones.ARPABET[k] for k in y] for y in targets]
    first = next(each for each in words if each.count("AH") > 20)
    assert len(targets) == 15 and 58 <= len(first) <= 60 and set(first) == {"sil", "AH"}
    assert ["IY"] * 38 in [each[:38] for each in words] and len(words[words.index(first) + 1]) <= 40


def test_an_utterance_without_alignment_is_left_out_and_said(tree):
    """The corpus of alignments lacks a few: they are counted."""
    of(tree).with_suffix(".TextGrid").unlink()
    assert librispeech_mfa.load(tree).warnings[0] == "1 utterances without an alignment are left out"


BAD = {
    "no grids": (
        lambda t: [p.unlink() for p in t.rglob("*.TextGrid")],
        r"has 14 .flac and 0 .TextGrid .*none of one name",
    ),
    "unknown phone": (
        lambda t: grid(t, trees.grid([("sil", 0.2), ("AX0", 0.2)])),
        r"has the phone 'AX'; expected one of .*AE",
    ),
    "no tier": (
        lambda t: grid(t, trees.grid([("sil", 0.4)], tier="phone")),
        r"expected a TextGrid .* with an interval tier phones",
    ),
    "truncated grid": (
        lambda t: grid(t, trees.grid([("sil", 0.2), ("S", 0.2)])[:-40]),
        "has '1 intervals'; expected 2 intervals",
    ),
    "no number": (lambda t: grid(t, trees.grid([("sil", 0.2)]).replace("0.2000", "zero")), "expected times in seconds"),
    "not a grid": (lambda t: grid(t, "<html>"), "has '<html>'; expected a TextGrid"),
    "beyond the end": (
        lambda t: grid(t, trees.grid([("sil", 9.0)])),
        r"84-1-0000.TextGrid ends at 9.000 s, 84-1-0000.flac at 0",
    ),
    "truncated sound": (
        lambda t: of(t).write_bytes(of(t).read_bytes()[:-500]),
        "84-1-0000.flac (cannot be decoded|is truncated)",
    ),
    "no sound": (lambda t: of(t).write_bytes(b"ID3"), "begins with b'ID3'; expected a sound file"),
    "huge header": (
        lambda t: of(t).write_bytes(of(t).read_bytes()[:21] + b"\x0f" + b"\xff" * 4 + of(t).read_bytes()[26:]),
        "the header claims 68719476735 samples; expected at most",
    ),
}


def grid(tree, text):
    of(tree).with_suffix(".TextGrid").write_text(text)


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_clear_error(tree, case):
    """Missing, broken or lying files: each error names the file and what to do."""
    spoil, message = BAD[case]
    spoil(tree)
    with pytest.raises(CorpusError, match=message) as error:
        librispeech_mfa.load(tree)
    assert str(error.value).startswith(f"task 'librispeech_mfa': {tree}")


def test_another_folder_is_one_clear_error(tmp_path):
    """An empty folder, another corpus's, and a file."""
    trees.festvox(tmp_path / "voice")
    with pytest.raises(CorpusError, match=r"voice has 0 .flac and 0 .TextGrid files below dev-clean and test-clean"):
        librispeech_mfa.load(tmp_path / "voice")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CorpusError, match="is not a folder; expected one with dev-clean and test-clean"):
        librispeech_mfa.load(tmp_path / "file")


def archived(folder, tree):
    """The three archives as they are downloaded, in ``folder``; returns their checksums."""
    folder.mkdir(exist_ok=True)
    files = trees.files(tree, "LibriSpeech")
    for part in librispeech_mfa.SOUNDS:
        chosen = {name: body for name, body in files.items() if part in name and name.endswith(".flac")}
        (folder / f"{part}.tar.gz").write_bytes(trees.tar(chosen, "gz"))
    with zipfile.ZipFile(folder / librispeech_mfa.ALIGNMENTS, "w") as archive:
        for name, body in files.items():
            if name.endswith(".TextGrid"):
                archive.writestr(name, body)
        archive.writestr("LibriSpeech/train-clean-100/1/1/1-1-1.TextGrid", "of no interest")
    return {
        part: hashlib.sha256((folder / f"{part}.tar.gz").read_bytes()).hexdigest() for part in librispeech_mfa.SOUNDS
    }


def told(checksums):
    """The downloads with these checksums of the sound."""
    sounds = {f"{part}.tar.gz": checksum for part, checksum in checksums.items()}
    return tuple(each._replace(checksum=sounds.get(each.file)) for each in librispeech_mfa.DOWNLOADS)


def test_the_archives_are_the_same_corpus(tree, cache_folder, monkeypatch):
    """Kept archives are unpacked without the network; that the alignments' checksum is the first download's is said."""
    monkeypatch.setattr(librispeech_mfa, "DOWNLOADS", told(archived(cache_folder, tree)))
    monkeypatch.setenv("ODYSSEY_OFFLINE", "1")
    corpus = librispeech_mfa.load()
    assert corpus.fingerprint == librispeech_mfa.load(tree).fingerprint
    got = hashlib.sha256((cache_folder / librispeech_mfa.ALIGNMENTS).read_bytes()).hexdigest()
    assert (
        corpus.warnings[-1]
        == f"no checksum of {librispeech_mfa.ALIGNMENTS} is published; the first download's is {got}"
    )
    assert (cache_folder / f"{librispeech_mfa.ALIGNMENTS}.sha256").read_text().strip() == got


def test_an_archive_that_changed_is_refused(tree, cache_folder, monkeypatch):
    """The sound against the published checksum, the alignments against the recorded one."""
    sounds = archived(cache_folder, tree)
    monkeypatch.setattr(librispeech_mfa, "DOWNLOADS", told(sounds))
    grids = cache_folder / librispeech_mfa.ALIGNMENTS
    locate.recorded(grids)
    grids.write_bytes(grids.read_bytes() + b" ")
    with pytest.raises(
        CorpusError, match=rf"{grids.name} has the sha256 \w+; expected \w+. Delete it, and start again"
    ):
        librispeech_mfa.load()
    monkeypatch.setattr(librispeech_mfa, "DOWNLOADS", told({**sounds, "dev-clean": "0" * 64}))
    (cache_folder / f"{grids.name}.sha256").unlink()
    with pytest.raises(CorpusError, match=rf"dev-clean.tar.gz has the sha256 {sounds['dev-clean']}; expected 0{{64}}"):
        librispeech_mfa.load()


def zipped(name, mode=0):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, "/etc/passwd")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (zipped("../x.TextGrid"), "'../x.TextGrid', which is outside the archive's root"),
        (zipped("/x.TextGrid"), "outside the archive's root"),
        (zipped("C:/x.TextGrid"), "outside the archive's root"),
        (zipped("a/x.TextGrid", stat.S_IFLNK | 0o777), "'a/x.TextGrid', which is a link"),
        (b"no zip", "cannot be unpacked"),
    ],
)
def test_a_hostile_zip_is_refused(tmp_path, data, message):
    """A member that leaves the root, or is a link, ends it; nothing is written."""
    (tmp_path / "x.zip").write_bytes(data)
    (tmp_path / "inner").mkdir()
    with pytest.raises(CorpusError, match=message):
        archives.unpack_zip("made", tmp_path / "x.zip", tmp_path / "inner", lambda name: True, 10**6)
    assert list((tmp_path / "inner").iterdir()) == []
    with pytest.raises(CorpusError, match="unpacks to more than the corpus has"):
        (tmp_path / "y.zip").write_bytes(zipped("a.TextGrid"))
        archives.unpack_zip("made", tmp_path / "y.zip", tmp_path / "inner", lambda name: True, 3)


def test_speakers_of_a_split_do_not_depend_on_the_others():
    """The hash of the number alone decides; of many numbers about a tenth each is of valid and of test."""
    drawn = [librispeech_mfa.split(str(number)) for number in range(2000)]
    assert 150 < drawn.count("valid") < 250 and 150 < drawn.count("test") < 250


def test_the_task_says_what_it_is():
    """40 classes in both directions, CC BY 4.0, both sources cited."""
    task = lo.task("librispeech_mfa")
    assert (task.family, task.objective, task.bidirectional, task.embedded) == ("speech", "frames", True, False)
    assert "CC BY 4.0" in task.licence and "alignments" in task.reference and np.isnan(task.chance or np.nan)
