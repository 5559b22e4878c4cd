"""What a figure depends on beside what was asked for: the processor and the versions."""

from __future__ import annotations

from typing import Any

from lstm_odyssey.training.environment import environment, kind_of


def processor(device: Any = "cpu") -> str:
    """The name of the CPU, with its vectors' width, or of the GPU."""
    import torch

    if kind_of(device) == "cuda":
        return torch.cuda.get_device_name(device)
    from lstm_odyssey.backends.processor import vector_bytes

    return f"{environment()['cpu']}, {8 * vector_bytes()}-bit vectors"


def versions() -> dict[str, str]:
    """Of Python, of the platform, and of the packages that compute."""
    return {name: value for name, value in environment().items() if name != "cpu"}
