"""Source of the forward scan: the products of the states, then block by block through the step."""

from __future__ import annotations

from lstm_odyssey.backends.cuda.source.blocks import Names, Scan, Values, entry, indented


class Forward(Scan):
    """The forward scan of one plan in one class."""

    @property
    def names(self) -> Names:
        """The entries of its table: sizes, then addresses.

        ``active`` are bytes [T, B], or 0; ``slots`` [T, B, places, N] begin with the input products and take what is kept;
        ``history`` [states, T + 1, B, N] and ``operands`` [operands, T, B, N] are filled, as are ``y``, whose steps lie
        ``STEP`` numbers apart, and ``final``. The lines of y, initial and final states lie ``LINE`` numbers apart.
        """
        states = range(len(self.states))
        return ("T", "B", "N", "LINE", "STEP", "active", "slots", "history", "operands", "y", *self.matrices(),
                *self.fixed.values(), *(f"initial{k}" for k in states), *(f"final{k}" for k in states))  # fmt: skip

    @property
    def multiplied(self) -> list[int]:
        """The states that a matrix is multiplied with."""
        return [self.state_of[n] for n in dict.fromkeys(p.operand for p in self.products) if n in self.state_of]

    @property
    def vectors(self) -> Names:
        """What is exchanged: states twice, for two steps in turn; what is averaged is read before the step's last barrier."""
        operands, means = range(len(self.plan.operands)), range(len(self.plan.means))
        return (*(f"s{k}_{turn}" for k in self.multiplied for turn in (0, 1)), *(f"o{k}" for k in operands),
                *(f"m{k}" for k in means))  # fmt: skip

    def text(self) -> str:
        """The kernel ``forward``."""
        plan, states, multiplied, vectors = self.plan, range(len(self.states)), self.multiplied, self.vectors
        body = [*self.shared(vectors), *self.weights(transposed=False)]
        body += [f"const real v{name} = unit < N ? {name}[unit] : real(0);" for name in self.fixed.values()]
        for place, accumulator in enumerate(self.accumulators):
            if accumulator.biases:
                body.append(f"const real bias{place} = {' + '.join(f'v{self.fixed[n]}' for n in accumulator.biases)};")
        body += [f"real h{k} = live ? initial{k}[b * LINE + unit] : real(0);" for k in states]
        body += [f"if (mine) history[{k} * (T + 1) * B * N + at] = h{k};" for k in states]
        started = sorted({run.first + row for run in plan.input_runs for row in range(len(run.parameters))})
        starts = {place: f"start{place}" for place in started}
        addresses = {
            name: f"slots[((t * B + b) * {plan.places} + {place}) * N + unit]" for place, name in starts.items()
        }
        # a unit's lanes that share a row read what one of them will write: before a barrier, or that one alone
        reads = "live" if vectors else "mine"
        body += [
            f"real next_{name} = {reads} && T > 0 ? {_at(address, '0')} : real(0);"
            for name, address in addresses.items()
        ]
        if vectors:
            begun = [line for k in multiplied for line in self.exchange(f"s{k}_0", f"h{k}")]
            body += [self.barrier, *begun, self.barrier]
        step = [f"const real {name} = next_{name};" for name in addresses]
        step += [
            f"if ({reads} && t + 1 < T) next_{name} = {_at(address, '(t + 1)')};" for name, address in addresses.items()
        ]
        step += ["const bool on = live && (!active || active[t * B + b]);"]
        for k in multiplied:
            step += [
                f"real* const s{k} = t % 2 ? s{k}_1 : s{k}_0;",
                f"real* const s{k}_next = t % 2 ? s{k}_0 : s{k}_1;",
            ]
        step += self._step(starts)
        for k in multiplied:
            step += self.exchange(f"s{k}_next", f"h{k}")
        if vectors:
            step.append(self.barrier)
        body += ["for (int t = 0; t < T; ++t) {", *indented(step), "}"]
        late = tuple(f"final{k}" for k in states)
        for k, name in enumerate(late):
            body += [entry(self.names, name), f"if (mine && {name}) {name}[b * LINE + unit] = h{k};"]
        return "\n".join([*self.head(self.names, "forward", late), *indented(body), "}"])

    def _step(self, starts: dict[int, str]) -> list[str]:
        plan, phase = self.plan, self.plan.phase
        sums: dict[int, list[str]] = {place: [] for place in range(len(self.accumulators))}

        def available(number: int) -> str | None:
            if number in self.state_of:
                return f"h{self.state_of[number]}"
            if number in self.fixed:
                return f"v{self.fixed[number]}"
            if number in plan.means:
                return f"mean_m{plan.means.index(number)}"
            if number not in self.tops:
                return None
            place = self.tops[number]
            parts = [starts[place]] if place in starts else []
            parts += [f"bias{place}"] if self.accumulators[place].biases else []
            parts += sums[place]
            return " + ".join([*parts, *(values.value(term) for term in self.accumulators[place].rest)])

        values, lines, done = Values(self.nodes, available), [], 0
        last = max([0, *(phase[number] for number in (*plan.graph.results, *plan.operands, *plan.kept))])
        lines += self._round(set(self.state_of), "0", sums)
        for block in range(last + 1):
            for number, place in plan.kept.items():
                if phase[number] == block and number not in plan.means:
                    name = values.value(number)
                    lines += values.lines[done:]
                    done = len(values.lines)
                    lines.append(f"if (mine) slots[((t * B + b) * {plan.places} + {place}) * N + unit] = {name};")
            ready = [k for k, number in enumerate(plan.operands) if phase[number] == block]
            for k in ready:
                name = values.value(plan.operands[k])
                lines += values.lines[done:]
                done = len(values.lines)
                lines.append(f"if (mine) operands[({k} * T + t) * B * N + at] = on ? {name} : real(0);")
                lines += self.exchange(f"o{k}", name)
            means = {f"m{k}": number for k, number in enumerate(plan.means) if phase[number] == block + 1}
            for one, number in means.items():
                name = values.value(self.nodes[number].args[0])
                lines += values.lines[done:]
                done = len(values.lines)
                lines += self.exchange(one, name)
            if ready or means:
                lines.append(self.barrier)
                lines += self.means(list(means)) if means else []
                lines += [f"if (mine) slots[((t * B + b) * {plan.places} + {plan.kept[number]}) * N + unit] = mean_{one};"
                          for one, number in means.items()]  # fmt: skip
            if ready:
                lines += self._round({plan.operands[k] for k in ready}, str(block + 1), sums)
        results = [values.value(number) for number in plan.graph.results]
        lines += values.lines[done:]
        lines += [f"const real new{k} = on ? real({name}) : h{k};" for k, name in enumerate(results)]
        for k in range(len(results)):
            lines += [f"h{k} = new{k};"] + ["if (mine && y) y[t * STEP + b * LINE + unit] = h0;"] * (k == 0)
            lines += [f"if (mine) history[({k} * (T + 1) + t + 1) * B * N + at] = h{k};"]
        return lines

    def _round(self, operands: set[int], name: str, sums: dict[int, list[str]]) -> list[str]:
        """The products with some vectors; each sum they are part of gets a name."""
        which = [(k, one) for k, one in enumerate(self.products) if one.operand in operands]
        if not which:
            return []
        places = {
            n: f"s{self.state_of[n]}" if n in self.state_of else f"o{self.plan.operands.index(n)}" for n in operands
        }
        names = [f"sum{one.place}_{name}" for _, one in which]
        for (_, one), here in zip(which, names, strict=True):
            if here not in sums[one.place]:
                sums[one.place].append(here)
        vectors = [places[one.operand] for _, one in which]
        return self.product([(k, places[one.operand]) for k, one in which], vectors, names)


def _at(address: str, t: str) -> str:
    """An address at another step."""
    return address.replace("(t *", f"({t} *")
