"""Step 7 of the ladder: what is wrong is caught, and what is right is not."""

import pytest

import lstm_odyssey as lo
from lstm_odyssey.conformance.answers import BOUND, rounding_error
from lstm_odyssey.conformance.draws import FIXED
from lstm_odyssey.conformance.kit import CHECKS, Draw, check_oracle, check_variant, checks, parametrize_with_checks
from lstm_odyssey.conformance.ladder_precision import check_single_precision
from lstm_odyssey.conformance.ladder_structure import check_member_bits
from lstm_odyssey.variants.ops import sigmoid, tanh
from tests.cell.test_reference import compare_with_reference
from tests.cells import OSCILLATOR
from tests.mutants import WRONG_ADJOINTS, WRONG_CALLS, WRONG_CELLS, WRONG_LAYERS, TransposesR, wrong_cell
from tests.reference import NAMES

SIZES = {"T": 3, "M": 3, "N": 5, "seed": 0}  # of the one comparison that has to tell right from wrong


def kit(backend=None):
    """The kit's checks by name, without the backend's."""
    return {name.partition("-")[0]: check for name, check in checks([backend] if backend else None)}


@pytest.mark.parametrize("name", NAMES)
def test_right_cells_survive(name):
    """Each of the cells passes the comparison that every wrong one has to fail."""
    compare_with_reference(name, lo.variant(name), **SIZES)


@pytest.mark.parametrize("name", NAMES)
def test_right_texts_survive_being_rewritten(name):
    """A text that goes the way of the wrong ones, but unchanged, passes: they fail for their change alone."""
    compare_with_reference(name, wrong_cell(name), **SIZES)


@pytest.mark.parametrize("slip", WRONG_CELLS)
def test_wrong_cells_are_killed(slip):
    """A wrong cell's states differ from the reference's at the first random input."""
    of, *changes = WRONG_CELLS[slip]
    with pytest.raises(AssertionError, match="state . is off by"):
        compare_with_reference(of, wrong_cell(of, *changes), **SIZES)


@pytest.mark.parametrize("slip", WRONG_CALLS)
@pytest.mark.parametrize("name", ["vanilla", "fgr"])
def test_wrong_calls_are_killed(name, slip):
    """A call with R transposed, another initial state or a missing term of a gradient does not pass for the oracle."""
    what = "gradient" if "derivative" in slip else "state"
    with pytest.raises(AssertionError, match=f"{what} .* is (off by|zero)"):
        compare_with_reference(name, lo.variant(name), **SIZES, oracle=WRONG_CALLS[slip])


@pytest.mark.parametrize("layer", WRONG_LAYERS, ids=lambda layer: layer.__name__)
def test_wrong_layers_are_killed(layer):
    """The check that is there for it catches a wrong layer, and says which cell, layer and draw it was."""
    draw = r"Draw\(T=\d+, B=\d+, M=\d+, N=\d+, seed=\d+\)"
    cell = lo.as_cell(OSCILLATOR if WRONG_LAYERS[layer] == "constants" else "vanilla")
    with pytest.raises(AssertionError, match=rf"^{cell.name} on {layer.__name__}, .*{draw}: "):
        kit(layer)[WRONG_LAYERS[layer]](cell)


def test_check_variant_kills_a_wrong_layer():
    """What one check catches, check_variant catches."""
    with pytest.raises(AssertionError, match="DropsInitialGradient, compared with the oracle, .*: gradient of initial"):
        check_variant("vanilla", [next(layer for layer in WRONG_LAYERS if layer.__name__ == "DropsInitialGradient")])


def test_a_right_layer_survives():
    """lo.RNN itself, handed over the way of the wrong layers, keeps every promise."""
    for name, check in kit(lo.RNN).items():
        if name == "single_precision":  # a median over its own draws; one draw has no bound
            check("vanilla")
        else:
            check("vanilla", draws=[Draw(T=50 if name == "long_sequences" else 5, B=2, M=3, N=3)])


def test_checks_that_a_backend_cannot_fail_are_not_run_on_it():
    """Eager is not measured by itself, nor is a backend that pads asked for a member's bits; both say so if asked."""
    names = {name for name, _ in checks()}
    assert "single_precision-numba" in names and "single_precision-eager" not in names
    assert "member_bits-numba" in names and "member_bits-eager" not in names
    for check in (check_single_precision, check_member_bits):
        with pytest.raises(ValueError, match=f"{check.__name__}: .*backend 'eager'"):
            check("vanilla", "eager")


def right(x, y, c, *, W, R, b):
    """A cell of a plugin, whose block says what its text says.

    z_t = tanh(W_z x_t + R_z y_{t-1} + b_z)  a remark
    c_t = c_{t-1} + z_t
    y_t = tanh(c_t)
    """
    z = tanh(W.z @ x + R.z @ y + b.z)
    c_t = c + z
    return tanh(c_t), c_t


def says_another_thing(x, y, *, W, R):
    """A cell whose docstring has the wrong nonlinearity.

    y_t = tanh(W_z x_t + R_z y_{t-1})
    """
    return sigmoid(W.z @ x + R.z @ y)


def says_nothing(x, y, *, W, R):
    """A cell without a block of equations."""
    return tanh(W.z @ x + R.z @ y)


def has_a_dead_parameter(x, y, *, W, R, b):
    """A cell one of whose parameters can have no effect.

    y_t = tanh(W_z x_t + R_z y_{t-1}) + b_z ⊙ 0
    """
    return tanh(W.z @ x + R.z @ y) + b.z * 0


WRONG_DECLARATIONS = {
    "a limit that does not hold": ("limits", lo.Variant(right, limits=[lo.Limit("nfg", {})]), "left without a value"),
    "a limit of unknown parameters": ("limits", lo.Variant(right, limits=[lo.Limit("nfg", {"b.q": 0})]), r"\['b.q'\]"),
    "a limit in unknown states": (
        "declaration",
        lo.Variant(right, limits=[lo.Limit("nfg", {}, states={"h": "y"})]),
        "'h'; the states are",
    ),
    "a limit to the wrong cell": (
        "limits",
        lo.Variant(right, limits=[lo.Limit("torch.nn.RNN", lambda p: {"weight_ih_l0": p["W.z"]}, {"y": "h"})]),
        "in its limit torch.nn.RNN, .*: y is off by",
    ),
    "a limit of a layer that has no time": (
        "limits",
        lo.Variant(right, limits=[lo.Limit("torch.nn.Linear", lambda p: p, {"y": "h"})]),
        "a limit of torch.nn.Linear: expected a recurrent layer",
    ),
    "a limit under too small a change": (
        "limits",
        lo.Variant(lo.variant("no_peepholes").step, limits=[lo.Limit("nog", {"p.i": 0, "p.f": 0})]),
        "in its limit nog, .*: y is off by",
    ),
    "a domain of no state": ("declaration", lo.Variant(right, domains={"n": (0, 1)}), "domains has 'n'"),
    "a tie of no op": (
        "declaration",
        lo.Variant(right, ties=["relu"]),
        r"ties has 'relu'; the ops with a kink .* are \[\]",
    ),
    "a beginning of no state": ("declaration", lo.Variant(right, initial={"n": 1.0}), "initial has 'n'"),
    "an empty domain": ("declaration", lo.Variant(right, domains={"c": (1, 1)}), "the lesser bound first"),
    "equations that are another cell's": ("equations", says_another_thing, r"y_t = σ\(W_z x_t \+ R_z y_\{t-1\}\)"),
    "no equations": ("equations", says_nothing, "has no equations; expected\n"),
    "a parameter without effect": ("draws_say_something", has_a_dead_parameter, r"gradient of b.z\| is 0"),
}


@pytest.mark.parametrize("slip", WRONG_DECLARATIONS)
def test_wrong_declarations_are_killed(slip):
    """A declaration or a docstring that is not true of the text is caught, and the message says where."""
    check, cell, message = WRONG_DECLARATIONS[slip]
    with pytest.raises(AssertionError, match=message):
        kit()[check](cell)


AMPLIFIED = Draw(T=12, B=3, M=33, N=1, seed=946239511)  # a saturated gate: one bit is 1e-10 of a gradient


def test_rounding_is_no_broken_promise():
    """Where rounding moves the oracle itself by more than the bound, a right layer is not accused."""
    check_oracle("noaf", draws=[AMPLIFIED])
    cell = lo.variant("noaf")
    assert max(rounding_error(cell, AMPLIFIED.problem(cell)).values()) > BOUND


@pytest.mark.parametrize(
    "layer",
    [layer for layer, check in WRONG_LAYERS.items() if check == "oracle" and layer is not TransposesR],  # N is 1 here
)
def test_rounding_is_no_excuse(layer):
    """At such a draw wrong layers are still caught."""
    with pytest.raises(AssertionError, match="compared with the oracle"):
        check_oracle("noaf", layer, draws=[AMPLIFIED])


def test_rounding_is_rarely_asked_for():
    """The kit's own draws keep the plain bound for every tensor: rounding moves the oracle far less than it allows."""
    cell = lo.variant("vanilla")
    for draw in FIXED:
        assert max(rounding_error(cell, draw.problem(cell)).values()) < BOUND / 10


def test_every_check_kills_something():
    """No check of the kit is there for nothing."""
    killers = {*WRONG_LAYERS.values(), *(check for check, _, _ in WRONG_DECLARATIONS.values())}
    killers.add("adjoint")  # tests/cell/test_adjoint.py shows it of every wrong one
    assert killers == {check.__name__.removeprefix("check_") for check in CHECKS}


def test_there_are_many_mutants():
    """The lists of wrong things do not shrink unnoticed."""
    assert len(WRONG_CELLS) >= 30
    assert len(WRONG_CALLS) >= 13
    assert len(WRONG_ADJOINTS) >= 13
    assert {of for of, _ in WRONG_ADJOINTS.values()} >= {"vanilla", "cifg", "fgr", "gru"}
    assert len(WRONG_LAYERS) >= 29


@parametrize_with_checks([right])
def test_a_function_without_registration_can_be_checked(cell, check):
    """The kit takes any step function, as a plugin's author would use it."""
    check(cell)


def test_nothing_to_check_is_an_error():
    """No cell or no backend would make a test that cannot fail; the kit refuses."""
    with pytest.raises(ValueError, match="got no cell, expected at least one"):
        parametrize_with_checks([])
    with pytest.raises(ValueError, match="got no backend, expected at least one"):
        check_variant("vanilla", backends=[])


def test_a_draw_of_one_step_is_refused():
    """T = 1 hides half of all wrong cells, so that no draw may have it."""
    with pytest.raises(ValueError, match="got T = 1, expected 2 or more"):
        Draw(T=1, B=1, M=1, N=1)


def test_draws_respect_domains_and_are_never_zero():
    """Initial states lie within the declared domain, others are random and not zero, and the same draw is the same."""
    cell = lo.as_cell(lo.Variant(right, domains={"c": (0.1, 3.0)}))
    draw = Draw(T=4, B=3, M=2, N=33, seed=7)
    state = draw.problem(cell).state
    assert state["c"].min() >= 0.1
    assert state["c"].max() <= 3
    assert state["c"].std() > 0.5
    assert state["y"].abs().min() > 0
    assert state["y"].min() < 0
    assert draw.problem(cell).state["y"].equal(state["y"])
