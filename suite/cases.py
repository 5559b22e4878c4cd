"""The benchmark for pytest: ``pytest --pyargs lstm_odyssey.cases --benchmark-only --odyssey-variant 'c*'``.

Needs pytest-benchmark. Saved runs compare by the name ``task.variant.metric``, however the package is installed. No pattern of
pytest's finds this file, so it runs only where it is asked for.
"""

from __future__ import annotations

import math
from typing import Any

from lstm_odyssey.pytest_plugin import Case


def test_train_step(benchmark: Any, odyssey_case: Case) -> None:
    """An update of a network is timed, and its loss is a number; its speed against torch.nn.LSTM stands beside the times."""
    from lstm_odyssey.bench.step import TimedStep
    from lstm_odyssey.benchmarks.steps import HIDDEN_SIZE
    from lstm_odyssey.threads import one_thread
    from lstm_odyssey.timing import Region, measure, throughput

    case = odyssey_case
    benchmark.name = benchmark.fullname = case.name("time_train_step")
    with one_thread():
        step = TimedStep(case.variant, case.task, HIDDEN_SIZE, device=case.device)
        if benchmark.enabled:
            measure({"step": Region.of(step)}, seconds=1.0, rounds=1)  # warms up; rounds are planned by the first call
        assert math.isfinite(benchmark(step))
    if benchmark.enabled:
        speed = throughput(case.variant, case.task, hidden_size=HIDDEN_SIZE, device=case.device, seconds=3.0)
        benchmark.extra_info |= {
            "frames": speed.frames,
            "frames_per_second": speed.frames_per_second,
            "ratio_to_torch_lstm": speed.ratio,
            "parameters": speed.parameters,
            "hidden_size": speed.hidden_size,
            "device": speed.device,
            "processor": speed.processor,
            "unstable": speed.unstable,
        }
