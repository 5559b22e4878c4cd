"""What the launches of a scan step by step share: their tables, the head of a kernel, and where values lie in memory."""

from __future__ import annotations

from collections.abc import Sequence

from lstm_odyssey.backends.cuda.classes import SizeClass
from lstm_odyssey.backends.cuda.source.blocks import Names, Scan, indented, wanted
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


class Steps(Scan):
    """The tables of one plan's launches, and its values in memory."""

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

        ``lambdas`` [2, states, B, N] and ``waiting`` [``self.waiting``, B, N] are between launches; ``dvectors`` are
        [B, vectors, N].
        """
        states = range(len(self.states))
        of_states = (f"{name}{k}" for name in ("initial", "final", "dfinal", "dinitial") for k in states)
        return ("T", "B", "N", "LINE", "STEP", "clock", "active", "slots", "history", "operands", "y", "deltas", "lambdas",
                "waiting", "dvectors", "dy", *self.matrices(), *self.fixed.values(), *of_states)  # fmt: skip

    @property
    def waiting(self) -> int:
        """How many vectors ``waiting`` has: of products, of what a mean is of, and of the gradient's means."""
        return len(self.plan.operands) + max(len(self.plan.means), 2 * len(self.plan.back_means))

    def _averaged(self, k: int) -> str:
        """Where what the mean number k is of lies between two launches; in the backward pass, means lie behind that."""
        return f"waiting + {len(self.plan.operands) + k} * B * N"

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


def multiplied(number: str, factors: Sequence[tuple[str, int | str]]) -> list[str]:
    """Lines that read a number of each row r and add it, times each weight, to the weight's sum."""
    lines = ["    {", "        real x[ROWS];", "#pragma unroll", "        for (int r = 0; r < ROWS; ++r)",
             f"            x[r] = begin + r < B ? {number} : real(0);"]  # fmt: skip
    for weight, place in factors:
        lines += ["        {", f"            const real weight = {weight};", "#pragma unroll",
                  f"            for (int r = 0; r < ROWS; ++r) part{place}[r] += weight * x[r];", "        }"]  # fmt: skip
    return [*lines, "    }"]
