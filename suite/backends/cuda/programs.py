"""Scans of one cell that are computed together, as launches: their tables, the products around them, sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from lstm_odyssey.backends.cuda.classes import SizeClass
from lstm_odyssey.backends.cuda.kernels import Kernel
from lstm_odyssey.backends.cuda.running.launch import MOST_PROGRAMS, Column, Launch, Loop, Numbers, Table, Value, Work
from lstm_odyssey.backends.cuda.source import products, stepwise
from lstm_odyssey.backends.plan import Run


class Programs:
    """Q scans of one cell that are computed together: members, directions, each of its own N.

    Args:
        made: the cell.
        shape: T, B.
        sizes: N of each, [Q].
        parameters: by name, where each program's begins, and the numbers in a line (1 of a vector).
        inputs: for each vector of the input that is multiplied by W, where each program's [T, B, M] begins; and M.
        stacked: whether the gates of a space lie one right under another, so that their products are one.
        processors: the multiprocessors that one network has to itself; None: see ``Kernel.rows``.

    What a scan keeps of a program lies in one tensor of ``total`` numbers: ``slots`` [T, B, places, N], ``history``
    [states, T + 1, B, N] and ``operands`` [operands, T, B, N] begin after so many.
    """

    def __init__(
        self,
        made: Kernel,
        shape: tuple[int, int],
        sizes: Numbers,
        parameters: Mapping[str, tuple[Column, int]],
        inputs: Sequence[tuple[Column, int]],
        stacked: bool,
        processors: int | None = None,
    ) -> None:
        self.made, self.plan, self.N, self.stacked = made, made.plan, sizes, stacked
        self.T, self.B = shape
        self.parameters, self.inputs, self.processors = parameters, inputs, processors
        plan, frames, self.states = made.plan, self.T * self.B, len(made.plan.graph.states)
        self.state_of = {
            number: plan.graph.states.index(node.name)
            for number, node in enumerate(plan.graph.nodes)
            if node.op == "state"
        }
        parts = np.stack([
            frames * plan.places * sizes, self.states * (self.T + 1) * self.B * sizes, len(plan.operands) * frames * sizes
        ])  # fmt: skip
        ends = np.cumsum(parts.T.reshape(-1))
        self.total = int(ends[-1])
        self.slots, self.history, self.operands = (ends - parts.T.reshape(-1)).reshape(-1, 3).T
        layouts = [made.layout(int(N)) for N in sizes]
        which = {layout: np.flatnonzero([one == layout for one in layouts]) for layout in dict.fromkeys(layouts)}
        self.large = which.pop(None, np.zeros(0, np.int64))
        self.classes: dict[SizeClass, Numbers] = {layout: own for layout, own in which.items() if layout is not None}
        self.kept: Tensor | None = None

    def of_kept(self, begin: Numbers) -> Column:
        """A column of addresses in what is kept."""
        assert self.kept is not None
        return Column(self.kept, begin)

    def vector(self, operand: int) -> tuple[Column, int | Numbers]:
        """What is multiplied by a matrix, over all frames, and its length."""
        if operand in self.state_of:
            return self.of_kept(self.history + self.state_of[operand] * (self.T + 1) * self.B * self.N), self.N
        if operand in self.plan.operands:
            return self.of_kept(self.operands + self.plan.operands.index(operand) * self.T * self.B * self.N), self.N
        return self.inputs[self.plan.inputs.index(operand)]

    def pieces(self, run: Run) -> list[tuple[int, int, str]]:
        """The matrices of a run, those that lie one under another as one: the first's row, how many, its name."""
        found: list[tuple[int, int, str]] = []
        for row, name in enumerate(run.parameters):
            if found and self.stacked:
                first, count, begun = found[-1]
                names = self.plan.graph.packed[name.partition(".")[0]]
                if names.index(name) == names.index(begun) + count:
                    found[-1] = first, count + 1, begun
                    continue
            found.append((row, 1, name))
        return found

    def scans(self, which: int, columns: Mapping[str, Value]) -> list[tuple[str, list[Work]]]:
        """The launches of the scans ``which``, 0 forward and 1 backward, of each class with its text.

        Args:
            columns: of the table, but for what is known here.
        """
        known: dict[str, Value] = {
            "T": self.T, "B": self.B, "N": self.N, "slots": self.of_kept(self.slots), "history": self.of_kept(self.history),
            "operands": self.of_kept(self.operands) if self.plan.operands else None,
        }  # fmt: skip
        recurrent = [parameter for run in self.plan.recurrent for parameter in run.parameters]
        for k, name in enumerate(recurrent):
            known[f"r{k}"], known[f"r{k}_line"] = self.parameters[name]
        for k, number in enumerate(self.plan.vectors):
            known[f"f{k}"] = self.parameters[self.plan.graph.nodes[number].name][0]
        known |= columns
        names = self.made.names[which]
        table = Table.of_columns([known[name] for name in names], len(self.N))
        found: list[tuple[str, list[Work]]] = []
        for layout, members in self.classes.items():
            made = self.made.compiled(layout, self.B, self.processors)
            own = table.rows(members)
            found.append((made.text, [Launch(
                ("forward", "backward")[which], len(members), -(-self.B // made.rows), layout.threads, layout.cluster,
                made.shared[which], own,
            )]))  # fmt: skip
        if len(self.large):
            found.append((self.made.stepwise_text, self._step_by_step(which, known)))
        return found

    def _step_by_step(self, which: int, known: dict[str, Value]) -> list[Work]:
        """The launches of all steps of what no class has room for."""
        made, states, waiting = self.made.stepwise, self.states, self.made.stepwise.waiting
        assert self.kept is not None
        sizes = np.where(np.isin(np.arange(len(self.N)), self.large), self.N, 0) * self.B
        rooms = [self.kept.new_empty(int(sizes.sum()) * count) for count in (2 * states, waiting)]
        begins = np.cumsum(sizes) - sizes
        clock = torch.full((1,), 0 if which == 0 else self.T - 1, dtype=torch.int64, device=self.kept.device)
        known = known | {
            "clock": Column(clock), "lambdas": Column(rooms[0], 2 * states * begins),
            "waiting": Column(rooms[1], waiting * begins) if waiting else None,
        }  # fmt: skip
        table = Table.of_columns([known.get(name) for name in made.names], len(self.N)).rows(self.large)
        rows, most = -(-self.B // stepwise.ROWS), int(self.N[self.large].max())
        shared = stepwise.ROWS * stepwise.THREADS * self.made.size

        def launch(name: str, backward: bool) -> Launch:
            across = -(-most // stepwise.UNITS[backward])
            return Launch(name, len(self.large), across * rows, stepwise.THREADS, 1, shared if backward else 0, table)

        count = Table.of_columns([-1 if which else 1, Column(clock)], 1)
        tick = Launch("tick", 1, 1, 32, 1, 0, count)
        back = bool(which)
        step = (*(launch(name, back) for name in made.kernels[which]), tick)
        reset = Launch("tick", 1, 1, 32, 1, 0, Table.of_columns([self.T if back else -self.T, Column(clock)], 1))
        first, last = (launch(name, True) for name in stepwise.ENDS[2 * which : 2 * which + 2])
        return [first, Loop(step, self.T), last, reset]  # so that the same launches may be run again

    def tiles(self) -> Numbers:
        """Of rows, of each program."""
        found = np.zeros(len(self.N), np.int64)
        for layout, members in self.classes.items():
            found[members] = -(-self.B // self.made.rows(layout, self.B, self.processors))
        found[self.large] = self.B
        return found

    def input_products(self) -> list[Launch]:
        """W times the input of all frames, into the slots."""
        rounds, frames = Rounds(self.made.size), self.T * self.B
        for run in self.plan.input_runs:
            x, M = self.vector(run.operand)
            for row, count, name in self.pieces(run):
                weight, line = self.parameters[name]
                place = run.first + row
                rounds.add([place + k for k in range(count)], {
                    "ROWS": frames, "COLUMNS": count * self.N, "STEPS": M, "a": x, "a_row": M, "a_step": 1, "b": weight,
                    "b_step": 1, "b_column": line, "c": self.of_kept(self.slots + place * self.N),
                    "c_row": self.plan.places * self.N,
                }, len(self.N))  # fmt: skip
        return rounds.launches()

    def gradient_products(
        self, deltas: Column, gradients: Mapping[str, Column], dinputs: Sequence[Column | None]
    ) -> list[Launch]:
        """From δ [T, B, sums, N] of all frames to the gradients of the inputs and of the matrices."""
        rounds, frames, sums = Rounds(self.made.size), self.T * self.B, len(self.plan.accumulators)
        for run in self.plan.input_runs:
            k = self.plan.inputs.index(run.operand)
            dx, M = dinputs[k], self.inputs[k][1]
            if dx is None:
                continue
            for row, count, name in self.pieces(run):
                weight, line = self.parameters[name]
                rounds.add([("input", k)], {
                    "ROWS": frames, "COLUMNS": M, "STEPS": count * self.N, "a": deltas.moved((run.first + row) * self.N),
                    "a_row": sums * self.N, "a_step": 1, "b": weight, "b_step": line, "b_column": 1, "c": dx, "c_row": M,
                }, len(self.N))  # fmt: skip
        for run in (*self.plan.input_runs, *self.plan.recurrent):
            vector, length = self.vector(run.operand)
            for row, name in enumerate(run.parameters):
                rounds.add([name], {
                    "ROWS": self.N, "COLUMNS": length, "STEPS": frames, "a": deltas.moved((run.first + row) * self.N),
                    "a_row": 1, "a_step": sums * self.N, "b": vector, "b_step": length, "b_column": 1,
                    "c": gradients[name], "c_row": self.parameters[name][1],
                }, len(self.N))  # fmt: skip
        return rounds.launches()

    def collected(self, parts: Column, gradients: Mapping[str, Column]) -> list[Launch]:
        """The gradients of the vectors, from the parts [tiles, vectors, N] of each tile of rows."""
        count, tables = len(self.plan.vectors), []
        for k, number in enumerate(self.plan.vectors):
            to = gradients[self.plan.graph.nodes[number].name]
            columns: list[Value] = [self.tiles(), self.N, parts.moved(k * self.N), count * self.N, to]
            tables.append(Table.of_columns(columns, len(self.N)))
        return collect(tables, int(self.N.max())) if tables else []


def collect(tables: Sequence[Table], columns: int) -> list[Launch]:
    """The launches of sums; see ``source.products``."""
    return _launched("collect", tables, -(-columns // products.COLLECTED), products.THREADS * 8)


def _launched(kernel: str, tables: Sequence[Table], tiles: int, shared: int) -> list[Launch]:
    """Launches of no more programs than a grid has."""
    whole, found = Table.joined(tables), []
    for begin in range(0, len(whole), MOST_PROGRAMS):
        table = whole.rows(slice(begin, begin + MOST_PROGRAMS))
        found.append(Launch(kernel, len(table), tiles, products.THREADS, 1, shared, table))
    return found


class Rounds:
    """Products to be launched: those of one round wait for none of each other."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.rounds: list[list[Table]] = []
        self.tiles: list[int] = []
        self._written: dict[object, int] = {}

    def add(self, keys: Iterable[object], columns: dict[str, Value], programs: int) -> None:
        """Add products that write what ``keys`` stand for; they start from what an earlier one wrote there."""
        keys = list(keys)
        round_ = max(self._written.get(key, 0) for key in keys)
        if round_:
            columns |= {"start": columns["c"], "start_row": columns["c_row"]}
        for key in keys:
            self._written[key] = round_ + 1
        while len(self.rounds) <= round_:
            self.rounds.append([])
            self.tiles.append(1)
        self.rounds[round_].append(Table.of_columns([columns.get(name) for name in products.PRODUCT], programs))
        rows, across = (np.asarray(columns[name]) for name in ("ROWS", "COLUMNS"))
        self.tiles[round_] = max(self.tiles[round_], products.tiles(int(rows.max()), int(across.max())))

    def launches(self) -> list[Launch]:
        """One for each round, or more where a grid has too few programs."""
        shared, rounds = products.shared(self.size), zip(self.rounds, self.tiles, strict=True)
        return [launch for tables, tiles in rounds for launch in _launched("product", tables, tiles, shared)]
