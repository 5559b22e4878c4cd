"""Where a number came to be: processor, system, versions, and the source of the package. Nothing names the host."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from lstm_odyssey.reports.contract.variables import PACKAGE

COMPUTING = ("cpu", "torch", "numpy", "scipy", "numba", "llvmlite", "source", "gpu", "driver", "cuda", "nvrtc")
"""Fields of an environment that decide the bits of a number."""

FOLDERS = ("", "variants", "tasks", "reports")
"""Sub-packages whose source may lie in a folder of its own (an editable install)."""


@cache
def _environment() -> dict[str, str]:
    processor = platform.processor() or platform.machine()
    with suppress(OSError, StopIteration):  # not Linux: the name above stands
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    # platform.platform() would tell the release of the host's kernel, which no number depends on
    system = {"system": platform.system(), "machine": platform.machine(), "libc": " ".join(platform.libc_ver()).strip()}
    versions = {}
    for name in ("torch", "numpy", "scipy", "numba", "llvmlite", PACKAGE):
        with suppress(metadata.PackageNotFoundError):  # numba is not everywhere: where it is not it computes nothing
            versions[name] = metadata.version(name)
    told = {name: value for name, value in system.items() if value}
    return {"cpu": processor, **told, "python": platform.python_version(), **versions, "source": source_hash()[:16]}


def environment() -> dict[str, str]:
    """What a number may depend on beside its trial id: processor, system, versions and the package's source.

    ``source`` is the beginning of ``source_hash``: two installations of one version that differ in a file are told apart.
    """
    return dict(_environment())


def kind_of(device: Any) -> str:
    """The kind of a device, ``cpu`` or ``cuda``, by its name alone.

    >>> kind_of("cuda:1")
    'cuda'
    """
    return str(device).split(":")[0]


def of_device(device: Any) -> dict[str, str]:
    """What a number may depend on beside ``environment`` where a GPU computes it: the GPU, driver, CUDA and compiler.

    Empty for the CPU, and where there is no GPU.
    """
    if kind_of(device) != "cuda":
        return {}
    import torch

    if not torch.cuda.device_count():  # who asks has workers with one elsewhere
        return {}
    found = {"gpu": torch.cuda.get_device_name(device), "cuda": str(torch.version.cuda)}
    with suppress(OSError):  # not Linux
        told = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8")
        if version := re.search(r"\b\d{3,}\.[\d.]+\b", told):
            found["driver"] = version[0]
    with suppress(RuntimeError):  # there is none: torch's own kernels compute
        from lstm_odyssey.backends.cuda.running import nvrtc

        found["nvrtc"] = ".".join(map(str, nvrtc.version()))
    return found


def elsewhere(environments: Collection[Mapping[str, str]], device: Any = "cpu") -> str:
    """How processor, versions and source of other environments differ from those here, in words; empty if they do not.

    What an environment does not say (an older version wrote it) is no difference. ``device`` is where numbers are computed.
    """
    here = {**environment(), **of_device(device)}
    there = {
        name: sorted({str(other[name]) for other in environments if other.get(name, here.get(name)) != here.get(name)})
        for name in COMPUTING
    }
    return "; ".join(
        f"{name} {', '.join(values)} then, {here.get(name, 'none')} now" for name, values in there.items() if values
    )


@cache
def source_hash() -> str:
    """Hash of every Python file of the installed package."""
    return hash_of_sources({name: _home(name) for name in FOLDERS})


def _home(name: str) -> Path:
    package = import_module(f"lstm_odyssey.{name}".rstrip("."))
    assert package.__file__ is not None
    return Path(package.__file__).parent


def hash_of_sources(homes: Mapping[str, Path]) -> str:
    """Hash of the names and contents of all .py files below some folders.

    Args:
        homes: folders by the name of the sub-package that lies there. A file found twice counts once, so that an editable
            install, whose folders lie apart, and a regular one of the same files have the same hash.
    """
    files = {
        "/".join(part for part in (name, path.relative_to(home).as_posix()) if part): path
        for name, home in homes.items()
        for path in home.rglob("*.py")
    }
    text = hashlib.sha256(PACKAGE.encode())
    for name in sorted(files):
        text.update(f"\n{name}\n".encode() + hashlib.sha256(files[name].read_bytes()).digest())
    return text.hexdigest()
