"""What a task is: a frozen record, checked when it is made; of its `Corpus` see ``corpus``.

numpy only. `Task` is re-exported as ``lo.Task``; the distributions of a search space are importable from here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import NamedTuple

import numpy as np

from lstm_odyssey.tasks.corpus import Corpus, CorpusError, Pair, Split
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
from lstm_odyssey.tasks.kinds import refuse_kind
from lstm_odyssey.tasks.names import NAMES
from lstm_odyssey.tasks.nearest import nearest

__all__ = [
    "PAPER_SPACE",
    "Choice",
    "Continuous",
    "Corpus",
    "CorpusError",
    "Distribution",
    "Download",
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
"""The paper's search space: N units, even as the authors drew it; learning rate; momentum; input noise's deviation.

Source: Greff et al., "LSTM: A Search Space Odyssey", section IV (arXiv 1503.04069).
"""


class Download(NamedTuple):
    """One file of a corpus that may be had freely: its name in the user's cache, and where from.

    ``checksum`` is its sha256 (hex); None where none is published, and then the first download's is recorded. ``size`` is in
    bytes, exact; ``max_bytes`` bounds a file whose size is not known.
    """

    file: str
    url: str
    checksum: str | None = None
    mirror: str | None = None
    size: int | None = None
    max_bytes: int | None = None


@dataclass(frozen=True)
class Task:
    """A named corpus bound to one objective.

    Args:
        load: ``load(path) -> Corpus``; path None means the default place: the embedded file, ``$ODYSSEY_DATA``, or a
            download (see ``files.locate``).
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
        refuse_kind("Task", "a text", objective=self.objective)
        refuse_kind("Task", "a mapping", narrowed=self.narrowed)
        refuse_kind("Task", "True or False", bidirectional=self.bidirectional, embedded=self.embedded)
        for kind, names in (("a text", ("url", "mirror", "file", "reference")), ("a whole number", ("size",)),
                            ("a number", ("chance",))):  # fmt: skip
            told = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
            refuse_kind("Task", kind, **told)
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
