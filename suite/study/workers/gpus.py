"""Which GPUs a study takes: all that this process sees, or the one it is told; each worker process sees its own alone."""

from __future__ import annotations

import os
from collections.abc import Mapping

from lstm_odyssey.study.asked.settings import SettingsError

VISIBLE = "CUDA_VISIBLE_DEVICES"


def chosen(device: str, count: int, environment: Mapping[str, str] = os.environ) -> list[str]:
    """The GPUs of ``cuda`` or ``cuda:1``, as ``CUDA_VISIBLE_DEVICES`` names them.

    Args:
        device: as it was asked for.
        count: how many torch sees.
        environment: whose variable may already choose among a machine's GPUs, and names them.

    Raises:
        SettingsError: there is no such GPU.

    Example:
        >>> chosen("cuda", 2, {}), chosen("cuda:1", 2, {"CUDA_VISIBLE_DEVICES": "4,GPU-5f"})
        (['0', '1'], ['GPU-5f'])
    """
    if count == 0:
        raise SettingsError(
            f"--device {device}: no CUDA device here; expected one. Leave --device out to run on the CPU."
        )
    names = [name.strip() for name in environment.get(VISIBLE, "").split(",") if name.strip()][:count]
    names = names or [str(index) for index in range(count)]
    _, colon, number = device.partition(":")
    if not colon:
        return names
    if not number.isdecimal() or int(number) >= len(names):
        raise SettingsError(
            f"--device {device}: torch sees {len(names)} CUDA devices; expected cuda, or cuda:0 to cuda:{len(names) - 1}."
        )
    return [names[int(number)]]
