"""A graph in the order in which the eager backend executes it: what comes before the loop, and the operations of a step."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from lstm_odyssey.cell.graph import Graph, Products, stack


@dataclass(frozen=True)
class Fused:
    """One stacked product of a step, ``starts[k] + R_k @ operand``, and the nodes its rows stand for."""

    products: Products
    starts: tuple[int, ...]  # hoisted nodes the rows start from; empty: the plain product
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """A graph in the order of execution."""

    before: tuple[int | Products, ...]  # hoisted work, over all steps
    step: tuple[int | Fused, ...]
    sliced: tuple[int, ...]  # hoisted nodes made from the input that a step reads by themselves


@lru_cache(maxsize=256)
def compile_program(graph: Graph) -> Program:
    """Order a (reassociated) graph for execution and fuse products with the sums they begin."""
    uses = Counter(argument for node in graph.nodes for argument in node.args)
    uses.update(graph.results)
    hoisted = graph.hoisted
    before: list[int | Products] = []
    stacked = {group.results[0]: group for group in stack(graph, sorted(hoisted))}
    for number in sorted(hoisted):
        if number in stacked:
            before.append(stacked[number])
        elif graph.nodes[number].op != "matmul":
            before.append(number)
    # the add that a product feeds, where the other operand is hoisted and the product has no other use
    feeds: dict[int, tuple[int, int]] = {}
    for number, node in enumerate(graph.nodes):
        if node.op == "add" and number not in hoisted:
            for product, start in (node.args, node.args[::-1]):
                recurrent = graph.nodes[product].op == "matmul" and product not in hoisted
                if recurrent and start in hoisted and uses[product] == 1:
                    feeds[product] = (number, start)
    made: dict[int, Fused] = {}  # by the first node of the group in order
    covered: set[int] = set()
    for group in stack(graph, [number for number in range(len(graph.nodes)) if number not in hoisted]):
        # two phases: a group is run where its operand exists, and all of it at once
        if all(result in feeds for result in group.results):
            outputs = tuple(feeds[result][0] for result in group.results)
            fused = Fused(group, tuple(feeds[result][1] for result in group.results), outputs)
        else:
            fused = Fused(group, (), group.results)
        made[group.results[0]] = fused
        covered.update(group.results, fused.outputs)
    step: list[int | Fused] = []
    for number, node in enumerate(graph.nodes):
        if number in made:
            step.append(made[number])
        elif number not in covered and number not in hoisted and node.op != "state":
            step.append(number)
    reads = {argument for item in step if isinstance(item, int) for argument in graph.nodes[item].args}
    reads |= {item.products.operand for item in step if isinstance(item, Fused)} | set(graph.results)
    return Program(tuple(before), tuple(step), tuple(sorted(reads & hoisted)))
