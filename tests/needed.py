"""What some tests need of the machine. A user's run skips without it and says why; in CI, which must have it, it fails."""

import os

import pytest

from lstm_odyssey.backends.cuda import emulation, nvrtc
from lstm_odyssey.backends.cuda.launch import KernelError


def need(there: bool, what: str) -> None:
    """Go on if it is there."""
    if there:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{what}; CI has to have it", pytrace=False)
    pytest.skip(what)


def cxx() -> None:
    """The C++ compiler that runs device code on the CPU."""
    need(emulation.compiler() is not None, "no C++ compiler: install g++, or set CXX to one")


def cuda_compiler() -> None:
    """NVRTC, which compiles device code for GPUs and needs none."""
    try:
        nvrtc.library()
    except KernelError as error:
        need(False, str(error))
