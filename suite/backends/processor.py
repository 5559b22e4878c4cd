"""What generated kernels know of the processor: the width of its vectors and the sizes of its caches."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import llvmlite.binding
from numba.core import config
from numba.core.codegen import get_host_cpu_features


def features() -> str:
    """The processor's features numba compiles for: those of this one, unless numba was told otherwise."""
    told: str | None = config.CPU_FEATURES  # type: ignore[attr-defined]  # numba sets it when it is imported
    return str(get_host_cpu_features()) if told is None else told


@cache
def vector_bytes() -> int:
    """Width of the vectors that kernels are made of."""
    return 64 if "+avx512f" in features().split(",") else 32


@cache
def cache_bytes() -> tuple[int, int]:
    """Sizes of a core's first and second data cache; common ones where the system does not tell."""
    found = {1: 32 * 1024, 2: 1024 * 1024}
    for place in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            level, kind, size = ((place / name).read_text().strip() for name in ("level", "type", "size"))
            if kind != "Instruction" and int(level) in found and size.endswith("K"):
                found[int(level)] = int(size[:-1]) * 1024
        except (OSError, ValueError):
            continue
    return found[1], found[2]


@cache
def spread_bytes() -> tuple[int, int] | None:
    """The least and the greatest stretch of memory over which a matrix that is read again and again is spread by copies.

    None where copies gain nothing known. Measured on Zen 5: what comes round again within eight times the first cache is read
    from the second at 48 bytes a cycle, what comes round later at 64, up to two thirds of the second cache. So where a matrix
    is small, every step reads another copy of it.
    """
    near, far = cache_bytes()
    return (21 * near // 2, 2 * far // 3) if _name() == "znver5" else None


@cache
def turning_bytes(trained: bool = False) -> tuple[int, int]:
    """Up to how many bytes, and from how many on, a matrix that is read again and again is better read to and fro.

    What was read last is still in the nearest cache when the walk turns. Measured on Zen 5, that pays where it is a fair part
    of the whole, or where the whole is more than the second cache holds; between, the processor's own prefetching of a forward
    walk wins. On Zen 4 it pays at any size: a scan with N = 100 is 4 % faster forward and 3 % backward, with N = 200 2 %.

    Args:
        trained: for a trial. The walk is the order in which numbers are added, and so part of a trial's bits: those of stored
            studies were made before Zen 4 was measured, and are to be run again with the same.
    """
    near, far = cache_bytes()
    return (far, far) if _name() == "znver4" and not trained else (4 * near, 9 * far // 10)


def _name() -> str:
    """The processor numba compiles for, as LLVM calls it."""
    told: str | None = config.CPU_NAME  # type: ignore[attr-defined]  # as above
    return told or str(llvmlite.binding.get_host_cpu_name())
