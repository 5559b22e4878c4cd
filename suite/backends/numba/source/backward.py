"""Source of the backward pass: the adjoint's blocks step by step, then the gradients of x and of the matrices."""

from __future__ import annotations

from lstm_odyssey.backends.numba.source.blocks import (
    PRODUCTS,
    SCAN,
    SUMMED_ROWS,
    Block,
    Pass,
    copied,
    indented,
    moved,
    rows_loop,
    to_and_fro,
    word,
)
from lstm_odyssey.backends.plan import Plan


class Backward(Pass):
    """The backward pass of one plan."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.gradient, self.back = plan.gradient, plan.back
        self.delta = {plan.gradient.deltas[a.products[0]]: place for place, a in enumerate(plan.accumulators)}
        self.seed = {number: self.states.index(name) for name, number in plan.gradient.seeds.items()}
        self.waiting = {self.gradient.totals[number].node: number for number in plan.operands}

    def text(self, options: str) -> str:
        plan = self.plan
        totals = [self.gradient.totals.get(vector) for vector in self.fixed]
        roots = [*(number for number, _ in self._roots()), *(total.node for total in totals if total is not None)]
        blocks = 1 + max([0, *(self.back[number] for number in roots if number is not None)])
        arguments = ", ".join(("span", "state_line", "operand_line", "row_line", "s", "h", "o", "d", "u", "l", "l_out", "dy",
                               "g", *self.fixed.values(), *(f"d{name}" for name in self.fixed.values())))  # fmt: skip
        functions = [self._block(block, blocks).function(f"back{block}", arguments) for block in range(blocks)]
        states = range(len(self.states))
        dfinal, packs = [f"dfinal{k}" for k in states], [f"pack{k}" for k in range(len(plan.recurrent))]
        body = [*self.table_lines(("shared", "dys", *dfinal, *self.given(), *self.given("d")),
                                  ("zeros", "deltas", "waiting", "lambdas", "pack_x", *packs)),
                *self.given_lines("d"), moved("dys", "shift"), *(moved(name, "shift", absent=True) for name in dfinal),
                f"apart = begin // {SUMMED_ROWS} * gap", *(moved(f"d{name}", "apart") for name in self.fixed.values()),
                f"count = {len(self.accumulators)}", "deltas = (shared if shared else deltas) + count * shift",
                f"lambda_bytes = {len(self.states)} * row_line", "wipe(zeros, max(M, N))"]  # fmt: skip
        steps = []
        for k in states:
            steps += [f"if dfinal{k}:", f"    move(lambdas + {k} * row_line, dfinal{k}, rows * N)", "else:",
                      f"    wipe(lambdas + {k} * row_line, rows * N)"]  # fmt: skip
        steps += ["for block in range(most + 1):", "    g = block * gap"]
        steps += [f"    wipe(d{name} + g, N)" for name in self.fixed.values()]
        steps += [f"call(pack_lines, ({word(name)}, {word(name)}_line, N, N, pack{k}, {row} * N, {len(run.parameters)} * N, "
                  "rows))"
                  for k, run in enumerate(plan.recurrent) for row, name in enumerate(run.parameters)]  # fmt: skip
        counts = [len(run.parameters) for run in plan.recurrent]
        steps += copied([f"{count} * N" for count in counts], ["N"] * len(counts))
        loop = ["t = T - 1 - turn", "frame, copy = t * B, t % copies", "before = lambdas + turn % 2 * lambda_bytes",
                "after = lambdas + (turn + 1) % 2 * lambda_bytes"]  # fmt: skip
        rows = ["s = slots + (frame + b) * places * span", "h = history + (frame + b) * span",
                "o = operands + (frame + b) * span",
                "d = deltas + (frame + b) * count * span", "u = waiting + b * span", "l = before + b * span",
                "l_out = after + b * span", "dy = dys + (frame + b) * span",
                f"g = min(b // {SUMMED_ROWS}, most) * gap"]  # fmt: skip
        for block in range(blocks):
            held = []
            if block == blocks - 1:
                held = [f"store(l_out + {k} * row_line + at, load(l + {k} * row_line + at, keep)"
                        + (" + load(dy + at, keep)" if k == 0 else "") + ", keep)"
                        for k in range(len(self.states))]  # fmt: skip
            if block == 0:
                held += [f"store(d + {k} * span + at, fill(0.0), keep)" for k in range(len(self.accumulators))]
            loop += rows_loop(f"back{block}", arguments, rows, held, self._block(block, blocks).means)
            loop += self._products(block, blocks)
        text = "\n\n".join(functions) + f"\n\n@cfunc({options})\ndef backward(table):\n{indented(body, 4)}\n"
        steps += ["for turn in range(T):", *(f"    {line}" for line in loop)]
        last = "lambdas + T % 2 * lambda_bytes"
        steps += [line for k in states
                  for line in (f"if dinitial{k}:", f"    move(dinitial{k}, {last} + {k} * row_line, rows * N)")]  # fmt: skip
        text += f"    if does & {SCAN}:\n{indented(steps, 8)}\n"
        return f"{text}    if does & {PRODUCTS}:\n{indented(self._parameters(), 8)}\n"

    def _roots(self) -> list[tuple[int | None, str]]:
        """What a step of the backward pass has to write, and where."""
        roots: list[tuple[int | None, str]] = [(number, f"d + {place} * span") for number, place in self.delta.items()]
        for accumulator, place in ((a, k) for k, a in enumerate(self.accumulators)):
            number = self.gradient.deltas[accumulator.products[0]]
            if self.delta[number] != place:  # two accumulators of one δ
                roots.append((number, f"d + {place} * span"))
        states = {self.nodes[number].name: number for number in self.state_of}
        for place, state in enumerate(self.states):
            total = self.gradient.totals.get(states[state])
            roots.append((total.pointwise if total else None, f"l_out + {place} * row_line"))
        return roots

    def _block(self, number: int, blocks: int) -> Block:
        nodes = self.gradient.nodes

        def available(node: int) -> str | None:
            if node < len(self.nodes):
                return self.held(node) or self.stored(node)
            if node in self.seed:
                text = f"load(l + {self.seed[node]} * row_line + at, keep)"
                return text + (" + load(dy + at, keep)" if self.seed[node] == 0 else "")
            if node in self.plan.back_means:
                return f"load({self._mean(node)} + at, keep)"
            if node in self.waiting:
                operand = self.waiting[node]
                text = f"load(u + {self.plan.operands.index(operand)} * row_line + at, keep)"
                simple = self.gradient.totals[operand].pointwise
                return text if simple is None else f"{text} + {block.value(simple)}"
            if node in self.delta and self.back[node] < number:
                return f"load(d + {self.delta[node]} * span + at, keep)"
            return None

        block = Block(nodes, available)
        for mean in self.plan.back_means:
            if self.back[mean] == number + 1:
                block.mean(self._mean(mean), nodes[mean].args[0])
        for node, address in self._roots():
            if (blocks - 1 if node is None else self.back[node]) == number:
                block.store(address, node)
        for vector, name in self.fixed.items():
            total = self.gradient.totals.get(vector)
            if total is not None and total.node is not None and self.back[total.node] == number:
                value = block.value(total.node)
                block.stores.append(f"    store(d{name} + g + at, load(d{name} + g + at, keep) + {value}, keep)")
        return block

    def _mean(self, node: int) -> str:
        """The address of a mean of the gradient, behind what waits for products."""
        return f"u + {len(self.plan.operands) + self.plan.back_means.index(node)} * row_line"

    def _products(self, block: int, blocks: int) -> list[str]:
        """Rᵀδ: for a vector of the step as soon as all its δ are there, for states at the end of the step."""
        ordered: list[str] = []
        free: list[str] = []
        started: set[int] = set()
        for k, run in enumerate(self.plan.recurrent):
            ready = max(self.back[self.gradient.deltas[a.products[0]]]
                        for a in self.accumulators[run.first : run.first + len(run.parameters)])  # fmt: skip
            if run.operand in self.state_of:
                ready, to = blocks - 1, f"after + {self.state_of[run.operand]} * row_line"
                start = f"{to}, span"
            else:
                to = f"waiting + {self.plan.operands.index(run.operand)} * row_line"
                start = f"{to}, span" if run.operand in started else "zeros, 0"
                started.add(run.operand)
            if ready == block:
                at = f"deltas + (frame * count + {run.first}) * span"
                lines = free if run.operand in self.state_of else ordered
                lines.append(f"call(product, ({start}, {at}, count * span, SIZE, pack{k} + copy * gap{k}, 0, {to}, span, "
                             f"rows, {len(run.parameters)} * N, N, t % 2 * swing))")  # fmt: skip
        return ordered + to_and_fro(free)

    def _parameters(self) -> list[str]:
        """After the loop: the gradients of x and of the matrices, each one product over all frames, or a share of its lines."""
        plan, begun = self.plan, set()
        lines = [
            f"low{k}, high{k} = cut({of}, share, shares), cut({of}, share + 1, shares)"
            for k, of in (("", "N"), ("_x", "frames"))
        ]
        for run in plan.input_runs:
            x = f"dx{plan.inputs.index(run.operand)}"
            count = len(run.parameters)
            start = f"{x} + low_x * M * SIZE, M * SIZE" if x in begun else "zeros, 0"
            begun.add(x)
            lines.append(f"if {x} and high_x > low_x:")
            lines += [f"    call(pack_lines, ({word(name)}, {word(name)}_line, N, M, pack_x, {row} * N, {count} * N, frames))"
                      for row, name in enumerate(run.parameters)]  # fmt: skip
            lines.append(f"    call(product, ({start}, deltas + ({run.first} + low_x * count) * span, count * span, SIZE, "
                         f"pack_x, 0, {x} + low_x * M * SIZE, M * SIZE, high_x - low_x, {count} * N, M, 0))")  # fmt: skip
        for run in (*plan.input_runs, *plan.recurrent):
            if run.operand in self.state_of:
                vector, columns = f"history + {self.state_of[run.operand]} * state_line", "N"
            elif run.operand in plan.operands:
                vector, columns = f"operands + {plan.operands.index(run.operand)} * operand_line", "N"
            else:
                vector, columns = f"x{plan.inputs.index(run.operand)}", "M"
            for row, name in enumerate(run.parameters):
                to = f"d{word(name)}"
                start = f"{to} + low * {to}_line, {to}_line" if to in begun else "zeros, 0"
                begun.add(to)
                lines.append(f"if din_{name.partition('.')[0]} and high > low:")
                lines.append(f"    call(product, ({start}, deltas + {run.first + row} * span + low * SIZE, SIZE, count * span, "
                             f"{vector}, {columns} * SIZE, {to} + low * {to}_line, {to}_line, high - low, frames, {columns}, "
                             "0))")  # fmt: skip
        return lines
