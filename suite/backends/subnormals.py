"""Whether a thread computes with numbers below the least normal one."""

from __future__ import annotations


def flushes() -> bool:
    """Whether this thread takes numbers below the least normal one (float32: 1.2e-38) for 0."""
    import torch

    return not bool((torch.full((1,), 2.0**-130, dtype=torch.float32, device="cpu") * 2).item())
