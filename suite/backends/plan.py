"""What a compiled scan of a cell has to do, forward and backward, read off its lowered form: places, runs, what is kept.

A sum of products has a place of its own, an *accumulator*: it starts from the input product, the bias in its start, and the
products of the step are added to it in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from lstm_odyssey.backends.lowering import Lowered, Sum, reduces
from lstm_odyssey.cell.adjoint import Adjoint, adjoint
from lstm_odyssey.cell.graph import Graph
from lstm_odyssey.cell.ops import OPS
from lstm_odyssey.cell.symbols import VECTORS


@dataclass(frozen=True)
class Run:
    """Neighbouring accumulators that a vector is multiplied into at once: the stacked rows of ``parameters``."""

    operand: int
    first: int
    parameters: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """A lowered cell in the form a compiled scan needs.

    Args:
        lowered: the cell.
        outside: nodes the scan is given: parameters, constants, and what is of length M.
        before: those of them that are functions of the input, with what they are made of, in order.
        inputs: the vectors of length M that are multiplied by W; node numbers.
        vectors: the parameters of length N; node numbers.
        recurrent: the products of the step; ``input_runs`` those of all frames.
        operands: vectors that are multiplied by R and are no states, so they are kept.
        means: reductions of the step; ``back_means`` those of the gradient. Their values have a place of their own.
        kept: nodes whose value the backward pass reads, each with its place; the first places are the accumulators'.
        gradient: the adjoint graph.
        back: the phase of each node of the adjoint graph.
    """

    lowered: Lowered
    outside: frozenset[int]
    before: tuple[int, ...]
    inputs: tuple[int, ...]
    vectors: tuple[int, ...]
    input_runs: tuple[Run, ...]
    recurrent: tuple[Run, ...]
    operands: tuple[int, ...]
    means: tuple[int, ...]
    back_means: tuple[int, ...]
    kept: dict[int, int]
    gradient: Adjoint
    back: tuple[int, ...]

    @property
    def graph(self) -> Graph:
        """Of the lowered cell."""
        return self.lowered.graph

    @cached_property
    def spaces(self) -> tuple[str, ...]:
        """The packed spaces in the order in which a scan is given them: first those of vectors."""
        packed = self.graph.packed
        return (*(space for space in packed if space in VECTORS), *(space for space in packed if space not in VECTORS))

    @property
    def accumulators(self) -> tuple[Sum, ...]:
        """The sums, in the order of their place in memory."""
        return self.lowered.sums

    @property
    def phase(self) -> tuple[int, ...]:
        """Of each node, how many rounds of products and reductions lie before it."""
        return self.lowered.phase

    def functions(self, x: Any) -> list[Any]:
        """The functions of the input that are multiplied by W, in the order of ``inputs``, by the operations of x itself."""
        values: dict[int, Any] = {}
        for number in self.before:
            node = self.graph.nodes[number]
            if node.op in ("input", "constant"):
                values[number] = x if node.op == "input" else node.value
            else:
                values[number] = OPS[node.op].eager(*(values[argument] for argument in node.args))
        return [values[number] for number in self.inputs]

    @property
    def places(self) -> int:
        """How many vectors of length N are kept for a frame."""
        return max([len(self.accumulators), *(place + 1 for place in self.kept.values())])


def given(graph: Graph) -> frozenset[int]:
    """The nodes a compiled scan is given: parameters, constants, and what is of length M."""
    return frozenset(n for n, node in enumerate(graph.nodes) if node.op in ("vector", "constant") or node.size == "M")


def _runs(graph: Graph, accumulators: Sequence[Sum], size: str) -> list[Run]:
    by_operand: dict[int, list[tuple[int, str]]] = {}
    for place, accumulator in enumerate(accumulators):
        for product in accumulator.products:
            operand = graph.nodes[product].args[0]
            if graph.nodes[operand].size == size:
                by_operand.setdefault(operand, []).append((place, graph.nodes[product].name))
    runs = []
    for operand, rows in by_operand.items():
        while rows:
            first = rows[0][0]
            parameters: list[str] = []
            rest = []
            for place, name in rows:
                if place == first + len(parameters):
                    parameters.append(name)
                else:
                    rest.append((place, name))
            runs.append(Run(operand, first, tuple(parameters)))
            rows = rest
    return runs


@lru_cache(maxsize=512)
def plan(lowered: Lowered) -> Plan:
    """The plan of a lowered cell."""
    graph, accumulators = lowered.graph, lowered.sums
    nodes, outside = graph.nodes, given(graph)
    inner = {product for accumulator in accumulators for product in accumulator.products}
    vectors = tuple(number for number, node in enumerate(nodes) if node.op == "vector")
    input_runs, recurrent = (_runs(graph, accumulators, size) for size in "MN")
    inputs = tuple(dict.fromkeys(run.operand for run in input_runs))
    operands = tuple(dict.fromkeys(run.operand for run in recurrent if nodes[run.operand].op != "state"))
    gradient = adjoint(graph, outside)
    means, back_means = _means(graph, gradient, outside)
    back = _back_phases(gradient, set(operands), set(back_means))
    kept = _kept(graph, gradient, accumulators, lowered.phase, outside, operands, inner, set(means))
    return Plan(
        lowered, outside, _before(graph, inputs), inputs, vectors, tuple(input_runs), tuple(recurrent), operands, means,
        back_means, kept, gradient, back,
    )  # fmt: skip


def _means(graph: Graph, gradient: Adjoint, outside: frozenset[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The reductions of the step, and those of the gradient that somebody asks for."""
    count = len(graph.nodes)
    asked = [number for total in gradient.totals.values() for number in (total.node, total.pointwise)]
    waiting = [number for number in (*asked, *gradient.deltas.values()) if number is not None]
    found: set[int] = set()
    while waiting:
        number = waiting.pop()
        if number not in found:
            found.add(number)
            waiting += gradient.nodes[number].args
    means = tuple(n for n, node in enumerate(graph.nodes) if reduces(node.op) and n not in outside)
    return means, tuple(sorted(n for n in found if n >= count and reduces(gradient.nodes[n].op)))


def _before(graph: Graph, inputs: tuple[int, ...]) -> tuple[int, ...]:
    """What functions of the input are made of; empty where the input itself is all that is read."""
    nodes, wanted = graph.nodes, list(inputs)
    found: set[int] = set()
    while wanted:
        number = wanted.pop()
        found.add(number)
        wanted += nodes[number].args
    return tuple(sorted(found)) if any(nodes[number].op != "input" for number in inputs) else ()


def _back_phases(gradient: Adjoint, operands: set[int], means: set[int]) -> tuple[int, ...]:
    """Rounds of transposed products and of reductions before each node; what a forward pass keeps waits for none.

    Products with a state are done last and no node waits for them.
    """
    rounds: list[int] = []
    waits: dict[int, int] = {}
    for number in operands:
        for product in gradient.totals[number].products:
            waits[product] = number
    for node in gradient.nodes:
        below = max((rounds[argument] for argument in node.args), default=0) if node.op != "matmul" else 0
        rounds.append(below)
        if len(rounds) - 1 in waits or len(rounds) - 1 in means:
            rounds[-1] = below + 1
    return tuple(rounds)


def _kept(
    graph: Graph,
    gradient: Adjoint,
    accumulators: Sequence[Sum],
    phase: tuple[int, ...],
    outside: frozenset[int],
    operands: tuple[int, ...],
    inner: set[int],
    means: set[int],
) -> dict[int, int]:
    """Choose the nodes to keep and their places: a dear op's value takes the place of an accumulator it is made from."""
    nodes = graph.nodes
    tops = {accumulator.top: place for place, accumulator in enumerate(accumulators)}
    free = set(outside) | set(graph.results) | set(operands) | {n for n, node in enumerate(nodes) if node.op == "state"}
    wanted: set[int] = set(means)

    def need(number: int) -> None:
        """The backward pass reads this node of the step."""
        if number in free or number in wanted:
            return
        node = nodes[number]
        if number in tops or node.op == "matmul" or OPS[node.op].dear:
            wanted.add(number)
            return
        for argument in node.args:
            need(argument)

    asked: list[int | None] = [gradient.deltas[accumulator.products[0]] for accumulator in accumulators]
    for number, total in gradient.totals.items():
        if number < len(nodes) and (nodes[number].op == "state" or number in operands):
            asked.append(total.pointwise)
        elif number in outside and nodes[number].size == "N":
            asked.append(total.node)
    seen: set[int] = set()
    stack = [number for number in asked if number is not None]
    while stack:
        number = stack.pop()
        if number in seen:
            continue
        seen.add(number)
        if number < len(nodes):
            need(number)
        else:
            stack.extend(gradient.nodes[number].args)

    def later(number: int, block: int) -> None:
        """A later block of the forward pass reads this node of the step: what is dear is kept, not computed twice."""
        if number in free or number in wanted:
            return
        if phase[number] < block and (number in tops or OPS[nodes[number].op].dear):
            wanted.add(number)
            block = phase[number]
        made(number, block)

    def made(number: int, block: int) -> None:
        """What this node is made of, so far as it is not made in place: an accumulator's place may hold a later value."""
        for argument in nodes[number].args:
            if argument in tops or (argument not in inner and nodes[number].op != "matmul"):
                later(argument, block)

    for number in [*graph.results, *operands, *sorted(wanted)]:
        if number not in outside:
            made(number, phase[number] - (number in means))  # a mean is of what the block before it has made
    kept: dict[int, int] = {}
    places = len(accumulators)
    taken: set[int] = set()
    for number in sorted(wanted):
        place = next((tops[n] for n in (number, *nodes[number].args) if n in tops and tops[n] not in taken), None)
        if place is None or phase[accumulators[place].top] != phase[number]:
            place, places = places, places + 1
        taken.add(place)
        kept[number] = place
    return kept
