"""One network's training step, compiled: scans, output layer, loss and its gradient, update; no autograd takes part.

The same mathematics as ``Lockstep.update`` in ``training.members``, to rounding. An objective that is not among ``LOSSES`` is
called between the two halves of the step.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from lstm_odyssey.backends.lowering import lower
from lstm_odyssey.backends.numba.loss import compiled, exact_losses
from lstm_odyssey.backends.numba.member import Kernel, kernel, tails
from lstm_odyssey.backends.numba.memory import layout
from lstm_odyssey.backends.numba.source.blocks import ACTIVE as SCAN_ACTIVE
from lstm_odyssey.backends.numba.source.losses import LOSSES
from lstm_odyssey.backends.numba.source.training import BACKWARD, FORWARD, LOSS, NAMES, STEP, UPDATE
from lstm_odyssey.backends.numba.workspace import Tables, Workspace
from lstm_odyssey.backends.processor import vector_bytes

if TYPE_CHECKING:
    from lstm_odyssey.backends.trainer import Batch, Network
    from lstm_odyssey.tasks.objectives.base import Objective

OWN = ("x", "noise", "targets", "longest", "active", "lengths", "memory")
"""What each batch brings of its own: the entries that a call made later has to put back."""
X, NOISE, TARGETS, LONGEST, ACTIVE, LENGTHS, MEMORY = (NAMES.index(name) for name in OWN)


class TrainingStep:
    """The step of one network.

    Args:
        network: of one member, on the CPU, its backend numba; its weights are changed in place.
        objective: what is minimised.
        velocity: [1, D], beside the network's weights.
        momentum, rate, noise: of the optimiser and the inputs.
        nesterov: or classical.
        workspace: shared memory.
        clip: where each component of the gradient is cut, on both sides, before it is scaled; None: nowhere.
    """

    def __init__(self, network: Network, objective: Objective, velocity: Tensor, momentum: float, rate: float, noise: float,
                 nesterov: bool, workspace: Workspace, clip: float | None = None) -> None:  # fmt: skip
        self.network, self.objective, self.velocity, self.workspace = network, objective, velocity, workspace
        self.made: Kernel = kernel(lower(network.rnn.cell.graph), velocity.dtype)
        self.nesterov, self.clips = nesterov, clip is not None
        numbers = [momentum, (1 - momentum) * rate, noise, clip or 0.0]
        self.numbers = torch.tensor(numbers, dtype=torch.float64, device="cpu").to(velocity.dtype)
        self.loss = LOSSES.get(objective.name)
        self.run = compiled(self.made.size, self.loss)
        self._made: dict[tuple[int, int], Tables] = {}
        self._made_for: tuple[int, int] | None = None

    def __call__(self, batch: Batch) -> float:
        """Look ahead, run, and update on one batch; returns the loss, summed over its sequences."""
        tables, held = self._set(batch, batch.noise)
        if self.loss is not None:
            self.run(tables.address, STEP)
            loss = tables.loss
        else:
            self.run(tables.address, FORWARD)
            loss = self._called_out(tables, batch)
            self.run(tables.address, BACKWARD | UPDATE)
        del held  # its addresses were in the table until now
        return loss

    def phases(self, batch: Batch) -> dict[str, Callable[[Any], Any]]:
        """As ``Lockstep.phases``: called in their order, each with what the one before returned, they are one step."""

        def forward(_: None) -> tuple[Tables, Any]:
            made = self._set(batch, batch.noise)
            self.run(made[0].address, FORWARD)
            return made

        def backward(made: tuple[Tables, Any]) -> tuple[Tables, float]:
            tables, held = made
            if self.loss is not None:
                self.run(tables.address, LOSS | BACKWARD)
                loss = tables.loss
            else:
                loss = self._called_out(tables, batch)
                self.run(tables.address, BACKWARD)
            del held
            return tables, loss

        def update(made: tuple[Tables, float]) -> float:
            tables, loss = made
            self.run(tables.address, UPDATE)
            return loss

        return {"forward": forward, "backward": backward, "update": update}

    def compiled(self, batch: Batch) -> Callable[..., None]:
        """The compiled part of a step alone, without the Python around it and without what is called out for."""
        tables, held = self._set(batch, batch.noise)
        entries = [(place, tables.step[place]) for place in map(NAMES.index, OWN)]

        def run(parts: int = STEP, held: Any = held) -> None:
            for place, value in entries:  # a step made in between has left its own, of memory that may be free by now
                tables.step[place] = value
            for scan in tables.scans:
                scan[SCAN_ACTIVE] = tables.step[ACTIVE]
            self.run(tables.address, parts)

        return run

    def alone(self, batch: Batch) -> dict[str, Callable[[], None]]:
        """The cell's scans, both passes of all directions, and the loss with its gradient, on what the last step left."""
        run, (tables, _) = self.compiled(batch), self._set(batch, batch.noise)
        scan = ctypes.CFUNCTYPE(None, ctypes.c_ssize_t)
        passes = [(scan(at), [each.buffer_info()[0] for each in tables.scans[k::2]])
                  for k, at in enumerate(self.made.addresses)]  # fmt: skip

        def recurrent() -> None:
            run(0)  # sets the addresses, runs nothing
            for function, addresses in passes:
                for address in addresses:
                    function(address)

        return {"recurrent": recurrent} | ({} if self.loss is None else {"loss": partial(run, LOSS)})

    def _called_out(self, tables: Tables, batch: Batch) -> float:
        """The loss and its gradient by the objective's own code, where it is not among ``LOSSES``."""
        loss, gradient = self.objective.loss_and_gradient(tables.logits, batch.target, batch.lengths)
        tables.delta.copy_(gradient)
        return float(loss.sum())

    def only(self, running: NDArray[Any]) -> None:
        """Nothing: of one network nobody else stops."""

    def logits(self, batch: Batch) -> Tensor:
        """The network's outputs [T, 1, B, K], without noise or look-ahead; overwritten by the next call of any step."""
        tables, _held = self._set(batch, None)
        place = NAMES.index("velocity")
        kept, tables.step[place] = tables.step[place], 0
        self.run(tables.address, FORWARD)
        tables.step[place] = kept
        return tables.logits

    def exact_losses(self, batch: Batch) -> Tensor | None:
        """The loss of each row in float64 [1, B]; None where the objective is not among ``LOSSES``, or is not scored by it."""
        if self.loss is None or not self.objective.score_is_loss:
            return None
        return exact_losses(self.objective, self.logits(batch), batch.target, batch.lengths)

    def _set(self, batch: Batch, noise: Tensor | None) -> tuple[Tables, Any]:
        """The tables for a batch, its addresses filled in, and what has to live while they are used."""
        x = batch.x
        steps, rows = x.shape[:2]
        tables = self._tables(steps, rows)
        table = tables.step
        targets = None if self.loss is None else self.objective.kernel_targets(batch.target)
        table[X], table[NOISE] = x.data_ptr(), 0 if noise is None else noise.data_ptr()
        table[TARGETS] = 0 if targets is None else targets.data_ptr()
        active = lengths = memory = None
        if self.loss is not None and self.loss.memory is not None and targets is not None:
            table[LONGEST] = targets.shape[1]
            memory = self.workspace.for_loss(self.loss.memory(steps, targets.shape[1], self.network.n_outputs))
            table[MEMORY] = memory.data_ptr()
        if rows > 1:  # a single sequence has no padding
            lengths = batch.lengths.to(torch.int64).contiguous()
            if batch.padded:
                active = (torch.arange(steps, device="cpu").unsqueeze(1) < lengths).to(torch.uint8)
            table[ACTIVE], table[LENGTHS] = 0 if active is None else active.data_ptr(), lengths.data_ptr()
            for scan in tables.scans:
                scan[SCAN_ACTIVE] = table[ACTIVE]
        return tables, (x, noise, targets, active, lengths, memory)

    def _tables(self, steps: int, rows: int) -> Tables:
        if self._made_of() != self._made_for:
            self._made.clear()
        tables = self._made.get((steps, rows))
        if tables is None:
            tables = self._build(steps, rows)  # may make the workspace larger, and a new generation of it
            if self._made_of() != self._made_for:
                self._made.clear()
                self._made_for = self._made_of()
            self._made[steps, rows] = tables
        return tables

    def _made_of(self) -> tuple[int, int]:
        """What tables hold addresses of and others may change: the workspace, and a network's weights when it is moved."""
        return self.workspace.generation, self.network.weights.data_ptr()

    def _build(self, T: int, B: int) -> Tables:
        network, made, size = self.network, self.made, self.made.size
        M, N, K, directions = network.rnn.input_size, network.sizes[0], network.n_outputs, network.directions
        areas, lanes, frames = layout(made, T, B, N, M), vector_bytes() // size, T * B
        states = len(made.plan.graph.states)
        functions = [number for number in made.plan.inputs if made.plan.graph.nodes[number].op != "input"]
        floats = {
            **{f"kept{d}": areas.kept_total for d in range(directions)},
            "scratch": max(areas.forward_total, areas.backward_total),
            "final": states * B * N,
            "noisy": frames * M,
            "turned_x": frames * M * (directions - 1),
            "turned_y": frames * N * (directions - 1),
            "logits": frames * K,
            "delta": frames * K,
            "dy": frames * N * (3 if directions == 2 else 1),
            "pack": N * -(-K // lanes) * lanes,
            **{f"function{k}": frames * M for k in range(directions * len(functions))},
        }
        starts, total = {}, 0
        for name, count in floats.items():
            starts[name] = total
            total += -(-count // lanes) * lanes
        self.workspace.require(total + lanes, max(K, N, M))
        memory, zeros = self.workspace.memory, self.workspace.zeros
        first = -(-memory.data_ptr() // vector_bytes()) * vector_bytes()
        at = {name: first + start * size for name, start in starts.items()}
        shift = (first - memory.data_ptr()) // size
        whole = torch.full((B,), T, dtype=torch.int64, device="cpu")  # lengths of sequences that are not padded
        losses = array("d", [0.0] * B)

        begin_at = [network.rnn.cell.initial.get(name, 0.0) for name in network.rnn.cell.states]
        begun = [torch.full((B * N,), value, dtype=self.workspace.dtype, device="cpu") for value in begin_at]
        ends = tails(made, (T, B, N, M), at["scratch"], trained=True)
        places = {name: (value, gradient) for name, value, gradient in network.slices()}
        scans: list[array[int]] = []
        histories, before = [], []
        for d in range(directions):
            weights, gradients = (
                [places[f"rnn.cells.{d}.{space}"][k].data_ptr() for space in made.spaces] for k in (0, 1)
            )
            x = at["turned_x" if d else "noisy"]
            made_of_x = dict(
                zip(functions, (at[f"function{d * len(functions) + k}"] for k in range(len(functions))), strict=True)
            )
            inputs = [made_of_x.get(number, x) for number in made.plan.inputs] or [x]
            before.append(array("q", [frames * M, x, *made_of_x.values()]))
            kept = at[f"kept{d}"]
            final = [at["final"] + k * B * N * size for k in range(states)]
            given = [*inputs, *weights, *(value.data_ptr() for value in begun)]
            scans.append(array("q", [0, kept, 0, *final, *given, *ends[0]]))
            dy = at["dy"] + d * frames * N * size
            wanted = [*[0] * len(inputs), *gradients, *[0] * states]
            scans.append(array("q", [0, kept, 0, dy, *[0] * states, *given, *wanted, *ends[1]]))
            histories.append(kept + areas.kept[0] + B * N * size)
        lists = [array("q", [scan.buffer_info()[0] for scan in scans[k::2]]) for k in (0, 1)]
        lists += [array("q", histories), array("q", [table.buffer_info()[0] for table in before])]
        (V, dV), (a, da) = places["V"], places["a"]
        values = {
            "T": T, "B": B, "M": M, "N": N, "K": K, "D": network.trained, "directions": directions, "active": 0,
            "lengths": whole.data_ptr(), "x": 0, "noise": 0, "noisy": at["noisy"], "turned_x": at["turned_x"],
            "weights": network.weights.data_ptr(), "velocity": self.velocity.data_ptr(),
            "gradient": network.gradients.data_ptr(), "numbers": self.numbers.data_ptr(), "nesterov": int(self.nesterov),
            "clips": int(self.clips), "logits": at["logits"], "delta": at["delta"], "targets": 0,
            "loss": losses.buffer_info()[0],
            "V": V.data_ptr(), "dV": dV.data_ptr(), "a": a.data_ptr(), "da": da.data_ptr(), "zeros": zeros.data_ptr(),
            "pack": at["pack"], "product": made.product, "pack_columns": made.pack_columns, "forward": made.addresses[0],
            "backward": made.addresses[1], "forward_tables": lists[0].buffer_info()[0],
            "backward_tables": lists[1].buffer_info()[0], "histories": lists[2].buffer_info()[0],
            "turned_y": at["turned_y"], "dy": at["dy"], "dy_bytes": frames * N * size, "before": made.before,
            "before_tables": lists[3].buffer_info()[0], "longest": 0, "memory": 0,
        }  # fmt: skip

        def view(name: str) -> Tensor:
            begin = starts[name] + shift
            return memory[begin : begin + frames * K].view(T, 1, B, K)

        step = array("q", [values[name] for name in NAMES])
        return Tables(step, scans, view("logits"), view("delta"), losses, lists, before, whole, begun, memory, zeros,
                       network.weights, network.gradients, self.velocity, self.numbers)  # fmt: skip


def trainer(dtype: torch.dtype) -> Callable[..., TrainingStep]:
    """Makes the steps of a population's networks, which share memory."""
    workspace = Workspace(dtype)

    def make(network: Network, objective: Objective, velocity: Tensor, **options: Any) -> TrainingStep:
        return TrainingStep(network, objective, velocity, **options, workspace=workspace)

    return make
