"""A network in training as one writes it in plain torch, for any cell: the step's text, autograd, and a loop over weights.

For the sequence of an update, with the noise ε ~ Normal(0, σ²) on its frames and the loss L summed over them:

    Nesterov     v ← m v;  w ← w + v;  d = (1 - m) η clip(∂L(x + ε; w)/∂w);  v ← v - d;  w ← w - d
    classical    v ← m v - (1 - m) η clip(∂L(x + ε; w)/∂w);  w ← w + v

``bench.plain_torch`` is the same over ``torch.nn.LSTM``, which computes one cell only. Neither tracer nor kernels take part.

Source of the protocol: Greff et al. 2017, section IV.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lstm_odyssey.bench.loop import Loop
from lstm_odyssey.cell import Cell


def of_frames(logits: Tensor, target: Any) -> Tensor:
    """Softmax cross entropy of a class [T] for every frame of logits [T, K], summed."""
    return functional.cross_entropy(logits, torch.as_tensor(target), reduction="sum")


def of_next_frame(logits: Tensor, target: Any) -> Tensor:
    """Bernoulli cross entropy of every component of a frame [T, K], summed."""
    wanted = torch.as_tensor(target).to(logits)
    return functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")


def of_ctc(logits: Tensor, target: Any) -> Tensor:
    """CTC of labels [U], counted from 0; output 0 is the blank."""
    labels = torch.as_tensor(target) + 1
    lengths = (torch.tensor([len(logits)]), torch.tensor([len(labels)]))
    return functional.ctc_loss(logits.log_softmax(-1).unsqueeze(1), labels.unsqueeze(0), *lengths, reduction="sum")


def of_last(logits: Tensor, target: Any) -> Tensor:
    """Softmax cross entropy of the one class of a sequence, of the last frame of logits [T, K]."""
    return functional.cross_entropy(logits[-1:], torch.as_tensor(target))


def of_ends(logits: Tensor, target: Any) -> Tensor:
    """The same of the mean of the first frame and the last."""
    return functional.cross_entropy(logits[[0, -1]].mean(0, keepdim=True), torch.as_tensor(target))


def of_mean(logits: Tensor, target: Any) -> Tensor:
    """The same of the mean over all frames."""
    return functional.cross_entropy(logits.mean(0, keepdim=True), torch.as_tensor(target))


LOSSES: Mapping[str, Callable[[Tensor, Any], Tensor]] = {
    "frames": of_frames, "next_frame": of_next_frame, "ctc": of_ctc, "label_last": of_last, "label_ends": of_ends,
    "label_mean": of_mean,
}  # fmt: skip
"""By the names of the suite's objectives."""


class Transcription:
    """One network.

    Args:
        cell: whose text is called.
        weights: by name, ``cells.0.W.z``, ``V.0``, ``a``, as ``training.network.Network.member_weights`` has them.
        loss: of logits [T, K] and a target, summed.
        learning_rate, momentum, input_noise: η, m, σ.
        nesterov: look ahead as above.
        clip: where each component of the gradient is cut, on both sides; None: nowhere.
        dtype: of all numbers.
    """

    def __init__(
        self,
        cell: Cell,
        weights: Mapping[str, Any],
        loss: Callable[[Tensor, Any], Tensor],
        *,
        learning_rate: float,
        momentum: float,
        input_noise: float,
        nesterov: bool,
        clip: float | None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        given = {name: torch.as_tensor(value).to(dtype) for name, value in weights.items()}
        self.directions = sum(name.startswith("V.") for name in given)
        self.loops = []
        for direction in range(self.directions):
            start = f"cells.{direction}."
            own = {name.removeprefix(start): value for name, value in given.items() if name.startswith(start)}
            self.loops.append(Loop(cell.step, cell.spaces, own))
        self.cell, self.loss, self.dtype = cell, loss, dtype
        self.outputs = [given[f"V.{direction}"].clone().requires_grad_() for direction in range(self.directions)]
        self.bias = given["a"].clone().requires_grad_()
        self.rate, self.momentum, self.noise = learning_rate, momentum, input_noise
        self.nesterov, self.clip = nesterov, clip
        named = {
            f"cells.{d}.{name}": value for d, loop in enumerate(self.loops) for name, value in loop.parameters.items()
        }
        self.weights = {**named, **{f"V.{d}": value for d, value in enumerate(self.outputs)}, "a": self.bias}
        self.velocities = {name: torch.zeros_like(value) for name, value in self.weights.items()}

    def logits(self, x: Tensor) -> Tensor:
        """Outputs [T, K] of x [T, M]."""
        total = self.bias
        for direction, (loop, V) in enumerate(zip(self.loops, self.outputs, strict=True)):
            turned = x.flip(0) if direction else x
            N = V.shape[1]
            begun = [
                torch.full((N, 1), float(self.cell.initial.get(s, 0.0)), dtype=self.dtype) for s in self.cell.states
            ]
            y = loop(turned.unsqueeze(2), begun)[0].squeeze(2)
            total = total + (y.flip(0) if direction else y) @ V.T
        return total

    def update(self, x: Tensor, noise: Tensor, target: Any) -> float:
        """One update on x [T, M], with noise of unit variance; returns the loss."""
        with torch.no_grad():
            for name, w in self.weights.items():
                v = self.velocities[name].mul_(self.momentum)
                if self.nesterov:
                    w.add_(v)
        loss = self.loss(self.logits(x.to(self.dtype) + self.noise * noise.to(self.dtype)), target)
        gradients = torch.autograd.grad(loss, list(self.weights.values()), materialize_grads=True)
        with torch.no_grad():
            for (name, w), gradient in zip(self.weights.items(), gradients, strict=True):
                cut = gradient if self.clip is None else gradient.clamp(-self.clip, self.clip)
                d = (1 - self.momentum) * self.rate * cut
                v = self.velocities[name].sub_(d)
                if self.nesterov:
                    w.sub_(d)
                else:
                    w.add_(v)
        return float(loss.detach())
