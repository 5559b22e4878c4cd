"""Pieces of generated CUDA C++ that both directions of a scan share: names of a table, values of a step, products.

A *block* here is the pointwise part between two rounds of products. All threads of a unit compute it for the row that is the
lane's, so that a value made in one block is a local variable in the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lstm_odyssey.backends import generated
from lstm_odyssey.backends.cuda.classes import SizeClass, vector
from lstm_odyssey.backends.plan import Plan

Names = tuple[str, ...]


@dataclass(frozen=True)
class Product:
    """One recurrent matrix in a scan: its parameter, what it is multiplied with and the place of the sum it belongs to."""

    parameter: str
    operand: int
    place: int


class Values(generated.Values):
    """Values as C++ has them."""

    number, line = "real({value})", "const real {name} = {text};"


class Scan(generated.Parts):
    """What both directions of one plan share."""

    def __init__(self, plan: Plan, layout: SizeClass, rows: int) -> None:
        super().__init__(plan)
        self.layout, self.rows = layout, rows
        self.products = products(plan)

    def matrices(self) -> list[str]:
        """Entries of a table: the address of each recurrent matrix and the numbers in a line of it."""
        return [entry for k in range(len(self.products)) for entry in (f"r{k}", f"r{k}_line")]

    def head(self, names: Sequence[str], kernel: str, late: Sequence[str] = ()) -> list[str]:
        """The kernel's signature and what every thread knows of itself; entries in ``late`` are read where they are used."""
        one, rows = self.layout, self.rows
        lines = [
            f'extern "C" __global__ void __launch_bounds__({one.threads}, 1) {kernel}(const long long* __restrict__ tables) {{',
            f"    const long long* table = tables + blockIdx.y * {len(names)};",
        ]
        for place, name in enumerate(names):
            if name in late:
                continue
            whole = name.isupper() or name.endswith("_line")
            kind, value = ("const int", f"int(table[{place}])") if whole else _pointer(name, place)
            lines.append(f"    {kind} {name} = {value};")
        rank = "cluster_rank()" if one.cluster > 1 else "0"
        body = [
            f"const int rank = {rank}, lane = threadIdx.x % LANES, own = threadIdx.x / LANES;",
            "const int unit = rank * UNITS + own, row = lane % ROWS;",
            f"const int b = int(blockIdx.x / {one.cluster}) * ROWS + row;",
            "const bool live = unit < N && b < B, mine = live && lane < ROWS;",
            "const int at = b * N + unit;  // of this thread's number in a [B, N]",
        ]
        assert rows <= one.lanes
        return [*lines, *indented(body)]

    def weights(self, transposed: bool) -> list[str]:
        """Lines that bring the matrices to their place, 0 where they have no number."""
        count = len(self.products)
        if not count:
            return []
        index = "column * r{k}_line + unit" if transposed else "unit * r{k}_line + column"
        lines = [f"real held[{count}][HELD ? HELD : 1];"]
        for k in range(count):
            lines += [
                "#pragma unroll",
                "for (int q = 0; q < COLUMNS; ++q) {",
                "    const int column = column_of(lane, q);",
                f"    const real weight = unit < N && column < N ? r{k}[{index.format(k=k)}] : real(0);",
                f"    if (q < HELD) held[{k}][q] = weight;",
                f"    else SHARED_WEIGHT({k}, q) = weight;",
                "}",
            ]
        return lines

    def product(self, which: Sequence[tuple[int, str]], vectors: Sequence[str], sums: Sequence[str]) -> list[str]:
        """Products of a round: each thread's part, then the sum over a unit's lanes.

        Args:
            which: matrices, each with the vector it is multiplied with, one of ``vectors``.
            vectors: names of places in shared memory, [ROWS, WIDTH] each.
            sums: of each matrix the name of the sum it is part of; each is declared here.
        """
        names = list(dict.fromkeys(sums))
        lines = [f"real {name}_part[ROWS] = {{}};" for name in names]
        lines += ["#pragma unroll", "for (int q = 0; q < COLUMNS; q += WORDS) {"]
        # one after the other: the lines of a vector leave their registers to the next
        for operand in dict.fromkeys(vectors):
            lines += ["    {", "        Line line[ROWS];", "#pragma unroll",
                      f"        for (int r = 0; r < ROWS; ++r) line[r] = line_at({operand} + r * WIDTH + column_of(lane, q));",
                      "#pragma unroll", "        for (int k = 0; k < WORDS; ++k) {"]  # fmt: skip
            for (place, here), name in zip(which, sums, strict=True):
                if here == operand:
                    lines += ["            {", f"                const real weight = WEIGHT({place}, q + k);", "#pragma unroll",
                              f"                for (int r = 0; r < ROWS; ++r) {name}_part[r] += weight * line[r].number[k];",
                              "            }"]  # fmt: skip
            lines += ["        }", "    }"]
        lines.append("}")
        return [*lines, *(f"const real {name} = over_lanes({name}_part, lane);" for name in names)]

    def means(self, vectors: Sequence[str]) -> list[str]:
        """Means over N of vectors that have been exchanged, of each row; in the order of the products' sums.

        What lies beyond N is 0 in them; each is named ``mean_`` and its vector.
        """
        lines = [f"real {one}_part[ROWS] = {{}};" for one in vectors]
        lines += ["#pragma unroll", "for (int q = 0; q < COLUMNS; q += WORDS) {"]
        for one in vectors:
            lines += ["#pragma unroll", "    for (int r = 0; r < ROWS; ++r) {",
                      f"        const Line line = line_at({one} + r * WIDTH + column_of(lane, q));", "#pragma unroll",
                      f"        for (int k = 0; k < WORDS; ++k) {one}_part[r] += line.number[k];", "    }"]  # fmt: skip
        return [*lines, "}", *(f"const real mean_{one} = over_lanes({one}_part, lane) / real(N);" for one in vectors)]

    def exchange(self, place: str, value: str) -> list[str]:
        """Lines that give every block of the cluster a number of the own unit and row; 0 beyond N and B."""
        target = f"{place} + row * WIDTH + unit"
        value = f"live ? {value} : real(0)"
        if self.layout.cluster == 1:
            return [f"if (lane < ROWS) *({target}) = {value};"]
        return [f"for (int block = lane / ROWS; block < {self.layout.cluster}; block += LANES / ROWS)",
                f"    cluster_store({target}, block, {value});"]  # fmt: skip

    @property
    def barrier(self) -> str:
        """Of all threads of a program."""
        return "__syncthreads();" if self.layout.cluster == 1 else "cluster_barrier();"

    def shared(self, vectors: Names) -> list[str]:
        """Lines that divide shared memory, and set to 0 what is exchanged.

        Args:
            vectors: names of what is exchanged, ``[ROWS, WIDTH]`` each.
        """
        own = self.layout.matrices * (self.layout.columns - self.layout.held) * self.layout.threads
        lines = ["SHARED(real, shared_weights);"]
        lines += [
            f"real* const {name} = shared_weights + {own} + {k} * ROWS * WIDTH;" for k, name in enumerate(vectors)
        ]
        count = f"{len(vectors)} * ROWS * WIDTH"
        lines.append(f"for (int k = threadIdx.x; k < {count}; k += THREADS) shared_weights[{own} + k] = real(0);")
        return lines


def entry(names: Sequence[str], name: str) -> str:
    """A line that reads an address of a table."""
    kind, value = _pointer(name, names.index(name))
    return f"{kind} {name} = {value};"


def _pointer(name: str, place: int) -> tuple[str, str]:
    kind = "const unsigned char*" if name == "active" else "real*"
    return f"{kind} const", f"reinterpret_cast<{kind}>(table[{place}])"


def wanted(scan: Scan) -> tuple[list[int | None], list[int | None]]:
    """Nodes of the adjoint graph: what no product contributes to a state, all of a vector's; None where nothing does."""
    totals = scan.plan.gradient.totals
    named = {scan.nodes[number].name: number for number in scan.state_of}
    of_states = [totals.get(named[state]) for state in scan.states]
    of_vectors = [totals.get(number) for number in scan.fixed]
    return [one.pointwise if one else None for one in of_states], [one.node if one else None for one in of_vectors]


def products(plan: Plan) -> tuple[Product, ...]:
    """The recurrent matrices in the order in which a scan has them."""
    return tuple(
        Product(parameter, run.operand, run.first + row)
        for run in plan.recurrent
        for row, parameter in enumerate(run.parameters)
    )


def prelude(layout: SizeClass, rows: int) -> str:
    """What stands before the kernels of one class."""
    return f"""\
typedef {"float" if layout.size == 4 else "double"} real;
#define ROWS {rows}
#define WIDTH {layout.width}
#define UNITS {layout.units}
#define LANES {layout.lanes}
#define THREADS {layout.threads}
#define COLUMNS {layout.columns}
#define HELD {layout.held}
#define WORDS {vector(layout.size)}
#define SHARED_WEIGHT(k, q) shared_weights[((k) * (COLUMNS - HELD) + (q) - HELD) * THREADS + threadIdx.x]
#define WEIGHT(k, q) ((q) < HELD ? held[k][(q) < HELD ? (q) : 0] : SHARED_WEIGHT(k, (q) < HELD ? HELD : (q)))

struct alignas(16) Line {{ real number[WORDS]; }};

__device__ __forceinline__ Line line_at(const real* place) {{ return *reinterpret_cast<const Line*>(place); }}

// the columns of a thread come in lines of 16 bytes, those of a unit's lanes side by side
__device__ __forceinline__ int column_of(int lane, int q) {{ return (q / WORDS * LANES + lane) * WORDS + q % WORDS; }}

// the sum over a unit's lanes for the row that is the lane's, lane % ROWS; the order of the sum is the same for every ROWS
__device__ __forceinline__ real over_lanes(real (&part)[ROWS], int lane) {{
    int step = 1;
#pragma unroll
    for (int rows = ROWS; rows > 1; rows /= 2) {{
        const bool odd = lane & step;
#pragma unroll
        for (int r = 0; r < rows / 2; ++r) {{
            const real kept = odd ? part[2 * r + 1] : part[2 * r], sent = odd ? part[2 * r] : part[2 * r + 1];
            part[r] = kept + __shfl_xor_sync(0xffffffffu, sent, step);
        }}
        step *= 2;
    }}
#pragma unroll
    for (; step < LANES; step *= 2) part[0] += __shfl_xor_sync(0xffffffffu, part[0], step);
    return part[0];
}}
"""


def indented(lines: Sequence[str]) -> list[str]:
    """Moved right."""
    return [f"    {line}" if not line.startswith("#") else line for line in lines]
