"""The equations as text, from the names the step gave its values.

An argument ``s`` is s_{t-1}, the input x_t, a local ``n`` or ``n_t`` is n_t; ``*`` between vectors is ⊙, ``R.if_`` is R_if,
sigmoid is σ, other ops keep their name; sums stand in the order of the text. A result without a name of its own is named
after its state.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from lstm_odyssey.cell.bytecode import place
from lstm_odyssey.cell.ops import OPS
from lstm_odyssey.cell.symbols import CONSTANTS, Symbol
from lstm_odyssey.cell.trace import Trace
from lstm_odyssey.variants.declare import TraceError

_ATOM = 10
_PRODUCT = 4  # W_z x_t binds stronger than any sign


def _subscript(name: str) -> str:
    space, gate = name.split(".", 1)
    if space == CONSTANTS:
        return letter(gate.rstrip("_"))
    return f"{space}_{gate.rstrip('_')}"


def letter(name: str) -> str:
    """A constant as equations write it: the Greek letter whose name it has, or the name.

    >>> letter("gamma"), letter("lambda"), letter("rate")
    ('γ', 'λ', 'rate')
    """
    try:
        return unicodedata.lookup(f"GREEK SMALL LETTER {'lamda' if name == 'lambda' else name}")  # as Unicode spells it
    except KeyError:
        return name


def _scalar(value: Symbol | float) -> bool:
    """Whether it is a number: written out, a constant, or computed of these alone."""
    if not isinstance(value, Symbol):
        return True
    if value.op == "vector":
        return value.name.startswith(f"{CONSTANTS}.")
    return bool(value.args) and value.op != "matmul" and all(map(_scalar, value.args))


def _now(name: str) -> str:
    return name if name.endswith("_t") else f"{name}_t"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


class _Writer:
    def __init__(self, trace: Trace, named: dict[int, str]) -> None:
        self.input, self.named = trace.input, named

    def __call__(self, value: Symbol | float, around: int = 0, whole: bool = False) -> str:
        text, strength = self.written(value, whole)
        return f"({text})" if strength < around else text

    def written(self, value: Symbol | float, whole: bool) -> tuple[str, int]:
        """Text of a value and how strongly it binds; ``whole`` writes a named value out instead of by its name."""
        if not isinstance(value, Symbol):
            return _number(value), _ATOM if value >= 0 else 3
        if id(value) in self.named and not whole:
            return self.named[id(value)], _ATOM
        if value.op == "input":
            return _now(value.name), _ATOM
        if value.op == "state":
            return f"{value.name}_{{t-1}}", _ATOM
        if value.op == "vector":
            return _subscript(value.name), _ATOM
        if value.op == "matmul":
            return f"{_subscript(value.name)} {self(value.args[0], _ATOM)}", _PRODUCT
        op = OPS[value.op]
        if op.precedence == 9:
            return f"{op.symbol}({', '.join(self(argument) for argument in value.args)})", _ATOM
        if op.arity == 1:
            return f"{op.symbol}{self(value.args[0], op.precedence + 1)}", op.precedence
        left, right = value.args
        sign = op.symbol
        if value.op == "mul" and (_scalar(left) or _scalar(right)):
            sign = "·"  # a number times a vector
        # a - (b + c) and a / (b * c) keep their brackets; so does a + (b + c), for the order is the text's
        return f"{self(left, op.precedence)} {sign} {self(right, op.precedence + 1)}", op.precedence


def equations(trace: Trace) -> tuple[str, ...]:
    """One line for every named value of the step, in the order of the text.

    Raises:
        TraceError: two names render alike (``i`` and ``i_t``).
    """
    symbols = {id(value): value for value in _walk(trace)}
    named: dict[int, str] = {}
    lines: list[tuple[str, Symbol]] = []
    taken = {_now(trace.input.name): trace.input.name}
    again: list[tuple[str, str]] = []
    for identity, names in trace.names.items():
        for position, name in enumerate(names):
            shown = _now(name)
            if shown in taken:
                raise TraceError(
                    f"{place(trace.code, None)}: the names '{taken[shown]}' and '{name}' both render as {shown}; "
                    "expected names that differ in the equations. Rename one."
                )
            taken[shown] = name
            value = symbols.get(identity)
            if value is None:
                continue  # a local that reaches no result
            if position == 0 and value.op not in ("input", "state", "vector"):
                named[identity] = shown
                lines.append((shown, value))
            else:
                again.append((shown, named.get(identity) or _Writer(trace, named)(value)))
    write = _Writer(trace, named)
    text = [f"{shown} = {write(value, whole=True)}" for shown, value in lines]
    text += [f"{shown} = {other}" for shown, other in again]
    own = {(_now(name), identity) for identity, names in trace.names.items() for name in names}
    for state, result in zip(trace.states, trace.results, strict=True):
        shown = _now(state)
        if shown in taken and (shown, id(result)) not in own:
            raise TraceError(
                f"{place(trace.code, None)}: the new value of the state '{state}' is {shown} in the equations, and "
                f"'{taken[shown]}' is another value of that name; expected one. Check the order of what is returned, or rename."
            )
        if shown not in taken:
            text.append(f"{shown} = {write(result)}")
        taken[shown] = state
        own.discard((shown, id(result)))
    return tuple(text)


def apart(docstring: Sequence[str], text: Sequence[str]) -> str:
    """Which equations only one of a docstring and a text has, each side on a line; empty where both have none of their own."""
    lines = []
    for who, mine, others in (("the docstring", docstring, text), ("the text", text, docstring)):
        alone = [line for line in mine if line not in others]
        lines += [f"Only {who} has {'; '.join(alone)}\n"] if alone else []
    return "".join(lines)


def _walk(trace: Trace) -> list[Symbol]:
    found: dict[int, Symbol] = {}
    waiting: list[Symbol | float] = list(trace.results)
    while waiting:
        value = waiting.pop()
        if isinstance(value, Symbol) and id(value) not in found:
            found[id(value)] = value
            waiting.extend(value.args)
    return list(found.values())
