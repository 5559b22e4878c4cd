"""What a layer is called with, checked: the input, the states, the lengths. What is wrong is one error by ``fail``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from lstm_odyssey.cell import Cell

State = dict[str, Tensor]
Fail = Callable[[str], Exception]


def checked_sizes(input_size: Any, hidden_size: Any, fail: Fail) -> tuple[bool, int, list[int]]:
    """Whether a layer is a population, M, and each member's N; of a single network one."""
    listed = isinstance(hidden_size, Iterable) and not isinstance(hidden_size, str)
    population = listed and getattr(hidden_size, "ndim", 1) == 1  # an array of no dimension is no list
    given = list(hidden_size) if population else [hidden_size]
    for what, value in (("input_size", input_size), *(("hidden_size", size) for size in given)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise fail(f"{what} is {value!r}; expected a whole number of at least 1.")
    if not given:
        raise fail("hidden_size is an empty list; expected one size for each member.")
    return population, int(input_size), [int(size) for size in given]


def check_options(
    *,
    bidirectional: Any,
    initial_std: Any,
    dtype: Any,
    num_layers: Any,
    dropout: Any,
    batch_first: Any,
    population: bool,
    bias: Any,
    proj_size: Any,
    constants: Any,
    device: Any,
    fail: Fail,
) -> tuple[int, float]:
    """Refuse options that no layer has, and what of torch's is not had; ``num_layers`` and ``dropout`` as Python's numbers."""
    for name, flag in (("bidirectional", bidirectional), ("batch_first", batch_first), ("bias", bias)):
        checked_flag(name, flag, fail)
    if isinstance(initial_std, bool) or not isinstance(initial_std, Real) or not float(initial_std) >= 0:
        raise fail(f"initial_std is {initial_std!r}; expected a number of at least 0.")
    if dtype is not None and (not isinstance(dtype, torch.dtype) or not dtype.is_floating_point):
        raise fail(f"dtype is {dtype!r}; expected one of floating point, as torch.float64.")
    if constants is not None and not isinstance(constants, Mapping):
        raise fail(f"constants is {constants!r}; expected a mapping, as {{'gamma': 2.0}}.")
    try:
        torch.empty(0, device=device)  # a device has a name also where there is none
    except (RuntimeError, TypeError, AssertionError, ImportError) as wrong:
        raise fail(f"device is {device!r}; expected one there is, as 'cpu' or 'cuda:0'.") from wrong
    if isinstance(num_layers, bool) or not isinstance(num_layers, Integral) or not int(num_layers) >= 1:
        raise fail(f"num_layers is {num_layers!r}; expected a whole number of at least 1.")
    drop = checked_dropout(dropout, int(num_layers), fail)
    if population and (int(num_layers) > 1 or batch_first):
        raise fail("a population has one layer and time first; expected num_layers=1 and batch_first=False.")
    if isinstance(proj_size, bool) or not isinstance(proj_size, Integral) or proj_size:
        raise fail(f"proj_size is {proj_size!r}; expected none. Put a torch.nn.Linear on the layer.")
    return int(num_layers), drop


def same_option(value: Any, own: Any) -> bool:
    """Whether what an option is set to is what it is already; of an array that cannot be asked."""
    return isinstance(value, Real | str) and bool(value == own)


def checked_flag(name: str, flag: Any, fail: Fail) -> bool:
    """An option that is True or False."""
    if not isinstance(flag, bool):
        raise fail(f"{name} is {flag!r}; expected True or False.")
    return flag


def checked_dropout(dropout: Any, num_layers: int, fail: Fail) -> float:
    """The part of outputs between layers that is set to 0."""
    if isinstance(dropout, bool) or not isinstance(dropout, Real) or not 0 <= float(dropout) <= 1:
        raise fail(f"dropout is {dropout!r}; expected a number from 0 to 1.")
    if dropout and num_layers == 1:
        raise fail("dropout with one layer; expected num_layers of at least 2, as it lies between layers.")
    return float(dropout)


def refuse_layout(what: str, value: Any, fail: Fail) -> None:
    """Refuse a tensor that is nested or sparse, of which not even the shape may be read."""
    if isinstance(value, Tensor) and (value.is_nested or value.layout != torch.strided):
        kind, how = (
            ("nested", "padded, with lengths or packed") if value.is_nested else (value.layout, "as x.to_dense()")
        )
        raise fail(f"{what} is {kind}; expected a dense tensor.{f' Give it {how}.' if what == 'x' else ''}")


def checked_input(x: Tensor, weight: Tensor, input_size: int, members: int | None, fail: Fail) -> Tensor:
    """The input, [T, B, M] or of a population [T, P, B, M], if it is one that the weights can be used with.

    Args:
        members: P; None for a single network.
        fail: makes the error that is raised, of a message.
    """
    population = members is not None
    refuse_layout("x", x, fail)
    if (
        not isinstance(x, Tensor)
        or x.ndim != 3 + population
        or x.shape[-1] != input_size
        or (population and x.shape[1] != members)
        or not len(x)
    ):
        shape = ", ".join(["T", *([str(members)] if population else []), "B", str(input_size)])
        if not isinstance(x, Tensor):
            raise fail(f"x is {type(x).__name__}; expected a tensor [{shape}].")
        raise fail(f"x has shape {tuple(x.shape)}; expected [{shape}] with T of at least 1.")
    if x.dtype != weight.dtype or x.device != weight.device:
        raise fail(
            f"x is {x.dtype} on {x.device}; expected {weight.dtype} on {weight.device} as the weights. "
            "Move one of them with .to(...)."
        )
    return x


def checked_state(
    state: Mapping[str, Tensor] | None,
    x: Tensor,
    cell: Cell,
    directions: int,
    width: int,
    inside: Tensor | None,
    fail: Fail,
) -> State:
    """The initial states by name, [D, B, N] or of a population [D, P, B, N]: if none are given, zero or what the cell declares.

    Args:
        x: the input, checked.
        width: N, the widest member's.
        inside: [P, N], see ``Members.inside``; beyond it a state gets a value that the cell can bear.
        fail: makes the error that is raised, of a message.
    """
    full = (directions, *x.shape[1:-1], width)
    names = cell.states
    if state is None:
        initial = {name: x.new_full(full, cell.initial.get(name, 0.0)) for name in names}
    else:
        check_form(state, names, full, fail)
        for name, value in state.items():
            if value.dtype != x.dtype or value.device != x.device:
                raise fail(
                    f"state '{name}' is {value.dtype} on {value.device}; expected {x.dtype} on {x.device}. "
                    "Move it with .to(...)."
                )
        initial = dict(state)
    if inside is None:
        return initial
    ghost = inside.view(1, -1, 1, width)
    return {
        # units beyond a member's N run along and are cut off; they start where the state may be
        name: torch.where(ghost, value, x.new_tensor(sum(cell.domains.get(name, (0.0, 0.0))) / 2))
        for name, value in initial.items()
    }


def check_form(state: Any, names: Sequence[str], full: tuple[int, ...], fail: Fail) -> None:
    """Refuse initial states that are not all ``names``, each a tensor of the shape ``full``; None is none."""
    if state is None:
        return
    if not isinstance(state, Mapping):
        raise fail(f"state is {type(state).__name__}; expected a dict {{name: tensor}}, as forward returns it.")
    if state.keys() != set(names):
        raise fail(f"state has {sorted(map(str, state))}; expected all of {sorted(names)}.")
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise fail(f"state '{name}' is {type(value).__name__}; expected a tensor {list(full)}.")
        refuse_layout(f"state '{name}'", value, fail)
        if value.shape != full:
            raise fail(f"state '{name}' has shape {tuple(value.shape)}; expected {full}.")


def counted(
    lengths: Tensor | Sequence[int] | None,
    steps: int,
    rows: int,
    device: torch.device,
    fail: Fail,
) -> Tensor | None:
    """The lengths as a tensor [B]; None where no row is shorter than T. What is wrong with them is raised by ``fail``."""
    if lengths is None:
        return None
    try:
        count = torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError) as error:
        raise fail(f"lengths is {lengths!r}; expected {rows} whole numbers: give the frames of each row.") from error
    if not rows and count.shape == (0,):
        return None  # an empty list is no tensor of whole numbers
    if count.is_nested or count.layout != torch.strided:
        raise fail(f"lengths is a tensor of layout {count.layout}; expected a dense one of {rows} whole numbers.")
    if (
        count.ndim != 1
        or len(count) != rows
        or count.is_floating_point()
        or count.is_complex()
        or count.dtype == torch.bool
    ):
        raise fail(
            f"lengths has shape {tuple(count.shape)} and dtype {count.dtype}; expected {rows} whole numbers: give the "
            "frames of each row."
        )
    try:  # as numbers of Python: an integer type may be too narrow for T
        values = count.tolist() if isinstance(lengths, Tensor) else [int(value) for value in lengths]
    except (RuntimeError, NotImplementedError) as error:
        raise fail(
            f"lengths is a {type(count).__name__} on {count.device}, whose numbers cannot be read; expected {rows} whole "
            "numbers. Give them as a list."
        ) from error
    if min(values) < 1 or max(values) > steps:
        raise fail(
            f"lengths has values from {min(values)} to {max(values)}; expected 1 to T = {steps}. Leave empty rows out, and "
            "pad x to the longest."
        )
    return None if min(values) == steps else torch.tensor(values, device=device)
