"""A cell made ready for a GPU: its plan, the size class of an N, and a text for each class."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import torch

from lstm_odyssey.backends.cuda.classes import WIDTHS, SizeClass, limits_of, rows_alone, rows_of, size_class
from lstm_odyssey.backends.cuda.source import products, training
from lstm_odyssey.backends.cuda.source.backward import Backward
from lstm_odyssey.backends.cuda.source.cell import source
from lstm_odyssey.backends.cuda.source.forward import Forward
from lstm_odyssey.backends.cuda.source.stepwise import Stepwise
from lstm_odyssey.backends.lowering import Lowered
from lstm_odyssey.backends.plan import Plan, plan
from lstm_odyssey.backends.trainer import Planned
from lstm_odyssey.cell.ops import OPS

SIZES = {torch.float32: 4, torch.float64: 8}
LARGEST = 2**31 - 1
"""Numbers of one tensor: kernels count in 32 bits, as 64 would take twice the registers."""


@dataclass(frozen=True)
class Compiled:
    """The text of a cell for one class and number of rows, and how it is launched."""

    text: str
    layout: SizeClass
    rows: int
    shared: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Kernel:
    """A cell for one float type and one architecture."""

    plan: Plan
    size: int
    architecture: str
    _texts: dict[tuple[SizeClass, int], Compiled] = field(default_factory=dict)

    @cached_property
    def matrices(self) -> int:
        """How many recurrent ones a scan holds."""
        return sum(len(run.parameters) for run in self.plan.recurrent)

    @cached_property
    def most_kept(self) -> int:
        """Numbers that a scan keeps for a unit and a frame, of the kind of which there are the most."""
        plan = self.plan
        return max(plan.places, len(plan.accumulators), len(plan.graph.states), len(plan.operands))

    @cached_property
    def _passes(self) -> tuple[Forward, Backward]:
        any_class = SizeClass(32, self.size, self.matrices, 1, 4, 0, 1)  # names do not depend on it
        return Forward(self.plan, any_class, 1), Backward(self.plan, any_class, 1)

    @cached_property
    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The entries of the two scans' tables."""
        return self._passes[0].names, self._passes[1].names

    @cached_property
    def stepwise(self) -> Stepwise:
        """The scans of what is too large for any class."""
        return Stepwise(self.plan, self.size)

    @cached_property
    def stepwise_text(self) -> str:
        """Theirs."""
        return self.stepwise.text()

    def layout(self, N: int) -> SizeClass | None:
        """The class of a member; None where none fits."""
        limits = limits_of(self.architecture)
        ahead = sum(len(run.parameters) for run in self.plan.input_runs) - self.matrices
        # what a step has read ahead stays in registers over the barriers of its means
        held = self.plan.places + limits.means if self.plan.means or self.plan.back_means else 0
        vectors = max(len(one.vectors) for one in self._passes)
        return size_class(N, self.matrices, vectors, self.size, self.architecture, max(ahead, 0) + held)

    def rows(self, layout: SizeClass, batch: int, processors: int | None = None) -> int:
        """How many rows a program computes.

        Args:
            layout: its class. batch: B.
            processors: the multiprocessors that a network has to itself. None: it is a member of a population, whose bits may
                not depend on how many there are.
        """
        if processors is None:
            return rows_of(batch, self.matrices)
        return rows_alone(batch, self.matrices, layout.cluster, processors)

    def compiled(self, layout: SizeClass, batch: int, processors: int | None = None) -> Compiled:
        """The text for a class and a number of rows, see ``rows``."""
        rows = self.rows(layout, batch, processors)
        made = self._texts.get((layout, rows))
        if made is None:
            shared = tuple(layout.shared(len(one.vectors), rows) for one in self._passes)
            made = Compiled(source(self.plan, layout, rows), layout, rows, (shared[0], shared[1]))
            self._texts[layout, rows] = made
        return made


@lru_cache(maxsize=512)
def kernel(lowered: Lowered, dtype: torch.dtype, architecture: str) -> Kernel:
    """A lowered cell for a float type.

    Raises:
        TypeError: there is no kernel for this dtype, or for an op of the cell or of its gradient.
    """
    if dtype not in SIZES:
        raise TypeError(
            f"backend 'cuda': x is {dtype}; expected float32 or float64. Use backend='eager' for other types."
        )
    made = plan(lowered)
    used = {node.op for number, node in enumerate(made.gradient.nodes) if number not in made.outside}
    for op in sorted(used & set(OPS)):
        if OPS[op].kernel is None:
            raise TypeError(
                f"backend 'cuda': cell '{lowered.name}' uses '{op}', which it has no kernel for. Use backend='eager'."
            )
    return Kernel(made, SIZES[dtype], architecture)


def sources(made: Kernel, planned: Planned | None = None) -> list[str]:
    """The texts of what is planned, or of everything but losses."""
    sizes, batches = (planned.sizes, planned.batches) if planned else ((*WIDTHS, WIDTHS[-1] + 1), (1, 2, 4))
    layouts = dict.fromkeys(map(made.layout, sizes))
    scans = [made.compiled(layout, batch).text for layout in layouts if layout is not None for batch in batches]
    found = [products.source(made.size), *scans, *([made.stepwise_text] if None in layouts else [])]
    if planned is not None:
        found.append(training.source(made.size, planned.objective.name))
        if planned.objective.score_is_loss and planned.objective.name in training.LOSSES:
            found.append(training.source(8, planned.objective.name))  # a loss that is a score is summed in float64
    return list(dict.fromkeys(found))
