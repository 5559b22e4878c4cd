"""The study's training protocol as one writes it in plain torch: the yardstick of an epoch.

``torch.nn.LSTM`` and ``torch.nn.Linear``, differentiated by autograd, and a loop over their weights. For the sequence of
an update, with the noise ε ~ Normal(0, σ²) on its frames and the loss L *summed* over them:

    v ← m v;  w ← w + v                          the look-ahead of Nesterov's momentum
    d = (1 - m) η ∂L(x + ε; w)/∂w
    v ← v - d;  w ← w - d

This file shares no code with the package's trainer, so that a test can hold the one against the other.

Source of the protocol: Greff et al. 2017, section IV.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor


def summed_bernoulli(logits: Tensor, target: Tensor) -> Tensor:
    """The loss of next-frame prediction: cross entropy of every component of every frame, summed."""
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="sum")


class PlainTorch:
    """A network of torch's own layers in training.

    Args:
        input_size, hidden_size, n_outputs: M, N, K.
        loss: of logits [T, B, K] and a target, summed over everything.
        learning_rate, momentum, input_noise: η, m, σ.
        nesterov: look ahead as above; False is classical momentum, w ← w + v after v ← m v - d.
        clip: where each component of the gradient is cut, on both sides; None: nowhere.
        bidirectional, dtype, device: as in ``torch.nn.LSTM``.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        n_outputs: int,
        loss: Callable[[Tensor, Any], Tensor] = summed_bernoulli,
        *,
        learning_rate: float,
        momentum: float,
        input_noise: float,
        nesterov: bool = True,
        clip: float | None = None,
        bidirectional: bool = False,
        dtype: torch.dtype = torch.float32,
        device: Any = "cpu",
    ) -> None:
        self.lstm = torch.nn.LSTM(input_size, hidden_size, bidirectional=bidirectional, dtype=dtype, device=device)
        self.linear = torch.nn.Linear(hidden_size * (1 + bidirectional), n_outputs, dtype=dtype, device=device)
        for name, weight in self.lstm.named_parameters():
            if name.startswith("bias_hh"):  # torch's layer has two biases a gate, the paper's cell one
                torch.nn.init.zeros_(weight).requires_grad_(False)
        self.weights = [w for w in (*self.lstm.parameters(), *self.linear.parameters()) if w.requires_grad]
        self.velocities = [torch.zeros_like(w) for w in self.weights]
        self.loss, self.rate, self.momentum, self.noise = loss, learning_rate, momentum, input_noise
        self.nesterov, self.clip = nesterov, clip

    def update(self, x: Tensor, noise: Tensor, target: Any) -> Tensor:
        """One update.

        Args:
            x, noise: [T, B, M]; the noise is of unit variance.
            target: what ``loss`` expects.

        Returns:
            The summed loss.
        """
        with torch.no_grad():
            for w, v in zip(self.weights, self.velocities, strict=True):
                v.mul_(self.momentum)
                if self.nesterov:
                    w.add_(v)
        y, _ = self.lstm(x + self.noise * noise)
        loss = self.loss(self.linear(y), target)
        gradients = torch.autograd.grad(loss, self.weights)
        with torch.no_grad():
            for w, v, gradient in zip(self.weights, self.velocities, gradients, strict=True):
                if self.clip is not None:
                    gradient = gradient.clamp(-self.clip, self.clip)
                d = (1 - self.momentum) * self.rate * gradient
                v.sub_(d)
                if self.nesterov:
                    w.sub_(d)
                else:
                    w.add_(v)
        return loss.detach()

    def epoch(self, sequences: Sequence[tuple[Tensor, Any]], order: Iterable[int], noise: Tensor) -> float:
        """An update for every sequence.

        Args:
            sequences: pairs (x [T, 1, M], target).
            order: their indices as they come.
            noise: [frames of all sequences one after the other, M], of unit variance.

        Returns:
            The summed loss.
        """
        starts = [0]
        for x, _ in sequences:
            starts.append(starts[-1] + len(x))
        total = torch.zeros((), dtype=torch.float64, device=noise.device)
        for index in order:
            x, target = sequences[index]
            total += self.update(x, noise[starts[index] : starts[index + 1]].unsqueeze(1), target)
        return float(total)
