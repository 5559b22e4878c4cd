"""A generated text becomes a cubin: machine code of one GPU architecture, made by NVRTC, which needs no GPU.

The library is the one that torch's CUDA wheels bring (``nvidia-cuda-nvrtc`` on PyPI), called by ctypes, which leaves the
interpreter's lock alone: texts are compiled on all cores at once. Cubins are kept (:mod:`kept`), with what ptxas says about
registers and spills.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache as once
from importlib import metadata
from pathlib import Path

from lstm_odyssey.backends.cuda.running import kept
from lstm_odyssey.backends.cuda.running.launch import KernelError, about

ARCHITECTURES = ("sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
"""What a text is compiled for when the device is not at hand: A100, RTX 30, H100 and H200, B200, RTX 50."""

_WHEELS = ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12")
_OPTIONS = ("--std=c++17", "--ptxas-options=-v")
_HEADER = "device.h"


@dataclass(frozen=True)
class Usage:
    """What a kernel takes on the device, in ptxas' words.

    Args:
        registers: of a thread.
        spill_stores, spill_loads: bytes of a thread that did not fit into registers, as often as the text writes and reads.
        stack: bytes of a thread's local memory; 0 where nothing is spilled and no array is indexed at run time.
        shared: bytes of static shared memory of a block; the dynamic part is the launch's.
    """

    registers: int
    spill_stores: int
    spill_loads: int
    stack: int
    shared: int


@dataclass(frozen=True)
class Cubin:
    """A compiled text: machine code, and of each kernel what it takes."""

    code: bytes
    usage: dict[str, Usage]


def _places() -> Iterator[list[str]]:
    """Where libnvrtc may be: each time the files to load, in this order; it is the last."""
    for wheel in _WHEELS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            files = [Path(str(file.locate())) for file in metadata.files(wheel) or ()]
            found = [str(file) for file in files if re.fullmatch(r"libnvrtc\.so\.\d+|nvrtc64_\d+_\d+\.dll", file.name)]
            parts = [str(file) for file in files if re.fullmatch(r"libnvrtc-builtins\.so\.[\d.]+", file.name)]
            yield from ([*parts, each] for each in found)  # NVRTC looks its builtins up by name and would not find them
    with contextlib.suppress(Exception):  # of cuda-bindings: it knows conda and installed toolkits
        from cuda import pathfinder

        yield [pathfinder.load_nvidia_dynamic_lib("nvrtc").abs_path]
    yield from (["libnvrtc.so.13"], ["libnvrtc.so.12"])


@once
def _library() -> ctypes.CDLL:
    why = ""
    for files in _places():
        try:
            return [ctypes.CDLL(file, mode=ctypes.RTLD_GLOBAL) for file in files][-1]
        except OSError as error:
            why = why or str(error)
    raise KernelError(
        f"NVRTC, which compiles CUDA kernels, cannot be loaded: {why}. Install a torch for CUDA, or nvidia-cuda-nvrtc."
    )


_LOADING = threading.Lock()


def library() -> ctypes.CDLL:
    """The NVRTC library.

    Raises:
        KernelError: there is none.
    """
    with _LOADING:
        return _library()


@once
def version() -> tuple[int, int]:
    """NVRTC's version, as (13, 0)."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)), "nvrtcVersion")
    return major.value, minor.value


def compiled(text: str, architecture: str) -> Cubin:
    """The cubin of a text for an architecture such as "sm_90"; compiled once and kept.

    Raises:
        KernelError: there is no NVRTC, or the text does not compile.
    """
    parts = (text, kept.header(_HEADER), architecture, repr(version()), *_OPTIONS)
    path = kept.kept(
        f"{architecture}_{kept.key(*parts)}.cubin", lambda path: path.write_bytes(_pack(text, architecture))
    )
    log, _, code = path.read_bytes().partition(_END)
    return Cubin(code, usage(log.decode()))


def build_all(
    texts: Sequence[str], architecture: str, progress: Callable[[int, int], None] | None = None
) -> list[Cubin]:
    """The cubins of many texts, compiled on all cores.

    Args:
        texts: the sources.
        architecture: such as "sm_90".
        progress: called with how many are done and how many there are, from 0 on.

    Raises:
        KernelError: as :func:`compiled`.
    """
    library()
    return kept.built(lambda text: compiled(text, architecture), texts, progress)


_END = b"\nptxas has spoken\n"
"""Between ptxas' log and the machine code in a kept file."""


def _pack(text: str, architecture: str) -> bytes:
    nvrtc, program = library(), ctypes.c_void_p()
    headers = (ctypes.c_char_p * 1)(kept.header(_HEADER).encode())
    names = (ctypes.c_char_p * 1)(_HEADER.encode())
    made = nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernels.cu", 1, headers, names)
    _check(made, "nvrtcCreateProgram")
    try:
        options = (f"--gpu-architecture={architecture}", *_OPTIONS)
        given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        result = nvrtc.nvrtcCompileProgram(program, len(options), given)
        log = _read(program, "ProgramLog").rstrip(b"\0")
        if result != 0:
            said = log.decode(errors="replace").strip()[:4000]
            raise KernelError(f"{about(text)}, for {architecture}: NVRTC {_words(result)}.\n{said}".rstrip())
        return log + _END + _read(program, "CUBIN")
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _read(program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _check(getattr(library(), f"nvrtcGet{what}Size")(program, ctypes.byref(size)), f"nvrtcGet{what}Size")
    into = ctypes.create_string_buffer(size.value)
    _check(getattr(library(), f"nvrtcGet{what}")(program, into), f"nvrtcGet{what}")
    return into.raw


def _words(result: int) -> str:
    words = library().nvrtcGetErrorString
    words.restype = ctypes.c_char_p
    said: bytes = words(result)
    return said.decode()


def _check(result: int, call: str) -> None:
    if result != 0:
        raise KernelError(f"NVRTC: {call} answered {_words(result)}.")


_KERNEL = re.compile(
    r"Compiling entry function '(?P<name>\w+)'.*?(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads.*?Used (?P<registers>\d+) registers(?P<rest>[^\n]*)",
    re.DOTALL,
)
_SHARED = re.compile(r"(\d+)(?:\+\d+)? bytes smem")


def usage(log: str) -> dict[str, Usage]:
    """What ptxas says of each kernel in its log."""
    return {
        found["name"]: Usage(
            registers=int(found["registers"]),
            spill_stores=int(found["stores"]),
            spill_loads=int(found["loads"]),
            stack=int(found["stack"]),
            shared=sum(map(int, _SHARED.findall(found["rest"]))),
        )
        for found in _KERNEL.finditer(log)
    }


def missing() -> str:
    """Why nothing can be compiled; empty if it can."""
    try:
        library()
    except KernelError as error:
        return str(error)
    return ""
