"""What is declared beside a text, held to what the text has: constants and start values."""

from __future__ import annotations

from collections.abc import Mapping

from lstm_odyssey.cell.symbols import CONSTANTS, MATRICES
from lstm_odyssey.tasks.nearest import nearest
from lstm_odyssey.variants.declare import Start, TraceError, Variant

KINDS = {"identity": ("R",), "orthogonal": ("W", "R"), "uniform": ("W", "R", "p", "b"), "chrono": ("p", "b")}
"""The spaces whose parameters can begin so."""


def constant(name: str) -> bool:
    """Whether a name of a text is a constant's, as ``k.gamma``."""
    return name.startswith(f"{CONSTANTS}.")


def refuse_undeclared(cell: str, names: Mapping[str, object], variant: Variant) -> None:
    """Hold a declaration to the text.

    Args:
        cell: its name, for the message.
        names: of the text's parameters and constants.

    Raises:
        TraceError: a constant is read and not declared or the other way round, or a start value is of no parameter or of one of
            another shape.
    """
    read = [name.partition(".")[2] for name in names if constant(name)]
    for name in read:
        if name not in variant.constants:
            raise TraceError(
                f"cell '{cell}': its text reads k.{name} and no such constant is declared; expected one of "
                f"{nearest(name, list(variant.constants))}. Declare it: Variant(step, constants={{'{name}': Constant(1.0)}})."
                if variant.constants
                else f"cell '{cell}': its text reads k.{name} and no constant is declared. Declare it: "
                f"Variant(step, constants={{'{name}': Constant(1.0)}})."
            )
    for name in variant.constants:
        if name not in read:
            raise TraceError(
                f"cell '{cell}': constant '{name}' is declared and its text does not read k.{name}; expected "
                f"{f'one of {nearest(name, read)}' if read else 'none'}. Take it out, or read it."
            )
    for name, start in variant.start.items():
        if wrong := unfit(name, start, [each for each in names if not constant(each)]):
            raise TraceError(f"cell '{cell}': {wrong}")


def unfit(name: str, start: float | Start, parameters: list[str]) -> str:
    """Why a parameter cannot begin so, in words; empty where it can."""
    if name not in parameters:
        return f"start of {name}, which is none of its parameters; expected one of {nearest(name, parameters)}."
    space = name.partition(".")[0]
    if isinstance(start, Start) and space not in KINDS.get(start.kind, ()):
        shape = "a matrix" if space in MATRICES else "a vector"
        fitting = [each for each in parameters if each.partition(".")[0] in KINDS.get(start.kind, ())]
        expected = f"{start.kind} for one of {nearest(name, fitting)}" if fitting else "a number"
        return f"start of {name} is {start}, and {name} is {shape}; expected {expected}."
    return ""
