"""Label: one of K classes for a whole sequence (what a recording is of), from the outputs of its frames pooled into one.

With logits l_t [K] of T frames and the sequence's class k:

    p         = l_T                 label_last: the last frame's
              = (l_1 + l_T) / 2     label_ends: both ends, for a bidirectional net: each direction has read all at one of them
              = Σ_t l_t / T         label_mean: the mean over frames
    loss      = ln Σ_j exp(p_j) - p_k                       cross entropy of the softmax, nats a sequence
    dloss/dp  = softmax(p) - onehot(k)
    score     = 100 Σ [argmax_j p_j != k] / Σ sequences     error, %

A departure of ours: the paper has no task of this kind.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from lstm_odyssey.tasks.declare import Corpus, Split
from lstm_odyssey.tasks.names import NAMES
from lstm_odyssey.tasks.objectives.base import Objective, check_labels, check_targets, clear, moved, padding, stack


class LabelTarget(NamedTuple):
    """``classes`` int64 [B, 1]; ``mask`` [T, 1, B, 1], True in the padding, or None."""

    classes: Tensor
    mask: Tensor | None


class Label(Objective):
    """Softmax cross entropy a sequence; the score is the error rate."""

    scale = 100.0
    expected = "Expected one label a sequence: give each target one entry."

    @abstractmethod
    def pooled(self, logits: Tensor, lengths: Tensor) -> Tensor:
        """p [P, B, K] of logits [T, P, B, K], 0 in the padding, and lengths [B] on their device."""

    def n_outputs(self, corpus: Corpus) -> int:
        """K, the number of labels."""
        self.check(corpus)
        return len(corpus.labels)

    def check_kind(self, corpus: Corpus) -> None:
        check_labels(self.name, corpus)

    def unfit(self, where: str, features: NDArray[Any], target: NDArray[Any]) -> str:
        """Another number of labels than one."""
        return "" if len(target) == 1 else f"{where} has {len(target)} labels"

    def collate(
        self, targets: Sequence[Any], lengths: Tensor, n_frames: int, dtype: torch.dtype, device: torch.device | str
    ) -> LabelTarget:
        check_targets(self.name, targets, lengths, framewise=False)
        classes = torch.from_numpy(np.asarray([[int(label) for label in target] for target in targets], dtype=np.int64))
        return LabelTarget(moved(classes, device), padding(lengths, n_frames, device))

    def _pooled(self, logits: Tensor, target: LabelTarget, lengths: Tensor) -> Tensor:
        return self.pooled(clear(logits, target.mask), lengths.to(logits.device))

    def loss(self, logits: Tensor, target: LabelTarget, lengths: Tensor) -> Tensor:
        pooled = self._pooled(logits, target, lengths)
        classes = target.classes[:, 0].expand(pooled.shape[:2])
        return cross_entropy(pooled.flatten(0, 1), classes.flatten(), reduction="none").view(pooled.shape[:2])

    def score(self, logits: Tensor, target: LabelTarget, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Wrong sequences [P, B], and 1 for each [B]."""
        with torch.no_grad():
            pooled = self._pooled(logits, target, lengths)
            wrong = (pooled.argmax(-1) != target.classes[:, 0]).to(torch.float64)
            wrong = wrong.masked_fill(clear(logits, target.mask).isnan().any(-1).any(0), torch.nan)
            return wrong, torch.ones(len(lengths), dtype=torch.float64, device=logits.device)

    def folded_score(
        self, logits: Tensor, target: LabelTarget, lengths: Tensor, classes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Wrong sequences [P, B], and 1 for each that is counted [B]."""
        with torch.no_grad():
            expected = classes[target.classes[:, 0]]
            wrong = (classes[self._pooled(logits, target, lengths).argmax(-1)] != expected).to(torch.float64)
            wrong = wrong.masked_fill(clear(logits, target.mask).isnan().any(-1).any(0), torch.nan)
            return wrong.masked_fill(expected < 0, 0), (expected >= 0).to(torch.float64)

    def kernel_targets(self, target: LabelTarget) -> Tensor:
        """The classes, [B, 1]."""
        return target.classes

    def chance(self, train: Split, test: Split, labels: Sequence[str]) -> float:
        """Error, %, of the class that most training sequences have (the first of them on a tie)."""
        classes = stack([target for _, target in train])
        majority = np.bincount(classes, minlength=len(labels)).argmax()
        return float(self.scale * np.mean(stack([target for _, target in test]) != majority))


def _at(logits: Tensor, frames: Tensor) -> Tensor:
    """[P, B, K]: of each row the logits at its own frame, [B]."""
    return logits[frames, :, torch.arange(len(frames), device=logits.device)].transpose(0, 1)


class LabelLast(Label):
    """From the last frame; not for a bidirectional net, whose backward direction has read one frame there."""

    name = "label_last"
    _, metric, units, _ = NAMES["label_last"]

    def pooled(self, logits: Tensor, lengths: Tensor) -> Tensor:
        return _at(logits, lengths - 1)


class LabelEnds(Label):
    """From both ends."""

    name = "label_ends"
    _, metric, units, _ = NAMES["label_ends"]

    def pooled(self, logits: Tensor, lengths: Tensor) -> Tensor:
        return (_at(logits, lengths - 1) + logits[0]) / 2


class LabelMean(Label):
    """From the mean over frames."""

    name = "label_mean"
    _, metric, units, _ = NAMES["label_mean"]

    def pooled(self, logits: Tensor, lengths: Tensor) -> Tensor:
        return logits.sum(0) / lengths.view(1, -1, 1).to(logits.dtype)
