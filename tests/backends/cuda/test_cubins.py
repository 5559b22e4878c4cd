"""What NVRTC says of the generated scans: no class spills registers, on any architecture."""

import pytest

from lstm_odyssey.backends.cuda.classes import ARCHITECTURES, WIDTHS, size_class
from lstm_odyssey.backends.cuda.running import nvrtc
from lstm_odyssey.plugins.registry import variant_names
from tests import needed
from tests.tools.emulation_rows import KINDS, cubin, numbers_of_rows


@pytest.fixture(autouse=True)
def _compiler():
    needed.cuda_compiler()


def table(cells, architectures, floats):
    """The rows of the table; none of them spills but where it is named."""
    rows = [
        cubin(c, a, d, n, w)
        for c in cells
        for a in architectures
        for d in floats
        for n in numbers_of_rows(c)
        for w in WIDTHS
    ]
    assert [row for row in rows if not row["right"]] == []
    return rows


@pytest.mark.parametrize("cell", KINDS)
def test_nothing_spills(cell):
    """On sm_90 in float32, with any number of rows: every class has its registers, and shared memory within the limit."""
    for row in table([cell], ["sm_90"], ["float32"]):
        for one in row["kernels"].values():
            assert one["shared"] <= ARCHITECTURES["sm_90"].shared and one["registers"] * row["threads"] <= 65536


def test_what_spilled_once_does_not():
    """The cells and architectures in which ptxas wanted more registers than a class had left."""
    for cell, architecture, dtype, width in (
        ("vanilla", "sm_120", "float32", 96),
        ("cornn", "sm_120", "float32", 128),
        ("mgu", "sm_120", "float32", 128),
        ("ln_lstm", "sm_100", "float32", 160),
        ("ln_lstm", "sm_100", "float32", 224),
        ("gru", "sm_100", "float32", 224),
        ("mut1", "sm_90", "float32", 224),
        ("minlstm", "sm_90", "float64", 224),
    ):
        row = cubin(cell, architecture, dtype, numbers_of_rows(cell)[0], width)
        assert row["kernels"] and row["right"], row


@pytest.mark.long
@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
@pytest.mark.parametrize("cell", variant_names())
def test_nothing_spills_in_any_cell_on_any_architecture(cell, architecture):
    """Both floats."""
    table([cell], [architecture], ["float32", "float64"])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_without_matrices_a_row_is_a_program(architecture):
    """No threads that only repeat what another does, and a class of one block for every N."""
    for width in WIDTHS:
        one = size_class(width, 0, 0, 8, architecture)
        assert (one.cluster, one.threads, one.rows, one.weights) == (1, width, 1, 0)
