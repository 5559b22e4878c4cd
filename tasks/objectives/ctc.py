"""CTC: a sequence of labels shorter than the frames, its alignment unknown (the characters of a line of handwriting).

The outputs are the blank, at index 0, and the labels, shifted by one. A path π gives every frame an output; B(π) merges
equal neighbours and then drops blanks. With a = log_softmax(logits) and the label sequence z:

    loss      = -ln Σ_{π: B(π) = z} Π_t exp(a_t,π(t))      nats; infinite where z needs more frames than there are
    score     = 100 Σ edit distance(B(argmax path), z) / Σ |z|      character error rate, %

z needs |z| frames and one more for each label that equals the one before it: a corpus with a sequence that has fewer is
refused by `check`. Where there is no path, for that or because probabilities are 0, the loss is infinite and its gradient 0;
torch's own is NaN. Neighbours are not touched.

Source: Graves et al., ICML 2006; Greff et al. 2017, section III.B. Departure: best-path decoding, as the paper has it,
not prefix search. The compiled step of a CPU computes loss and gradient by itself (``backends.numba.source.ctc``); everything
else asks torch. On a GPU torch sums the gradient in an order of its own: equal only to rounding from call to call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import ctc_loss

from lstm_odyssey.tasks.declare import Corpus, Split
from lstm_odyssey.tasks.names import NAMES
from lstm_odyssey.tasks.objectives.base import Objective, check_labels, check_targets, clear, moved, padding

BLANK = 0


class CTCTarget(NamedTuple):
    """``labels`` int64 [B, longest], counted from 1, 0 in the padding, ``greatest`` of them; ``label_lengths`` int64 [B].

    ``mask`` as ever.
    """

    labels: Tensor
    label_lengths: Tensor
    mask: Tensor | None
    greatest: int


def decode(path: Sequence[int]) -> list[int]:
    """B(π): merge equal neighbours, then drop blanks.

    Example:
        >>> decode([0, 1, 1, 0, 1, 2, 2, 0])
        [1, 1, 2]
    """
    return [output for output, _ in groupby(path) if output != BLANK]


class CTC(Objective):
    """Connectionist temporal classification; the score is the character error rate of the best path."""

    name = "ctc"
    _, metric, units, _ = NAMES["ctc"]
    scale = 100.0

    def n_outputs(self, corpus: Corpus) -> int:
        """K, the number of labels and one for the blank."""
        self.check_kind(corpus)
        return len(corpus.labels) + 1

    expected = (
        "Expected a frame for each label and one more between equal neighbours, or the loss is infinite: leave them out, or "
        "give them more frames."
    )

    def check_kind(self, corpus: Corpus) -> None:
        check_labels(self.name, corpus)

    def unfit(self, where: str, features: NDArray[Any], target: NDArray[Any]) -> str:
        """More labels, with a blank between equal neighbours, than frames."""
        needed = len(target) + int((target[1:] == target[:-1]).sum())
        frames = len(features)
        return "" if needed <= frames else f"{where}: its {len(target)} labels need {needed} frames, it has {frames}"

    def collate(
        self, targets: Sequence[Any], lengths: Tensor, n_frames: int, dtype: torch.dtype, device: torch.device | str
    ) -> CTCTarget:
        check_targets(self.name, targets, lengths, framewise=False)
        mask = padding(lengths, n_frames, device)
        label_lengths = torch.tensor([len(target) for target in targets])
        labels = torch.full((len(targets), int(label_lengths.max())), BLANK)
        for index, target in enumerate(targets):
            labels[index, : len(target)] = torch.as_tensor(np.asarray(target, dtype=np.int64)) + 1
            if len(target) and labels[index, : len(target)].min() <= BLANK:
                raise ValueError(
                    f"objective 'ctc': target {index} has the label {min(target)}; expected labels from 0 on. The blank is no "
                    "label: leave it out, and count from 0."
                )
        greatest = int(labels.max()) if labels.numel() else BLANK
        return CTCTarget(moved(labels, device), moved(label_lengths, device), mask, greatest)

    def loss(self, logits: Tensor, target: CTCTarget, lengths: Tensor) -> Tensor:
        log_softmax = clear(logits, target.mask).log_softmax(-1)
        loss = _torch_loss(log_softmax, target, lengths, "none").reshape(logits.shape[1:3])
        if log_softmax.requires_grad:
            # there torch's gradient is NaN
            never = log_softmax.detach().isneginf() | loss.detach().isinf().unsqueeze(-1)
            log_softmax.register_hook(lambda gradient: None if gradient is None else gradient.masked_fill(never, 0))
        return loss

    def summed_loss(self, logits: Tensor, target: CTCTarget, lengths: Tensor) -> Tensor:
        if target.mask is not None:
            return super().summed_loss(logits, target, lengths)
        return _torch_loss(logits.unsqueeze(1).log_softmax(-1), target, lengths, "sum")

    def score(self, logits: Tensor, target: CTCTarget, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Edit distances [P, B] and label lengths [B]."""
        return self._distances(logits, target, lengths, lambda labels: labels), target.label_lengths.to(torch.float64)

    def folded_score(
        self, logits: Tensor, target: CTCTarget, lengths: Tensor, classes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Edit distances [P, B] of what is left of both texts, and the lengths of the expected ones [B].

        The best path is decoded, then folded: equal classes that come to stand side by side stay two.
        """
        of = [-1, *classes.tolist()]

        def fold(labels: list[int]) -> list[int]:
            return [of[label] for label in labels if of[label] >= 0]

        counts = [
            len(fold(row[:count]))
            for row, count in zip(target.labels.tolist(), target.label_lengths.tolist(), strict=True)
        ]
        lengths_left = torch.tensor(counts, dtype=torch.float64, device=target.label_lengths.device)
        return self._distances(logits, target, lengths, fold), lengths_left

    def _distances(
        self, logits: Tensor, target: CTCTarget, lengths: Tensor, fold: Callable[[list[int]], list[int]]
    ) -> Tensor:
        """Edit distances [P, B] between the decoded best paths and the labels, both after ``fold``."""
        with torch.no_grad():
            logits = clear(logits, target.mask)
            paths = logits.argmax(-1).permute(1, 2, 0).tolist()
            broken = logits.isnan().any(-1).any(0)
        frames = lengths.tolist()
        counts = target.label_lengths.tolist()
        labels = [fold(row[:count]) for row, count in zip(target.labels.tolist(), counts, strict=True)]
        distances = [
            [
                _edits(fold(decode(path[:length])), expected)
                for path, length, expected in zip(member, frames, labels, strict=True)
            ]
            for member in paths
        ]
        return torch.tensor(distances, dtype=torch.float64, device=logits.device).masked_fill(broken, torch.nan)

    def chance(self, train: Split, test: Split, labels: Sequence[str]) -> float:
        """Character error rate, %, of the best constant output: no text at all (100 %) or one label, chosen on train."""
        constants = [[], *([index] for index in range(len(labels)))]
        best = min(constants, key=lambda constant: _distance(constant, train))
        return float(self.scale * _distance(best, test) / sum(len(target) for _, target in test))


def _torch_loss(log_softmax: Tensor, target: CTCTarget, lengths: Tensor, reduction: str) -> Tensor:
    """torch's CTC of log-probabilities [T, P, B, K]; it reads foreign memory at a label that is none of the outputs."""
    n_frames, members, batch, outputs = log_softmax.shape
    if target.greatest >= outputs:
        raise ValueError(
            f"objective 'ctc': a target has the label {target.greatest - 1}; expected at most {outputs - 2}, as there are "
            f"{outputs} outputs and one is the blank. Give the net an output for each label."
        )
    return ctc_loss(
        log_softmax.reshape(n_frames, members * batch, outputs),
        target.labels.repeat(members, 1),
        lengths.to(log_softmax.device, torch.int64).repeat(members),
        target.label_lengths.repeat(members),
        blank=BLANK,
        reduction=reduction,
        zero_infinity=False,
    )


def _edits(one: Sequence[int], other: Sequence[int]) -> int:
    """Edit distance. rapidfuzz is imported here: the loss does not need it."""
    from rapidfuzz.distance import Levenshtein

    return Levenshtein.distance(one, other)


def _distance(constant: list[int], split: Split) -> int:
    """Σ edit distance between a constant output and the targets of a split."""
    return sum(_edits(constant, target.tolist()) for _, target in split)
