"""Source of a scan step by step, for what no size class has room for: a launch for each round of products.

Matrices are read from memory. What one launch leaves to the next lies there too, as between the blocks of a CPU's scan, and so
does the step's number, so that all steps have the same launches; ``tick`` counts it.

Of a unit's threads one for each row (``mine``) reads and writes what lies in memory: what it writes, the others would read.
"""

from __future__ import annotations

from lstm_odyssey.backends.cuda.source.blocks import Values
from lstm_odyssey.backends.cuda.source.steps import ENDS, ROWS, THREADS, TICK, UNITS, WARP, Steps, multiplied

__all__ = ["ENDS", "ROWS", "THREADS", "TICK", "UNITS", "WARP", "Stepwise"]

_HEAD = """\
#include "device.h"

// cell {name}, step by step, float{bits}
typedef {real} real;
#define ROWS {rows}

extern "C" __global__ void tick(const long long* __restrict__ tables) {{
    const long long* table = tables + blockIdx.y * {tick};
    if (blockIdx.x == 0 && threadIdx.x == 0) *reinterpret_cast<long long*>(table[1]) += table[0];
}}
"""


class Stepwise(Steps):
    """The launches of one plan, step by step."""

    @property
    def kernels(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Those of a step forward, and of one backward."""
        ahead = tuple(f"step{block}" for block in range(self.blocks) if self._forward(block) is not None)
        back = tuple(f"back{block}" for block in range(self.back_blocks + bool(self.products)))
        return ahead, back

    def text(self) -> str:
        """All kernels."""
        real = "float" if self.size == 4 else "double"
        head = _HEAD.format(name=self.plan.graph.name or "?", bits=8 * self.size, real=real, rows=ROWS, tick=len(TICK))
        ahead = [text for block in range(self.blocks) if (text := self._forward(block)) is not None]
        back = [self._backward(block) for block in range(self.back_blocks + bool(self.products))]
        return "\n\n".join([head, *self._ends(), *ahead, *back]) + "\n"

    def _forward(self, block: int) -> str | None:
        """The products that wait for the launch before, and the values that follow; None where there is nothing to do."""
        plan, phase = self.plan, self.plan.phase
        operands = {n for n in plan.operands if phase[n] == block - 1} | (set(self.state_of) if block == 1 else set())
        which = [(k, one) for k, one in enumerate(self.products) if one.operand in operands]
        means = {f"_m{k}": self._averaged(k) for k, number in enumerate(plan.means) if phase[number] == block}
        body: list[str] = []
        places = list(dict.fromkeys(one.place for _, one in which))
        if which or means:
            summed = [*map(str, places), *means]
            body += [f"real part{name}[ROWS] = {{}};" for name in summed]
            body.append(f"for (int column = lane; unit < N && column < N; column += {WARP}) {{")
            for operand in dict.fromkeys(one.operand for _, one in which):
                if operand in self.state_of:
                    base = f"history + ({self.state_of[operand]} * (T + 1) + t) * B * N"
                else:
                    base = f"operands + ({plan.operands.index(operand)} * T + t) * B * N"
                own = [(f"r{k}[unit * r{k}_line + column]", one.place) for k, one in which if one.operand == operand]
                body += multiplied(f"({base})[(begin + r) * N + column]", own)
            for name, begin in means.items():
                body += multiplied(f"({begin})[(begin + r) * N + column]", [("real(1)", name)])
            body.append("}")
            for name in summed:
                body += [f"real sum{name} = real(0);", "#pragma unroll", "for (int r = 0; r < ROWS; ++r) {",
                         f"    real whole = part{name}[r];",
                         f"    for (int lanes = {WARP // 2}; lanes; lanes /= 2)",
                         "        whole += __shfl_xor_sync(0xffffffffu, whole, lanes);",
                         f"    if (r == row) sum{name} = whole;", "}"]  # fmt: skip
        started = {run.first + row for run in plan.input_runs for row in range(len(run.parameters))}
        earlier = {p.place for p in self.products if self._round(p.operand) < block}

        def begun(place: int) -> list[str]:
            """What the sum at a place is before this launch's products; biases come with the whole."""
            return [f"(mine ? {self._slot(place)} : real(0))"] if place in started | earlier else []

        def available(number: int) -> str | None:
            if (given := self._given(number)) is not None:
                return given
            if number in plan.means and phase[number] == block:
                return f"sum_m{plan.means.index(number)} / real(N)"
            if phase[number] < block and (text := self._stored(number)) is not None:
                return f"mine ? {text} : real(0)"
            if number not in self.tops:
                return None
            place = self.tops[number]
            parts = [*begun(place), *([f"sum{place}"] if place in places else [])]
            parts += [values.value(bias) for bias in self.accumulators[place].biases]
            return " + ".join([*parts, *(values.value(term) for term in self.accumulators[place].rest)])

        values = Values(self.nodes, available)
        stores = [
            f"if (mine) {self._slot(place)} = {' + '.join([*begun(place), f'sum{place}'])};"
            for place in places
            if phase[self.accumulators[place].top] > block  # more of its products come later
        ]
        for number, place in plan.kept.items():
            if phase[number] == block:
                stores.append(f"if (mine) {self._slot(place)} = {values.value(number)};")
        for k, number in enumerate(plan.means):
            if phase[number] == block + 1:
                stores.append(f"if (mine) ({self._averaged(k)})[at] = {values.value(self.nodes[number].args[0])};")
        for k, number in enumerate(plan.operands):
            if phase[number] == block:
                stores.append(
                    f"if (mine) operands[({k} * T + t) * B * N + at] = on ? real({values.value(number)}) : real(0);"
                )
        for k, number in enumerate(plan.graph.results):
            if phase[number] == block:
                held, to = (f"history[({k} * (T + 1) + {step}) * B * N + at]" for step in ("t", "t + 1"))
                stores.append(f"if (mine) {to} = on ? real({values.value(number)}) : {held};")
                if k == 0:
                    stores.append(f"if (mine && y) y[t * STEP + b * LINE + unit] = {to};")
        return (
            self._kernel(f"step{block}", False, [*body, *values.lines, *stores]) if which or means or stores else None
        )

    def _round(self, operand: int) -> int:
        """The launch that has the products with a vector."""
        return 1 if operand in self.state_of else self.plan.phase[operand] + 1

    def _ready(self, operand: int) -> int:
        """The launch with the transposed products for a vector: after that with the last of its δ; those of states are last."""
        if operand in self.state_of:
            return self.back_blocks
        return 1 + max(self.back[self.deltas[one.place]] for one in self.products if one.operand == operand)

    def _backward(self, block: int) -> str:
        plan = self.plan
        which = [(k, one) for k, one in enumerate(self.products) if self._ready(one.operand) == block]
        operands = list(dict.fromkeys(one.operand for _, one in which))
        of_means = plan.back_means
        means = {
            f"_m{k}": self._averaged(k) for k, n in enumerate(of_means) if self.back[n] == block < self.back_blocks
        }
        body: list[str] = []
        if which or means:
            body += ["SHARED(real, shares);", *(f"real part{n}[ROWS] = {{}};" for n in (*operands, *means))]
            body.append(f"for (int line = warp; unit < N && line < N; line += {THREADS // WARP}) {{")
            for place in dict.fromkeys(one.place for _, one in which):
                delta = f"deltas[((t * B + begin + r) * {len(self.deltas)} + {place}) * N + line]"
                own = [(f"r{k}[line * r{k}_line + unit]", one.operand) for k, one in which if one.place == place]
                body += multiplied(delta, own)
            for name, begin in means.items():
                body += multiplied(f"({begin})[(begin + r) * N + line]", [("real(1)", name)])
            body.append("}")
            for number in (*operands, *means):
                body += ["__syncthreads();", "#pragma unroll", "for (int r = 0; r < ROWS; ++r)",
                         f"    shares[(warp * ROWS + r) * {WARP} + lane] = part{number}[r];", "__syncthreads();",
                         f"real sum{number} = real(0);", f"for (int k = 0; k < {THREADS // WARP}; ++k)",
                         f"    sum{number} += shares[(k * ROWS + row) * {WARP} + lane];"]  # fmt: skip
        seed = {number: self.states.index(state) for state, number in self.gradient.seeds.items()}
        waiting = {self.gradient.totals[number].node: number for number in plan.operands}

        def lambda_(k: int, after: bool) -> str:
            turn = "(T - t) % 2" if after else "(T - 1 - t) % 2"
            return f"lambdas[({turn} * {len(self.states)} + {k}) * B * N + at]"

        def available(number: int) -> str | None:
            if number < len(self.nodes):
                stored = self._stored(number)
                return self._given(number) or (stored and f"mine ? {stored} : real(0)")
            if number in seed:
                above = " + (mine && dy ? dy[t * STEP + b * LINE + unit] : real(0))" if seed[number] == 0 else ""
                return f"(mine ? {lambda_(seed[number], False)} : real(0)){above}"
            if number in of_means:
                k = of_means.index(number)
                here = f"mine ? ({self._averaged(len(of_means) + k)})[at] : real(0)"
                return f"sum_m{k} / real(N)" if self.back[number] == block else here
            if number in waiting:
                operand = waiting[number]
                left = f"(mine ? waiting[{plan.operands.index(operand)} * B * N + at] : real(0))"
                whole = f"sum{operand}" if operand in operands else left
                simple = self.gradient.totals[operand].pointwise
                return whole if simple is None else f"{whole} + {values.value(simple)}"
            if number in self.deltas and self.back[number] < block:
                of = f"{len(self.deltas)} + {self.deltas.index(number)}"
                return f"mine ? deltas[((t * B + b) * {of}) * N + unit] : real(0)"
            return None

        values = Values(self.gradient.nodes, available)
        stores: list[str] = []
        for number in operands:
            if number in self.state_of:
                stores.append(f"if (mine) {lambda_(self.state_of[number], True)} += sum{number};")
            else:
                stores.append(f"if (mine) waiting[{plan.operands.index(number)} * B * N + at] = sum{number};")
        for k, number in enumerate(of_means):
            if self.back[number] == block + 1:
                stores.append(f"if (mine) ({self._averaged(k)})[at] = {values.value(values.nodes[number].args[0])};")
            if f"_m{k}" in means:
                stores.append(f"if (mine) ({self._averaged(len(of_means) + k)})[at] = {values.value(number)};")
        for place, number in enumerate(self.deltas):
            if self.back[number] == block:
                to = f"deltas[((t * B + b) * {len(self.deltas)} + {place}) * N + unit]"
                stores.append(f"if (mine) {to} = on ? real({values.value(number)}) : real(0);")
        if block < self.back_blocks:
            for k, whole in enumerate(self.of_vectors):
                if whole is not None and self.back[whole] == block:
                    stores.append(
                        f"if (mine && on) dvectors[(b * {len(self.fixed)} + {k}) * N + unit] += {values.value(whole)};"
                    )
        if block == self.back_blocks - 1:
            for k, simple in enumerate(self.of_states):
                value = "real(0)" if simple is None else values.value(simple)
                held = values.value(next(n for n, state in seed.items() if state == k))
                stores.append(f"if (mine) {lambda_(k, True)} = on ? real({value}) : {held};")
        return self._kernel(f"back{block}", True, [*body, *values.lines, *stores])
