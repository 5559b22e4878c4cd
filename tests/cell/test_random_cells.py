"""Cells nobody wrote: texts drawn from the contract of a step, compiled, are their oracle; so are eager and the adjoint.

A compilation takes seconds, so few are drawn here: ODYSSEY_RANDOM_CELLS=300 draws as many.
"""

import os

import pytest

import lstm_odyssey as lo
from lstm_odyssey.backends.lowering import lower
from lstm_odyssey.cell.adjoint import LEAVES
from lstm_odyssey.cell.ops import OPS
from lstm_odyssey.conformance.answers import About, ask, ask_oracle, compare, make, rounding_error
from lstm_odyssey.conformance.draws import Draw
from lstm_odyssey.conformance.ladder_exactness import check_adjoint
from tests.random_cells import compiled, random_text

COUNT = int(os.environ.get("ODYSSEY_RANDOM_CELLS", "10"))
DRAWS = (Draw(3, 2, 3, 5), Draw(4, 1, 2, 11, seed=1), Draw(2, 3, 17, 17, seed=2))
SAYS_NOTHING = 1e-7
"""A draw in which the last bits of the inputs move a part of the oracle's answer by so much is left out."""


def check(seed, backend, norms=False):
    """A cell on a backend is its oracle, at those draws that say something; how many they were."""
    text = random_text(seed, norms=norms)
    cell, compared = lo.as_cell(compiled(text)), 0
    for draw in DRAWS:
        try:
            problem = draw.problem(cell)
        except ValueError as error:  # a tie that no draw keeps away from, as of the absolute of what is all but 0
            if "of a kink" not in str(error):
                raise
            continue
        reference = ask_oracle(cell, problem)
        if not max(rounding_error(cell, problem).values()) < SAYS_NOTHING:
            continue
        try:
            compare(
                ask(make(cell, backend, problem.parameters), problem)[0], reference, About(cell, backend, draw, "drawn")
            )
        except Exception as error:
            error.add_note(text)
            raise
        compared += 1
    return compared


@pytest.mark.parametrize("seed", range(COUNT))
def test_the_compiled_scan_of_a_random_cell_is_its_oracle(seed):
    """Outputs, final states and all gradients of a text that nobody wrote."""
    assert check(seed, "numba") or seed >= 10


@pytest.mark.parametrize("seed", range(4 * COUNT))
def test_eager_on_a_random_cell_is_its_oracle(seed):
    """The same without a compiler, for more of them."""
    assert check(seed, "eager") or seed >= 10


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=pytest.mark.long) if seed else 0 for seed in range(COUNT)])
def test_the_compiled_scan_of_a_random_cell_with_norms_is_its_oracle(seed):
    """The same of texts that have means over N."""
    check(seed, "numba", norms=True)


@pytest.mark.parametrize("seed", range(2 * COUNT))
def test_a_random_cell_with_norms_is_its_oracle(seed):
    """Eager, and the adjoint exactly, of texts that have means over N."""
    check(seed, "eager", norms=True)
    check_adjoint(compiled(random_text(seed, norms=True)))


@pytest.mark.parametrize("seed", range(COUNT))
def test_the_adjoint_of_a_random_cell_is_the_derivative(seed):
    """Step 1 of the ladder: exactly."""
    check_adjoint(compiled(random_text(seed)))


def test_random_cells_are_of_every_kind():
    """One to three phases and states, every op of a text, one matrix on several vectors: the first hundred have it all."""
    every = [lower(lo.as_cell(compiled(random_text(seed, norms=norms))).graph)
             for norms in (False, True) for seed in range(100)]  # fmt: skip
    graphs = [lowered.graph for lowered in every]
    assert {node.op for graph in graphs for node in graph.nodes} >= {name for name, op in OPS.items() if op.in_text}
    assert {max(lowered.phase) for lowered in every} >= {1, 2, 3}
    assert {len(graph.states) for graph in graphs} == {1, 2, 3}
    assert any(len(set(graph.results)) < len(graph.results) for graph in graphs)  # one value twice
    assert any(graph.nodes[result].op in LEAVES for graph in graphs for result in graph.results)  # passed through
    matrices = [[node.name for node in graph.nodes if node.op == "matmul"] for graph in graphs]
    assert sum(len(set(names)) < len(names) for names in matrices) > 20
