"""Start values and constants that a cell declares: what they are held to, and what has them in its signature."""

import hashlib
import json
from dataclasses import replace

import pytest

import lstm_odyssey as lo
from lstm_odyssey.variants import ops
from lstm_odyssey.variants.declare import Constant, Limit, Variant, chrono, identity, orthogonal, uniform
from tests.cells import CONSTANTS, LEAKING, OSCILLATOR, damped, elman, leaking

SIGNATURES = "eb99fc9a06633e9929636501863fc144aab7f20cc106ee6a0921116868795c62"
"""Of the names and signatures of the twenty cells that there were before a cell could declare any of this."""

TWENTY = (
    "cifg fgr gru gru_reset_after janet ligru mgu minlstm mut1 mut2 mut3 nfg niaf nig no_peepholes noaf nog slstm tanh_rnn "
    "vanilla"
).split()  # fmt: skip


def test_the_signatures_of_the_twenty_are_what_they_were():
    """Declaring is new and changes nothing of a cell that declares nothing."""
    found = [[name, lo.variant(name).signature] for name in TWENTY]
    assert len(found) == 20 and hashlib.sha256(json.dumps(found).encode()).hexdigest() == SIGNATURES


def test_a_start_and_a_default_are_in_the_signature_and_a_range_is_not():
    """What numbers depend on makes another cell; what a study may ask for does not."""
    plain = lo.Cell(Variant(leaking))
    signatures = {plain.signature, lo.Cell(LEAKING).signature}
    for start in ({"R.h": identity()}, {"R.h": identity(2)}, {"R.f": identity()}, {"b.f": 1.0}, {"b.f": chrono()}):
        signatures.add(lo.Cell(Variant(leaking, start=start)).signature)
    assert len(signatures) == 7 and plain.signature == plain.graph.signature
    wider, other = ({**CONSTANTS, "gamma": Constant(default, 0, 99)} for default in (2.7, 2.8))
    first, second, third = (lo.Cell(replace(OSCILLATOR, constants=c)).signature for c in (CONSTANTS, wider, other))
    assert first == second != third


def test_constants_are_read_as_numbers_and_counted_as_none():
    """Equations write a Greek name as its letter, with a dot; a constant is no parameter."""
    cell = lo.Cell(OSCILLATOR)
    assert cell.equations[1] == "z_t = z_{t-1} + 0.1 · (u_t - γ · y_{t-1} - ε · z_{t-1} / rate)"
    assert set(cell.parameters) == {"W.u", "R.u", "R.v", "b.u"} and cell.constants == CONSTANTS
    assert cell.count(M=3, N=5) == 15 + 2 * 25 + 5
    assert set(lo.Cell(OSCILLATOR, bias=False).parameters) == {"W.u", "R.u", "R.v"}


def test_a_state_may_still_be_called_k():
    """The space of constants takes no name from a text that has none."""

    def keyed(x, y, k, *, W, R):
        """h_t = W_h x_t + R_h y_{t-1}."""
        h = W.h @ x + R.h @ y
        return h + k, h

    assert lo.Cell(Variant(keyed)).states == ("y", "k")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Variant(elman, init=1), "Variant: unknown argument 'init'; expected any of step, .*, start, constants"),
        (lambda: Limit("vanilla", parameter={}), "Limit: unknown argument 'parameter'; expected any of of, parameters, states"),
        (lambda: Constant(1, minimum=0), "Constant: unknown argument 'minimum'; expected any of default, low, high"),
        (lambda: Variant(elman, start={"R.y": "identity"}), "start of R.y is 'identity'; expected a finite number"),
        (lambda: Variant(elman, constants={"a": 1.0}), "constant 'a' is 1.0; expected Constant"),
        (lambda: Constant(3, 0, 2), "default is 3; expected a number from low = 0 to high = 2"),
        (lambda: chrono(2), "chrono: got sign = 2; expected 1 or -1"),
        (lambda: uniform(1, 1), "uniform: got low = 1 and high = 1; expected low below high"),
        (lambda: orthogonal(float("nan")), "orthogonal: a number is nan; expected a finite number"),
        (lambda: lo.Cell(Variant(leaking, start={"b.f": identity()})),
         "start of b.f is identity\\(1\\), and b.f is a vector; expected identity for one of R.f, R.i, R.h"),
        (lambda: lo.Cell(Variant(leaking, start={"R.f": chrono()})), "R.f is a matrix; expected chrono for one of b.f"),
        (lambda: lo.Cell(Variant(leaking, start={"R.ff": identity()})), "start of R.ff, .* none of its parameters; .* of R.f"),
        (lambda: lo.Cell(Variant(leaking, start={"p.f": 1})), "start of p.f, which is none of its parameters; .* W.f"),
        (lambda: lo.Cell(Variant(damped)), "text reads k.gamma and no constant is declared. Declare it: Variant"),
        (lambda: lo.Cell(Variant(damped, constants={**CONSTANTS, "gama": Constant(1)})), "'gama' is declared .* of gamma"),
        (lambda: lo.Cell(Variant(damped, constants={"gama": Constant(1)})), "reads k.gamma and no such .* one of gama"),
        (lambda: lo.Cell(Variant(elman, constants={"a": Constant(1)})), "'a' is declared and its text does not .* none"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_sentence(make, message):
    """An unknown argument, a shape that cannot begin so, a name that the text has not: the nearest is named."""
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def keeping(x, y, *, W, b, k):
    kept = 1 - k.lambda_
    return kept * y + k.lambda_ * ops.tanh(W.h @ x + b.h) + (k.gamma * k.lambda_) * y * y


def test_a_constant_is_written_as_its_letter_and_a_number_times_a_vector():
    """λ too, which Unicode spells otherwise and Python keeps; what is computed of constants alone is a number."""
    cell = lo.Cell(Variant(keeping, constants={"lambda_": Constant(0.3), "gamma": Constant(2.0)}))
    assert cell.equations == (
        "kept_t = 1 - λ",
        "y_t = kept_t · y_{t-1} + λ · tanh(W_h x_t + b_h) + γ · λ · y_{t-1} ⊙ y_{t-1}",
    )
