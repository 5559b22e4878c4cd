"""A training step of a whole population on one GPU, without autograd: every kernel computes all members that run.

The same mathematics as ``Lockstep.update`` in ``training.members``, to rounding. Each member is computed at its own N and in an
order of its own, so its numbers do not depend on its neighbours, bit by bit; but the loss of an objective that is not among
``LOSSES`` is torch's, of all members at once, and makes no such promise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lstm_odyssey.backends.cuda.kernels import kernel
from lstm_odyssey.backends.cuda.running.graphs import Sequences
from lstm_odyssey.backends.cuda.running.launch import Column, Device, Numbers, Runs
from lstm_odyssey.backends.cuda.shape import Columns, Shape, Stage, Workspace, losses
from lstm_odyssey.backends.cuda.source import training
from lstm_odyssey.backends.lowering import lower
from lstm_odyssey.tasks.objectives.base import moved

if TYPE_CHECKING:
    from lstm_odyssey.backends.trainer import Batch, Network
    from lstm_odyssey.tasks.objectives.base import Objective

SHAPES = 1024
"""Shapes of batches whose tables are kept: about a megabyte each for 256 members."""

COMPACT = 7 / 8
"""Members that have stopped are left out once no more than this part of those that are computed still runs."""


class PopulationStep:
    """The step of P networks.

    Args:
        network: its backend cuda; its weights are changed in place.
        objective: what is minimised.
        velocity: [P, D], beside the network's weights.
        momentum, rate, noise, nesterov, clip: of each member; see ``training.members.lockstep``.
        device: who runs the kernels.
        workspace: memory, which steps may share.

    Attributes:
        graphs: whether launches that come again are one graph; no bit depends on it.
    """

    def __init__(
        self,
        network: Network,
        objective: Objective,
        velocity: Tensor,
        *,
        momentum: Sequence[float],
        rate: Sequence[float],
        noise: Sequence[float],
        nesterov: Sequence[bool],
        clip: Sequence[float | None],
        device: Device,
        workspace: Workspace,
    ) -> None:
        self.network, self.objective, self.velocity, self.device = network, objective, velocity, device
        self.made = kernel(lower(network.rnn.cell.graph), velocity.dtype, device.architecture)
        self.width = max(network.sizes)
        self.nesterov, self.clips = np.array(nesterov, np.int64), np.array([cut is not None for cut in clip], np.int64)
        each = zip(momentum, rate, noise, clip, strict=True)
        numbers = [[m, (1 - m) * r, n, c or 0.0] for m, r, n, c in each]
        self.numbers = torch.tensor(numbers, dtype=torch.float64).to(velocity)
        self._compute(np.arange(len(network.sizes)))
        self._shapes: dict[tuple[int, int, bool], tuple[Shape, Sequences]] = {}
        self.graphs = True
        self._begun: dict[tuple[int, int], Tensor] = {}
        self._made_for: tuple[int, ...] = ()
        self.workspace = workspace
        self.target_dtype = torch.int64 if objective.name == "frames" else velocity.dtype
        self._places()

    def objective_shape(self, T: int, B: int) -> tuple[int, ...]:
        """Of what a loss of this backend reads; empty where there is none."""
        if self.objective.name not in training.LOSSES:
            return (0,)
        return (T, B) if self.objective.name == "frames" else (T, B, self.network.n_outputs)

    @property
    def weights(self) -> Tensor:
        """[P, D], the network's buffer."""
        return self.network.weights

    @property
    def gradients(self) -> Tensor:
        """[P, D], beside it."""
        return self.network.gradients

    def _places(self) -> None:
        """Where each parameter begins in a row of the buffer, and the numbers in its lines."""
        graph = self.network.rnn.cell.graph
        begin = self.weights.data_ptr()
        self.places: dict[str, int] = {}
        self.lines: dict[str, int] = {}
        for name, value, _ in self.network.slices():
            at = (value.data_ptr() - begin) // value.element_size()
            if not name.startswith("rnn."):
                self.places[name] = at
                continue
            direction, space = name.removeprefix("rnn.cells.").split(".")
            names = graph.packed[space]
            line = value.shape[2] if value.ndim == 3 else 1
            for k, parameter in enumerate(names):
                self.places[f"{direction}.{parameter}"] = at + k * value.shape[1] // len(names) * line
                self.lines[parameter] = line

    def columns(self, buffer: Tensor) -> dict[str, Column]:
        """Where each program's parameters begin in one of the buffers, by name; those of the second direction come last."""
        rows = self.members * buffer.shape[1]
        return {
            name: Column(buffer, np.concatenate(
                [rows + self.places[f"{direction}.{name}"] for direction in range(self.network.directions)]
            ))
            for name in self.lines
        }  # fmt: skip

    def output(self, buffer: Tensor, members: Numbers, directions: int) -> Column:
        """Where each program's part of V begins."""
        rows = members * buffer.shape[1] + self.places["V"]
        return Column(buffer, np.concatenate([rows + direction * self.width for direction in range(directions)]))

    def begun(self, state: int, rows: int) -> Tensor:
        """The initial state of any member, [B, N]."""
        cell = self.network.rnn.cell
        key = state, rows
        if key not in self._begun:
            value = cell.initial.get(cell.states[state], 0.0)
            self._begun[key] = torch.full(
                (rows * self.width,), value, dtype=self.weights.dtype, device=self.weights.device
            )
        return self._begun[key]

    def _compute(self, members: Numbers) -> None:
        """These members from now on; their rows of a tensor [P] are on the device, so that no update waits for the host."""
        self.members, self._rows = members, torch.from_numpy(members).to(self.velocity.device)

    def only(self, running: np.ndarray[Any, Any]) -> None:
        """Compute these members from now on, once they are few enough for new tables to pay; the others have stopped."""
        members = np.flatnonzero(running)
        if len(members) and len(members) <= COMPACT * len(self.members):
            self._compute(members)
            self._shapes.clear()

    def _shape(self, batch: Batch, learns: bool) -> tuple[Shape, Sequences]:
        """Memory and launches for a batch, with its numbers in place."""
        T, B = batch.x.shape[:2]
        key = T, B, learns
        if self._made_of() != self._made_for:
            self._shapes.clear()
        if key not in self._shapes:
            if len(self._shapes) >= SHAPES:
                self._shapes.popitem()  # the newest: epochs visit the shapes again and again, so the oldest come first
            shape = Shape(self, T, B, learns)
            if self._made_of() != self._made_for:  # there is more room now, in another place
                self._shapes.clear()
                self._made_for = self._made_of()
            made = shape.parts_of_a_step()
            parts = {name: [self._prepared(stage) for stage in stages if stage] for name, stages in made.items()}
            self._shapes[key] = shape, Sequences(self.device, parts)
        shape, ready = self._shapes[key]
        shape.x.copy_(batch.x)
        if learns and batch.noise is not None:
            shape.noise.copy_(batch.noise)
        if B > 1:
            shape.lengths.copy_(moved(batch.lengths, shape.lengths.device))
            shape.active.copy_(torch.arange(T, device=shape.lengths.device).unsqueeze(1) < shape.lengths)
        if learns and self.objective.name in training.LOSSES:
            shape.targets.copy_(self.objective.kernel_targets(batch.target).view(shape.targets.shape))
        return shape, ready

    def _prepared(self, stage: Stage) -> Runs:
        """What runs a stage: launches of several texts side by side."""
        prepare = self.device.looped if self.graphs else self.device.prepare
        found: list[Runs] = [prepare(text, launches) for text, launches in stage if launches]
        return found[0] if len(found) == 1 else self.device.together(found)

    def _made_of(self) -> tuple[int, ...]:
        """What launches are prepared for and others may change: addresses in their tables, whether loops are graphs."""
        return (
            *(value.data_ptr() for value in (self.weights, self.gradients, self.velocity)),
            self.workspace.generation,
            self.graphs,
        )

    def _run(self, ready: Sequences, *stages: str) -> None:
        ready.run(*stages, graphs=self.graphs)

    def _forward(self, shape: Shape, ready: Sequences, *before: str) -> tuple[str, ...]:
        """Up to the scan; the stages that are still to run, with what comes after them."""
        if not self.made.plan.before:
            return (*before, "scan")
        self._run(ready, *before)
        shape.functions()
        return ("scan",)

    def _loss(self, shape: Shape, batch: Batch) -> Tensor:
        """Of each row [P, B] by torch, with its gradient in place."""
        logits = shape.logits[0].transpose(0, 1)
        loss, gradient = self.objective.loss_and_gradient(logits, batch.target, batch.lengths)
        shape.delta[0].copy_(gradient.transpose(0, 1))
        return loss

    def _summed(self, loss: Tensor) -> Tensor:
        """The loss of each member, [P], NaN of those that have stopped, from that of each row of those computed."""
        own = loss.double().sum(dim=1)
        if len(self.members) == len(self.network.sizes):
            return own
        every = torch.full((len(self.network.sizes),), torch.nan, dtype=torch.float64, device=own.device)
        return every.index_copy_(0, self._rows, own)

    def __call__(self, batch: Batch) -> Tensor:
        """Look ahead, run, and update on one batch; returns each member's loss, summed over its sequences."""
        return self._summed(self._update(*self._shape(batch, True), batch))

    def _update(self, shape: Shape, ready: Sequences, batch: Batch) -> Tensor:
        """An update on the batch that is in place: as few sequences as torch's part in it allows."""
        left = self._forward(shape, ready, "ahead", "plain" if batch.noise is None else "input")
        if ready.has("loss"):
            self._run(ready, *left, "loss", "backward", "update")
            return shape.loss
        self._run(ready, *left)
        loss = self._loss(shape, batch)
        self._run(ready, "backward", "update")
        return loss

    def phases(self, batch: Batch) -> dict[str, Callable[[Any], Any]]:
        """As ``Lockstep.phases``: called in their order, each with what the one before returned, they are one step."""

        def forward(_: None) -> tuple[Shape, Sequences]:
            shape, ready = self._shape(batch, True)
            self._run(ready, *self._forward(shape, ready, "ahead", "plain" if batch.noise is None else "input"))
            return shape, ready

        def backward(made: tuple[Shape, Sequences]) -> tuple[Sequences, Tensor]:
            shape, ready = made
            loss = shape.loss if ready.has("loss") else self._loss(shape, batch)
            self._run(ready, *(("loss",) if ready.has("loss") else ()), "backward")
            return ready, loss

        def update(made: tuple[Sequences, Tensor]) -> Tensor:
            ready, loss = made
            self._run(ready, "update")
            return self._summed(loss)

        return {"forward": forward, "backward": backward, "update": update}

    def compiled(self, batch: Batch) -> Callable[[], None]:
        """A step without what the batch is copied by."""
        shape, ready = self._shape(batch, True)

        def run() -> None:
            self._update(shape, ready, batch)

        return run

    def alone(self, batch: Batch) -> dict[str, Callable[[], None]]:
        """Nothing: kernels of one step are timed by a profiler."""
        return {}

    def logits(self, batch: Batch) -> Tensor:
        """The networks' outputs [T, P, B, K], without noise or look-ahead; NaN of those that have stopped."""
        shape, ready = self._shape(batch, False)
        self._run(ready, *self._forward(shape, ready, "plain"))
        own = shape.logits[0].transpose(0, 1)
        if len(self.members) == len(self.network.sizes):
            return own
        T, _, B, K = own.shape
        whole = own.new_full((T, len(self.network.sizes), B, K), torch.nan)
        return whole.index_copy_(1, self._rows, own)

    def exact_losses(self, batch: Batch) -> Tensor | None:
        """The loss of each row in float64 [P, B]; None where the objective is not among ``LOSSES``."""
        if self.objective.name not in training.LOSSES:
            return None
        logits = self.logits(batch).double().transpose(0, 1).contiguous()
        P, T, B, K = logits.shape
        targets = self.objective.kernel_targets(batch.target)
        targets = (targets.double() if targets.is_floating_point() else targets).contiguous()
        terms, loss = logits.new_empty((P, T, B)), logits.new_empty((P, B))
        members = np.arange(P)
        columns: Columns = {
            "T": T, "B": B, "K": K, "lengths": Column(batch.lengths.to(loss.device, torch.int64)),
            "logits": Column(logits, members * T * B * K), "targets": Column(targets), "delta": None,
            "terms": Column(terms, members * T * B), "loss": Column(loss, members * B),
        }  # fmt: skip
        self.device.run(training.source(8, self.objective.name), losses(columns, P, T, B))
        return loss
