"""The cache of features: written whole, verified, mapped, filled by several at once, and never in the way."""

from __future__ import annotations

import mmap
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.tasks.files import cache, locate
from lstm_odyssey.tasks.files.cache import Assembled, corpus
from lstm_odyssey.tasks.handwriting import ink
from lstm_odyssey.tasks.speech import audio, festvox, recordings
from tests.tasks.speech import trees

FILL = """
import sys
from pathlib import Path
from lstm_odyssey.tasks.files import cache, locate
from lstm_odyssey.tasks.speech import festvox
locate.cache_folder = lambda: Path(sys.argv[2])
print(festvox.load(sys.argv[1]).fingerprint)
"""


@pytest.fixture
def voice(tmp_path):
    return trees.festvox(tmp_path / "voice")


def kept(cache_folder):
    return sorted((cache_folder / "features").iterdir())


def made(seed=0, lengths=(7, 12, 5, 9)):
    """A corpus of made features before it is in memory."""
    generator = np.random.default_rng(seed)
    pieces = [
        (generator.normal(size=(n, 39)).astype(np.float32), generator.integers(0, 3, n).astype(np.uint8))
        for n in lengths
    ]
    split = {"train": lengths[:2], "valid": lengths[2:3], "test": lengths[3:]}
    return Assembled(split, lambda: iter(pieces), ("a", "b", "ü"), ("of note",), "made up")


def test_a_second_start_reads_no_sound(voice, cache_folder, monkeypatch):
    """What was computed once is the same bits later, without a sound or a transcript being opened."""
    first = festvox.load(voice)
    assert len(kept(cache_folder)) == 1
    monkeypatch.setattr(festvox, "prepare", lambda *_: pytest.fail("computed again"))
    again = festvox.load(voice)
    assert again.fingerprint == first.fingerprint
    assert (again.labels, again.warnings, again.provenance) == (first.labels, first.warnings, first.provenance)


@pytest.mark.parametrize("change", ["a file", "its time", "a name", "the sources", "the library"])
def test_what_features_are_made_of_is_their_name(voice, cache_folder, monkeypatch, change):
    """Another file, time of change, name, source of this package or version of the library: computed again, kept beside."""
    festvox.load(voice)
    file = voice / "lab" / "ru_0001.lab"
    if change == "a file":
        file.write_text(file.read_text() + "\n")
    elif change == "its time":
        os.utime(file, ns=(10**18, 10**18))
    elif change == "a name":
        for folder, suffix in (("wav", "wav"), ("lab", "lab")):
            (voice / folder / f"ru_0001.{suffix}").rename(voice / folder / f"ru_0099.{suffix}")
    elif change == "the sources":
        monkeypatch.setattr(cache, "_sources", lambda: "others")
    else:
        monkeypatch.setattr(cache, "_library", lambda: "99")
    festvox.load(voice)
    assert len(kept(cache_folder)) == 2


def test_any_module_of_the_tasks_is_a_source():
    """What reads a corpus is part of the name of its features, wherever among the tasks it lies."""
    assert {Path(module.__file__) for module in (cache, locate, festvox, audio, ink)} <= set(cache._modules())


def test_the_last_two_of_a_place_are_kept(voice, cache_folder, monkeypatch, tmp_path):
    """Five versions of a corpus leave the files of the last two, and those of another place alone."""
    festvox.load(trees.festvox(tmp_path / "other"))
    (other,) = kept(cache_folder)
    names = []
    for version in range(5):
        monkeypatch.setattr(cache, "_library", lambda version=version: str(version))
        festvox.load(voice)
        names.append(max(kept(cache_folder), key=lambda path: path.stat().st_mtime_ns))
    assert set(kept(cache_folder)) == {other, *names[-2:]}


def test_what_a_killed_process_left_goes(voice, cache_folder):
    """A file that was never finished, an hour old, is removed by whoever stores the next one; a young one has a writer."""
    (cache_folder / "features").mkdir(parents=True)
    old, young = (cache_folder / "features" / f"timit-1-2.features-{name}" for name in ("old", "young"))
    for path, age in ((old, 2 * cache.ABANDONED), (young, 0)):
        path.write_bytes(b"x")
        os.utime(path, (time.time() - age,) * 2)
    festvox.load(voice)
    assert young in kept(cache_folder) and old not in kept(cache_folder)


@pytest.mark.parametrize("damage", ["a bit", "cut", "empty", "another format", "header"])
def test_a_damaged_file_is_computed_again(voice, cache_folder, damage):
    """A flipped bit anywhere, a file cut short or of another kind costs the time of computing, and gives the same corpus."""
    expected = festvox.load(voice).fingerprint
    (path,) = kept(cache_folder)
    content = bytearray(path.read_bytes())
    spoilt = {"cut": content[:-9], "empty": b"", "another format": b"PK\x03\x04" + content[4:]}.get(damage, content)
    if damage in ("a bit", "header"):
        content[-20 if damage == "a bit" else 130] ^= 1
    path.write_bytes(spoilt)
    assert cache.read(path) is None
    assert festvox.load(voice).fingerprint == expected
    assert cache.read(path) is not None and len(kept(cache_folder)) == 1


def test_a_stored_corpus_is_read_back_bit_for_bit(tmp_path):
    """Features, classes, labels with umlauts, warnings and provenance survive; the arrays lie aligned in one mapping."""
    cache.write(tmp_path / "x.features", made())
    found, expected = cache.read(tmp_path / "x.features"), corpus(made())
    assert found.fingerprint == expected.fingerprint and found.labels == ("a", "b", "ü")
    assert (found.warnings, found.provenance) == (("of note",), "made up")
    features, classes = found.train[0]
    assert features.dtype == np.float32 and features.flags.c_contiguous and type(features) is np.ndarray
    assert features.ctypes.data % 64 == 0 and classes.dtype == np.uint8
    owner = features
    while isinstance(owner, np.ndarray):
        owner = owner.base
    assert isinstance(getattr(owner, "obj", owner), mmap.mmap)


def test_who_writes_to_a_mapped_corpus_changes_no_file(tmp_path):
    """Arrays are writable, as torch.from_numpy wants them, and what is written stays in the process; a pickle is a copy."""
    cache.write(tmp_path / "x.features", made())
    before = (tmp_path / "x.features").read_bytes()
    found = cache.read(tmp_path / "x.features")
    again = pickle.loads(pickle.dumps(found))
    found.train[0][0][:] = 7
    assert (tmp_path / "x.features").read_bytes() == before
    assert again.fingerprint == corpus(made()).fingerprint == cache.read(tmp_path / "x.features").fingerprint


def test_a_folder_that_cannot_be_written_is_no_obstacle(voice, cache_folder):
    """Where a file lies in the folder's place, a warning says so and the corpus is there all the same."""
    cache_folder.write_bytes(b"")
    with pytest.warns(UserWarning, match=r"features are not kept: .* cannot be written"):
        found = festvox.load(voice)
    cache_folder.unlink()
    assert festvox.load(voice).fingerprint == found.fingerprint


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    """A computation that ends half way, by whatever it raises, leaves no file, neither whole nor partly."""

    def broken():
        yield from list(made().pieces())[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.write(tmp_path / "x.features", made()._replace(pieces=broken))
    assert list(tmp_path.iterdir()) == []


def test_two_processes_may_fill_the_cache_at_once(voice, cache_folder):
    """Three processes start on an empty cache together: all have the same corpus, one whole file is left, nothing else."""
    command = [sys.executable, "-c", FILL, str(voice), str(cache_folder)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    told = [each.communicate(timeout=120) for each in running]
    assert [error for _, error in told] == [""] * 3
    assert len({output for output, _ in told}) == 1
    (path,) = kept(cache_folder)
    assert cache.read(path).fingerprint == told[0][0].strip() == festvox.load(voice).fingerprint


def test_the_folder_is_the_users_own(voice, cache_folder):
    """Nobody else may read or write it."""
    festvox.load(voice)
    assert (cache_folder / "features").stat().st_mode & 0o777 == 0o700


def test_in_parallel_is_the_same(voice, monkeypatch, tmp_path):
    """Features computed by worker processes are, bit for bit, those computed here; an error in one arrives as it is."""
    expected = festvox.load(voice).fingerprint
    monkeypatch.setattr(recordings, "SERIAL", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(locate, "cache_folder", lambda: tmp_path / "other")
    assert festvox.load(voice).fingerprint == expected
    (voice / "wav" / "ru_0004.wav").write_bytes(b"RIFF")
    with pytest.raises(CorpusError, match=r"task 'festvox': .*ru_0004.wav begins with b'RIFF'; expected a sound file"):
        festvox.load(voice)


def test_a_bar_is_drawn_on_a_terminal_only(monkeypatch, capsys):
    """On a terminal the results pass through a bar on standard error; elsewhere nothing is printed."""
    assert list(recordings.tracked("made", iter([1, 2]), 2)) == [1, 2]
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert list(recordings.tracked("made", iter([1, 2]), 2)) == [1, 2]
    shown = capsys.readouterr()
    assert shown.out == "" and "made: features" in shown.err


def test_without_the_packages_the_error_names_the_extra(voice, monkeypatch):
    """A corpus of sounds, without soundfile or kaldi-native-fbank."""
    for name in ("soundfile", "kaldi_native_fbank"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(
                CorpusError, match=r"it needs the package .* Run pip install \"lstm-odyssey\[corpora\]\""
            ):
                festvox.load(voice)


def test_a_corpus_of_many_sequences_is_checked_quickly(tmp_path):
    """2,000 mapped sequences pass the checks of a corpus with no copy: every array is a view of the mapping."""
    cache.write(
        tmp_path / "x.features",
        made(lengths=(3,) * 2000)._replace(lengths={"train": [3] * 1998, "valid": [3], "test": [3]}),
    )
    found = cache.read(tmp_path / "x.features")
    assert all(array.base is not None for split in found.splits.values() for pair in split for array in pair)
