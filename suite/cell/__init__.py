"""A cell: its text, and everything that is read off it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from lstm_odyssey.cell.bias import SPACE, NoBias, unbiased
from lstm_odyssey.cell.declared import constant, refuse_undeclared
from lstm_odyssey.cell.graph import Graph, build
from lstm_odyssey.cell.text import equations
from lstm_odyssey.cell.trace import trace
from lstm_odyssey.tasks.kinds import refuse_kind
from lstm_odyssey.variants.declare import Constant, Limit, Start, Variant

__all__ = ["Cell"]


def _plain(value: float | Start) -> tuple[Any, ...]:
    """A start value as its kind and its numbers."""
    return (value.kind, *map(float, value.numbers)) if isinstance(value, Start) else ("number", float(value))


class Cell:
    """A traced variant.

    Args:
        variant: what the author declared.
        name: the name it is registered under; by default the function's.
        origin: where it came from, ``{"distribution": ..., "version": ...}``.
        bias: whether it has the parameters of b.

    Raises:
        TraceError: the text is outside the contract of a step, or a bias is left out that is no term of a sum.

    Example:
        >>> import lstm_odyssey as lo
        >>> v = lo.variant("cifg")
        >>> v.states
        ('y', 'c')
        >>> v.equations[2]
        'c_t = z_t ⊙ i_t + c_{t-1} ⊙ (1 - i_t)'
        >>> v.count(M=88, N=100)
        56900
    """

    def __init__(
        self, variant: Variant, name: str | None = None, origin: Mapping[str, str] | None = None, bias: bool = True
    ) -> None:
        if not isinstance(variant, Variant):
            raise TypeError(f"Cell: variant is {variant!r}; expected an lo.Variant. Use lo.as_cell(...) for others.")
        refuse_kind("Cell", "True or False", bias=bias)
        refuse_kind("Cell", "a text", **({} if name is None else {"name": name}))
        refuse_kind("Cell", "a mapping", **({} if origin is None else {"origin": origin}))
        self.variant, self.bias = variant, bias
        whole = trace(variant.step)
        traced = whole if bias else unbiased(whole)
        self.name = name or variant.step.__name__
        self.origin = dict(origin or {"module": str(variant.step.__module__)})
        self.graph: Graph = replace(build(traced), name=self.name)
        self.equations: tuple[str, ...] = equations(traced)
        # a declaration is of the text: that of a bias stays right where the bias is left out
        refuse_undeclared(self.name, self.graph.parameters if bias else whole.parameters, variant)
        code = variant.step.__code__
        spaces = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
        self.spaces = spaces if bias else tuple(space for space in spaces if space != SPACE)

    @property
    def step(self) -> Callable[..., Any]:
        """The text: the author's own function, which is given no b where the cell has none."""
        if self.bias or SPACE not in self.variant.step.__code__.co_varnames:
            return self.variant.step
        return partial(self.variant.step, **{SPACE: NoBias()})

    def is_torchs(self, name: str) -> bool:
        """Whether it equals, under one of its limits, the recurrent layer that torch calls so, in whatever case."""
        return any(limit.of.casefold() == f"torch.nn.{name}".casefold() for limit in self.variant.limits)

    def without_bias(self) -> Cell:
        """The same cell without the parameters of b; itself if it has none.

        Raises:
            TraceError: a bias stands elsewhere than in a sum, so that the cell would be another.
        """
        if not any(name.startswith(f"{SPACE}.") for name in self.parameters):
            return self
        return Cell(self.variant, self.name, self.origin, bias=False)

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the states, the output first."""
        return self.graph.states

    @property
    def parameters(self) -> dict[str, tuple[str, ...]]:
        """Parameters and their shapes in the letters M (inputs) and N (units): ``{"W.z": ("N", "M"), ...}``."""
        return {name: shape for name, shape in self.graph.parameters.items() if not constant(name)}

    @property
    def constants(self) -> Mapping[str, Constant]:
        """What the text reads of ``k``, with its default and range."""
        return getattr(self.variant, "constants", {})  # one of an older pickle has none

    @property
    def start(self) -> Mapping[str, float | Start]:
        """How parameters begin that are not drawn like the others."""
        declared: Mapping[str, float | Start] = getattr(self.variant, "start", {})
        return {name: value for name, value in declared.items() if name in self.graph.parameters}

    @property
    def signature(self) -> str:
        """Hash of the traced mathematics, and of what numbers depend on beside it: initial states, start values, constants.

        Equal for texts that differ in names of locals only.
        """
        found = self.graph.signature
        more: list[Any] = (
            [[float(self.initial.get(name, 0)) for name in self.states]] if any(self.initial.values()) else []
        )
        more += [sorted((name, *_plain(value)) for name, value in self.start.items())] if self.start else []
        more += [sorted((name, float(one.default)) for name, one in self.constants.items())] if self.constants else []
        for declared in more:
            found = hashlib.sha256(json.dumps([found, declared]).encode()).hexdigest()
        return found

    @property
    def aliases(self) -> Sequence[str]:
        """Other names it is found under."""
        return self.variant.aliases

    @property
    def collection(self) -> str | None:
        """The set it belongs to."""
        return self.variant.collection

    @property
    def reference(self) -> str | None:
        """Where the equations come from."""
        return self.variant.reference

    @property
    def limits(self) -> Sequence[Limit]:
        """Cells it equals under a change of its parameters."""
        return self.variant.limits

    @property
    def domains(self) -> Mapping[str, tuple[float, float]]:
        """Bounds of the initial values of states."""
        return self.variant.domains

    @property
    def initial(self) -> Mapping[str, float]:
        """What states are before the first frame where none is given; a state that is not there is 0."""
        return self.variant.initial

    @cached_property
    def resting(self) -> tuple[float, ...]:
        """The same as numbers, one for each state in their order."""
        return tuple(float(self.initial.get(name, 0.0)) for name in self.states)

    @property
    def ties(self) -> Sequence[str]:
        """Ops whose kinks a check has to keep away from."""
        return self.variant.ties

    def shape(self, parameter: str, M: int, N: int) -> tuple[int, ...]:
        """Shape of one parameter at M inputs and N units."""
        return tuple({"M": M, "N": N}[size] for size in self.graph.parameters[parameter])

    def count(self, M: int, N: int) -> int:
        """Number of parameters of one layer and direction with M inputs and N units."""
        return sum(math.prod(self.shape(name, M, N)) for name in self.parameters)

    def starts(self) -> dict[str, Any]:
        """Start values as plain data, by parameter: a kind and its numbers."""
        return {name: list(_plain(value)) for name, value in self.start.items()}

    def __repr__(self) -> str:
        return f"Cell('{self.name}', states={self.states}, signature={self.signature[:12]})"
