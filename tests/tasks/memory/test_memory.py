"""State tracking: the tables are what they say, the sequences are the same everywhere, and both lengths are in the test."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest

import lstm_odyssey as lo
from lstm_odyssey.conformance.kit import parametrize_with_checks
from lstm_odyssey.study.plan import default_tasks
from lstm_odyssey.tasks.declare import Corpus, CorpusError
from lstm_odyssey.tasks.memory import machine, parity, s5

TASKS = {"parity": parity.task, "s5": s5.task}
FINGERPRINTS = {
    "parity": "0b86226af1393a9b14ee385781337eebcfc60aa9227671d5b5781138b554f6c2",
    "s5": "49782e4c335a3171a1fa5957387f72f0d34aa2d9dd18e2c67fffa5dc95715a0e",
}


@pytest.fixture(scope="module")
def corpora() -> dict[str, Corpus]:
    """Both corpora."""
    return {name: task.load(None) for name, task in TASKS.items()}


@parametrize_with_checks(tasks=list(TASKS))
def test_they_keep_every_promise_of_a_task(task, check):
    """Declaration, space, corpus, targets, splits, chance level, determinism, padding."""
    check(task)


@pytest.mark.parametrize("name", TASKS)
def test_the_sequences_are_the_same_on_every_machine(corpora: dict[str, Corpus], name: str) -> None:
    """The corpus has the fingerprint it had where it was made."""
    assert corpora[name].fingerprint == FINGERPRINTS[name]


def test_parity_is_the_number_of_ones(corpora: dict[str, Corpus]) -> None:
    """At every frame of every sequence the state is the sum of the symbols so far, modulo 2."""
    for features, target in itertools.chain(*corpora["parity"].splits.values()):
        assert np.array_equal(np.cumsum(features[:, 1]) % 2, target)
        assert (features.sum(1) == 1).all()


def test_s5_is_the_order_of_five_things(corpora: dict[str, Corpus]) -> None:
    """At every frame of the first sequences the label is the order that swapping and turning a list gives."""
    corpus = corpora["s5"]
    for features, target in (*corpus.train[:50], corpus.test[-1]):
        order = list("abcde")
        for symbol, state in zip(features.argmax(1), target, strict=True):
            order = [order[1], order[0], *order[2:]] if symbol == 0 else [*order[1:], order[0]]
            assert corpus.labels[state] == "".join(order)


def test_the_symbols_of_s5_generate_all_of_it() -> None:
    """Each symbol is a permutation of the states, and from the first state all 120 are reached."""
    table, reached = s5.table(), {0}
    assert all(sorted(row) == list(range(120)) for row in table)
    for _ in range(120):
        reached |= {row[state] for row in table for state in reached}
    assert len(reached) == len(set(s5.ORDERS)) == 120


@pytest.mark.parametrize("name", TASKS)
def test_both_lengths_weigh_the_same_in_the_test(corpora: dict[str, Corpus], name: str) -> None:
    """Training ends at 40 frames; the test has as many frames of each length, and the corpus says what its score is."""
    corpus = corpora[name]
    lengths = {split: [len(features) for features, _ in pairs] for split, pairs in corpus.splits.items()}
    assert (min(lengths["train"]), max(lengths["train"]), set(lengths["valid"])) == (2, 40, {40})
    parts = corpus.subsets
    assert {name: sum(len(corpus.test[k][0]) for k in part) for name, part in parts.items()} == {
        "40 frames": 2560, "256 frames": 2560,
    }  # fmt: skip
    assert {name: {len(corpus.test[k][0]) for k in part} for name, part in parts.items()} == {
        "40 frames": {40}, "256 frames": {256},
    }  # fmt: skip
    assert sorted(itertools.chain(*parts.values())) == list(range(len(corpus.test)))
    assert corpus.warnings == (machine.SCORED,) and "40 frames" in machine.SCORED and "of 256" in machine.SCORED


@pytest.mark.parametrize("kinds", [2, 3, 5])
def test_symbols_are_uniform(kinds: int) -> None:
    """Each of them comes about equally often, and another key gives others."""
    drawn = machine.symbols((7, kinds), 200, 30, kinds)
    counts = np.bincount(drawn.ravel(), minlength=kinds)
    assert len(counts) == kinds and np.abs(counts / 6000 - 1 / kinds).max() < 0.03
    assert not np.array_equal(drawn, machine.symbols((8, kinds), 200, 30, kinds))


def test_a_path_is_refused(tmp_path: Path) -> None:
    """There is nothing to read."""
    for name, task in TASKS.items():
        with pytest.raises(CorpusError, match=f"task '{name}': .* was given, and its sequences are computed. Leave"):
            task.load(tmp_path)


def test_they_are_a_collection_of_their_own() -> None:
    """They lie in the package, and a study takes them when they are named."""
    for name, task in TASKS.items():
        assert (task.family, task.objective, task.bidirectional, task.embedded) == ("memory", "frames", False, True)
        assert lo.task(name).collection == "state-tracking" and name not in default_tasks()
        assert pickle.loads(pickle.dumps(task)) == task
