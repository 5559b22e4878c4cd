"""What every objective offers to a trainer and to a report.

Shapes: T frames, P members of a population, B sequences of a batch padded to T, K outputs of the net. Time first.
``lengths`` [B] (int64) are the true numbers of frames, the same in `collate` and in what follows it; nothing that
stands in the padding of ``logits`` or of the targets changes any result, and its gradient is exactly 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstm_odyssey.tasks.declare import Corpus, CorpusError, Split

MOST = 4
"""So many sequences are named beside the first of those that do not fit."""


class Objective(ABC):
    """A loss summed over the frames of a sequence, its gradient, a score and the score's chance level.

    Losses are *summed* over frames, never averaged: the paper's learning rates are meant for the sum.
    Objects have no state; two of one class are interchangeable.
    """

    name: ClassVar[str]
    metric: ClassVar[str]
    """What the score is, in words."""
    units: ClassVar[str]
    direction: ClassVar[str] = "minimize"
    scale: ClassVar[float] = 1.0
    """The score of a split is scale * Σ numerator / Σ denominator."""
    score_is_loss: ClassVar[bool] = False
    """The score's numerator is the loss in float64, its denominator the number of frames."""

    @abstractmethod
    def n_outputs(self, corpus: Corpus) -> int:
        """K, how many outputs a net needs. Errors: `CorpusError` if the corpus does not fit the objective."""

    @abstractmethod
    def unfit(self, where: str, features: NDArray[Any], target: NDArray[Any]) -> str:
        """What of a sequence makes its target one that cannot be asked for, in words that name it; empty if nothing does.

        Args:
            where: its name, as ``train[3]``.
            features, target: as the corpus holds them.
        """

    expected: ClassVar[str]
    """What every target has to be, and what to do with one that is not: the end of the error of `check`."""

    def check(self, corpus: Corpus) -> None:
        """Raise `CorpusError` if the corpus has no targets of this kind, or sequences that no net can be trained on.

        The first of these is described, the others are named and counted; all of them are looked for before anything is
        trained, since an infinite loss names nobody.
        """
        self.check_kind(corpus)
        found = {
            where: words
            for split, pairs in corpus.splits.items()
            for index, (features, target) in enumerate(pairs)
            if (words := self.unfit(where := f"{split}[{index}]", features, target))
        }
        if found:
            total = sum(map(len, corpus.splits.values()))
            others = list(found)[1:]
            also = "" if not others else f"; so it is with {', '.join(others[:MOST])}"
            also += "" if len(others) <= MOST else f" and {len(others) - MOST} others"
            raise CorpusError(
                f"objective {self.name!r}: {len(found)} of {total} sequences cannot be trained on: "
                f"{next(iter(found.values()))}{also}. {self.expected}"
            )

    @abstractmethod
    def check_kind(self, corpus: Corpus) -> None:
        """Raise `CorpusError` unless the corpus has labels, or none, as the objective wants."""

    @abstractmethod
    def collate(
        self, targets: Sequence[Any], lengths: Tensor, n_frames: int, dtype: torch.dtype, device: torch.device | str
    ) -> Any:
        """The targets of B sequences as one padded tuple of tensors on ``device``.

        Args:
            targets: B arrays, as the corpus holds them.
            lengths: [B], the frames of each sequence.
            n_frames: T, what sequences are padded to.
            dtype: of the targets that are not integers.
            device: where the result lives.
        """

    @abstractmethod
    def loss(self, logits: Tensor, target: Any, lengths: Tensor) -> Tensor:
        """Loss of each sequence, summed over its frames, in nats: logits [T, P, B, K] -> [P, B], for autograd."""

    @abstractmethod
    def score(self, logits: Tensor, target: Any, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Numerator [P, B] and denominator [B] of the score, float64; NaN logits give a NaN numerator."""

    def folded_score(self, logits: Tensor, target: Any, lengths: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """The score after both sides are folded: numerator [P, B] and denominator [B], float64, as of `score`.

        Args:
            logits, target, lengths: as of `score`.
            classes: the class of every label [labels] (int64), -1 for one that is left out (see ``tasks.views``).

        Errors: NotImplementedError of an objective without labels; a corpus without labels has no folding.
        """
        raise NotImplementedError(f"objective {self.name!r}: it has no labels to fold.")

    @abstractmethod
    def chance(self, train: Split, test: Split, labels: Sequence[str]) -> float:
        """The score on ``test`` of the best constant prediction, which is fitted on ``train``."""

    def loss_and_gradient(self, logits: Tensor, target: Any, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The loss [P, B] and the gradient of its sum over P and B with respect to the logits, [T, P, B, K].

        Neither carries a graph. This is the general way, by autograd; an objective with a closed form overrides it.
        """
        with torch.enable_grad():
            leaf = logits.detach().requires_grad_()
            loss = self.loss(leaf, target, lengths)
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        return loss.detach(), gradient

    def summed_loss(self, logits: Tensor, target: Any, lengths: Tensor) -> Tensor:
        """The loss of a whole batch of one network in one number, for autograd: logits [T, B, K] -> [].

        What one writes in plain torch, where a loss a sequence is not asked for: the yardstick of a benchmark computes it.
        This is the general way; an objective whose loss torch computes and sums in one call overrides it.
        """
        return self.loss(logits.unsqueeze(1), target, lengths).sum()

    def kernel_targets(self, target: Any) -> Tensor:
        """What of a collated target a compiled step reads: one contiguous tensor, [T, 1, B, ...]."""
        targets: Tensor = target[0]
        return targets

    def reduce(self, numerator: Tensor, denominator: Tensor) -> Tensor:
        """The score of a split, scale * Σ numerator / Σ denominator: [..., n] and [n] over its sequences -> [...]."""
        return self.scale * numerator.sum(-1) / denominator.sum()

    def reduce_per_sequence(self, numerator: Tensor, denominator: Tensor) -> Tensor:
        """The second view of a score, scale * mean(numerator / denominator): every sequence weighs the same."""
        return self.scale * (numerator / denominator).mean(-1)


def padding(lengths: Tensor, n_frames: int, device: torch.device | str) -> Tensor | None:
    """True where a frame is padding, [T, 1, B, 1], ready to mask logits; None where every sequence has T frames.

    Errors: ValueError if a length is not in 1..T.
    """
    lengths = lengths.to("cpu")
    if len(lengths) == 0 or int(lengths.min()) < 1 or int(lengths.max()) > n_frames:
        raise ValueError(
            f"objective: lengths are {lengths.tolist()}; expected one or more, each from 1 to the {n_frames} frames of "
            "the batch. Pad to the longest sequence."
        )
    if int(lengths.min()) == n_frames:
        return None
    mask = torch.arange(n_frames).unsqueeze(1) >= lengths
    return moved(mask[:, None, :, None], device)


def moved(value: Tensor, device: torch.device | str, dtype: torch.dtype | None = None) -> Tensor:
    """``value`` on the device. The host does not wait for a GPU: the copy is in order with its stream, from locked memory.

    torch frees that memory when the copy is done; from ordinary memory it would wait for all that the stream has to do.
    """
    if torch.device(device).type != "cuda" or value.device.type != "cpu":
        return value.to(device=device, dtype=dtype)
    return value.to(dtype=dtype).pin_memory().to(device=device, non_blocking=True)


def clear(values: Tensor, mask: Tensor | None) -> Tensor:
    """``values`` with 0 where the mask of `padding` is True, whatever stood there, NaN included."""
    return values if mask is None else values.masked_fill(mask, 0)


def check_targets(name: str, targets: Sequence[Any], lengths: Tensor, framewise: bool) -> None:
    """Raise ValueError unless there is one target a sequence and, if ``framewise``, one row a frame."""
    if len(targets) != len(lengths):
        raise ValueError(f"objective {name!r}: {len(targets)} targets for {len(lengths)} sequences; give one for each.")
    for index, (target, length) in enumerate(zip(targets, lengths.tolist(), strict=True)):
        if framewise and len(target) != length:
            raise ValueError(
                f"objective {name!r}: target {index} has {len(target)} rows, its sequence {length} frames; "
                "expected one row a frame."
            )


def check_labels(name: str, corpus: Corpus) -> None:
    """Raise `CorpusError` unless the corpus has labels."""
    if not corpus.labels:
        raise CorpusError(f"objective {name!r}: the corpus has no labels; expected the classes' names. Give labels.")


def stack(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The targets of a split one after another."""
    return np.concatenate([np.asarray(part) for part in parts])
