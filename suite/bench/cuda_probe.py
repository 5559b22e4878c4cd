"""Whether there is a CUDA device, asked of the driver itself: a benchmark that is to be skipped must not import torch first."""

from __future__ import annotations

import ctypes
import sys

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def no_cuda(library: str = LIBRARY) -> str:
    """Why nothing can run on CUDA here; empty where something can.

    ``CUDA_VISIBLE_DEVICES`` counts, as for torch. That torch itself was built for CUDA is another question: ``unusable``.

    Args:
        library: the driver's library.

    Example:
        >>> no_cuda("no-such-library.so")
        'no CUDA device: skipped (no driver: no-such-library.so cannot be loaded)'
    """
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return f"no CUDA device: skipped (no driver: {library} cannot be loaded)"
    count = ctypes.c_int()
    for function, arguments in (("cuInit", (0,)), ("cuDeviceGetCount", (ctypes.byref(count),))):
        code = getattr(driver, function)(*arguments)
        if code:
            return f"no CUDA device: skipped (the driver's {function} returns error {code})"
    return "" if count.value else "no CUDA device: skipped (the driver sees none)"


def unusable() -> str:
    """Why nothing of torch's can run on CUDA here, as by a torch built for the CPU beside a driver; empty where it can.

    torch is imported only where the driver has a device.
    """
    if why := no_cuda():
        return why
    import torch

    return "" if torch.cuda.is_available() else f"no CUDA device: skipped (torch {torch.__version__} sees none)"
