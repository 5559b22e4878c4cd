"""What the generated text of a scan rests on, in whichever language: names of a plan's parts, and values asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from lstm_odyssey.backends.plan import Plan
from lstm_odyssey.cell.graph import Node
from lstm_odyssey.cell.ops import OPS


class Values:
    """Lines that compute values of a graph, each where it is first asked for.

    Args:
        nodes: the graph's.
        available: the text of a value that need not be computed; None for one that must.
    """

    number: ClassVar[str]
    """How a constant is written: of its ``value``."""
    line: ClassVar[str]
    """How a value gets its name: of a ``name`` and a ``text``."""

    def __init__(self, nodes: Sequence[Node], available: Callable[[int], str | None]) -> None:
        self.nodes, self.available = nodes, available
        self.lines: list[str] = []
        self.names: dict[int, str] = {}

    def value(self, number: int) -> str:
        """Its name, or the number that it is."""
        if number in self.names:
            return self.names[number]
        node = self.nodes[number]
        if node.op == "constant":
            return self.number.format(value=repr(node.value))
        text = self.available(number)
        if text is None:
            kernel = OPS[node.op].kernel
            assert kernel is not None  # asked before anything is generated
            text = kernel.format(*(self.value(argument) for argument in node.args))
        self.names[number] = f"v{number}"
        self.lines.append(self.line.format(name=f"v{number}", text=text))
        return self.names[number]


class Parts:
    """A plan's parts as a text calls them.

    Attributes:
        state_of: the place of each state's node; ``result_of`` of each result's, the first where it is several states'.
        fixed: names of the vectors.
        tops: the place of the accumulator whose whole sum a node is.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.nodes, self.states = plan, plan.graph.nodes, plan.graph.states
        self.state_of = {n: self.states.index(node.name) for n, node in enumerate(self.nodes) if node.op == "state"}
        self.fixed = {number: f"f{place}" for place, number in enumerate(plan.vectors)}
        self.accumulators = plan.accumulators
        self.tops = {accumulator.top: place for place, accumulator in enumerate(plan.accumulators)}
        self.result_of: dict[int, int] = {}
        for place, number in enumerate(plan.graph.results):
            self.result_of.setdefault(number, place)
