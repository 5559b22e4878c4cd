"""Made-up corpora in the forms of the real ones: noise whose colour follows the phones. A plain module: tests import it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 16_000
Spoken = Sequence[tuple[str, float]]
"""Phones and their seconds, one after another."""


def samples(spoken: Spoken, seed: int = 0, rate: int = RATE) -> NDArray[np.int16]:
    """A tone under noise for each phone; silence is quiet."""
    generator = np.random.default_rng(seed)
    parts = []
    for phone, seconds in spoken:
        n = round(seconds * rate)
        quiet = phone.lower() in ("pau", "h#", "sil", "sp", "")
        tone = np.sin(2 * np.pi * (200 + 37 * sum(map(ord, phone))) * np.arange(n) / rate)
        parts.append((20 if quiet else 3000) * (tone + 0.3 * generator.normal(size=n)))
    return np.concatenate(parts).astype(np.int16)


def spoken(seed: int, phones: Sequence[str], n: int = 6, silence: str = "pau") -> list[tuple[str, float]]:
    """``n`` phones of 30 to 90 ms between two silences of 60 ms."""
    generator = np.random.default_rng(seed)
    drawn = [(str(generator.choice(phones)), float(generator.integers(30, 90)) / 1000) for _ in range(n)]
    return [(silence, 0.06), *drawn, (silence, 0.06)]


def write_sound(path: Path, data: NDArray[np.int16], kind: str = "WAV", rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, data, rate, format=kind, subtype="PCM_16")


def ends(said: Spoken) -> list[float]:
    return [float(end) for end in np.cumsum([seconds for _, seconds in said])]


def lab(said: Spoken) -> str:
    lines = [f"{end:.5f} 125 {phone}" for (phone, _), end in zip(said, ends(said), strict=True)]
    return "\n".join(["separator ;", "nfields 1", "#", *lines, ""])


def festvox(
    folder: Path, names: Sequence[str] = (), phones: Sequence[str] = ("a", "b", "sch"), rate: int = RATE
) -> Path:
    """A voice of the given names (by default ten); the first has a pause of 200 ms in it."""
    for index, name in enumerate(names or [f"ru_{number:04d}" for number in (1, 2, 3, 4, 5, 6, 11, 40, 18, 32)]):
        said = spoken(index, phones)
        if index == 0:
            said = [*said[:-1], ("pau", 0.2), *spoken(99, phones)[1:]]
        write_sound(folder / "wav" / f"{name}.wav", samples(said, index, rate), rate=rate)
        (folder / "lab").mkdir(exist_ok=True)
        (folder / "lab" / f"{name}.lab").write_text(lab(said))
    return folder


def tar(members: Mapping[str, bytes] | Sequence[tarfile.TarInfo], compression: str = "xz") -> bytes:
    """An archive of files, or of members as they are."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=f"w:{compression}") as archive:  # type: ignore[call-overload]  # a mode made here
        if isinstance(members, Mapping):
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        else:
            for info in members:
                archive.addfile(info)
    return file.getvalue()


def deb(data: bytes, name: str = "data.tar.xz") -> bytes:
    """A Debian package with this member of data."""
    content = b"!<arch>\n"
    for member, body in {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", name: data}.items():
        content += (
            f"{member:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(body):<10}`\n".encode() + body + b"\n" * (len(body) % 2)
        )
    return content


def files(folder: Path, below: str = ".") -> dict[str, bytes]:
    """Every file of a tree by its name in an archive."""
    return {
        f"{below}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def computed(lengths: Sequence[int] = (30, 60, 25, 40), **changes: Any) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz of computed features; the second utterance has a pause of 20 frames."""
    generator = np.random.default_rng(0)
    classes = generator.integers(0, 2, sum(lengths))
    classes[lengths[0] + 20 : lengths[0] + 40] = 2
    made: dict[str, NDArray[Any]] = {
        "feat": generator.normal(size=(sum(lengths), 13)).astype(np.float16),
        "lab": classes.astype(np.uint8),
        "length": np.array(lengths, dtype=np.int32),
        "names": np.array([f"ru_{index:04d}" for index in range(len(lengths))]),
        "phones": np.array(["a", "b", "pau"]),
        "split": np.array(["train", "train", "valid", "test"]),
    }
    return {**made, **changes}


def phn(said: Spoken, leave_out: Sequence[int] = ()) -> str:
    """TIMIT's lines, without those of the given numbers."""
    stops = [round(end * RATE) for end in ends(said)]
    lines = [f"{a} {b} {phone}" for (phone, _), a, b in zip(said, [0, *stops[:-1]], stops, strict=True)]
    return "\n".join(line for number, line in enumerate(lines) if number not in leave_out) + "\n"


SPEAKERS = {"TRAIN": ("FCJF0", "MDAC0"), "TEST": ("FAKS0", "MDAB0", "FELC0", "MRTJ0")}
"""Two of train; one of development, two of the core test, one of neither."""


def timit(top: Path, case: str = "upper", kind: str = "NIST", sentences: Sequence[str] = ("SA1", "SX3", "SI9")) -> Path:
    """A tree of six speakers and three sentences each; the second phone of SX3 is a gap in its PHN file."""
    cased = {"upper": str.upper, "lower": str.lower, "mixed": str.title}[case]
    for part, speakers in SPEAKERS.items():
        for number, speaker in enumerate(speakers):
            folder = top / cased(part) / cased(f"DR{number + 1}") / cased(speaker)
            for index, sentence in enumerate(sentences):
                said = spoken(10 * number + index + len(part), ["aa", "s", "ix", "tcl", "ax-h"], silence="h#")
                write_sound(folder / cased(f"{sentence}.WAV"), samples(said, number), kind)
                leave_out = [1] if sentence == "SX3" else []
                (folder / cased(f"{sentence}.PHN")).write_text(phn(said, leave_out))
                (folder / cased(f"{sentence}.TXT")).write_text("0 1 words\n")
    return top


def grid(said: Spoken, tier: str = "phones") -> str:
    """A TextGrid in the long text format: words, and then the phones."""
    stops = ends(said)
    text = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0.0\n'
    text += f"xmax = {stops[-1]}\ntiers? <exists>\nsize = 2\nitem []:\n"
    for number, (name, words) in enumerate([("words", [("word", stops[-1])]), (tier, said)], 1):
        text += f'\titem [{number}]:\n\t\tclass = "IntervalTier"\n\t\tname = "{name}"\n\t\txmin = 0.0\n\t\txmax = {stops[-1]}\n'
        text += f"\t\tintervals: size = {len(words)}\n"
        bounds = [0.0, *ends(words)]
        for index, (phone, _) in enumerate(words):
            text += f"\t\tintervals [{index + 1}]:\n\t\t\txmin = {bounds[index]:.4f}\n\t\t\txmax = {bounds[index + 1]:.4f}\n"
            text += f'\t\t\ttext = "{phone}"\n'
    return text


LIBRI = ["AH0", "S", "IY1", "ER2", "sp", ""]


def librispeech(top: Path, apart: bool = False, suffix: str = "flac") -> Path:
    """Two speakers a part, two utterances each; with ``apart`` the alignments lie in a tree of their own."""
    for part, speakers in {"dev-clean": ("84", "251", "777"), "test-clean": ("61", "121", "672", "908")}.items():
        for speaker in speakers:
            for index in range(2):
                name = f"{speaker}-1-{index:04d}"
                said = spoken(int(speaker) + index, LIBRI, silence="sil")
                sounds, grids = (top / "LibriSpeech", top / "alignments") if apart else (top, top)
                write_sound(sounds / part / speaker / "1" / f"{name}.{suffix}", samples(said, index), suffix.upper())
                (grids / part / speaker / "1").mkdir(parents=True, exist_ok=True)
                (grids / part / speaker / "1" / f"{name}.TextGrid").write_text(grid(said))
    return top
