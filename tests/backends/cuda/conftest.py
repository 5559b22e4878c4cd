"""The backend ``cuda`` on the CPU: its record by another name, whose kernels the emulated device runs."""

from dataclasses import replace

import pytest

from lstm_odyssey.backends import BACKENDS
from lstm_odyssey.backends.cuda.emulation import EmulatedDevice
from lstm_odyssey.backends.cuda.scan import emulated
from tests import needed


@pytest.fixture
def on_cpu(monkeypatch):
    """Layers, trainings and the kit know the backend "emulated"; threads run greedily."""
    needed.cxx()
    monkeypatch.setitem(
        BACKENDS, "emulated", replace(BACKENDS["cuda"], name="emulated", devices=frozenset({"cpu"}), sizes=())
    )
    with emulated(EmulatedDevice("greedy")):
        yield "emulated"
