"""The gradient of a step, as a graph: reverse mode over the nodes by the rules of the op table.

The step graph's nodes come first, under their own numbers; the adjoint's follow, equal ones shared. Two kinds of node are
new: ``adjoint``, what a later part of the network says about a result (named after the state), and ``transposed``, R.gᵀ or
W.gᵀ times its argument. A backend turns the ``transposed`` products of one vector into one product.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lstm_odyssey.cell.graph import Builder, Graph, Node
from lstm_odyssey.cell.ops import OPS

LEAVES = frozenset({"input", "state", "vector"})


@dataclass(frozen=True)
class Total:
    """The adjoint of one node: the sum of what its uses contribute; None where nothing does.

    Args:
        node: all of it.
        pointwise: the part that no product with the node contributes.
        products: the ``transposed`` nodes, one for each matrix that has the node on its right.
    """

    node: int | None
    pointwise: int | None
    products: tuple[int, ...]


@dataclass(frozen=True)
class Adjoint:
    """The gradient of a step.

    Args:
        nodes: the step's nodes, then those of the gradient.
        seeds: by state, the node that stands for the adjoint of its new value.
        totals: the adjoint of each node of the step that a result depends on.
        deltas: by the number of a ``matmul`` node, the adjoint of its value: δ. The gradient of the matrix is δ times the
            operand, summed over time and rows.
    """

    nodes: tuple[Node, ...]
    seeds: dict[str, int]
    totals: dict[int, Total]
    deltas: dict[int, int]


class Operators:
    """The operators and the words of a text, each as one call of ``_op``."""

    def _op(self, name: str, *values: Any) -> Any:
        raise NotImplementedError

    def __add__(self, other: Any) -> Any:
        return self._op("add", self, other)

    def __radd__(self, other: Any) -> Any:
        return self._op("add", other, self)

    def __sub__(self, other: Any) -> Any:
        return self._op("sub", self, other)

    def __rsub__(self, other: Any) -> Any:
        return self._op("sub", other, self)

    def __mul__(self, other: Any) -> Any:
        return self._op("mul", self, other)

    def __rmul__(self, other: Any) -> Any:
        return self._op("mul", other, self)

    def __truediv__(self, other: Any) -> Any:
        return self._op("div", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._op("div", other, self)

    def __neg__(self) -> Any:
        return self._op("neg", self)

    def __getattr__(self, name: str) -> Any:
        if name not in OPS:
            raise AttributeError(name)
        return lambda *others: self._op(name, self, *others)


class Term(Operators):
    """A node of the graph under construction, with the operators of a text."""

    def __init__(self, builder: Builder, number: int) -> None:
        self.builder, self.number = builder, number

    @property
    def size(self) -> str:
        return self.builder.nodes[self.number].size

    def _op(self, name: str, *values: Any) -> Term:
        terms = [
            value if isinstance(value, Term) else Term(self.builder, constant(self.builder, value)) for value in values
        ]
        size = next((term.size for term in terms if term.size), "")
        return Term(self.builder, self.builder.add(Node(name, tuple(term.number for term in terms), size=size)))


def constant(builder: Builder, value: float) -> int:
    """The number of a constant."""
    return builder.add(Node("constant", value=float(value), size=""))


def adjoint(graph: Graph, leaves: Iterable[int] = ()) -> Adjoint:
    """The gradient of one step of ``graph``.

    Args:
        graph: a cell's graph.
        leaves: nodes to stop at besides the input, the states and the vectors; their adjoint is asked for, not that of
            what they are made of.
    """
    builder = Builder()
    for node in graph.nodes:
        builder.add(node)
    stop = set(leaves) | {number for number, node in enumerate(graph.nodes) if node.op in LEAVES}
    depends: set[int] = set(stop)  # only what a leaf reaches has an adjoint anyone asks for
    for number, node in enumerate(graph.nodes):
        if any(argument in depends for argument in node.args) or node.op == "matmul":
            depends.add(number)
    pointwise: dict[int, list[Term]] = {}
    products: dict[int, list[Term]] = {}
    seeds = {}
    for state, result in zip(graph.states, graph.results, strict=True):
        seeds[state] = builder.add(Node("adjoint", name=state))
        pointwise.setdefault(result, []).append(Term(builder, seeds[state]))
    totals: dict[int, Total] = {}
    deltas: dict[int, int] = {}

    def summed(terms: list[Term]) -> Term | None:
        total: Term | None = None
        for term in terms:
            total = term if total is None else total + term
        return total

    for number in reversed(range(len(graph.nodes))):
        if number not in depends:
            continue
        node = graph.nodes[number]
        simple, made = summed(pointwise.get(number, [])), products.get(number, [])
        whole = summed(([simple] if simple is not None else []) + made)
        if whole is None:
            continue
        totals[number] = Total(
            whole.number, simple.number if simple is not None else None, tuple(term.number for term in made)
        )
        if number in stop:
            continue
        if node.op == "matmul":
            deltas[number] = whole.number
            (operand,) = node.args
            size = graph.nodes[operand].size
            if operand in depends:
                new = builder.add(Node("transposed", (whole.number,), node.name, size=size))
                products.setdefault(operand, []).append(Term(builder, new))
        elif node.args:
            operands = [Term(builder, argument) for argument in node.args]
            parts = OPS[node.op].pullback(whole, Term(builder, number), *operands)
            for argument, part in zip(node.args, parts, strict=True):
                if argument in depends:
                    pointwise.setdefault(argument, []).append(part)
    return Adjoint(tuple(builder.nodes), seeds, totals, deltas)
