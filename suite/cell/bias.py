"""A cell without its biases: the same text, with every b.g gone from the sums it stands in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lstm_odyssey.cell.bytecode import place
from lstm_odyssey.cell.symbols import Symbol
from lstm_odyssey.cell.trace import Trace
from lstm_odyssey.variants.declare import TraceError

SPACE = "b"


class NoBias:
    """What a text gets for b: a sum with one of its numbers is the sum without."""

    def __getattr__(self, name: str) -> float:
        if name.startswith("__"):
            raise AttributeError(name)
        return 0.0


def unbiased(trace: Trace) -> Trace:
    """The trace without the parameters of b.

    Raises:
        TraceError: one of them stands elsewhere than in a sum, as b.g * x, so that the cell is another without it.
    """
    made: dict[int, Symbol | None] = {}

    def without(value: Any) -> Any:
        if not isinstance(value, Symbol):
            return value
        if id(value) not in made:
            made[id(value)] = _without(value, [without(argument) for argument in value.args], trace)
        return made[id(value)]

    results = tuple(without(result) for result in trace.results)
    if any(result is None for result in results):
        raise TraceError(f"{place(trace.code, None)}: a result is a bias alone; expected bias=True.")
    names: dict[int, list[str]] = {}
    symbols = {id(value): value for value in trace.keep[0].values() if isinstance(value, Symbol)}
    for identity, own in trace.names.items():
        value = without(symbols[identity])
        if value is not None:
            names.setdefault(id(value), []).extend(own)
    kept = {name: shape for name, shape in trace.parameters.items() if not name.startswith(f"{SPACE}.")}
    return replace(trace, results=results, parameters=kept, names=names, keep=(*trace.keep, made))


def _without(value: Symbol, args: list[Any], trace: Trace) -> Symbol | None:
    """A value of arguments that have no bias; None where nothing is left of it."""
    if value.op == "vector" and value.name.startswith(f"{SPACE}."):
        return None
    if all(one is not None for one in args):
        same = all(one is other for one, other in zip(args, value.args, strict=True))
        return value if same else Symbol(value.recorder, value.op, tuple(args), value.size, value.name)
    left = [one for one in args if one is not None]
    if value.op not in ("add", "sub") or (left and not isinstance(left[0], Symbol)):
        raise TraceError(
            f"{place(trace.code, None)}: a bias stands elsewhere than in a sum of vectors, in '{value.op}'; without it the "
            "cell would be another. Leave bias=True."
        )
    if not left:
        return None
    negated = value.op == "sub" and args[0] is None
    return Symbol(value.recorder, "neg", (left[0],), value.size) if negated else left[0]
