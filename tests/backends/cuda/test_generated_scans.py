"""The very text that a GPU gets, on the emulated device: in several orders of threads, beside the oracle."""

import os
from dataclasses import replace
from functools import partial

import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.backends import BACKENDS
from lstm_odyssey.backends.cuda.classes import WIDTHS
from lstm_odyssey.backends.cuda.emulation import ORDERS, EmulatedDevice
from lstm_odyssey.backends.cuda.kernels import Kernel
from lstm_odyssey.conformance import kit
from lstm_odyssey.conformance.answers import rounding_error
from lstm_odyssey.conformance.draws import Draw, visits
from lstm_odyssey.plugins.registry import variant_names
from tests import needed
from tests.cells import ODD
from tests.emulated_scans import BEYOND, BOUNDS, CLASSES, Case, answer, drawn, errors, fits, right, same_alone
from tests.random_cells import compiled, random_text

KINDS = ("vanilla", "gru", "fgr", "minlstm")
"""A sum a gate, two rounds in a step, many matrices, none."""

SHORT_CHECKS = ("oracle", "default_state", "carried_state", "bidirectional", "repeated_call")
RANDOM = int(os.environ.get("ODYSSEY_RANDOM_CELLS", "10"))


@pytest.fixture(autouse=True)
def _compiler():
    needed.cxx()


@pytest.mark.parametrize("cell", variant_names())
def test_every_cell_is_its_oracle_at_an_n_of_each_class(cell):
    """One population of six sizes; outputs, final states, all gradients; rows of different lengths; in two orders."""
    for order in ("greedy", "shuffled 1"):
        right(cell, Case(CLASSES), order)


@pytest.mark.parametrize("cell", KINDS)
def test_float64_at_the_largest_n_that_fits(cell):
    """The same in float64, in the class with the most blocks; beyond the classes step by step."""
    largest = max(width for width in WIDTHS if fits(cell, width, "float64"))
    right(cell, Case((largest - 3,), dtype="float64"), "shuffled 2")


@pytest.mark.parametrize("cell", ["vanilla", "gru"])
def test_beyond_the_last_class_it_runs_step_by_step(cell):
    """N = 257, among members that have a class, a batch of two tiles."""
    assert fits(cell, BEYOND, "float64") is None
    for order in ("greedy", "shuffled 1"):
        right(cell, Case((3, BEYOND), T=2, B=5, dtype="float64"), order)


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_every_number_of_rows(rows):
    """Programs of 1, 2 and 4 rows, the last of them not full; with lengths and without."""
    for lengths in (False, True):
        right("vanilla", Case((7,), B=rows, dtype="float64", lengths=lengths), "reversed")


@pytest.mark.parametrize("cell", KINDS)
def test_a_batch_of_one_in_a_block_and_in_a_cluster(cell):
    """What the updates of a study launch."""
    right(cell, Case((7, 131), B=1), "greedy")


@pytest.mark.parametrize(("cell", "rows"), [("vanilla", 3), ("fgr", 1), ("gru", 5)])
def test_a_member_has_its_bits_alone_and_among_others(cell, rows):
    """Members of three classes, of two in one class, and of none."""
    same_alone(cell, Case((3, 17, 33, 131, BEYOND), T=2, B=rows))


def test_the_order_of_threads_changes_no_bit():
    """All five orders, a class of one block and one of a cluster."""
    problem = drawn("gru", Case((33, 131)))
    first, *others = (answer(problem, EmulatedDevice(order)) for order in ORDERS)
    for other in others:
        assert all(torch.equal(first[name], value) for name, value in other.items())


@pytest.mark.parametrize("cell", sorted(ODD))
def test_odd_cells(cell):
    """Texts with a matrix read twice, no W, no bias, no parameter of a state."""
    right(ODD[cell], Case((5,), dtype="float64"))


def drawn_cell(seed, norms=False):
    """A cell nobody wrote is its oracle on the emulated device; False for one that says nothing or is not for it."""
    text = random_text(seed, norms=norms)
    cell = lo.as_cell(compiled(text))
    if not max(rounding_error(cell, Draw(3, 2, 3, 5).problem(cell)).values()) < 1e-9:
        return False
    try:
        right(cell, Case((5, 11), dtype="float64"), "shuffled 1")
    except Exception as error:
        error.add_note(text)
        raise
    return True


def test_a_gradient_that_cancels_is_measured_by_the_whole():
    """Of one block what a norm sends back is all but 0, and right; one part in a thousand more of any tensor is still seen."""
    problem = drawn("ln_lstm", Case((1, 3)))
    found = answer(problem)
    assert errors(problem, found)[0] > BOUNDS["float32"] > max(errors(problem, found, cancels=True))
    for name, value in found.items():
        wrong = errors(problem, {**found, name: value * 1.001}, cancels=True)
        assert wrong[1] > BOUNDS["float32"], name
        assert wrong[0] > BOUNDS["float32"] or name == "gradient of initial y", name


@pytest.mark.parametrize("seed", range(4))
def test_random_cells(seed):
    """Texts drawn from the contract of a step."""
    drawn_cell(seed)


@pytest.mark.parametrize("seed", range(3))
def test_random_cells_with_norms(seed):
    """The same of texts that have means over N."""
    drawn_cell(seed, norms=True)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3, 2 * RANDOM))
def test_more_random_cells_with_norms(seed):
    """The same for more of them."""
    drawn_cell(seed, norms=True)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4, 4 * RANDOM))
def test_more_random_cells(seed):
    """The same for more of them."""
    drawn_cell(seed)


def checked(cell, device, only=None):
    """The promises of the kit, those named if any are."""
    found = [(label, check) for label, check in kit.checks([device]) if label.endswith(f"-{device}")]
    names = [label.removesuffix(f"-{device}") for label, _ in found]
    assert only is None or set(only) <= set(names)
    for name, (_, check) in zip(names, found, strict=True):
        if only is None or name in only:
            check(lo.as_cell(cell))


def test_the_kit_on_the_emulated_device(on_cpu):
    """What every backend promises, through ``lo.RNN``."""
    checked("gru", on_cpu, SHORT_CHECKS)


@pytest.fixture
def at_every_n(on_cpu, monkeypatch):
    """The backend with the N that its record has the kit visit."""
    monkeypatch.setitem(BACKENDS, on_cpu, replace(BACKENDS[on_cpu], sizes=BACKENDS["cuda"].sizes))
    assert set(BACKENDS["cuda"].sizes) <= {draw.N for draw in visits(on_cpu)}
    return on_cpu


def test_the_kit_visits_every_class(at_every_n):
    """The N of the record, by the kit's own draws: one of each class that the cell has, and one beyond them."""
    layouts = {fits("tanh_rnn", N, "float64") for N in BACKENDS[at_every_n].sizes}
    assert {0 if one is None else one.width for one in layouts} == {0, *WIDTHS}
    checked("tanh_rnn", at_every_n, ["oracle"])


@pytest.mark.long
@pytest.mark.parametrize("cell", variant_names())
def test_the_kit_visits_every_class_of_every_cell(cell, at_every_n):
    """The same for all of them, and in float32."""
    checked(cell, at_every_n, ["oracle", "single_precision"])


@pytest.mark.long
@pytest.mark.parametrize("cell", variant_names())
def test_the_whole_kit_on_the_emulated_device(cell, on_cpu):
    """All promises of every cell."""
    checked(cell, on_cpu)


LONG = partial(pytest.mark.parametrize, "cell", variant_names())


@pytest.mark.long
@LONG()
def test_every_cell_in_float64_and_every_order(cell):
    """All sizes that the record names, fused where a class fits, else step by step."""
    for order in ORDERS:
        right(cell, Case(BACKENDS["cuda"].sizes, dtype="float64"), order)


@pytest.mark.long
@LONG()
def test_members_of_every_cell_have_their_bits(cell):
    """Alone and among others, in both floats."""
    for dtype in ("float32", "float64"):
        same_alone(cell, Case((3, 17, 33, 131, BEYOND), T=2, dtype=dtype))


@pytest.mark.parametrize("check", ["sanitize", "races"])
def test_the_sanitizers_find_nothing(check):
    """A cell with two rounds in a step, fused in one block; in a cluster and step by step they are long."""
    needed.sanitizers()
    right("gru", Case((33,), T=2), **{check: True})


def test_step_by_step_no_thread_reads_what_another_writes(monkeypatch):
    """Threads of a unit share its row: in a launch only one of them reads and writes what lies in memory."""
    needed.sanitizers()
    monkeypatch.setattr(Kernel, "layout", lambda kernel, N: None)
    right("gru", Case((9,), T=2, B=5, dtype="float64"), races=True)


@pytest.mark.long
@pytest.mark.parametrize("check", ["sanitize", "races"])
@pytest.mark.parametrize("cell", variant_names())
def test_the_sanitizers_find_nothing_step_by_step(cell, check, monkeypatch):
    """Every cell, a tile that is not full."""
    needed.sanitizers()
    monkeypatch.setattr(Kernel, "layout", lambda kernel, N: None)
    right(cell, Case((9,), T=2, B=5, dtype="float64"), **{check: True})


@pytest.mark.long
@pytest.mark.parametrize("check", ["sanitize", "races"])
@pytest.mark.parametrize("cell", KINDS)
def test_the_sanitizers_find_nothing_in_any_kind_of_cell(cell, check):
    """In one block, in a cluster, step by step."""
    needed.sanitizers()
    for N in (7, 131, BEYOND):
        right(cell, Case((N,), T=2, B=2), **{check: True})
