"""A study that takes seconds: the embedded task's own loader on a file of a few short made chorales."""

import gzip
import json
from pathlib import Path

import numpy as np

from lstm_odyssey.study.asked.settings import Settings


def chorales(folder: Path, pieces: int = 20, seed: int = 0) -> Path:
    """A file in the form of the embedded corpus: rising four-note chords of 6 to 11 frames."""
    generator = np.random.default_rng(seed)
    content = []
    for number in range(pieces):
        start, frames = int(generator.integers(48, 60)), int(generator.integers(6, 12))
        chords = [[start + (t + shift) % 12 for shift in (0, 4, 7)] for t in range(frames)]
        content.append({"name": f"made {number}", "mode": "major", "shift": 0, "frames": [sorted(c) for c in chords]})
    file = folder / f"chorales-{pieces}-{seed}.json.gz"
    file.write_bytes(gzip.compress(json.dumps(content).encode(), mtime=0))
    return file


def settings(folder: Path, **options) -> Settings:
    """Two variants, five trials in blocks of two, four epochs."""
    given = {
        "variants": ["nog", "vanilla"],
        "tasks": ["bach"],
        "trials": 5,
        "epochs": 4,
        "profile": "smoke",
        "block_size": 2,
        "data": {"bach": str(chorales(folder))},
    }
    return Settings(**{**given, **options})
