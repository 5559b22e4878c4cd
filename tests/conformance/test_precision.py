"""Step 4 of the ladder, one op at a time: an exponential that is a degree too short is caught, and one that suffices passes."""

import os
import subprocess
import sys

import pytest

import lstm_odyssey as lo
from lstm_odyssey.cell.ops import OPS
from lstm_odyssey.conformance.answers import shown
from lstm_odyssey.conformance.ladder_precision import (
    alone,
    check_nonlinearities,
    check_single_precision,
    nonlinearities,
)
from tests.cells import ON_CPU
from tests.conftest import ROOT
from tests.mutants import RoundsLikeTF32, ShortExponential

APPROXIMATED = sorted(name for name, op in OPS.items() if op.dear and op.in_text)

MUTANT = """
import sys
from lstm_odyssey.backends.numba.vectors import functions

rest = list(functions._FLOAT[4])
assert rest[5] == 7, rest
rest[5] = int(sys.argv[1])
functions._FLOAT[4] = tuple(rest)
functions.FUNCTIONS[4] = functions._functions(4)
from lstm_odyssey.conformance.ladder_precision import alone, check_nonlinearities

for op in sys.argv[2:]:
    try:
        check_nonlinearities(alone(op), "numba")
    except AssertionError as error:
        print(error)
"""


@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("op", APPROXIMATED)
def test_every_approximated_op_is_exact_to_a_few_last_places(op, backend):
    """Whatever a processor approximates, on each backend."""
    assert op in nonlinearities(alone(op))
    check_nonlinearities(alone(op), backend)


def test_the_ops_of_a_gradient_are_asked_for_too():
    """softplus brings sigmoid along; what is exact anyway is not asked for."""
    assert APPROXIMATED == ["div", "exp", "log", "sigmoid", "softplus", "sqrt", "tanh"]
    assert nonlinearities(alone("softplus")) == ["sigmoid", "softplus"]
    assert nonlinearities(lo.variant("vanilla")) == ["sigmoid", "tanh"]


MADE_OF_EXP = ("sigmoid", "tanh", "exp")


@pytest.mark.parametrize(
    ("degree", "ops"),
    [(5, ("exp",)), *(pytest.param(degree, MADE_OF_EXP, marks=pytest.mark.long) for degree in (6, 5))],
)
def test_a_polynomial_of_too_low_a_degree_is_caught(degree, ops, tmp_path):
    """Compiled with degree 6, off by 6 units, all pass; with degree 5, off by 38 to 106, each op made of exp is caught."""
    command = [sys.executable, "-c", MUTANT, str(degree), *ops]
    environment = os.environ | {"ODYSSEY_CACHE": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr
    told = [line.split(", ")[1] for line in done.stdout.splitlines() if "units in the last place" in line]
    assert told == [f"{op} alone" for op in ops if degree == 5], done.stdout


@pytest.mark.parametrize("layer", [ShortExponential, RoundsLikeTF32], ids=shown)
def test_the_medians_alone_would_not_tell(layer):
    """What the check of whole cells may let pass, this one names: the op, the error, the number it was made of."""
    with pytest.raises(
        AssertionError, match=r"tanh alone, in float32, .*: y is off by \d+.* units in the last place at \[.*8 are"
    ):
        check_nonlinearities("tanh_rnn", layer)
    if layer is ShortExponential:
        check_single_precision("tanh_rnn", layer)
