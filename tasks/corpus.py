"""What a corpus is: a frozen record of three splits, checked when it is made. numpy only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_odyssey.tasks import views
from lstm_odyssey.tasks.kinds import refuse_kind

Pair = tuple[NDArray[np.float32], NDArray[Any]]
"""One sequence: its features [T, M] and its target."""
Split = tuple[Pair, ...]


class CorpusError(ValueError):
    """A corpus is missing, damaged, foreign or malformed; the message says what to do."""


def called(name: str, told: str) -> str:
    """A task's name as it is printed, with what its licence or its corpus's provenance begins by: a word and a colon.

    >>> called("mine", "synthetic: drawn by a program"), called("yours", "CC BY 4.0, https://example.org")
    ('mine (synthetic)', 'yours')
    """
    word = re.match(r"(\w+): ", told)
    return f"{name} ({word[1]})" if word else name


@dataclass(frozen=True, eq=False)
class Corpus:
    """Three splits of sequences, each a pair (features, target).

    Args:
        train, valid, test: pairs; features are float32 [T, M], T >= 1, C-contiguous and finite. With labels a target is
            a vector of integers that index ``labels``: one a frame for the objective ``frames``, at least one and in
            order for ``ctc`` (the blank is not a label; the objective adds it). Without labels a target is float32
            [T, K], finite.
        labels: the names of the classes; empty for ``next_frame``.
        warnings: what a reader of a result must know (other counts than usual, a corpus the user changed).
        provenance: where the sequences come from, in words; as in a licence, a word and a colon at its beginning, as
            ``synthetic: ``, is printed beside the task's name, see `called`.
        recorded: mean and deviation, each [M], by which features were normalised: ``features * deviation + mean`` is what was
            recorded. None: they are as recorded.
        subsets: further scores, each of some sequences of test alone: name -> their indices.
        foldings: further scores, each of test with labels folded into fewer classes: name -> label -> class, or None for a
            label that is left out. See ``views``.
        people: how many people spoke, wrote or played it, by split, where that is known.

    Errors: `CorpusError`, which names the split and the sequence.
    """

    train: Split
    valid: Split
    test: Split
    labels: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    provenance: str = ""
    recorded: tuple[NDArray[Any], NDArray[Any]] | None = None
    subsets: views.Subsets = field(default_factory=dict)
    foldings: views.Foldings = field(default_factory=dict)
    people: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("labels", "warnings"):
            if isinstance(getattr(self, name), str):
                raise CorpusError(f"corpus: {name} is one text; expected a tuple of texts. Write ({name},).")
            try:
                texts = tuple(getattr(self, name))
            except TypeError:
                what = _short(getattr(self, name))
                raise CorpusError(f"corpus: {name} is {what}; expected texts. Write them as a list.") from None
            if strange := [each for each in texts if not isinstance(each, str)]:
                raise CorpusError(f"corpus: {name} has {_short(strange[0])}; expected texts. Write them as texts.")
            object.__setattr__(self, name, tuple(map(str, texts)))
        if len(set(self.labels)) < len(self.labels):
            twice = next(label for label in self.labels if self.labels.count(label) > 1)
            raise CorpusError(f"corpus: labels has {twice!r} twice; expected names of different classes. Rename one.")
        widths: dict[str, int] = {}
        for name, split in self.splits.items():
            pairs = _pairs(name, split)
            if not pairs:
                raise CorpusError(f"corpus: split {name} is empty; expected at least one sequence. Check the loader.")
            for index, pair in enumerate(pairs):
                _check_pair(f"corpus: {name}[{index}]", pair, len(self.labels), widths)
            object.__setattr__(self, name, pairs)
        if self.recorded is not None:
            object.__setattr__(self, "recorded", _recorded(self.recorded, self.input_size))
        refuse_kind("corpus", "a text", CorpusError, provenance=self.provenance)
        views_and_people = {"subsets": self.subsets, "foldings": self.foldings, "people": self.people}
        refuse_kind("corpus", "a mapping", CorpusError, **views_and_people)
        if wrong := views.fault(self.subsets, self.foldings, self.labels, self.test):
            raise CorpusError(f"corpus: {wrong}.")
        object.__setattr__(self, "subsets", {name: tuple(map(int, found)) for name, found in self.subsets.items()})
        object.__setattr__(self, "foldings", {name: dict(folding) for name, folding in self.foldings.items()})
        object.__setattr__(self, "people", dict(self.people))

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits by name, in the order train, valid, test."""
        return {"train": self.train, "valid": self.valid, "test": self.test}

    @property
    def input_size(self) -> int:
        """M, the width of the features."""
        return int(self.train[0][0].shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """The split's own checksum: sha256 (hex) over labels, split boundaries, shapes, dtypes and every array.

        It depends on nothing else: not on the file it came from, nor on the machine's byte order.
        """
        digest = hashlib.sha256(repr(self.labels).encode())
        for name, split in self.splits.items():
            digest.update(f"{name} {len(split)};".encode())
            for pair in split:
                for array in pair:
                    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
                    digest.update(f"{little.dtype.str} {little.shape};".encode())
                    digest.update(little.tobytes())
        return digest.hexdigest()


def _pairs(name: str, split: Any) -> tuple[tuple[Any, ...], ...]:
    """The sequences of a split. Raises `CorpusError` where there are none to be had, or one is no pair."""
    where, cure = f"corpus: {name}", "Give a list of (features, target)."
    try:
        pairs = tuple(split)
    except TypeError:
        raise CorpusError(f"{where} is {_short(split)}; expected pairs (features, target). {cure}") from None
    for index, pair in enumerate(pairs):
        if not isinstance(pair, tuple | list):
            raise CorpusError(f"{where}[{index}] is {_short(pair)}; expected a pair (features, target). {cure}")
    return tuple(map(tuple, pairs))


def _short(value: Any) -> str:
    """A value in a sentence: its text, or of what is long its type."""
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else f"a {type(value).__name__}"


def _recorded(recorded: Any, width: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and deviation as two arrays [M]. Raises `CorpusError` for anything else."""
    try:
        mean, deviation = (np.asarray(each, np.float64) for each in recorded)
        right = mean.shape == deviation.shape == (width,) and np.isfinite([mean, deviation]).all()
    except (TypeError, ValueError):
        right = False
    if not right:
        raise CorpusError(
            f"corpus: recorded is {_short(recorded)}; expected two arrays of {width} finite numbers, mean and deviation. "
            "Correct it, or leave it out."
        )
    return mean, deviation


def _check_pair(where: str, pair: tuple[Any, ...], n_labels: int, widths: dict[str, int]) -> None:
    """Raise `CorpusError` unless ``pair`` is what `Corpus` promises; ``widths`` remembers M and K."""
    if len(pair) != 2:
        raise CorpusError(f"{where}: {len(pair)} parts; expected the pair (features, target). Check the loader.")
    features, target = pair
    _check_matrix(where, "features", features, widths)
    n_frames = features.shape[0]
    if n_labels == 0:
        _check_matrix(where, "target", target, widths)
        if target.shape[0] != n_frames:
            raise CorpusError(f"{where}: target has {target.shape[0]} frames, features have {n_frames}. Align them.")
        return
    if not isinstance(target, np.ndarray) or target.ndim != 1 or not np.issubdtype(target.dtype, np.integer):
        got = f"{target.dtype} of shape {target.shape}" if isinstance(target, np.ndarray) else type(target).__name__
        raise CorpusError(f"{where}: target is {got}; expected a vector of integers, indices of the labels.")
    if target.size == 0:
        raise CorpusError(f"{where}: target is empty; expected at least one label. Leave the sequence out.")
    if target.min() < 0 or target.max() >= n_labels:
        raise CorpusError(
            f"{where}: target has the labels {target.min()} to {target.max()}; expected 0 to {n_labels - 1}. "
            "Give every class a name in labels, and count from 0."
        )


def _check_matrix(where: str, what: str, array: Any, widths: dict[str, int]) -> None:
    cure = f"Make it with numpy.ascontiguousarray({what}, dtype=numpy.float32)."
    if not isinstance(array, np.ndarray):
        raise CorpusError(f"{where}: {what} is {type(array).__name__}; expected a numpy array. {cure}")
    if array.ndim != 2 or array.dtype != np.float32 or not array.flags.c_contiguous:
        order = "" if array.flags.c_contiguous else ", not C-contiguous"
        raise CorpusError(
            f"{where}: {what} is {array.dtype} of shape {array.shape}{order}; "
            f"expected float32 [frames, width], C-contiguous. {cure}"
        )
    if 0 in array.shape:
        raise CorpusError(f"{where}: {what} has the shape {array.shape}; expected T >= 1. Leave the sequence out.")
    if not np.isfinite(array).all():
        raise CorpusError(f"{where}: {what} has NaN or infinite values; expected finite ones. Clean the source.")
    width = widths.setdefault(what, array.shape[1])
    if array.shape[1] != width:
        raise CorpusError(
            f"{where}: {what} has width {array.shape[1]}, earlier sequences have {width}; expected one width. "
            "Check the loader."
        )
