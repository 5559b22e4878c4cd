"""A part of the machine that tests need: its absence is told to a user, and is a failure in CI."""

import pytest

from lstm_odyssey.backends.cuda.running import nvrtc
from tests import needed


def test_what_is_there_is_no_matter(monkeypatch):
    """With or without CI."""
    for value in ("", "true"):
        monkeypatch.setenv("CI", value)
        needed.need(True, "nothing")


@pytest.mark.parametrize("ask", [needed.cxx, needed.sanitizers, needed.cuda_compiler])
def test_what_is_missing_skips_with_the_reason_and_fails_in_ci(ask, monkeypatch):
    """A user reads what to install; CI, which must have it, does not pass without."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(nvrtc, "_places", lambda: iter([["/nowhere/libnvrtc.so.13"]]))
    nvrtc._library.cache_clear()
    try:
        monkeypatch.delenv("CI", raising=False)
        with pytest.raises(pytest.skip.Exception, match="[Ii]nstall"):
            ask()
        monkeypatch.setenv("CI", "true")
        with pytest.raises(pytest.fail.Exception, match="[Ii]nstall.*CI has to have it"):
            ask()
    finally:
        nvrtc._library.cache_clear()


def test_a_compiler_without_sanitizers_is_told(monkeypatch):
    """On some systems their libraries are packages of their own."""
    needed.cxx()
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(needed, "_links", lambda flag: False)
    with pytest.raises(pytest.skip.Exception, match="does not take -fsanitize=address,undefined: install"):
        needed.sanitizers()
