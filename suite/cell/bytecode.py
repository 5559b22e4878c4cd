"""Is a step straight-line code that binds every name once? Read in the bytecode, so it holds where no source is at hand.

``i = sigmoid(...)`` in a cell whose argument is called ``i`` would be legal Python and a silently different cell: a later
gate that wants the previous step's i would read this step's. So a second binding is an error (design: "every name is
bound once, arguments included").
"""

from __future__ import annotations

import dis
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

from lstm_odyssey.variants.declare import TraceError

_NESTED = {
    "<lambda>": "a lambda",
    "<listcomp>": "a comprehension",
    "<setcomp>": "a comprehension",
    "<dictcomp>": "a comprehension",
    "<genexpr>": "a comprehension",
}
# which lists of jumps `dis` has changes between Python 3.11 and 3.14
_JUMPS = frozenset(code for name in ("hasjrel", "hasjabs", "hasjump") for code in getattr(dis, name, ()))
_GENERATOR = 0x20 | 0x80 | 0x200  # CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR


def place(code: CodeType, line: int | None) -> str:
    """``cell 'fgr' (fgr.py, line 31)``, the subject of every trace error."""
    file = code.co_filename.rsplit("/", 1)[-1]
    return f"cell '{code.co_name}' ({file}, line {line if line is not None else code.co_firstlineno})"


def _bindings(instruction: dis.Instruction) -> Iterator[str]:
    """Names an instruction stores. Python 3.13 fuses two stores, or a store and a load, into one instruction."""
    if instruction.opname == "STORE_FAST_STORE_FAST":
        yield from instruction.argval
    elif instruction.opname == "STORE_FAST_LOAD_FAST":
        yield instruction.argval[0]
    elif instruction.opname.startswith("STORE_FAST") or instruction.opname == "STORE_DEREF":
        yield instruction.argval


def check_straight_line(step: Callable[..., Any]) -> None:
    """Raise ``TraceError`` with the line of the first thing in ``step`` that is not straight-line code."""
    code = step.__code__
    if code.co_flags & _GENERATOR:
        raise TraceError(
            f"{place(code, None)}: a generator or coroutine; expected a plain function that returns values."
        )
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            what = _NESTED.get(constant.co_name, f"a nested function or class '{constant.co_name}'")
            raise TraceError(
                f"{place(code, constant.co_firstlineno)}: {what}; expected straight-line code. "
                "Write each equation as one assignment."
            )
    bound = dict.fromkeys(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount], "an argument")
    for instruction in dis.get_instructions(code):
        line = instruction.positions.lineno if instruction.positions else None
        where = place(code, line)
        if instruction.opname.startswith("DELETE_"):
            raise TraceError(f"{where}: del {instruction.argval}; expected straight-line code. Leave the name alone.")
        if instruction.opname in ("STORE_GLOBAL", "STORE_NAME"):
            raise TraceError(f"{where}: assigns the global name '{instruction.argval}'; expected local names only.")
        if instruction.opname == "FOR_ITER" or "JUMP_BACKWARD" in instruction.opname:
            raise TraceError(
                f"{where}: a loop or comprehension; expected straight-line code, the same for every step. "
                "Write the equations out."
            )
        if instruction.opcode in _JUMPS:
            raise TraceError(
                f"{where}: a branch (if, and, or, assert, try); expected straight-line code, the same for every value. "
                "Use maximum, minimum, relu or a gate."
            )
        for name in _bindings(instruction):
            if name in bound:
                raise TraceError(
                    f"{where}: '{name}' is bound a second time (it is already {bound[name]}); expected each name once. "
                    f"An argument is always the value of the step before; call the new value '{name}_t'."
                )
            bound[name] = f"bound in line {line}"
    if getattr(code, "co_exceptiontable", b""):
        raise TraceError(f"{place(code, None)}: a `try` or `with` statement; expected straight-line code.")
