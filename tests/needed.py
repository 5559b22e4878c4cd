"""What some tests need of the machine. A user's run skips without it and says why; in CI, which must have it, it fails."""

import os
import subprocess
import tempfile
from functools import cache as once
from pathlib import Path

import pytest

from lstm_odyssey.backends.cuda import emulation
from lstm_odyssey.backends.cuda.running import nvrtc
from lstm_odyssey.backends.cuda.running.launch import KernelError


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


@once
def _links(flag: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "nothing.cpp")
        source.write_text("int main() {}\n", encoding="utf-8")
        command = [emulation.compiler(), flag, str(source), "-o", str(Path(folder, "nothing"))]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def sanitizers() -> None:
    """The compiler's sanitizers; on some systems their libraries are packages of their own."""
    cxx()
    for flag in (*emulation.SANITIZERS[:1], *emulation.RACES):
        need(_links(flag), f"the C++ compiler does not take {flag}: install its sanitizers' libraries")


def cuda_compiler() -> None:
    """NVRTC, which compiles device code for GPUs and needs none."""
    try:
        nvrtc.library()
    except KernelError as error:
        need(False, str(error))
