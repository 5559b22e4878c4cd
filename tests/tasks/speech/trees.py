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
    with tarfile.open(fileobj=file, mode=f"w:{compression}") as archive:  # type: ignore[call-overload]
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
