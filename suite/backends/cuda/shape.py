"""What a population's step needs for one shape of batch: memory, and the launches of each part of the step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from lstm_odyssey.backends.cuda.kernels import LARGEST, Kernel
from lstm_odyssey.backends.cuda.programs import Programs, Rounds, collect
from lstm_odyssey.backends.cuda.running.launch import Column, Launch, Numbers, Table, Value, Work
from lstm_odyssey.backends.cuda.source import products, training

Columns = dict[str, Value]

Stage = Sequence[tuple[str, Sequence[Work]]]
"""Launches with their texts, which may run side by side."""


class Step(Protocol):
    """What a shape asks of the step it is made for; see ``training_step.PopulationStep``."""

    network: Any
    objective: Any
    made: Kernel
    members: Numbers
    velocity: Tensor
    numbers: Tensor
    nesterov: Numbers
    clips: Numbers
    width: int
    places: dict[str, int]
    lines: dict[str, int]
    workspace: Workspace
    target_dtype: torch.dtype

    @property
    def weights(self) -> Tensor: ...
    @property
    def gradients(self) -> Tensor: ...
    def objective_shape(self, T: int, B: int) -> tuple[int, ...]: ...
    def columns(self, buffer: Tensor) -> dict[str, Column]: ...
    def output(self, buffer: Tensor, members: Numbers, directions: int) -> Column: ...
    def begun(self, state: int, rows: int) -> Tensor: ...


class Shape:
    """What a step needs for one shape of batch: memory, and the launches of its parts."""

    def __init__(self, step: Step, T: int, B: int, learns: bool = True) -> None:
        network, made, device = step.network, step.made, step.weights.device
        self.T, self.B, self.step, self.learns = T, B, step, learns
        self.members = step.members
        P, D, K, M = len(self.members), network.directions, network.n_outputs, network.rnn.input_size
        self.N = np.array(network.sizes, np.int64)[self.members]
        self.P, self.D, self.K, self.M = P, D, K, M

        self._countable()
        room = step.workspace.room
        # what only an update needs takes no room where a split is scored, thousands of frames at once
        learnt = T * learns
        self.x, self.noise = room("x", T, B, M), room("noise", learnt, B, M)
        self.lengths = torch.full((B,), T, dtype=torch.int64, device=device)
        self.active = torch.ones((T, B), dtype=torch.uint8, device=device)
        self.noisy = room("noisy", D, P, T, B, M)
        self.logits, self.delta = room("logits", D, P, T, B, K), room("delta", D, P, learnt, B, K)
        self.terms, self.loss = (
            room("terms", P, learnt, B, dtype=torch.float64),
            room("loss", P, B, dtype=torch.float64),
        )
        self.targets = room("targets", *step.objective_shape(learnt, B), dtype=step.target_dtype)
        operations = {n: made.plan.graph.nodes[n].op for n in made.plan.inputs}
        self.inputs = [
            self.noisy if op == "input" else room(f"input{n}", D, P, T, B, M) for n, op in operations.items()
        ]
        self.inputs = self.inputs or [self.noisy]
        parameters, gradients = step.columns(step.weights), step.columns(step.gradients)
        given = [(self._each(x), M) for x in self.inputs]
        self.programs = Programs(
            made, (T, B), np.tile(self.N, D), {name: (column, step.lines[name]) for name, column in parameters.items()}, given,
            stacked=int(self.N.min()) == step.width,
        )  # fmt: skip
        self.programs.kept = room("kept", self.programs.total)
        sums, vectors = (
            learnt * B * len(made.plan.accumulators),
            learns * self.programs.tiles() * len(made.plan.vectors),
        )
        counts = {"dy": learnt * B, "deltas": sums, "parts": vectors}
        self.dy, self.deltas, self.parts = (
            Column.filled(partial(room, name), count * self.programs.N) for name, count in counts.items()
        )
        self.gradients = gradients

    def _countable(self) -> None:
        """Kernels count the numbers of one network in 32 bits.

        Raises:
            ValueError: there are too many.
        """
        frames, N = (self.T + 1) * self.B, int(self.N.max())
        of_a_frame = self.step.made.most_kept * N, self.M, self.K
        counts = {"a batch": frames * max(of_a_frame), "its weights": self.step.weights.shape[1]}
        what, most = max(counts.items(), key=lambda one: one[1])
        if most > LARGEST:
            raise ValueError(
                f"backend 'cuda': {what} takes {most:,} numbers of a network of N = {N}, of {self.T} frames x {self.B} "
                f"sequences; expected at most {LARGEST:,}, as its kernels count in 32 bits. Use a smaller batch, shorter "
                "sequences or backend='eager'."
            )

    def _each(self, value: Tensor) -> Column:
        """Where each program's part of a tensor [D, P, ...] begins."""
        return Column(value, np.arange(self.D * self.P) * value[0, 0].numel())

    def parts_of_a_step(self) -> dict[str, Sequence[Stage]]:
        """The launches of each part, with their texts: ``ahead input plain scan loss backward update``.

        Where nothing is learnt there are ``plain`` and ``scan``.

        A part is done stage by stage; the size classes of a scan are one stage.
        """
        step, made, plan, network = self.step, self.step.made, self.step.made.plan, self.step.network
        T, B, P, D, K, M, frames = self.T, self.B, self.P, self.D, self.K, self.M, self.T * self.B
        members, which = np.arange(P), self.members
        text, around = training.source(made.size, step.objective.name), products.source(made.size)
        numbers = Column(step.numbers, 4 * which)
        rows: Columns = {
            "COUNT": network.trained, "NESTEROV": step.nesterov[which], "CLIPS": step.clips[which],
            "weights": Column(step.weights, which * step.weights.shape[1]),
            "velocity": Column(step.velocity, which * step.weights.shape[1]),
            "gradient": Column(step.gradients, which * step.weights.shape[1]), "numbers": numbers,
        }  # fmt: skip
        blocks = training.blocks(network.trained)
        ahead = _launch("ahead", training.AHEAD, rows, P, blocks)
        update = _launch("update", training.UPDATE, rows, P, blocks)
        lengths = Column(self.lengths)
        turned, both = np.repeat(np.arange(D), P), np.tile(4 * which, D)
        shape: Columns = {"T": T, "B": B, "lengths": lengths}
        source: Columns = shape | {"WIDTH": M, "TURNED": turned, "x": Column(self.x), "numbers": Column(step.numbers, both),
                                   "to": self._each(self.noisy)}  # fmt: skip
        noisy, plain = (
            _launch("noisy", training.NOISY, source | {"noise": noise}, D * P, training.blocks(frames * M))
            for noise in (Column(self.noise), None)
        )
        begun = {f"initial{k}": Column(step.begun(k, B)) for k in range(self.programs.states)}
        common = {
            "LINE": self.programs.N,
            "STEP": B * self.programs.N,
            "active": Column(self.active) if B > 1 else None,
        }
        ends = dict.fromkeys(f"final{k}" for k in range(self.programs.states))
        scan = self.programs.scans(0, {**common, **begun, **ends, "y": None})
        y = Column(self.programs.kept, self.programs.history + B * self.programs.N)  # type: ignore[arg-type]  # it is there
        outputs = Rounds(made.size)
        V, a = (
            step.output(step.weights, which, D),
            Column(step.weights, step.places["a"] + which * step.weights.shape[1]),
        )
        across = D * step.width
        for direction in range(D):
            own = slice(direction * P, (direction + 1) * P)
            outputs.add([direction], {
                "ROWS": frames, "COLUMNS": K, "STEPS": self.N, "a": y.part(own), "a_row": self.N, "a_step": 1,
                "b": V.part(own), "b_step": 1, "b_column": across, "c": self._each(self.logits).part(own), "c_row": K,
                **({} if direction else {"start": a, "start_row": 0}),
            }, P)  # fmt: skip
        turn: Columns = {"WIDTH": K, "from": Column(self.logits, (P + members) * frames * K)}
        add = _launch("turn", training.TURN,
                           {**shape, **turn, "ADD": 1, "to": Column(self.logits, members * frames * K)}, P,
                           training.blocks(frames * K)) if D == 2 else None  # fmt: skip
        forward: dict[str, Sequence[Stage]] = {
            "plain": [[(text, [plain])]],
            "scan": [*([[(around, self.programs.input_products())]] if plan.input_runs else []), scan,
                     [(around, outputs.launches())], *([[(text, [add])]] if add else [])],
        }  # fmt: skip
        if not self.learns:
            return forward
        loss = []
        if step.objective.name in training.LOSSES:
            columns: Columns = {
                **shape, "K": K, "logits": Column(self.logits, members * frames * K), "targets": Column(self.targets),
                "delta": Column(self.delta, members * frames * K), "terms": Column(self.terms, members * frames),
                "loss": Column(self.loss, members * B),
            }  # fmt: skip
            loss = losses(columns, P, T, B)
        turn = {"WIDTH": K, "from": Column(self.delta, members * frames * K)}
        back = _launch("turn", training.TURN,
                            {**shape, **turn, "ADD": 0, "to": Column(self.delta, (P + members) * frames * K)}, P,
                            training.blocks(frames * K)) if D == 2 else None  # fmt: skip
        delta = self._each(self.delta)
        gradients = Rounds(made.size)
        gradients.add(["dy"], {"ROWS": frames, "COLUMNS": self.programs.N, "STEPS": K, "a": delta, "a_row": K, "a_step": 1,
                               "b": V, "b_step": across, "b_column": 1, "c": self.dy, "c_row": self.programs.N},
                      D * P)  # fmt: skip
        gradients.add(["V"], {"ROWS": K, "COLUMNS": self.programs.N, "STEPS": frames, "a": delta, "a_row": 1, "a_step": K,
                              "b": y, "b_step": self.programs.N, "b_column": 1,
                              "c": step.output(step.gradients, which, D), "c_row": across}, D * P)  # fmt: skip
        da = Column(step.gradients, step.places["a"] + which * step.weights.shape[1])
        summed = collect([Table.of_columns([frames, K, Column(self.delta, members * frames * K), K, da], P)], K)
        nothing = dict.fromkeys(f"{name}{k}" for name in ("dfinal", "dinitial") for k in range(self.programs.states))
        backward = self.programs.scans(1, {**common, **nothing, "dy": self.dy, "deltas": self.deltas,
                                           "dvectors": self.parts if plan.vectors else None})  # fmt: skip
        after = self.programs.gradient_products(self.deltas, self.gradients, [None] * len(plan.inputs))
        after += self.programs.collected(self.parts, self.gradients)
        return {
            "ahead": [[(text, [ahead])]],
            "input": [[(text, [noisy])]],
            **forward,
            "loss": [[(text, loss)]] if loss else [],
            "backward": [*([[(text, [back])]] if back else []), [(around, gradients.launches() + summed)], backward,
                         [(around, after)] if after else []],
            "update": [[(text, [update])]],
        }  # fmt: skip

    def functions(self) -> None:
        """The functions of the input that are multiplied by W."""
        for x, value in zip(self.inputs, self.step.made.plan.functions(self.noisy), strict=True):
            if x is not self.noisy:
                x.copy_(value)


def _launch(kernel: str, names: Sequence[str], columns: Columns, programs: int, blocks: int, shared: int = 0) -> Launch:
    table = Table.of_columns([columns[name] for name in names], programs)
    return Launch(kernel, programs, blocks, training.THREADS, 1, shared, table)


def losses(columns: Columns, members: int, T: int, B: int) -> list[Launch]:
    """The launches of a loss: of each frame, with its gradient if there is a place for it, then of each row."""
    return [
        _launch("loss", training.LOSS, columns, members, -(-T * B // (training.THREADS // 32))),
        _launch("sums", training.SUMS, columns, members, B, training.THREADS * 8),
    ]


class Workspace:
    """Memory that the shapes of a step share: each uses all of it while it runs, and leaves nothing in it."""

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._rooms: dict[tuple[str, torch.dtype], Tensor] = {}
        self.generation = 0

    def room(self, name: str, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """A tensor of this shape; what was made by this name when there was less room is void from then on."""
        key, count = (name, dtype or self._like.dtype), math.prod(shape)
        if key not in self._rooms or self._rooms[key].numel() < count:
            self._rooms.pop(key, None)
            self._rooms[key] = self._like.new_empty(count, dtype=key[1])
            self.generation += 1
        return self._rooms[key][:count].view(shape)

    def bytes(self) -> int:
        """How much there is."""
        return sum(room.numel() * room.element_size() for room in self._rooms.values())
