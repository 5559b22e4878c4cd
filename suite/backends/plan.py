"""What a compiled scan of a cell has to do, read off its graph: accumulators, phases, what is kept for the gradient.

An *accumulator* is a sum that contains matrix products: W x + b + R y + p ⊙ c is the accumulator W x + b + R y and a rest.
It starts from the input product, the bias in its start, and the products of the step are added to it in place. A *phase* is
what lies between two rounds of products; R.h @ (r * y) makes a second one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lstm_odyssey.cell.adjoint import Adjoint, adjoint
from lstm_odyssey.cell.graph import Graph
from lstm_odyssey.cell.ops import OPS


@dataclass(frozen=True)
class Accumulator:
    """A sum of products: ``top`` is the whole sum, ``rest`` what of it is neither product nor bias."""

    top: int
    products: tuple[int, ...]
    biases: tuple[int, ...]
    rest: tuple[int, ...]


@dataclass(frozen=True)
class Run:
    """Neighbouring accumulators that a vector is multiplied into at once: the stacked rows of ``parameters``."""

    operand: int
    first: int
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """A lowered graph in the form the compiled scan needs.

    Args:
        outside: nodes the scan is given: the parameters, and what torch computes before it, see ``left_to_torch``.
        inputs: the vectors of length M that are multiplied by W; node numbers.
        vectors: the vectors of length N that do not change over time; node numbers.
        accumulators: in the order of their place in memory.
        phase: of each node that depends on a product of the step, how many rounds lie before it.
        recurrent: the products of the step; ``input_runs`` those of all frames.
        operands: vectors made in the step that are multiplied by R, so they are kept.
        kept: nodes whose value the backward pass reads, each with its place; the first places are the accumulators'.
        gradient: the adjoint graph.
        back: the phase of each node of the adjoint graph.
    """

    graph: Graph
    outside: frozenset[int]
    inputs: tuple[int, ...]
    vectors: tuple[int, ...]
    accumulators: tuple[Accumulator, ...]
    phase: tuple[int, ...]
    input_runs: tuple[Run, ...]
    recurrent: tuple[Run, ...]
    operands: tuple[int, ...]
    kept: dict[int, int]
    gradient: Adjoint
    back: tuple[int, ...]

    @property
    def places(self) -> int:
        """How many vectors of length N are kept for a frame."""
        return max([len(self.accumulators), *(place + 1 for place in self.kept.values())])

    @property
    def left_to_torch(self) -> tuple[str, ...]:
        """What torch computes before the scan, in words; empty where the scan is the whole cell."""
        nodes = self.graph.nodes
        inputs = ["a function of the input" for number in self.inputs if nodes[number].op != "input"]
        products = [f"{nodes[number].name} @ parameters" for number in self.vectors if nodes[number].op != "vector"]
        return tuple(dict.fromkeys([*inputs, *products]))


def _outside(graph: Graph) -> frozenset[int]:
    """What is of length M, the parameters, and a matrix times parameters; pointwise functions of these are the scan's."""
    made: set[int] = set()  # of parameters and constants alone
    for number, node in enumerate(graph.nodes):
        if node.op in ("vector", "constant") or (node.args and all(argument in made for argument in node.args)):
            made.add(number)
    given = {number for number in made if graph.nodes[number].op in ("vector", "constant", "matmul")}
    return frozenset(given | {number for number, node in enumerate(graph.nodes) if node.size == "M"})


def _accumulators(graph: Graph, outside: frozenset[int]) -> list[Accumulator]:
    uses = Counter(argument for node in graph.nodes for argument in node.args)
    uses.update(graph.results)
    inner: set[int] = set()
    found = []

    def terms(number: int, top: bool) -> list[int]:
        node = graph.nodes[number]
        if node.op != "add" or number in outside or (not top and uses[number] > 1):
            return [number]
        inner.add(number)
        return [term for argument in node.args for term in terms(argument, False)]

    def is_product(number: int) -> bool:
        return graph.nodes[number].op == "matmul" and number not in outside

    for number in reversed(range(len(graph.nodes))):
        if number in inner or graph.nodes[number].op != "add" or number in outside:
            continue
        parts = terms(number, True)
        products = tuple(part for part in parts if is_product(part) and uses[part] == 1)
        if products:
            # δ of a bias is the accumulator's only if the bias stands in it once; constants stay in the rest
            biases = tuple(part for part in parts if part in outside and graph.nodes[part].op != "constant")
            rest = tuple(part for part in parts if part not in products and part not in biases)
            found.append(Accumulator(number, products, biases, rest))
    covered = {product for accumulator in found for product in accumulator.products}
    alone = [number for number in range(len(graph.nodes)) if is_product(number) and number not in covered]
    found += [Accumulator(number, (number,), (), ()) for number in alone]

    # those with the same right-hand vectors side by side, so that each vector's products are one run
    def order(accumulator: Accumulator) -> tuple[tuple[int, ...], int]:
        sides = sorted(
            {graph.nodes[product].args[0] for product in accumulator.products if product not in graph.hoisted}
        )
        return tuple(sides), accumulator.products[0]

    return sorted(found, key=order)


def _runs(graph: Graph, accumulators: Sequence[Accumulator], size: str) -> list[Run]:
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


def _phases(graph: Graph, outside: frozenset[int]) -> tuple[int, ...]:
    phase: list[int] = []
    for number, node in enumerate(graph.nodes):
        below = max((phase[argument] for argument in node.args), default=0)
        recurrent = node.op == "matmul" and number not in outside and graph.nodes[node.args[0]].size == "N"
        phase.append(below + recurrent)
    return tuple(phase)


def plan(graph: Graph) -> Plan:
    """The plan of a lowered graph."""
    nodes = graph.nodes
    outside = _outside(graph)
    accumulators = _accumulators(graph, outside)
    phase = _phases(graph, outside)
    inner = {product for accumulator in accumulators for product in accumulator.products}
    readers = [number for number in range(len(nodes)) if number not in outside]
    read = {argument for number in readers for argument in nodes[number].args} | set(graph.results)
    fixed = tuple(n for n in sorted(read & outside) if nodes[n].size == "N" and nodes[n].op != "constant")
    recurrent = _runs(graph, accumulators, "N")
    operands = tuple(dict.fromkeys(run.operand for run in recurrent if nodes[run.operand].op != "state"))
    gradient = adjoint(graph, outside)
    back = _back_phases(gradient, set(operands))
    kept = _kept(graph, gradient, accumulators, phase, outside, operands, inner)
    return Plan(
        graph, outside, tuple(dict.fromkeys(run.operand for run in _runs(graph, accumulators, "M"))), fixed,
        tuple(accumulators), phase, tuple(_runs(graph, accumulators, "M")), tuple(recurrent), operands, kept, gradient, back,
    )  # fmt: skip


def _back_phases(gradient: Adjoint, operands: set[int]) -> tuple[int, ...]:
    """Rounds of transposed products before each node; those with a state are done last and no node waits for them."""
    rounds: list[int] = []
    waits: dict[int, int] = {}
    for number in operands:
        for product in gradient.totals[number].products:
            waits[product] = number
    for node in gradient.nodes:
        below = max((rounds[argument] for argument in node.args), default=0) if node.op != "matmul" else 0
        rounds.append(below)
        if len(rounds) - 1 in waits:
            rounds[-1] = below + 1
    return tuple(rounds)


def _kept(
    graph: Graph,
    gradient: Adjoint,
    accumulators: Sequence[Accumulator],
    phase: tuple[int, ...],
    outside: frozenset[int],
    operands: tuple[int, ...],
    inner: set[int],
) -> dict[int, int]:
    """Choose the nodes to keep and their places: a dear op's value takes the place of an accumulator it is made from."""
    nodes = graph.nodes
    tops = {accumulator.top: place for place, accumulator in enumerate(accumulators)}
    free = set(outside) | set(graph.results) | set(operands) | {n for n, node in enumerate(nodes) if node.op == "state"}
    wanted: set[int] = set()

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
            made(number, phase[number])
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
