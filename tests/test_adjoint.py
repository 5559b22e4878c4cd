"""Ladder, step 1: the adjoint graph of a step is its derivative, exactly, in a ring where every nonlinearity is a generator.

The derivative it is compared with goes the other way round: forward mode through the step's graph, one direction for each
entry of each leaf, with polynomials of sympy. Both use the rules of the op table, which test_ops proves; what is proved here
is all the rest: sums over uses, transposes, phases, which state is which.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
import sympy

import lstm_odyssey as lo
from lstm_odyssey.cell.adjoint import Total, adjoint
from lstm_odyssey.cell.graph import Node
from lstm_odyssey.cell.ops import OPS

sys.path.insert(0, str(Path(__file__).parent))
from cells import ODD

SIZE = 2


class Ring:
    """Polynomials over everything that occurs; a nonlinear op's value is a generator of its own."""

    def __init__(self) -> None:
        self.made: dict[tuple, sympy.Symbol] = {}

    def generator(self, *key) -> sympy.Symbol:
        return self.made.setdefault(key, sympy.Symbol(f"g{len(self.made)}"))

    def op(self, name, *values):
        if name in ("add", "sub", "mul", "neg"):
            return sympy.expand(OPS[name].eager(*values))
        if name == "div":
            return sympy.expand(values[0] * self.generator("inverse", sympy.expand(values[1])))
        return self.generator(name, *map(sympy.expand, values))


class Value:
    """A ring element with the methods the rules of the table call."""

    def __init__(self, ring, value):
        self.ring, self.value = ring, sympy.sympify(value)

    def _op(self, name, *values):
        return Value(
            self.ring, self.ring.op(name, *(v.value if isinstance(v, Value) else sympy.Rational(v) for v in values))
        )

    def __add__(self, other):
        return self._op("add", self, other)

    def __radd__(self, other):
        return self._op("add", other, self)

    def __sub__(self, other):
        return self._op("sub", self, other)

    def __rsub__(self, other):
        return self._op("sub", other, self)

    def __mul__(self, other):
        return self._op("mul", self, other)

    def __rmul__(self, other):
        return self._op("mul", other, self)

    def __truediv__(self, other):
        return self._op("div", self, other)

    def __neg__(self):
        return self._op("neg", self)

    def sign(self):
        return self._op("sign", self)

    def sigmoid(self):
        return self._op("sigmoid", self)


def leaf(*key):
    return sympy.Symbol("_".join(map(str, key)).replace(".", ""))


def entries(name):
    return (
        [(row, column) for row in range(SIZE) for column in range(SIZE)]
        if name[0] in "WR"
        else [(k,) for k in range(SIZE)]
    )


def evaluate(ring, nodes, transposed=()):
    """Every node's vector of ring elements."""
    values = []
    for node in nodes:
        arguments = [values[argument] for argument in node.args]
        if node.op == "constant":
            values.append([sympy.Rational(node.value)] * SIZE)
        elif node.op in ("input", "state", "vector", "adjoint"):
            values.append([leaf(node.op, node.name, k) for k in range(SIZE)])
        elif node.op in ("matmul", "transposed"):
            (vector,) = arguments
            at = (lambda n, m: (n, m)) if node.op == "matmul" else (lambda n, m: (m, n))
            values.append(
                [sympy.expand(sum(leaf(node.name, *at(n, m)) * vector[m] for m in range(SIZE))) for n in range(SIZE)]
            )
        else:
            values.append([ring.op(node.op, *(argument[k] for argument in arguments)) for k in range(SIZE)])
    return values


def tangents(ring, graph, values, direction):
    """Forward mode: every node's derivative by one entry of one leaf, ``(op, name, index)``."""
    what, name, index = direction
    found = []
    for node, value in zip(graph.nodes, values, strict=True):
        if node.op in ("input", "state", "vector", "constant"):
            hit = node.op == what and node.name == name
            found.append([sympy.Integer(hit and index == (k,)) for k in range(SIZE)])
        elif node.op == "matmul":
            operand, slope = values[node.args[0]], found[node.args[0]]
            found.append([
                sum(leaf(node.name, n, m) * slope[m] for m in range(SIZE))
                + (operand[index[1]] if what == "matrix" and name == node.name and index[0] == n else 0)
                for n in range(SIZE)
            ])  # fmt: skip
        else:
            row = []
            for k in range(SIZE):
                operands = [Value(ring, values[argument][k]) for argument in node.args]
                partial = OPS[node.op].pullback(Value(ring, 1), Value(ring, value[k]), *operands)
                row.append(
                    sum(part.value * found[argument][k] for part, argument in zip(partial, node.args, strict=True))
                )
            found.append(row)
    return found


def broken_promises(graph, gradient):
    """The leaves whose adjoint is not the derivative."""
    ring = Ring()
    values = evaluate(ring, gradient.nodes)
    seeds = [leaf("adjoint", state, k) for state in graph.states for k in range(SIZE)]
    wrong = []
    vectors = [node for node in graph.nodes if node.op in ("input", "state", "vector")]
    directions = [(node.op, node.name, (k,)) for node in vectors for k in range(SIZE)]
    directions += [("matrix", name, entry) for name in graph.parameters if name[0] in "WR" for entry in entries(name)]
    numbers = {(node.op, node.name): number for number, node in enumerate(graph.nodes)}
    for what, name, index in directions:
        slopes = tangents(ring, graph, values[: len(graph.nodes)], (what, name, index))
        ends = [slopes[result][k] for result in graph.results for k in range(SIZE)]
        expected = sum(seed * slope for seed, slope in zip(seeds, ends, strict=True))
        if what == "matrix":
            uses = [(n, node) for n, node in enumerate(graph.nodes) if node.op == "matmul" and node.name == name]
            got = sum(values[gradient.deltas[n]][index[0]] * values[node.args[0]][index[1]] for n, node in uses)
        else:
            total = gradient.totals.get(numbers[what, name])
            got = 0 if total is None or total.node is None else values[total.node][index[0]]
        if sympy.expand(expected - got) != 0:
            wrong.append(f"{what} {name}{list(index)}")
    return wrong


CELLS = {**{name: lo.variant(name) for name in lo.variant_names()}, **{name: lo.as_cell(v) for name, v in ODD.items()}}


@pytest.mark.parametrize("name", CELLS)
def test_the_adjoint_is_the_derivative(name):
    """Exactly, for x, every state and every entry of every parameter, of all cells and of the graph as backends run it."""
    graph = CELLS[name].lowered
    assert broken_promises(graph, adjoint(graph)) == []


def mutants():
    """Six wrong adjoints of vanilla, each by one plausible slip."""
    graph = CELLS["vanilla"].lowered
    right = adjoint(graph)
    numbers = {(node.op, node.name): number for number, node in enumerate(graph.nodes)}
    y, c = numbers["state", "y"], numbers["state", "c"]

    def nodes(change):
        return dataclasses.replace(right, nodes=tuple(change(n, node) for n, node in enumerate(right.nodes)))

    def total(number, new):
        return dataclasses.replace(right, totals={**right.totals, number: Total(new, new, ())})

    whole = right.totals[y]
    yield "one gate's Rᵀδ is missing", total(y, right.nodes[whole.node].args[0])
    yield (
        "R in place of its transpose",
        nodes(
            lambda n, node: (
                dataclasses.replace(node, op="matmul") if node.op == "transposed" and node.name[0] == "R" else node
            )
        ),
    )
    yield "the adjoint of the initial c is that of the new c", total(c, right.seeds["c"])
    squares = [n for n, node in enumerate(right.nodes) if n >= len(graph.nodes) and node.op == "sub"]
    yield (
        "σ' = σ instead of σ(1 - σ)",
        nodes(lambda n, node: Node("mul", (node.args[1], node.args[0]), size=node.size) if n == squares[0] else node),
    )
    peephole = numbers["vector", "p.o"]
    yield (
        "the output peephole's gradient uses c_{t-1}",
        nodes(
            lambda n, node: (
                dataclasses.replace(node, args=(node.args[0], c)) if n == right.totals[peephole].node else node
            )
        ),
    )
    products = [n for n, node in enumerate(graph.nodes) if node.op == "matmul" and node.name[0] == "R"]
    swapped = {products[0]: right.deltas[products[1]], products[1]: right.deltas[products[0]]}
    yield "two gates' δ changed places", dataclasses.replace(right, deltas={**right.deltas, **swapped})


MUTANTS = dict(mutants())


def test_there_are_six_mutants():
    """The list below is complete."""
    assert len(MUTANTS) == 6


@pytest.mark.parametrize("slip", MUTANTS)
def test_a_wrong_adjoint_is_found(slip):
    """Every wrong adjoint breaks at least one promise."""
    assert broken_promises(CELLS["vanilla"].lowered, MUTANTS[slip]) != []
