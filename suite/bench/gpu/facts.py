"""What a record says of where it came to be: device, driver, versions, and which requirements of the package are missing."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from importlib import metadata
from typing import Any

from lstm_odyssey.reports.contract.variables import PACKAGE
from lstm_odyssey.training.environment import environment

DISTRIBUTION = PACKAGE.replace("_", "-")


def missing() -> list[str]:
    """The requirements of this distribution that are not installed: parts that need one are not reached."""
    found = []
    with contextlib.suppress(metadata.PackageNotFoundError):
        for line in metadata.requires(DISTRIBUTION) or ():
            name = re.match(r"[\w.-]+", line)
            if name is None or "extra ==" in line:
                continue
            try:
                metadata.version(name[0])
            except metadata.PackageNotFoundError:
                found.append(name[0])
    return found


def facts(kind: str) -> dict[str, Any]:
    """Of one kind of device, ``cuda`` or ``emulated``."""
    return {
        "predicted": False,
        "device": gpu() if kind == "cuda" else {"name": kind},
        "versions": versions(),
        "missing": missing(),
    }


def versions() -> dict[str, str]:
    """Of everything that takes part, as far as it can be told."""
    import torch

    found = dict(environment())
    for name in ("cuda-bindings", "nvidia-cuda-nvrtc", "nvidia-cudnn-cu13", "triton", "flashrnn"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    found["cuda"] = str(torch.version.cuda)
    found["cudnn"] = str(torch.backends.cudnn.version())
    return found


def gpu() -> dict[str, Any]:
    """Of the current CUDA device."""
    import torch

    index = torch.cuda.current_device()
    properties = torch.cuda.get_device_properties(index)
    found: dict[str, Any] = {
        "name": torch.cuda.get_device_name(index),
        "capability": ".".join(map(str, torch.cuda.get_device_capability(index))),
        "multiprocessors": int(properties.multi_processor_count),
        "memory": int(properties.total_memory),
    }
    program = shutil.which("nvidia-smi")
    if program is not None:
        fields = ("driver_version", "clocks.max.sm", "clocks.max.mem", "power.limit")
        command = [program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader", f"--id={index}"]
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
            found |= dict(zip(fields, (part.strip() for part in done.stdout.strip().split(",")), strict=False))
    return found
