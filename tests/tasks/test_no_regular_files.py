"""What stands in the place of a corpus's file and is none: a pipe without a writer would be waited for, for ever."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lstm_odyssey.tasks import bach, jsb_chorales
from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.tasks.files import archives, locate, npy
from lstm_odyssey.tasks.handwriting import iam_ondb, unipen
from lstm_odyssey.tasks.speech import audio, festvox_ru, festvox_ru_mini, librispeech_mfa, timit
from tests.corpora import ROOT
from tests.tasks.handwriting import test_iam_ondb as iam
from tests.tasks.speech import trees

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
SECONDS = 20


@pytest.fixture(autouse=True)
def _never_for_ever() -> Iterator[None]:
    """A test that waits for a pipe fails; the exception is no OSError, which a reader would take for the file's."""

    def fail(*_: Any) -> None:
        pytest.fail(f"it waited {SECONDS} s for a pipe")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def made_timit(root: Path) -> Path:
    trees.timit(root)
    return root


LINE, TEXT = "lineStrokes/a01/a01-020/a01-020x-02.xml", "ascii/a01/a01-020/a01-020x.txt"
FOLDERS: dict[str, tuple[Any, Callable[[Path], Any], str]] = {
    "strokes": (iam_ondb, iam.tree, f"**/{LINE}"),
    "text": (iam_ondb, iam.tree, f"**/{TEXT}"),
    "list": (iam_ondb, iam.tree, "**/trainset.txt"),
    "sound of TIMIT": (timit, made_timit, "**/TRAIN/**/SX*.WAV"),
    "phones of TIMIT": (timit, made_timit, "**/TRAIN/**/SX*.PHN"),
    "sound of a voice": (festvox_ru, trees.festvox, "**/ru_0001.wav"),
    "labels of a voice": (festvox_ru, trees.festvox, "**/ru_0001.lab"),
    "sound of LibriSpeech": (librispeech_mfa, trees.librispeech, "**/*.flac"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_pipe_in_a_corpuss_folder_is_one_clear_error(tmp_path: Path, name: str) -> None:
    """It is named, and nobody waits for what nobody writes."""
    task, make, pattern = FOLDERS[name]
    make(tmp_path / "corpus")
    file = min((tmp_path / "corpus").glob(pattern))
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(CorpusError, match=f"{re.escape(str(file))} .*not a regular file"):
        task.load(tmp_path / "corpus")


def test_a_pipe_beside_its_twin_is_one_clear_error(tmp_path: Path) -> None:
    """The first bytes of twins are looked at before a sound is read."""
    trees.timit(tmp_path)
    sound = next(path for path in sorted(tmp_path.rglob("*.WAV")) if path.name.startswith("SX"))
    sound.rename(sound.with_name(f"{sound.name}.wav"))
    os.mkfifo(sound)
    with pytest.raises(CorpusError, match="not a regular file"):
        timit.load(tmp_path)


@pytest.mark.parametrize("task", [bach, festvox_ru, festvox_ru_mini, jsb_chorales, unipen], ids=lambda it: it.__name__)
def test_a_pipe_given_as_the_corpus_is_one_clear_error(tmp_path: Path, task: Any) -> None:
    """As one file, whatever its name ends in."""
    os.mkfifo(tmp_path / "corpus.npz")
    os.mkfifo(tmp_path / "corpus.tar")
    for name in ("corpus.npz", "corpus.tar"):
        with pytest.raises(CorpusError, match=f"{name} .*not a (regular )?file"):
            task.load(tmp_path / name)


READERS: dict[str, Callable[[Path], Any]] = {
    "opened": lambda path: locate.opened("made", path).__enter__(),
    "bounded": lambda path: locate.bounded("made", path, 100),
    "checksum": lambda path: locate.checksum("made", path, 100),
    "sound": lambda path: audio.read("made", path),
    "kind": lambda path: audio.kind("made", path),
    "recording": lambda path: npy.recording("made", path),
    "is a .deb": lambda path: archives.is_deb("made", path),
    "archive": lambda path: archives.unpacked("made", path).__enter__(),
    "tar": lambda path: archives.unpack_tar("made", path, path.parent, bool, 100),
    "zip": lambda path: archives.unpack_zip("made", path, path.parent, bool, 100),
    "deb": lambda path: archives.unpack_deb("made", path, path.parent, bool, 100),
}


@pytest.mark.parametrize("name", READERS)
def test_no_reader_opens_what_is_no_file(tmp_path: Path, name: str) -> None:
    """A pipe, a link to one, a socket, a device, a folder, nothing: one kind of error, with the path."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    with socket.socket(socket.AF_UNIX) as made:
        before = Path.cwd()
        os.chdir(tmp_path)  # a socket's address may have a hundred characters
        try:
            made.bind("socket")
        finally:
            os.chdir(before)
        for path in (tmp_path / "pipe", tmp_path / "link", tmp_path / "socket", Path("/dev/zero"), tmp_path):
            with pytest.raises(
                CorpusError, match=f"{re.escape(str(path))} cannot be read .it is not a regular file.*Put the original"
            ):
                READERS[name](path)
    with pytest.raises(CorpusError, match=r"none cannot be read .No such file"):
        READERS[name](tmp_path / "none")


OWN = {"locate.py", "cache.py", "transfer.py"}
"""The one opener, and the two that open files of the user's cache, which this package writes."""


def test_whatever_reads_a_corpus_opens_it_in_one_place() -> None:
    """No other module of the tasks opens a file itself; scripts that build what is embedded are not asked."""
    readers = [path for path in (ROOT / "tasks").rglob("*.py") if not path.name.startswith("build_")]
    opens = re.compile(
        r"(?<![\w.])open\(|\.open\(\"|\.read_bytes\(|\.read_text\(|np\.load\((?!content)|is_\w+file\(archive"
    )
    found = {path.name for path in readers if opens.search(path.read_text(encoding="utf-8"))}
    assert found <= OWN, found - OWN
