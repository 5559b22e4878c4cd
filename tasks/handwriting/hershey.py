"""The synthetic hand: lines of text drawn with Hershey's glyphs. No person wrote them; the package carries what they need.

    features Δx, Δy, time since the stroke's start, pen-lift of a line (see ``ink``); target: its characters
    score = 100 Σ edit distance / Σ length, character error rate of the best path, %

``hershey``: 3,200 lines, 2,400/400/400, of 640 writers, five lines each. ``hershey_mini``: 90 of them, 60/15/15, the
first 12/3/3 writers of each split. The 81 characters of IAM-OnDB, 22 to 45 a line (``hershey_mini``: 25 to 39), at least
250 frames. Writers and texts of valid and test are unseen in training. Words of ten languages, pangrams, names, numbers and
signs: `hershey_text`; what is a writer's and what is a line's: `hershey_hand`.

Lines are drawn when the corpus is loaded, from a fixed seed and the glyphs in ``corpora/hershey_glyphs.json.gz``, which
``build_hershey`` makes of the package Hershey-Fonts.

Departure from the paper: not its corpus, and not handwriting of anybody. It asks the same question; scores may not be
compared with those of real ink.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from itertools import count
from os import PathLike
from pathlib import Path

import numpy as np

from lstm_odyssey.tasks.declare import (
    PAPER_SPACE,
    Corpus,
    Distribution,
    EvenInteger,
    LogUniform,
    Task,
    Uniform,
)
from lstm_odyssey.tasks.files import cache, locate
from lstm_odyssey.tasks.files.cache import SPLITS
from lstm_odyssey.tasks.handwriting import hershey_hand, ink
from lstm_odyssey.tasks.handwriting.hershey_text import Draws, text

FILE = Path(__file__).parents[1] / "corpora" / "hershey_glyphs.json.gz"
CHECKSUM = "6265723057a4734f294c94c667fb118ec04afb6de6e50774c4cec5161cc03f01"
SEED = 20171028
LINES = 5
"""Lines of each writer."""
WRITERS = {
    "hershey": {"train": 480, "valid": 80, "test": 80},
    "hershey_mini": {"train": 12, "valid": 3, "test": 3},
}
LEAST_FRAMES = 250
SPACE = PAPER_SPACE
NARROWED: dict[str, Distribution] = {
    "hidden_size": EvenInteger(LogUniform(32, 96)),
    "learning_rate": LogUniform(3e-3, 1e-2),
    "input_noise": Uniform(0, 0.5),
}
"""Where a dozen epochs of CTC show more than empty texts, for some draws."""
SYNTHETIC = "synthetic: drawn by a program with Hershey's glyphs, no person's handwriting"
LICENCE = f"{SYNTHETIC}; the glyphs are free for any use with an acknowledgement"


def fonts() -> dict[str, hershey_hand.Font]:
    """The glyphs of the embedded file, by font and character."""
    data = json.loads(gzip.decompress(locate.read("hershey", FILE, CHECKSUM)))

    def glyph(width: int, strokes: list[list[list[int]]]) -> hershey_hand.Glyph:
        points = [point for stroke in strokes for point in stroke]
        return hershey_hand.Glyph(np.array(points, np.float64).reshape(-1, 2), tuple(map(len, strokes)), float(width))

    return {font: {character: glyph(*drawn) for character, drawn in glyphs.items()} for font, glyphs in data.items()}


def lines(writers: Mapping[str, int]) -> dict[str, list[ink.Line]]:
    """The lines of each split, of that many writers.

    A line of a text that is there already, or of fewer than `LEAST_FRAMES`, is drawn again, with another text.
    """
    drawn, seen = fonts(), set()
    found: dict[str, list[ink.Line]] = {split: [] for split in SPLITS}
    for place, split in enumerate(SPLITS):
        for number in range(writers[split] * LINES):
            writer, index = divmod(number, LINES)
            if index == 0:
                hand = hershey_hand.Hand.drawn(Draws(SEED, place, writer), drawn)
            for attempt in count():
                draws = Draws(SEED, place, writer, index, attempt)
                written = text(draws, number)
                line = hershey_hand.line(f"{split}[{number}]", written, hand, draws)
                if written not in seen and len(line.features) >= LEAST_FRAMES:
                    break
            seen.add(written)
            found[split].append(line._replace(writer=f"{split} {writer}"))
    return found


def load(path: str | PathLike[str] | None = None) -> Corpus:
    """The 3,200 lines: drawn once, which takes seconds, and kept in the cache.

    Errors: `CorpusError` if a path is given: there is nothing to read.
    """
    _refuse("hershey", path)
    return cache.kept(cache.name("hershey", {"seed": SEED}, [FILE], FILE.parent), lambda: _drawn("hershey"))


def load_mini(path: str | PathLike[str] | None = None) -> Corpus:
    """The 90 lines, drawn now; else as `load`."""
    _refuse("hershey_mini", path)
    return cache.corpus(_drawn("hershey_mini"))


def _refuse(name: str, path: str | PathLike[str] | None) -> None:
    own = "; lines of your own are a task of your own (odyssey new task)"
    locate.refuse(name, path, "its lines are drawn, not read", own)


def _drawn(name: str) -> cache.Assembled:
    writers = WRITERS[name]
    provenance = f"synthetic: {LINES * sum(writers.values())} lines drawn with the glyphs of {FILE.name}, seed {SEED}"
    return ink.assembled(f"task {name!r}", lines(writers), provenance, [SYNTHETIC])


def _task(read: Callable[[str | PathLike[str] | None], Corpus], collection: str, chance: float) -> Task:
    return Task(
        read,
        objective="ctc",
        family="handwriting",
        bidirectional=True,
        space=SPACE,
        narrowed=NARROWED,
        url="https://pypi.org/project/Hershey-Fonts/2.1.0/",
        checksum=CHECKSUM,
        size=FILE.stat().st_size,
        licence=LICENCE,
        chance=chance,
        embedded=True,
        collection=collection,
        reference=(
            'A. V. Hershey, "Calligraphy for Computers", U.S. Naval Weapons Laboratory, 1967; the glyphs with which its '
            "synthetic lines are drawn"
        ),
    )


task = _task(load, "open-corpora", 96.7828)
mini = _task(load_mini, "odyssey-2017", 96.8685)
