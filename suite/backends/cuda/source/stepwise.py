"""Source of a scan step by step, for what no size class has room for: a launch for each round of products.

Matrices are read from memory. What one launch leaves to the next lies there too, as between the blocks of a CPU's scan, and so
does the step's number, so that all steps have the same launches; ``tick`` counts it.

Of a unit's threads one for each row (``mine``) reads and writes what lies in memory: what it writes, the others would read.
"""

from __future__ import annotations

from collections.abc import Sequence

from lstm_odyssey.backends.cuda.classes import SizeClass
from lstm_odyssey.backends.cuda.source.blocks import Names, Scan, Values, indented, wanted
from lstm_odyssey.backends.plan import Plan

THREADS, WARP = 256, 32
ROWS = 4
"""Rows of the batch that a block computes, so that a matrix is read once for all of them."""

TICK = ("BY", "clock")
"""The entries of a count's table: the step's number is changed by so much."""

ENDS = ("begin", "end", "begin_back", "end_back")
"""The kernels that are run once a scan."""

UNITS = (THREADS // WARP, WARP)
"""Units of a block, forward (a warp each) and backward (a thread of each warp)."""

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


class Stepwise(Scan):
    """The launches of one plan, step by step."""

    def __init__(self, plan: Plan, size: int) -> None:
        super().__init__(plan, SizeClass(WARP, size, 0, 1, ROWS, 0, ROWS), ROWS)
        self.size = size
        self.gradient, self.back = plan.gradient, plan.back
        phase = plan.phase
        self.blocks = 1 + max([0, *(phase[number] for number in (*plan.graph.results, *plan.operands, *plan.kept))])
        self.deltas = [plan.gradient.deltas[accumulator.products[0]] for accumulator in plan.accumulators]
        self.of_states, self.of_vectors = wanted(self)
        roots = [*self.deltas, *self.of_states, *self.of_vectors]
        self.back_blocks = 1 + max([0, *(self.back[number] for number in roots if number is not None)])

    @property
    def names(self) -> Names:
        """The entries of all tables: as those of the fused scans, with ``clock``, the number of the step, int64.

        ``lambdas`` [2, states, B, N] and ``waiting`` [operands, B, N] are between the backward launches; ``dvectors`` are
        [B, vectors, N].
        """
        states = range(len(self.states))
        of_states = (f"{name}{k}" for name in ("initial", "final", "dfinal", "dinitial") for k in states)
        return ("T", "B", "N", "LINE", "STEP", "clock", "active", "slots", "history", "operands", "y", "deltas", "lambdas",
                "waiting", "dvectors", "dy", *self.matrices(), *self.fixed.values(), *of_states)  # fmt: skip

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

    def _ends(self) -> list[str]:
        """What is done before the first step and after the last, in both directions."""
        states, count = range(len(self.states)), len(self.fixed)
        first, last = (f"lambdas[({turn} * {len(states)} + #) * B * N + at]" for turn in ("0", "T % 2"))
        bodies = {
            "begin": [f"if (mine) history[{k} * (T + 1) * B * N + at] = initial{k}[b * LINE + unit];" for k in states],
            "end": [f"if (mine && final{k}) final{k}[b * LINE + unit] = history[({k} * (T + 1) + T) * B * N + at];"
                    for k in states],
            "begin_back": [
                *(f"if (mine) {first.replace('#', str(k))} = dfinal{k} ? dfinal{k}[b * LINE + unit] : real(0);"
                  for k in states),
                *(f"if (mine) dvectors[(b * {count} + {k}) * N + unit] = real(0);" for k in range(count)),
            ],
            "end_back": [
                f"if (mine && dinitial{k}) dinitial{k}[b * LINE + unit] = {last.replace('#', str(k))};" for k in states
            ],
        }  # fmt: skip
        return [self._kernel(name, True, body) for name, body in bodies.items()]

    def _kernel(self, name: str, backward: bool, body: Sequence[str]) -> str:
        lines = [
            f'extern "C" __global__ void __launch_bounds__({THREADS}) {name}(const long long* __restrict__ tables) {{',
            f"    const long long* table = tables + blockIdx.y * {len(self.names)};",
        ]
        for place, entry in enumerate(self.names):
            if entry.isupper() or entry.endswith("_line"):
                lines.append(f"    const int {entry} = int(table[{place}]);")
            else:
                kind = {"active": "const unsigned char", "clock": "const long long"}.get(entry, "real")
                lines.append(f"    {kind}* const {entry} = reinterpret_cast<{kind}*>(table[{place}]);")
        unit, row = ("lane", "warp % ROWS") if backward else ("warp", "lane % ROWS")
        first, units = ("warp < ROWS", UNITS[1]) if backward else ("lane < ROWS", UNITS[0])
        lines += indented([
            f"const int lane = threadIdx.x % {WARP}, warp = threadIdx.x / {WARP}, across = (N + {units - 1}) / {units};",
            f"const int unit = int(blockIdx.x) % across * {units} + {unit}, row = {row};",
            "const int begin = int(blockIdx.x) / across * ROWS, b = begin + row;",
            "if (begin >= B) return;  // of a smaller member; a whole block",
            f"const bool live = unit < N && b < B, mine = live && {first};",
            "const int at = b * N + unit;",
            *(() if name in ENDS else (
                "const int t = int(*clock);", "const bool on = live && (!active || active[t * B + b]);",
            )),
        ])  # fmt: skip
        return "\n".join([*lines, *indented(body), "}"])

    def _forward(self, block: int) -> str | None:
        """The products that wait for the launch before, and the values that follow; None where there is nothing to do."""
        plan, phase = self.plan, self.plan.phase
        operands = {n for n in plan.operands if phase[n] == block - 1} | (set(self.state_of) if block == 1 else set())
        which = [(k, one) for k, one in enumerate(self.products) if one.operand in operands]
        body: list[str] = []
        places = list(dict.fromkeys(one.place for _, one in which))
        if which:
            body += [f"real part{place}[ROWS] = {{}};" for place in places]
            body.append(f"for (int column = lane; unit < N && column < N; column += {WARP}) {{")
            for operand in dict.fromkeys(one.operand for _, one in which):
                if operand in self.state_of:
                    base = f"history + ({self.state_of[operand]} * (T + 1) + t) * B * N"
                else:
                    base = f"operands + ({plan.operands.index(operand)} * T + t) * B * N"
                own = [(f"r{k}[unit * r{k}_line + column]", one.place) for k, one in which if one.operand == operand]
                body += _multiplied(f"({base})[(begin + r) * N + column]", own)
            body.append("}")
            for place in places:
                body += [f"real sum{place} = real(0);", "#pragma unroll", "for (int r = 0; r < ROWS; ++r) {",
                         f"    real whole = part{place}[r];",
                         f"    for (int lanes = {WARP // 2}; lanes; lanes /= 2)",
                         "        whole += __shfl_xor_sync(0xffffffffu, whole, lanes);",
                         f"    if (r == row) sum{place} = whole;", "}"]  # fmt: skip
        started = {run.first + row for run in plan.input_runs for row in range(len(run.parameters))}
        earlier = {p.place for p in self.products if self._round(p.operand) < block}

        def begun(place: int) -> list[str]:
            """What the sum at a place is before this launch's products; biases come with the whole."""
            return [f"(mine ? {self._slot(place)} : real(0))"] if place in started | earlier else []

        def available(number: int) -> str | None:
            if (given := self._given(number)) is not None:
                return given
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
        return self._kernel(f"step{block}", False, [*body, *values.lines, *stores]) if which or stores else None

    def _round(self, operand: int) -> int:
        """The launch that has the products with a vector."""
        return 1 if operand in self.state_of else self.plan.phase[operand] + 1

    def _given(self, number: int) -> str | None:
        """A state before the step, or a vector."""
        if number in self.state_of:
            return f"mine ? history[({self.state_of[number]} * (T + 1) + t) * B * N + at] : real(0)"
        return f"unit < N ? {self.fixed[number]}[unit] : real(0)" if number in self.fixed else None

    def _slot(self, place: int) -> str:
        return f"slots[((t * B + b) * {self.plan.places} + {place}) * N + unit]"

    def _stored(self, number: int) -> str | None:
        """A value of the step that an earlier launch, or the forward scan, left in memory."""
        plan = self.plan
        if number in self.result_of:
            return f"history[({self.result_of[number]} * (T + 1) + t + 1) * B * N + at]"
        if number in plan.operands:
            return f"operands[({plan.operands.index(number)} * T + t) * B * N + at]"
        if number in plan.kept:
            return self._slot(plan.kept[number])
        return None

    def _ready(self, operand: int) -> int:
        """The launch with the transposed products for a vector: after that with the last of its δ; those of states are last."""
        if operand in self.state_of:
            return self.back_blocks
        return 1 + max(self.back[self.deltas[one.place]] for one in self.products if one.operand == operand)

    def _backward(self, block: int) -> str:
        plan = self.plan
        which = [(k, one) for k, one in enumerate(self.products) if self._ready(one.operand) == block]
        operands = list(dict.fromkeys(one.operand for _, one in which))
        body: list[str] = []
        if which:
            body += ["SHARED(real, shares);", *(f"real part{n}[ROWS] = {{}};" for n in operands)]
            body.append(f"for (int line = warp; unit < N && line < N; line += {THREADS // WARP}) {{")
            for place in dict.fromkeys(one.place for _, one in which):
                delta = f"deltas[((t * B + begin + r) * {len(self.deltas)} + {place}) * N + line]"
                own = [(f"r{k}[line * r{k}_line + unit]", one.operand) for k, one in which if one.place == place]
                body += _multiplied(delta, own)
            body.append("}")
            for number in operands:
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


def _multiplied(number: str, factors: Sequence[tuple[str, int]]) -> list[str]:
    """Lines that read a number of each row r and add it, times each weight, to the weight's sum."""
    lines = ["    {", "        real x[ROWS];", "#pragma unroll", "        for (int r = 0; r < ROWS; ++r)",
             f"            x[r] = begin + r < B ? {number} : real(0);"]  # fmt: skip
    for weight, place in factors:
        lines += ["        {", f"            const real weight = {weight};", "#pragma unroll",
                  f"            for (int r = 0; r < ROWS; ++r) part{place}[r] += weight * x[r];", "        }"]  # fmt: skip
    return [*lines, "    }"]
