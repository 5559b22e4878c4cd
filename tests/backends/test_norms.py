"""Means over N in a compiled scan of the CPU: over a member's own N alone, by N, in an order that nothing else changes."""

import functools

import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.backends.numba import cache, member
from lstm_odyssey.conformance.draws import Draw
from lstm_odyssey.conformance.kit import check_oracle
from lstm_odyssey.conformance.ladder_structure import NEIGHBOURS, check_member_bits
from lstm_odyssey.variants.ops import mean, rms, sigmoid

DRAWS = (Draw(3, 2, 3, 5), Draw(2, 1, 3, 17))
"""Neither N fills a vector, so that a mean over a vector's lanes is another."""

WRONG_TEXTS = {  # what stands in the text, and what instead
    "a mean over the lanes of a vector": ("only(keep, ", "only(first(LANES), "),
    "a sum in place of a mean": ("total(m0) / N", "total(m0) * 1.0"),
}


def averaged(x, y, *, W, p):
    """A cell in which what lies beyond N is no 0: σ(0) is a half."""
    a = sigmoid(W.a @ x + y)
    return p.a * (a - mean(a)) / rms(a)


@pytest.mark.parametrize(
    "slip",
    [name if name.startswith("a mean over") else pytest.param(name, marks=pytest.mark.long) for name in WRONG_TEXTS],
)
def test_a_wrong_mean_is_killed(slip, monkeypatch):
    """A text with one change compiles, and the comparison with the oracle finds it."""
    right, (old, new) = member.source, WRONG_TEXTS[slip]

    def source(plan, size):
        text = right(plan, size)
        assert old in text, f"the text no longer has {old!r}; change the mutant with it"
        return text.replace(old, new)

    monkeypatch.setattr(member, "source", source)
    monkeypatch.setattr(member, "_KERNELS", {})
    monkeypatch.setattr(member, "_compiled", functools.lru_cache(member._compiled.__wrapped__))
    monkeypatch.setattr(cache, "_LOADED", dict(cache._LOADED))
    with pytest.raises(AssertionError, match="averaged on numba, compared with the oracle"):
        check_oracle(averaged, "numba", draws=DRAWS)


def test_the_right_mean_is_the_oracle_s():
    """The same comparison passes for the text as it is."""
    check_oracle(averaged, "numba", draws=DRAWS)


def test_a_mean_has_the_bits_of_its_member_alone():
    """In float32 neither a neighbour's size nor its numbers change a bit of a member."""
    check_member_bits(averaged, "numba", NEIGHBOURS[:1])


@pytest.mark.parametrize("backend", ["eager", "numba"])
def test_one_number_less_its_mean_is_nothing(backend):
    """At N = 1 a normalised number is exactly 0 and every gradient is finite."""
    layer = lo.RNN("ligru_ln", 3, 1, backend=backend)
    x = torch.randn(4, 2, 3, requires_grad=True)
    layer(x)[0].sum().backward()
    assert torch.equal(x.grad, torch.zeros_like(x))
    assert all(bool(value.grad.isfinite().all()) for value in layer.parameters())


def test_a_mean_of_the_input_is_refused():
    """A mean is over N; the message says what to write."""

    def wrong(x, y, *, W, R):
        return W.a @ (x - mean(x)) + R.a @ y

    with pytest.raises(
        lo.TraceError, match="mean of a vector of length M; expected one of length N. Project the input"
    ):
        lo.as_cell(wrong)
