"""Tracing: a step is called once with symbols, and what it did to them is the cell.

What is recorded is the text's own tree; sharing common parts is the business of ``graph``.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

from lstm_odyssey.cell.bytecode import check_straight_line, place
from lstm_odyssey.cell.symbols import CONSTANTS, SPACES, Recorder, Space, Symbol
from lstm_odyssey.variants.declare import TraceError


@dataclass(frozen=True)
class Trace:
    """One call of a step with symbols: arguments, results, parameters and the names its locals gave to values."""

    name: str
    input: Symbol
    states: tuple[str, ...]
    results: tuple[Symbol, ...]
    parameters: dict[str, tuple[str, ...]]
    names: dict[int, list[str]]
    keep: tuple[Any, ...]  # holds the symbols whose ids are keys of `names`
    code: CodeType


def _arguments(step: Callable[..., Any]) -> tuple[list[str], list[str]]:
    code = getattr(step, "__code__", None)
    if not inspect.isfunction(step) or code is None:
        raise TraceError(
            f"cell {step!r}: got {type(step).__name__}, expected a plain function step(x, y, ..., *, W, R, p, b)."
        )
    if hasattr(step, "__wrapped__"):
        raise TraceError(
            f"{place(code, None)}: a decorated function, whose text is that of '{step.__name__}' and whose code is not; "
            "expected a plain function. Take the decorator away."
        )
    positional: list[str] = []
    spaces: list[str] = []
    for parameter in inspect.signature(step).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            raise TraceError(f"{place(code, None)}: takes {stars}{parameter.name}; expected named arguments only.")
        if parameter.default is not parameter.empty:
            raise TraceError(f"{place(code, None)}: argument '{parameter.name}' has a default; expected none.")
        (spaces if parameter.kind is parameter.KEYWORD_ONLY else positional).append(parameter.name)
    unknown = [space for space in spaces if space not in SPACES]
    if not spaces and (after := [name for name in positional if name in SPACES and name != CONSTANTS]):
        states = ", ".join(name for name in positional if name not in after)
        raise TraceError(
            f"{place(code, None)}: takes ({', '.join(positional)}); expected a * before {after[0]}: ({states}, *, "
            f"{', '.join(after)})."
        )
    if unknown or len(positional) < 2 or any(name in SPACES and name != CONSTANTS for name in positional):
        taken = ", ".join([*positional, "*", *spaces] if spaces else positional)
        raise TraceError(
            f"{place(code, None)}: takes ({taken}); expected the input, one state or more (the previous output first), and "
            "after * any of W, R, p, b, k."
        )
    return positional, spaces


def _line(error: BaseException, code: CodeType) -> int | None:
    """The line of ``code`` that an exception came through."""
    walk = error.__traceback__
    while walk is not None and walk.tb_frame.f_code is not code:
        walk = walk.tb_next
    return walk.tb_lineno if walk is not None else None


def trace(step: Callable[..., Any]) -> Trace:
    """Call ``step`` once with symbols and return what it did.

    Raises:
        TraceError: the text is outside the contract; the message names the cell, the line and the cure. An exception of the
            step's own comes through as it is.
    """
    (x_name, *state_names), spaces = _arguments(step)
    check_straight_line(step)
    code = step.__code__
    recorder = Recorder(code)
    x = Symbol(recorder, "input", (), "M", x_name)
    states = [Symbol(recorder, "state", (), "N", name) for name in state_names]
    local: dict[str, Any] = {}

    def at_return(frame: FrameType, event: str, argument: Any) -> None:
        if event == "return" and frame.f_code is code:
            local.update(frame.f_locals)

    before = sys.getprofile()
    sys.setprofile(at_return)
    try:
        returned = step(x, *states, **{space: Space(recorder, space) for space in spaces})
    except TraceError as error:
        if str(error).startswith("cell '"):
            raise
        raise TraceError(f"{place(code, _line(error, code))}: {error}") from None  # an op's own, which knows no cell
    finally:
        if before is None or callable(before):
            sys.setprofile(before)
        else:  # cProfile before Python 3.12, which is no function
            before.enable()
    results = returned if isinstance(returned, tuple) else (returned,)
    where = place(code, None)
    if isinstance(returned, list):
        raise TraceError(f"{where}: returns a list; expected the values themselves, separated by commas.")
    if len(results) != len(states):
        raise TraceError(
            f"{where}: returns {len(results)} value(s); expected {len(states)}, one for each state "
            f"({', '.join(state_names)}), the output first."
        )
    for name, result in zip(state_names, results, strict=True):
        if not isinstance(result, Symbol) or result.size != "N":
            got = "a vector of length M" if isinstance(result, Symbol) else repr(result)
            raise TraceError(f"{where}: the new {name} is {got}; expected a vector of length N made in the step.")
    names: dict[int, list[str]] = {}
    for name, value in local.items():
        if isinstance(value, Symbol) and name not in (x_name, *state_names):
            names.setdefault(id(value), []).append(name)
    return Trace(step.__name__, x, tuple(state_names), results, recorder.parameters, names, (local, returned), code)
