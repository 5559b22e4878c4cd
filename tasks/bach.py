"""Bach's chorales from music21's corpus: predict the next quarter's notes. Carried by the package.

    x_t in {0, 1}^88, one column a key; given x_1..x_t the net says p(x_{t+1}) = Π_k Bernoulli(x_{t+1,k}; σ(l_tk))
    score = mean over frames of -ln p(x_{t+1}), nats a frame

354 chorales in four parts, sampled every quarter note, the tonic moved to C (minor stays minor), near-duplicates
removed; 62.6 frames on average. Pieces in the order of sha256(name): the first 60 % train, the next 20 % valid, the
rest test: 212/71/71.

Source: the .mxl and .xml encodings in the corpus of music21 10.5.1 (Cuthbert and Ariza, ISMIR 2010); ``build_bach``
rebuilds the file. Licence: public-domain music, encodings distributed with music21 with their encoders' permission; see
``corpora/bach_music21_quarter.NOTICE``.

Departure from the paper: not its corpus. It asks the same question of the same composer as ``jsb_chorales``, of other
encodings and another split: scores of the two may not be compared with each other.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

from lstm_odyssey.tasks import music
from lstm_odyssey.tasks.declare import PAPER_SPACE, Corpus, CorpusError, Task
from lstm_odyssey.tasks.distributions import EvenInteger, LogUniform
from lstm_odyssey.tasks.files import locate

FILE = Path(__file__).parent / "corpora" / "bach_music21_quarter.json.gz"
CHECKSUM = "2b7637ca6a037842f6f2532b18c531e8a076234be6986bbbc7025e7a17e06f53"


def split(names: Iterable[str]) -> dict[str, list[str]]:
    """The names of the pieces in three parts, 60/20/20, in the order of the sha256 of a name."""
    ordered = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    first, second = len(ordered) * 6 // 10, len(ordered) * 8 // 10
    return {"train": ordered[:first], "valid": ordered[first:second], "test": ordered[second:]}


def decode(where: str, data: bytes) -> dict[str, Any]:
    """Piece name -> frames, from the bytes of a .json.gz: a list of {name, mode, shift, frames}.

    Errors: `CorpusError`, which starts with ``where``.
    """
    try:
        inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        text = inflater.decompress(data, locate.MAX_BYTES)
        if not inflater.eof:
            raise CorpusError(f"{where}: truncated, or larger than {locate.MAX_BYTES} bytes. Use the original file.")
        listed = [(str(piece["name"]), piece["frames"]) for piece in json.loads(text, object_pairs_hook=_once)]
    except (zlib.error, ValueError, TypeError, KeyError, RecursionError) as error:
        if isinstance(error, CorpusError):
            raise
        raise CorpusError(
            f"{where}: not a .json.gz list of {{name, mode, shift, frames}} ({type(error).__name__}: {error}). "
            "Make one with python -m lstm_odyssey.tasks.build_bach OUT."
        ) from None
    again = sorted(name for name, count in Counter(name for name, _ in listed).items() if count > 1)
    if again:
        shown = ", ".join(again[:10]) + ("" if len(again) <= 10 else f" and {len(again) - 10} others")
        raise CorpusError(
            f"{where}: of {len(listed)} pieces {len(listed) - len(dict(listed))} have the name of another: {shown}; expected "
            "a name for each, which decides its split. Rename them, or leave out what is there twice."
        )
    return dict(listed)


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys are there once: of two frames of one piece json takes the last, and says nothing."""
    if len(dict(members)) < len(members):
        raise ValueError(f"a key twice among {', '.join(key for key, _ in members)}"[:200])
    return dict(members)


def load(path: str | PathLike[str] | None = None) -> Corpus:
    """The embedded corpus, or one of the same form that the user gives, which then carries a warning.

    Errors: `CorpusError` if the given file is missing or malformed.
    """
    given = locate.locate("bach", path)
    file = given or FILE
    data = locate.read("bach", file, None if given else CHECKSUM)
    where = f"task 'bach': {file}"
    pieces = decode(where, data)
    parts = {name: [pieces[piece] for piece in members] for name, members in split(pieces).items()}
    got = hashlib.sha256(data).hexdigest()
    warnings = [] if got == CHECKSUM else [f"not the embedded corpus: {file.name}, sha256 {got}"]
    return music.corpus(where, parts, f"{file.name}, {len(pieces)} chorales of music21's corpus", warnings)


task = Task(
    load,
    objective="next_frame",
    family="music",
    space=PAPER_SPACE,
    narrowed={"hidden_size": EvenInteger(LogUniform(20, 100)), "learning_rate": LogUniform(1e-3, 1e-2)},
    url="https://pypi.org/project/music21/10.5.1/",
    checksum=CHECKSUM,
    size=FILE.stat().st_size,
    licence="public-domain music; encodings distributed with music21 by permission",
    collection="odyssey-2017",
    chance=10.9917,
    embedded=True,
    reference=(
        'M. S. Cuthbert, C. Ariza, "music21: A Toolkit for Computer-Aided Musicology and Symbolic Music Data", ISMIR 2010; '
        "the chorales of its corpus"
    ),
)
