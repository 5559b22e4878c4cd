"""Hooks of a layer's directions, refused where they would never run; and the short way of a call where none is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from lstm_odyssey import backends
from lstm_odyssey.backends.lowering import lower
from lstm_odyssey.backends.tensors import observed, traced
from lstm_odyssey.cell import Cell
from lstm_odyssey.layers.arguments import State
from lstm_odyssey.layers.parameters import CellParameters


class Single(Protocol):
    """What the short way asks of a layer."""

    cell: Cell
    input_size: int
    hidden_sizes: tuple[int, ...]
    backend: str
    population: bool
    bidirectional: bool
    num_layers: int
    batch_first: bool


def uncalled_hook(cells: nn.Module) -> str:
    """A hook that is never called, in words; empty if there is none.

    It is one on the list of directions, or a backward hook on a direction: torch runs those of a module that returns tensors
    or a tuple of them.
    """
    own = cells.__dict__
    found = own["_forward_pre_hooks"] or own["_forward_hooks"] or own["_backward_hooks"] or own["_backward_pre_hooks"]
    what = "cells has a hook"
    for place, direction in vars(cells)["_modules"].items():
        own = direction.__dict__
        if not found and (own["_backward_hooks"] or own["_backward_pre_hooks"]):
            found, what = own["_backward_hooks"] or own["_backward_pre_hooks"], f"cells.{place} has a backward hook"
    if not found:
        return ""
    hook = next(iter(found.values()))
    return (
        f"{what}, {getattr(hook, '__name__', type(hook).__name__)}; expected none, as it would never run. Forward hooks go to "
        "the layer itself or to a direction, layer.cells[0]; backward hooks to the layer or, by register_hook, to a parameter."
    )


def unhooked(cells: nn.Module) -> Mapping[str, Tensor | None] | None:
    """The spaces of a layer's only direction, if calling it would give these and run nothing; None otherwise.

    What a parametrization computes in the place of a space is not among them.
    """
    direction = vars(cells)["_modules"]["0"]
    own = vars(direction)
    if (
        uncalled_hook(cells)
        or own["_forward_pre_hooks"]
        or own["_forward_hooks"]
        or _has_any_global_hook()
        or type(direction).forward is not CellParameters.forward
    ):
        return None
    found: Mapping[str, Tensor | None] = own["_parameters"]
    return {**found, **own["_buffers"]} if own["_buffers"] else found


def direct(layer: Single, x: Any, state: Any) -> tuple[Tensor, State] | None:
    """Outputs and final states of a call without lengths, if nothing about it is unusual; None if it is, or something is wrong.

    The numbers are those of the layer's long way; see ``backends.numba.direct``.
    """
    if torch.compiler.is_compiling() or type(x) is not Tensor or (state is not None and type(state) is not dict):
        return None
    if layer.population or layer.bidirectional or layer.num_layers > 1 or layer.batch_first:
        return None
    run = backends.direct(layer.backend)
    if run is None or torch.is_autocast_enabled("cpu") or traced() or observed():
        return None
    weights = unhooked(vars(layer)["_modules"]["cells"])
    if weights is None:
        return None
    cell = layer.cell
    found: tuple[Tensor, State] | None = run(
        lower(cell.graph), weights, x, layer.input_size, layer.hidden_sizes[0], state, cell.resting
    )
    return found
