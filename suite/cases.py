"""The benchmark for pytest: ``pytest --pyargs lstm_odyssey.cases --benchmark-only --odyssey-variant 'c*'``.

Needs pytest-benchmark. Saved runs compare by the name ``task.variant.metric``, with ``_cuda`` behind it on a GPU, however the
package is installed. No pattern of pytest's finds this file, so it runs only where it is asked for.
"""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from lstm_odyssey.pytest_plugin import Case
from lstm_odyssey.training.clocks import Clock, timer_of

_clocks: list[Clock] = [time.perf_counter]
"""That of the case which runs, last."""


def device_time() -> float:
    """Seconds, by the clock of the device that the running case is for: the wall's, or a GPU's events."""
    return _clocks[-1]()


@pytest.mark.benchmark(timer=device_time)
def test_train_step(benchmark: Any, odyssey_case: Case) -> None:
    """An update of a network is timed and its loss is a number; error, speed, size and memory stand beside the times."""
    import torch

    from lstm_odyssey.bench.measured import measured_error
    from lstm_odyssey.bench.region import Region, measure
    from lstm_odyssey.bench.step import TimedStep
    from lstm_odyssey.bench.throughput import throughput
    from lstm_odyssey.training.threads import one_thread

    case, profile = odyssey_case, odyssey_case.profile
    benchmark.name = benchmark.fullname = case.name("time_train_step")
    _clocks[:] = [timer_of(case.device)]
    with one_thread():
        step = TimedStep(case.variant, case.task, profile.hidden_size, device=case.device, data=case.data)
        if benchmark.enabled:
            measure({"step": Region.of(step)}, seconds=1.0, rounds=1)  # warms up; rounds are planned by the first call
        assert math.isfinite(benchmark(step))
    if benchmark.enabled:
        size = profile.hidden_size
        which: dict[str, Any] = {"hidden_size": size, "device": case.device, "data": case.data}
        speed = throughput(case.variant, case.task, seconds=profile.seconds, **which)
        trained = measured_error(case.variant, case.task, epochs=profile.epochs, **which)
        benchmark.extra_info |= {
            "error": trained.best_test,
            "error_metric": trained.metric,
            "error_units": trained.units,
            "epochs": profile.epochs,
            "frames": speed.frames,
            "frames_per_second": speed.frames_per_second,
            "ratio_to_torch_lstm": speed.ratio,
            "parameters": speed.parameters,
            "peak_memory": trained.peak_memory,
            "hidden_size": speed.hidden_size,
            "device": speed.device,
            "processor": speed.processor,
            "torch": torch.__version__,
            "lstm_odyssey": speed.versions["lstm-odyssey"],
            "signature": speed.signature,
            "origins": dict(speed.origins),
            "unstable": speed.unstable,
        }
