"""The processor's limit of a cell: the formula, its counts, and where it is shown and stored."""

import pytest

import lstm_odyssey as lo
from lstm_odyssey.bench.limit import FORMULA, Limit, limit
from lstm_odyssey.bench.samples import Timing
from lstm_odyssey.bench.timed.cell import OURS, Group, Work, contest
from lstm_odyssey.commands.bench import tables
from lstm_odyssey.training.clocks import timer_of

RATES = {"stream": 1e9, "sgemm": 1e10, "functions": 1e8}
WAYS = {"stream": "odyssey, wide", "sgemm": "torch", "functions": "numpy"}


def made(batch):
    """T 10, N 5, M 3, four gates and five functions."""
    return Limit(RATES, WAYS, recurrent=100, inputs=60, functions=5, frames=10, batch=batch, size=5)


@pytest.mark.parametrize(
    ("batch", "backward", "seconds"),
    [
        (1, False, 10 * 400 / 1e9 + 2 * 10 * 60 / 1e10 + 10 * 5 * 5 / 1e8),
        (1, True, 2 * 10 * 400 / 1e9 + 2 * 10 * 280 / 1e10 + 10 * 5 * 5 / 1e8),
        (32, False, 10 * 6400 / 1e10 + 2 * 320 * 60 / 1e10 + 320 * 5 * 5 / 1e8),
        (32, True, 2 * 10 * 6400 / 1e10 + 2 * 320 * 280 / 1e10 + 320 * 5 * 5 / 1e8),
    ],
)
def test_the_limit_is_its_formula(batch, backward, seconds):
    """One row reads R in each step, many multiply by it; products of all frames and functions are added."""
    assert made(batch).seconds(backward) == pytest.approx(seconds, rel=1e-12)


def test_rates_are_measured_and_counts_are_the_cells():
    """Every rate is above 0 and has a way; GRU has three matrices of each kind and three functions."""
    found = limit(lo.variant("gru"), 20, 2, 7, 3, 0.05, timer_of("cpu", "cpu"))
    assert set(found.rates) == set(found.ways) == {"stream", "sgemm", "functions"}
    assert all(1e6 < rate < 1e14 for rate in found.rates.values())
    assert (found.recurrent, found.inputs, found.functions) == (3 * 20 * 20, 3 * 20 * 3, 3)
    assert (found.frames, found.batch, found.size) == (7, 2, 20)


def test_the_part_of_the_limit_is_shown_and_stored():
    """A column beside the ratios, the formula and the rates under the table, and all of it in the record."""
    timing = Timing((1e-5,) * 8, 0.02, {name: Timing((5e-6,) * 8, 0.02) for name in ("forward", "backward")})
    group = Group("nog", 5, 1, {OURS: timing, "lstm": timing}, limit=made(1))
    both, forward = (made(1).seconds(backward) for backward in (True, False))
    assert group.of_limit() == both / 1e-5 and group.of_limit("forward") == forward / 5e-6
    *_, words = (str(part) for part in tables.cell_tables([group], Work(against=("lstm",))))
    assert FORMULA in words and "stream 1 GB/s (odyssey); sgemm 10 GFLOP/s (torch); functions 0.1 G/s (numpy)" in words
    ours, theirs = tables.cell_results([group])
    assert ours["of_limit"] == {"forward": forward / 5e-6, "all": both / 1e-5} and "of_limit" not in theirs
    assert ours["limit"]["formula"] == FORMULA and ours["limit"]["rates"] == RATES


def test_a_contest_knows_its_limit():
    """What is timed on a CPU is timed against the limit, forward alone too."""
    work = Work(frames=3, inputs=2, against=("lstm",), seconds=0.05, backward=False)
    group = contest(lo.variant("nog"), 3, 1, work)
    assert group.limit is not None and group.of_limit() == group.of_limit("forward") > 0
