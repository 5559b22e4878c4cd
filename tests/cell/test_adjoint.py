"""Ladder, step 1: the kit's proof that an adjoint is the derivative holds of every kind of cell, and of no wrong adjoint."""

from __future__ import annotations

import functools
import sys

import pytest

import lstm_odyssey as lo
from lstm_odyssey.backends.lowering import lower
from lstm_odyssey.cell.adjoint import adjoint
from lstm_odyssey.cell.ops import OPS
from lstm_odyssey.conformance.kit import Draw, check_oracle, check_variant
from lstm_odyssey.conformance.ladder_exactness import check_adjoint
from tests.cells import ODD
from tests.mutants import WRONG_ADJOINTS, adjoint_cell

CELLS = {**{name: lo.variant(name) for name in lo.variant_names()}, **{name: lo.as_cell(v) for name, v in ODD.items()}}


@pytest.mark.parametrize("name", ODD)
def test_the_adjoint_is_the_derivative(name):
    """Exactly, for every shape of graph that the registered cells, which the ladder runs over, do not have."""
    check_adjoint(CELLS[name])


def test_every_op_takes_part():
    """The cells above use every row of the op table, the rows of derivatives too; test_ops proves the rows one by one."""
    assert {node.op for cell in CELLS.values() for node in adjoint(lower(cell.graph).graph).nodes} >= set(OPS)


@pytest.mark.parametrize("slip", WRONG_ADJOINTS)
def test_a_wrong_adjoint_is_found(slip):
    """The kit's check of step 1 catches every wrong adjoint and names the cell and an entry."""
    cell = adjoint_cell(slip)
    with pytest.raises(AssertionError, match=rf"^{cell.name}, the adjoint of .* is not the derivative by .*\[\d"):
        check_adjoint(cell, derive=WRONG_ADJOINTS[slip][1])


@pytest.mark.parametrize(
    "slip",
    [
        "the adjoint term of the initial state is missing",
        # each is compiled, as the first is
        pytest.param("the second phase sends nothing back", marks=pytest.mark.long),
        pytest.param("what is done with a gate's last value is forgotten", marks=pytest.mark.long),
    ],
)
def test_a_wrong_adjoint_reaches_the_numbers(slip, monkeypatch):
    """A kernel that is generated from a wrong adjoint has right outputs and wrong gradients, and step 3 sees it."""
    from lstm_odyssey.backends import plan
    from lstm_odyssey.backends.numba import cache, member

    # What is made of the wrong adjoint must outlive this test in no memory. On disk its own text is in its name.
    monkeypatch.setattr(member, "plan", functools.lru_cache(plan.plan.__wrapped__))
    monkeypatch.setattr(member, "_KERNELS", {})
    monkeypatch.setattr(member, "_compiled", functools.lru_cache(member._compiled.__wrapped__))
    monkeypatch.setattr(cache, "_LOADED", dict(cache._LOADED))
    monkeypatch.setattr(plan, "adjoint", WRONG_ADJOINTS[slip][1])
    cell = adjoint_cell(slip)
    with pytest.raises(AssertionError, match=f"{cell.name} on numba, compared with the oracle, .*: gradient of"):
        check_oracle(cell, "numba", draws=[Draw(3, 2, 3, 5)])


def test_without_sympy_the_check_says_what_to_install(monkeypatch):
    """Step 1 is not left out where sympy is missing: there is an error with the way out."""
    monkeypatch.setitem(sys.modules, "sympy", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'lstm-odyssey\[test\]'"):
        check_variant(next(iter(CELLS.values())))
