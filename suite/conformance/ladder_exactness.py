"""Step 1 of the equality ladder: the adjoint graph of a cell's step is its derivative, exactly.

The derivative it is compared with goes the other way round: forward mode through the step's graph, one direction for each
entry of each leaf, over polynomials in which every nonlinearity's value is a generator of its own. Both ways use the rules
of the op table, which are proved where the table is tested; what is proved here is all the rest: sums over uses,
transposes, phases, which state is which. ``lstm_odyssey.conformance.kit`` is the way in.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import lstm_odyssey as lo
from lstm_odyssey.backends.lowering import lower, reduces
from lstm_odyssey.backends.plan import given
from lstm_odyssey.cell.adjoint import LEAVES, Adjoint, Operators, adjoint
from lstm_odyssey.cell.graph import Graph, Node
from lstm_odyssey.cell.ops import OPS
from lstm_odyssey.conformance.answers import require

SIZE = 2
"""Units and inputs: at 1 a matrix is its own transpose."""

OF_POLYNOMIALS = ("add", "sub", "mul", "neg", "matmul", "transposed", "constant", "mean")
"""What makes no new generator."""

PRIME = 2**61 - 1

NO_SYMPY = (
    "check_adjoint: sympy is not installed, and the adjoint is compared with the derivative in its polynomials. Install it: "
    "pip install 'lstm-odyssey[test]'."
)

Vector = list[Any]
Direction = tuple[int, tuple[int, ...], str]  # a node or -1, the entry, the matrix if it is one


def check_adjoint(
    cell: Any, backend: Any = "eager", draws: Sequence[Any] = (), derive: Callable[..., Adjoint] = adjoint
) -> None:
    """Step 1: the adjoint graph is the derivative by x, every state and every parameter, exactly.

    ``derive`` makes the adjoint of a graph and of the nodes to stop at; it is asked for the whole step's and for that of
    the part that is left to a compiled scan.
    """
    cell = lo.as_cell(cell)
    graph = lower(cell.graph).graph
    for what, leaves in (("of the whole step", frozenset()), ("of what a scan computes", given(graph))):
        wrong = broken(graph, derive(graph, leaves), leaves)
        require(
            not wrong,
            f"{cell.name}, the adjoint {what}: is not the derivative by {', '.join(wrong[:6])}"
            + (f" and {len(wrong) - 6} more" if len(wrong) > 6 else ""),
        )


def broken(graph: Graph, gradient: Adjoint, leaves: Iterable[int] = ()) -> list[str]:
    """The entries of leaves whose adjoint is not the derivative."""
    means = any(reduces(node.op) for node in graph.nodes)
    ring, stop = Point() if means else Ring(_generators(graph, gradient)), frozenset(leaves)
    values = ring.evaluate(gradient.nodes)
    # by name, not as the gradient has them: one that forgets a seed would forget it here too
    seeds = [ring.symbol("adjoint", state, k) for state in graph.states for k in range(SIZE)]
    wrong = [] if gradient.nodes[: len(graph.nodes)] == graph.nodes else ["its own copy of the step"]
    for node, entry, matrix in directions(graph, stop):
        slopes = ring.tangents(graph, values, (node, entry, matrix), stop)
        ends = [slopes[result][k] for result in graph.results for k in range(SIZE)]
        got, added_up = ring.zero, True
        if matrix:
            for number, use in enumerate(graph.nodes):
                if number in gradient.deltas and use.name == matrix:
                    got += values[gradient.deltas[number]][entry[0]] * values[use.args[0]][entry[1]]
        else:
            total = gradient.totals.get(node)
            if total is not None and total.node is not None:
                got = values[total.node][entry[0]]
                parts = [part for part in (total.pointwise, *total.products) if part is not None]
                # a scan adds the parts up by itself, the transposed products of one vector as one
                added_up = got == sum((values[part][entry[0]] for part in parts), ring.zero)
        if not added_up or got != sum((seed * slope for seed, slope in zip(seeds, ends, strict=True)), ring.zero):
            leaf = graph.nodes[max(node, 0)]
            wrong.append(f"{matrix or leaf.name or leaf.op}{list(entry)}")
    return wrong


def _generators(graph: Graph, gradient: Adjoint) -> int:
    """How many generators a comparison may need: entries of matrices, leaves, seeds, and what nonlinear ops and rules make."""
    matrices = {node.name for node in (*graph.nodes, *gradient.nodes) if node.op in ("matmul", "transposed")}
    vectors = [node for node in (*graph.nodes, *gradient.nodes) if node.op not in OF_POLYNOMIALS]
    return SIZE * SIZE * len(matrices) + SIZE * (2 * len(vectors) + len(graph.states))


def directions(graph: Graph, stop: frozenset[int]) -> Iterator[Direction]:
    """Every entry of every leaf that the step reads, and of every matrix in it."""
    read = {argument for n, node in enumerate(graph.nodes) if n not in stop for argument in node.args}
    read |= set(graph.results)
    for number, node in enumerate(graph.nodes):
        if node.op == "constant" or (number not in read and node.op != "state"):
            continue
        if node.op in LEAVES or number in stop:
            yield from ((number, (k,), "") for k in range(SIZE))
    inside = {node.name for number, node in enumerate(graph.nodes) if node.op == "matmul" and number not in stop}
    for name in sorted(inside):
        yield from ((-1, (row, column), name) for row in range(SIZE) for column in range(SIZE))


class Ring:
    """Polynomials over everything that occurs; a nonlinear op's value is a generator of its own."""

    zero: Any
    one: Any
    number: Callable[[float], Any]
    unused: Iterator[Any]
    made: dict[tuple[Any, ...], Any]

    def __init__(self, generators: int) -> None:
        try:
            from sympy import QQ, Rational
            from sympy.polys.orderings import lex
            from sympy.polys.rings import PolyRing
        except ImportError as error:
            raise ModuleNotFoundError(NO_SYMPY) from error
        polynomials: Any = PolyRing([f"g{k}" for k in range(generators)], QQ, lex)
        self.zero, self.one = polynomials.zero, polynomials.one
        self.number = lambda value: polynomials.ground_new(QQ.from_sympy(Rational(value)))
        self.unused = iter(polynomials.gens)
        self.made = {}

    def symbol(self, *key: Any) -> Any:
        """The generator that stands for ``key``."""
        if key not in self.made:
            self.made[key] = next(self.unused)
        return self.made[key]

    def op(self, name: str, *values: Any) -> Any:
        """The value of one op of the table."""
        if name in ("add", "sub", "mul", "neg"):
            return OPS[name].eager(*values)
        if name == "div":
            return values[0] * self.symbol("inverse", values[1])
        return self.symbol(name, *values)

    def entry(self, name: str, row: int, column: int) -> Any:
        """An entry of a matrix."""
        return self.symbol("matrix", name, row, column)

    def mean(self, vector: Vector) -> Vector:
        """The mean over a vector, in each of its places."""
        return [sum(vector, self.zero) * self.number(1 / SIZE)] * SIZE

    def evaluate(self, nodes: Sequence[Node]) -> list[Vector]:
        """Every node's vector."""
        values: list[Vector] = []
        for node in nodes:
            arguments = [values[argument] for argument in node.args]
            if node.op == "constant":
                values.append([self.number(node.value)] * SIZE)
            elif not node.args:
                values.append([self.symbol(node.op, node.name, k) for k in range(SIZE)])
            elif reduces(node.op):
                values.append(self.mean(arguments[0]))
            elif node.op in ("matmul", "transposed"):
                turned = node.op == "transposed"
                values.append([
                    sum((self.entry(node.name, *((m, n) if turned else (n, m))) * arguments[0][m]
                         for m in range(SIZE)), self.zero)
                    for n in range(SIZE)
                ])  # fmt: skip
            else:
                values.append([self.op(node.op, *(argument[k] for argument in arguments)) for k in range(SIZE)])
        return values

    def tangents(
        self, graph: Graph, values: Sequence[Vector], direction: Direction, stop: frozenset[int]
    ) -> list[Vector]:
        """Forward mode: every node's derivative by one entry of one leaf; the nodes in ``stop`` are leaves too."""
        leaf, entry, matrix = direction
        zero = [self.zero] * SIZE
        found: list[Vector] = []
        for number, node in enumerate(graph.nodes):
            if number == leaf:
                found.append([self.one if entry == (k,) else self.zero for k in range(SIZE)])
            elif not node.args or number in stop:
                found.append(zero)
            elif reduces(node.op):
                found.append(self.mean(found[node.args[0]]))
            elif node.op == "matmul":
                operand, slope = values[node.args[0]], found[node.args[0]]
                found.append([
                    sum((self.entry(node.name, n, m) * slope[m] for m in range(SIZE)), self.zero)
                    + (operand[entry[1]] if matrix == node.name and entry[0] == n else self.zero)
                    for n in range(SIZE)
                ])  # fmt: skip
            else:
                slopes = [found[argument] for argument in node.args]
                found.append([self._slope(node, k, values[number][k], values, slopes) for k in range(SIZE)])
        return found

    def _slope(self, node: Node, k: int, out: Any, values: Sequence[Vector], slopes: Sequence[Vector]) -> Any:
        if not any(slope[k] for slope in slopes):
            return self.zero
        operands = [Value(self, values[argument][k]) for argument in node.args]
        partial = OPS[node.op].pullback(Value(self, self.one), Value(self, out), *operands)
        return sum((part.value * slope[k] for part, slope in zip(partial, slopes, strict=True)), self.zero)


class Point(Ring):
    """The polynomials at one random point of the field of 2^61 - 1 elements, for a step in which they are too long.

    A mean is of products, and what is normalised again is a mean of means. Two polynomials that differ are equal at the point
    with a probability of their degree by 2^61 (Schwartz 1980, Zippel 1979).
    """

    def __init__(self) -> None:
        try:
            from sympy import GF, Rational
        except ImportError as error:
            raise ModuleNotFoundError(NO_SYMPY) from error
        field, draw = GF(PRIME), random.Random(0)
        self.zero, self.one = field.zero, field.one
        self.number = lambda value: field(Rational(value).p) / field(Rational(value).q)
        self.unused = iter(lambda: field(draw.randrange(1, PRIME)), None)
        self.made = {}


class Value(Operators):
    """A ring element with the operators that the rules of the table use."""

    def __init__(self, ring: Ring, value: Any) -> None:
        self.ring, self.value = ring, value

    def _op(self, name: str, *values: Any) -> Value:
        numbers = (value.value if isinstance(value, Value) else self.ring.number(value) for value in values)
        return Value(self.ring, self.ring.op(name, *numbers))
