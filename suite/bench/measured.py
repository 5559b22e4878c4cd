"""One short training that serves every metric: its error, speed, size and memory, kept in the user's cache folder.

asv and pytest read it, each of their metrics in a process of its own, and a training is run by the first who asks. It is
filed under the trial's id and the hash of everything else its numbers depend on: the package's own source, so that a
commit that breaks the trainer cannot show yesterday's error; and processor and versions, so that a time is this machine's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from lstm_odyssey.reports.contract.files import write_text
from lstm_odyssey.study.stored.store import trial_id
from lstm_odyssey.training.environment import environment, source_hash
from lstm_odyssey.training.random_streams import canonical, digest

HIDDEN_SIZE, EPOCHS = 64, 5
HYPERPARAMETERS = {"learning_rate": 3e-3, "momentum": 0.9, "input_noise": 0.1}
"""Fixed, not drawn: with them five epochs bring most cells well below chance on the tasks that come with the package."""


@dataclass(frozen=True)
class Measured:
    """What one training came to.

    Args:
        status: ``ok`` or ``diverged``; a diverged trial has the scores of its best epoch before, if there was one.
        metric, units: of the task's score. best_test: the test score at the best validation epoch; None without one.
        frames_per_second: of the training, without the scoring; None if not one epoch was completed.
        seconds: of all of it, scoring included.
        parameters: of the network.
        peak_memory: bytes. On cuda the most that torch held at once for this training, on a CPU the most that the process
            held so far, its libraries included; None where the system does not say.
        device, trial_id: what was computed where.
    """

    status: str
    metric: str
    units: str
    best_test: float | None
    frames_per_second: float | None
    seconds: float
    parameters: int
    peak_memory: int | None
    device: str
    trial_id: str


def measured_error(
    variant: Any,
    task: str,
    *,
    seed: int = 1,
    device: str = "cpu",
    dtype: str = "float32",
    hidden_size: int = HIDDEN_SIZE,
    epochs: int = EPOCHS,
    data: str | None = None,
) -> Measured:
    """Train one network by a short fixed protocol, or read what came of it if that was done before.

    Args:
        variant: whatever says which cell, as in ``lo.RNN``. task: a name.
        seed: of the initial weights, the order and the noise.
        device, dtype: as in ``lo.RNN``; the dtype by its name.
        hidden_size: N. epochs: passes over the training set.
        data: where the task's corpus lies, if it is not embedded.

    Raises:
        TimingError: an argument is out of range, or there is no such device.
        UnknownNameError, PluginError, TraceError, CorpusError: the variant or the task is not to be had.

    Example:
        >>> measured_error("nog", "bach", hidden_size=4, epochs=1).parameters
        1564
    """
    from lstm_odyssey.bench.step import Setting
    from lstm_odyssey.training.clocks import TimingError
    from lstm_odyssey.training.facts import processor

    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TimingError(f"seed is {seed!r}; expected a whole number.")
    setting = Setting(variant, task, hidden_size=hidden_size, device=device, dtype=dtype, data=data)
    protocol = _protocol(epochs)
    drawn = {"hidden_size": hidden_size, **HYPERPARAMETERS}
    identity = trial_id(
        signature=setting.cell.signature,
        variant=setting.cell.name,
        corpus=setting.corpus.fingerprint,
        objective=setting.task.objective,
        bidirectional=setting.task.bidirectional,
        hyperparameters=drawn,
        trial=0,
        seed=seed,
        protocol=protocol.departures(),
        dtype=dtype,
        backend={"name": setting.backend, **({"device": device} if device != "cpu" else {})},
    )
    file = folder() / f"{digest([identity, source_hash(), environment(), processor(device)])[:32]}.json"
    stored = _read(file, identity)
    if stored is None:
        stored = _train(setting, drawn, protocol, seed, identity)
        with suppress(OSError):  # a cache that cannot be written costs time and nothing else
            write_text(file, canonical(asdict(stored)) + "\n")
    return stored


def folder() -> Path:
    """Where the results lie; deleting it costs their trainings and nothing else."""
    from lstm_odyssey.backends.numba import cache

    return cache.folder() / "measured"


def _protocol(epochs: int) -> Any:
    from lstm_odyssey.training.clocks import TimingError
    from lstm_odyssey.training.protocol import Protocol

    try:
        return Protocol(epochs=epochs)
    except ValueError as error:
        raise TimingError(str(error)) from error


def _read(file: Path, identity: str) -> Measured | None:
    """What was stored; None if nothing was, or a file that is damaged or of another version."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if set(content) != {field.name for field in fields(Measured)} or content["trial_id"] != identity:
            return None
        return Measured(**content)
    except (OSError, ValueError, TypeError):
        return None


def _train(setting: Any, drawn: Mapping[str, Any], protocol: Any, seed: int, identity: str) -> Measured:
    import torch

    from lstm_odyssey.backends import prepare
    from lstm_odyssey.training.loop import Trial, train

    prepare(setting.backend, setting.cell.graph, setting.kind)
    if setting.device != "cpu":
        torch.cuda.reset_peak_memory_stats(setting.device)
    population = train(
        setting.cell,
        setting.corpus,
        setting.task.objective,
        [Trial(0, drawn)],
        protocol,
        seed=seed,
        bidirectional=setting.task.bidirectional,
        backend=setting.backend,
        dtype=setting.dtype,
        device=setting.device,
    )
    record = population.record(0)
    return Measured(
        status=record["status"],
        metric=setting.objective.metric,
        units=setting.objective.units,
        best_test=record["best_test"],
        frames_per_second=record["frames_per_second"],
        seconds=record["seconds"],
        parameters=record["n_parameters"],
        peak_memory=_peak_memory(setting.device),
        device=setting.device,
        trial_id=identity,
    )


def _peak_memory(device: str) -> int | None:
    if device != "cpu":
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # not a Unix
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
