"""The equality ladder over every registered variant: what the kit draws by itself, and what hypothesis draws."""

import contextlib

import pytest
import torch
from hypothesis import given, settings

import lstm_odyssey as lo
from lstm_odyssey.conformance import answers as conformance
from lstm_odyssey.conformance import kit, ladder_structure
from lstm_odyssey.conformance.answers import ChaoticDrawError, ask
from lstm_odyssey.conformance.draws import FIXED, Draw
from lstm_odyssey.conformance.kit import (
    CHECKS,
    OF_THE_TEXT,
    STEPS,
    check_long_sequences,
    check_oracle,
    checks,
    draws,
    parametrize_with_checks,
    promised,
)
from lstm_odyssey.conformance.placed import Placed, placed
from lstm_odyssey.study.asked.profiles import COLLECTION
from lstm_odyssey.variants.ops import absolute, maximum, minimum, relu, sigmoid
from tests.cells import ODD, ON_CPU
from tests.mutants import WRONG_ADJOINTS, WRONG_CELLS
from tests.reference import NAMES as REFERENCES

NAMES = lo.variant_names()


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


UNREGISTERED = (lo.Variant(kinks_and_constants, ties=["maximum", "minimum", "relu", "absolute"]),)
# step 4 is about numbers that are fixed
DRAWN = [check for check in CHECKS if check not in (*OF_THE_TEXT, *STEPS[4], check_long_sequences)]
DRAWN_ON = [(check, backend) for check in DRAWN for backend in ON_CPU if promised(check, backend)]
ROUND = 4
"""Of so many pairs of a cell and a promise hypothesis draws for one in ``make test``, for all in ``make long``."""


def drawn(promises):
    """Every cell with every promise, for pytest: in ``make test`` a promise has some cells, and a cell some promises."""
    return [
        pytest.param(name, *promise, id="-".join(word if isinstance(word, str) else word.__name__.removeprefix("check_")
                                                 for word in (name, *promise)),
                     marks=[pytest.mark.long] if (row + column) % ROUND else [])
        for column, promise in enumerate(promises) for row, name in enumerate(NAMES)
    ]  # fmt: skip


few = settings(max_examples=max(4, settings.default.max_examples // 30), deadline=None)
fewer = settings(max_examples=max(2, settings.default.max_examples // 100), deadline=None)


def test_there_is_something_to_climb():
    """Variants are found, and so are backends: an empty ladder would be climbed by anything."""
    assert len(NAMES) >= 20
    assert "eager" in ON_CPU
    assert len(DRAWN) >= 10
    short = {given.values for given in drawn(DRAWN_ON) if not given.marks}
    assert {name for name, _, _ in short} == {*NAMES}
    assert {(check, backend) for _, check, backend in short} == {*DRAWN_ON}
    fixed = {given.id for given in thinned(parametrize_with_checks(NAMES)).args[1] if not given.marks}
    assert {label.partition("-")[2] for label in fixed} == {label for label, _ in checks()}
    assert not {label for label in fixed if label.split("-")[1] in STRUCTURE} & {
        given.id for given in drawn(DRAWN_ON) if not given.marks
    }
    assert any(lo.variant(name).limits for name in NAMES)


def test_every_step_of_the_ladder_is_there():
    """Steps 1 to 6 are checks of the kit, each run on every backend that promises it; 0 and 7 are tests of this folder."""
    names = {
        1: {"adjoint"},
        2: {"equations"},
        3: {"oracle", "long_sequences", "default_state", "constants"},
        4: {"single_precision", "nonlinearities"},
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
            there = [backend for backend in ON_CPU if promised(check, backend)]
            assert there
            assert {name} <= run or {f"{name}-{backend}" for backend in there} <= run
    assert set(REFERENCES) == set(NAMES)
    assert len(WRONG_CELLS) >= 12
    assert len(WRONG_ADJOINTS) >= 6


SINGLE = (*[name for name in NAMES if lo.variant(name).collection == COLLECTION], "mut1", "slstm")
"""Held to float32 in ``make test``: the paper's cells, one of two phases and one with a domain; the others in ``make long``, as
48 draws of a cell take five seconds."""


STRUCTURE = tuple(check.__name__.removeprefix("check_") for check in STEPS[5])
"""Promises of rows, members, directions and padding. They are the layer's and the backend's: what a cell adds is its phases,
its states and their domains, and a few cells have all kinds of those. So in ``make test`` each of them has one cell in
``ROUND`` at the kit's draws and another one at hypothesis's, and a cell has half of them; in ``make long`` all have all."""


def thinned(every):
    """The tests of ``parametrize_with_checks``, some of them long."""
    names, given = every.args
    columns = [f"{check.__name__.removeprefix('check_')}-{backend}" for check, backend in DRAWN_ON]

    def long(one):
        subject, promise = one.values[0], one.id.partition("-")[2]
        if promise.startswith("single_precision-"):
            return subject not in SINGLE
        if promise.partition("-")[0] not in STRUCTURE or subject not in NAMES:
            return False
        return (NAMES.index(subject) + columns.index(promise) + ROUND // 2) % ROUND > 0  # where ``drawn`` has none

    marked = [one._replace(marks=[*one.marks, pytest.mark.long]) if long(one) else one for one in given]
    assert len(marked) > 2 * sum(bool(one.marks) for one in marked)
    return pytest.mark.parametrize(names, marked)


@thinned(parametrize_with_checks(NAMES))
def test_every_variant_keeps_its_promises(cell, check):
    """The whole kit, with its own draws, on every backend."""
    check(cell)


@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("name", NAMES)
def test_no_registered_variant_needs_the_excuse_of_rounding(name, backend, monkeypatch):
    """The kit may ask how far rounding alone moves a cell's answer; for ours, at its own draws, it never has to."""

    def asked(*_):
        raise AssertionError("a bound was missed")

    monkeypatch.setattr(conformance, "rounding_error", asked)
    check_oracle(name, backend)


@thinned(parametrize_with_checks(UNREGISTERED))
def test_other_kinds_of_cells_keep_their_promises(cell, check):
    """So do cells of kinds that are not registered: the contract of a step is wider than what papers have asked of it."""
    check(cell)


@pytest.mark.parametrize(("name", "check", "backend"), drawn(DRAWN_ON))
@few
@given(draw=draws())
def test_every_variant_keeps_its_promises_at_any_draw(name, check, backend, draw):
    """The same promises at sizes and numbers that hypothesis chooses."""
    check(name, backend, draws=[draw])


@pytest.mark.parametrize(("name", "backend"), drawn([(backend,) for backend in ON_CPU]))
@fewer
@given(draw=draws(T=(50, 300)))
def test_long_sequences_equal_the_oracle(name, backend, draw):
    """50 to 300 frames, as hypothesis chooses them, give the oracle's results and gradients."""
    check_long_sequences(name, backend, draws=[draw])


def test_a_chaotic_cell_is_compared_over_fewer_frames(monkeypatch):
    """Where rounding alone moves the oracle by as much as its outputs are, no backend is blamed: half the frames are taken."""
    asked, cell = [], lo.as_cell(ODD["every_op"])
    (draw,) = [each for each in kit.LONG if each.T == 300]
    with pytest.raises(ChaoticDrawError, match=r"T=300.*: y is off by"):
        check_oracle(cell, "eager", [draw])
    whole = kit.check_oracle
    monkeypatch.setattr(kit, "check_oracle", lambda *given: (asked.append(given[-1][0].T), whole(*given)))
    check_long_sequences(cell, "eager", [draw])
    assert asked == [300, 150]
    monkeypatch.setattr(kit, "ask", lambda *given: [{k: v * (1 + 1e-9) for k, v in ask(*given)[0].items()}])
    with pytest.raises(AssertionError, match=r"T=150.*: y is off by") as wrong:
        check_long_sequences(cell, "eager", [draw])
    assert wrong.type is AssertionError  # wrong, and not chaotic


@pytest.mark.parametrize("backend", ON_CPU)
def test_a_gate_that_is_all_but_one_is_no_fault(backend):
    """A gradient that hangs on the last bit of a function's value, which no last bit of an input reaches, is measured by it."""
    draw = Draw(2, 1, 17, 1, seed=1809)
    moved = conformance.rounding_error(lo.variant("noaf"), draw.problem(lo.variant("noaf")))
    assert conformance.BOUND / conformance.TIMES_ROUNDING < moved["gradient of W.z"] < 1e-9
    assert moved["gradient of W.f"] < 1e-13 and moved["y"] < 1e-14
    check_oracle("noaf", backend, [draw])


def test_functions_off_in_their_last_bits_are_off_by_no_more():
    """Of each function of one operand the value and the derivative, as they are but for some units of the last place."""
    generator = torch.Generator().manual_seed(3)
    for name, op in conformance.Rounded.ONE.items():
        (low, high), *_ = op.domain
        a = low + (high - low) * torch.rand(500, generator=generator, dtype=torch.float64)
        found = []
        for mode in (contextlib.nullcontext(), conformance.Rounded(generator)):
            given = a.clone().requires_grad_()
            with mode:
                out = op.eager(given)
            (slope,) = torch.autograd.grad(out.sum(), given)
            found.append((out.detach(), slope))
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-14, msg=name)
        assert not torch.equal(found[0][0], found[1][0]), name


def test_what_is_chaotic_from_the_beginning_is_said(monkeypatch):
    """If no number of frames can be compared, the cell is at fault and the last draw is named."""

    def chaotic(cell, backend, draws):
        raise ChaoticDrawError(f"{draws[0]}: off")

    monkeypatch.setattr(kit, "check_oracle", chaotic)
    with pytest.raises(ChaoticDrawError, match="T=18"):
        check_long_sequences("vanilla", "eager")


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


def test_the_kit_asks_on_a_device_what_runs_there():
    """Backends that run on a device, each named with it in the promise's name and in the messages; others are refused."""
    asked = [label for label, _ in kit.checks(device="cuda:1")]
    assert {label.partition("-")[2] for label in asked} == {"", "cuda on cuda:1", "eager on cuda:1"}
    assert "single_precision-eager on cuda:1" in asked and "member_bits-eager on cuda:1" not in asked
    assert not any(label == "single_precision-eager" for label, _ in kit.checks())
    assert [label for label, _ in kit.checks(["eager"], device="cpu")] == [label for label, _ in kit.checks(["eager"])]
    with pytest.raises(ValueError, match="checks: backend 'numba' does not run on cuda; expected one of cuda, eager"):
        list(kit.checks(["numba"], device="cuda"))
    made = []

    def there(*arguments, **options):
        made.append(options)
        return lo.RNN(*arguments, **options)

    kit.check_oracle("vanilla", there, FIXED[:1])
    assert made and placed(there, "cuda") is there
    on_cpu = Placed("eager", "cpu")
    kit.check_oracle("vanilla", on_cpu)
    with pytest.raises(ValueError, match="backend 'eager on cpu' pads its members"):
        ladder_structure.check_member_bits("vanilla", on_cpu)
