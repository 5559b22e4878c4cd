"""Corpora as tensors: the training sequences in their order with their noise, and a split in padded batches to score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lstm_odyssey.tasks.declare import Corpus
from lstm_odyssey.tasks.objectives.base import Objective, moved
from lstm_odyssey.training.random_streams import digest, stream
from lstm_odyssey.training.resident import Frames, ahead

SCORED_FRAMES = 4096  # padded frames a batch when a split is scored; padding changes nothing beyond rounding
LEAST_SCORED = 1024  # where memory is short: four rows, which a GPU computes side by side, of 256 frames


@dataclass(frozen=True)
class Batch:
    """x [T, B, M], what the objective made of the targets, lengths [B], and the noise that goes with it (or None)."""

    x: Tensor
    target: Any
    lengths: Tensor
    noise: Tensor | None = None

    @property
    def padded(self) -> bool:
        return bool((self.lengths != self.x.shape[0]).any())


def _pad(arrays: Sequence[NDArray[Any]], steps: int) -> NDArray[Any]:
    padded = np.zeros((steps, len(arrays), arrays[0].shape[1]), dtype=arrays[0].dtype)
    for row, array in enumerate(arrays):
        padded[: len(array), row] = array
    return padded


WHOLE_NOISE = 64 * 2**20
"""Bytes of an epoch's noise from which on each sequence has a stream of its own, so that no worker holds all of it."""


def unit_noise(seed: int, corpus: str, epoch: int, frames: int, width: int, sequence: int | None = None) -> Tensor:
    """Noise of unit variance [frames, width], float32, from (seed, corpus, epoch): common to all trials.

    It is that of a whole epoch, one sequence after the other in the order of the corpus, or with ``sequence`` that of one.
    torch's generator: numpy's takes four times as long, a fifth of an epoch of a small corpus.
    """
    key = ["noise", seed, corpus, epoch] if sequence is None else ["noise", seed, corpus, epoch, sequence]
    number = int(digest(key)[:16], 16) & (2**63 - 1)
    return torch.randn(frames, width, generator=torch.Generator().manual_seed(number), dtype=torch.float32)


def scored_frames(corpus: Corpus, batch: int, sparing: bool) -> int:
    """The padded frames of a batch when a split is scored, at most.

    Where memory is short they are as many as those of the largest update, so that scoring does not take more than learning
    does, and ``LEAST_SCORED`` at least.
    """
    largest = batch * max(len(features) for features, _ in corpus.train)
    return min(SCORED_FRAMES, max(LEAST_SCORED, largest)) if sparing else SCORED_FRAMES


def groups(split: Sequence[tuple[Any, Any]], frames: int = SCORED_FRAMES) -> list[list[int]]:
    """The sequences of a split in the order in which they are scored, batch by batch, each of so many frames at most.

    A sequence that is longer is a batch of its own. The order does not depend on ``frames``.
    """
    order = sorted(range(len(split)), key=lambda index: (len(split[index][0]), index))
    found: list[list[int]] = [[]]
    for index in order:
        if found[-1] and len(split[index][0]) * (len(found[-1]) + 1) > frames:
            found.append([])
        found[-1].append(index)
    return found


def numbers_of_rows(corpus: Corpus, batch: int, frames: int = SCORED_FRAMES) -> list[int]:
    """How many sequences are computed at once: in the updates, the last of an epoch included, and in the scores."""
    count = len(corpus.train)
    scored = [len(group) for split in (corpus.valid, corpus.test) for group in groups(split, frames)]
    return sorted({min(batch, count), count % batch or min(batch, count), *scored})


class Batches:
    """Makes batches of one corpus for one objective.

    Args:
        objective: collates the targets.
        dtype, device: of the tensors.

    Attributes:
        resident: whether the training set lies on the device, so that no update copies features there.
    """

    def __init__(self, objective: Objective, dtype: torch.dtype, device: Any) -> None:
        self.objective, self.dtype, self.device = objective, dtype, device
        self.resident = torch.device(device).type != "cpu"
        self._alone: tuple[Any, list[Batch]] | None = None
        self._frames: tuple[Any, Frames] | None = None

    def make(self, pairs: Sequence[tuple[Any, Any]], noise: Sequence[NDArray[Any]] | None = None) -> Batch:
        lengths = torch.tensor([len(features) for features, _ in pairs])
        steps = int(lengths.max())
        target = self.objective.collate([target for _, target in pairs], lengths, steps, self.dtype, self.device)
        x = self._tensor(_pad([features for features, _ in pairs], steps))
        return Batch(x, target, lengths, None if noise is None else self._tensor(_pad(noise, steps)))

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return moved(torch.from_numpy(array), self.device, self.dtype)

    def scored(self, split: Sequence[tuple[Any, Any]], frames: int = SCORED_FRAMES) -> list[Batch]:
        """A split in batches of sequences of like length, at most so many padded frames each."""
        return [self.make([split[index] for index in group]) for group in groups(split, frames)]

    def epoch(
        self, split: Sequence[tuple[Any, Any]], seed: int, corpus: str, epoch: int, batch: int
    ) -> Iterator[Batch]:
        """The training batches of one epoch: order and unit noise from (seed, corpus, epoch), common to all trials.

        Of a corpus whose noise takes ``WHOLE_NOISE`` bytes or more each sequence's is drawn as it comes.
        """
        frames = np.cumsum([0, *(len(features) for features, _ in split)])
        width = split[0][0].shape[1]
        whole = None
        if 4 * int(frames[-1]) * width < WHOLE_NOISE:
            whole = unit_noise(seed, corpus, epoch, int(frames[-1]), width)

        def noise(index: int) -> Tensor:
            if whole is None:
                return unit_noise(seed, corpus, epoch, len(split[index][0]), width, int(index))
            return whole[frames[index] : frames[index + 1]]

        order = stream("order", seed, corpus, epoch).permutation(len(split))
        if whole is not None and (batch == 1 or self.resident):
            whole = self._moved(whole)  # once, not for each sequence
        at_once = self.resident and whole is None
        noises = (
            ahead(order.tolist(), noise, self._moved) if at_once else (self._moved(noise(index)) for index in order)
        )
        if batch == 1:  # batches that are the same in every epoch, but for their order and noise
            batches = self._singles(split)
            for index, own in zip(order, noises, strict=True):
                yield replace(batches[index], noise=own.unsqueeze(1))
            return
        if self.resident:
            yield from self._gathered(split, order, batch, frames, noises if whole is None else Frames(whole, frames))
            return
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            yield self.make([split[index] for index in chosen], [noise(index).numpy() for index in chosen])

    def _moved(self, value: Tensor) -> Tensor:
        return moved(value, self.device, self.dtype)

    def _gathered(
        self,
        split: Sequence[tuple[Any, Any]],
        order: NDArray[Any],
        batch: int,
        frames: NDArray[Any],
        noises: Frames | Iterator[Tensor],
    ) -> Iterator[Batch]:
        """The same batches of a training set that lies on the device."""
        if self._frames is None or self._frames[0] is not split:
            rows = np.concatenate([features for features, _ in split])
            self._frames = (split, Frames(self._tensor(rows), frames))
        features = self._frames[1]
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            lengths = torch.from_numpy(np.diff(frames)[chosen])
            steps = int(lengths.max())
            places = features.places(chosen, steps)
            given = (
                noises.padded(places) if isinstance(noises, Frames) else pad_sequence([next(noises) for _ in chosen])
            )
            wanted = [split[index][1] for index in chosen]
            target = self.objective.collate(wanted, lengths, steps, self.dtype, self.device)
            yield Batch(features.padded(places), target, lengths, given)

    def _singles(self, split: Sequence[tuple[Any, Any]]) -> list[Batch]:
        """A batch for every sequence, made once."""
        if self._alone is None or self._alone[0] is not split:
            self._alone = (split, [self.make([pair]) for pair in split])
        return self._alone[1]
