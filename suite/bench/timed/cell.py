"""The speed of a cell, forward and backward, against the same work done in other ways.

* ``odyssey``: ``lo.RNN`` with the backend that ``auto`` chooses;
* ``lstm``: ``torch.nn.LSTM``, which has no peepholes and no variants: the yardstick of all;
* ``loop``: the step's text called frame after frame (``bench.loop``);
* ``eager``: ``lo.RNN(backend="eager")``;
* ``compile``: the loop with ``torch.compile`` of the step.

All of one cell and one size take turns in one run. A pass makes the output of every frame and, backward, the gradients of
the input, of every parameter and of the initial states. All but ``lstm`` compute one function, which is checked first.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lstm_odyssey.bench.limit import Limit, limit
from lstm_odyssey.bench.loop import Loop
from lstm_odyssey.bench.region import Region, measure
from lstm_odyssey.bench.samples import Timing
from lstm_odyssey.cell import Cell
from lstm_odyssey.layers.rnn import RNN
from lstm_odyssey.tasks.nearest import nearest
from lstm_odyssey.training.clocks import TimingError, timer_of

OURS = "odyssey"
AGAINST = ("lstm", "loop", "eager", "compile")
SIZES = (20, 50, 100, 150, 200)
AGREE, AGREE_FRAMES = 1e-3, 50
"""How far two float32 outputs of one cell may lie apart, of values up to 1, over how many frames; a wrong cell is off by far
more. Over hundreds of frames a cell without a forget gate makes a visible difference of any rounding."""

LIMIT_TIME = 0.3
"""How long the processor's rates are measured, as a part of the time for a cell."""

Run = Callable[[Tensor, list[Tensor]], Tensor]


@dataclass(frozen=True)
class Work:
    """What is measured.

    Args:
        sizes, batches: N and B, every one with every other.
        frames, inputs: T and M.
        against: which of ``AGAINST``.
        backward: backward too; without it the forward pass keeps nothing for a gradient.
        seconds, relative_error, clock: as in ``lo.throughput``; the seconds are for one cell, N and B.
        device: where.

    Raises:
        TimingError: an entry that cannot be.
    """

    sizes: Sequence[int] = SIZES
    batches: Sequence[int] = (1, 32)
    frames: int = 304
    inputs: int = 39
    against: Sequence[str] = AGAINST
    backward: bool = True
    seconds: float = 5.0
    relative_error: float = 0.02
    clock: str = "wall"
    device: str = "cpu"

    def __post_init__(self) -> None:
        for what, values in (("sizes", self.sizes), ("batches", self.batches), ("against", self.against)):
            if not values:
                raise TimingError(f"{what}: got none; expected at least one.")
        for what, value in (
            ("frames", self.frames),
            ("inputs", self.inputs),
            *(("size", size) for size in self.sizes),
            *(("batch", batch) for batch in self.batches),
        ):
            if value < 1:
                raise TimingError(f"{what}: got {value}; expected a whole number of at least 1.")
        unknown = [name for name in self.against if name not in AGAINST]
        if unknown:
            raise TimingError(f"against: got {', '.join(unknown)}; expected some of {nearest(unknown[0], AGAINST)}.")
        timer_of(self.device, self.clock)


@dataclass(frozen=True)
class Group:
    """One cell at one N and B: how each way of computing it did, why one could not, and what the processor allows."""

    variant: str
    hidden_size: int
    batch: int
    timings: dict[str, Timing]
    failed: dict[str, str] = field(default_factory=dict)
    limit: Limit | None = None

    def of_limit(self, phase: str | None = None) -> float | None:
        """The least time that the processor's rates allow, over this package's; None where no rates are known."""
        mine = self.timings[OURS]
        if self.limit is None or phase == "backward":
            return None
        mine = mine.phases.get(phase, mine) if phase else mine
        backward = phase is None and "backward" in self.timings[OURS].phases
        return self.limit.seconds(backward) / mine.median

    def ratio(self, other: str, phase: str | None = None) -> float | None:
        """How many times as fast as ``other`` this package is, all of it or a phase."""
        if other not in self.timings:
            return None
        mine, theirs = self.timings[OURS], self.timings[other]
        if phase is not None and mine.phases:
            mine, theirs = mine.phases[phase], theirs.phases[phase]
        return theirs.median / mine.median


class Contest:
    """The ways of computing one cell at one N and B, with the same weights, input and adjoint.

    Args:
        cell: the cell. size, batch: N and B. work: the rest.
    """

    def __init__(self, cell: Cell, size: int, batch: int, work: Work) -> None:
        self.cell, self.work = cell, work
        generator = torch.Generator().manual_seed(1)
        T, M = work.frames, work.inputs

        def drawn(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator).to(work.device)

        self.x, self.adjoint = drawn(T, batch, M), drawn(T, batch, size)
        self.state = [torch.full((batch, size), sum(cell.domains.get(s, (0.0, 0.0))) / 2) for s in cell.states]
        self.state = [value.to(work.device) for value in self.state]
        self.layer = RNN(cell, M, size, device=work.device)
        self.size = size

    def region(self, name: str) -> Region:
        """What is timed of one way; the compiler of ``compile`` and of numba has run when this returns."""
        make = {OURS: self._rnn, "eager": self._rnn, "lstm": self._lstm, "loop": self._loop, "compile": self._loop}[
            name
        ]
        run, weights, columns = make(name)
        x, state, adjoint = self.x, self.state, self.adjoint
        if columns:
            x, state, adjoint = x.mT.contiguous(), [s.mT.contiguous() for s in state], adjoint.mT.contiguous()
        if name == "lstm":
            state = [torch.zeros(1, *adjoint.shape[1:], device=x.device) for _ in range(2)]
        else:
            if make == self._rnn:
                state = [value.unsqueeze(0) for value in state]  # as a layer takes them
            self._check(name, run(x, state), columns)
        if not self.work.backward:

            def infer(_: Any) -> Tensor:
                with torch.no_grad():
                    return run(x, state)

            region = Region({"forward": infer})
        else:

            def leaves() -> list[Tensor]:
                return [value.clone().requires_grad_() for value in (x, *state)]

            def forward(given: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
                return run(given[0], given[1:]), given

            def backward(made: tuple[Tensor, list[Tensor]]) -> Any:
                y, given = made
                return torch.autograd.grad(y, [*given, *weights], adjoint, allow_unused=True)

            region = Region({"forward": forward, "backward": backward}, leaves)
        region.once(timer_of())
        return region

    def _rnn(self, name: str) -> tuple[Run, list[Tensor], bool]:
        layer = RNN(
            self.cell, self.work.inputs, self.size, backend="auto" if name == OURS else name, device=self.work.device
        )
        layer.load_state_dict(self.layer.state_dict())
        names = self.cell.states

        def run(x: Tensor, state: list[Tensor]) -> Tensor:
            y: Tensor = layer(x, dict(zip(names, state, strict=True)))[0]
            return y

        return run, list(layer.parameters()), False

    def _lstm(self, _: str) -> tuple[Run, list[Tensor], bool]:
        layer = torch.nn.LSTM(self.work.inputs, self.size, device=self.work.device)

        def run(x: Tensor, state: list[Tensor]) -> Tensor:
            y: Tensor = layer(x, tuple(state))[0]
            return y

        return run, list(layer.parameters()), False

    def _loop(self, name: str) -> tuple[Run, list[Tensor], bool]:
        step = self.cell.step
        if name == "compile":
            torch.compiler.reset()  # a step is compiled for each size, and torch admits eight of one function
            step = torch.compile(step, dynamic=False)
        parameters = {name: value.detach() for name, value in self.layer.directions()[0].tensors().items()}
        loop = Loop(step, self.cell.spaces, parameters)
        return lambda x, state: loop(x, state)[0], list(loop.parameters.values()), True

    def _check(self, name: str, y: Tensor, columns: bool) -> None:
        with torch.no_grad():
            expected = self.layer(
                self.x, {k: s.unsqueeze(0) for k, s in zip(self.cell.states, self.state, strict=True)}
            )[0]
            off = float(((y.mT if columns else y) - expected)[:AGREE_FRAMES].abs().max())
        if not off <= AGREE:
            raise RuntimeError(
                f"'{self.cell.name}' computed by '{name}' is off by {off:.2g}; expected {AGREE} at most."
            )


def contest(cell: Cell, size: int, batch: int, work: Work, on_doing: Callable[[str], None] | None = None) -> Group:
    """Time one cell at one N and B.

    What cannot be computed in one of the other ways is left out with its reason, so that it stops nothing.
    """
    made, regions, failed = Contest(cell, size, batch, work), {}, {}
    for name in (OURS, *work.against):
        if on_doing is not None:
            on_doing(f"preparing {name}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's compiler warns of torch's own modules
                regions[name] = made.region(name)
        except Exception as error:
            if name == OURS:
                raise
            failed[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
    if on_doing is not None:
        on_doing("measuring")
    clock = timer_of(work.device, work.clock)
    bound = None
    if torch.device(work.device).type == "cpu":
        bound = limit(cell, size, batch, work.frames, work.inputs, LIMIT_TIME * work.seconds, clock)
    found = measure(regions, relative_error=work.relative_error, seconds=work.seconds, clock=clock)
    return Group(cell.name, size, batch, found, failed, bound)


def contests(cells: Sequence[Cell], work: Work, on_doing: Callable[[str], None] | None = None) -> Iterator[Group]:
    """Every cell at every size, one after the other."""
    for batch in work.batches:
        for cell in cells:
            for size in work.sizes:

                def doing(what: str, where: str = f"{cell.name} N={size} B={batch}: ") -> None:
                    if on_doing is not None:
                        on_doing(where + what)

                yield contest(cell, size, batch, work, doing)
