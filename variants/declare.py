"""What a variant declares beside its text: names, sources, start values, constants, and promises that a kit can check.

Pure Python: no torch, no numpy. Re-exported as ``lo.Variant``, ``lo.Limit`` and ``lo.TraceError``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any


class TraceError(TypeError):
    """A cell's text is outside the contract of a step; the message names the cell, the line and the cure."""


class Declared:
    """A declaration: an argument that it has not is one sentence, which says those it has."""

    if not TYPE_CHECKING:

        def __new__(cls, *args: Any, **given: Any) -> Any:
            known = [one.name for one in fields(cls)]
            if strange := [name for name in given if name not in known]:
                raise TypeError(f"{cls.__name__}: unknown argument '{strange[0]}'; expected any of {', '.join(known)}.")
            return super().__new__(cls)


def _expect(what: str, value: Any, kind: type, words: str) -> None:
    if not isinstance(value, kind) or isinstance(value, str) is not (kind is str):
        raise TypeError(f"{what} is {value!r}; expected {words}.")


def _finite(what: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{what} is {value!r}; expected a finite number.")


@dataclass(frozen=True)
class Start:
    """How a parameter begins, as data; made by ``identity``, ``orthogonal``, ``uniform`` or ``chrono``.

    Args:
        kind: the function's name.
        numbers: what it was given.
    """

    kind: str
    numbers: tuple[float, ...]

    def __post_init__(self) -> None:
        for value in self.numbers:
            _finite(f"{self.kind}: a number", value)

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(f'{number:g}' for number in self.numbers)})"


def identity(scale: float = 1.0) -> Start:
    """A recurrent matrix that begins as ``scale`` times the identity (Le, Jaitly and Hinton 2015)."""
    return Start("identity", (scale,))


def orthogonal(gain: float = 1.0) -> Start:
    """A matrix that begins as ``gain`` times a random one with orthonormal rows or columns (Saxe et al. 2014)."""
    return Start("orthogonal", (gain,))


def uniform(low: float, high: float) -> Start:
    """A parameter of either shape whose numbers begin as draws from [low, high]."""
    start = Start("uniform", (low, high))
    if not low < high:
        raise ValueError(f"uniform: got low = {low!r} and high = {high!r}; expected low below high.")
    return start


def chrono(sign: int = 1) -> Start:
    """A gate's bias that begins as ±log U(1, T - 1), T the longest training sequence (Tallec and Ollivier 2018).

    All biases of a direction that begin so share one draw: ``{"b.f": chrono(), "b.i": chrono(-1)}`` is the paper's
    b_i = -b_f.
    """
    if sign not in (1, -1):
        raise ValueError(f"chrono: got sign = {sign!r}; expected 1 or -1.")
    return Start("chrono", (sign,))


@dataclass(frozen=True)
class Constant(Declared):
    """A number of a cell's text that has a name there, ``k.gamma``, and is not trained.

    Args:
        default: its value where nothing else is said.
        low, high: the ends of what a study may give it; both are values themselves.
    """

    default: float
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        _finite("Constant: default", self.default)
        if not self.low <= self.default <= self.high:
            raise ValueError(
                f"Constant: default is {self.default!r}; expected a number from low = {self.low!r} to high = {self.high!r}."
            )


@dataclass(frozen=True)
class Limit(Declared):
    """Under a change of its parameters, a cell equals another one.

    Asserted by the conformance kit for outputs, shared states and the gradients of shared parameters.

    Args:
        of: name of the other variant, or of a recurrent layer of torch: ``"torch.nn.RNN"``, ``"torch.nn.LSTM"``,
            ``"torch.nn.GRU"``, whose states are ``h`` and, of the LSTM, ``c``.
        parameters: what to change, ``{"b.i": 40, "W.i": 0}`` (every entry set to that number; parameters the other
            cell does not have are then dropped), or a function from the dict of this cell's parameters to the dict of
            the other's. For a torch layer a value may be a list of matrices, which are stacked by rows; parameters of
            the layer that the dict leaves out are zero.
        states: this cell's states and what they are called there; by default the states both have.
    """

    of: str
    parameters: Mapping[str, float] | Callable[[Mapping[str, Any]], Mapping[str, Any]]
    states: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        _expect("Limit: of", self.of, str, "the name of a variant or of a layer of torch")
        if not isinstance(self.parameters, Mapping) and not callable(self.parameters):
            raise TypeError(
                f"Limit: parameters is {self.parameters!r}; expected a dict, as {{'b.i': 40}}, or a function."
            )
        if self.states is not None:
            _expect("Limit: states", self.states, Mapping, "a dict of names, or None")


@dataclass(frozen=True)
class Variant(Declared):
    """A cell's step and what cannot be read off its text.

    Args:
        step: the equations, one plain function of one example (see ``docs`` and any file of this folder).
        aliases: other names under which it is found; they resolve and are not listed.
        collection: the set it belongs to; the paper's nine are ``"odyssey-2017"``.
        reference: where the equations come from, as a citation.
        limits: cells it equals under a change of its parameters.
        domains: bounds of a state's initial value, ``{"n": (0.1, 3.0)}``; a state not named may be any number.
        initial: what a state is before the first frame where none is given, ``{"m": -1e4}``; 0 for a state not named. For a
            state whose 0 is a number like others and does not mean "nothing yet".
        ties: ops of the text whose kinks a check has to keep away from, as ``("relu", "maximum")``. At a kink itself the
            derivative is torch's: 0 for relu and absolute, a half to each operand of maximum and minimum.
        start: how parameters begin that are not drawn like the others: ``{"b.f": 1.0, "R.h": identity()}``, numbers or what
            ``identity orthogonal uniform chrono`` make. A trial's ``start.b.f`` goes before it.
        constants: of the text's space ``k``, ``{"gamma": Constant(2.7, low=0.1, high=10)}`` for ``k.gamma``. They are given and
            not trained; ``lo.RNN(..., constants={"gamma": 2.0})`` and a study's ``[space.CELL]`` set them.
    """

    step: Callable[..., Any]
    aliases: Sequence[str] = ()
    collection: str | None = None
    reference: str | None = None
    limits: Sequence[Limit] = ()
    domains: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    initial: Mapping[str, float] = field(default_factory=dict)
    ties: Sequence[str] = ()
    start: Mapping[str, float | Start] = field(default_factory=dict)
    constants: Mapping[str, Constant] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not callable(self.step):
            raise TypeError(
                f"Variant: step is {self.step!r}; expected a function step(x, y, ..., *, W, R, p, b). "
                "Pass the function itself."
            )
        if isinstance(self.aliases, str):
            raise TypeError(f"Variant: aliases is the text {self.aliases!r}; expected a tuple, as ({self.aliases!r},).")
        if isinstance(self.ties, str):
            raise TypeError(f"Variant: ties is the text {self.ties!r}; expected a tuple, as ({self.ties!r},).")
        for name in ("aliases", "limits", "ties"):
            _expect(f"Variant: {name}", getattr(self, name), Sequence, "a tuple")
        for name in ("domains", "initial", "start", "constants"):
            _expect(f"Variant: {name}", getattr(self, name), Mapping, "a dict by name")
        for name in ("collection", "reference"):
            if getattr(self, name) is not None:
                _expect(f"Variant: {name}", getattr(self, name), str, "a text, or None")
        for one in self.limits:
            _expect("Variant: an entry of limits", one, Limit, "Limit(of, parameters)")
        for name, value in self.start.items():
            if not isinstance(value, Start):
                _finite(f"Variant: start of {name}", value)
        for name, constant in self.constants.items():
            if not isinstance(constant, Constant):
                raise TypeError(f"Variant: constant '{name}' is {constant!r}; expected Constant(default, low=, high=).")
