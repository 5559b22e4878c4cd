"""The backends: a record each, and which of them runs a cell. Nothing outside this folder asks for one by its name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from lstm_odyssey.backends.lowering import lower
from lstm_odyssey.tasks.nearest import nearest


def _never(cell: Any, size: int) -> bool:
    return False


def always(cell: Any, size: int) -> bool:
    """Of a record's ``pads``: whatever the cell and N."""
    return True


@dataclass(frozen=True)
class Backend:
    """A way to run a traced cell.

    Args:
        name: what it is asked for by, as ``backend=`` of a layer. It stands in the ids of a study's trials.
        home: the module that does it, imported when it is first needed. It has ``scan``, see ``backends.eager.scan`` for its
            contract. It may have ``several(calls)``, ``prepare(lowered, dtype, planned)``, which compiles,
            ``group(lowered, dtype, device, load)`` and ``trainer(dtype)``, see the methods of these names, ``direct``, see
            ``direct`` here, and ``missing()``, what is not installed that it needs, in words; empty if nothing is.
        devices: kinds of device it runs on, as ``"cpu"``; empty: all that torch has.
        dtypes: what it computes in, as ``"float32"``; empty: every floating type.
        pads: whether a member of N blocks is computed at the width of its largest neighbour, so that its rounding may depend
            on that: asked of a cell and N.
        together: whether the members of a population are computed together, or each by itself.
        plain: whether it is made of torch's operations, which torch can look into; float32 errors of others are measured by it.
        block: how many trials it is given at once unless a study says otherwise; 0: as many as the profile has.
        sparing: whether memory is short where it runs, so that a split is scored in batches no larger than need be.
        bits: objectives whose losses it computes in a fixed order, so that a trial's bits are a promise; empty: all.
        sizes: each N that the conformance kit has to visit: full tiles or size classes, what is left of one, and 1.
    """

    name: str
    home: str
    devices: frozenset[str] = frozenset()
    dtypes: frozenset[str] = frozenset()
    pads: Callable[[Any, int], bool] = _never
    together: bool = False
    plain: bool = False
    block: int = 0
    sparing: bool = False
    bits: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()

    def runs(self, device: Any = "cpu", dtype: Any = None) -> bool:
        """Whether it runs on a device, in a dtype if that is known."""
        kind, of = str(device).split(":")[0], str(dtype).removeprefix("torch.")
        return (not self.devices or kind in self.devices) and (not self.dtypes or of == "None" or of in self.dtypes)

    def missing(self) -> str:
        """What it needs and is not installed, in words; empty if nothing is."""
        return _missing(self.home)

    @property
    def scan(self) -> Callable[..., Any]:
        """The scan of a lowered cell; see ``backends.eager.scan``."""
        return _scan(self.home)

    def several(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """What ``scan`` makes of the arguments of each call; they need nothing of each other and may run at the same time."""
        together = self._optional("several")
        return [self.scan(*call) for call in calls] if together is None else together(calls)

    def prepare(self, lowered: Any, dtype: Any, planned: Any = None) -> None:
        """Compile what it compiles for a lowered cell: its scans, which are the most of what a study waits for.

        Where it is told what is planned (``backends.trainer.Planned``) it may leave out what that does not need, and compile
        the training step and the scores of the objective too; otherwise they are compiled when the first of them is made.
        """
        if (make := self._optional("prepare")) is not None:
            make(lowered, dtype, planned)

    def group(self, lowered: Any, dtype: Any, device: Any, load: Any) -> int | None:
        """How many members of a population are computed at once, where memory is planned; None where it is not.

        Args:
            lowered, dtype, device: what is trained, in what, where.
            load: a ``backends.trainer.Load``.
        """
        plans = self._optional("group")
        found: int | None = None if plans is None else plans(lowered, dtype, device, load)
        return found

    def trainer(self, device: Any, dtype: Any) -> Callable[..., Any] | None:
        """What makes training steps without autograd for the networks of one population; None where it has none.

        Each network has one member; of a backend that computes members together it has all of them.

        It is called as ``make(network, objective, velocity, momentum=, rate=, noise=, nesterov=, clip=)`` and returns
        a step; see ``backends.trainer``. Of a network of several members each of these is a list.
        """
        make = self._optional("trainer")
        return make(dtype) if make is not None and self.runs(device, dtype) else None

    def _optional(self, name: str) -> Callable[..., Any] | None:
        return getattr(importlib.import_module(self.home), name, None)


@cache
def _scan(home: str) -> Callable[..., Any]:
    function: Callable[..., Any] = importlib.import_module(home).scan
    return function


@cache
def _missing(home: str) -> str:
    asked: Callable[[], str] | None = getattr(importlib.import_module(home), "missing", None)
    return "" if asked is None else asked()


BACKENDS = {
    record.name: record
    for record in (
        Backend(
            "numba",
            "lstm_odyssey.backends.numba.scan",
            devices=frozenset({"cpu"}),
            dtypes=frozenset({"float32", "float64"}),
            sizes=(1, 3, 17, 33),
        ),
        Backend(
            "cuda",
            "lstm_odyssey.backends.cuda.scan",
            devices=frozenset({"cuda"}),
            dtypes=frozenset({"float32", "float64"}),
            together=True,
            block=256,
            sparing=True,
            bits=("frames", "next_frame"),
            sizes=(1, 3, 33, 67, 97, 100, 131, 200, 257),
        ),
        Backend("eager", "lstm_odyssey.backends.eager", pads=always, together=True, plain=True),
    )
}
"""By name; ``auto`` is the first that runs on a device and in a dtype, and lacks nothing."""


def resolve(backend: str, device: Any = "cpu", dtype: Any = None) -> str:
    """The name of the backend that runs when ``backend`` is asked for on ``device``, for a dtype if it is known.

    ``auto`` is compiled on a CPU and on a CUDA device, for float32 and float64, and the eager one elsewhere.

    Raises:
        ValueError: there is no such backend.
    """
    if not isinstance(backend, str):
        raise TypeError(f"backend is {backend!r}; expected auto or one of {', '.join(BACKENDS)}. Write it in quotes.")
    if backend == "auto":
        return next(name for name, each in BACKENDS.items() if each.runs(device, dtype) and not each.missing())
    if backend not in BACKENDS:
        raise ValueError(
            f"backend '{backend}': not available; expected auto or one of {nearest(backend, sorted(BACKENDS))}."
        )
    return backend


def record(backend: str, device: Any = "cpu", dtype: Any = None) -> Backend:
    """The record of the backend that runs when ``backend`` is asked for; see ``resolve``."""
    return BACKENDS[resolve(backend, device, dtype)]


@cache
def direct(backend: str) -> Callable[..., Any] | None:
    """The shortest way to a scan on the CPU when ``backend`` is asked for; None where there is none.

    It is called as ``direct(lowered, weights, x, M, N, state, initial)`` and returns what ``scan`` does, or None where ``scan``
    is to be asked; see ``backends.numba.direct``.
    """
    found: Callable[..., Any] | None = getattr(importlib.import_module(record(backend).home), "direct", None)
    return found


def prepare(backend: str, graph: Any, dtype: Any, planned: Any = None) -> None:
    """Compile what a resolved backend compiles for a cell's graph; see ``Backend.prepare``."""
    BACKENDS[backend].prepare(lower(graph), dtype, planned)


def pads(backend: str, cell: Any, size: int) -> bool:
    """Whether a backend computes a member of N blocks at the width of its largest neighbour.

    Not one that is not known here: what a newer version stored can be read all the same.
    """
    return backend in BACKENDS and BACKENDS[backend].pads(cell, size)


def promise(backend: str, objective: str) -> dict[str, str]:
    """``{"bits": why not}`` where the bits of a trial on a backend are no promise, for its environment; else nothing."""
    fixed = BACKENDS[backend].bits if backend in BACKENDS else ()
    return (
        {"bits": f"torch computes the loss of '{objective}', in no fixed order"}
        if fixed and objective not in fixed
        else {}
    )


def plain() -> Backend:
    """The backend that is made of torch's operations."""
    return next(record for record in BACKENDS.values() if record.plain)
