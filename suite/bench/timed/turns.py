"""The process at one end of ``odyssey bench compare``: it times an update whenever its turn comes.

Run by path, by the interpreter that is to be measured, so that it speaks of whatever version of the package that
interpreter imports: beside Python's own library it uses the class that makes an update, and nothing else of the package.

A line of JSON each way. First comes what to time, and the answer is what that is, or why it cannot be; then each line
``{"turn": seconds}`` is answered by the median of the calls made in that time, seconds a frame. The end of the input ends it.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MOST_CALLS = 100
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.thread_time}
"""A call returns a number read from the device, so that no clock has to wait for one."""


def made(variant: str, task: str, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The update to be timed, its first two calls made, and what it is."""
    import torch

    import lstm_odyssey
    from lstm_odyssey.bench import step as module

    torch.set_num_threads(1)
    kind: Any = getattr(module, "TimedStep", None) or getattr(module, "TrainingStep")  # noqa: B009 - its older name
    step = kind(variant, task, **options)
    losses = [step() for _ in range(2)]
    facts = {
        "variant": step.setting.cell.name,
        "signature": step.setting.cell.signature,
        "origins": getattr(step.setting, "origins", {}),  # older versions do not say
        "backend": step.setting.backend,
        "parameters": step.population.network.count()[0],
        "frames": step.frames,
        "losses": losses,
        "package": str(Path(str(lstm_odyssey.__file__)).absolute().parent),
        "interpreter": sys.executable,
        "versions": {"python": sys.version.split()[0], "torch": torch.__version__, "lstm-odyssey": _version()},
    }
    return step, facts


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("lstm-odyssey")
    except metadata.PackageNotFoundError:  # put on the path by hand
        return "unknown"


def take(step: Callable[[], Any], turn: float, clock: Callable[[], float]) -> float:
    """The median time of calls made until ``turn`` seconds are over, one at least."""
    begun = time.perf_counter()
    calls: list[float] = []
    while not calls or (time.perf_counter() - begun < turn and len(calls) < MOST_CALLS):
        at = clock()
        step()
        calls.append(clock() - at)
    return statistics.median(calls)


def main() -> None:
    """Answer every line of the input."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints goes to the error output

    def answer(**content: Any) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    asked = json.loads(sys.stdin.readline())
    try:
        step, facts = made(asked["variant"], asked["task"], asked["options"])
    except Exception as error:  # noqa: BLE001 - whatever it is, who asked is told
        answer(error=f"{error}", type=type(error).__name__, module=type(error).__module__)
        return
    answer(ready=facts)
    for line in sys.stdin:
        answer(seconds=take(step, json.loads(line)["turn"], CLOCKS[asked["clock"]]) / facts["frames"])


if __name__ == "__main__":
    main()
