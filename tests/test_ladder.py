"""The equality ladder over every registered variant: what the kit draws by itself, and what hypothesis draws."""

import pytest
from hypothesis import given, settings

import lstm_odyssey as lo
from lstm_odyssey import conformance
from lstm_odyssey.kernels.scan import BACKENDS
from lstm_odyssey.testing import (
    CHECKS,
    NOT_ON,
    OF_THE_TEXT,
    STEPS,
    check_long_sequences,
    check_oracle,
    check_single_precision,
    checks,
    draws,
    parametrize_with_checks,
)
from lstm_odyssey.variants.ops import absolute, exp, maximum, minimum, relu, sigmoid, softplus, tanh
from tests.mutants import WRONG_ADJOINTS, WRONG_CELLS
from tests.reference import NAMES as REFERENCES

NAMES = lo.variant_names()


def two_phases(x, y, *, W, R, b):
    """A matrix times a value of the same step (the GRU of Cho et al. 2014).

    r_t = σ(W_r x_t + R_r y_{t-1} + b_r)
    u_t = σ(W_u x_t + R_u y_{t-1} + b_u)
    h_t = tanh(W_h x_t + R_h (r_t ⊙ y_{t-1}) + b_h)
    y_t = u_t ⊙ y_{t-1} + (1 - u_t) ⊙ h_t
    """
    r = sigmoid(W.r @ x + R.r @ y + b.r)
    u = sigmoid(W.u @ x + R.u @ y + b.u)
    h = tanh(W.h @ x + R.h @ (r * y) + b.h)
    return u * y + (1 - u) * h


def no_recurrence(x, y, *, W, b):
    """No R at all (Feng et al. 2024).

    f_t = σ(W_f x_t + b_f)
    i_t = σ(W_i x_t + b_i)
    y_t = (f_t ⊙ y_{t-1} + i_t ⊙ W_h x_t) / (f_t + i_t)
    """
    f = sigmoid(W.f @ x + b.f)
    i = sigmoid(W.i @ x + b.i)
    return (f * y + i * (W.h @ x)) / (f + i)


def a_domain(x, y, c, n, m, *, W, R, b):
    """Exponential gates, a stabiliser, and a normaliser that has to be positive (Beck et al. 2024).

    z_t = tanh(W_z x_t + R_z y_{t-1} + b_z)
    i_t = W_i x_t + R_i y_{t-1} + b_i
    f_t = m_{t-1} - softplus(-(W_f x_t + R_f y_{t-1} + b_f))
    o_t = σ(W_o x_t + R_o y_{t-1} + b_o)
    m_t = maximum(f_t, i_t)
    a_t = exp(i_t - m_t)
    d_t = exp(f_t - m_t)
    c_t = d_t ⊙ c_{t-1} + a_t ⊙ z_t
    n_t = d_t ⊙ n_{t-1} + a_t
    y_t = o_t ⊙ c_t / n_t
    """
    z = tanh(W.z @ x + R.z @ y + b.z)
    i = W.i @ x + R.i @ y + b.i
    f = m - softplus(-(W.f @ x + R.f @ y + b.f))
    o = sigmoid(W.o @ x + R.o @ y + b.o)
    m_t = maximum(f, i)
    a = exp(i - m_t)
    d = exp(f - m_t)
    c_t = d * c + a * z
    n_t = d * n + a
    return o * c_t / n_t, c_t, n_t, m_t


def kinks_and_constants(x, y, c, k, *, W, R, p):
    """Kinks, numbers beside products, a state that never changes and one that is made of parameters and input alone.

    a_t = W_a x_t + R_a y_{t-1}
    s_t = σ(R_s y_{t-1} + 1)
    c_t = 2 · p_c - W_c x_t
    y_t = minimum(maximum(a_t, -1), 0.5) ⊙ s_t + relu(R_k k_{t-1}) - absolute(R_c c_{t-1})
    k_t = k_{t-1}
    """
    a = W.a @ x + R.a @ y
    s = sigmoid(R.s @ y + 1)
    c_t = 2 * p.c - W.c @ x
    return minimum(maximum(a, -1), 0.5) * s + relu(R.k @ k) - absolute(R.c @ c), c_t, k


UNREGISTERED = (
    two_phases,
    no_recurrence,
    lo.Variant(a_domain, domains={"n": (0.1, 3.0)}, ties=["maximum"]),
    lo.Variant(kinks_and_constants, ties=["maximum", "minimum", "relu", "absolute"]),
)
# step 4 is about medians over draws that are fixed
DRAWN = [check for check in CHECKS if check not in (*OF_THE_TEXT, check_long_sequences, check_single_precision)]
DRAWN_ON = [(check, backend) for check in DRAWN for backend in BACKENDS if backend not in NOT_ON.get(check, ())]
few = settings(max_examples=max(4, settings.default.max_examples // 30), deadline=None)
fewer = settings(max_examples=max(2, settings.default.max_examples // 100), deadline=None)


def test_there_is_something_to_climb():
    """Variants are found, and so are backends: an empty ladder would be climbed by anything."""
    assert len(NAMES) >= 9
    assert "eager" in BACKENDS
    assert len(DRAWN) >= 10
    assert any(lo.variant(name).limits for name in NAMES)


def test_every_step_of_the_ladder_is_there():
    """Steps 1 to 6 are checks of the kit, each run on every backend that promises it; 0 and 7 are tests of this folder."""
    names = {
        1: {"adjoint"},
        2: {"equations"},
        3: {"oracle", "long_sequences", "default_state"},
        4: {"single_precision"},
        5: {"rows", "permutation", "carried_state", "causality", "padding", "bidirectional", "population", "member_bits",
            "repeated_call"},
        6: {"limits"},
    }  # fmt: skip
    found = {step: {check.__name__.removeprefix("check_") for check in made} for step, made in STEPS.items()}
    assert found == names
    run = {name for name, _ in checks()}
    for step, made in STEPS.items():
        for check in made:
            assert (check.__doc__ or "").startswith(f"Step {step}")
            name = check.__name__.removeprefix("check_")
            promised = [backend for backend in BACKENDS if backend not in NOT_ON.get(check, ())]
            assert promised
            assert {name} <= run or {f"{name}-{backend}" for backend in promised} <= run
    assert set(REFERENCES) == set(NAMES)
    assert len(WRONG_CELLS) >= 12
    assert len(WRONG_ADJOINTS) >= 6


@parametrize_with_checks(NAMES)
def test_every_variant_keeps_its_promises(cell, check):
    """The whole kit, with its own draws, on every backend."""
    check(cell)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NAMES)
def test_no_registered_variant_needs_the_excuse_of_rounding(name, backend, monkeypatch):
    """The kit may ask how far rounding alone moves a cell's answer; for ours, at its own draws, it never has to."""

    def asked(*_):
        raise AssertionError("a bound was missed")

    monkeypatch.setattr(conformance, "rounding_error", asked)
    check_oracle(name, backend)


@parametrize_with_checks(UNREGISTERED)
def test_other_kinds_of_cells_keep_their_promises(cell, check):
    """So do cells of kinds that are not registered: the contract of a step is wider than nine LSTMs."""
    check(cell)


@pytest.mark.parametrize(
    ("check", "backend"), DRAWN_ON, ids=lambda it: it if isinstance(it, str) else it.__name__.removeprefix("check_")
)
@pytest.mark.parametrize("name", NAMES)
@few
@given(draw=draws())
def test_every_variant_keeps_its_promises_at_any_draw(name, check, backend, draw):
    """The same promises at sizes and numbers that hypothesis chooses."""
    check(name, backend, draws=[draw])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NAMES)
@fewer
@given(draw=draws(T=(50, 300)))
def test_long_sequences_equal_the_oracle(name, backend, draw):
    """50 to 300 frames, as hypothesis chooses them, give the oracle's results and gradients."""
    check_long_sequences(name, backend, draws=[draw])


@pytest.mark.parametrize(("drawn", "T"), [(few, (2, 12)), (fewer, (50, 300))])
def test_few_draws_are_not_all_of_the_simplest(drawn, T):
    """Matrices are not their own transposes, there is more than a row, and no draw is made twice."""
    found = []

    @drawn
    @given(draw=draws(T=T))
    def draw_them(draw):
        found.append(draw)

    draw_them()
    assert len(found) == drawn.max_examples == len(set(found))
    assert found[0].N > 1 and found[0].M > 1 and found[0].B > 1
    assert len({draw.T for draw in found}) > 1
    assert all(T[0] <= draw.T <= T[1] for draw in found)
