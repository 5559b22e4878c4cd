"""Which tensors have an address that a compiled kernel may be given, and when torch looks into every operation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from lstm_odyssey.backends import record

_transformed: Callable[[], bool] = getattr(torch._C, "_are_functorch_transforms_active", lambda: False)
_modes: Callable[[], int] = torch._C._len_torch_dispatch_stack
traced: Callable[[], bool] = torch.jit.is_tracing  # type: ignore[attr-defined]  # documented all the same
"""Whether ``torch.jit.trace`` is at work."""
_NO_DISPATCH = torch._C._disabled_torch_dispatch_impl
ORDINARY = frozenset({Tensor, torch.nn.Parameter})


class NoAddress(Exception):  # noqa: N818 - it never reaches a user
    """A tensor has no memory of its own, or none on the CPU that holds its numbers."""


def observed() -> bool:
    """Whether torch looks into every operation, as it cannot into a compiled kernel.

    So it is under torch.func and vmap, in forward mode, and under every ``TorchDispatchMode``: fake tensors, ``make_fx``,
    the counter of floating-point operations, modes that log.
    """
    return _transformed() or forward_ad._current_level >= 0 or _modes() > 0 or _before_dispatch() > 0


def refused(backend: str, x: Any) -> str | None:
    """Why a layer with this backend, as it was asked for, cannot be called with x now; None if it can."""
    if traced():
        return (
            "called under torch.jit.trace, which would keep the number of frames of its example; expected a call outside a "
            "trace. Use torch.compile, or torch.export with backend='eager'."
        )
    if torch.compiler.is_exporting() and not record(backend, getattr(x, "device", "cpu")).plain:
        return (
            f"called under torch.export with backend='{backend}'; expected 'eager', as it cannot look into a compiled scan. "
            "Set layer.backend = 'eager' before it."
        )
    return None


def _before_dispatch() -> int:
    """How many modes of ``make_fx(pre_dispatch=True)`` and torch.export are on."""
    return torch._ops._len_torch_dispatch_stack_pre_dispatch()  # type: ignore[no-any-return,no-untyped-call]  # torch's own


def foreign(tensors: Iterable[Tensor]) -> bool:
    """Whether one of the tensors is of a class that computes in its own way, by ``__torch_dispatch__``."""
    kinds: set[Any] = {*map(type, tensors)}
    return not kinds <= ORDINARY and any(kind.__torch_dispatch__ is not _NO_DISPATCH for kind in kinds)


def plain(value: Tensor) -> Tensor:
    """The numbers as they lie in memory: contiguous, no sign pending."""
    return value if value.is_contiguous() and not value.is_neg() else value.resolve_neg().contiguous()


def addresses(tensors: Sequence[Tensor]) -> list[int]:
    """Of the memory of contiguous tensors that have elements.

    Raises:
        NoAddress: one has none: a functional tensor, zeros that were never made, a storage resized to nothing.
    """
    try:
        found = [value.data_ptr() for value in tensors]
    except RuntimeError as error:
        raise NoAddress from error
    if 0 in found:
        raise NoAddress
    return found


def second_derivative(backend: str) -> RuntimeError:
    """What a compiled backward pass says that is asked for a gradient to be differentiated again."""
    return RuntimeError(
        f"backend '{backend}': asked for a gradient that can be differentiated again (create_graph=True); expected one "
        "derivative only. Use backend='eager' for higher ones."
    )


def watched(backend: str) -> RuntimeError:
    """What it says of tensors without numbers in memory: of several at once, of a transform or a mode."""
    return RuntimeError(
        f"backend '{backend}': the backward pass runs under vmap (is_grads_batched), another transform of torch or a "
        "TorchDispatchMode that the forward pass did not run under; expected none, and gradients one at a time. Use "
        "backend='eager'."
    )


def dense(backend: str, value: Tensor) -> Tensor:
    """A gradient from above as numbers in memory.

    Raises:
        RuntimeError: it is no ordinary tensor.
    """
    if value.layout != torch.strided or (type(value) is not Tensor and foreign((value,))):
        raise RuntimeError(
            f"backend '{backend}': the gradient of an output is a {type(value).__name__} of layout {value.layout}; expected a "
            "dense Tensor. Give it as one, or use backend='eager'."
        )
    return torch.zeros_like(value, device=value.device) if value._is_zerotensor() else plain(value)
