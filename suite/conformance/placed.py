"""What the kit asks: a backend by name, the same on another device, or any callable that makes layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

import lstm_odyssey as lo
from lstm_odyssey.backends import BACKENDS, Backend, resolve


@dataclass(frozen=True)
class Placed:
    """A backend on a device, as a callable that makes layers there.

    Args:
        backend: its name.
        device: as torch writes one, ``"cuda:0"``.
    """

    backend: str
    device: str

    def __call__(self, *arguments: Any, **options: Any) -> torch.nn.Module:
        options |= {"backend": self.backend, "device": self.device}
        return lo.RNN(*arguments, **options)

    def __str__(self) -> str:
        return f"{self.backend} on {self.device}"


def placed(backend: Any, device: Any = "cpu") -> Any:
    """A backend on a device; on the CPU, or if it is a callable, it is as it was."""
    here = callable(backend) or torch.device(device).type == "cpu"
    return backend if here else Placed(str(backend), str(device))


def record_of(backend: Any) -> Backend | None:
    """The record of what is asked; None of a callable that makes layers in a way of its own."""
    name, device = (backend.backend, backend.device) if isinstance(backend, Placed) else (backend, "cpu")
    if not isinstance(name, str):
        return None
    return BACKENDS.get(resolve(name, device) if name == "auto" else name)


def shown(backend: Any) -> str:
    """A backend's name, also where it is a callable."""
    return str(backend) if isinstance(backend, str | Placed) else getattr(backend, "__name__", repr(backend))


def device_of(layer: torch.nn.Module) -> torch.device:
    """Where a layer's parameters lie."""
    return next(layer.parameters()).device
