"""Corpora are strangers' files: whatever they hold, the answer is the corpus or one clear error."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import re
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lstm_odyssey.tasks import bach, jsb_chorales
from lstm_odyssey.tasks.declare import Corpus, CorpusError
from lstm_odyssey.tasks.files import locate, npy, npz
from tests.corpora import real_file

JSB = "JSB Chorales.pickle"


class Bomb:
    """Pickles as a call of os.system that leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.mark}'",)


def test_a_pickle_that_runs_a_command_is_refused_by_its_checksum(tmp_path: Path) -> None:
    """The first wall: another sha256, said before anything is unpickled."""
    mark, file = tmp_path / "mark", tmp_path / JSB
    file.write_bytes(pickle.dumps({"train": Bomb(mark), "valid": [], "test": []}))
    with pytest.raises(CorpusError, match=rf"sha256 [0-9a-f]{{64}}; expected {jsb_chorales.CHECKSUM}"):
        jsb_chorales.load(file)
    assert not mark.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_runs_a_command_is_refused_by_the_unpickler(tmp_path: Path, protocol: int) -> None:
    """The second wall, the checksum out of the way: the name is refused and nothing runs; pickle itself would run it."""
    data = pickle.dumps(Bomb(tmp_path / "mark"), protocol)
    with pytest.raises(CorpusError, match=r"the pickle names (posix|nt)\.system; expected numbers only"):
        jsb_chorales.decode(data)
    assert not (tmp_path / "mark").exists()
    pickle.loads(data)
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x0cdtype.newbyteorder\x93.",
        b"\x80\x04\x8c\x08lstm_odyssey.tasks\x8c\x02os\x93.",
    ],
)
def test_only_two_names_are_admitted(data: bytes) -> None:
    """Builtins, other names of numpy, attributes of an admitted name: all are refused."""
    with pytest.raises(CorpusError):
        jsb_chorales.decode(data)


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_numbers_of_old_and_new_numpy_are_admitted(module: str) -> None:
    """Pieces whose notes are numpy's scalars are read under either name of the module."""
    data = pickle.dumps({split: [[(np.int64(60),)]] for split in ("train", "valid", "test")}, 3)
    data = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray").replace(
        b"numpy.core.multiarray", module.encode()
    )
    assert jsb_chorales.decode(data)["test"] == [[(60,)]]


def test_the_real_file_cut_short_is_refused(tmp_path: Path) -> None:
    """A truncated download is named with both checksums; without the checksum the unpickler's error is as clear."""
    data = real_file(JSB).read_bytes()
    (tmp_path / JSB).write_bytes(data[: len(data) // 2])
    with pytest.raises(
        CorpusError, match=r"has 1025904 bytes and the sha256 .*; expected 69dc4c3e.*--data jsb_chorales="
    ):
        jsb_chorales.load(tmp_path / JSB)
    with pytest.raises(CorpusError, match="is no pickle of the corpus"):
        jsb_chorales.decode(data[: len(data) // 2])


def test_one_flipped_bit_is_refused(tmp_path: Path) -> None:
    """A file of the right size that differs in one bit has another checksum."""
    data = bytearray(real_file(JSB).read_bytes())
    data[1000] ^= 1
    (tmp_path / JSB).write_bytes(data)
    with pytest.raises(CorpusError, match="expected 69dc4c3e"):
        jsb_chorales.load(tmp_path / JSB)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"<html>404</html>", bach.FILE.read_bytes()])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """Nothing, an archive, an error page, another corpus: one error that says what to get, and from where."""
    (tmp_path / "jsb_chorales.pickle").write_bytes(content)
    with pytest.raises(CorpusError, match=r"task 'jsb_chorales': .*Get the original file from http"):
        jsb_chorales.load(tmp_path / "jsb_chorales.pickle")
    with pytest.raises(CorpusError, match="task 'jsb_chorales'"):
        jsb_chorales.decode(content)


@pytest.mark.parametrize(
    "splits",
    [
        [],
        {"train": [], "valid": []},
        {"train": [], "valid": [], "test": []},
        {"train": [[(60,), (61,)]], "valid": [[(60,)]], "test": [[(60,), (61,)]]},
        {"train": [[(60,), (200,)]], "valid": [[(60,), (61,)]], "test": [[(60,), (61,)]]},
        {"train": [[(60,), ("x",)]], "valid": [[(60,), (61,)]], "test": [[(60,), (61,)]]},
        {"train": [[(60,), None]], "valid": [[(60,), (61,)]], "test": [[(60,), (61,)]]},
        {"train": 7, "valid": 7, "test": 7},
    ],
)
def test_a_pickle_of_another_content_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, splits: Any) -> None:
    """With the checksum out of the way, missing splits, empty ones, odd notes and no lists are each one error."""
    file = tmp_path / JSB
    file.write_bytes(pickle.dumps(splits))
    read = locate.read
    monkeypatch.setattr(locate, "read", lambda task, path, *_: read(task, path))
    with pytest.raises(CorpusError):
        jsb_chorales.load(file)


def test_a_file_without_end_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More bytes than a corpus may have are an error, after reading no more than that."""
    monkeypatch.setattr(locate, "MAX_BYTES", 1000)
    (tmp_path / "large").write_bytes(bytes(1001))
    with pytest.raises(CorpusError, match="larger than 1000 bytes"):
        locate.read("toy", tmp_path / "large")


def compressed(content: Any) -> bytes:
    return gzip.compress(json.dumps(content).encode(), mtime=0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no gzip", "not a .json.gz list"),
        (bach.FILE.read_bytes()[:5000], "truncated"),
        (gzip.compress(b"[" * 100_000, mtime=0), "not a .json.gz list"),
        (gzip.compress(b"\xff\xfe", mtime=0), "not a .json.gz list"),
        (compressed({"name": 1}), "not a .json.gz list"),
        (compressed([{"name": "a"}]), "not a .json.gz list"),
        (compressed([]), "is empty"),
        (compressed([{"name": str(n), "frames": 3} for n in range(9)]), "not three splits of lists of frames"),
        (compressed([{"name": str(n), "frames": [[60], [300]]} for n in range(9)]), "the note 300"),
        (compressed([{"name": str(n), "frames": [[60], [60.5]]} for n in range(9)]), "the note 60.5"),
        (compressed([{"name": str(n), "frames": [[60]]} for n in range(9)]), "at least 2"),
        (compressed([{"name": str(n), "frames": [[]] * 300_000} for n in range(5)]), "frames in all"),
    ],
)
def test_a_hostile_bach_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    """No gzip, a truncated one, deep nesting, other content, notes beyond the keyboard, endless pieces."""
    (tmp_path / "bach.json.gz").write_bytes(data)
    with pytest.raises(CorpusError, match=message):
        bach.load(tmp_path / "bach.json.gz")


def test_pieces_of_one_name_are_refused_with_their_names(tmp_path: Path) -> None:
    """Of 28 pieces 8 have the name of another: none of them is dropped without a word."""
    pieces = [{"name": f"chorale {n % 20}", "frames": [[60], [62], [64]]} for n in range(28)]
    (tmp_path / "bach.json.gz").write_bytes(compressed(pieces))
    told = r"of 28 pieces 8 have the name of another: chorale 0, chorale 1, .*chorale 7; expected a name for each"
    with pytest.raises(CorpusError, match=told):
        bach.load(tmp_path / "bach.json.gz")
    (tmp_path / "bach.json.gz").write_bytes(compressed(pieces[:20]))
    assert sum(map(len, bach.load(tmp_path / "bach.json.gz").splits.values())) == 20


def test_a_key_of_a_piece_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """Of two lists of frames of one piece json takes the last and says nothing."""
    (tmp_path / "bach.json.gz").write_bytes(gzip.compress(b'[{"name": "a", "frames": [[60]], "frames": [[61]]}]'))
    with pytest.raises(CorpusError, match="a key twice among name, frames, frames"):
        bach.load(tmp_path / "bach.json.gz")


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    """A small file that unpacks to more than the bound stops at the bound."""
    data = gzip.compress(bytes(locate.MAX_BYTES + 10), compresslevel=1)
    assert len(data) < 10**6
    with pytest.raises(CorpusError, match="larger than"):
        bach.decode("bach", data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x03}r\x00\x00\x00\x40.", "numbers an object 1073741824; expected at most 9, its bytes"),
        (b"}p9999999\n.", "numbers an object 9999999; expected at most 11"),
        (b"cnumpy\ndtype\n(VV8000000000\ntR.", "numbers of type 'V8000000000'; expected whole ones"),
        (b"cnumpy\ndtype\n(VO\ntR.", "numbers of type 'O'; expected whole ones"),
    ],
)
def test_a_pickle_of_a_few_bytes_takes_no_memory(data: bytes, message: str) -> None:
    """The number of an object, which is the length of a list, and the size of a number are bounded before they are made."""
    with pytest.raises(CorpusError, match=re.escape(message)):
        jsb_chorales.decode(data)


def test_only_the_corpus_itself_is_not_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the bytes with the known checksum nothing is bounded before they are unpickled; of any others everything is."""
    data, looked = real_file(JSB).read_bytes(), []
    monkeypatch.setattr(jsb_chorales, "_bounded", looked.append)
    for each in (data, data + b"."):
        assert len(jsb_chorales.decode(each)["train"]) == 229
    assert looked == [data + b"."]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("(1000000000000, 3)", "it claims 24000000000000 bytes and has 24"),
        ("(99999999999999999999, 3)", "it claims 2399999999999999999976 bytes and has 24"),
        ("(-1, 3)", "it claims -24 bytes and has 24"),
        ("(" * 300, "it is no array (TokenError"),
        ("3", "it is no array (ValueError"),
    ],
)
def test_a_recording_whose_header_lies_takes_no_memory(tmp_path: Path, shape: str, message: str) -> None:
    """A .npy of a stranger claims what it does not hold, or says nothing that can be read: the file, and why."""
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    path = tmp_path / "x.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(24))
    with pytest.raises(CorpusError, match=re.escape(f"{path} is no .npy file of numbers that can be read: {message}")):
        npy.recording("made", path)


def test_what_is_read_is_in_memory_once(tmp_path: Path) -> None:
    """Of a recording, and of an array of an archive, no more is taken than the array has: not its file's bytes beside it."""
    features = np.ones((16000, 128), np.float32)
    np.save(tmp_path / "x.npy", features)
    np.savez_compressed(tmp_path / "x.npz", a=features)
    packed = (tmp_path / "x.npz").read_bytes()
    for read in (
        lambda: npy.recording("made", tmp_path / "x.npy"),
        lambda: npz.arrays("here", packed, {"a": "f2"}, 2 * features.nbytes)["a"],
    ):
        read()  # what is imported and kept on the way
        tracemalloc.start()
        found = read()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (found == features).all() and most < 1.6 * features.nbytes


def test_an_entry_that_unpacks_to_less_than_its_archive_says_is_refused(tmp_path: Path) -> None:
    """Header and archive agree on a size, and the entry ends before."""
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    data = (tmp_path / "x.npz").read_bytes().replace(b"(3,)", b"(9,)")
    size = (128 + 3 * 8).to_bytes(4, "little")
    assert data.count(size) >= 2
    data = data.replace(size, (128 + 9 * 8).to_bytes(4, "little"))
    with pytest.raises(CorpusError, match="here: a is no array|here is no .npz file"):
        npz.arrays("here", data, {"a": "f1"}, 10**6)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.binary(max_size=200), st.integers(0, 2000))
def test_rubbish_never_escapes_as_another_error(rubbish: bytes, where: int) -> None:
    """Any bytes inside a good file end in the corpus or in the one kind of error; alone they are always an error."""
    good = pickle.dumps({split: [[(np.int64(60),)]] for split in ("train", "valid", "test")}, 3)
    for decode, data in (
        (jsb_chorales.decode, rubbish),
        (lambda data: bach.decode("bach", data), rubbish),
        (lambda data: bach.decode("bach", data), gzip.compress(rubbish, mtime=0)),
    ):
        with pytest.raises(CorpusError, match="."):
            decode(data)
    try:
        jsb_chorales.decode(good[: where % len(good)] + rubbish + good[where % len(good) :])
    except CorpusError as error:
        assert str(error)


def test_an_array_of_objects_is_no_corpus() -> None:
    """Features of dtype object, which would be pickled, are refused."""
    features = np.array([[None]], dtype=object)
    with pytest.raises(CorpusError, match="features is object"):
        Corpus([(features, features)], [(features, features)], [(features, features)])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": ("a", "a")}, "labels has 'a' twice; expected names of different classes"),
        ({"labels": (1, 2)}, "labels has 1; expected texts"),
        ({"warnings": (b"x",)}, "warnings has b'x'; expected texts"),
        ({"recorded": (1, 2)}, r"recorded is \(1, 2\); expected two arrays of 3 finite numbers"),
        ({"recorded": 5}, "recorded is 5; expected two arrays of 3"),
        ({"recorded": (np.zeros(3), np.full(3, np.nan))}, "recorded is .*; expected two arrays of 3 finite numbers"),
        ({"subsets": {"f": 5}}, "subset 'f' is 5; expected indices of test"),
        ({"subsets": {"f": (False,)}}, "subset 'f' has False; expected indices of test"),
        ({"foldings": {"f": {"a": 1}}}, "folding 'f' has the class 1; expected a name, or None"),
        ({"foldings": {"f": ("a", "b")}}, r"folding 'f' is \('a', 'b'\); expected a mapping"),
    ],
)
def test_a_malformed_field_of_a_corpus_is_one_clear_error(fields: dict[str, Any], message: str) -> None:
    """What is no name, no index, no array of the features' width: the field, what it has, what was expected."""
    split = [(np.zeros((4, 3), np.float32), np.array([0, 1, 0, 1]))]
    assert Corpus(split, split, split, ("a", "b")).labels == ("a", "b")
    with pytest.raises(CorpusError, match=message):
        Corpus(split, split, split, **{"labels": ("a", "b"), **fields})
