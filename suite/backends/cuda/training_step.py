"""A training step of a whole population on one GPU, without autograd: every kernel computes all members that run.

The same mathematics as ``training.lockstep.Lockstep.update``, to rounding. Each member is computed at its own N and in an order
of its own, so its numbers do not depend on its neighbours, bit by bit; but the loss of an objective that is not among ``LOSSES``
is torch's, of all members at once, and makes no such promise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lstm_odyssey.backends.cuda.launch import Column, Device, Launch, Numbers, Table
from lstm_odyssey.backends.cuda.member import Programs, Rounds, collect, kernel
from lstm_odyssey.backends.cuda.source import products, training
from lstm_odyssey.backends.lowering import lower
from lstm_odyssey.cell.ops import OPS

if TYPE_CHECKING:
    from lstm_odyssey.backends.trainer import Batch, Network
    from lstm_odyssey.tasks.objectives.base import Objective

Columns = Mapping[str, Column | int | Numbers | None]


class Shape:
    """What a step needs for one shape of batch: memory, and the launches of its parts."""

    def __init__(self, step: PopulationStep, T: int, B: int) -> None:
        network, made, device = step.network, step.made, step.weights.device
        self.T, self.B, self.step = T, B, step
        self.members = step.members
        P, D, K, M = len(self.members), network.directions, network.n_outputs, network.rnn.input_size
        self.N = np.array(network.sizes, np.int64)[self.members]
        self.P, self.D, self.K, self.M = P, D, K, M

        def room(*shape: int, dtype: torch.dtype = step.weights.dtype) -> Tensor:
            return torch.empty(shape, dtype=dtype, device=device)

        self.x, self.noise = room(T, B, M), room(T, B, M)
        self.lengths = torch.full((B,), T, dtype=torch.int64, device=device)
        self.active = torch.ones((T, B), dtype=torch.uint8, device=device)
        self.noisy, self.logits, self.delta = room(D, P, T, B, M), room(D, P, T, B, K), room(D, P, T, B, K)
        self.terms, self.loss = (room(P, *shape, dtype=torch.float64) for shape in ((T, B), (B,)))
        self.inputs = [self.noisy if made.plan.graph.nodes[n].op == "input" else room(D, P, T, B, M)
                       for n in made.plan.inputs] or [self.noisy]  # fmt: skip
        parameters, gradients = step.columns(step.weights), step.columns(step.gradients)
        given = [(self._each(x), M) for x in self.inputs]
        self.programs = Programs(
            made, (T, B), np.tile(self.N, D), {name: (column, step.lines[name]) for name, column in parameters.items()}, given,
            bool((self.N == step.width).all()),
        )  # fmt: skip
        self.programs.kept = room(self.programs.total)
        sums = T * B * len(made.plan.accumulators) * self.programs.N
        self.dy, self.deltas = _filled(room, T * B * self.programs.N), _filled(room, sums)
        self.parts = _filled(room, self.programs.tiles() * len(made.plan.vectors) * self.programs.N)
        self.gradients = gradients

    def _each(self, value: Tensor) -> Column:
        """Where each program's part of a tensor [D, P, ...] begins."""
        return Column(value, np.arange(self.D * self.P) * value[0, 0].numel())

    def _launch(self, kernel: str, names: Sequence[str], columns: Columns, programs: int, blocks: int, shared: int = 0) -> Launch:
        table = Table.of_columns([columns[name] for name in names], programs)
        return Launch(kernel, programs, blocks, training.THREADS, 1, shared, table)

    def parts_of_a_step(self) -> dict[str, list[tuple[str, list[Launch]]]]:
        """The launches of each part, with their texts: ``ahead input scan loss backward update``."""
        step, made, plan = self.step, self.step.made, self.step.made.plan
        T, B, P, D, K, M, frames = self.T, self.B, self.P, self.D, self.K, self.M, self.T * self.B
        members, which = np.arange(P), self.members
        text, around = training.source(made.size, step.objective.name), products.source(made.size)
        numbers = Column(step.numbers, 4 * which)
        rows: Columns = {
            "COUNT": step.weights.shape[1], "NESTEROV": step.nesterov[which], "CLIPS": step.clips[which],
            "weights": Column(step.weights, which * step.weights.shape[1]),
            "velocity": Column(step.velocity, which * step.weights.shape[1]),
            "gradient": Column(step.gradients, which * step.weights.shape[1]), "numbers": numbers,
        }  # fmt: skip
        blocks = training.blocks(step.weights.shape[1])
        ahead = self._launch("ahead", training.AHEAD, rows, P, blocks)
        update = self._launch("update", training.UPDATE, rows, P, blocks)
        lengths = Column(self.lengths)
        turned, both = np.repeat(np.arange(D), P), np.tile(4 * which, D)
        shape = {"T": T, "B": B, "lengths": lengths}
        source: Columns = shape | {"WIDTH": M, "TURNED": turned, "x": Column(self.x), "numbers": Column(step.numbers, both),
                                   "to": self._each(self.noisy)}  # fmt: skip
        noisy, plain = (
            self._launch("noisy", training.NOISY, source | {"noise": noise}, D * P, training.blocks(frames * M))
            for noise in (Column(self.noise), None)
        )
        begun = {f"initial{k}": Column(step.begun(k, B)) for k in range(self.programs.states)}
        common = {"LINE": self.programs.N, "STEP": B * self.programs.N, "active": Column(self.active) if B > 1 else None}
        ends = dict.fromkeys(f"final{k}" for k in range(self.programs.states))
        scan = [(one, [launch]) for one, launch in self.programs.scans(0, {**common, **begun, **ends, "y": None})]
        y = Column(self.programs.kept, self.programs.history + B * self.programs.N)  # type: ignore[arg-type]  # it is there
        outputs = Rounds(made.size)
        V, a = step.output(step.weights, which, D), Column(step.weights, step.places["a"] + which * step.weights.shape[1])
        across = D * step.width
        for direction in range(D):
            own = slice(direction * P, (direction + 1) * P)
            outputs.add([direction], {
                "ROWS": frames, "COLUMNS": K, "STEPS": self.N, "a": _some(y, own), "a_row": self.N, "a_step": 1,
                "b": _some(V, own), "b_step": 1, "b_column": across, "c": _some(self._each(self.logits), own), "c_row": K,
                **({} if direction else {"start": a, "start_row": 0}),
            }, P)  # fmt: skip
        turn = {"WIDTH": K, "from": Column(self.logits, (P + members) * frames * K)}
        add = self._launch("turn", training.TURN,
                           {**shape, **turn, "ADD": 1, "to": Column(self.logits, members * frames * K)}, P,
                           training.blocks(frames * K)) if D == 2 else None  # fmt: skip
        loss = []
        if step.objective.name in training.LOSSES:
            columns = {**shape, "K": K, "logits": Column(self.logits, members * frames * K), "targets": Column(self.targets),
                       "delta": Column(self.delta, members * frames * K), "terms": Column(self.terms, members * frames),
                       "loss": Column(self.loss, members * B)}  # fmt: skip
            loss = [
                self._launch("loss", training.LOSS, columns, P, -(-frames // (training.THREADS // 32))),
                self._launch("sums", training.SUMS, columns, P, B, training.THREADS * 8),
            ]
        turn = {"WIDTH": K, "from": Column(self.delta, members * frames * K)}
        back = self._launch("turn", training.TURN,
                            {**shape, **turn, "ADD": 0, "to": Column(self.delta, (P + members) * frames * K)}, P,
                            training.blocks(frames * K)) if D == 2 else None  # fmt: skip
        delta = self._each(self.delta)
        gradients = Rounds(made.size)
        gradients.add(["dy"], {"ROWS": frames, "COLUMNS": self.programs.N, "STEPS": K, "a": delta, "a_row": K, "a_step": 1,
                               "b": V, "b_step": across, "b_column": 1, "c": self.dy, "c_row": self.programs.N}, D * P)  # fmt: skip
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
            "ahead": [(text, [ahead])],
            "input": [(text, [noisy])],
            "plain": [(text, [plain])],
            "scan": [*([(around, self.programs.input_products())] if plan.input_runs else []), *scan,
                     (around, outputs.launches()), *([(text, [add])] if add else [])],
            "loss": [(text, loss)] if loss else [],
            "backward": [*([(text, [back])] if back else []), (around, gradients.launches() + summed),
                         *((one, [launch]) for one, launch in backward), (around, after)],
            "update": [(text, [update])],
        }  # fmt: skip

    @property
    def targets(self) -> Tensor:
        """What a compiled loss reads; filled for each batch."""
        if not hasattr(self, "_targets"):
            whole = self.step.objective.name == "frames"
            shape = (self.T, self.B) if whole else (self.T, self.B, self.K)
            dtype = torch.int64 if whole else self.step.weights.dtype
            self._targets = torch.empty(shape, dtype=dtype, device=self.step.weights.device)
        return self._targets

    def functions(self) -> None:
        """The functions of the input that are multiplied by W."""
        plan, values = self.step.made.plan, {}
        for number in plan.before:
            node = plan.graph.nodes[number]
            if node.op in ("input", "constant"):
                values[number] = self.noisy if node.op == "input" else node.value
            else:
                values[number] = OPS[node.op].eager(*(values[argument] for argument in node.args))
        for number, x in zip(plan.inputs, self.inputs, strict=False):
            if plan.before and x is not self.noisy:
                x.copy_(values[number])


def _filled(room: Callable[..., Tensor], counts: Numbers) -> Column:
    ends = np.cumsum(counts)
    return Column(room(int(ends[-1])), ends - counts)


def _some(column: Column, which: slice) -> Column:
    offsets = np.asarray(column.offsets)
    return Column(column.tensor, offsets[which] if offsets.ndim else column.offsets)


class PopulationStep:
    """The step of P networks.

    Args:
        network: its backend cuda; its weights are changed in place.
        objective: what is minimised.
        velocity: [P, D], beside the network's weights.
        momentum, rate, noise, nesterov, clip: of each member; see ``training.lockstep``.
        device: who runs the kernels.
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
    ) -> None:
        self.network, self.objective, self.velocity, self.device = network, objective, velocity, device
        self.made = kernel(lower(network.rnn.cell.graph), velocity.dtype, device.architecture)
        self.width = max(network.sizes)
        self.nesterov, self.clips = np.array(nesterov, np.int64), np.array([cut is not None for cut in clip], np.int64)
        each = zip(momentum, rate, noise, clip, strict=True)
        numbers = [[m, (1 - m) * r, n, c or 0.0] for m, r, n, c in each]
        self.numbers = torch.tensor(numbers, dtype=torch.float64).to(velocity)
        self.members = np.arange(len(network.sizes))
        self._shapes: dict[tuple[int, int], tuple[Shape, dict[str, Any]]] = {}
        self._begun: dict[tuple[int, int], Tensor] = {}
        self._made_for: tuple[int, ...] = ()
        self._places()

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
            self._begun[key] = torch.full((rows * self.width,), value, dtype=self.weights.dtype, device=self.weights.device)
        return self._begun[key]

    def only(self, running: np.ndarray[Any, Any]) -> None:
        """Compute these members from now on; the others have stopped."""
        members = np.flatnonzero(running)
        if len(members) and not np.array_equal(members, self.members):
            self.members = members
            self._shapes.clear()

    def _shape(self, batch: Batch, noise: bool) -> tuple[Shape, dict[str, Any]]:
        """Memory and launches for a batch, with its numbers in place."""
        where = self.weights.data_ptr(), self.gradients.data_ptr(), self.velocity.data_ptr()
        if where != self._made_for:
            self._shapes.clear()
            self._made_for = where
        T, B = batch.x.shape[:2]
        if (T, B) not in self._shapes:
            shape = Shape(self, T, B)
            parts = {name: [self.device.prepare(text, launches) for text, launches in parts if launches]
                     for name, parts in shape.parts_of_a_step().items()}  # fmt: skip
            self._shapes[T, B] = shape, parts
        shape, parts = self._shapes[T, B]
        shape.x.copy_(batch.x)
        if noise and batch.noise is not None:
            shape.noise.copy_(batch.noise)
        if B > 1:
            shape.lengths.copy_(batch.lengths)
            shape.active.copy_(torch.arange(T, device=shape.lengths.device).unsqueeze(1) < shape.lengths)
        if self.objective.name in training.LOSSES:
            shape.targets.copy_(self.objective.kernel_targets(batch.target).view(shape.targets.shape))
        return shape, parts

    def _forward(self, shape: Shape, parts: Mapping[str, Any], source: str) -> None:
        _run(parts[source])
        if self.made.plan.before:
            shape.functions()
        _run(parts["scan"])

    def _backward(self, shape: Shape, parts: Mapping[str, Any], batch: Batch) -> Tensor:
        """Loss of each member that is computed, [P], and the gradients."""
        if parts["loss"]:
            _run(parts["loss"])
            loss = shape.loss
        else:
            logits = shape.logits[0].transpose(0, 1)
            loss, gradient = self.objective.loss_and_gradient(logits, batch.target, batch.lengths)
            shape.delta[0].copy_(gradient.transpose(0, 1))
        _run(parts["backward"])
        return loss.double().sum(dim=1)

    def __call__(self, batch: Batch) -> Tensor:
        """Look ahead, run, and update on one batch; returns each member's loss, summed over its sequences."""
        value: Any = None
        for phase in self.phases(batch).values():
            value = phase(value)
        return value  # type: ignore[no-any-return]  # of the last phase

    def phases(self, batch: Batch) -> dict[str, Callable[[Any], Any]]:
        """As ``Lockstep.phases``: called in their order, each with what the one before returned, they are one step."""

        def forward(_: None) -> tuple[Shape, dict[str, Any]]:
            shape, parts = self._shape(batch, True)
            _run(parts["ahead"])
            self._forward(shape, parts, "input" if batch.noise is not None else "plain")
            return shape, parts

        def backward(made: tuple[Shape, dict[str, Any]]) -> tuple[dict[str, Any], Tensor]:
            return made[1], self._backward(*made, batch)

        def update(made: tuple[dict[str, Any], Tensor]) -> Tensor:
            parts, own = made
            _run(parts["update"])
            loss = torch.full((len(self.network.sizes),), torch.nan, dtype=torch.float64, device=own.device)
            loss[torch.from_numpy(self.members).to(own.device)] = own
            return loss

        return {"forward": forward, "backward": backward, "update": update}

    def compiled(self, batch: Batch) -> Callable[[], None]:
        """A step without what the batch is copied by."""
        shape, parts = self._shape(batch, True)

        def run() -> None:
            _run(parts["ahead"])
            self._forward(shape, parts, "input")
            self._backward(shape, parts, batch)
            _run(parts["update"])

        return run

    def logits(self, batch: Batch) -> Tensor:
        """The networks' outputs [T, P, B, K], without noise or look-ahead; NaN of those that have stopped."""
        shape, parts = self._shape(batch, False)
        self._forward(shape, parts, "plain")
        own = shape.logits[0].transpose(0, 1)
        if len(self.members) == len(self.network.sizes):
            return own
        T, _, B, K = own.shape
        whole = own.new_full((T, len(self.network.sizes), B, K), torch.nan)
        whole[:, torch.from_numpy(self.members).to(own.device)] = own
        return whole

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
        launches = [
            Launch(name, P, blocks, training.THREADS, 1, shared, Table.of_columns([columns[c] for c in names], P))
            for name, names, blocks, shared in (
                ("loss", training.LOSS, -(-T * B // (training.THREADS // 32)), 0),
                ("sums", training.SUMS, B, training.THREADS * 8),
            )
        ]
        self.device.run(training.source(8, self.objective.name), launches)
        return loss


def _run(prepared: Sequence[Any]) -> None:
    for one in prepared:
        one.run()
