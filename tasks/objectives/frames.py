"""Frames: one of K classes for every frame (the phone that is spoken).

With logits l [K] of a frame and its class k:

    loss      = Σ_t  ln Σ_j exp(l_tj) - l_t,k(t)           cross entropy of the softmax, nats
    dloss/dl  = softmax(l) - onehot(k)
    score     = 100 Σ [argmax_j l_tj != k(t)] / Σ frames   frame error, %

Source: Greff et al. 2017, section III.A.
"""

from __future__ import annotations

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


class FramesTarget(NamedTuple):
    """``classes`` int64 [T, 1, B, 1], 0 in the padding; ``mask`` [T, 1, B, 1], True in the padding, or None."""

    classes: Tensor
    mask: Tensor | None


class Frames(Objective):
    """Softmax cross entropy a frame; the score is the frame error."""

    name = "frames"
    _, metric, units, _ = NAMES["frames"]
    scale = 100.0

    def n_outputs(self, corpus: Corpus) -> int:
        """K, the number of labels."""
        self.check(corpus)
        return len(corpus.labels)

    expected = "Expected one label a frame: align them, or use the objective 'ctc'."

    def check_kind(self, corpus: Corpus) -> None:
        check_labels(self.name, corpus)

    def unfit(self, where: str, features: NDArray[Any], target: NDArray[Any]) -> str:
        """Another number of labels than of frames."""
        return "" if len(target) == len(features) else f"{where} has {len(target)} labels for {len(features)} frames"

    def collate(
        self, targets: Sequence[Any], lengths: Tensor, n_frames: int, dtype: torch.dtype, device: torch.device | str
    ) -> FramesTarget:
        check_targets(self.name, targets, lengths, framewise=True)
        mask = padding(lengths, n_frames, device)
        classes = torch.zeros(n_frames, 1, len(targets), 1, dtype=torch.int64)
        for index, target in enumerate(targets):
            classes[: len(target), 0, index, 0] = torch.as_tensor(np.asarray(target, dtype=np.int64))
        return FramesTarget(moved(classes, device), mask)

    def loss(self, logits: Tensor, target: FramesTarget, lengths: Tensor) -> Tensor:
        log_softmax = clear(logits, target.mask).log_softmax(-1)
        terms = log_softmax.gather(-1, target.classes.expand(*logits.shape[:3], 1))
        return -clear(terms, target.mask).sum((0, 3))

    def loss_and_gradient(self, logits: Tensor, target: FramesTarget, lengths: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            log_softmax = logits.log_softmax(-1)
            classes = target.classes.expand(*logits.shape[:3], 1)
            loss = -clear(log_softmax.gather(-1, classes), target.mask).sum((0, 3))
            gradient = log_softmax.exp()
            gradient.scatter_(-1, classes, gradient.gather(-1, classes) - 1)
            return loss, clear(gradient, target.mask)

    def summed_loss(self, logits: Tensor, target: FramesTarget, lengths: Tensor) -> Tensor:
        if target.mask is not None:
            return super().summed_loss(logits, target, lengths)
        return cross_entropy(logits.flatten(0, 1), target.classes.flatten(), reduction="sum")

    def score(self, logits: Tensor, target: FramesTarget, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Wrong frames [P, B] and frames [B]."""
        with torch.no_grad():
            logits = clear(logits, target.mask)
            wrong = (logits.argmax(-1, keepdim=True) != target.classes).to(torch.float64)
            wrong = wrong.masked_fill(logits.isnan().any(-1, keepdim=True), torch.nan)
            return clear(wrong, target.mask).sum((0, 3)), lengths.to(logits.device, torch.float64)

    def folded_score(
        self, logits: Tensor, target: FramesTarget, lengths: Tensor, classes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Wrong frames [P, B] and counted frames [B]."""
        with torch.no_grad():
            logits = clear(logits, target.mask)
            expected = classes[target.classes]
            counted = (expected >= 0) if target.mask is None else (expected >= 0) & ~target.mask
            wrong = (classes[logits.argmax(-1, keepdim=True)] != expected).to(torch.float64)
            wrong = wrong.masked_fill(logits.isnan().any(-1, keepdim=True), torch.nan)
            return wrong.masked_fill(~counted, 0).sum((0, 3)), counted.sum((0, 1, 3)).to(torch.float64)

    def chance(self, train: Split, test: Split, labels: Sequence[str]) -> float:
        """Frame error, %, of the class that most training frames have (the first of them on a tie)."""
        classes = stack([target for _, target in train])
        majority = np.bincount(classes, minlength=len(labels)).argmax()
        return float(self.scale * np.mean(stack([target for _, target in test]) != majority))
