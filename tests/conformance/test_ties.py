"""Kinks: draws keep away from the declared ones, and at an exact tie every backend takes torch's derivative."""

import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.conformance import draws, ties
from lstm_odyssey.conformance.answers import ask, ask_oracle, make
from lstm_odyssey.conformance.draws import FIXED, Draw
from lstm_odyssey.variants.ops import absolute, maximum, minimum, relu, tanh
from tests.cells import ODD, ON_CPU


def kinks(x, y, c, *, W, R, p):
    a, b = W.a @ x + R.a @ y, W.b @ x + R.b @ c
    u = relu(a) + 2 * absolute(b)
    v = 3 * maximum(a, b) - 0.5 * minimum(a, b) + p.k * maximum(a, 1) + minimum(-1, b)
    return u + v, relu(v) - a


def at_ties():
    """A problem of small whole numbers whose first step meets every kink exactly, both ways, and some others miss."""
    problem = Draw(3, 4, 2, 5, seed=3).problem(lo.as_cell(kinks))

    def whole(value):
        return value.sign() * (value.abs() > 0.8)

    state = {name: whole(value) for name, value in problem.state.items()}
    parameters = {name: whole(value) for name, value in problem.parameters.items()}
    return draws.replace(problem, x=whole(problem.x), state=state, parameters=parameters)


def test_the_crafted_problem_is_at_every_kind_of_tie():
    """Each op of the cell meets its kink exactly, and most values are off it."""
    problem = at_ties()
    for op in ("relu", "absolute", "maximum", "minimum"):
        assert ties.distance(lo.as_cell(lo.Variant(kinks, ties=[op])), problem) == 0
    answer = ask_oracle(lo.as_cell(kinks), problem)
    assert all(value.count_nonzero() > value.numel() / 3 for value in answer.values())


@pytest.mark.parametrize("backend", ON_CPU)
def test_at_a_tie_the_derivative_is_torchs(backend):
    """relu and |a| give 0 at 0, a maximum of equal values a half to each: exactly as in the oracle, in whole numbers."""
    cell, problem = lo.as_cell(kinks), at_ties()
    (answer,) = ask(make(cell, backend, problem.parameters), problem)
    for name, expected in ask_oracle(cell, problem).items():
        torch.testing.assert_close(
            answer[name], expected, rtol=1e-13, atol=1e-13, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.parametrize("name", ["every_op", "kinks"])
def test_draws_keep_away_from_declared_ties(name, monkeypatch):
    """However wide "near" is made, up to what twenty draws allow, no value of the problem is nearer to a kink."""
    cell = lo.as_cell(ODD[name] if name in ODD else lo.Variant(kinks, ties=["relu", "maximum"]))
    for draw in FIXED:
        assert ties.distance(cell, draw.problem(cell)) > ties.NEAR
    draw = Draw(2, 2, 3, 3)
    first = draw.problem(cell)
    wide = 1.01 * ties.distance(cell, first)
    monkeypatch.setattr(draws, "NEAR", wide)
    second = draw.problem(cell)
    assert ties.distance(cell, second) > wide and not torch.equal(first.x, second.x)
    assert torch.equal(draw.problem(cell).x, second.x)


def test_a_tie_that_cannot_be_kept_away_from_is_an_error():
    """A cell that is at its tie whatever is drawn is told to take the op out of its declaration."""

    def always(x, y, *, W):
        a = tanh(W.a @ x)
        return maximum(a, relu(a) - relu(-a)) + y

    with pytest.raises(ValueError, match="always came within .* of a kink of maximum .* Take an op"):
        Draw(2, 1, 1, 3).problem(lo.as_cell(lo.Variant(always, ties=["maximum"])))


def test_ties_of_text_are_refused():
    """One op's name without its tuple would be a tuple of letters."""
    with pytest.raises(TypeError, match=r"ties is the text 'relu'; expected a tuple, as \('relu',\)"):
        lo.Variant(kinks, ties="relu")
