"""Small corpora made up for tests, and where the real ones lie. A plain module: tests import it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_odyssey.tasks.declare import PAPER_SPACE, Corpus, Pair, Split, Task

ROOT = Path(__file__).resolve().parent.parent


def real_file(name: str) -> Path:
    """A file of ``$ODYSSEY_TEST_DATA`` (by default ../shared/data beside the repository); the test skips without it."""
    folder = Path(os.environ.get("ODYSSEY_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / name).is_file():
        pytest.skip(f"the real file {name!r} is not in {folder}; set ODYSSEY_TEST_DATA to the folder that holds it")
    return folder / name


def _splits(make: Any, seed: int, sizes: tuple[int, int, int]) -> tuple[Split, Split, Split]:
    generator = np.random.default_rng(seed)
    train, valid, test = (tuple(make(generator) for _ in range(size)) for size in sizes)
    return train, valid, test


def next_frame_corpus(
    seed: int = 0, sizes: tuple[int, int, int] = (6, 3, 4), width: int = 5, lengths: tuple[int, int] = (4, 9)
) -> Corpus:
    """A rising pattern that a net can learn: component (start + t) mod width is on, and a few others at random."""

    def make(generator: np.random.Generator) -> Pair:
        n_frames, start = int(generator.integers(*lengths)) + 1, int(generator.integers(width))
        roll = (generator.random((n_frames, width)) < 0.1).astype(np.float32)
        roll[np.arange(n_frames), (start + np.arange(n_frames)) % width] = 1
        return roll[:-1], roll[1:]

    return Corpus(*_splits(make, seed, sizes), provenance="made up: a rising pattern")


def frames_corpus(
    seed: int = 0,
    sizes: tuple[int, int, int] = (6, 3, 4),
    width: int = 4,
    classes: int = 3,
    lengths: tuple[int, int] = (4, 9),
) -> Corpus:
    """A class a frame, shown by the largest of the first ``classes`` features under noise."""

    def make(generator: np.random.Generator) -> Pair:
        n_frames = int(generator.integers(*lengths))
        target = generator.integers(classes, size=n_frames)
        features = generator.normal(0, 0.5, (n_frames, width)).astype(np.float32)
        features[np.arange(n_frames), target % width] += 1
        return features, target

    labels = tuple(f"class {index}" for index in range(classes))
    return Corpus(*_splits(make, seed, sizes), labels=labels, provenance="made up: a class a frame")


def ctc_corpus(seed: int = 0, sizes: tuple[int, int, int] = (6, 3, 4), width: int = 4, classes: int = 3) -> Corpus:
    """Two to four labels a sequence, each shown for two frames with a silent frame after it."""

    def make(generator: np.random.Generator) -> Pair:
        target = generator.integers(classes, size=int(generator.integers(2, 5)))
        features = generator.normal(0, 0.2, (3 * len(target), width)).astype(np.float32)
        for index, label in enumerate(target):
            features[3 * index : 3 * index + 2, label % width] += 1
        return features, target

    labels = tuple("abcdefghij"[:classes])
    return Corpus(*_splits(make, seed, sizes), labels=labels, provenance="made up: labels in order")


def label_corpus(seed: int = 0, sizes: tuple[int, int, int] = (6, 3, 4), width: int = 4, classes: int = 3) -> Corpus:
    """One class a sequence, shown by the sign of a feature's mean under noise."""

    def make(generator: np.random.Generator) -> Pair:
        n_frames, label = int(generator.integers(3, 9)), int(generator.integers(classes))
        features = generator.normal(0, 0.5, (n_frames, width)).astype(np.float32)
        features[:, label % width] += 1
        return features, np.array([label])

    labels = tuple(f"class {index}" for index in range(classes))
    return Corpus(*_splits(make, seed, sizes), labels=labels, provenance="made up: a class a sequence")


CORPORA = {
    "next_frame": next_frame_corpus,
    "frames": frames_corpus,
    "ctc": ctc_corpus,
    "label_last": label_corpus,
    "label_ends": label_corpus,
    "label_mean": label_corpus,
}
"""One small corpus an objective."""


def made_task(objective: str = "next_frame", **fields: Any) -> Task:
    """A task on the small corpus of an objective; ``fields`` replaces what `Task` is given."""

    def load(path: Any = None) -> Corpus:
        return CORPORA[objective]()

    given: dict[str, Any] = {"load": load, "objective": objective, "family": "made", "space": PAPER_SPACE}
    return Task(**{**given, "licence": "made up for tests", **fields})
