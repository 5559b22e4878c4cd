"""``lo.throughput``: the speed of training, which asv, pytest-benchmark and ``odyssey bench step`` share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lstm_odyssey.bench.region import Region, measure
from lstm_odyssey.training.clocks import timer_of


@dataclass(frozen=True)
class Throughput:
    """How fast a cell trains on a task; times are seconds a frame.

    ``interval`` is the median's, at 95 %. ``phases`` are times of forward (logits), backward (loss and all gradients) and
    update, in calls of their own in the same run. ``ratio`` is how many times as fast this is as ``torch.nn.LSTM`` and
    ``Linear`` making the same update. ``python`` is the part of the time outside the one compiled call that an update is;
    None where it is no such call. ``recurrent`` is the part in the cell's scans, both passes of all directions, and ``loss``
    the part in the objective's loss and gradient, each timed by itself; None where the backend has no such parts.
    ``signature`` is the cell's; ``origins`` say where variant and task come from, distribution and version or file and
    sha256. ``unstable`` says why the figures may be doubted, and is empty otherwise.
    """

    variant: str
    task: str
    hidden_size: int
    batch: int
    backend: str
    dtype: str
    device: str
    processor: str
    parameters: int
    frames: int
    seconds_per_frame: float
    interval: tuple[float, float]
    phases: Mapping[str, float]
    ratio: float
    python: float | None
    unstable: str
    samples: tuple[float, ...]
    versions: Mapping[str, str]
    signature: str
    origins: Mapping[str, Mapping[str, str]]
    recurrent: float | None = None
    loss: float | None = None

    @property
    def frames_per_second(self) -> float:
        """Training frames in a second."""
        return 1 / self.seconds_per_frame


def throughput(
    variant: Any,
    task: str,
    *,
    hidden_size: int = 100,
    batch: int = 1,
    device: str = "cpu",
    backend: str = "auto",
    dtype: str = "float32",
    data: str | None = None,
    relative_error: float = 0.02,
    seconds: float = 10.0,
    clock: str = "wall",
) -> Throughput:
    """Measure how fast a cell trains on a task, against torch.nn.LSTM in the same run.

    What is timed is one update on the training sequences of median length: noise on the input, logits, summed loss, its
    gradient, Nesterov step. It takes turns with the same update in plain torch (``lstm_odyssey.bench.plain_torch``); see
    ``measure`` for how long. On the CPU one thread computes; a GPU is timed by its events. The corpus and compiling stay
    outside.

    Args:
        variant: a name, a step function, a ``Variant`` or a ``Cell``. task: a name.
        hidden_size: N. batch: sequences an update, padded to the longest.
        device: ``"cpu"`` or ``"cuda"``. backend: as in ``lo.RNN``. dtype: ``"float32"`` or ``"float64"``.
        data: where the task's corpus lies, if it is not embedded.
        relative_error: stop when the median is known to ± this part of it, at 95 %. seconds: stop after so many at most.
        clock: ``"wall"``, or ``"cpu"``: the thread's own time, for a machine that others use too.

    Raises:
        TimingError: a device, backend, dtype, clock or number that cannot be.
        UnknownNameError, PluginError, TraceError, CorpusError: the variant or the task's corpus is not to be had.

    Example:
        >>> import lstm_odyssey as lo
        >>> speed = lo.throughput("cifg", "bach", hidden_size=8, seconds=0.1)
        >>> list(speed.phases), speed.frames_per_second > 0
        (['forward', 'backward', 'update'], True)
    """
    from lstm_odyssey.bench.step import TimedStep
    from lstm_odyssey.training.facts import processor, versions
    from lstm_odyssey.training.threads import one_thread

    with one_thread():
        reading = timer_of(device, clock)
        options: dict[str, Any] = {"batch": batch, "device": device, "backend": backend, "dtype": dtype, "data": data}
        step = TimedStep(variant, task, hidden_size, **options)
        regions = {
            "step": Region.of(step),
            "torch": Region.of(step.yardstick()),
            "phases": step.in_phases(),
        }
        compiled = step.compiled()
        if compiled is not None:
            regions["compiled"] = Region.of(compiled)
        regions |= {name: Region.of(part) for name, part in step.alone().items()}
        found = measure(regions, relative_error=relative_error, seconds=seconds, clock=reading)
    ours, frames = found["step"], step.frames
    doubts = {"": ours.unstable, "torch.nn.LSTM: ": found["torch"].unstable}
    return Throughput(
        variant=step.setting.cell.name,
        task=task,
        hidden_size=hidden_size,
        batch=batch,
        backend=step.setting.backend,
        dtype=dtype,
        device=device,
        processor=processor(device),
        parameters=step.population.network.count()[0],
        frames=frames,
        seconds_per_frame=ours.median / frames,
        interval=(ours.interval[0] / frames, ours.interval[1] / frames),
        phases={name: part.median / frames for name, part in found["phases"].phases.items()},
        ratio=found["torch"].median / ours.median,
        python=1 - found["compiled"].median / ours.median if "compiled" in found else None,
        unstable="; ".join(who + doubt for who, doubt in doubts.items() if doubt),
        samples=tuple(sample / frames for sample in ours.samples),
        versions=versions(),
        signature=step.setting.cell.signature,
        origins=step.setting.origins,
        **{name: found[name].median / ours.median for name in ("recurrent", "loss") if name in found},
    )
