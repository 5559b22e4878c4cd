"""The graph of a cell: common parts shared, dead parts dropped, and what follows from it for every backend.

A node's arguments are numbers of earlier nodes; a constant is a node. Nodes that depend on the input and the parameters
alone are *hoisted*: computed for all time steps at once, before the loop.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lstm_odyssey.cell.bytecode import place
from lstm_odyssey.cell.symbols import SPACES, Symbol
from lstm_odyssey.cell.trace import Trace
from lstm_odyssey.variants.declare import TraceError

FORMAT = 1  # of the signature; a change makes every stored trial another one


@dataclass(frozen=True)
class Node:
    """One value of the step: ``op`` is input, state, vector, constant, matmul, or a row of the op table."""

    op: str
    args: tuple[int, ...] = ()
    name: str = ""
    value: float = 0.0
    size: str = "N"


@dataclass(frozen=True, eq=False)
class Graph:
    """A cell as data: nodes in order (input, states, then the rest), the numbers of the results, states and parameters.

    Two graphs are equal if their signatures are; ``name`` is the cell's, for messages, and no part of it.
    """

    nodes: tuple[Node, ...]
    results: tuple[int, ...]
    states: tuple[str, ...]
    parameters: dict[str, tuple[str, ...]]
    name: str = ""

    @cached_property
    def hoisted(self) -> frozenset[int]:
        """Nodes that no state reaches: they depend on the input and the parameters alone."""
        free: set[int] = set()
        for number, node in enumerate(self.nodes):
            if node.op != "state" and all(argument in free for argument in node.args):
                free.add(number)
        return frozenset(free)

    @cached_property
    def phases(self) -> tuple[int, ...]:
        """For each node, how many recurrent products lie one behind the other on the way to it; a two-phase cell has 2."""
        depth: list[int] = []
        for number, node in enumerate(self.nodes):
            below = max((depth[argument] for argument in node.args), default=0)
            depth.append(below + (node.op == "matmul" and number not in self.hoisted))
        return tuple(depth)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and self.signature == other.signature

    def __hash__(self) -> int:
        return hash(self.signature)

    @cached_property
    def signature(self) -> str:
        """Hash of the mathematics (not of the spelling of locals); stored with every result."""
        content = {
            "format": FORMAT,
            "states": self.states,
            "parameters": sorted((name, shape) for name, shape in self.parameters.items()),
            "nodes": [[node.op, node.args, node.name, repr(node.value)] for node in self.nodes],
            "results": self.results,
        }
        return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


class Builder:
    """Appends nodes, giving equal ones the same number."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.numbers: dict[Node, int] = {}

    def add(self, node: Node) -> int:
        if node not in self.numbers:
            self.numbers[node] = len(self.nodes)
            self.nodes.append(node)
        return self.numbers[node]

    def symbol(self, symbol: Symbol | float) -> int:
        if not isinstance(symbol, Symbol):
            return self.add(Node("constant", value=symbol, size=""))
        args = tuple(self.symbol(argument) for argument in symbol.args)
        name = "" if symbol.op == "input" else symbol.name  # the input's own name is no mathematics
        return self.add(Node(symbol.op, args, name, size=symbol.size))


def build(trace: Trace) -> Graph:
    """The graph of a trace.

    Raises:
        TraceError: a parameter is named in the text and reaches no result.
    """
    builder = Builder()
    builder.add(Node("input", size="M"))
    for state in trace.states:
        builder.add(Node("state", name=state))
    results = tuple(builder.symbol(result) for result in trace.results)
    used = {node.name for node in builder.nodes if node.op in ("matmul", "vector")}
    idle = [name for name in trace.parameters if name not in used]
    if idle:
        raise TraceError(
            f"{place(trace.code, None)}: parameter {', '.join(idle)} reaches no result; expected every parameter to be used. "
            "Take it out of the text, or use what is made of it."
        )
    order = {space: position for position, space in enumerate(SPACES)}
    named = sorted(trace.parameters.items(), key=lambda item: order[item[0].split(".")[0]])
    return Graph(tuple(builder.nodes), results, trace.states, dict(named))


def reassociate(graph: Graph) -> Graph:
    """The same cell with the hoisted terms of every sum added up first.

    ``W x + R y + b`` becomes ``(W x + b) + R y``, so that the bias joins the product of all frames and leaves the loop.
    It changes rounding only; oracle and equations keep the order of the text.
    """
    uses = Counter(argument for node in graph.nodes for argument in node.args)
    uses.update(graph.results)
    builder = Builder()
    new: dict[int, int] = {}

    def terms(number: int, top: bool) -> list[int]:
        node = graph.nodes[number]
        if node.op != "add" or (not top and uses[number] > 1):
            return [number]
        return [term for argument in node.args for term in terms(argument, False)]

    def add(number: int) -> int:
        if number in new:
            return new[number]
        node = graph.nodes[number]
        if node.op == "add":
            parts = terms(number, True)
            free = [part for part in parts if part in graph.hoisted]
            bound = [part for part in parts if part not in graph.hoisted]
            total = None
            for part in free + bound:
                here = add(part)
                total = here if total is None else builder.add(Node("add", (total, here), size=node.size))
            assert total is not None
            new[number] = total
        else:
            args = tuple(add(argument) for argument in node.args)
            new[number] = builder.add(Node(node.op, args, node.name, node.value, node.size))
        return new[number]

    for number, node in enumerate(graph.nodes):
        if node.op in ("input", "state"):
            add(number)
    results = tuple(add(result) for result in graph.results)
    return Graph(tuple(builder.nodes), results, graph.states, graph.parameters, graph.name)


@dataclass(frozen=True)
class Products:
    """Matrix products with the same vector on the right: stacked by rows they are one product."""

    operand: int
    results: tuple[int, ...]
    parameters: tuple[str, ...]


def stack(graph: Graph, numbers: Any) -> list[Products]:
    """Group the products among ``numbers`` by their right-hand vector, in the order of the first of each group."""
    groups: dict[int, list[int]] = {}
    for number in numbers:
        if graph.nodes[number].op == "matmul":
            groups.setdefault(graph.nodes[number].args[0], []).append(number)
    return [
        Products(operand, tuple(results), tuple(graph.nodes[result].name for result in results))
        for operand, results in groups.items()
    ]
