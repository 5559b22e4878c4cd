"""Plugins made up for tests: files, and distributions that look installed. A plain module: tests import it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

LIGHT = '''
from lstm_odyssey.variants.ops import sigmoid, tanh


def light(x, y, *, W, R, b):
    """A cell of one gate.

    u_t = σ(W_u x_t + R_u y_{t-1} + b_u)
    h_t = tanh(W_h x_t + R_h y_{t-1} + b_h)
    y_t = u_t ⊙ y_{t-1} + (1 - u_t) ⊙ h_t
    """
    u = sigmoid(W.u @ x + R.u @ y + b.u)
    h = tanh(W.h @ x + R.h @ y + b.h)
    return u * y + (1 - u) * h
'''

RISING = '''
import numpy as np

import lstm_odyssey as lo
from lstm_odyssey.tasks.declare import PAPER_SPACE


def load(path=None):
    """Three splits of rolls in which one key rises."""
    def pair(seed):
        roll = np.eye(6, dtype=np.float32)[(seed + np.arange(5 + seed % 3)) % 6]
        return roll[:-1], roll[1:]

    return lo.Corpus([pair(s) for s in (0, 1, 2)], [pair(3)], [pair(4), pair(5)], provenance="made")


rising = lo.Task(
    load, objective="next_frame", family="made", space=PAPER_SPACE, licence="made up", chance=2.7498, embedded=True
)
'''

HURRIED = '''
import numpy as np

import lstm_odyssey as lo
from lstm_odyssey.tasks.declare import PAPER_SPACE


def load(path=None):
    """Five sequences, one of which has a label more than its frames allow: equal neighbours need a blank between them."""
    generator = np.random.default_rng(1)

    def pair(frames, *labels):
        return generator.normal(size=(frames, 2)).astype(np.float32), np.array(labels)

    train = [pair(6, 0, 1), pair(3, 0, 0, 1), pair(5, 1)]
    return lo.Corpus(train, [pair(6, 1, 0)], [pair(7, 0, 1)], labels=("a", "b"), provenance="made")


hurried = lo.Task(
    load, objective="ctc", family="made", space=PAPER_SPACE, licence="made up", chance=50.0, embedded=True
)
'''


def write(folder: Path, name: str, content: str) -> Path:
    """A file of Python."""
    path = folder / name
    path.write_text(dedent(content), encoding="utf-8")
    return path


def install(folder: Path, distribution: str, version: str, points: Mapping[str, Mapping[str, str]]) -> None:
    """Metadata of a distribution in a folder of ``sys.path``: ``points`` by kind, each name with its target."""
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    lines = [
        line
        for kind, targets in points.items()
        for line in (f"[lstm_odyssey.{kind}s]", *(f"{name} = {target}" for name, target in targets.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
