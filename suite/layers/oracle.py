"""The oracle: the text itself, called example by example in float64. No compiler code takes part."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from lstm_odyssey.tasks.kinds import refuse_kind

if TYPE_CHECKING:
    from torch import Tensor


def spaces(parameters: Mapping[str, Any]) -> dict[str, SimpleNamespace]:
    """``{"W.z": value}`` as ``{"W": namespace with z}``, the form a step takes them in."""
    found: dict[str, SimpleNamespace] = {}
    for name, value in parameters.items():
        space, gate = name.split(".", 1)
        setattr(found.setdefault(space, SimpleNamespace()), gate, value)
    return found


def oracle(cell: Any, x: Any, state: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Tensor]:
    """Every state of ``cell`` at every step, by calling its text.

    Loops over time and over rows; autograd through it gives the oracle's gradient.

    Args:
        cell: a name, a step function, a ``Variant`` or a ``Cell``.
        x: [T, B, M]; any dtype, computed in float64.
        state: the initial states by name, each [B, N].
        parameters: by name, ``"W.z"`` [N, M], ``"R.z"`` [N, N], ``"p.i"`` and ``"b.z"`` [N]. A constant, ``"k.gamma"``, may be
            among them; it has its default otherwise.

    Returns:
        Each state's values after every step, [T, B, N], float64; the first state is the output.

    Raises:
        ValueError: states or parameters are missing or unknown, or x has no three dimensions.

    Example:
        >>> import torch, lstm_odyssey as lo
        >>> v = lo.variant("nog")
        >>> parameters = {name: torch.ones([{"M": 2, "N": 3}[size] for size in shape]) for name, shape in v.parameters.items()}
        >>> zero = torch.zeros(1, 3)
        >>> lo.oracle(v, torch.ones(4, 1, 2), {"y": zero, "c": zero}, parameters)["y"].shape
        torch.Size([4, 1, 3])
    """
    import torch

    from lstm_odyssey.plugins.registry import as_cell

    cell = as_cell(cell)
    refuse_kind(f"oracle of '{cell.name}'", "a mapping", state=state, parameters=parameters)
    x = _numbers(cell, x)
    parameters = {name: _numbers(cell, value, name) for name, value in parameters.items()}
    state = {name: _numbers(cell, value, name) for name, value in state.items()}
    if x.ndim != 3:
        raise ValueError(f"oracle of '{cell.name}': x has shape {tuple(x.shape)}; expected [T, B, M].")
    given = {f"k.{name}": constant.default for name, constant in cell.constants.items()} | dict(parameters)
    expected_names = [*cell.parameters, *(f"k.{name}" for name in cell.constants)]
    for what, got, expected in (("state", state, cell.states), ("parameters", given, expected_names)):
        if set(got) != set(expected):
            raise ValueError(f"oracle of '{cell.name}': {what} has {sorted(got)}; expected exactly {sorted(expected)}.")
    named = spaces({name: torch.as_tensor(value, dtype=torch.float64) for name, value in given.items()})
    for space in cell.spaces:
        named.setdefault(space, SimpleNamespace())
    initial = [torch.as_tensor(state[name], dtype=torch.float64) for name in cell.states]
    rows = []
    for row in range(x.shape[1]):
        values = [value[row] for value in initial]
        steps = []
        for t in range(x.shape[0]):
            returned = cell.step(x[t, row], *values, **named)
            values = list(returned) if isinstance(returned, tuple) else [returned]
            steps.append(values)
        rows.append([torch.stack([step[k] for step in steps]) for k in range(len(cell.states))])
    return {name: torch.stack([row[k] for row in rows], dim=1) for k, name in enumerate(cell.states)}


def _numbers(cell: Any, value: Any, name: str = "x") -> Any:
    """What torch makes a tensor of, in float64."""
    import torch

    try:
        return torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as wrong:
        raise TypeError(
            f"oracle of '{cell.name}': {name} is a {type(value).__name__}; expected a tensor, or what torch makes one of."
        ) from wrong
