"""A cell's graph made ready to run: the one place where uses are counted, sums flattened and phases found.

Every backend reads it, whether it evaluates the instructions one by one or generates a scan from them. A *phase* is what lies
between two rounds of a step: of matrix products, which read whole vectors, or of reductions over N. R.h @ (r * y) makes a
second round.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from lstm_odyssey.cell.graph import Builder, Graph, Node
from lstm_odyssey.cell.ops import OPS


@dataclass(frozen=True)
class Products:
    """Matrix products with the same vector on the right: stacked by rows they are one product, ``starts[k] + R_k @ operand``.

    Args:
        operand: the vector.
        results: the products.
        parameters: their matrices, by name.
        starts: hoisted nodes that the rows start from; empty: the plain product.
        outputs: the nodes that the rows stand for.
    """

    operand: int
    results: tuple[int, ...]
    parameters: tuple[str, ...]
    starts: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Phase:
    """A part of a step: a round of products and reductions, of which none waits for another, then what follows from it.

    Args:
        products: of kind matrix.
        reductions: nodes that read a whole vector and no matrix, of kind reduction.
        nodes: pointwise operations, in order.
    """

    products: tuple[Products, ...]
    reductions: tuple[int, ...]
    nodes: tuple[int, ...]


@dataclass(frozen=True)
class Sum:
    """A sum of products: W x + b + R y + p ⊙ c is W x + b + R y and a rest.

    Args:
        top: the whole sum.
        products: those that nothing else reads.
        biases: parameters, and of constants none.
        rest: the other terms.
    """

    top: int
    products: tuple[int, ...]
    biases: tuple[int, ...]
    rest: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Lowered:
    """A cell in the form that backends run; equal if the graphs are.

    Args:
        graph: the cell with the hoisted terms of every sum first.
        before: what depends on no state, over all steps at once, in order.
        phase: of each node, how many rounds lie before it.
        phases: the step; hoisted nodes are in none of them.
        sums: in the order of their right-hand vectors, so that each vector's products lie side by side.
    """

    graph: Graph
    before: tuple[int | Products, ...]
    phase: tuple[int, ...]
    phases: tuple[Phase, ...]
    sums: tuple[Sum, ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lowered) and self.graph == other.graph

    def __hash__(self) -> int:
        return hash(self.graph)

    @property
    def name(self) -> str:
        """The cell's."""
        return self.graph.name

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the states, the output first."""
        return self.graph.states

    @cached_property
    def step(self) -> tuple[int | Products, ...]:
        """The instructions of a step in one order, that of the text: who runs them one by one need know no phases."""
        found: dict[int, int | Products] = {}
        for phase in self.phases:
            found |= {group.results[0]: group for group in phase.products}
            found |= {number: number for number in (*phase.reductions, *phase.nodes)}
        return tuple(found[number] for number in sorted(found))

    @cached_property
    def read_by_step(self) -> tuple[int, ...]:
        """Hoisted nodes that a step reads by themselves."""
        nodes, hoisted = self.graph.nodes, self.graph.hoisted
        reads = {argument for item in self.step if isinstance(item, int) for argument in nodes[item].args}
        reads |= {item.operand for item in self.step if isinstance(item, Products)} | set(self.graph.results)
        return tuple(sorted(reads & hoisted))


@lru_cache(maxsize=512)
def lower(graph: Graph) -> Lowered:
    """A cell's graph, ``Cell.graph``, in the form that backends run."""
    graph = reassociated(graph)
    uses = counted(graph)
    phase = _phases(graph)
    hoisted = sorted(graph.hoisted)
    before: list[int | Products] = []
    stacked = {group.results[0]: group for group in _stacked(graph, hoisted, {})}
    for number in hoisted:
        if number in stacked:
            before.append(stacked[number])
        elif graph.nodes[number].op != "matmul":
            before.append(number)
    return Lowered(graph, tuple(before), phase, _step(graph, uses, phase), tuple(_sums(graph, uses)))


def counted(graph: Graph) -> Counter[int]:
    """How often each node is read, results included."""
    uses = Counter(argument for node in graph.nodes for argument in node.args)
    uses.update(graph.results)
    return uses


def terms(graph: Graph, uses: Counter[int], number: int, through: list[int] | None = None) -> list[int]:
    """The terms of the sum that a node is, in order; sums that something else reads too stay whole.

    Args:
        graph, uses: see ``counted``.
        number: the node; one that is no sum is its only term.
        through: gets the additions that were looked through.
    """

    def found(here: int, top: bool) -> list[int]:
        node = graph.nodes[here]
        if node.op != "add" or (not top and uses[here] > 1):
            return [here]
        if through is not None:
            through.append(here)
        return [term for argument in node.args for term in found(argument, False)]

    return found(number, True)


def reassociated(graph: Graph) -> Graph:
    """The same cell with the hoisted terms of every sum added up first.

    ``W x + R y + b`` becomes ``(W x + b) + R y``, so that the bias joins the product of all frames and leaves the loop.
    It changes rounding only; oracle and equations keep the order of the text.
    """
    uses = counted(graph)
    builder = Builder()
    new: dict[int, int] = {}

    def add(number: int) -> int:
        if number in new:
            return new[number]
        node = graph.nodes[number]
        if node.op == "add":
            parts = terms(graph, uses, number)
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


def reduces(op: str) -> bool:
    """Whether an op reads its whole operand for every number of its value."""
    return op in OPS and OPS[op].reduction


def _phases(graph: Graph) -> tuple[int, ...]:
    phase: list[int] = []
    for node in graph.nodes:
        below = max((phase[argument] for argument in node.args), default=0)
        product = node.op == "matmul" and graph.nodes[node.args[0]].size == "N"
        phase.append(below + (product or reduces(node.op)))
    return tuple(phase)


def _stacked(graph: Graph, numbers: Iterable[int], feeds: dict[int, tuple[int, int]]) -> list[Products]:
    """The products among ``numbers`` by their right-hand vector, in the order of the first of each group.

    ``feeds`` has, by product, the sum it begins and the hoisted node that sum starts from.
    """
    groups: dict[int, list[int]] = {}
    for number in numbers:
        if graph.nodes[number].op == "matmul":
            groups.setdefault(graph.nodes[number].args[0], []).append(number)
    found = []
    for operand, results in groups.items():
        starts, outputs = (), tuple(results)
        if all(result in feeds for result in results):
            outputs, starts = zip(*(feeds[result] for result in results), strict=True)  # type: ignore[assignment]  # as long
        found.append(Products(operand, tuple(results), tuple(graph.nodes[r].name for r in results), starts, outputs))
    return found


def _step(graph: Graph, uses: Counter[int], phase: tuple[int, ...]) -> tuple[Phase, ...]:
    nodes, hoisted = graph.nodes, graph.hoisted
    # the add that a product feeds, where the other operand is hoisted and the product has no other use
    feeds: dict[int, tuple[int, int]] = {}
    for number, node in enumerate(nodes):
        if node.op == "add" and number not in hoisted:
            for product, start in (node.args, node.args[::-1]):
                recurrent = nodes[product].op == "matmul" and product not in hoisted
                if recurrent and start in hoisted and uses[product] == 1:
                    feeds[product] = (number, start)
    bound = [number for number in range(len(nodes)) if number not in hoisted and nodes[number].op != "state"]
    groups = _stacked(graph, bound, feeds)
    done = {number for group in groups for number in (*group.results, *group.outputs)}
    return tuple(
        Phase(
            tuple(group for group in groups if phase[group.results[0]] == k),
            tuple(n for n in bound if phase[n] == k and reduces(nodes[n].op)),
            tuple(n for n in bound if phase[n] == k and not reduces(nodes[n].op) and n not in done),
        )
        for k in range(1 + max(phase))
    )


def _sums(graph: Graph, uses: Counter[int]) -> list[Sum]:
    nodes = graph.nodes
    inner: set[int] = set()
    found = []
    for number in reversed(range(len(nodes))):
        if number in inner or nodes[number].op != "add":
            continue
        through: list[int] = []
        parts = terms(graph, uses, number, through)
        inner.update(through)
        products = tuple(part for part in parts if nodes[part].op == "matmul" and uses[part] == 1)
        if products:
            # δ of a bias is the sum's only if the bias stands in it once; constants stay in the rest
            biases = tuple(part for part in parts if nodes[part].op == "vector")
            rest = tuple(part for part in parts if part not in products and part not in biases)
            found.append(Sum(number, products, biases, rest))
    covered = {product for one in found for product in one.products}
    alone = [number for number, node in enumerate(nodes) if node.op == "matmul" and number not in covered]
    found += [Sum(number, (number,), (), ()) for number in alone]

    def order(one: Sum) -> tuple[tuple[int, ...], int]:
        sides = {nodes[product].args[0] for product in one.products}
        return tuple(sorted(side for side in sides if nodes[side].size == "N")), one.products[0]

    return sorted(found, key=order)
