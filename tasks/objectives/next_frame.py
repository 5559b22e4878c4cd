"""The next frame: K independent Bernoulli variables a frame (the keys of a piano), predicted from the frames before.

With logits l and the frame that comes next, x in [0, 1]^K, σ the logistic function:

    loss      = Σ_t Σ_k  softplus(l_tk) - x_tk l_tk        = -ln Π Bernoulli(x_tk; σ(l_tk)), nats
    dloss/dl  = σ(l) - x
    score     = Σ loss / Σ frames                           nats a frame

A corpus holds pairs (x_1..x_{T-1}, x_2..x_T), so a frame's loss is that of predicting it.

Source: Boulanger-Lewandowski et al., ICML 2012 (arXiv 1206.6392); Greff et al. 2017, section III.C.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from lstm_odyssey.tasks.declare import Corpus, CorpusError, Split
from lstm_odyssey.tasks.names import NAMES
from lstm_odyssey.tasks.objectives.base import Objective, check_targets, clear, moved, padding, stack


class NextFrameTarget(NamedTuple):
    """``frames`` [T, 1, B, K], 0 in the padding; ``mask`` [T, 1, B, 1], True in the padding, or None without any."""

    frames: Tensor
    mask: Tensor | None


class NextFrame(Objective):
    """Bernoulli cross entropy of the next frame, summed over its K components."""

    name = "next_frame"
    _, metric, units, _ = NAMES["next_frame"]
    score_is_loss = True

    def n_outputs(self, corpus: Corpus) -> int:
        """K, the width of the targets."""
        self.check(corpus)
        return int(corpus.train[0][1].shape[1])

    expected = "Expected probabilities, from 0 to 1: rescale them."

    def check_kind(self, corpus: Corpus) -> None:
        if corpus.labels:
            raise CorpusError(
                "objective 'next_frame': the corpus has labels; expected targets that are frames. Leave labels empty, "
                "or use the objective 'frames' or 'ctc'."
            )

    def unfit(self, where: str, features: NDArray[Any], target: NDArray[Any]) -> str:
        """Targets that are no probabilities."""
        low, high = target.min(), target.max()
        return "" if low >= 0 and high <= 1 else f"the target of {where} has values from {low} to {high}"

    def collate(
        self, targets: Sequence[Any], lengths: Tensor, n_frames: int, dtype: torch.dtype, device: torch.device | str
    ) -> NextFrameTarget:
        check_targets(self.name, targets, lengths, framewise=True)
        mask = padding(lengths, n_frames, device)
        frames = torch.zeros(n_frames, 1, len(targets), targets[0].shape[1], dtype=dtype)
        for index, target in enumerate(targets):
            frames[: len(target), 0, index] = torch.as_tensor(target, dtype=dtype)
        return NextFrameTarget(moved(frames, device), mask)

    def loss(self, logits: Tensor, target: NextFrameTarget, lengths: Tensor) -> Tensor:
        logits = clear(logits, target.mask)
        terms = binary_cross_entropy_with_logits(logits, target.frames.expand_as(logits), reduction="none")
        return clear(terms, target.mask).sum((0, 3))

    def loss_and_gradient(self, logits: Tensor, target: NextFrameTarget, lengths: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            return self.loss(logits, target, lengths), clear(logits.sigmoid() - target.frames, target.mask)

    def summed_loss(self, logits: Tensor, target: NextFrameTarget, lengths: Tensor) -> Tensor:
        if target.mask is not None:
            return super().summed_loss(logits, target, lengths)
        return binary_cross_entropy_with_logits(logits, target.frames[:, 0], reduction="sum")

    def score(self, logits: Tensor, target: NextFrameTarget, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Nats [P, B] and frames [B]; the logarithms are taken in float64."""
        with torch.no_grad():
            exact = NextFrameTarget(target.frames.double(), target.mask)
            return self.loss(logits.double(), exact, lengths), lengths.to(logits.device, torch.float64)

    def chance(self, train: Split, test: Split, labels: Sequence[str] = ()) -> float:
        """Nats a frame of a constant Bernoulli model: the mean of the training targets, clipped to [1e-6, 1 - 1e-6]."""
        fitted = stack([target for _, target in train]).mean(0, dtype=np.float64).clip(1e-6, 1 - 1e-6)
        frames = stack([target for _, target in test]).astype(np.float64)
        nats = -(frames @ np.log(fitted) + (1 - frames) @ np.log1p(-fitted))
        return float(self.scale * nats.mean())
