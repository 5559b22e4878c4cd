"""What a task and its corpus are: two frozen records, checked when they are made.

numpy only. `Task` is re-exported as ``lo.Task``; the distributions of a search space are importable from here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_odyssey.tasks import views
from lstm_odyssey.tasks.distributions import (
    Choice,
    Continuous,
    Distribution,
    EvenInteger,
    LogUniform,
    OneMinus,
    Uniform,
    distribution_from_dict,
)
from lstm_odyssey.tasks.nearest import nearest
from lstm_odyssey.tasks.objectives.names import NAMES
from lstm_odyssey.tasks.transfer import Download

__all__ = [
    "PAPER_SPACE",
    "Choice",
    "Continuous",
    "Corpus",
    "CorpusError",
    "Distribution",
    "EvenInteger",
    "LogUniform",
    "OneMinus",
    "Pair",
    "Split",
    "Task",
    "Uniform",
    "distribution_from_dict",
]

PAPER_SPACE: dict[str, Distribution] = {
    "hidden_size": EvenInteger(LogUniform(20, 200)),
    "learning_rate": LogUniform(1e-6, 1e-2),
    "momentum": OneMinus(LogUniform(0.01, 1)),
    "input_noise": Uniform(0, 1),
}
"""The paper's search space: N blocks, even as the authors drew it; learning rate; momentum; input noise's deviation.

Source: Greff et al., "LSTM: A Search Space Odyssey", section IV (arXiv 1503.04069).
"""

Pair = tuple[NDArray[np.float32], NDArray[Any]]
"""One sequence: its features [T, M] and its target."""
Split = tuple[Pair, ...]


class CorpusError(ValueError):
    """A corpus is missing, damaged, foreign or malformed; the message says what to do."""


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
        provenance: where the sequences come from, in words.
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
            object.__setattr__(self, name, tuple(getattr(self, name)))
        widths: dict[str, int] = {}
        for name, split in self.splits.items():
            pairs = tuple(tuple(pair) for pair in split)
            if not pairs:
                raise CorpusError(f"corpus: split {name} is empty; expected at least one sequence. Check the loader.")
            for index, pair in enumerate(pairs):
                _check_pair(f"corpus: {name}[{index}]", pair, len(self.labels), widths)
            object.__setattr__(self, name, pairs)
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


@dataclass(frozen=True)
class Task:
    """A named corpus bound to one objective.

    Args:
        load: ``load(path) -> Corpus``; path None means the default place: the embedded file, ``$ODYSSEY_DATA``, or a
            download (see ``locate``).
        objective: ``"next_frame"``, ``"frames"``, ``"ctc"``, or ``"label_last"``, ``"label_ends"``, ``"label_mean"``.
        family: the paper's task it stands for: music, speech, handwriting, or a name of your own.
        bidirectional: whether nets read the sequence in both directions (never for ``next_frame``).
        space: hyperparameter -> `Distribution`; the search space belongs to the task.
        narrowed: the same for some of them, where a few epochs show something: what the profile ``smoke`` draws from.
        licence: the corpus's licence in a few words.
        url, mirror: where it can be had.
        checksum: sha256 (hex) of the file.
        file, size: of what is downloaded, its name in the user's cache and its bytes; of an embedded corpus its bytes.
        downloads: where it is several files, each of them; see `fetched`.
        chance: the score of the best constant prediction, fitted on train, in the metric's units.
        embedded: whether the package carries the corpus.
        collection: the set it belongs to. A study that names no task takes those of ``"odyssey-2017"`` whose corpus the
            package carries: one for each of the paper's three questions.
        reference: whom to cite for the corpus: author, title, year, address.

    Errors: TypeError or ValueError, which name the field.
    """

    load: Callable[[str | PathLike[str] | None], Corpus]
    objective: str = field(kw_only=True)
    family: str = field(kw_only=True)
    bidirectional: bool = field(default=False, kw_only=True)
    space: Mapping[str, Distribution] = field(kw_only=True, hash=False)
    narrowed: Mapping[str, Distribution] = field(default_factory=dict, kw_only=True, hash=False)
    url: str | None = field(default=None, kw_only=True)
    mirror: str | None = field(default=None, kw_only=True)
    checksum: str | None = field(default=None, kw_only=True)
    file: str | None = field(default=None, kw_only=True)
    size: int | None = field(default=None, kw_only=True)
    downloads: tuple[Download, ...] = field(default=(), kw_only=True)
    licence: str = field(kw_only=True)
    chance: float | None = field(default=None, kw_only=True)
    embedded: bool = field(default=False, kw_only=True)
    collection: str | None = field(default=None, kw_only=True)
    reference: str | None = field(default=None, kw_only=True)

    @property
    def fetched(self) -> tuple[Download, ...]:
        """The files that may be downloaded: ``downloads``, or the one at ``url``; none of what is embedded or given."""
        if self.downloads or self.embedded or not self.file or not self.url:
            return self.downloads
        return (Download(self.file, self.url, self.checksum, self.mirror, self.size),)

    def __post_init__(self) -> None:
        if not callable(self.load):
            raise TypeError(f"Task: load is {self.load!r}; expected a function load(path) -> Corpus. Pass it itself.")
        if self.objective not in NAMES:
            raise ValueError(
                f"Task: objective is {self.objective!r}; expected one of {nearest(self.objective, NAMES)}."
            )
        if self.objective == "next_frame" and self.bidirectional:
            raise ValueError("Task: a bidirectional net sees the next frame it is to predict. Set bidirectional=False.")
        if self.objective == "label_last" and self.bidirectional:
            raise ValueError(
                "Task: at the last frame a bidirectional net's backward direction has read one frame. Use the objective "
                "label_ends or label_mean."
            )
        for name in ("family", "licence"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"Task: {name} is {value!r}; expected a text. Give a few words.")
        if not isinstance(self.space, Mapping) or not self.space:
            raise ValueError(f"Task: space is {self.space!r}; expected a mapping, as PAPER_SPACE. Give distributions.")
        if self.collection is not None and (not isinstance(self.collection, str) or not self.collection.strip()):
            raise ValueError(f"Task: collection is {self.collection!r}; expected a name, or None. Give one word.")
        for where in ("space", "narrowed"):
            for name, distribution in getattr(self, where).items():
                if not isinstance(name, str) or not isinstance(distribution, Distribution):
                    raise TypeError(
                        f"Task: {where}[{name!r}] is {distribution!r}; expected a distribution, as Uniform(0, 1)."
                    )
        for name in self.narrowed:
            if name not in self.space:
                raise ValueError(
                    f"Task: narrowed has {name!r}, and space does not; expected {nearest(name, list(self.space))}."
                )
        if self.checksum is not None and not _is_sha256(self.checksum):
            raise ValueError(f"Task: checksum is {self.checksum!r}; expected the 64 lower-case hex digits of a sha256.")
        if self.chance is not None and not np.isfinite(self.chance):
            raise ValueError(f"Task: chance is {self.chance!r}; expected a finite number, or None if not measured.")


def _is_sha256(text: Sequence[str]) -> bool:
    return isinstance(text, str) and len(text) == 64 and set(text) <= set("0123456789abcdef")
