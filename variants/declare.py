"""What a variant declares beside its text: names, sources, and the promises a conformance kit can check.

Pure Python: no torch, no numpy. Re-exported as ``lo.Variant``, ``lo.Limit`` and ``lo.TraceError``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class TraceError(TypeError):
    """A cell's text is outside the contract of a step; the message names the cell, the line and the cure."""


@dataclass(frozen=True)
class Limit:
    """Under a change of its parameters, a cell equals another one.

    Asserted by the conformance kit for outputs, shared states and the gradients of shared parameters.

    Args:
        of: name of the other variant, or of a recurrent layer of torch: ``"torch.nn.RNN"``, ``"torch.nn.LSTM"``,
            ``"torch.nn.GRU"``, whose states are ``h`` and, of the LSTM, ``c``.
        parameters: what to change, ``{"b.i": 40, "W.i": 0}`` (every entry set to that number; parameters the other
            cell does not have are then dropped), or a function from the dict of this cell's parameters to the dict of
            the other's. For a torch layer a value may be a list of blocks, which are stacked by rows; parameters of
            the layer that the dict leaves out are zero.
        states: this cell's states and what they are called there; by default the states both have.
    """

    of: str
    parameters: Mapping[str, float] | Callable[[Mapping[str, Any]], Mapping[str, Any]]
    states: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Variant:
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
    """

    step: Callable[..., Any]
    aliases: Sequence[str] = ()
    collection: str | None = None
    reference: str | None = None
    limits: Sequence[Limit] = ()
    domains: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    initial: Mapping[str, float] = field(default_factory=dict)
    ties: Sequence[str] = ()

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
