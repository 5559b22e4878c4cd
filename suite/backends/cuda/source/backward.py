"""Source of the backward scan: the adjoint's blocks step by step, from the last to the first."""

from __future__ import annotations

from collections.abc import Callable

from lstm_odyssey.backends.cuda.classes import SizeClass
from lstm_odyssey.backends.cuda.source.blocks import Names, Scan, Values, entry, indented, wanted
from lstm_odyssey.backends.plan import Plan


class Backward(Scan):
    """The backward scan of one plan in one class."""

    def __init__(self, plan: Plan, layout: SizeClass, rows: int) -> None:
        super().__init__(plan, layout, rows)
        self.gradient, self.back = plan.gradient, plan.back
        self.seed = {number: self.states.index(name) for name, number in plan.gradient.seeds.items()}
        self.waiting = {self.gradient.totals[number].node: number for number in plan.operands}
        self.deltas = [plan.gradient.deltas[accumulator.products[0]] for accumulator in plan.accumulators]
        self.multiplied = sorted({one.place for one in self.products})
        self.of_states, self.of_vectors = wanted(self)

    @property
    def names(self) -> Names:
        """The entries of its table: sizes, then addresses.

        ``active``, ``slots``, ``history`` and ``operands`` are as the forward scan left them; ``dy`` and ``dfinal`` may be 0;
        ``deltas`` [T, B, sums, N] are filled, as are ``dvectors`` [tiles, vectors, N] and ``dinitial``, if they are not 0. STEP
        and LINE are those of ``Forward.names``.
        """
        states = range(len(self.states))
        return ("T", "B", "N", "LINE", "STEP", "active", "slots", "history", "operands", "deltas", "dvectors", "dy",
                *(f"dfinal{k}" for k in states), *self.matrices(), *self.fixed.values(),
                *(f"dinitial{k}" for k in states))  # fmt: skip

    @property
    def vectors(self) -> Names:
        """What is exchanged: δ twice, for two steps in turn; what is averaged, once."""
        means = range(len(self.plan.back_means))
        return (*(f"d{place}_{turn}" for place in self.multiplied for turn in (0, 1)), *(f"m{k}" for k in means))

    def text(self) -> str:
        """The kernel ``backward``."""
        states, vectors = range(len(self.states)), self.vectors
        body = [*self.shared(vectors), *self.weights(transposed=True)]
        body += [f"const real v{name} = unit < N ? {name}[unit] : real(0);" for name in self.fixed.values()]
        body += [f"real g{k} = real(0);" for k in range(len(self.fixed))]
        body += [f"real l{k} = live && dfinal{k} ? dfinal{k}[b * LINE + unit] : real(0);" for k in states]
        if vectors:
            body.append(self.barrier)
        reads: dict[str, str] = {}
        step = self._step(reads)
        last = {name: text.replace("@", "(T - 1)") for name, text in reads.items()}
        body += [f"real next_{name} = live && T > 0 ? {text} : real(0);" for name, text in last.items()]
        ahead = [f"const real {name} = next_{name};" for name in reads]
        ahead += [f"if (live && t > 0) next_{name} = {text.replace('@', '(t - 1)')};" for name, text in reads.items()]
        ahead.append("const bool on = live && (!active || active[t * B + b]);")
        for place in self.multiplied:
            ahead.append(f"real* const d{place} = t % 2 ? d{place}_1 : d{place}_0;")
        body += ["for (int t = T - 1; t >= 0; --t) {", *indented([*ahead, *step]), "}"]
        late = tuple(f"dinitial{k}" for k in states)
        for k, name in enumerate(late):
            body += [entry(self.names, name), f"if (mine && {name}) {name}[b * LINE + unit] = l{k};"]
        if self.fixed:
            late = (*late, "dvectors")
            count = len(self.fixed)
            over = [entry(self.names, "dvectors"), "#pragma unroll", "for (int step = 1; step < ROWS; step *= 2) {"]
            over += [*(f"    g{k} += __shfl_xor_sync(0xffffffffu, g{k}, step);" for k in range(count)), "}"]
            tile = f"(blockIdx.x / {self.layout.cluster})"
            to = f"dvectors[({tile} * {count} + @) * N + unit]"
            over += [f"if (lane == 0 && unit < N) {to.replace('@', str(k))} = g{k};" for k in range(count)]
            body += over
        return "\n".join([*self.head(self.names, "backward", late), *indented(body), "}"])

    def _step(self, reads: dict[str, str]) -> list[str]:
        """One step's lines; ``reads`` gets what it reads from memory a step ahead, ``@`` standing for the step.

        With means a step has several barriers, and so much read ahead would not fit the registers: it reads where it needs.
        """
        plan, nodes = self.plan, self.gradient.nodes
        waited: dict[int, str] = {}

        def read(name: str, text: str) -> str:
            if plan.means or plan.back_means:
                return f"(live ? {text.replace('@', 't')} : real(0))"
            reads[name] = text
            return name

        def available(number: int) -> str | None:
            if number < len(self.nodes):
                return self._held(number, read)
            if number in self.seed:
                above = (
                    read("dy_t", "(dy ? dy[@ * STEP + b * LINE + unit] : real(0))") if self.seed[number] == 0 else ""
                )
                return f"l{self.seed[number]} + {above}" if above else f"l{self.seed[number]}"
            if number in plan.back_means:
                return f"mean_m{plan.back_means.index(number)}"
            if number in self.waiting:
                operand = self.waiting[number]
                simple = self.gradient.totals[operand].pointwise
                return waited[operand] if simple is None else f"{waited[operand]} + {values.value(simple)}"
            return None

        values, lines, done = Values(nodes, available), [], 0
        roots = [*self.deltas, *self.of_states, *self.of_vectors]
        last = max([0, *(self.back[number] for number in roots if number is not None)])
        for block in range(last + 1):
            for place, number in enumerate(self.deltas):
                if self.back[number] != block:
                    continue
                name = values.value(number)
                lines += values.lines[done:]
                done = len(values.lines)
                lines.append(f"const real delta{place} = on ? real({name}) : real(0);")
                lines.append(
                    f"if (mine) deltas[((t * B + b) * {len(self.deltas)} + {place}) * N + unit] = delta{place};"
                )
                if place in self.multiplied:
                    lines += self.exchange(f"d{place}", f"delta{place}")
            ready = [k for k, number in enumerate(plan.operands) if self._ready(number) == block]
            means = {f"m{k}": n for k, n in enumerate(plan.back_means) if self.back[n] == block + 1 <= last}
            for one, mean in means.items():
                name = values.value(nodes[mean].args[0])
                lines += values.lines[done:]
                done = len(values.lines)
                lines += self.exchange(one, name)
            if ready or means:
                lines.append(self.barrier)
                lines += self.means(list(means)) if means else []
            if ready:
                lines += self._round({plan.operands[k]: f"u{k}" for k in ready})
                waited |= {plan.operands[k]: f"u{k}" for k in ready}
        seeds = []
        for k in range(len(self.states)):
            number = next(n for n, state in self.seed.items() if state == k)
            seeds.append(values.value(number))
        pointwise = ["real(0)" if number is None else values.value(number) for number in self.of_states]
        own = [(k, values.value(number)) for k, number in enumerate(self.of_vectors) if number is not None]
        lines += values.lines[done:]
        lines += [f"if (on) g{k} += {name};" for k, name in own]
        lines += [f"const real after{k} = on ? real({name}) : {seed};"
                  for k, (name, seed) in enumerate(zip(pointwise, seeds, strict=True))]  # fmt: skip
        states = {
            number: f"w{k}" for number, k in self.state_of.items() if any(p.operand == number for p in self.products)
        }
        if states:
            lines += [self.barrier, *self._round(states)]
        if plan.back_means and lines.count(self.barrier) == 1:
            lines.append(self.barrier)  # the step before this one overwrites what is averaged
        products = {self.state_of[number]: name for number, name in states.items()}
        return [*lines, *(f"l{k} = after{k}" + (f" + {products[k]};" if k in products else ";")
                          for k in range(len(self.states)))]  # fmt: skip

    def _ready(self, operand: int) -> int:
        """The block after which all δ of the products with a vector are there."""
        return max(self.back[self.deltas[one.place]] for one in self.products if one.operand == operand)

    def _held(self, number: int, read: Callable[[str, str], str]) -> str | None:
        """A value of the step, read from what the forward scan left."""
        plan = self.plan
        if number in self.fixed:
            return f"v{self.fixed[number]}"
        if number in self.state_of:
            k = self.state_of[number]
            return read(f"h{k}", f"history[({k} * (T + 1) + @) * B * N + at]")
        if number in self.result_of:
            k = self.result_of[number]
            return read(f"new{k}", f"history[({k} * (T + 1) + @ + 1) * B * N + at]")
        if number in plan.operands:
            k = plan.operands.index(number)
            return read(f"o{k}", f"operands[({k} * T + @) * B * N + at]")
        if number in plan.kept:
            place = plan.kept[number]
            return read(f"kept{place}", f"slots[((@ * B + b) * {plan.places} + {place}) * N + unit]")
        return None

    def _round(self, vectors: dict[int, str]) -> list[str]:
        """Transposed products for some vectors, by number of the node, each with the name of its sum."""
        which = [(k, one) for k, one in enumerate(self.products) if one.operand in vectors]
        places = [f"d{one.place}" for _, one in which]
        return self.product(
            [(k, place) for (k, _), place in zip(which, places, strict=True)],
            places,
            [vectors[one.operand] for _, one in which],
        )
