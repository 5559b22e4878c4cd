"""Symbols: what a step is called with when it is traced.

They know two lengths, M (the input) and N (the states), so that ``W.z @ y`` or ``x * y`` is an error at once and not a wrong
kernel later; and they refuse every operation a cell cannot have, with the line it stands on.
"""

from __future__ import annotations

import keyword
import math
import sys
from contextlib import suppress
from types import CodeType, FrameType
from typing import Any, NoReturn

from lstm_odyssey.cell.bytecode import place
from lstm_odyssey.cell.ops import FUNCTIONS, OPS
from lstm_odyssey.variants.declare import TraceError

MATRICES = {"W": ("N", "M"), "R": ("N", "N")}
CONSTANTS = "k"
"""The space of a cell's constants: vectors too, each of one number, which are given and not trained."""
VECTORS = {"p": ("N",), "b": ("N",), CONSTANTS: ("N",)}
SPACES = {**MATRICES, **VECTORS}

# Parameters are attributes of torch modules, so these names are taken; tests compare the list with torch's own.
MODULE_ATTRIBUTES = frozenset(
    "T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches eval "
    "extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu load_state_dict modules mtia "
    "named_buffers named_children named_modules named_parameters parameters register_backward_hook register_buffer "
    "register_forward_hook register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook "
    "register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module register_parameter "
    "register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule share_memory "
    "state_dict to to_empty train training type xpu zero_grad".split()
)


class Recorder:
    """What the symbols of one trace share: the code object, for the line of an error, and the parameters met."""

    def __init__(self, code: CodeType) -> None:
        self.code = code
        self.parameters: dict[str, tuple[str, ...]] = {}

    def fail(self, message: str) -> NoReturn:
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code is not self.code:
            frame = frame.f_back
        raise TraceError(f"{place(self.code, frame.f_lineno if frame else None)}: {message}")


class Symbol:
    """A vector of the step: of length M (the input and what is made of it alone) or N (all else)."""

    __array_priority__ = 1000

    def __init__(self, recorder: Recorder, op: str, args: tuple[Any, ...], size: str, name: str = "") -> None:
        self.recorder, self.op, self.args, self.size, self.name = recorder, op, args, size, name

    def _record(self, op: str, *args: Any) -> Any:
        values = [value for value in args if isinstance(value, Symbol)]
        for value in args:
            if isinstance(value, (Matrix, Space)):
                value.refuse(OPS[op].name)
            if not isinstance(value, (Symbol, int, float)) or isinstance(value, bool):
                self.recorder.fail(
                    f"{op} of a vector and {value!r} ({type(value).__name__}); expected vectors of the step or numbers. "
                    "Write constants as Python numbers."
                )
        sizes = {value.size for value in values}
        if len(sizes) > 1:
            self.recorder.fail(
                f"{op} of a vector of length M and one of length N; expected one length. Project the input first: W.g @ x."
            )
        if OPS[op].reduction and sizes == {"M"}:
            self.recorder.fail(
                f"{op} of a vector of length M; expected one of length N. Project the input first: W.g @ x."
            )
        args = tuple(value if isinstance(value, Symbol) else float(value) for value in args)
        if any(isinstance(value, float) and not math.isfinite(value) for value in args):
            self.recorder.fail(f"{op} with a constant that is not finite; expected a finite number.")
        return Symbol(self.recorder, op, args, sizes.pop())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in FUNCTIONS:
            self.recorder.fail(f"unknown op '{name}'; expected one of + - * / {' '.join(FUNCTIONS)}.")
        self.recorder.fail(
            f"'{name}' as a method, which means something else to a tensor, or nothing; expected the function {name}(...) of "
            "lstm_odyssey.variants.ops."
        )

    def record(self, op: str, *others: Any) -> Any:
        """The op of this vector and others; how ``variants.ops`` applies its functions to a symbol."""
        return self._record(op, self, *others)

    def __add__(self, other: Any) -> Any:
        return self._record("add", self, other)

    def __radd__(self, other: Any) -> Any:
        return self._record("add", other, self)

    def __sub__(self, other: Any) -> Any:
        return self._record("sub", self, other)

    def __rsub__(self, other: Any) -> Any:
        return self._record("sub", other, self)

    def __mul__(self, other: Any) -> Any:
        return self._record("mul", self, other)

    def __rmul__(self, other: Any) -> Any:
        return self._record("mul", other, self)

    def __truediv__(self, other: Any) -> Any:
        return self._record("div", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._record("div", other, self)

    def __neg__(self) -> Any:
        return self._record("neg", self)

    def __abs__(self) -> Any:
        return self._record("absolute", self)

    def __matmul__(self, other: Any) -> Any:
        self.recorder.fail("'@' with a vector on its left; expected W.g @ ... or R.g @ ..., the matrix first.")

    __rmatmul__ = __matmul__

    def _unknown(self, *args: Any, **kwargs: Any) -> Any:
        self.recorder.fail(
            "an operation a cell cannot have (**, //, %, comparison, indexing, len, float, iteration); "
            f"expected + - * / {' '.join(FUNCTIONS)}."
        )

    __pow__ = __rpow__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __lt__ = __le__ = __gt__ = __ge__ = (
        _unknown
    )
    __getitem__ = __setitem__ = __len__ = __float__ = __int__ = __iter__ = __eq__ = __ne__ = __invert__ = _unknown
    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        self.recorder.fail("a value is asked whether it is true; expected straight-line code. Use maximum or a gate.")

    def __array_ufunc__(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        self.recorder.fail(
            f"unknown op 'numpy.{function.__name__}'; expected one of + - * / {' '.join(FUNCTIONS)}, and constants as Python "
            "numbers: float(k)."
        )

    def __array_function__(self, function: Any, *args: Any) -> Any:
        self.recorder.fail(f"unknown op 'numpy.{function.__name__}'; expected one of + - * / {' '.join(FUNCTIONS)}.")

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        _first_symbol([*args, *(kwargs or {}).values()]).recorder.fail(
            f"unknown op 'torch.{getattr(function, '__name__', function)}'; expected ops of lstm_odyssey.variants.ops: "
            f"+ - * / {' '.join(FUNCTIONS)}."
        )


def _first_symbol(values: Any) -> Symbol:
    """The first symbol among values that may be nested in lists and tuples."""
    for value in values:
        if isinstance(value, Symbol):
            return value
        if isinstance(value, (list, tuple)):
            with suppress(LookupError):
                return _first_symbol(value)
    raise LookupError


class Matrix:
    """W.g or R.g: it may only stand on the left of ``@``."""

    __array_ufunc__ = None

    def __init__(self, recorder: Recorder, name: str, columns: str) -> None:
        self.recorder, self.name, self.columns = recorder, name, columns

    def __matmul__(self, other: Any) -> Symbol:
        if not isinstance(other, Symbol):
            self.recorder.fail(f"{self.name} @ {type(other).__name__}; expected a vector of the step on the right.")
        if other.size != self.columns:
            cure = "W is for the input, R for states and values of the step"
            self.recorder.fail(
                f"{self.name} has {self.columns} columns and the vector on its right length {other.size}; {cure}."
            )
        return Symbol(self.recorder, "matmul", (other,), "N", self.name)

    def refuse(self, op: str) -> NoReturn:
        self.recorder.fail(
            f"{self.name} is a matrix and is used as a vector ({op}); expected {self.name} @ vector. "
            "Vectors of parameters are p.g and b.g."
        )

    def _refuse(self, *args: Any) -> Any:
        self.refuse("without @")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __neg__ = _refuse
    __rmatmul__ = __pow__ = __getitem__ = __bool__ = _refuse

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.refuse(name)


class Space:
    """W, R, p, b or k: naming a gate brings its parameter, or constant, into being."""

    def __init__(self, recorder: Recorder, name: str) -> None:
        object.__setattr__(self, "_of", (recorder, name))

    def __getattr__(self, gate: str) -> Any:
        if gate.startswith("__"):
            raise AttributeError(gate)
        recorder, space = self._of
        full = f"{space}.{gate}"
        if keyword.iskeyword(gate) or gate in MODULE_ATTRIBUTES or gate.startswith("_"):
            recorder.fail(
                f"parameter '{full}' has a name that is taken (a word of Python, an attribute of torch.nn.Module, or "
                f"private); call it '{gate.lstrip('_')}_'."
            )
        recorder.parameters[full] = SPACES[space]
        if space in MATRICES:
            return Matrix(recorder, full, MATRICES[space][1])
        return Symbol(recorder, "vector", (), "N", full)

    def __setattr__(self, gate: str, value: Any) -> None:
        recorder, space = self._of
        recorder.fail(f"sets {space}.{gate}; a step only reads its parameters.")

    def __getitem__(self, gate: Any) -> NoReturn:
        recorder, space = self._of
        recorder.fail(f"{space} is indexed by {gate!r}; expected a name after a dot, as {space}.z.")

    def refuse(self, op: str) -> NoReturn:
        recorder, space = self._of
        recorder.fail(f"{space} is used as a value ({op}); expected a parameter of it, as {space}.z.")

    def __matmul__(self, other: Any) -> Any:
        self.refuse("@")
