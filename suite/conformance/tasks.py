"""The promises of a task, each a function that raises if it is broken: ``lstm_odyssey.conformance.kit`` is the way in.

For plugin authors as for ourselves. Every check takes a task (a name, an ``lo.Task`` or what ``lo.task`` returns) and the
path of its corpus, None for the default place; a corpus is loaded once for all of them.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch

from lstm_odyssey.conformance.answers import require
from lstm_odyssey.plugins import registry
from lstm_odyssey.tasks import objectives
from lstm_odyssey.tasks.declare import Corpus, CorpusError
from lstm_odyssey.tasks.distributions import distribution_from_dict
from lstm_odyssey.tasks.kinds import refuse_kind
from lstm_odyssey.tasks.objectives.base import Objective
from lstm_odyssey.training.hyperparameters import missing, trainable
from lstm_odyssey.training.random_streams import stream

Path = str | os.PathLike[str] | None

DRAWN = 200
"""Draws of a space that are looked at."""

ELSEWHERE = """
import sys
import lstm_odyssey as lo
file, name, *path = sys.argv[1:]
if file:
    lo.load_plugin(file)
print(lo.task(name).load(*path).fingerprint)
"""
"""What ``check_determinism`` runs in a process of its own: a plugin's file or nothing, a task, a path or none."""

CHANCE_ERROR = 5.001e-5
"""A declared chance level may differ from the computed one by so much: it is written with four decimals."""


def loaded(task: Any, path: Path = None) -> tuple[registry.NamedTask, Corpus]:
    """The task with its name, and its corpus.

    Raises:
        AssertionError: ``load`` returns something else than a ``Corpus``.
        CorpusError: the corpus is missing, damaged or malformed, as the task says it.
    """
    refuse_kind("check_task", "a path", **({} if path is None else {"path": path}))
    named = registry.as_task(task)
    corpus = registry.corpus_of(named, None if path is None else os.fspath(path))
    require(isinstance(corpus, Corpus), f"{named.name}: load returned {type(corpus).__name__}; expected an lo.Corpus")
    return named, corpus


def check_declaration(task: Any, path: Path = None) -> None:
    """Whoever reads a result learns where the corpus comes from and what may be done with it."""
    named, corpus = loaded(task, path)
    require(bool(named.licence.strip()), f"{named.name}: no licence; expected a few words. Set licence=")
    if named.url is None:
        require(
            bool(corpus.provenance.strip()),
            f"{named.name}: no url, and no provenance of the corpus; expected one of them. Set url= of the task, or "
            "provenance= of the corpus, in words.",
        )
    else:
        parts = urlsplit(named.url)
        fits = parts.scheme in ("http", "https") and bool(parts.netloc)
        require(fits, f"{named.name}: url is {named.url!r}; expected an address, as https://example.org/corpus.zip")


def check_space(task: Any, path: Path = None) -> None:
    """The search space is what a training reads: at least its four hyperparameters, each usable whatever is drawn."""
    named = registry.as_task(task)
    wrong = missing(named.space)
    require(not wrong, f"{named.name}: {wrong}")
    for name, distribution in (*named.space.items(), *named.narrowed.items()):
        takes = trainable(name)
        assert takes is not None
        for index in range(DRAWN):
            value = distribution.draw(stream("task check", name, index))
            fits = takes.takes(value) and (not takes.whole or isinstance(value, int))
            require(fits, f"{named.name}: {name} {distribution} drew {value!r}; expected {takes.words}")
            require(
                distribution.contains(value), f"{named.name}: {name} {distribution} drew {value!r}, outside its support"
            )
        again = distribution_from_dict(distribution.as_dict())
        require(again == distribution, f"{named.name}: {name} {distribution} is stored as {again}")


def check_corpus(task: Any, path: Path = None) -> None:
    """Three splits of pairs, none empty; features float32 [T, M], finite, of one width M; targets as the labels say."""
    named, corpus = loaded(task, path)
    try:  # arrays can be written to after the corpus was made and looked at
        Corpus(corpus.train, corpus.valid, corpus.test, corpus.labels, corpus.warnings, corpus.provenance)
    except CorpusError as error:
        raise AssertionError(f"{named.name}: {error}") from error


def check_targets(task: Any, path: Path = None) -> None:
    """Every target is one that the objective can be asked for: aligned, in range, possible within its frames."""
    named, corpus = loaded(task, path)
    objective = objectives.get(named.objective)
    try:
        objective.check(corpus)
        n_outputs = objective.n_outputs(corpus)
    except CorpusError as error:
        raise AssertionError(f"{named.name}: {error}") from error
    require(n_outputs >= 1, f"{named.name}: {n_outputs} outputs; expected at least one")
    for split, pairs in corpus.splits.items():
        for index, (features, target) in enumerate(pairs):
            where = f"{named.name}: {split}[{index}]"
            if objective.name == "next_frame" and target.shape == features.shape:
                require(
                    np.array_equal(target[:-1], features[1:]),
                    f"{where}: the target of a frame is not the next frame's features; expected the pair "
                    "(x_1..x_{T-1}, x_2..x_T) of one sequence",
                )


def check_says_something(task: Any, path: Path = None) -> None:
    """No experiment is empty: in training, features and targets are not the same everywhere."""
    named, corpus = loaded(task, path)
    for what, arrays in zip(("features", "targets"), zip(*corpus.train, strict=True), strict=True):
        values = np.concatenate([np.asarray(array) for array in arrays])
        require(
            bool((values != values[0]).any()), f"{named.name}: all {what} of train are the same; nothing can be learnt"
        )


def check_disjoint(task: Any, path: Path = None) -> None:
    """No sequence is in two splits: what is tested was not trained on."""
    named, corpus = loaded(task, path)
    seen: dict[bytes, str] = {}
    for split, pairs in corpus.splits.items():
        for index, (features, _) in enumerate(pairs):
            content = hashlib.sha256(repr(features.shape).encode() + features.tobytes()).digest()
            first = seen.setdefault(content, f"{split}[{index}]")
            require(
                first.startswith(f"{split}["),
                f"{named.name}: {split}[{index}] has the features of {first}; expected disjoint splits",
            )


def check_chance(task: Any, path: Path = None) -> None:
    """The declared chance level is the score on test of the best constant prediction, fitted on train."""
    named, corpus = loaded(task, path)
    computed = float(objectives.get(named.objective).chance(corpus.train, corpus.test, corpus.labels))
    told = "none" if named.chance is None else f"{named.chance}"
    require(
        named.chance is not None and abs(named.chance - computed) <= CHANCE_ERROR,
        f"{named.name}: chance is {told}; {computed:.4f} was computed from its corpus. Set chance={computed:.4f}",
    )


def check_determinism(task: Any, path: Path = None) -> None:
    """A corpus is the same bits whenever and wherever it is loaded: twice here, and in a process with other hashes."""
    named, corpus = loaded(task, path)
    for state in (1, 2):
        before = np.random.get_state()  # noqa: NPY002 - a loader that draws from it would be caught
        np.random.seed(state)  # noqa: NPY002 - as above
        try:
            again = named.load(path).fingerprint
        finally:
            np.random.set_state(before)  # noqa: NPY002 - as above
        require(
            again == corpus.fingerprint, f"{named.name}: two loads give two corpora; expected the same bits each time"
        )
    if named.name not in registry.task_names() or registry.task(named.name) is not named:
        return  # no other process could know it
    other = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    told = [str(registry.file_of("task", named.name) or ""), named.name, *([] if path is None else [os.fspath(path)])]
    done = subprocess.run(
        [sys.executable, "-P", "-c", ELSEWHERE, *told],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": other, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    require(done.returncode == 0, f"{named.name}: cannot be loaded in a process of its own:\n{done.stderr}")
    require(
        done.stdout.split()[-1] == corpus.fingerprint,
        f"{named.name}: another process gets another corpus; expected the same bits. Does it depend on the order of a set or "
        "of a folder's files, or on the time?",
    )


def check_padding(task: Any, path: Path = None) -> None:
    """Sequences of several lengths in one batch have the losses, gradients and scores that each has alone."""
    named, corpus = loaded(task, path)
    objective = objectives.get(named.objective)
    fitting = [pair for pair in corpus.train if not objective.unfit("", *pair)]  # others are of another promise
    pairs = sorted(fitting or corpus.train, key=lambda pair: len(pair[0]))
    pairs = [pairs[0], pairs[len(pairs) // 2], pairs[-1]]
    lengths = torch.tensor([len(features) for features, _ in pairs])
    n_frames, n_outputs = int(lengths.max()) + 2, objective.n_outputs(corpus)
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(n_frames, 2, len(pairs), n_outputs, generator=generator, dtype=torch.float64)
    for row, length in enumerate(lengths.tolist()):
        logits[length:, :, row] = torch.nan
    batch = _asked(objective, logits, [target for _, target in pairs], lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = _asked(objective, logits[:length, :, [row]], [pairs[row][1]], lengths[[row]])
        for name, value in batch.items():
            got, expected = (each.movedim(BATCH.get(name, -1), 0) for each in (value, alone[name]))
            if name == "gradient":  # [T, P, K], 0 in the padding
                expected = torch.nn.functional.pad(expected, (0, 0, 0, 0, 0, n_frames - length))
            require(
                torch.allclose(got[row], expected[0], rtol=1e-11, atol=1e-11),
                f"{named.name}: the {name} of a sequence of {length} frames is another one in a batch padded to {n_frames}",
            )


BATCH = {"gradient": 2}
"""The dimension that counts sequences, where it is not the last."""


def _asked(objective: Objective, logits: torch.Tensor, targets: Any, lengths: torch.Tensor) -> dict[str, torch.Tensor]:
    target = objective.collate(targets, lengths, len(logits), torch.float64, "cpu")
    loss, gradient = objective.loss_and_gradient(logits, target, lengths)
    numerator, denominator = objective.score(logits, target, lengths)
    return {"loss": loss, "gradient": gradient, "score": numerator, "score's denominator": denominator}


TASK_CHECKS = (
    check_declaration,
    check_space,
    check_corpus,
    check_targets,
    check_says_something,
    check_disjoint,
    check_chance,
    check_determinism,
    check_padding,
)
"""All promises of a task; each is called as ``check(task, path)``."""


def task_checks(path: Path = None) -> Iterator[tuple[str, partial[None]]]:
    """Every promise as a name and a function of a task."""
    for check in TASK_CHECKS:
        yield check.__name__.removeprefix("check_"), partial(check, path=path)


def check_task(task: Any, path: Path = None) -> None:
    """Check everything a task promises.

    Args:
        task: a name, an ``lo.Task`` or what ``lo.task`` returns.
        path: where its corpus lies; by default where the task looks for it.

    Raises:
        AssertionError: on the first broken promise; the message names the split and the sequence.
        CorpusError: the corpus is not to be had.

    Example:
        >>> import lstm_odyssey as lo
        >>> lo.check_task("bach")
    """
    for _, check in task_checks(path):
        check(task)
