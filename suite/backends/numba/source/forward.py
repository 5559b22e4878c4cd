"""Source of the forward pass: input products in chunks, then block by block through the step."""

from __future__ import annotations

from lstm_odyssey.backends.numba.source.blocks import (
    Block,
    Pass,
    copied,
    indented,
    moved,
    rows_loop,
    to_and_fro,
    word,
)

AHEAD_ROWS = 32
"""How many rows of the input product are made at once, if they are of two steps at least."""


class Forward(Pass):
    """The forward pass of one plan."""

    def text(self, options: str) -> str:
        plan = self.plan
        blocks = 1 + max([0, *(plan.phase[number] for number in (*plan.graph.results, *plan.operands, *plan.kept))])
        arguments = ", ".join(("span", "state_line", "operand_line", "row_line", "s", "h", "o", *self.fixed.values()))
        functions = [self._block(block).function(f"step{block}", arguments) for block in range(blocks)]
        packs = [f"input_pack{k}" for k in range(len(plan.input_runs))] + [
            f"pack{k}" for k in range(len(plan.recurrent))
        ]
        states = range(len(self.states))
        final = [f"final{k}" for k in states]
        body = self.table_lines(("y", *final, *self.given()), ("zeros", "bias", *packs))
        body += [moved("y", "shift", absent=True), *(moved(name, "shift") for name in final)]
        body += ["wipe(zeros, max(M, N))", f"wipe(bias, {len(self.accumulators)} * N)"]
        body += [f"move(history + {k} * state_line, initial{k}, rows * N)" for k in states]
        body += self._biases()
        body += [f"ready, chunk = 0, max(2, {AHEAD_ROWS} // B)"]
        body += [f"call(pack_columns, ({word(name)}, {word(name)}_line, N, N, pack{k}, {row} * N, "
                 f"{len(run.parameters)} * N, rows))"
                 for k, run in enumerate(plan.recurrent) for row, name in enumerate(run.parameters)]  # fmt: skip
        counts = [len(run.parameters) for run in plan.recurrent]
        body += copied(["N"] * len(counts), [f"{count} * N" for count in counts])
        loop = ["frame, copy = t * B, t % copies", *self._starts()]
        rows = ["s = slots + (frame + b) * places * span", "h = history + (frame + b) * span",
                "o = operands + (frame + b) * span"]  # fmt: skip
        for block in range(blocks):
            held = []
            if block == blocks - 1:
                held = [f"store(h + row_line + {k} * state_line + at, load(h + {k} * state_line + at, keep), keep)"
                        for k in range(len(self.states))]  # fmt: skip
                held += [f"store(o + {k} * operand_line + at, fill(0.0), keep)" for k in range(len(plan.operands))]
            own = self._block(block)
            if block == 0:
                loop += to_and_fro(self._products(set(self.state_of)))
            loop += rows_loop(f"step{block}", arguments, rows, held, own.means) if own.stores or own.means else []
            loop += self._products({number for number in plan.operands if plan.phase[number] == block})
        text = "\n\n".join(functions)
        text += f"\n\n@cfunc({options})\ndef forward(table):\n{indented(body, 4)}\n"
        text += f"    for t in range(T):\n{indented(loop, 8)}\n"
        end = ["if y:", "    for t in range(1 if together else T):",
               "        move(y + t * row_line, history + (t + 1) * row_line, (frames if together else rows) * N)"]  # fmt: skip
        end += [f"move(final{k}, history + {k} * state_line + T * row_line, rows * N)" for k in states]
        return f"{text}{indented(end, 4)}\n"

    def _block(self, number: int) -> Block:
        plan, phase = self.plan, self.plan.phase

        def available(node: int) -> str | None:
            text = self.held(node)
            if node in plan.means or (text is None and phase[node] < number):
                text = self.stored(node)
            if text is None and node in self.tops:
                place = self.tops[node]
                parts = [f"load(s + {place} * span + at, keep)"]
                parts += [block.value(term) for term in self.accumulators[place].rest]
                text = " + ".join(parts)
            return text

        block = Block(self.nodes, available)
        for node in plan.means:
            if phase[node] == number + 1:
                block.mean(f"s + {plan.kept[node]} * span", self.nodes[node].args[0])
        for node, place in plan.kept.items():
            if phase[node] == number and node not in plan.means:
                block.store(f"s + {place} * span", node)
        for place, node in enumerate(plan.operands):
            if phase[node] == number:
                block.store(f"o + {place} * operand_line", node)
        for place, node in enumerate(plan.graph.results):
            if phase[node] == number:
                block.store(f"h + row_line + {place} * state_line", node)
        return block

    def _biases(self) -> list[str]:
        """Before the loop: what the sums start from, and the packed W."""
        lines = []
        for place, accumulator in enumerate(self.accumulators):
            if accumulator.biases:
                total = " + ".join(f"load({self.fixed[bias]} + n * BYTES, keep)" for bias in accumulator.biases)
                lines += ["for n in range(whole + 1):", "    keep = first(N - n * LANES)",
                          f"    store(bias + {place} * span + n * BYTES, {total}, keep)"]  # fmt: skip
        for k, run in enumerate(self.plan.input_runs):
            lines += [f"call(pack_columns, ({word(name)}, {word(name)}_line, N, M, input_pack{k}, {row} * N, "
                      f"{len(run.parameters)} * N, frames))" for row, name in enumerate(run.parameters)]  # fmt: skip
        return lines

    def _starts(self) -> list[str]:
        """The input product of a few dozen frames at once: as many as stay in a near cache until their step comes.

        Of some rows of the batch it is one product a step, since their frames do not lie one behind another.
        """
        plan, count = self.plan, len(self.accumulators)
        lines = []
        started = bool(plan.input_runs) and len(plan.input_runs[0].parameters) == count
        if count and not started:
            lines.append(
                f"call(product, (bias, 0, zeros, 0, 0, zeros, BYTES, ahead, places * span, lines, 0, {count} * N, 0))"
            )
        for k, run in enumerate(plan.input_runs):
            to = f"ahead + {run.first} * span"
            start = "bias, 0" if started and k == 0 else f"{to}, places * span"
            x = f"x{plan.inputs.index(run.operand)} + (frame + piece * B) * M * SIZE"
            lines.append(f"call(product, ({start}, {x}, M * SIZE, SIZE, input_pack{k}, 0, {to}, places * span, lines, M, "
                         f"{len(run.parameters)} * N, 0))")  # fmt: skip
        take = ["take = chunk if T - t > chunk + 1 else T - t", "ready += take",
                "pieces, lines = (1, take * B) if together else (take, rows)", "for piece in range(pieces):",
                "    ahead = slots + (frame + piece * B) * places * span", *(f"    {line}" for line in lines)]  # fmt: skip
        return ["if t == ready:", *(f"    {line}" for line in take)] if lines else []

    def _products(self, operands: set[int]) -> list[str]:
        lines = []
        for k, run in enumerate(self.plan.recurrent):
            if run.operand in operands:
                if run.operand in self.state_of:
                    vector = f"history + {self.state_of[run.operand]} * state_line + frame * span"
                else:
                    vector = f"operands + {self.plan.operands.index(run.operand)} * operand_line + frame * span"
                to = f"slots + frame * places * span + {run.first} * span"
                lines.append(f"call(product, ({to}, places * span, {vector}, span, SIZE, pack{k} + copy * gap{k}, 0, {to}, "
                             f"places * span, rows, N, {len(run.parameters)} * N, t % 2 * swing))")  # fmt: skip
        return lines
