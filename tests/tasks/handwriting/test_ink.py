"""From strokes to a corpus: features, characters, normalisation, and lines that CTC cannot be asked for."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.tasks.files import cache
from lstm_odyssey.tasks.handwriting import ink
from lstm_odyssey.tasks.objectives import get


def made(text: str, *, seed: int = 0, frames: int | None = None) -> ink.Line:
    """A line of whole numbers at random, with as many frames as its text needs by default."""
    generator = np.random.default_rng([seed, len(text)])
    count = ink.needed(text) if frames is None else frames
    found = generator.integers(-500, 900, (count, 4))
    found[:, 3] = generator.random(count) < 0.2
    return ink.Line(f"line {text}", found.astype(np.int32), text)


def splits(*lines: ink.Line) -> dict[str, Any]:
    return {"train": lines, "valid": lines[:1], "test": lines[:1]}


def test_there_are_the_81_characters_of_iam_ondb() -> None:
    """Letters, digits, the space and 18 signs, each once."""
    assert len(ink.CHARACTERS) == len(set(ink.CHARACTERS)) == 81
    assert set(ink.CHARACTERS) >= set("azAZ09 !\"#&'()*+,-./[]:;?")


def test_the_features_of_two_strokes() -> None:
    """Δx and Δy of kept points, across the lifted pen too; time from the stroke's own first point; 1 at its last."""
    first = np.array([[0, 0, 100], [3, 1, 110], [6, 3, 120], [7, 7, 130]])
    second = np.array([[20, -5, 300], [21, -4, 310], [25, -1, 330]])
    kept = ink.every_second([first, second])
    found = ink.features("line", np.concatenate(kept), [2, 2], [100, 300])
    assert found.dtype == np.int32
    assert found.tolist() == [[0, 0, 10, 0], [4, 6, 30, 1], [13, -12, 0, 0], [5, 4, 30, 1]]


@given(
    st.lists(st.lists(st.tuples(st.integers(-999, 999), st.integers(-999, 999)), min_size=1, max_size=7), min_size=1)
)
def test_features_equal_a_loop_over_the_points(drawn: list[list[tuple[int, int]]]) -> None:
    """The same numbers point by point; no stroke loses its last point, and none its lift."""
    strokes = [np.array([(x, y, 7 * k + 3) for k, (x, y) in enumerate(stroke)]) for stroke in drawn]
    kept = ink.every_second(strokes)
    found = ink.features("line", np.concatenate(kept), [len(stroke) for stroke in kept], [3] * len(kept))
    expected, before = [], None
    for stroke in drawn:
        for k, (x, y) in enumerate(stroke):
            if (len(stroke) - 1 - k) % 2 == 0:
                dx, dy = (0, 0) if before is None else (x - before[0], y - before[1])
                expected.append([dx, dy, 7 * k, int(k == len(stroke) - 1)])
                before = (x, y)
    assert found.tolist() == expected
    assert found[:, 3].sum() == len(drawn)


def test_points_far_apart_are_refused() -> None:
    """A jump of more than 2^20 units, or a stroke of more than 17 minutes, is no pen's."""
    for points in ([[0, 0, 0], [2**21, 0, 1]], [[0, 0, 0], [0, 0, 2**40]]):
        with pytest.raises(CorpusError, match="line 7: two points are .* apart; expected at most 1048576"):
            ink.features("line 7", np.array(points), [2], [0])


def test_a_text_is_its_characters_places() -> None:
    """Encoding and looking up give the text back; an unknown character and no character are named with the line."""
    text = 'Don\'t [stop]: "Q&A", #1/2!'
    assert "".join(ink.CHARACTERS[index] for index in ink.encode("line 3", text)) == text
    with pytest.raises(CorpusError, match="line 3: the text 'café 50%' has '%', 'é'; expected only the 81 characters"):
        ink.encode("line 3", "café 50%")
    with pytest.raises(CorpusError, match="line 3: the text is empty"):
        ink.encode("line 3", "")


@given(st.text("ab c", min_size=1, max_size=12))
def test_needed_is_what_the_objective_asks_for(text: str) -> None:
    """A line with as many frames as `needed` can be trained on, with one less it cannot."""
    target, least = ink.encode("line", text), ink.needed(text)
    objective = get("ctc")
    assert not objective.unfit("line", np.zeros((least, 4)), target)
    assert objective.unfit("line", np.zeros((least - 1, 4)), target)


def test_normalisation_is_exact_and_of_the_training_lines() -> None:
    """Mean and deviation are the float64 nearest to the true ones, whatever the order of the lines; lift stays 0 or 1."""
    lines = [made(text, seed=3) for text in ("hello", "a b", "Zürich".replace("ü", "u"))]
    mean, deviation = ink.normalisation(lines)
    values = [[Fraction(int(v)) for line in lines for v in line.features[:, column]] for column in range(3)]
    for column, each in enumerate(values):
        true = sum(each) / len(each)
        assert mean[column] == float(true)
        assert deviation[column] == math.sqrt(sum((v - true) ** 2 for v in each) / len(each))
    again = ink.normalisation(lines[::-1])
    assert np.array_equal(mean, again[0]) and np.array_equal(deviation, again[1])
    corpus = cache.corpus(ink.assembled("task 'toy'", splits(*lines), "made"))
    train = np.concatenate([features for features, _ in corpus.train])
    assert np.allclose(train[:, :3].mean(0), 0, atol=1e-6) and np.allclose(train[:, :3].std(0), 1, atol=1e-6)
    assert set(np.unique(train[:, 3])) <= {0.0, 1.0}
    assert corpus.labels == ink.CHARACTERS


def test_a_feature_that_never_changes_becomes_zero() -> None:
    """There is nothing to divide by."""
    line = made("abcdef")
    line.features[:, 2] = 40
    corpus = cache.corpus(ink.assembled("task 'toy'", splits(line), "made"))
    assert (corpus.train[0][0][:, 2] == 0).all()


def test_lines_that_are_too_short_are_left_out_and_counted() -> None:
    """A corpus with lines that CTC cannot be asked for says in a warning how many of which split."""
    good, short = made("hello", frames=9), made("hello", frames=5)
    corpus = cache.corpus(
        ink.assembled(
            "task 'toy'", {"train": [good, short, short], "valid": [short, good], "test": [good]}, "made", ["x"]
        )
    )
    assert [len(split) for split in corpus.splits.values()] == [1, 1, 1]
    assert corpus.warnings == (
        "x",
        "lines with fewer points than their text needs were left out: 2 of train, 1 of valid",
    )


def test_a_split_without_a_line_is_one_clear_error() -> None:
    """Nothing to train or to score on is said with the split's name."""
    with pytest.raises(CorpusError, match="task 'toy': test has no line that can be read; expected at least one"):
        cache.corpus(
            ink.assembled(
                "task 'toy'", {"train": [made("ab")], "valid": [made("ab")], "test": [made("ab", frames=1)]}, "made"
            )
        )
