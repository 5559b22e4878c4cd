"""A population of networks: one recurrent layer and a linear output layer each, all weights in one buffer.

The weights of all members lie in one tensor [P, D], and their gradients in another, so that an update of the whole
population is a handful of vector operations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lstm_odyssey.cell import Cell
from lstm_odyssey.cell.declared import constant
from lstm_odyssey.layers.rnn import RNN
from lstm_odyssey.layers.starts import LONGEST, Draw, begun
from lstm_odyssey.training.random_streams import stream
from lstm_odyssey.variants.declare import Start


class Network(nn.Module):
    """P independent networks, ``logits_t = V y_t + a`` on top of ``lo.RNN``.

    Args:
        cell: the recurrent cell.
        input_size: M.
        hidden_sizes: N of each member.
        n_outputs: K.
        bidirectional: two directions, each with its own half of V.
        backend, dtype, device: as in ``lo.RNN``.
        constants: of the cell, by name one for each member.

    The first ``trained`` numbers of a row of ``weights`` are parameters; the cell's constants follow, whose gradients no update
    reads.
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_sizes: Sequence[int],
        n_outputs: int,
        bidirectional: bool,
        backend: str,
        dtype: torch.dtype,
        device: Any,
        constants: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        self.rnn = RNN(
            cell,
            input_size,
            list(hidden_sizes),
            bidirectional,
            backend,
            device=device,
            dtype=dtype,
            constants=constants,
        )
        self.sizes, self.directions, self.n_outputs = tuple(hidden_sizes), 1 + bidirectional, n_outputs
        members, width = len(self.sizes), max(self.sizes)
        self.V = nn.Parameter(torch.zeros(members, n_outputs, self.directions * width, dtype=dtype, device=device))
        self.a = nn.Parameter(torch.zeros(members, n_outputs, dtype=dtype, device=device))
        self._gather()

    def _gather(self) -> None:
        """Move every parameter into a slice of one buffer; the gradients have slices of another."""
        parameters = [*self.parameters(), *self.buffers()]
        members = len(self.sizes)
        self.trained = sum(value[0].numel() for value in self.parameters())
        total = sum(value[0].numel() for value in parameters)
        self.weights = parameters[0].new_zeros(members, total).detach()
        self.gradients = torch.zeros_like(self.weights)
        self._gradient_slices: list[Tensor] = []
        start = 0
        for value in parameters:
            stop = start + value[0].numel()
            value.data = self.weights[:, start:stop].view(value.shape).copy_(value.data)
            self._gradient_slices.append(self.gradients[:, start:stop].view(value.shape))
            start = stop

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]  # torch has no types here
        self._gather()  # copied or unpickled one by one, parameters and buffer are no longer the same memory

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch has no types here
        self._gather()  # moved one by one
        return self

    def slices(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Every parameter, and every space of constants, by name, with the slice of the buffer of gradients that is its own."""
        every = [*self.named_parameters(), *self.named_buffers()]
        for (name, value), gradient in zip(every, self._gradient_slices, strict=True):
            yield name, value.data, gradient

    def backward(self, logits: Tensor, gradient: Tensor) -> Tensor:
        """The gradient [P, D] of all weights, from that of the logits; the buffer is used again by the next call."""
        gradients = torch.autograd.grad(logits, list(self.parameters()), gradient)
        for place, value in zip(self._gradient_slices, gradients, strict=False):  # constants have none and come last
            place.copy_(value)
        return self.gradients

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits [T, P, B, K] of x [T, P, B, M]."""
        y, _ = self.rnn(x, lengths=lengths)
        steps, members, rows, width = y.shape
        flat = y.transpose(0, 1).reshape(members, steps * rows, width)
        logits = torch.baddbmm(self.a.unsqueeze(1), flat, self.V.transpose(1, 2))
        return logits.view(members, steps, rows, self.n_outputs).transpose(0, 1)

    def like(self, sizes: Sequence[int]) -> Network:
        """One of the same cell on the CPU, of members of these N; to hold weights, not to compute."""
        rnn = self.rnn
        return Network(
            rnn.cell, rnn.input_size, sizes, self.n_outputs, self.directions == 2, "eager", self.weights.dtype, "cpu"
        )

    def count(self) -> list[int]:
        """Number of parameters of each member, output layer included."""
        layers = self.rnn.count()
        assert isinstance(layers, list)
        outputs = [self.n_outputs * (self.directions * size + 1) for size in self.sizes]
        return [layer + output for layer, output in zip(layers, outputs, strict=True)]

    def _pieces(self, member: int) -> Iterator[tuple[str, Tensor]]:
        """A member's parameters cut to its own N, as views, by name; V one piece a direction."""
        size, width = self.sizes[member], max(self.sizes)
        for direction, parameters in enumerate(self.rnn.directions()):
            for name, value in parameters.tensors().items():
                own = value.detach()[member][:size]
                yield f"cells.{direction}.{name}", own[:, :size] if name.startswith("R.") else own
        for direction in range(self.directions):
            yield f"V.{direction}", self.V.data[member][:, direction * width : direction * width + size]
        yield "a", self.a.data[member]

    def initialise(
        self,
        seed: int,
        variant: str,
        indices: Sequence[int],
        std: float | Sequence[float],
        starts: Sequence[Mapping[str, float | Start]] | None = None,
        longest: int = LONGEST,
    ) -> None:
        """Draw each member's weights from Normal(0, std), from (seed, variant, trial index, parameter) alone.

        Parameters that the cell declares a start for begin so, at the member's own N. Constants are as they were made.

        Args:
            seed, variant: of the study and the cell.
            indices: of the members' trials.
            std: of all members, or of each.
            starts: by member, what a cell's parameters begin with instead, ``{"b.f": 1.0}``, in every direction; by default
                what the cell declares.
            longest: frames of the longest sequence, for ``chrono``.
        """
        stds = [std] * len(indices) if isinstance(std, float | int) else std
        for member, (index, own) in enumerate(zip(indices, stds, strict=True)):
            start = starts[member] if starts is not None else self.rnn.cell.start
            for name, piece in self._pieces(member):
                direction, _, parameter = name.removeprefix("cells.").partition(".")
                if constant(parameter):
                    continue
                if name.startswith("cells.") and parameter in start:
                    draw = _of_stream(seed, variant, index, f"cells.{direction}")
                    piece.copy_(begun(start[parameter], parameter, piece.shape, longest, draw))
                    continue
                drawn = stream("init", seed, variant, index, name).standard_normal(tuple(piece.shape)) * own
                piece.copy_(torch.from_numpy(np.asarray(drawn)))

    def member_weights(self, member: int) -> dict[str, NDArray[Any]]:
        """One member's weights at its own N, by name."""
        return {name: piece.detach().cpu().numpy().copy() for name, piece in self._pieces(member)}

    def load_member_weights(self, member: int, weights: Mapping[str, NDArray[Any]]) -> None:
        """Set one member's weights, as ``member_weights`` returned them.

        Raises:
            ValueError: names or shapes are not this network's.
        """
        pieces = dict(self._pieces(member))
        if set(pieces) != set(weights):
            raise ValueError(f"weights: got {sorted(weights)}; expected exactly {sorted(pieces)}.")
        for name, piece in pieces.items():
            value = torch.from_numpy(np.asarray(weights[name]))
            if value.shape != piece.shape:
                raise ValueError(f"weights: {name} is {list(value.shape)}; expected {list(piece.shape)}.")
            piece.copy_(value)


def _of_stream(seed: int, variant: str, index: int, place: str) -> Draw:
    """Draws of one trial from (seed, variant, trial index, parameter), whatever N the others have."""

    def draw(kind: str, name: str, shape: tuple[int, ...]) -> Tensor:
        random = stream("init", seed, variant, index, f"{place}.{name}")
        return torch.from_numpy(random.standard_normal(shape) if kind == "normal" else random.random(shape))

    return draw


class TrainedNetwork(nn.Module):
    """One trained network: x [T, B, M] to logits [T, B, K].

    Args:
        cell: the recurrent cell.
        weights: by name, as a study stores them.
        hyperparameters, trial: of the trial they come from.
        bidirectional, dtype: of its study.
    """

    def __init__(
        self,
        cell: Cell,
        weights: Mapping[str, NDArray[Any]],
        hyperparameters: Mapping[str, Any],
        trial: int,
        *,
        bidirectional: bool,
        dtype: str,
    ) -> None:
        super().__init__()
        self.hyperparameters, self.trial = dict(hyperparameters), trial
        outputs, size = weights["V.0"].shape
        inputs = {weights[name].shape[1] for name in weights if ".W." in name}
        self.population = Network(
            cell, inputs.pop() if inputs else 1, [size], outputs, bidirectional, "auto", getattr(torch, dtype), None
        )
        self.population.load_member_weights(0, weights)
        self.eval()

    @property
    def rnn(self) -> RNN:
        """The recurrent layer, a population of one."""
        return self.population.rnn

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits of x; frames beyond a row's length have those of an output of 0."""
        logits: Tensor = self.population(x.unsqueeze(1), lengths)
        return logits.squeeze(1)
