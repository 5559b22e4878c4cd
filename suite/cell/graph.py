"""The graph of a cell: common parts shared, dead parts dropped, and what follows from it for every backend.

A node's arguments are numbers of earlier nodes; a constant is a node. Nodes that depend on the input and the parameters
alone are *hoisted*: computed for all time steps at once, before the loop.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

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


def by_space(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Names of parameters by their space, in the order given."""
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        space = name.partition(".")[0]
        found[space] = (*found.get(space, ()), name)
    return found


@dataclass(frozen=True, eq=False)
class Graph:
    """A cell as data: nodes in order (input, states, then the rest), the numbers of the results, states and parameters.

    Two graphs are equal if their signatures are and their parameters have one order, in which they lie in memory. The order of
    the text's lines is no mathematics and no part of the signature; neither is ``name``, the cell's, for messages.
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
    def packed(self) -> dict[str, tuple[str, ...]]:
        """By space, the names of its parameters in the text's order: how they lie one under another, N lines each."""
        return by_space(self.parameters)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Graph)
            and self.signature == other.signature
            and tuple(self.parameters) == tuple(other.parameters)
        )

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
