"""A trained network whose ``nn.LSTM`` is swapped for ours: the loss before and after, and how many times as fast it then is.

``python -m tests.tools.swapped`` prints the table that stands in docs/layer.md. A network of torch's LSTM and a linear layer
learns the next frame of the chorales that lie in the package; then its layer is swapped. Times are medians of rounds that take
turns, of the process's own processor time, on one thread: forward and backward of all test chorales, one by one, in batches
of a ``PackedSequence``, and cut to one length.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import lstm_odyssey as lo
from lstm_odyssey.training.threads import one_thread


class Player(nn.Module):
    """Logits of the next frame's notes."""

    def __init__(self, notes: int, units: int) -> None:
        super().__init__()
        self.lstm: Any = nn.LSTM(notes, units)
        self.out = nn.Linear(units, notes)

    def forward(self, x: Any) -> Tensor:
        y, _ = self.lstm(x)
        found: Tensor = self.out(y.data if isinstance(y, PackedSequence) else y)
        return found


def loss(model: Player, batch: Sequence[Tensor]) -> Tensor:
    """Mean over frames of the negative log-likelihood of the notes that come next, in nats."""
    frames, following = [one[:-1] for one in batch], [one[1:] for one in batch]
    if len({len(one) for one in batch}) == 1:
        x, target = torch.stack(frames, 1), torch.stack(following, 1)
    else:
        x, target = (pack_sequence(each, enforce_sorted=False) for each in (frames, following))
        target = target.data
    summed: Tensor = nn.functional.binary_cross_entropy_with_logits(model(x), target, reduction="sum")
    return summed / (target.numel() / target.shape[-1])


def trained(units: int, epochs: int, pieces: Sequence[Tensor]) -> Player:
    """A network that has learned for so many epochs."""
    torch.manual_seed(0)
    model = Player(pieces[0].shape[1], units)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(epochs):
        for start in range(0, len(pieces), 8):
            optimizer.zero_grad()
            loss(model, pieces[start : start + 8]).backward()
            optimizer.step()
    return model


def pass_over(model: Player, pieces: Sequence[Tensor], size: int) -> float:
    """Forward and backward of all pieces in batches of a size; the mean loss of the batches."""
    total = 0.0
    batches = [pieces[start : start + size] for start in range(0, len(pieces), size)]
    for batch in batches:
        found = loss(model, batch)
        found.backward()
        total += float(found.detach())
    return total / len(batches)


def compared(model: Player, pieces: Sequence[Tensor], size: int, rounds: int) -> tuple[list[float], list[float]]:
    """Losses and median seconds, torch's and ours."""
    swapped = copy.deepcopy(model)
    swapped.lstm = lo.from_torch(model.lstm)  # this is all
    both = (model, swapped)
    losses = [pass_over(each, pieces, size) for each in both]  # and what is to be compiled is
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for each, seconds in zip(both, taken, strict=True):
            start = time.process_time()
            pass_over(each, pieces, size)
            seconds.append(time.process_time() - start)
    return losses, [statistics.median(seconds) for seconds in taken]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--pieces", type=int, default=200, help="at most so many are learned from")
    parser.add_argument("--tested", type=int, default=200, help="at most so many are timed")
    options = parser.parse_args(arguments)
    corpus = lo.task("bach").load()
    learned, tested = (
        [torch.from_numpy(features).float() for features, _ in split] for split in (corpus.train, corpus.test)
    )
    tested = tested[: options.tested]
    shortest = min(map(len, tested))
    print("| batch | loss with `nn.LSTM` | after the swap | times as fast |\n|---|---|---|---|")
    with one_thread():
        model = trained(options.units, options.epochs, learned[: options.pieces])
        for words, size, pieces in (
            ("1", 1, tested), ("32, packed", 32, tested), ("32, of one length", 32, [one[:shortest] for one in tested]),
        ):  # fmt: skip
            (before, after), (theirs, ours) = compared(model, pieces, size, options.rounds)
            print(f"| {words} | {before:.5f} | {after:.5f} | {theirs / ours:.2f} |")


if __name__ == "__main__":
    main(sys.argv[1:])
