"""Festvox voices: any folder, festvox-ru as folder, package and computed features, and the embedded sixty sentences."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile

import numpy as np
import pytest

import lstm_odyssey as lo
from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.tasks.files import npz
from lstm_odyssey.tasks.objectives import get
from lstm_odyssey.tasks.speech import build_mini, features, festvox, festvox_ru, festvox_ru_mini
from tests.corpora import ROOT, real_file
from tests.tasks.speech import trees

NPZ = "festvox_ru_mfcc.npz"


def counts(corpus):
    return [len(split) for split in corpus.splits.values()]


def written(path, **changes):
    np.savez(path, **trees.computed(**changes))
    return path


# The embedded corpus


def test_the_embedded_corpus_is_the_one_of_its_docstring():
    """60 utterances of ten minutes in 231 sequences, 39 components, 51 phones, all of them in train; nothing to warn of."""
    corpus = festvox_ru_mini.task.load(None)
    assert counts(corpus) == [151, 45, 35] and corpus.input_size == 39 and len(corpus.labels) == 51
    assert corpus.warnings == () and "60 utterances" in corpus.provenance
    assert set(np.concatenate([target for _, target in corpus.train]).tolist()) == set(range(51))
    lengths = [len(target) for split in corpus.splits.values() for _, target in split]
    assert sum(lengths) == 58_441 and max(lengths) < 1000 and min(lengths) > 50


def test_the_embedded_corpus_has_mean_0_and_variance_1_on_train():
    """Every component is standardised by train, and by nothing else."""
    corpus = festvox_ru_mini.task.load(None)
    train, test = (np.concatenate([x for x, _ in split]).astype(np.float64) for split in (corpus.train, corpus.test))
    np.testing.assert_allclose([train.mean(0), train.std(0)], [np.zeros(39), np.ones(39)], atol=1e-5)
    assert np.abs(test.mean(0)).max() > 1e-3


def test_the_chance_level_of_the_embedded_corpus_is_the_declared_one():
    """The commonest phone of train, said of every frame of test, has the declared error to four digits."""
    corpus = festvox_ru_mini.task.load(None)
    assert festvox_ru_mini.task.chance == round(get("frames").chance(corpus.train, corpus.test, corpus.labels), 4)


def test_the_embedded_corpus_stays_what_it_is():
    """The file's checksum and the corpus's fingerprint: stored studies name them."""
    assert hashlib.sha256(festvox_ru_mini.FILE.read_bytes()).hexdigest() == festvox_ru_mini.CHECKSUM
    assert festvox_ru_mini.load().fingerprint.startswith("f8131de9f7f15bfa")
    assert 700_000 < festvox_ru_mini.FILE.stat().st_size < 1_400_000


def test_the_embedded_corpus_is_a_part_of_the_whole():
    """The rule chooses its utterances; labels equal the shared ones frame by frame, features agree with another program's."""
    shared = dict(np.load(real_file(NPZ), allow_pickle=False))
    splits = dict(zip(map(str, shared["names"]), map(str, shared["split"]), strict=True))
    utterances, phones = festvox_ru_mini.decode("mini", festvox_ru_mini.FILE.read_bytes())
    assert [each.name for each in utterances] == build_mini.chosen(splits)
    assert all(splits[each.name] == each.split == festvox_ru.split([each.name])[each.name] for each in utterances)
    assert phones == tuple(shared["phones"])
    stops = np.cumsum(shared["length"])
    place = {
        str(name): slice(stop - n, stop) for name, n, stop in zip(shared["names"], shared["length"], stops, strict=True)
    }
    theirs = np.concatenate([shared["feat"][place[each.name]] for each in utterances]).astype(np.float64)
    assert all(np.array_equal(each.classes, shared["lab"][place[each.name]]) for each in utterances)
    ours = np.concatenate([each.features for each in utterances])
    assert min(np.corrcoef(ours[:, k], theirs[:, k])[0, 1] for k in range(13)) > 0.98


def test_the_embedded_corpus_carries_its_notice():
    """Copyright, conditions, source and changes lie beside the file, and the repository's NOTICE names both."""
    notice = festvox_ru_mini.FILE.with_suffix(".NOTICE").read_text(encoding="utf-8")
    for words in (
        "Copyright (c) 2005",
        "All Rights Reserved",
        "free of charge",
        "Changed",
        festvox_ru.CHECKSUM,
        "ENDORSE",
    ):
        assert words.lower() in notice.lower()
    assert "festvox_ru_mini.NOTICE" in (ROOT / "NOTICE").read_text(encoding="utf-8")


def test_loading_the_embedded_corpus_needs_numpy_alone():
    """Neither torch nor scipy, pooch, joblib, soundfile or kaldi-native-fbank is imported for it."""
    code = (
        "import sys; from lstm_odyssey.tasks.speech import festvox_ru_mini as mini; mini.load(); "
        "names = ('torch', 'scipy', 'pooch', 'joblib', 'soundfile', 'kaldi_native_fbank'); "
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_build_script_makes_a_file_that_the_task_reads(tmp_path, capsys):
    """From a made package it writes a corpus within half a step of the features, and says that it is another one."""
    voice = trees.festvox(tmp_path / "voice")
    package, out = tmp_path / "made.deb", tmp_path / "out.npz"
    package.write_bytes(trees.deb(trees.tar(trees.files(voice, "./usr/voices/made"))))
    assert build_mini.main([str(package), str(out)]) == 0
    assert "10 utterances: DIFFERENT" in capsys.readouterr().out
    utterances, phones = festvox_ru_mini.decode("made", out.read_bytes())
    assert phones == ("a", "b", "pau", "sch") and len(utterances) == 10
    samples = trees.soundfile.read(voice / "wav" / "ru_0001.wav", dtype="int16")[0].astype(np.float32)
    exact, step = features.mfcc("made", samples, 16_000), np.load(out, allow_pickle=False)["step"]
    assert (np.abs(utterances[0].features - exact) <= 0.51 * step).all()
    assert festvox_ru_mini.load(out).warnings[0].startswith("not the embedded corpus")


def test_the_build_script_says_what_it_needs(tmp_path, capsys):
    """Without its two arguments it prints its usage, and a file that is no package is one line."""
    assert build_mini.main([]) == 2 and "build_mini FESTVOX_RU OUT.npz" in capsys.readouterr().err
    (tmp_path / "x.deb").write_bytes(b"!<arch>\n")
    assert build_mini.main([str(tmp_path / "x.deb"), str(tmp_path / "y")]) == 1
    assert "has no data.tar" in capsys.readouterr().err


# Any voice


def test_any_voice_is_read(tmp_path):
    """Ten utterances of a made voice: 8/1/1 by the hash of their names, the long pause cut, the phones that occur as labels."""
    corpus = festvox.load(trees.festvox(tmp_path, names=[f"arctic_a{n:04d}" for n in range(10)]))
    assert sum(counts(corpus)) == 11 and corpus.labels == ("a", "b", "pau", "sch") and corpus.input_size == 39
    assert list(festvox.split([f"n{k}" for k in range(20)]).values()).count("train") == 16
    assert festvox.split(["a", "b", "c"]) == festvox.split(["c", "b", "a"])
    assert corpus.provenance == f"{tmp_path.name}, a festvox voice of 10 utterances"


def test_a_voice_is_found_below_the_folder_given(tmp_path):
    """The root of an unpacked package will do; two voices below it are told apart by whoever passes one."""
    trees.festvox(tmp_path / "usr" / "share" / "festival" / "voices" / "one")
    assert festvox.load(tmp_path).labels == ("a", "b", "pau", "sch")
    trees.festvox(tmp_path / "usr" / "two")
    with pytest.raises(CorpusError, match=r"has 2 voices: usr/share/festival/voices/one, usr/two; expected one"):
        festvox.load(tmp_path)


def test_labels_follow_the_times_of_the_file(tmp_path):
    """Frames well within a phone have its label, whatever the rate of the sounds."""
    for rate in (16_000, 22_050):
        folder = trees.festvox(tmp_path / str(rate), rate=rate)
        said = [("pau", 0.1), ("a", 0.2), ("b", 0.2), ("pau", 0.1)]
        trees.write_sound(folder / "wav" / "ru_0003.wav", trees.samples(said, rate=rate), rate=rate)
        (folder / "lab" / "ru_0003.lab").write_text(trees.lab(said))
        corpus = festvox_ru.load(folder)
        (target,) = (y for split in corpus.splits.values() for _, y in split if len(y) == 58)
        words = [corpus.labels[k] for k in target]
        assert words[:8] == ["pau"] * 8 and words[12:27] == ["a"] * 15 and words[32:47] == ["b"] * 15


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda f: shutil.rmtree(f / "lab"),
            "has no folder with wav/ and lab/; expected a festvox voice. Pass --data festvox=",
        ),
        (lambda f: [each.unlink() for each in (f / "lab").iterdir()], "has 10 wav and 0 lab files, 0 of one name"),
        (lambda f: (f / "lab" / "ru_0001.lab").write_text("#\n0.1 125\n"), r"ru_0001.lab has '0.1 125'; expected end"),
        (
            lambda f: (f / "lab" / "ru_0001.lab").write_text("#\n0.2 1 a\n0.1 1 b\n"),
            "starting no earlier than the one before",
        ),
        (lambda f: (f / "lab" / "ru_0001.lab").write_text("#\nnan 1 a\n"), "ru_0001.lab has 'nan 1 a'"),
        (lambda f: (f / "lab" / "ru_0001.lab").write_text("0.2 1 a\n"), "ru_0001.lab has ''; expected a line #"),
        (
            lambda f: (f / "lab" / "ru_0001.lab").write_text("#\n9.5 1 a\n"),
            r"ru_0001.lab ends at 9.500 s, ru_0001.wav at",
        ),
        (
            lambda f: (f / "lab" / "ru_0001.lab").write_bytes(bytes(2**20 + 1)),
            "larger than 1048576 bytes; it is no transcript",
        ),
        (
            lambda f: (f / "wav" / "ru_0001.wav").write_bytes(b"<html>404"),
            "begins with b'<html>40'; expected a sound file",
        ),
        (lambda f: (f / "wav" / "ru_0001.wav").write_bytes(b""), "begins with b''; expected a sound file"),
        (
            lambda f: trees.write_sound(
                f / "wav" / "ru_0002.wav", trees.samples(trees.spoken(1, ["a", "b"]), 1, 8000), rate=8000
            ),
            "expected one rate",
        ),
        (
            lambda f: trees.write_sound(f / "wav" / "ru_0001.wav", np.zeros((9000, 2), np.int16)),
            "has 2 channels; expected one",
        ),
        (
            lambda f: trees.write_sound(f / "wav" / "ru_0001.wav", np.zeros(500, np.int16)),
            "has 500 samples; expected at least two",
        ),
    ],
)
def test_a_bad_voice_is_one_clear_error(tmp_path, spoil, message):
    """Missing folders, broken labels, labels beyond the sound, no sound, another rate, two channels: each names its file."""
    folder = trees.festvox(tmp_path / "voice")
    spoil(folder)
    with pytest.raises(CorpusError, match=message) as error:
        festvox.load(folder)
    assert str(error.value).startswith("task 'festvox': ")
    assert str(tmp_path) in str(error.value) or "one rate" in message


def test_a_voice_that_is_not_given_is_one_clear_error(tmp_path):
    """Nothing is downloaded for it: the error says what it reads; a file is no folder."""
    with pytest.raises(CorpusError, match=r"task 'festvox': no folder given; .*Pass --data festvox=PATH"):
        festvox.load()
    (tmp_path / "x.tar").write_bytes(b"")
    with pytest.raises(CorpusError, match="is not a folder; expected one with wav/ and lab/. Unpack the archive"):
        festvox.load(tmp_path / "x.tar")


def test_notes_of_macos_are_no_utterances(tmp_path):
    """``._NAME`` beside a file, as an archive of macOS has it, changes nothing."""
    folder = trees.festvox(tmp_path / "voice")
    expected = festvox.load(folder).fingerprint
    for kind in ("wav", "lab"):
        (folder / kind / f"._ru_0001.{kind}").write_bytes(b"\0\5\x16\7")
    assert festvox.load(folder).fingerprint == expected


def test_utterances_without_a_partner_are_left_out_and_said(tmp_path):
    """A wav without labels costs one utterance and a warning with its name."""
    folder = trees.festvox(tmp_path / "voice")
    (folder / "lab" / "ru_0005.lab").unlink()
    corpus = festvox.load(folder)
    assert corpus.warnings == ("1 utterances have only a wav or only a lab file and are left out: ru_0005",)


# festvox_ru


def test_the_real_features_are_the_corpus_of_the_docstring():
    """The shared .npz: 2,283 sequences of 261 frames on average, the declared chance level, the split of the module."""
    corpus = festvox_ru.load(real_file(NPZ))
    lengths = [len(target) for split in corpus.splits.values() for _, target in split]
    assert (len(lengths), round(float(np.mean(lengths))), counts(corpus)) == (2283, 261, [1838, 235, 210])
    assert festvox_ru.task.chance == round(get("frames").chance(corpus.train, corpus.test, corpus.labels), 4)
    assert corpus.warnings == ("features computed elsewhere, not by this package",) and len(corpus.labels) == 51
    stored = np.load(real_file(NPZ), allow_pickle=False)
    names, splits = list(map(str, stored["names"])), list(map(str, stored["split"]))
    assert [festvox_ru.split(names)[name] for name in names] == splits


def test_folder_and_package_are_one_corpus(tmp_path):
    """A made tree, its .deb in three compressions and $ODYSSEY_DATA give the same bits, and a warning about the count."""
    folder = trees.festvox(tmp_path / "tree" / "usr" / "made")
    expected = festvox_ru.load(tmp_path / "tree")
    assert counts(expected) == [7, 2, 2] and expected.warnings == ("10 utterances; festvox-ru has 620",)
    for compression in ("xz", "gz", "bz2"):
        package = tmp_path / f"{compression}.deb"
        data = trees.tar(trees.files(folder, "./usr/share/made"), compression)
        package.write_bytes(trees.deb(data, f"data.tar.{compression}"))
        corpus = festvox_ru.load(package)
        assert corpus.fingerprint == expected.fingerprint
        assert corpus.warnings[1].startswith(f"not Debian's festvox-ru_0.5+dfsg-6_all.deb: {compression}.deb, sha256 ")


def linked(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"../outside/wav/a.wav": b"x"}, "'../outside/wav/a.wav', which is outside the archive's root"),
        ({"/etc/wav/a.wav": b"x"}, "outside the archive's root"),
        ({"usr/../../x": b"x"}, "outside the archive's root"),
        ([linked("usr/wav/a.wav", "/etc/passwd")], "'usr/wav/a.wav', which is no regular file"),
        ([linked("usr/wav/a.wav", "usr/wav/b.wav", tarfile.LNKTYPE)], "no regular file"),
        ([linked("usr/wav/a.wav", "", tarfile.CHRTYPE)], "no regular file"),
    ],
)
def test_a_hostile_package_writes_nothing(tmp_path, monkeypatch, members, message):
    """A member that leaves the root, a link or a device ends it, and no file appears outside the folder."""
    inner = tmp_path / "inner" / "deeper"
    inner.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(inner))
    package = tmp_path / "hostile.deb"
    package.write_bytes(trees.deb(trees.tar(members)))
    with pytest.raises(CorpusError, match=message):
        festvox_ru.load(package)
    assert [path for path in tmp_path.rglob("*") if path not in (inner.parent, inner, package)] == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"!<arch>\n", "has no data.tar; expected a Debian package"),
        (trees.deb(b"no archive"), "cannot be unpacked"),
        (trees.deb(trees.tar({"a/wav/x.wav": bytes(10**5)}))[:-40], "cannot be unpacked"),
        (trees.deb(b"x", "data.tar.zst"), "is compressed with zstd"),
        (trees.deb(trees.tar({"readme": b"x"})), "has no folder with wav/ and lab/"),
        (b"PK\x03\x04", "is no .npz file"),
        (b"", "is no .npz file"),
    ],
)
def test_a_bad_package_is_one_clear_error(tmp_path, content, message):
    """Truncated, empty, of another compression, without a voice: one error that says what to do."""
    package = tmp_path / "festvox.deb"
    package.write_bytes(content)
    with pytest.raises(CorpusError, match=f"task 'festvox_ru': {package}.* {message}"):
        festvox_ru.load(package)


def test_a_package_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    """Zeros compress a thousandfold; the bound is on what they unpack to."""
    package = tmp_path / "bomb.deb"
    package.write_bytes(trees.deb(trees.tar({"a/wav/x.wav": bytes(10**6)})))
    monkeypatch.setattr(festvox_ru, "MAX_BYTES", 10**5)
    with pytest.raises(CorpusError, match="unpacks to more than the corpus has"):
        festvox_ru.load(package)


def test_without_the_corpus_and_the_network_the_error_says_what_to_do(monkeypatch):
    """Forbidden to download, the error names both ways to hand it in, and the address."""
    monkeypatch.setenv("ODYSSEY_OFFLINE", "1")
    with pytest.raises(
        CorpusError, match=r"ODYSSEY_OFFLINE forbids the download. Pass --data festvox_ru=PATH .* at https://"
    ):
        festvox_ru.load()


def test_a_download_that_changed_on_disk_is_refused(cache_folder):
    """What lies in the cache under the package's name has its checksum, or is not unpacked."""
    cache_folder.mkdir()
    (cache_folder / festvox_ru.FILENAME).write_bytes(trees.deb(trees.tar({})))
    with pytest.raises(CorpusError, match=f"expected {festvox_ru.CHECKSUM}. Delete it"):
        festvox_ru.load()


# Arrays of strangers


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feat": np.zeros((155, 12), np.float16)}, r"feat has the shape \(155, 12\)"),
        ({"feat": np.zeros((154, 13), np.float16)}, "expected 155 frames of 13"),
        ({"feat": np.full((155, 13), np.nan, np.float16)}, "NaN or infinite"),
        ({"feat": np.zeros((155, 13), np.int16)}, "feat is int16 of shape .* expected kind f and 2 dimensions"),
        ({"lab": np.full(155, 3, np.uint8)}, "lab has the classes 3 to 3; expected 0 to 2"),
        ({"length": np.array([154, 1])}, "different sizes"),
        ({"length": np.array([1, 60, 25, 69])}, "fewer than 2 frames"),
        ({"length": np.array([-30, 120, 25, 40])}, "fewer than 2 frames"),
        (
            {"length": np.array([2**62, 2**62, 2**62, 2**62 + 155])},
            "an utterance has 4611686018427388059 frames, feat 155",
        ),
        ({"phones": np.array(["a", "a", "pau"])}, "labels has 'a' twice"),
        (
            {"split": np.array(["train", "train", "dev", "test"])},
            "split has dev, test, train; expected train, valid, test",
        ),
        ({"split": np.array(["train"] * 4)}, "no utterance for valid in"),
        ({"phones": np.array(["a", "b", "c"])}, "pau among them"),
        ({"names": np.array([{"os": "system"}] * 4, dtype=object)}, "names is object of shape"),
    ],
)
def test_arrays_that_do_not_fit_are_one_clear_error(tmp_path, change, message):
    """Another width, labels beyond the phones, lengths that do not add up, objects that would be unpickled: each is said."""
    with pytest.raises(CorpusError, match=message):
        festvox_ru.load(written(tmp_path / "x.npz", **change))


def test_arrays_that_fit_are_read(tmp_path):
    """The control of the above: four utterances, the second cut in its pause, standardised."""
    corpus = festvox_ru.load(written(tmp_path / "x.npz"))
    assert counts(corpus) == [3, 1, 1] and [len(x) for x, _ in corpus.train] == [30, 30, 30]


def member(header: bytes, body: bytes = b"") -> bytes:
    """An .npz whose one array has this header."""
    header = header + b" " * (-(len(header) + 11) % 64) + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body
    file = io.BytesIO()
    with npz.zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            member(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,)}"),
            "claims 4398046511104 bytes and has 0",
        ),
        (member(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"cos\nsystem\n."), "a is object"),
        (member(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}"), "claims -4 bytes"),
        (member(b"{'descr': '<f4'}"), "a is no array"),
        (member(b"__import__('os').system('true')"), "a is no array"),
        (b"PK\x05\x06" + bytes(18), "lacks a; expected a"),
        (b"rubbish", "is no .npz file"),
    ],
)
def test_a_hostile_npz_is_refused(data, message):
    """A header that claims 2^40 numbers, an object, a negative size, code in place of a header: refused before any is made."""
    with pytest.raises(CorpusError, match=message):
        npz.arrays("here", data, {"a": "f1"}, 10**6)


def test_an_npz_that_unpacks_to_too_much_is_refused(tmp_path):
    """A small file of many zeros stops at the bound."""
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(10**6, np.float32))
    data = (tmp_path / "x.npz").read_bytes()
    assert len(data) < 10**4
    with pytest.raises(CorpusError, match="unpacks to 4000128 bytes; expected at most 1000000"):
        npz.arrays("here", data, {"a": "f1"}, 10**6)


def test_a_mini_of_other_shapes_is_refused(tmp_path):
    """low and step have one number a component."""
    arrays = trees.computed(feat=np.zeros((155, 13), np.uint8))
    np.savez(tmp_path / "m.npz", **arrays, low=np.zeros(12, np.float32), step=np.ones(13, np.float32))
    with pytest.raises(
        CorpusError, match=r"low and step have the shapes \(12,\) and \(13,\); expected one number for each of 13"
    ):
        festvox_ru_mini.load(tmp_path / "m.npz")


def test_the_tasks_declare_what_the_suite_shows():
    """All are of the family speech, ask for frames in both directions, and only the small one is embedded."""
    tasks = {name: lo.task(name) for name in ("festvox", "festvox_ru", "festvox_ru_mini")}
    assert all(
        (each.family, each.objective, each.bidirectional) == ("speech", "frames", True) for each in tasks.values()
    )
    assert [name for name, each in tasks.items() if each.embedded] == ["festvox_ru_mini"]
    assert all(each.reference and each.url and each.licence for each in tasks.values())
