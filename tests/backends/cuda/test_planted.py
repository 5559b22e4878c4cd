"""Faults planted in the generated text are killed: an order of threads, or a sanitizer, comes out otherwise."""

import pytest

from lstm_odyssey.backends.cuda.emulation import ORDERS
from tests import needed
from tests.planted_faults import FAULTS, printed, said


@pytest.mark.parametrize("name", FAULTS)
def test_planted_faults_are_killed(name, record_property):
    """By the order or the sanitizer that the list names; what it printed stands in the report."""
    fault = FAULTS[name]
    needed.cxx() if fault.seen in ORDERS else needed.sanitizers()
    words = said(fault, fault.seen)
    record_property(fault.seen, words)
    assert words, f"{name}: {fault.seen} found nothing"


def test_one_buffer_for_two_is_seen_by_the_greedy_order_alone():
    """Why it is among the orders."""
    needed.cxx()
    fault = FAULTS["one buffer for two, backward"]
    assert [order for order in ORDERS if said(fault, order)] == ["greedy"]


def test_what_a_sanitizer_prints_is_short_and_names_no_place():
    """Addresses and paths of a machine are left out."""
    message = (
        "EmulatedDevice('in order', sanitize=True): cell x: kernel 'backward', block (0, 0), thread 3\n"
        "==7==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x1 at pc 0x2\n  #0 in /home/x/kernels.cpp:3"
    )
    expected = "kernel 'backward', block (0, 0), thread 3; AddressSanitizer: heap-buffer-overflow"
    assert printed(message) == expected
    assert printed("first line\nsecond") == "first line"
